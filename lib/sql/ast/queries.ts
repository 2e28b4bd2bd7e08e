// Queries as they are written.

import type { Span } from '../text/span.js'
import type { Expression, Identifier } from './expressions.js'

export interface Query {
  readonly kind: 'query'
  readonly ctes: readonly Cte[]
  readonly body: QueryBody
  readonly orderBy: Span | undefined
  readonly limit: Span | undefined
  readonly span: Span
}

export interface Cte {
  readonly name: Identifier
  readonly columns: readonly Identifier[]
  readonly query: Query
}

export type QueryBody = Select | Values | SetOperation | Query

export interface Select {
  readonly kind: 'select'
  readonly distinct: boolean
  readonly items: readonly SelectItem[]
  readonly from: FromItem | undefined
  readonly where: Expression | undefined
  readonly groupBy: readonly Expression[] | undefined
  /** ROLLUP, CUBE, GROUPING SETS. */
  readonly groupingSets: Span | undefined
  readonly having: Expression | undefined
  /** WINDOW w AS (…) or QUALIFY. */
  readonly windowClause: Span | undefined
  /** The word SELECT. */
  readonly selectSpan: Span
  readonly groupBySpan: Span | undefined
  readonly span: Span
}

export interface SelectItem {
  readonly expression: Expression
  readonly alias: Identifier | undefined
  readonly span: Span
}

export interface Values {
  readonly kind: 'values'
  readonly rows: readonly { readonly values: readonly Expression[]; readonly span: Span }[]
  readonly span: Span
}

export interface SetOperation {
  readonly kind: 'setOperation'
  readonly operator: 'UNION' | 'INTERSECT' | 'EXCEPT'
  readonly all: boolean
  readonly left: QueryBody
  readonly right: QueryBody
  readonly operatorSpan: Span
  readonly span: Span
}

export interface Alias {
  readonly name: Identifier
  readonly columns: readonly Identifier[]
}

export type FromItem =
  | {
      readonly kind: 'table'
      readonly name: readonly Identifier[]
      readonly alias: Alias | undefined
      readonly systemTime: Span | undefined
      readonly options: Span | undefined
      readonly span: Span
    }
  | { readonly kind: 'derived'; readonly query: Query; readonly alias: Alias | undefined; readonly span: Span }
  | WindowTable
  | {
      readonly kind: 'join'
      readonly what: string
      readonly left: FromItem
      readonly right: FromItem
      readonly joinSpan: Span
      readonly span: Span
    }
  | { readonly kind: 'unsupportedTable'; readonly what: string; readonly span: Span }

/** TABLE(TUMBLE(TABLE t, DESCRIPTOR(c), INTERVAL …)). */
export interface WindowTable {
  readonly kind: 'windowTable'
  readonly function: Identifier
  readonly args: readonly WindowArgument[]
  readonly alias: Alias | undefined
  readonly span: Span
}

export interface WindowArgument {
  readonly name: Identifier | undefined
  readonly value:
    | { readonly kind: 'tableArgument'; readonly table: FromItem; readonly span: Span }
    | { readonly kind: 'descriptor'; readonly columns: readonly Identifier[]; readonly span: Span }
    | { readonly kind: 'expression'; readonly expression: Expression; readonly span: Span }
  readonly span: Span
}
