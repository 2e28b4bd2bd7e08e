// The logical plan: what a query means, before it is laid out as nodes of the runtime.

import type { Column } from '../binder/scope.js'
import type { CatalogTable } from '../catalog/table.js'
import type { SqlError } from '../sql-error.js'
import type { BoundAggregate, BoundExpression } from './expressions.js'

export type LogicalNode = Scan | Filter | Project | Window | Aggregate

/** All columns of a table, after its computed columns and its watermark. */
export interface Scan {
  readonly kind: 'scan'
  readonly table: CatalogTable
  readonly columns: readonly Column[]
}

export interface Filter {
  readonly kind: 'filter'
  readonly input: LogicalNode
  readonly predicate: BoundExpression
  readonly columns: readonly Column[]
}

export interface Project {
  readonly kind: 'project'
  readonly input: LogicalNode
  readonly expressions: readonly BoundExpression[]
  readonly columns: readonly Column[]
}

/** TUMBLE: the input's columns, then window_start, window_end, window_time. */
export interface Window {
  readonly kind: 'window'
  readonly input: LogicalNode
  readonly timeColumn: number
  readonly sizeMs: number
  readonly offsetMs: number
  readonly columns: readonly Column[]
  /** A "not supported" error at the window function. */
  refuse(what: string, hint?: string): SqlError
}

/** The keys, then the aggregates. Windowed when `window` is set: then keys name window_start and window_end. */
export interface Aggregate {
  readonly kind: 'aggregate'
  readonly input: LogicalNode
  readonly keys: readonly BoundExpression[]
  readonly aggregates: readonly BoundAggregate[]
  readonly windowed: boolean
  readonly columns: readonly Column[]
}

/** Rows into a table, or to whoever asked. `input` has the target's columns, in its order and types. */
export interface Sink {
  readonly kind: 'sink'
  /** Undefined: collect. */
  readonly table: CatalogTable | undefined
  readonly input: LogicalNode
  readonly primaryKey: readonly string[]
  readonly mode: 'append' | 'upsert'
}
