// The JSON plan, version 1: the types of PLAN.md.

export const kPlanVersion = 1

/** A type of Arrow's integration JSON, such as `{ "name": "int", "bitWidth": 32, "isSigned": true }`. */
export interface PlanType {
  readonly name: string
  readonly [parameter: string]: string | number | boolean | readonly number[]
}

export interface PlanField {
  readonly name: string
  readonly type: PlanType
  readonly nullable: boolean
  readonly children: readonly PlanField[]
}

interface Typed {
  readonly type: PlanType
  readonly nullable: boolean
  /** Of nested types only. */
  readonly children?: readonly PlanField[]
}

export type PlanLiteralValue = null | boolean | number | string

export type PlanExpression =
  | ({ readonly kind: 'column'; readonly index: number } & Typed)
  | ({ readonly kind: 'literal'; readonly value: PlanLiteralValue } & Typed)
  | ({ readonly kind: 'call'; readonly function: PlanFunction; readonly args: readonly PlanExpression[] } & Typed)
  | ({ readonly kind: 'cast'; readonly arg: PlanExpression; readonly try: boolean } & Typed)

export type PlanFunction =
  | ('plus' | 'minus' | 'times' | 'divide' | 'mod' | 'negate' | 'abs' | 'floor' | 'ceil')
  | ('equals' | 'notEquals' | 'lessThan' | 'lessThanOrEqual' | 'greaterThan' | 'greaterThanOrEqual')
  | ('and' | 'or' | 'not' | 'isNull' | 'isNotNull' | 'isTrue' | 'isFalse' | 'isNotTrue' | 'isNotFalse')
  | ('case' | 'coalesce' | 'in' | 'like' | 'upper' | 'lower' | 'trim' | 'charLength' | 'concat' | 'substring')
  | ('toTimestamp' | 'dateFormat' | 'extract' | 'floorTime' | 'procTime')

export type PlanAggregateFunction = 'count' | 'sum' | 'avg' | 'min' | 'max'

export interface PlanAggregate {
  readonly function: PlanAggregateFunction
  readonly args: readonly PlanExpression[]
  readonly filter: PlanExpression | null
  readonly distinct: false
}

interface Node {
  readonly id: string
  readonly fields: readonly PlanField[]
}

export type SourceColumn =
  | { readonly kind: 'physical'; readonly name: string }
  | { readonly kind: 'metadata'; readonly key: string }

export interface SourceNode extends Node {
  readonly type: 'source'
  readonly table: string
  readonly connector: string
  readonly options: Readonly<Record<string, string>>
  readonly format: { readonly name: string; readonly options: Readonly<Record<string, string>> } | null
  readonly columns: readonly SourceColumn[]
  readonly bounded: boolean
}

export interface WatermarkNode extends Node {
  readonly type: 'watermark'
  readonly input: string
  readonly column: number
  readonly expr: PlanExpression
  readonly idleTimeoutMs: number | null
}

export interface CalcNode extends Node {
  readonly type: 'calc'
  readonly input: string
  readonly filter: PlanExpression | null
  readonly projections: readonly PlanExpression[]
}

export type WindowColumn = 'start' | 'end' | 'time'

export interface WindowAggregateNode extends Node {
  readonly type: 'windowAggregate'
  readonly input: string
  readonly window: {
    readonly kind: 'tumble'
    readonly timeColumn: number
    readonly sizeMs: number
    readonly offsetMs: number
  }
  readonly keys: readonly number[]
  readonly aggregates: readonly PlanAggregate[]
  readonly windowColumns: readonly WindowColumn[]
}

export interface GroupAggregateNode extends Node {
  readonly type: 'groupAggregate'
  readonly input: string
  readonly keys: readonly number[]
  readonly aggregates: readonly PlanAggregate[]
}

export interface SinkNode extends Node {
  readonly type: 'sink'
  readonly input: string
  readonly table: string
  readonly connector: 'marbledb' | 'collect'
  readonly options: Readonly<Record<string, string>>
  readonly primaryKey: readonly string[]
  readonly mode: 'append' | 'upsert'
}

export type PlanNode = SourceNode | WatermarkNode | CalcNode | WindowAggregateNode | GroupAggregateNode | SinkNode

export interface JobPlan {
  readonly version: typeof kPlanVersion
  readonly job: { readonly name: string }
  readonly settings: { readonly epochMs?: number; readonly maxParallelism?: number }
  readonly nodes: readonly PlanNode[]
}
