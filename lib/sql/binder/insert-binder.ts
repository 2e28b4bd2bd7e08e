// INSERT INTO: the query's columns go to the table's by position (or to those named), with implicit casts, and an updating query
// needs a primary key that is the query's own key.

import type { Insert } from '../ast/statements.js'
import type { Expression, Identifier } from '../ast/expressions.js'
import type { Values } from '../ast/queries.js'
import type { Catalog } from '../catalog/catalog.js'
import { type CatalogTable, isLocal, type TableColumn } from '../catalog/table.js'
import { castAt } from '../functions/function-call.js'
import { type BoundExpression, type BoundLiteral, column, literal } from '../logical/expressions.js'
import type { LogicalNode, Sink } from '../logical/nodes.js'
import { foldConstants } from '../rules/constant-folding.js'
import type { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { didYouMeanOrList } from '../text/suggest.js'
import { isExplicitlyCastable, isImplicitlyCastable } from '../types/coercion.js'
import { bareTypeToString, type SqlType, typeToString, withNullable } from '../types/sql-type.js'
import { ExpressionBinder } from './expression-binder.js'
import type { Parameters } from './parameters.js'
import { QueryBinder } from './query-binder.js'
import type { Relation } from './relation.js'
import { Scope } from './scope.js'

export class InsertBinder {
  readonly #catalog: Catalog
  readonly #source: SourceText
  readonly #params: Parameters | undefined

  constructor(catalog: Catalog, source: SourceText, params: Parameters | undefined) {
    this.#catalog = catalog
    this.#source = source
    this.#params = params
  }

  bind(insert: Insert): Sink {
    const table = this.#target(insert.table)
    const targets = this.#targets(insert, table)
    const query = new QueryBinder(this.#catalog, this.#source, this.#params).bind(insert.query)
    this.#checkCount(
      table,
      targets,
      query.scope.columns.map(c => `${c.name} ${bareTypeToString(c.type)}`),
      insert.query.span,
    )
    const spans = this.#itemSpans(insert)
    const expressions = table.columns.map(c => {
      const from = targets.indexOf(c)
      if (from < 0) return this.#absent(c, insert.table.span)
      const source = query.scope.columns[from]!
      return this.#store(column(from, source.type), source.name, c, table, spans?.[from] ?? insert.query.span)
    })
    const columns = table.columns.map((c, i) => ({ name: c.name, type: expressions[i]!.type }))
    if (query.updating !== undefined) this.#checkKey(table, query, expressions, insert)
    const mode = table.primaryKey.length > 0 ? 'upsert' : 'append'
    return {
      kind: 'sink',
      table,
      input: { kind: 'project', input: query.node, expressions, columns },
      primaryKey: table.primaryKey,
      mode,
    }
  }

  /** INSERT INTO … VALUES: rows of constants, in the table's columns. */
  bindValues(insert: Insert, values: Values): { table: CatalogTable; rows: BoundLiteral[][] } {
    const table = this.#target(insert.table)
    const targets = this.#targets(insert, table)
    const binder = new ExpressionBinder(this.#source, new Scope([], undefined), this.#params, 'VALUES')
    const rows = values.rows.map(row => {
      const bound = row.values.map((e: Expression) => foldConstants(binder.bind(e)))
      this.#checkCount(
        table,
        targets,
        bound.map(b => bareTypeToString(b.type)),
        row.span,
      )
      return table.columns.map((c): BoundLiteral => {
        const from = targets.indexOf(c)
        if (from < 0) return this.#absent(c, insert.table.span)
        const span = row.values[from]!.span
        // The conversion of a constant is checked by its value: 1 fits TINYINT.
        const value = bound[from]!
        if (value.kind === 'literal' && !this.#literalFits(value.type, c.type))
          throw this.#incompatible(value.type, `value ${from + 1}`, c, table, span)
        const stored = foldConstants(castAt(this.#source, span, value, c.type))
        if (stored.kind !== 'literal')
          throw this.#source.notSupported(
            span,
            'an expression in VALUES that is not a constant',
            `write INSERT INTO ${table.name} SELECT …`,
          )
        if (stored.value === null && !c.type.nullable)
          throw this.#source.error(span, `the column ${c.name} of ${table.name} is NOT NULL`)
        return stored
      })
    })
    return { table, rows }
  }

  #literalFits(from: SqlType, to: SqlType): boolean {
    const numeric = ['TINYINT', 'SMALLINT', 'INT', 'BIGINT', 'DECIMAL', 'FLOAT', 'DOUBLE']
    if (numeric.includes(from.name) && ['TINYINT', 'SMALLINT', 'INT', 'BIGINT'].includes(to.name))
      return !['DECIMAL', 'FLOAT', 'DOUBLE'].includes(from.name)
    return isImplicitlyCastable(from, to) || (numeric.includes(from.name) && numeric.includes(to.name))
  }

  #target(name: Identifier): CatalogTable {
    const object = this.#catalog.find(name.name)
    if (object === undefined)
      throw this.#source.error(
        name.span,
        `unknown table ${name.name}`,
        didYouMeanOrList(name.name, this.#catalog.names(), 'tables'),
      )
    if (object.kind === 'view')
      throw this.#source.error(name.span, `${name.name} is a view: rows are inserted into tables`)
    if (!isLocal(object))
      throw this.#source.notSupported(
        name.span,
        `${object.config.connector} sink: ${name.name} can only be read`,
        'insert into a local table, one declared without WITH',
      )
    return object
  }

  /** The table's columns in the order of the query's. */
  #targets(insert: Insert, table: CatalogTable): TableColumn[] {
    if (insert.columns === undefined) return [...table.columns]
    return insert.columns.map((name, i) => {
      const found = table.columns.find(c => c.name === name.name)
      if (found === undefined)
        throw this.#source.error(
          name.span,
          `unknown column ${name.name} of ${table.name}`,
          didYouMeanOrList(
            name.name,
            table.columns.map(c => c.name),
            'columns',
          ),
        )
      if (insert.columns!.findIndex(n => n.name === name.name) < i)
        throw this.#source.error(name.span, `the column ${name.name} is named twice`)
      return found
    })
  }

  #checkCount(table: CatalogTable, targets: readonly TableColumn[], found: readonly string[], span: Span): void {
    if (found.length === targets.length) return
    const wanted = targets.map(c => `${c.name} ${bareTypeToString(c.type)}`).join(', ')
    const plural = (n: number): string => `${n} column${n === 1 ? '' : 's'}`
    throw this.#source.error(
      span,
      `${table.name} takes ${plural(targets.length)}, the query gives ${plural(found.length)}`,
      `table: (${wanted}); query: (${found.join(', ')})`,
    )
  }

  /** The places of the select items, when each makes one column. */
  #itemSpans(insert: Insert): Span[] | undefined {
    let body = insert.query.body
    while (body.kind === 'query') body = body.body
    if (body.kind !== 'select' || body.items.some(i => i.expression.kind === 'star')) return undefined
    return body.items.map(i => i.expression.span)
  }

  #absent(c: TableColumn, span: Span): BoundLiteral {
    if (!c.type.nullable)
      throw this.#source.error(
        span,
        `the column ${c.name} is NOT NULL and gets no value`,
        `add ${c.name} to the column list`,
      )
    return literal(null, withNullable(c.type, true))
  }

  #store(e: BoundExpression, name: string, c: TableColumn, table: CatalogTable, span: Span): BoundExpression {
    if (!isImplicitlyCastable(e.type, c.type))
      throw this.#incompatible(e.type, `the query's column ${name}`, c, table, span)
    return castAt(this.#source, span, e, c.type)
  }

  #incompatible(from: SqlType, what: string, c: TableColumn, table: CatalogTable, span: Span): Error {
    const hint = isExplicitlyCastable(from, c.type)
      ? `write CAST(… AS ${bareTypeToString(c.type)}), or declare ${c.name} as ${bareTypeToString(from)}`
      : `declare ${c.name} as ${bareTypeToString(from)}`
    return this.#source.error(
      span,
      `${what} is ${typeToString(from)}, but the column ${c.name} of ${table.name} is ${typeToString(c.type)}`,
      hint,
    )
  }

  /**
   * An updating query replaces rows by its group keys. Stored by another key, rows of different groups would overwrite each
   * other, or stale ones would stay: the table's key must be the group keys, but for columns that are constant.
   */
  #checkKey(table: CatalogTable, query: Relation, stored: readonly BoundExpression[], insert: Insert): void {
    const { key, keyNames } = query.updating!
    const at = insert.table.span
    const list = keyNames.length === 0 ? 'none' : keyNames.join(', ')
    if (key === undefined) {
      throw this.#source.error(
        at,
        `an updating query must hand its key to ${table.name}: not all of (${list}) are in the SELECT list`,
        `select ${list} as they are`,
      )
    }
    const source = stored.map(e => (e.kind === 'column' ? e.index : -1))
    const names = key.map(k => table.columns[source.indexOf(k)]?.name)
    const lost = source.length === 0 ? -1 : key.findIndex(k => !source.includes(k))
    if (lost >= 0) {
      throw this.#source.error(
        at,
        `the key column ${keyNames[lost]} of the updating query is converted on its way into ${table.name}`,
        `declare the column as ${bareTypeToString(query.scope.columns[key[lost]!]!.type)}`,
      )
    }
    const constant = (name: string): boolean => {
      const i = table.columns.findIndex(c => c.name === name)
      return isConstant(query.node, source[i]!)
    }
    const wanted = names as string[]
    const fits =
      wanted.every(n => table.primaryKey.includes(n)) && table.primaryKey.every(n => wanted.includes(n) || constant(n))
    if (fits && table.primaryKey.length > 0) return
    const declare =
      wanted.length > 0
        ? `PRIMARY KEY (${wanted.join(', ')}) NOT ENFORCED`
        : 'a constant column, such as id INT, as PRIMARY KEY (id) NOT ENFORCED, and select 1 for it'
    if (table.primaryKey.length === 0) {
      throw this.#source.error(
        at,
        `the query updates its rows, and ${table.name} has no primary key`,
        `declare ${declare} in CREATE TABLE ${table.name}`,
      )
    }
    throw this.#source.error(
      at,
      `the primary key (${table.primaryKey.join(', ')}) of ${table.name} is not the key of the query (${list})`,
      `declare ${declare} in CREATE TABLE ${table.name}`,
    )
  }
}

/** Is column i of the node a literal? */
function isConstant(node: LogicalNode, i: number): boolean {
  if (node.kind !== 'project' || i < 0) return false
  const e = node.expressions[i]!
  if (e.kind === 'literal') return true
  return e.kind === 'column' && isConstant(node.input, e.index)
}
