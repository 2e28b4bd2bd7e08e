// Values for `?` and `:name`, as literals.

import { type BoundLiteral, literal } from '../logical/expressions.js'
import type { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { didYouMeanOrList } from '../text/suggest.js'
import {
  BIGINT,
  BOOLEAN,
  BYTES,
  decimal,
  DOUBLE,
  INT,
  NULL_TYPE,
  STRING,
  TIMESTAMP_3,
  withNullable,
} from '../types/sql-type.js'

export type Parameters = readonly unknown[] | Readonly<Record<string, unknown>>

/** The literal for a parameter. Throw when it is not given, or is a value that SQL has no type for. */
export function bindParameter(
  source: SourceText,
  span: Span,
  parameter: { name: string | undefined; index: number },
  params: Parameters | undefined,
): BoundLiteral {
  if (parameter.name !== undefined) {
    const names = params === undefined || Array.isArray(params) ? [] : Object.keys(params)
    if (!names.includes(parameter.name))
      throw source.error(
        span,
        `no value for the parameter :${parameter.name}`,
        didYouMeanOrList(parameter.name, names, 'given'),
      )
    return toLiteral(source, span, (params as Record<string, unknown>)[parameter.name], `:${parameter.name}`)
  }
  if (!Array.isArray(params))
    throw source.error(span, `no value for parameter ${parameter.index + 1}`, 'pass params: […]')
  if (parameter.index >= params.length)
    throw source.error(span, `no value for parameter ${parameter.index + 1}`, `${params.length} given`)
  return toLiteral(source, span, params[parameter.index], `parameter ${parameter.index + 1}`)
}

function toLiteral(source: SourceText, span: Span, value: unknown, what: string): BoundLiteral {
  const invalid = (found: string): Error =>
    source.error(
      span,
      `${what} is ${found}`,
      'a parameter is a number, bigint, string, boolean, Date, Uint8Array or null',
    )
  switch (typeof value) {
    case 'string':
      return literal(value, withNullable(STRING, false))
    case 'boolean':
      return literal(value, withNullable(BOOLEAN, false))
    case 'bigint':
      return integerLiteral(value)
    case 'number':
      if (!Number.isFinite(value)) throw invalid(String(value))
      return Number.isSafeInteger(value) ? integerLiteral(BigInt(value)) : literal(value, withNullable(DOUBLE, false))
    case 'undefined':
      throw invalid('undefined')
    default:
      if (value === null) return literal(null, NULL_TYPE)
      if (value instanceof Date) {
        if (Number.isNaN(value.getTime())) throw invalid('an invalid Date')
        return literal(BigInt(value.getTime()), withNullable(TIMESTAMP_3, false))
      }
      if (value instanceof Uint8Array) return literal(value, withNullable(BYTES, false))
      throw invalid(`a value of type ${typeof value}`)
  }
}

/** INT, BIGINT or DECIMAL, whichever holds it. */
export function integerLiteral(value: bigint): BoundLiteral {
  if (BigInt.asIntN(32, value) === value) return literal(value, withNullable(INT, false))
  if (BigInt.asIntN(64, value) === value) return literal(value, withNullable(BIGINT, false))
  const digits = value.toString().replace('-', '').length
  return literal(value, decimal(Math.min(digits, 38), 0, false))
}
