// Which types meet, and how: Flink's rules (LogicalTypeMerging, LogicalTypeCasts), and the casts they lead to.

import { type BoundExpression, call, literal } from '../logical/expressions.js'
import { samePlanType } from './arrow.js'
import { castLiteral } from './literal-cast.js'
import {
  bareTypeToString,
  decimal,
  integerBits,
  isApproximate,
  isBinary,
  isInteger,
  isNested,
  isNumeric,
  isString,
  isTimestamp,
  type SqlType,
  STRING,
  sameType,
  withNullable,
} from './sql-type.js'

const kMaxPrecision = 38

/** The exact decimal that holds every value of an integer type; a DECIMAL is itself. */
export function asDecimal(type: SqlType): { precision: number; scale: number } {
  if (type.name === 'DECIMAL') return type
  return { precision: { 8: 3, 16: 5, 32: 10, 64: 19 }[integerBits(type)] ?? 19, scale: 0 }
}

/** The type that both are cast to where values meet (CASE, comparisons, IN), or undefined. */
export function commonType(a: SqlType, b: SqlType): SqlType | undefined {
  const nullable = a.nullable || b.nullable
  if (a.name === 'NULL') return withNullable(b, true)
  if (b.name === 'NULL') return withNullable(a, true)
  if (sameType(a, b)) return withNullable(a, nullable)
  if (isNumeric(a) && isNumeric(b)) return withNullable(commonNumeric(a, b), nullable)
  if (isString(a) && isString(b)) return withNullable(STRING, nullable)
  if (isBinary(a) && isBinary(b)) return { name: 'VARBINARY', length: undefined, nullable }
  const times = ['DATE', 'TIMESTAMP', 'TIMESTAMP_LTZ']
  if (times.includes(a.name) && times.includes(b.name)) {
    const precision = Math.max(...[a, b].map(t => ('precision' in t ? t.precision : 0)))
    const local = a.name === 'TIMESTAMP_LTZ' || b.name === 'TIMESTAMP_LTZ'
    return { name: local ? 'TIMESTAMP_LTZ' : 'TIMESTAMP', precision, nullable }
  }
  if (a.name === 'TIME' && b.name === 'TIME')
    return { name: 'TIME', precision: Math.max(a.precision, b.precision), nullable }
  return undefined
}

function commonNumeric(a: SqlType, b: SqlType): SqlType {
  if (isApproximate(a) || isApproximate(b)) {
    if (a.name === 'DOUBLE' || b.name === 'DOUBLE' || a.name === 'DECIMAL' || b.name === 'DECIMAL')
      return { name: 'DOUBLE', nullable: true }
    return { name: 'FLOAT', nullable: true }
  }
  if (a.name === 'DECIMAL' || b.name === 'DECIMAL') {
    const [x, y] = [asDecimal(a), asDecimal(b)]
    const scale = Math.max(x.scale, y.scale)
    const whole = Math.max(x.precision - x.scale, y.precision - y.scale)
    return decimal(Math.min(whole + scale, kMaxPrecision), Math.min(scale, Math.max(0, kMaxPrecision - whole)))
  }
  return integerBits(a) >= integerBits(b) ? a : b
}

/** The result type of + - * / % on two numbers. */
export function arithmeticType(operator: '+' | '-' | '*' | '/' | '%', a: SqlType, b: SqlType): SqlType {
  if (a.name !== 'DECIMAL' && b.name !== 'DECIMAL') return commonNumeric(a, b)
  if (isApproximate(a) || isApproximate(b)) return { name: 'DOUBLE', nullable: true }
  const [x, y] = [asDecimal(a), asDecimal(b)]
  switch (operator) {
    case '+':
    case '-': {
      const scale = Math.max(x.scale, y.scale)
      return adjusted(Math.max(x.precision - x.scale, y.precision - y.scale) + scale + 1, scale)
    }
    case '*':
      return adjusted(x.precision + y.precision + 1, x.scale + y.scale)
    case '/': {
      const scale = Math.max(6, x.scale + y.precision + 1)
      return adjusted(x.precision - x.scale + y.scale + scale, scale)
    }
    case '%': {
      const scale = Math.max(x.scale, y.scale)
      return adjusted(Math.min(x.precision - x.scale, y.precision - y.scale) + scale, scale)
    }
  }
}

/** Fit into 38 digits: whole digits are kept, at least six of the fraction too. */
function adjusted(precision: number, scale: number): SqlType {
  if (precision <= kMaxPrecision) return decimal(Math.max(precision, 1), scale)
  const whole = precision - scale
  return decimal(kMaxPrecision, Math.max(kMaxPrecision - whole, Math.min(scale, 6)))
}

