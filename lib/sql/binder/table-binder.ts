// CREATE TABLE to a catalog table: columns, computed columns, metadata, watermark, primary key, connector options.

import type { ColumnDefinition, CreateTable } from '../ast/statements.js'
import type { Expression, Identifier } from '../ast/expressions.js'
import { subexpressions } from '../ast/walk.js'
import type { Connector, PhysicalColumn } from '../catalog/connector.js'
import { Options } from '../catalog/connector.js'
import type { ConnectorRegistry } from '../catalog/connector-registry.js'
import { marbledb } from '../catalog/connectors/marbledb.js'
import { type CatalogTable, kLocalConnector, type TableColumn, type Watermark } from '../catalog/table.js'
import { foldConstants } from '../rules/constant-folding.js'
import type { SourceText } from '../text/source-text.js'
import { didYouMeanOrList } from '../text/suggest.js'
import { isExplicitlyCastable } from '../types/coercion.js'
import {
  bareTypeToString,
  isNested,
  isTimestamp,
  sameType,
  type SqlType,
  typeToString,
  withNullable,
} from '../types/sql-type.js'
import { ExpressionBinder } from './expression-binder.js'
import { Scope } from './scope.js'

export function bindCreateTable(
  statement: CreateTable,
  ddl: string,
  source: SourceText,
  connectors: ConnectorRegistry,
  stored = false,
): CatalogTable {
  return new TableBinder(statement, source, connectors).bind(ddl, stored)
}

class TableBinder {
  readonly #statement: CreateTable
  readonly #source: SourceText
  readonly #options: Options
  readonly #connector: Connector

  constructor(statement: CreateTable, source: SourceText, connectors: ConnectorRegistry) {
    this.#statement = statement
    this.#source = source
    this.#options = new Options(source, statement.options ?? [], statement.name.span)
    this.#connector = statement.options === undefined ? marbledb : connectors.find(this.#options)
  }

