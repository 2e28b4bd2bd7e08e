// One statement to what the caller has to do. Planning changes nothing: DDL takes effect with `apply`, after the caller has
// made it so in the store.

import type { Insert, Statement, StatementSet } from './ast/statements.js'
import type { Query, Select, Values } from './ast/queries.js'
import { ExpressionBinder } from './binder/expression-binder.js'
import { InsertBinder } from './binder/insert-binder.js'
import type { Parameters } from './binder/parameters.js'
import { QueryBinder } from './binder/query-binder.js'
import { Scope } from './binder/scope.js'
import type { Catalog } from './catalog/catalog.js'
import { type DescribedColumn, describeColumns } from './catalog/describe.js'
import { type CatalogTable, type CatalogView, isLocal, storedFields } from './catalog/table.js'
import type { BoundLiteral } from './logical/expressions.js'
import type { Sink } from './logical/nodes.js'
import type { ParsedStatement } from './parser/parse.js'
import { explainPlan } from './plan/explain.js'
import type { JobPlan, PlanField, PlanLiteralValue } from './plan/plan.js'
import { buildPlan, uniqueNames } from './plan/plan-builder.js'
import { toPlanLiteral } from './plan/plan-expression.js'
import { foldConstants } from './rules/constant-folding.js'
import { checkSetting, jobSettings, type JobSettings, kSettings, type Settings, unknownSetting } from './settings.js'
import type { SourceText } from './text/source-text.js'
import { didYouMeanOrList } from './text/suggest.js'
import { toPlanField } from './types/arrow.js'
import { castAt } from './functions/function-call.js'
import { commonType } from './types/coercion.js'
import { NULL_TYPE, STRING, type SqlType, typeToString } from './types/sql-type.js'

export interface PlanOptions {
  /** Values of `?` (an array over the whole text) or `:name`. */
  params?: Parameters | undefined
  /** What SET has set in this session. */
  settings?: Settings | undefined
}

/** Rows of constants; values are those of the plan's literals. Their names are unique. */
export interface ConstantRows {
  readonly fields: readonly PlanField[]
  readonly rows: readonly (readonly PlanLiteralValue[])[]
}

export type PlannedStatement =
  /** `isNew` false: an identical table exists, nothing is to be done. `fields`: of a local table, as stored; else undefined. */
  | {
      readonly kind: 'createTable'
      readonly table: CatalogTable
      readonly isNew: boolean
      readonly fields: readonly PlanField[] | undefined
    }
  | { readonly kind: 'createView'; readonly view: CatalogView; readonly isNew: boolean }
  /** `table` undefined: IF EXISTS, and there is none. */
  | { readonly kind: 'dropTable'; readonly name: string; readonly table: CatalogTable | undefined }
  | { readonly kind: 'dropView'; readonly name: string; readonly view: CatalogView | undefined }
  | {
      readonly kind: 'insert' | 'statementSet'
      readonly plan: JobPlan
      readonly targets: readonly string[]
      readonly bounded: boolean
      readonly settings: JobSettings
    }
  /** Rows of constants into a local table: no job is needed. */
  | ({ readonly kind: 'insertValues'; readonly table: CatalogTable } & ConstantRows)
  | {
      readonly kind: 'select'
      readonly plan: JobPlan
      readonly fields: readonly PlanField[]
      readonly bounded: boolean
      readonly settings: JobSettings
    }
  /** A query of constants: SELECT without FROM, VALUES. */
  | ({ readonly kind: 'values' } & ConstantRows)
  | { readonly kind: 'explain'; readonly text: string; readonly plan: JobPlan | undefined }
  | { readonly kind: 'showTables' | 'showViews'; readonly names: readonly string[] }
  | { readonly kind: 'showJobs' }
  | { readonly kind: 'showCreate'; readonly name: string; readonly ddl: string }
  | { readonly kind: 'describe'; readonly name: string; readonly columns: readonly DescribedColumn[] }
  | { readonly kind: 'set'; readonly key: string; readonly value: string }
  | {
      readonly kind: 'showSettings'
      readonly settings: readonly { key: string; value: string | null; description: string }[]
    }
  /** `key` undefined: all. */
  | { readonly kind: 'reset'; readonly key: string | undefined }

export class Planner {
  readonly catalog: Catalog

  constructor(catalog: Catalog) {
    this.catalog = catalog
  }

  /** Throw SqlError for what is wrong or not supported. */
  plan(parsed: ParsedStatement, options: PlanOptions = {}): PlannedStatement {
    const { statement } = parsed
    return this.#plan(statement, parsed, options)
  }

  /** Take DDL into the catalog; other statements change nothing. */
  apply(planned: PlannedStatement): void {
    if (planned.kind === 'createTable') this.catalog.add(planned.table)
    else if (planned.kind === 'createView') this.catalog.add(planned.view)
    else if (planned.kind === 'dropTable' || planned.kind === 'dropView') this.catalog.remove(planned.name)
  }

