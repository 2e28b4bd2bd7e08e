// Bound expressions as the plan's JSON.

import type { BoundAggregate, BoundExpression } from '../logical/expressions.js'
import { toPlanType } from '../types/arrow.js'
import type { SqlType } from '../types/sql-type.js'
import { decimalToString, type LiteralValue } from '../types/values.js'
import type { PlanAggregate, PlanExpression, PlanField, PlanLiteralValue, PlanType } from './plan.js'

/** Where a column of the bound expression stands in the node's input. */
export type ColumnMap = ReadonlyMap<number, number>

export function toPlanExpression(e: BoundExpression, columns: ColumnMap): PlanExpression {
  switch (e.kind) {
    case 'column': {
      const index = columns.get(e.index)
      if (index === undefined) throw new Error(`column ${e.index} was pruned`)
      return { kind: 'column', index, ...typed(e.type) }
    }
    case 'literal':
      return { kind: 'literal', value: toPlanLiteral(e.value, e.type), ...typed(e.type) }
    case 'call':
      return {
        kind: 'call',
        function: e.function,
        args: e.args.map(a => toPlanExpression(a, columns)),
        ...typed(e.type),
      }
    case 'cast':
      return { kind: 'cast', arg: toPlanExpression(e.arg, columns), try: e.try, ...typed(e.type) }
  }
}

export function toPlanAggregate(a: BoundAggregate, columns: ColumnMap): PlanAggregate {
  const filter = a.filter === undefined ? null : toPlanExpression(a.filter, columns)
  return { function: a.function, args: a.args.map(x => toPlanExpression(x, columns)), filter, distinct: false }
}

function typed(type: SqlType): { type: PlanType; nullable: boolean; children?: PlanField[] } {
  const plan = toPlanType(type)
  return plan.children.length === 0
    ? { type: plan.type, nullable: type.nullable }
    : { type: plan.type, nullable: type.nullable, children: plan.children }
}

export function toPlanLiteral(value: LiteralValue, type: SqlType): PlanLiteralValue {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (typeof value !== 'bigint') return value
  switch (type.name) {
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
    case 'INTERVAL_YEAR':
      return Number(value)
    case 'DECIMAL':
      return decimalToString(value, type.scale)
    default:
      return value.toString()
  }
}
