// Constant folding: calls on literals become literals, where the result is certain. What could differ from the runtime (floating
// functions, patterns, overflow of decimals) is left alone.

import { type BoundCall, type BoundExpression, type BoundLiteral, literal, transform } from '../logical/expressions.js'
import { integerBits, isInteger, withNullable } from '../types/sql-type.js'
import { castLiteral } from '../types/literal-cast.js'
import type { LiteralValue } from '../types/values.js'

export function foldConstants(e: BoundExpression): BoundExpression {
  return transform(e, fold)
}

function fold(e: BoundExpression): BoundExpression {
  if (e.kind === 'cast' && e.arg.kind === 'literal') {
    const result = castLiteral(e.arg.value, e.arg.type, e.type)
    return result.kind === 'value' ? literal(result.value, withNullable(e.type, result.value === null)) : e
  }
  if (e.kind !== 'call') return e
  const logical = foldLogic(e)
  if (logical !== undefined) return logical
  if (e.function === 'procTime' || e.args.length === 0 || !e.args.every(isLiteral)) return e
  const values = e.args.map(a => (a as BoundLiteral).value)
  const value = evaluate(e, values)
  return value === undefined ? e : literal(value, withNullable(e.type, value === null))
}

function isLiteral(e: BoundExpression): e is BoundLiteral {
  return e.kind === 'literal'
}

/** AND, OR and CASE with a constant condition. */
function foldLogic(e: BoundCall): BoundExpression | undefined {
  const constant = (x: BoundExpression | undefined, value: boolean): boolean =>
    x?.kind === 'literal' && x.value === value
  const [a, b] = e.args
  if (e.function === 'and' || e.function === 'or') {
    const neutral = e.function === 'and'
    if (constant(a, neutral)) return b
    if (constant(b, neutral)) return a
    if (constant(a, !neutral)) return a
  }
  if (e.function === 'case' && (constant(a, false) || (a?.kind === 'literal' && a.value === null))) {
    return e.args.length === 3 ? e.args[2] : fold({ ...e, args: e.args.slice(2) })
  }
  if (e.function === 'case' && constant(a, true)) return b
  return undefined
}

/** Undefined: leave it to the runtime. */
function evaluate(e: BoundCall, values: readonly LiteralValue[]): LiteralValue | undefined {
  const [a, b] = values
  if (e.function === 'isNull') return a === null
  if (e.function === 'isNotNull') return a !== null
  if (e.function === 'coalesce') return values.find(v => v !== null) ?? null
  if (['and', 'or', 'case', 'in', 'isTrue', 'isFalse', 'isNotTrue', 'isNotFalse'].includes(e.function)) return undefined
  if (values.includes(null)) return null
  switch (e.function) {
    case 'not':
      return a !== true
    case 'plus':
    case 'minus':
    case 'times':
    case 'divide':
    case 'mod':
      return arithmetic(e, a!, b!)
    case 'equals':
    case 'notEquals':
    case 'lessThan':
    case 'lessThanOrEqual':
    case 'greaterThan':
    case 'greaterThanOrEqual':
      return compare(e.function, a!, b!)
    case 'concat':
      return values.join('')
    case 'substring':
      return substring(String(a), Number(b), values.length > 2 ? Number(values[2]) : undefined)
    default:
      return undefined
  }
}

function arithmetic(e: BoundCall, a: LiteralValue, b: LiteralValue): LiteralValue | undefined {
  if (isInteger(e.type) && typeof a === 'bigint' && typeof b === 'bigint') {
    if ((e.function === 'divide' || e.function === 'mod') && b === 0n) return undefined
    const results = { plus: () => a + b, minus: () => a - b, times: () => a * b, divide: () => a / b, mod: () => a % b }
    return BigInt.asIntN(integerBits(e.type), results[e.function as keyof typeof results]())
  }
  if (e.type.name === 'DOUBLE' && typeof a === 'number' && typeof b === 'number') {
    const results = {
      plus: () => a + b,
      minus: () => a - b,
      times: () => a * b,
      divide: () => a / b,
      mod: () => undefined,
    }
    const result = results[e.function as keyof typeof results]()
    return result !== undefined && Number.isFinite(result) ? result : undefined
  }
  return undefined
}

function compare(name: string, a: LiteralValue, b: LiteralValue): boolean | undefined {
  if (typeof a !== typeof b || (typeof a !== 'bigint' && typeof a !== 'number')) {
    if (typeof a === 'string' && typeof b === 'string' && name === 'equals') return a === b
    return undefined
  }
  const [x, y] = [a, b as bigint | number]
  switch (name) {
    case 'equals':
      return x === y
    case 'notEquals':
      return x !== y
    case 'lessThan':
      return x < y
    case 'lessThanOrEqual':
      return x <= y
    case 'greaterThan':
      return x > y
    default:
      return x >= y
  }
}

/** Only the plain case, a start within the text. */
function substring(text: string, from: number, length: number | undefined): string | undefined {
  if (from < 1 || (length !== undefined && length < 0)) return undefined
  return [...text].slice(from - 1, length === undefined ? undefined : from - 1 + length).join('')
}