  #plan(statement: Statement, parsed: ParsedStatement, options: PlanOptions): PlannedStatement {
    const { source } = parsed
    switch (statement.kind) {
      case 'createTable': {
        refuseParameters(parsed)
        const { object: table, isNew } = this.catalog.declareTable(statement, parsed)
        return { kind: 'createTable', table, isNew, fields: isLocal(table) ? storedFields(table) : undefined }
      }
      case 'createView': {
        refuseParameters(parsed)
        const { object: view, isNew } = this.catalog.declareView(statement, parsed)
        return { kind: 'createView', view, isNew }
      }
      case 'dropTable':
      case 'dropView':
        return this.#drop(statement, source)
      case 'insert':
        return this.#insert(statement, source, options)
      case 'statementSet':
        return this.#statementSet(statement, source, options)
      case 'select':
        return this.#select(statement.query, source, options)
      case 'explain': {
        const inner = this.#plan(statement.statement, parsed, options)
        const plan = 'plan' in inner ? inner.plan : undefined
        return { kind: 'explain', text: plan === undefined ? 'constant rows: no job' : explainPlan(plan), plan }
      }
      case 'showTables':
        return { kind: 'showTables', names: this.catalog.names() }
      case 'showViews':
        return { kind: 'showViews', names: this.catalog.views().map(v => v.name) }
      case 'showJobs':
        return { kind: 'showJobs' }
      case 'showCreate':
      case 'describe': {
        const object = this.catalog.find(statement.name.name)
        if (object === undefined)
          throw source.error(
            statement.name.span,
            `unknown table ${statement.name.name}`,
            didYouMeanOrList(statement.name.name, this.catalog.names(), 'tables'),
          )
        if (statement.kind === 'describe')
          return { kind: 'describe', name: object.name, columns: describeColumns(object) }
        if ((statement.what === 'VIEW') !== (object.kind === 'view'))
          throw source.error(
            statement.name.span,
            `${object.name} is a ${object.kind}`,
            `write SHOW CREATE ${object.kind.toUpperCase()} ${object.name}`,
          )
        if (object.ddl === undefined)
          throw source.error(
            statement.name.span,
            `${object.name} is a registered source: it has no CREATE TABLE statement`,
          )
        return { kind: 'showCreate', name: object.name, ddl: object.ddl }
      }
      case 'set':
        checkSetting(source, statement.key, statement.keySpan, statement.value, statement.valueSpan)
        return { kind: 'set', key: statement.key, value: statement.value }
      case 'showSettings':
        return {
          kind: 'showSettings',
          settings: Object.entries(kSettings).map(([key, s]) => ({
            key,
            value: options.settings?.[key] ?? null,
            description: s.description,
          })),
        }
      case 'reset':
        if (statement.key !== undefined && !Object.hasOwn(kSettings, statement.key))
          throw unknownSetting(source, statement.key, statement.keySpan!)
        return { kind: 'reset', key: statement.key }
    }
  }

  #drop(statement: Statement & { kind: 'dropTable' | 'dropView' }, source: SourceText): PlannedStatement {
    const { name, span } = statement.name
    const object = this.catalog.find(name)
    const wanted = statement.kind === 'dropTable' ? 'table' : 'view'
    if (object !== undefined && object.kind !== wanted)
      throw source.error(
        span,
        `${name} is a ${object.kind}, not a ${wanted}`,
        `write DROP ${object.kind.toUpperCase()} ${name}`,
      )
    if (object === undefined && !statement.ifExists) {
      const names = wanted === 'table' ? this.catalog.tables() : this.catalog.views()
      throw source.error(
        span,
        `unknown ${wanted} ${name}`,
        didYouMeanOrList(
          name,
          names.map(o => o.name),
          `${wanted}s`,
        ),
      )
    }
    if (wanted === 'table') return { kind: 'dropTable', name, table: object as CatalogTable | undefined }
    return { kind: 'dropView', name, view: object as CatalogView | undefined }
  }

  #insert(insert: Insert, source: SourceText, options: PlanOptions): PlannedStatement {
    const binder = new InsertBinder(this.catalog, source, options.params)
    const values = asValues(insert.query)
    if (values !== undefined) {
      const { table, rows } = binder.bindValues(insert, values)
      return { kind: 'insertValues', table, fields: storedFields(table), rows: toRows(rows) }
    }
    return this.#job('insert', [binder.bind(insert)], options)
  }

  #statementSet(set: StatementSet, source: SourceText, options: PlanOptions): PlannedStatement {
    const binder = new InsertBinder(this.catalog, source, options.params)
    const sinks = set.inserts.map(insert => {
      if (asValues(insert.query) !== undefined)
        throw source.notSupported(
          insert.span,
          'INSERT … VALUES in a statement set',
          'write it as a statement of its own',
        )
      return binder.bind(insert)
    })
    return this.#job('statementSet', sinks, options)
  }

  #job(kind: 'insert' | 'statementSet', sinks: readonly Sink[], options: PlanOptions): PlannedStatement {
    const settings = jobSettings(options.settings ?? {})
    const targets = [...new Set(sinks.map(s => s.table!.name))]
    const plan = buildPlan(settings.name ?? targets.join('+'), sinks, settings.plan)
    return { kind, plan, targets, bounded: isBounded(plan), settings }
  }

  #select(query: Query, source: SourceText, options: PlanOptions): PlannedStatement {
    const constants = this.#constants(query, source, options)
    if (constants !== undefined) return { kind: 'values', ...constants }
    const bound = new QueryBinder(this.catalog, source, options.params).bind(query)
    const { updating } = bound
    if (updating !== undefined && updating.key === undefined) {
      throw source.notSupported(
        query.span,
        `an updating query that does not select its key (${updating.keyNames.join(', ')})`,
        `add ${updating.keyNames.join(', ')} to the SELECT list`,
      )
    }
    const sink: Sink = {
      kind: 'sink',
      table: undefined,
      input: bound.node,
      primaryKey: [],
      mode: updating === undefined ? 'append' : 'upsert',
    }
    const settings = jobSettings(options.settings ?? {})
    const plan = buildPlan('collect', [sink], settings.plan)
    const last = plan.nodes.at(-1)!
    const keyed = { ...last, primaryKey: (updating?.key ?? []).map(k => last.fields[k]!.name) } as typeof last
    const nodes = [...plan.nodes.slice(0, -1), keyed]
    return { kind: 'select', plan: { ...plan, nodes }, fields: last.fields, bounded: isBounded(plan), settings }
  }

  /** The rows of SELECT without FROM and of VALUES; undefined for other queries. */
  #constants(query: Query, source: SourceText, options: PlanOptions): ConstantRows | undefined {
    if (query.ctes.length > 0 || query.orderBy !== undefined || query.limit !== undefined) return undefined
    const { body } = query
    if (body.kind === 'query') return this.#constants(body, source, options)
    const select = body.kind === 'select' && isConstantSelect(body) ? body : undefined
    if (select === undefined && body.kind !== 'values') return undefined
    const binder = new ExpressionBinder(source, new Scope([], undefined), options.params, 'a query without FROM')
    const rows = select === undefined ? (body as Values).rows.map(r => r.values) : [select.items.map(i => i.expression)]
    const bound = rows.map(row => row.map(e => ({ e: foldConstants(binder.bind(e)), span: e.span })))
    const first = rows[0]!
    const types = first.map((_, c) =>
      bound.reduce<SqlType>((type, row, r) => {
        if (row.length !== first.length)
          throw source.error(
            (body as Values).rows[r]!.span,
            `this row has ${row.length} values, the first has ${first.length}`,
          )
        const common = commonType(type, row[c]!.e.type)
        if (common === undefined)
          throw source.error(
            row[c]!.span,
            `${typeToString(row[c]!.e.type)} does not go together with ${typeToString(type)}`,
          )
        return r === 0 ? row[c]!.e.type : common
      }, NULL_TYPE),
    )
    const literals = bound.map(row =>
      row.map(({ e, span }, c): BoundLiteral => {
        const type = types[c]!.name === 'NULL' ? STRING : types[c]!
        const value = foldConstants(castAt(source, span, e, type))
        if (value.kind === 'literal') return { ...value, type: { ...type, nullable: value.type.nullable } }
        throw source.notSupported(span, 'an expression that is not a constant in a query without FROM')
      }),
    )
    const name = (i: number): string => {
      const item = select?.items[i]
      return item?.alias?.name ?? `EXPR$${i}`
    }
    return { fields: uniqueNames(types.map((t, i) => toPlanField(name(i), t))), rows: toRows(literals) }
  }
}

/** What is kept has no caller who could give values. */
function refuseParameters({ source, parameters }: ParsedStatement): void {
  if (parameters[0] !== undefined)
    throw source.error(parameters[0].span, 'a definition that is kept cannot have parameters', 'write the value itself')
}

function isConstantSelect(select: Select): boolean {
  return (
    select.from === undefined &&
    select.where === undefined &&
    select.groupBy === undefined &&
    select.having === undefined &&
    !select.distinct
  )
}

function asValues(query: Query): Values | undefined {
  if (query.ctes.length > 0 || query.orderBy !== undefined || query.limit !== undefined) return undefined
  if (query.body.kind === 'query') return asValues(query.body)
  return query.body.kind === 'values' ? query.body : undefined
}

function toRows(rows: readonly (readonly BoundLiteral[])[]): PlanLiteralValue[][] {
  return rows.map(row => row.map(l => toPlanLiteral(l.value, l.type)))
}

/** Do all sources of the plan end? */
export function isBounded(plan: JobPlan): boolean {
  return plan.nodes.every(n => n.type !== 'source' || n.bounded)
}