  bind(ddl: string, stored: boolean): CatalogTable {
    const statement = this.#statement
    this.#checkNames()
    this.#options.validate(this.#connector, { connector: {}, ...this.#connector.options })
    if (!stored) this.#connector.check?.(this.#options)
    const primaryKey = this.#primaryKey()
    const columns = this.#columns(primaryKey)
    const watermark = this.#watermark(columns)
    this.#checkLocal(columns)
    const physical: PhysicalColumn[] = statement.columns.flatMap(c =>
      c.kind === 'physical' ? [{ name: c.name.name, type: c.type.type, span: c.span }] : [],
    )
    if (physical.length === 0)
      throw this.#source.error(
        statement.name.span,
        `the table ${statement.name.name} has no column of its own`,
        'declare at least one physical column',
      )
    const config = this.#connector.configure(this.#options, physical)
    const options = statement.options === undefined ? undefined : this.#options.toRecord()
    return {
      kind: 'table',
      name: statement.name.name,
      columns,
      watermark,
      primaryKey,
      comment: statement.comment,
      config,
      options,
      ddl,
    }
  }

  #checkNames(): void {
    const seen = new Set<string>()
    for (const { name } of this.#statement.columns) {
      if (seen.has(name.name)) throw this.#source.error(name.span, `the column ${name.name} is declared twice`)
      seen.add(name.name)
    }
  }

  #columns(primaryKey: readonly string[]): TableColumn[] {
    const definitions = this.#statement.columns
    const typed = definitions.map(d => (d.kind === 'computed' ? undefined : this.#baseColumn(d, primaryKey)))
    const base = typed.filter(c => c !== undefined)
    const scope = new Scope(base, this.#statement.name.name)
    return definitions.map((d, i): TableColumn => {
      if (d.kind !== 'computed') return typed[i]!
      this.#refuseComputed(d.expression)
      const bound = foldConstants(
        new ExpressionBinder(this.#source, scope, undefined, 'a computed column').bind(d.expression),
      )
      if (bound.type.name === 'NULL' || bound.type.name.startsWith('INTERVAL'))
        throw this.#source.error(d.expression.span, `a column cannot have the type ${bareTypeToString(bound.type)}`)
      return {
        kind: 'computed',
        name: d.name.name,
        type: bound.type,
        expression: bound,
        text: this.#source.slice(d.expression.span),
        comment: d.comment,
      }
    })
  }

  /** As in Flink, a computed column is over columns that are not computed. */
  #refuseComputed(expression: Expression): void {
    const computed = new Set(this.#statement.columns.filter(c => c.kind === 'computed').map(c => c.name.name))
    const walk = (e: Expression): void => {
      if (e.kind === 'columnRef' && e.parts.length === 1 && computed.has(e.parts[0]!.name)) {
        throw this.#source.error(
          e.span,
          `a computed column cannot use another one (${e.parts[0]!.name})`,
          'repeat its expression',
        )
      }
      for (const child of subexpressions(e)) walk(child)
    }
    walk(expression)
  }

  #baseColumn(
    d: Exclude<ColumnDefinition, { kind: 'computed' }>,
    primaryKey: readonly string[],
  ): Exclude<TableColumn, { kind: 'computed' }> {
    const type: SqlType = primaryKey.includes(d.name.name) ? withNullable(d.type.type, false) : d.type.type
    if (d.kind === 'physical') return { kind: 'physical', name: d.name.name, type, comment: d.comment }
    const key = d.key?.value ?? d.name.name
    const span = d.key?.span ?? d.name.span
    const metadata = this.#connector.metadata
    const natives = Object.hasOwn(metadata, key) ? metadata[key]! : []
    const native = natives.find(t => sameType(t, type)) ?? natives[0]
    if (native === undefined) {
      const keys = Object.keys(metadata)
      if (keys.length === 0)
        throw this.#source.notSupported(span, `metadata columns of the connector ${this.#connector.name}`)
      throw this.#source.error(
        span,
        `unknown metadata key '${key}' of the connector ${this.#connector.name}`,
        didYouMeanOrList(key, keys, 'keys'),
      )
    }
    const nativeType = withNullable(native, type.nullable)
    if (!isExplicitlyCastable(nativeType, type)) {
      throw this.#source.error(
        d.type.span,
        `the metadata '${key}' is ${bareTypeToString(nativeType)} and cannot be read as ${typeToString(type)}`,
      )
    }
    return { kind: 'metadata', name: d.name.name, type, key, nativeType, virtual: d.virtual, comment: d.comment }
  }

  #primaryKey(): string[] {
    const { columns, primaryKeys } = this.#statement
    const inline = columns.flatMap(c =>
      c.kind === 'physical' && c.primaryKey !== undefined ? [{ columns: [c.name], span: c.primaryKey }] : [],
    )
    const all = [...inline, ...primaryKeys]
    const key = all[0]
    if (key === undefined) return []
    if (all.length > 1)
      throw this.#source.error(
        all[1]!.span,
        'a table has at most one primary key',
        'list all its columns in one PRIMARY KEY (…) NOT ENFORCED',
      )
    if (this.#connector.name !== kLocalConnector) {
      throw this.#source.notSupported(
        key.span,
        `a PRIMARY KEY on a table of the connector ${this.#connector.name}`,
        'its rows are a log of inserts: leave the key out',
      )
    }
    return key.columns.map((name, i) => this.#keyColumn(name, key.columns.slice(0, i)))
  }

  #keyColumn(name: Identifier, before: readonly Identifier[]): string {
    const definition = this.#statement.columns.find(c => c.name.name === name.name)
    if (definition === undefined) {
      const names = this.#statement.columns.map(c => c.name.name)
      throw this.#source.error(
        name.span,
        `unknown column ${name.name} in PRIMARY KEY`,
        didYouMeanOrList(name.name, names, 'columns'),
      )
    }
    if (before.some(b => b.name === name.name))
      throw this.#source.error(name.span, `the column ${name.name} appears twice in PRIMARY KEY`)
    if (definition.kind !== 'physical')
      throw this.#source.error(name.span, `the ${definition.kind} column ${name.name} cannot be part of a primary key`)
    if (isNested(definition.type.type))
      throw this.#source.error(
        name.span,
        `a column of type ${bareTypeToString(definition.type.type)} cannot be part of a primary key`,
      )
    return name.name
  }

  #watermark(columns: readonly TableColumn[]): Watermark | undefined {
    const [definition, second] = this.#statement.watermarks
    if (definition === undefined) return undefined
    if (second !== undefined) throw this.#source.error(second.span, 'a table has at most one WATERMARK')
    const [name] = definition.column
    if (definition.column.length > 1)
      throw this.#source.notSupported(name!.span, 'a WATERMARK on a field of a ROW', 'declare a computed column for it')
    const index = columns.findIndex(c => c.name === name!.name)
    if (index < 0) {
      throw this.#source.error(
        name!.span,
        `unknown column ${name!.name} in WATERMARK`,
        didYouMeanOrList(
          name!.name,
          columns.map(c => c.name),
          'columns',
        ),
      )
    }
    const { type } = columns[index]!
    const allowed = 'TIMESTAMP(3) or TIMESTAMP_LTZ(3)'
    if (!isTimestamp(type) || !('precision' in type)) {
      const hint =
        type.name === 'VARCHAR'
          ? `add a computed column: ts AS TO_TIMESTAMP(${name!.name}, 'yyyy-MM-dd HH:mm:ss')`
          : undefined
      throw this.#source.error(
        name!.span,
        `the column ${name!.name} of a WATERMARK must be ${allowed}, not ${bareTypeToString(type)}`,
        hint,
      )
    }
    if (type.precision > 3) {
      throw this.#source.error(
        name!.span,
        `the column ${name!.name} of a WATERMARK must be ${allowed}, not ${bareTypeToString(type)}`,
        `declare it as ${type.name}(3)`,
      )
    }
    const scope = new Scope(columns, this.#statement.name.name)
    const bound = foldConstants(
      new ExpressionBinder(this.#source, scope, undefined, 'a watermark').bind(definition.expression),
    )
    if (!isTimestamp(bound.type)) {
      throw this.#source.error(
        definition.expression.span,
        `a watermark must be a timestamp, not ${bareTypeToString(bound.type)}`,
        `such as ${name!.name} - INTERVAL '5' SECOND`,
      )
    }
    return { column: index, expression: bound, text: this.#source.slice(definition.expression.span) }
  }

  #checkLocal(columns: readonly TableColumn[]): void {
    if (this.#connector.name !== kLocalConnector) return
    const hint = "only a source, a table WITH ('connector' = …), can have it"
    const odd = columns.findIndex(c => c.kind !== 'physical')
    if (odd >= 0)
      throw this.#source.notSupported(
        this.#statement.columns[odd]!.span,
        `a ${columns[odd]!.kind} column in a local table`,
        hint,
      )
    const watermark = this.#statement.watermarks[0]
    if (watermark !== undefined) throw this.#source.notSupported(watermark.span, 'a WATERMARK in a local table', hint)
  }
}
