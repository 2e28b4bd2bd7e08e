// COUNT, SUM, AVG, MIN, MAX: the cast of the argument and the type of the result. SUM, AVG, MIN and MAX give the argument's type
// (AVG of integers cuts off); the argument of a decimal SUM or AVG is first widened to 38 digits, as Flink does.

import type { BoundAggregate, BoundExpression } from '../logical/expressions.js'
import type { PlanAggregateFunction } from '../plan/plan.js'
import { BIGINT, bareTypeToString, decimal, isNested, isNumeric, withNullable } from '../types/sql-type.js'
import type { FunctionCallContext } from './function-call.js'

export const kAggregateFunctions: Readonly<Record<string, PlanAggregateFunction>> = {
  COUNT: 'count',
  SUM: 'sum',
  AVG: 'avg',
  MIN: 'min',
  MAX: 'max',
}

export function bindAggregate(c: FunctionCallContext, filter: BoundExpression | undefined): BoundAggregate {
  const name = kAggregateFunctions[c.name]!
  if (name === 'count') {
    // A value that is never NULL need not be looked at.
    const args = c.args.length === 0 || !c.args[0]!.type.nullable ? [] : [c.args[0]!]
    return { function: name, args, filter, type: withNullable(BIGINT, false) }
  }
  let arg = c.args[0]!
  if (name === 'sum' || name === 'avg') {
    arg = c.numeric(0)
    if (arg.type.name === 'DECIMAL')
      arg = c.cast(0, decimal(38, name === 'sum' ? arg.type.scale : Math.max(6, arg.type.scale)))
  } else if (
    isNested(arg.type) ||
    arg.type.name === 'NULL' ||
    (!isNumeric(arg.type) && arg.type.name.startsWith('INTERVAL'))
  ) {
    throw c.error(0, `${c.name} of ${bareTypeToString(arg.type)} has no order`)
  }
  return { function: name, args: [arg], filter, type: withNullable(arg.type, true) }
}
