// What a connector tells the planner: its options, its metadata columns, and what of them goes into the plan.

import type { OptionNode } from '../ast/statements.js'
import type { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { didYouMean } from '../text/suggest.js'
import type { SqlType } from '../types/sql-type.js'
import { parseDuration } from './duration.js'
import type { ConnectorConfig } from './table.js'

export interface OptionDefinition {
  readonly required?: boolean
  readonly default?: string
  readonly type?: 'boolean' | 'integer' | 'duration' | 'partitions'
  /** The only values; those in `notYet` are known and refused. */
  readonly values?: readonly string[]
  readonly notYet?: readonly string[]
  /** Known, but not supported: what to do instead, or ''. */
  readonly unsupported?: string
}

export interface PhysicalColumn {
  readonly name: string
  readonly type: SqlType
  readonly span: Span
}

export interface Connector {
  readonly name: string
  /** By name; `json.*` options are those of the format. */
  readonly options: Readonly<Record<string, OptionDefinition>>
  /** Options of any name under these prefixes are passed through, when `check` lets them. */
  readonly prefixes?: readonly string[]
  /** The types in which a metadata key can be read; one declared otherwise is read as the first, and cast. */
  readonly metadata: Readonly<Record<string, readonly SqlType[]>>
  /** Refuse an option under a prefix, or an option that does not go with the others. */
  check?(options: Options): void
  configure(options: Options, columns: readonly PhysicalColumn[]): ConnectorConfig
}

/** The options of one CREATE TABLE, checked against a connector's definitions. */
export class Options {
  readonly source: SourceText
  readonly #nodes = new Map<string, OptionNode>()
  readonly #withSpan: Span

  constructor(source: SourceText, nodes: readonly OptionNode[], withSpan: Span) {
    this.source = source
    this.#withSpan = withSpan
    for (const node of nodes) {
      if (this.#nodes.has(node.key)) throw source.error(node.keySpan, `the option '${node.key}' is given twice`)
      this.#nodes.set(node.key, node)
    }
  }

  get span(): Span {
    return this.#withSpan
  }

  get(key: string): string | undefined {
    return this.#nodes.get(key)?.value
  }

  keys(): string[] {
    return [...this.#nodes.keys()]
  }

  /** All as they were given. */
  toRecord(): Record<string, string> {
    return Object.fromEntries([...this.#nodes.values()].map(n => [n.key, n.value]))
  }

  keySpan(key: string): Span {
    return this.#nodes.get(key)?.keySpan ?? this.#withSpan
  }

  valueSpan(key: string): Span {
    return this.#nodes.get(key)?.valueSpan ?? this.#withSpan
  }

  /** Refuse unknown, missing and malformed options. */
  validate(connector: Connector, definitions: Readonly<Record<string, OptionDefinition>>): void {
    for (const node of this.#nodes.values()) {
      const definition = Object.hasOwn(definitions, node.key) ? definitions[node.key] : undefined
      if (definition !== undefined) {
        this.#checkValue(node, definition)
      } else if (!(connector.prefixes ?? []).some(p => node.key.startsWith(p) && node.key.length > p.length)) {
        const known = [...Object.keys(definitions), ...(connector.prefixes ?? []).map(p => `${p}*`)]
        const meant = didYouMean(node.key, Object.keys(definitions))
        throw this.source.error(
          node.keySpan,
          `unknown option '${node.key}' of the connector ${connector.name}`,
          meant ?? `options: ${known.join(', ')}`,
        )
      }
    }
    for (const [key, definition] of Object.entries(definitions)) {
      if (definition.required === true && !this.#nodes.has(key)) {
        throw this.source.error(
          this.#withSpan,
          `the connector ${connector.name} needs the option '${key}'`,
          `add '${key}' = '…' to WITH`,
        )
      }
    }
  }

  #checkValue(node: OptionNode, definition: OptionDefinition): void {
    const { source } = this
    if (definition.unsupported !== undefined)
      throw source.notSupported(node.keySpan, `the option '${node.key}'`, definition.unsupported || undefined)
    if (definition.notYet?.includes(node.value) === true) {
      throw source.notSupported(
        node.valueSpan,
        `'${node.key}' = '${node.value}'`,
        `use one of: ${definition.values!.join(', ')}`,
      )
    }
    if (definition.values !== undefined && !definition.values.includes(node.value)) {
      throw source.error(
        node.valueSpan,
        `'${node.value}' is not a value of '${node.key}'`,
        didYouMean(node.value, definition.values) ?? `values: ${definition.values.join(', ')}`,
      )
    }
    if (node.value === '' && definition.required === true)
      throw source.error(node.valueSpan, `'${node.key}' cannot be empty`)
    const invalid = (what: string): Error =>
      source.error(node.valueSpan, `'${node.key}' needs ${what}, found '${node.value}'`)
    if (definition.type === 'boolean' && !['true', 'false'].includes(node.value)) throw invalid("'true' or 'false'")
    if (definition.type === 'integer' && !/^\d{1,15}$/.test(node.value)) throw invalid('an integer')
    if (definition.type === 'duration' && parseDuration(node.value) === undefined)
      throw invalid("a duration such as '10 s' or '500 ms'")
    if (definition.type === 'partitions' && !isPartitions(node.value))
      throw invalid("partitions such as '0-3' or '0,2,5'")
  }
}

function isPartitions(text: string): boolean {
  return text.split(',').every(part => {
    const m = /^\s*(\d{1,6})(?:-(\d{1,6}))?\s*$/.exec(part)
    return m !== null && (m[2] === undefined || Number(m[1]) <= Number(m[2]))
  })
}
