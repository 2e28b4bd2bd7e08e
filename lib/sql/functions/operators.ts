// The operators: arithmetic, comparison and logic, with the casts that Flink's rules ask for.

import type { BinaryOperator } from '../ast/expressions.js'
import { type BoundExpression, call, literal } from '../logical/expressions.js'
import type { PlanFunction } from '../plan/plan.js'
import type { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { arithmeticType, commonType } from '../types/coercion.js'
import {
  BOOLEAN,
  bareTypeToString,
  decimal,
  INTERVAL_DAY,
  isBinary,
  isInteger,
  isNested,
  isNumeric,
  isString,
  isTimestamp,
  type SqlType,
  STRING,
  typeToString,
} from '../types/sql-type.js'
import { castAt, FunctionCallContext } from './function-call.js'

const kArithmetic = { '+': 'plus', '-': 'minus', '*': 'times', '/': 'divide', '%': 'mod' } as const
const kComparisons = {
  '=': 'equals',
  '<>': 'notEquals',
  '<': 'lessThan',
  '<=': 'lessThanOrEqual',
  '>': 'greaterThan',
  '>=': 'greaterThanOrEqual',
} as const

/** A bound operand and where it stands. */
export interface Operand {
  readonly e: BoundExpression
  readonly span: Span
}

export function bindBinary(
  source: SourceText,
  operator: BinaryOperator,
  left: Operand,
  right: Operand,
  span: Span,
): BoundExpression {
  if (operator === 'AND' || operator === 'OR') {
    const context = new FunctionCallContext(source, operator, [left.e, right.e], [left.span, right.span], span)
    return call(operator === 'AND' ? 'and' : 'or', [context.boolean(0), context.boolean(1)], BOOLEAN)
  }
  if (operator === '||') {
    const context = new FunctionCallContext(source, '||', [left.e, right.e], [left.span, right.span], span)
    return call('concat', [context.string(0), context.string(1)], STRING)
  }
  if (operator in kComparisons)
    return compare(source, kComparisons[operator as keyof typeof kComparisons], operator, left, right, span)
  return bindArithmetic(source, operator as keyof typeof kArithmetic, left, right, span)
}

/** Both sides are cast to their common type; a string literal beside a time or a date is read as one. */
export function compare(
  source: SourceText,
  name: PlanFunction,
  operator: string,
  left: Operand,
  right: Operand,
  span: Span,
): BoundExpression {
  const [a, b] = unifyForComparison(source, operator, left, right, span)
  return call(name, [a, b], BOOLEAN)
}

export function unifyForComparison(
  source: SourceText,
  operator: string,
  left: Operand,
  right: Operand,
  span: Span,
): [BoundExpression, BoundExpression] {
  const [a, b] = [left.e.type, right.e.type]
  const temporal = (t: SqlType): boolean => isTimestamp(t) || t.name === 'DATE' || t.name === 'TIME'
  let type: SqlType | undefined
  if (isString(a) && temporal(b) && left.e.kind === 'literal') type = b
  else if (isString(b) && temporal(a) && right.e.kind === 'literal') type = a
  else type = commonType(a, b)
  if (type === undefined) {
    const string = isString(a) !== isString(b)
    const other = bareTypeToString(isString(a) ? b : a)
    const hint = string
      ? `write CAST(… AS ${other}) around the string`
      : (isTimestamp(a) || isTimestamp(b)) && (isNumeric(a) || isNumeric(b))
        ? "write TIMESTAMP '2001-02-07 10:30:00' for the number, or pass a Date as a parameter"
        : 'CAST one side to the type of the other'
    throw source.error(span, `cannot compare ${typeToString(a)} with ${typeToString(b)} (${operator})`, hint)
  }
  if (isNested(type)) throw source.notSupported(span, `comparing values of type ${bareTypeToString(type)}`)
  if (type.name === 'NULL') type = STRING
  return [castAt(source, left.span, left.e, type), castAt(source, right.span, right.e, type)]
}

function bindArithmetic(
  source: SourceText,
  operator: keyof typeof kArithmetic,
  left: Operand,
  right: Operand,
  span: Span,
): BoundExpression {
  const name = kArithmetic[operator]
  const [a, b] = [left.e.type, right.e.type]
  const time = bindTimeArithmetic(source, operator, left, right, span)
  if (time !== undefined) return time
  const context = new FunctionCallContext(source, operator, [left.e, right.e], [left.span, right.span], span)
  if ((isNumeric(a) || a.name === 'NULL') && (isNumeric(b) || b.name === 'NULL')) return numericCall(context, operator)
  if (isString(a) || isString(b)) {
    if (operator === '+' && isString(a) && isString(b))
      throw source.error(span, 'strings are joined with ||, not +', 'write a || b')
  }
  context.numeric(0)
  context.numeric(1)
  throw source.error(span, `cannot apply ${operator} to ${typeToString(a)} and ${typeToString(b)} (${name})`)
}

/** Both arguments have one type. Of decimals that is the common one, or the result's where that is exact (+ and -). */
export function numericCall(context: FunctionCallContext, operator: keyof typeof kArithmetic): BoundExpression {
  const [left, right] = [context.numeric(0), context.numeric(1)]
  const result = arithmeticType(operator, left.type, right.type)
  let operandType = result
  if (result.name === 'DECIMAL' && (operator === '*' || operator === '/' || operator === '%')) {
    operandType = commonType(asDecimalType(left.type), asDecimalType(right.type))!
  }
  return call(kArithmetic[operator], [context.cast(0, operandType), context.cast(1, operandType)], result)
}

function asDecimalType(type: SqlType): SqlType {
  if (type.name === 'DECIMAL') return type
  return isInteger(type) ? commonType(type, decimal(1, 0))! : type
}

function bindTimeArithmetic(
  source: SourceText,
  operator: string,
  left: Operand,
  right: Operand,
  span: Span,
): BoundExpression | undefined {
  const [a, b] = [left.e.type, right.e.type]
  const interval = (t: SqlType): boolean => t.name === 'INTERVAL_DAY' || t.name === 'INTERVAL_YEAR'
  if (!interval(a) && !interval(b) && !(isTimestamp(a) && isTimestamp(b))) return undefined
  if (a.name === 'INTERVAL_YEAR' || b.name === 'INTERVAL_YEAR') {
    throw source.notSupported(span, 'arithmetic with intervals of years and months', 'use an interval of days')
  }
  if (operator === '+' || operator === '-') {
    if (isTimestamp(a) && b.name === 'INTERVAL_DAY')
      return call(operator === '+' ? 'plus' : 'minus', [left.e, right.e], a)
    if (operator === '+' && a.name === 'INTERVAL_DAY' && isTimestamp(b)) return call('plus', [right.e, left.e], b)
    if (operator === '-' && isTimestamp(a) && isTimestamp(b)) {
      const type = commonType(a, b)!
      return call(
        'minus',
        [castAt(source, left.span, left.e, type), castAt(source, right.span, right.e, type)],
        INTERVAL_DAY,
      )
    }
    if (a.name === 'DATE' || b.name === 'DATE') {
      throw source.notSupported(span, 'DATE plus or minus an interval', 'write CAST(… AS TIMESTAMP(3)) around the date')
    }
    if (
      a.name === 'INTERVAL_DAY' &&
      b.name === 'INTERVAL_DAY' &&
      left.e.kind === 'literal' &&
      right.e.kind === 'literal'
    ) {
      const [x, y] = [left.e.value as bigint, right.e.value as bigint]
      return literal(operator === '+' ? x + y : x - y, { ...INTERVAL_DAY, nullable: false })
    }
    if (isBinary(a) || isBinary(b) || isString(a) || isString(b)) {
      throw source.error(
        span,
        `cannot apply ${operator} to ${typeToString(a)} and ${typeToString(b)}`,
        'an interval is added to a TIMESTAMP: convert the text with TO_TIMESTAMP',
      )
    }
  }
  throw source.error(span, `cannot apply ${operator} to ${typeToString(a)} and ${typeToString(b)}`)
}
