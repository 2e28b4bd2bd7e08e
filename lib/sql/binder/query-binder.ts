// Queries to logical plans: names are resolved, every expression has its type, and whether the result is updated or only grows
// is known.

import type { Expression, Identifier } from '../ast/expressions.js'
import type { Cte, FromItem, Query, QueryBody, Select, Values } from '../ast/queries.js'
import type { Catalog } from '../catalog/catalog.js'
import { type CatalogView, queryColumns } from '../catalog/table.js'
import { type BoundExpression, column } from '../logical/expressions.js'
import type { Aggregate, LogicalNode } from '../logical/nodes.js'
import { parseStatements } from '../parser/parse.js'
import { foldConstants } from '../rules/constant-folding.js'
import type { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { didYouMeanOrList } from '../text/suggest.js'
import { bareTypeToString, isNested } from '../types/sql-type.js'
import { ExpressionBinder } from './expression-binder.js'
import { containsAggregate, GroupedBinder } from './grouping.js'
import type { Parameters } from './parameters.js'
import { type Relation, relation } from './relation.js'
import { type Column, Scope } from './scope.js'
import { bindWindow } from './window-binder.js'

const kMaxViewDepth = 50

export class QueryBinder {
  readonly #catalog: Catalog
  readonly #source: SourceText
  readonly #params: Parameters | undefined
  readonly #viewDepth: number
  #ctes: ReadonlyMap<string, { cte: Cte; visible: ReadonlyMap<string, unknown> }> = new Map()

  constructor(catalog: Catalog, source: SourceText, params: Parameters | undefined, viewDepth = 0) {
    this.#catalog = catalog
    this.#source = source
    this.#params = params
    this.#viewDepth = viewDepth
  }

  bind(query: Query): Relation {
    if (query.orderBy !== undefined)
      throw this.#source.notSupported(query.orderBy, 'ORDER BY', 'sort the rows where they are read')
    if (query.limit !== undefined)
      throw this.#source.notSupported(query.limit, 'LIMIT, OFFSET and FETCH', 'stop reading after as many rows')
    const outer = this.#ctes
    for (const cte of query.ctes) {
      const before = this.#ctes
      if (query.ctes.some(c => c !== cte && c.name.name === cte.name.name && c.name.span.start < cte.name.span.start)) {
        throw this.#source.error(cte.name.span, `the common table expression ${cte.name.name} is defined twice`)
      }
      this.#ctes = new Map([...before, [cte.name.name, { cte, visible: before }]])
    }
    try {
      return this.#body(query.body)
    } finally {
      this.#ctes = outer
    }
  }

  #body(body: QueryBody): Relation {
    switch (body.kind) {
      case 'query':
        return this.bind(body)
      case 'select':
        return this.#select(body)
      case 'values':
        throw this.#values(body)
      case 'setOperation':
        throw this.#source.notSupported(body.operatorSpan, `${body.operator}${body.all ? ' ALL' : ''}`)
    }
  }

  #values(values: Values): Error {
    return this.#source.notSupported(
      values.span,
      'VALUES here',
      'VALUES is read in INSERT INTO … VALUES and as a query of its own',
    )
  }

  #select(select: Select): Relation {
    const unsupported: [Span | undefined, string][] = [
      [select.groupingSets, 'GROUPING SETS, ROLLUP and CUBE'],
      [select.windowClause, 'WINDOW and QUALIFY clauses'],
    ]
    for (const [span, what] of unsupported) if (span !== undefined) throw this.#source.notSupported(span, what)
    if (select.from === undefined)
      throw this.#source.notSupported(select.selectSpan, 'SELECT without FROM in this place')
    let input = this.#from(select.from)
    if (select.where !== undefined) input = this.#filter(input, select.where, 'WHERE')
    const grouped =
      select.groupBy !== undefined ||
      select.having !== undefined ||
      select.items.some(i => containsAggregate(i.expression))
    const projected = grouped ? this.#grouped(select, input) : this.#plain(select, input)
    return select.distinct ? this.#distinct(select, projected) : projected
  }

  #filter(input: Relation, condition: Expression, place: string): Relation {
    if (input.updating !== undefined) {
      throw this.#source.notSupported(
        condition.span,
        `${place} over an updating query`,
        'a row that stops matching would have to be taken back: filter where the rows are read',
      )
    }
    const predicate = foldConstants(
      new ExpressionBinder(this.#source, input.scope, this.#params, place).bindCondition(condition),
    )
    if (predicate.kind === 'literal' && predicate.value === true) return input
    return relation(
      { kind: 'filter', input: input.node, predicate, columns: input.node.columns },
      input.scope.qualifier,
    )
  }

  #plain(select: Select, input: Relation): Relation {
    const binder = new ExpressionBinder(this.#source, input.scope, this.#params, 'SELECT')
    const { expressions, columns } = this.#items(
      select,
      input.scope,
      e => binder.bind(e),
      i => column(i, input.scope.columns[i]!.type),
    )
    const node: LogicalNode = { kind: 'project', input: input.node, expressions, columns }
    return relation(node, undefined, this.#keyThrough(input, expressions))
  }

  /** An updating input's key, where its columns are still there. */
  #keyThrough(input: Relation, expressions: readonly BoundExpression[]): Relation['updating'] {
    if (input.updating === undefined) return undefined
    const key = input.updating.key?.map(k => expressions.findIndex(e => e.kind === 'column' && e.index === k))
    return { key: key === undefined || key.includes(-1) ? undefined : key, keyNames: input.updating.keyNames }
  }

  #items(
    select: Select,
    scope: Scope,
    bind: (e: Expression) => BoundExpression,
    bindStar: (i: number, span: Span) => BoundExpression,
  ): { expressions: BoundExpression[]; columns: Column[] } {
    const expressions: BoundExpression[] = []
    const columns: Column[] = []
    const add = (bound: BoundExpression, name: string, span: Span): void => {
      if (bound.type.name.startsWith('INTERVAL'))
        throw this.#source.notSupported(
          span,
          `a result of type ${bareTypeToString(bound.type)}`,
          'add it to a timestamp or compare it',
        )
      expressions.push(bound)
      columns.push({ name, type: bound.type, role: undefined })
    }
    for (const item of select.items) {
      if (item.expression.kind === 'star') {
        const [qualifier] = item.expression.qualifier
        if (qualifier !== undefined && qualifier.name !== scope.qualifier) {
          throw this.#source.error(
            qualifier.span,
            `unknown table or alias ${qualifier.name}`,
            didYouMeanOrList(qualifier.name, scope.qualifier === undefined ? [] : [scope.qualifier], 'in scope'),
          )
        }
        if (item.alias !== undefined) throw this.#source.error(item.alias.span, '* cannot have an alias')
        const { span } = item.expression
        for (const [i, c] of scope.columns.entries()) add(bindStar(i, span), c.name, span)
      } else {
        add(
          foldConstants(bind(item.expression)),
          item.alias?.name ?? this.#defaultName(item.expression, expressions.length),
          item.expression.span,
        )
      }
    }
    return { expressions, columns: withRoles(expressions, columns, scope.columns) }
  }

  #defaultName(e: Expression, position: number): string {
    return e.kind === 'columnRef' ? e.parts.at(-1)!.name : `EXPR$${position}`
  }

  #grouped(select: Select, input: Relation): Relation {
    if (input.updating !== undefined)
      throw this.#source.notSupported(select.groupBySpan ?? select.selectSpan, 'an aggregate over an updating query')
    // A constant does not tell groups apart: it is no key.
    const grouping = (select.groupBy ?? [])
      .map(e => ({ key: this.#groupKey(e, select, input.scope), name: this.#source.slice(e.span) }))
      .filter(g => g.key.kind !== 'literal')
    const keys = grouping.map(g => g.key)
    const keyNames = grouping.map(g => g.name)
    const binder = new GroupedBinder(this.#source, input.scope, this.#params, keys)
    const windowed = this.#isWindowed(keys, input, select.groupBySpan ?? select.selectSpan)
    const star = (i: number, span: Span): BoundExpression => binder.bindIndex(i, span)
    const items = this.#items(select, input.scope, e => binder.bind(e), star)
    const having = select.having === undefined ? undefined : foldConstants(binder.bindCondition(select.having))
    const node = this.#aggregateNode(input, keys, binder, windowed)
    let result: LogicalNode = node
    if (having !== undefined && select.having !== undefined) {
      if (!windowed)
        throw this.#source.notSupported(
          select.having.span,
          'HAVING on a GROUP BY without a window',
          'a row that stops matching would have to be taken back: filter where the rows are read',
        )
      result = { kind: 'filter', input: node, predicate: having, columns: node.columns }
    }
    const columns = items.columns.map(c => ({ name: c.name, type: c.type }))
    result = { kind: 'project', input: result, expressions: items.expressions, columns }
    if (windowed) return relation(result, undefined)
    const all = relation(node, undefined, { key: keys.map((_, i) => i), keyNames })
    return relation(result, undefined, this.#keyThrough(all, items.expressions))
  }

  #aggregateNode(
    input: Relation,
    keys: readonly BoundExpression[],
    binder: GroupedBinder | undefined,
    windowed: boolean,
  ): Aggregate {
    const aggregates = binder?.aggregates ?? []
    const columns: Column[] = [
      ...keys.map((k, i) => ({
        name: k.kind === 'column' ? input.scope.columns[k.index]!.name : `key${i}`,
        type: k.type,
      })),
      ...aggregates.map((a, i) => ({ name: `$agg${i}`, type: a.type })),
    ]
    return { kind: 'aggregate', input: input.node, keys, aggregates, windowed, columns }
  }

  #groupKey(e: Expression, select: Select, scope: Scope): BoundExpression {
    if (e.kind === 'number')
      throw this.#source.notSupported(
        e.span,
        'a position in GROUP BY',
        'as in Flink, GROUP BY takes expressions: repeat the expression of the SELECT list',
      )
    if (e.kind === 'columnRef' && e.parts.length === 1 && !scope.columns.some(c => c.name === e.parts[0]!.name)) {
      const alias = select.items.find(i => i.alias?.name === e.parts[0]!.name)
      if (alias !== undefined) {
        throw this.#source.error(
          e.span,
          `unknown column ${e.parts[0]!.name}`,
          `aliases of the SELECT list are not visible in GROUP BY: write GROUP BY ${this.#source.slice(alias.expression.span)}`,
        )
      }
    }
    if (containsAggregate(e)) throw this.#source.error(e.span, 'an aggregate is not allowed in GROUP BY')
    const key = foldConstants(new ExpressionBinder(this.#source, scope, this.#params, 'GROUP BY').bind(e))
    if (isNested(key.type)) throw this.#source.notSupported(e.span, `grouping by ${bareTypeToString(key.type)}`)
    return key
  }

  /** Both bounds of the window among the keys: a windowed aggregate. A window that is grouped otherwise cannot be planned. */
  #isWindowed(keys: readonly BoundExpression[], input: Relation, span: Span): boolean {
    const roles = new Set(keys.map(k => (k.kind === 'column' ? input.scope.columns[k.index]!.role : undefined)))
    const [start, end] = [roles.has('windowStart'), roles.has('windowEnd')]
    if (start && end) return true
    if (!input.scope.columns.some(c => c.role === 'windowStart' || c.role === 'windowEnd')) return false
    const missing = start ? 'window_end' : end ? 'window_start' : 'window_start, window_end'
    throw this.#source.notSupported(
      span,
      `GROUP BY over a window without ${missing}`,
      `Flink would never close such groups: add ${missing} to GROUP BY`,
    )
  }

  /** SELECT DISTINCT is GROUP BY all its columns. */
  #distinct(select: Select, input: Relation): Relation {
    if (input.updating !== undefined)
      throw this.#source.notSupported(select.selectSpan, 'DISTINCT over an updating query')
    const nested = input.scope.columns.find(c => isNested(c.type))
    if (nested !== undefined)
      throw this.#source.notSupported(
        select.selectSpan,
        `DISTINCT on a column of type ${bareTypeToString(nested.type)}`,
      )
    const keys = input.scope.columns.map((c, i) => column(i, c.type))
    const windowed = this.#isWindowed(keys, input, select.selectSpan)
    const node = this.#aggregateNode(input, keys, undefined, windowed)
    return relation(
      node,
      undefined,
      windowed ? undefined : { key: keys.map((_, i) => i), keyNames: node.columns.map(c => c.name) },
    )
  }

  #from(item: FromItem): Relation {
    switch (item.kind) {
      case 'table':
        if (item.systemTime !== undefined) throw this.#source.notSupported(item.systemTime, 'FOR SYSTEM_TIME AS OF')
        if (item.options !== undefined) throw this.#source.notSupported(item.options, 'TABLESAMPLE and MATCH_RECOGNIZE')
        return this.#aliased(this.#table(item.name), item.alias, item.name.at(-1)!.name)
      case 'derived':
        if (item.query.body.kind === 'values') throw this.#values(item.query.body)
        return this.#aliased(this.bind(item.query), item.alias, undefined)
      case 'windowTable':
        return this.#aliased(
          bindWindow(item, this.#source, this.#params, i => this.#from(i)),
          item.alias,
          undefined,
        )
      case 'join':
        throw this.#source.notSupported(item.joinSpan, item.what)
      case 'unsupportedTable':
        throw this.#source.notSupported(item.span, item.what)
    }
  }

  #aliased(
    input: Relation,
    alias: { name: Identifier; columns: readonly Identifier[] } | undefined,
    name: string | undefined,
  ): Relation {
    const renamed = this.#renamed(input, alias?.columns ?? [])
    return { ...renamed, scope: new Scope(renamed.scope.columns, alias?.name.name ?? name) }
  }

  /** `AS t (a, b)`: other names for the columns. */
  #renamed(input: Relation, names: readonly Identifier[]): Relation {
    if (names.length === 0) return input
    if (names.length !== input.scope.columns.length) {
      throw this.#source.error(
        names[0]!.span,
        `${names.length} column names for ${input.scope.columns.length} columns (${input.scope.columns.map(c => c.name).join(', ')})`,
      )
    }
    const columns = input.scope.columns.map((c, i) => ({ ...c, name: names[i]!.name }))
    const expressions = columns.map((c, i) => column(i, c.type))
    return {
      ...input,
      node: { kind: 'project', input: input.node, expressions, columns },
      scope: new Scope(columns, undefined),
    }
  }

  #table(parts: readonly Identifier[]): Relation {
    const name = parts[0]!
    if (parts.length > 1) throw this.#source.notSupported(name.span, 'catalog and database names', 'use the plain name')
    const cte = this.#ctes.get(name.name)
    if (cte !== undefined) return this.#cte(cte)
    const object = this.#catalog.find(name.name)
    if (object === undefined) {
      const names = [...this.#ctes.keys(), ...this.#catalog.names()]
      throw this.#source.error(name.span, `unknown table ${name.name}`, didYouMeanOrList(name.name, names, 'tables'))
    }
    if (object.kind === 'view') return this.#view(object, name)
    return relation({ kind: 'scan', table: object, columns: queryColumns(object) }, undefined)
  }

  #cte(entry: { cte: Cte; visible: ReadonlyMap<string, unknown> }): Relation {
    const outer = this.#ctes
    this.#ctes = entry.visible as typeof outer
    try {
      return this.#renamed(this.bind(entry.cte.query), entry.cte.columns)
    } finally {
      this.#ctes = outer
    }
  }

  #view(view: CatalogView, name: Identifier): Relation {
    if (this.#viewDepth >= kMaxViewDepth)
      throw this.#source.error(name.span, `views nested more than ${kMaxViewDepth} deep: does ${view.name} use itself?`)
    const [parsed] = parseStatements(view.ddl, { context: `in the view ${view.name}` })
    if (parsed?.statement.kind !== 'createView')
      throw this.#source.error(name.span, `the definition of the view ${view.name} cannot be read`)
    const binder = new QueryBinder(this.#catalog, parsed.source, undefined, this.#viewDepth + 1)
    return binder.bindView(parsed.statement)
  }

  /** A view's query with the names of its columns. */
  bindView(view: { query: Query; columns: readonly Identifier[] }): Relation {
    return this.#renamed(this.bind(view.query), view.columns)
  }
}

/** A column that is passed on as it is stays a time attribute. */
function withRoles(
  expressions: readonly BoundExpression[],
  columns: readonly Column[],
  input: readonly Column[],
): Column[] {
  return columns.map((c, i) => {
    const e = expressions[i]!
    return e.kind === 'column' ? { ...c, role: input[e.index]?.role } : c
  })
}
