// The catalog: tables, views and registered sources by name. It holds no files: the caller keeps `toJSON()` in the store and
// hands it back to `Catalog.load`. Names are case-sensitive, as in Flink; tables and views share one name space.

import { QueryBinder } from '../binder/query-binder.js'
import { bindCreateTable } from '../binder/table-binder.js'
import type { CreateTable, CreateView } from '../ast/statements.js'
import { call, column, literal } from '../logical/expressions.js'
import { type ParsedStatement, parseStatements } from '../parser/parse.js'
import type { PlanField } from '../plan/plan.js'
import { invalidArgument, outOfRange } from '../../errors.js'
import { SqlError } from '../sql-error.js'
import { didYouMean } from '../text/suggest.js'
import { fromPlanField } from '../types/arrow.js'
import { bareTypeToString, INTERVAL_DAY, isTimestamp, withNullable } from '../types/sql-type.js'
import type { Connector } from './connector.js'
import { ConnectorRegistry } from './connector-registry.js'
import { describeTable } from './describe.js'
import { tableDifferences } from './difference.js'
import type { CatalogObject, CatalogTable, CatalogView, TableColumn } from './table.js'

export const kCatalogVersion = 1

export interface CatalogJson {
  readonly version: typeof kCatalogVersion
  readonly objects: readonly CatalogEntry[]
}

/** One kept object: `ddl` is what it is rebuilt from, `definition` is for those who only read. */
export interface CatalogEntry {
  readonly kind: 'table' | 'view'
  readonly name: string
  readonly ddl: string
  readonly definition: Readonly<Record<string, unknown>>
}

/** A JavaScript iterable as a table. */
export interface RegisteredSource {
  readonly name: string
  /** Its Arrow schema, as fields of Arrow's integration JSON. */
  readonly fields: readonly PlanField[]
  readonly watermark?: { readonly column: string; readonly maxOutOfOrdernessMs: number } | undefined
  /** Does the iterable end? Default true. */
  readonly bounded?: boolean | undefined
}

/** What creating an object comes to. */
export interface Creation<T extends CatalogObject> {
  readonly object: T
  /** False: an identical object exists (or, with IF NOT EXISTS, one of that name). */
  readonly isNew: boolean
}

export class Catalog {
  readonly connectors = new ConnectorRegistry()
  readonly #objects = new Map<string, CatalogObject>()

  /** Rebuild a catalog, with connectors beyond the built-in ones that its tables use. Throw SqlError when a definition cannot be read any more, with the object's name. */
  static load(json: CatalogJson, connectors: readonly Connector[] = []): Catalog {
    if (json.version !== kCatalogVersion)
      throw outOfRange(`catalog version ${String(json.version)} is not ${kCatalogVersion}`)
    const catalog = new Catalog()
    for (const connector of connectors) catalog.registerConnector(connector)
    for (const entry of json.objects) {
      const [parsed] = parseStatements(entry.ddl, { context: `in the stored ${entry.kind} ${entry.name}` })
      if (parsed?.statement.kind === 'createTable')
        catalog.add(catalog.declareTable(parsed.statement, parsed, true).object)
      else if (parsed?.statement.kind === 'createView') catalog.add(catalog.#loadView(parsed.statement, parsed))
      else throw outOfRange(`the stored ${entry.kind} ${entry.name} is not a CREATE statement`)
    }
    return catalog
  }

  /** A view whose table is gone (or is a registered source) is kept: using it is the error. */
  #loadView(statement: CreateView, parsed: ParsedStatement): CatalogView {
    try {
      return this.declareView(statement, parsed).object
    } catch (error) {
      if (!(error instanceof SqlError)) throw error
      return {
        kind: 'view',
        name: statement.name.name,
        columns: [],
        temporary: false,
        comment: statement.comment,
        ddl: parsed.text,
      }
    }
  }

