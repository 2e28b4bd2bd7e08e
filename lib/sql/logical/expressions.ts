// Typed expressions: names are resolved to column indices of the input, functions are those of the plan, every cast is written
// out. This is what rules rewrite and what becomes a PlanExpression.

import type { PlanAggregateFunction, PlanFunction } from '../plan/plan.js'
import type { SqlType } from '../types/sql-type.js'
import type { LiteralValue } from '../types/values.js'

export type BoundExpression = BoundColumn | BoundLiteral | BoundCall | BoundCast

export interface BoundColumn {
  readonly kind: 'column'
  readonly index: number
  readonly type: SqlType
}

export interface BoundLiteral {
  readonly kind: 'literal'
  readonly value: LiteralValue
  readonly type: SqlType
}

export interface BoundCall {
  readonly kind: 'call'
  readonly function: PlanFunction
  readonly args: readonly BoundExpression[]
  readonly type: SqlType
}

export interface BoundCast {
  readonly kind: 'cast'
  readonly arg: BoundExpression
  readonly try: boolean
  readonly type: SqlType
}

export interface BoundAggregate {
  readonly function: PlanAggregateFunction
  readonly args: readonly BoundExpression[]
  readonly filter: BoundExpression | undefined
  readonly type: SqlType
}

export function column(index: number, type: SqlType): BoundColumn {
  return { kind: 'column', index, type }
}

export function literal(value: LiteralValue, type: SqlType): BoundLiteral {
  return { kind: 'literal', value, type }
}

/** A call whose result is NULL when an argument is. */
export function call(
  name: PlanFunction,
  args: readonly BoundExpression[],
  type: SqlType,
  nullable?: boolean,
): BoundCall {
  return {
    kind: 'call',
    function: name,
    args,
    type: { ...type, nullable: nullable ?? args.some(a => a.type.nullable) },
  }
}

export function childrenOf(e: BoundExpression): readonly BoundExpression[] {
  return e.kind === 'call' ? e.args : e.kind === 'cast' ? [e.arg] : []
}

/** Rebuild bottom-up. */
export function transform(e: BoundExpression, f: (e: BoundExpression) => BoundExpression): BoundExpression {
  if (e.kind === 'call') return f({ ...e, args: e.args.map(a => transform(a, f)) })
  if (e.kind === 'cast') return f({ ...e, arg: transform(e.arg, f) })
  return f(e)
}

export function visit(e: BoundExpression, f: (e: BoundExpression) => void): void {
  f(e)
  for (const child of childrenOf(e)) visit(child, f)
}

export function columnsOf(e: BoundExpression, into: Set<number> = new Set()): Set<number> {
  visit(e, x => {
    if (x.kind === 'column') into.add(x.index)
  })
  return into
}

/** Replace column i by `expressions[i]`. */
export function substitute(e: BoundExpression, expressions: readonly BoundExpression[]): BoundExpression {
  return transform(e, x => (x.kind === 'column' ? expressions[x.index]! : x))
}

/** A text that is equal for equal expressions. */
export function identity(e: BoundExpression): string {
  return JSON.stringify(e, (_, v: unknown) => (typeof v === 'bigint' ? `${v}n` : v))
}

export function sameExpression(a: BoundExpression, b: BoundExpression): boolean {
  return identity(a) === identity(b)
}
