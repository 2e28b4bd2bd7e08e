// Statements as they are written.

import type { Span } from '../text/span.js'
import type { Expression, Identifier, TypeNode } from './expressions.js'
import type { Query } from './queries.js'

export type ColumnDefinition = {
  readonly name: Identifier
  readonly comment: string | undefined
  readonly span: Span
} & (
  | { readonly kind: 'physical'; readonly type: TypeNode; readonly primaryKey: Span | undefined }
  | {
      readonly kind: 'metadata'
      readonly type: TypeNode
      readonly key: { readonly value: string; readonly span: Span } | undefined
      readonly virtual: boolean
    }
  | { readonly kind: 'computed'; readonly expression: Expression }
)

export interface WatermarkDefinition {
  readonly column: readonly Identifier[]
  readonly expression: Expression
  readonly span: Span
}

export interface OptionNode {
  readonly key: string
  readonly value: string
  readonly keySpan: Span
  readonly valueSpan: Span
}

export interface CreateTable {
  readonly kind: 'createTable'
  readonly name: Identifier
  readonly ifNotExists: boolean
  readonly columns: readonly ColumnDefinition[]
  readonly watermarks: readonly WatermarkDefinition[]
  readonly primaryKeys: readonly { readonly columns: readonly Identifier[]; readonly span: Span }[]
  readonly comment: string | undefined
  readonly options: readonly OptionNode[] | undefined
  readonly span: Span
}

export interface CreateView {
  readonly kind: 'createView'
  readonly name: Identifier
  readonly ifNotExists: boolean
  readonly temporary: boolean
  readonly columns: readonly Identifier[]
  readonly comment: string | undefined
  readonly query: Query
  readonly span: Span
}

export interface Insert {
  readonly kind: 'insert'
  readonly table: Identifier
  readonly columns: readonly Identifier[] | undefined
  readonly query: Query
  readonly span: Span
}

export interface StatementSet {
  readonly kind: 'statementSet'
  readonly inserts: readonly Insert[]
  readonly span: Span
}

export interface Explain {
  readonly kind: 'explain'
  readonly statement: Statement
  readonly span: Span
}

export type Statement =
  | CreateTable
  | CreateView
  | Insert
  | StatementSet
  | Explain
  | { readonly kind: 'select'; readonly query: Query; readonly span: Span }
  | { readonly kind: 'dropTable'; readonly name: Identifier; readonly ifExists: boolean; readonly span: Span }
  | { readonly kind: 'dropView'; readonly name: Identifier; readonly ifExists: boolean; readonly span: Span }
  | { readonly kind: 'showTables'; readonly span: Span }
  | { readonly kind: 'showViews'; readonly span: Span }
  | { readonly kind: 'showJobs'; readonly span: Span }
  | { readonly kind: 'showCreate'; readonly what: 'TABLE' | 'VIEW'; readonly name: Identifier; readonly span: Span }
  | { readonly kind: 'describe'; readonly name: Identifier; readonly span: Span }
  | {
      readonly kind: 'set'
      readonly key: string
      readonly value: string
      readonly keySpan: Span
      readonly valueSpan: Span
      readonly span: Span
    }
  | { readonly kind: 'showSettings'; readonly span: Span }
  | {
      readonly kind: 'reset'
      readonly key: string | undefined
      readonly keySpan: Span | undefined
      readonly span: Span
    }