  /** The kept objects: no registered sources, no temporary views. */
  toJSON(): CatalogJson {
    const objects = [...this.#objects.values()].filter(o => o.ddl !== undefined && !(o.kind === 'view' && o.temporary))
    return {
      version: kCatalogVersion,
      objects: objects.map(o => ({ kind: o.kind, name: o.name, ddl: o.ddl!, definition: describeTable(o) })),
    }
  }

  registerConnector(connector: Connector): void {
    this.connectors.register(connector)
  }

  find(name: string): CatalogObject | undefined {
    return this.#objects.get(name)
  }

  table(name: string): CatalogTable | undefined {
    const object = this.#objects.get(name)
    return object?.kind === 'table' ? object : undefined
  }

  names(): string[] {
    return [...this.#objects.keys()].sort()
  }

  tables(): CatalogTable[] {
    return this.names().flatMap(n => this.table(n) ?? [])
  }

  views(): CatalogView[] {
    return this.names().flatMap(n => {
      const object = this.#objects.get(n)!
      return object.kind === 'view' ? [object] : []
    })
  }

  /** Put an object in, replacing one of its name. */
  add(object: CatalogObject): void {
    this.#objects.set(object.name, object)
  }

  remove(name: string): void {
    this.#objects.delete(name)
  }

  /**
   * Bind CREATE TABLE without changing the catalog. Throw when a different object has the name. A stored one was checked when
   * it was declared: what a newer version (or a newer librdkafka) refuses must not keep the catalog from opening.
   */
  declareTable(statement: CreateTable, parsed: ParsedStatement, stored = false): Creation<CatalogTable> {
    const table = bindCreateTable(statement, parsed.text, parsed.source, this.connectors, stored)
    const existing = this.#objects.get(table.name)
    if (existing === undefined) return { object: table, isNew: true }
    if (existing.kind === 'view')
      throw parsed.source.error(
        statement.name.span,
        `${table.name} exists and is a view`,
        `DROP VIEW ${table.name} first`,
      )
    if (statement.ifNotExists) return { object: existing, isNew: false }
    const differences = tableDifferences(existing, table)
    if (differences.length === 0) return { object: existing, isNew: false }
    throw parsed.source.error(
      statement.name.span,
      `the table ${table.name} exists and is different: ${differences.join('; ')}`,
      existing.ddl === undefined
        ? 'it is a registered source'
        : `keep the definition, use another name, or DROP TABLE ${table.name} first`,
    )
  }

  /** Bind CREATE VIEW without changing the catalog. */
  declareView(statement: CreateView, parsed: ParsedStatement): Creation<CatalogView> {
    const { name, temporary, comment } = statement
    const { source } = parsed
    const existing = this.#objects.get(name.name)
    if (existing?.kind === 'table')
      throw source.error(name.span, `${name.name} exists and is a table`, 'use another name')
    if (existing !== undefined && statement.ifNotExists) return { object: existing, isNew: false }
    const bound = new QueryBinder(this, source, undefined).bindView(statement)
    const columns = bound.scope.columns.map(c => ({ name: c.name, type: c.type }))
    const twice = columns.find((c, i) => columns.findIndex(d => d.name === c.name) < i)
    if (twice !== undefined)
      throw source.error(name.span, `two columns of the view are called ${twice.name}`, 'give them different aliases')
    const view: CatalogView = { kind: 'view', name: name.name, columns, temporary, comment, ddl: parsed.text }
    if (existing === undefined) return { object: view, isNew: true }
    if (meaning(existing.ddl) === meaning(view.ddl)) return { object: existing, isNew: false }
    throw source.error(
      name.span,
      `the view ${name.name} exists and is different: its query has changed`,
      `DROP VIEW ${name.name} first`,
    )
  }

  /** Make a JavaScript iterable a table. Throw TypeError for what cannot be one. */
  registerSource(source: RegisteredSource): CatalogTable {
    const existing = this.#objects.get(source.name)
    if (existing !== undefined && (existing.kind === 'view' || existing.ddl !== undefined)) {
      throw invalidArgument(`cannot register the source ${source.name}: a ${existing.kind} has this name`)
    }
    if (source.fields.length === 0) throw invalidArgument(`the source ${source.name} has no columns`)
    const columns = source.fields.map((f): TableColumn => {
      const type = fromPlanField(f)
      if (type === undefined)
        throw invalidArgument(
          `the column ${f.name} of the source ${source.name} has a type that SQL does not know: ${JSON.stringify(f.type)}`,
        )
      return { kind: 'physical', name: f.name, type }
    })
    const twice = columns.find((c, i) => columns.findIndex(d => d.name === c.name) < i)
    if (twice !== undefined) throw invalidArgument(`the source ${source.name} has two columns called ${twice.name}`)
    const table: CatalogTable = {
      ...{
        kind: 'table',
        name: source.name,
        columns,
        watermark: sourceWatermark(source, columns),
        primaryKey: [],
        comment: undefined,
      },
      config: { connector: 'js', options: {}, format: null, bounded: source.bounded ?? true, idleTimeoutMs: null },
      options: undefined,
      ddl: undefined,
    }
    this.add(table)
    return table
  }
}

function sourceWatermark(source: RegisteredSource, columns: readonly TableColumn[]): CatalogTable['watermark'] {
  const { watermark } = source
  if (watermark === undefined) return undefined
  const index = columns.findIndex(c => c.name === watermark.column)
  const names = columns.map(c => c.name)
  if (index < 0)
    throw invalidArgument(
      `unknown watermark column ${watermark.column} of the source ${source.name}; ${didYouMean(watermark.column, names) ?? `columns: ${names.join(', ')}`}`,
    )
  const { type } = columns[index]!
  if (!isTimestamp(type) || !('precision' in type) || type.precision > 3)
    throw invalidArgument(
      `the watermark column ${watermark.column} of the source ${source.name} must be a timestamp in milliseconds, not ${bareTypeToString(type)}`,
    )
  if (!Number.isSafeInteger(watermark.maxOutOfOrdernessMs) || watermark.maxOutOfOrdernessMs < 0)
    throw outOfRange(
      `maxOutOfOrdernessMs of the source ${source.name} must be a whole number of milliseconds, 0 or more, not ${String(watermark.maxOutOfOrdernessMs)}`,
    )
  const delay = literal(BigInt(watermark.maxOutOfOrdernessMs), withNullable(INTERVAL_DAY, false))
  return {
    column: index,
    expression: call('minus', [column(index, type), delay], type),
    text: `${watermark.column} - ${watermark.maxOutOfOrdernessMs} ms`,
  }
}

/** What a CREATE VIEW says, without places, quotes and layout. */
function meaning(ddl: string): string {
  const ignored = (key: string): boolean => /^(span|.*Span|quoted|ifNotExists|comment)$/.test(key)
  return JSON.stringify(parseStatements(ddl)[0]?.statement, (key, value: unknown) => (ignored(key) ? undefined : value))
}
