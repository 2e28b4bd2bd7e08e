// What the catalog knows of a table, a view or a registered source. Bound and immutable; rebuilt from its DDL when loaded.

import type { Column } from '../binder/scope.js'
import type { BoundExpression } from '../logical/expressions.js'
import type { PlanField } from '../plan/plan.js'
import { toPlanField } from '../types/arrow.js'
import type { SqlType } from '../types/sql-type.js'

export type TableColumn = { readonly name: string; readonly type: SqlType; readonly comment?: string | undefined } & (
  | { readonly kind: 'physical' }
  /** `nativeType` is what the connector delivers; `type` what was declared. */
  | { readonly kind: 'metadata'; readonly key: string; readonly nativeType: SqlType; readonly virtual: boolean }
  /** `expression` is over the table's base columns, the physical and metadata ones, in their order. */
  | { readonly kind: 'computed'; readonly expression: BoundExpression; readonly text: string }
)

export interface Watermark {
  readonly column: number
  /** Over all columns of the table. */
  readonly expression: BoundExpression
  readonly text: string
}

/** What the plan's source node needs of a table's connector. */
export interface ConnectorConfig {
  readonly connector: string
  readonly options: Readonly<Record<string, string>>
  readonly format: { readonly name: string; readonly options: Readonly<Record<string, string>> } | null
  readonly bounded: boolean
  /** Null: never idle. */
  readonly idleTimeoutMs: number | null
}

export interface CatalogTable {
  readonly kind: 'table'
  readonly name: string
  readonly columns: readonly TableColumn[]
  readonly watermark: Watermark | undefined
  readonly primaryKey: readonly string[]
  readonly comment: string | undefined
  readonly config: ConnectorConfig
  /** As declared in WITH; undefined without it. */
  readonly options: Readonly<Record<string, string>> | undefined
  /** The CREATE TABLE statement; undefined for a registered source, which is not kept. */
  readonly ddl: string | undefined
}

export interface CatalogView {
  readonly kind: 'view'
  readonly name: string
  readonly columns: readonly { readonly name: string; readonly type: SqlType }[]
  readonly temporary: boolean
  readonly comment: string | undefined
  /** The CREATE VIEW statement; expanded again at each use. */
  readonly ddl: string
}

export type CatalogObject = CatalogTable | CatalogView

export const kLocalConnector = 'marbledb'

export function isLocal(table: CatalogTable): boolean {
  return table.config.connector === kLocalConnector
}

/** The columns that come out of the connector. */
export function baseColumns(table: CatalogTable): Exclude<TableColumn, { kind: 'computed' }>[] {
  return table.columns.filter(c => c.kind !== 'computed')
}

/** The columns as a query sees them. */
export function queryColumns(table: CatalogTable): Column[] {
  return table.columns.map((c, i) => {
    const proctime = c.kind === 'computed' && c.expression.kind === 'call' && c.expression.function === 'procTime'
    return {
      name: c.name,
      type: c.type,
      role: table.watermark?.column === i ? 'rowtime' : proctime ? 'proctime' : undefined,
    }
  })
}

/** The fields of a local table as it is stored. */
export function storedFields(table: CatalogTable): PlanField[] {
  return table.columns.filter(c => c.kind === 'physical').map(c => toPlanField(c.name, c.type))
}
