// EXTRACT and FLOOR/CEIL of a time to a unit.

import type { TimeUnit } from '../ast/expressions.js'
import { type BoundExpression, call, literal } from '../logical/expressions.js'
import type { Span } from '../text/span.js'
import { BIGINT, BOOLEAN, INTERVAL_DAY } from '../types/sql-type.js'
import { castAt, type FunctionCallContext, stringLiteral } from './function-call.js'

/** Units that the plan knows, and a length that leads from any start of the unit into the next one (and not beyond it). */
export const kExtractUnits = {
  YEAR: 366 * 86_400_000,
  MONTH: 31 * 86_400_000,
  DAY: 86_400_000,
  HOUR: 3_600_000,
  MINUTE: 60_000,
  SECOND: 1000,
} as const

function known(c: FunctionCallContext, unit: TimeUnit, unitSpan: Span): keyof typeof kExtractUnits {
  if (unit in kExtractUnits) return unit as keyof typeof kExtractUnits
  throw c.source.notSupported(unitSpan, `the unit ${unit} here`, `units: ${Object.keys(kExtractUnits).join(', ')}`)
}

export function bindExtract(c: FunctionCallContext, unit: TimeUnit, unitSpan: Span = c.span): BoundExpression {
  return call('extract', [stringLiteral(known(c, unit, unitSpan)), c.timestamp(0)], BIGINT, c.args[0]!.type.nullable)
}

/** FLOOR(t TO unit); CEIL is the floor where that is t itself, else the start of the next unit. */
export function bindRoundTo(
  c: FunctionCallContext,
  direction: 'FLOOR' | 'CEIL',
  unit: TimeUnit,
  unitSpan: Span,
): BoundExpression {
  const name = known(c, unit, unitSpan)
  const original = c.args[0]!.type
  const time = c.timestamp(0)
  const type = time.type
  const floor = call('floorTime', [time, stringLiteral(name)], type, type.nullable)
  let result: BoundExpression = floor
  if (direction === 'CEIL') {
    const step = literal(BigInt(kExtractUnits[name]), { ...INTERVAL_DAY, nullable: false })
    const next = call('floorTime', [call('plus', [floor, step], type), stringLiteral(name)], type, type.nullable)
    result = call('case', [call('equals', [floor, time], BOOLEAN), time, next], type, type.nullable)
  }
  if (original.name === 'DATE') result = castAt(c.source, c.span, result, { name: 'DATE', nullable: true })
  return result
}