/** May a value be stored into a column of type `to` without a CAST? Widening only, as in Flink. */
export function isImplicitlyCastable(from: SqlType, to: SqlType): boolean {
  if (from.name === 'NULL') return true
  if (isNested(from) || isNested(to)) return nestedCompatible(from, to)
  if (isNumeric(from) && isNumeric(to)) {
    if (to.name === 'DECIMAL') return true
    if (to.name === 'DOUBLE') return true
    if (to.name === 'FLOAT') return from.name !== 'DOUBLE'
    return isInteger(from) && integerBits(from) <= integerBits(to)
  }
  if (isString(from) && isString(to)) return true
  if (isBinary(from) && isBinary(to)) return true
  if (isTimestamp(from) && isTimestamp(to)) return true
  return from.name === to.name
}

/** The same Arrow type up to nullability inside. */
function nestedCompatible(from: SqlType, to: SqlType): boolean {
  if (from.name === 'ARRAY' && to.name === 'ARRAY') return nestedCompatible(from.element, to.element)
  if (from.name === 'MAP' && to.name === 'MAP')
    return nestedCompatible(from.key, to.key) && nestedCompatible(from.value, to.value)
  if (from.name === 'ROW' && to.name === 'ROW') {
    return (
      from.fields.length === to.fields.length &&
      from.fields.every((f, i) => nestedCompatible(f.type, to.fields[i]!.type))
    )
  }
  return !isNested(from) && !isNested(to) && samePlanType(from, to)
}

/** May CAST(x AS to) be written? */
export function isExplicitlyCastable(from: SqlType, to: SqlType): boolean {
  if (isImplicitlyCastable(from, to)) return true
  if (isNested(from) || isNested(to)) return false
  const interval = (t: SqlType): boolean => t.name === 'INTERVAL_DAY' || t.name === 'INTERVAL_YEAR'
  if (interval(from) || interval(to)) return false
  if (isString(from) || isString(to)) return true
  if (isNumeric(from) && isNumeric(to)) return true
  if (from.name === 'BOOLEAN' || to.name === 'BOOLEAN') return isNumeric(from) || isNumeric(to)
  const temporal = (t: SqlType): boolean => isTimestamp(t) || t.name === 'DATE' || t.name === 'TIME'
  if (temporal(from) && temporal(to))
    return !(from.name === 'DATE' && to.name === 'TIME') && !(from.name === 'TIME' && to.name === 'DATE')
  return false
}

export class CastError extends Error {}

/**
 * `e` as a value of type `to`; a literal is converted at once. Nullability is that of `e`. Throw CastError for a literal that
 * has no value of that type, and for a cast that the plan cannot express.
 */
export function castTo(
  e: BoundExpression,
  to: SqlType,
  options: { try?: boolean; explicit?: boolean } = {},
): BoundExpression {
  const target = withNullable(to, e.type.nullable || options.try === true)
  if (e.type.name === 'NULL') return literal(null, withNullable(to, true))
  if (
    options.explicit === true &&
    (to.name === 'VARCHAR' || to.name === 'CHAR') &&
    to.length !== undefined &&
    !sameType(e.type, to)
  ) {
    if (to.name === 'CHAR')
      throw new CastError(
        `not supported: a cast to ${bareTypeToString(to)}, which pads with spaces: use VARCHAR or STRING`,
      )
    const text = castTo(e, STRING, { try: options.try === true })
    const args = [
      text,
      literal(1n, { name: 'INT', nullable: false }),
      literal(BigInt(to.length), { name: 'INT', nullable: false }),
    ]
    return call('substring', args, target, target.nullable)
  }
  if (e.kind === 'literal') {
    const value = castLiteral(e.value, e.type, to)
    if (value.kind === 'value') return literal(value.value, withNullable(to, value.value === null))
    if (value.kind === 'invalid') {
      if (options.try === true) return literal(null, withNullable(to, true))
      throw new CastError(value.reason)
    }
  }
  if (
    isTimestamp(e.type) &&
    isTimestamp(to) &&
    'precision' in e.type &&
    'precision' in to &&
    to.precision < e.type.precision
  ) {
    return truncated(e, to, options.try === true)
  }
  if (samePlanType(e.type, to)) {
    if (e.type.name === to.name || isString(e.type) || isBinary(e.type)) return e
  }
  return { kind: 'cast', arg: e, try: options.try === true, type: target }
}

/** TIMESTAMP(6) to TIMESTAMP(3) is a change of unit; within a unit only whole seconds can be cut to. */
function truncated(e: BoundExpression, to: SqlType & { precision: number }, isTry: boolean): BoundExpression {
  const target = withNullable(to, e.type.nullable || isTry)
  if (to.precision === 0) {
    const second = literal('SECOND', withNullable(STRING, false))
    const cut = call('floorTime', [e, second], e.type, e.type.nullable)
    return samePlanType(e.type, to) ? { ...cut, type: target } : { kind: 'cast', arg: cut, try: isTry, type: target }
  }
  if (to.precision % 3 !== 0) {
    throw new CastError(
      `not supported: a cast from ${bareTypeToString(e.type)} to ${bareTypeToString(to)}: use a precision of 0, 3, 6 or 9`,
    )
  }
  return { kind: 'cast', arg: e, try: isTry, type: target }
}
