// Expressions as they are written, each with its span. Names are unresolved and nothing has a type yet.

import type { Span } from '../text/span.js'
import type { SqlType } from '../types/sql-type.js'
import type { Query } from './queries.js'

export interface Identifier {
  readonly name: string
  readonly quoted: boolean
  readonly span: Span
}

/** A type as written; the parser resolves it, for types have no names to look up. */
export interface TypeNode {
  readonly type: SqlType
  readonly span: Span
}

export type TimeUnit = 'YEAR' | 'QUARTER' | 'MONTH' | 'WEEK' | 'DAY' | 'HOUR' | 'MINUTE' | 'SECOND' | 'MILLISECOND'

export type BinaryOperator = '+' | '-' | '*' | '/' | '%' | '||' | '=' | '<>' | '<' | '<=' | '>' | '>=' | 'AND' | 'OR'

export interface FunctionCall {
  readonly kind: 'function'
  readonly name: Identifier
  readonly args: readonly Expression[]
  /** Parallel to args for `name => value` calls, else empty. */
  readonly argNames: readonly (Identifier | undefined)[]
  readonly star: boolean
  readonly distinct: boolean
  readonly filter: Expression | undefined
  /** The span of an OVER clause. */
  readonly over: Span | undefined
  readonly span: Span
}

export type Expression =
  | { readonly kind: 'columnRef'; readonly parts: readonly Identifier[]; readonly span: Span }
  | { readonly kind: 'star'; readonly qualifier: readonly Identifier[]; readonly span: Span }
  | { readonly kind: 'number'; readonly text: string; readonly span: Span }
  | { readonly kind: 'string'; readonly value: string; readonly span: Span }
  | { readonly kind: 'binaryString'; readonly hex: string; readonly span: Span }
  | { readonly kind: 'boolean'; readonly value: boolean; readonly span: Span }
  | { readonly kind: 'null'; readonly span: Span }
  | {
      readonly kind: 'temporal'
      readonly type: 'DATE' | 'TIME' | 'TIMESTAMP'
      readonly value: string
      readonly span: Span
    }
  | {
      readonly kind: 'interval'
      readonly value: string
      readonly negative: boolean
      readonly from: TimeUnit
      readonly to: TimeUnit | undefined
      readonly span: Span
    }
  | { readonly kind: 'parameter'; readonly name: string | undefined; readonly index: number; readonly span: Span }
  | { readonly kind: 'unary'; readonly operator: '-' | '+' | 'NOT'; readonly operand: Expression; readonly span: Span }
  | {
      readonly kind: 'binary'
      readonly operator: BinaryOperator
      readonly left: Expression
      readonly right: Expression
      readonly operatorSpan: Span
      readonly span: Span
    }
  | {
      readonly kind: 'between'
      readonly operand: Expression
      readonly low: Expression
      readonly high: Expression
      readonly negated: boolean
      readonly symmetric: boolean
      readonly span: Span
    }
  | {
      readonly kind: 'in'
      readonly operand: Expression
      readonly list: readonly Expression[]
      readonly query: Query | undefined
      readonly negated: boolean
      readonly span: Span
    }
  | {
      readonly kind: 'like'
      readonly operand: Expression
      readonly pattern: Expression
      readonly escape: Expression | undefined
      readonly negated: boolean
      readonly span: Span
    }
  | {
      readonly kind: 'is'
      readonly operand: Expression
      readonly test: 'NULL' | 'TRUE' | 'FALSE' | 'UNKNOWN'
      readonly negated: boolean
      readonly span: Span
    }
  | {
      readonly kind: 'distinctFrom'
      readonly left: Expression
      readonly right: Expression
      readonly negated: boolean
      readonly span: Span
    }
  | {
      readonly kind: 'case'
      readonly operand: Expression | undefined
      readonly branches: readonly { readonly when: Expression; readonly result: Expression }[]
      readonly otherwise: Expression | undefined
      readonly span: Span
    }
  | {
      readonly kind: 'cast'
      readonly operand: Expression
      readonly to: TypeNode
      readonly try: boolean
      readonly span: Span
    }
  | {
      readonly kind: 'extract'
      readonly unit: TimeUnit
      readonly operand: Expression
      readonly unitSpan: Span
      readonly span: Span
    }
  | {
      readonly kind: 'roundTo'
      readonly direction: 'FLOOR' | 'CEIL'
      readonly operand: Expression
      readonly unit: TimeUnit
      readonly unitSpan: Span
      readonly span: Span
    }
  | { readonly kind: 'subquery'; readonly query: Query; readonly exists: boolean; readonly span: Span }
  /** Read, so that the message can name it, but not planned: ARRAY[…], a[1], ROW(…), DESCRIPTOR(c). */
  | { readonly kind: 'unsupported'; readonly what: string; readonly span: Span }
  | FunctionCall
