// Values for `?` and `:name`, as literals.

import { invalidArgument, outOfRange } from '../../errors.js'
import { type BoundLiteral, literal } from '../logical/expressions.js'
import type { ParsedStatement } from '../parser/parse.js'
import type { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { didYouMeanOrList, nearest } from '../text/suggest.js'
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

const kMaxDigits = 38

export type Parameters = readonly unknown[] | Readonly<Record<string, unknown>>

/**
 * Check, before any statement runs, that `params` has a value for each parameter and nothing besides. Throw SqlError at the
 * first parameter without a value of its own; TypeError or RangeError for values that no parameter takes.
 */
export function checkParameters(
  where: string,
  statements: readonly Pick<ParsedStatement, 'source' | 'parameters'>[],
  params: unknown,
): void {
  if (params !== undefined && !isParameters(params))
    throw invalidArgument(
      `${where}: params must be an array (for ?) or an object (for :name), not ${params === null ? 'null' : typeof params}`,
    )
  const markers = statements.flatMap(({ source, parameters }) => parameters.map(marker => ({ source, marker })))
  for (const { source, marker } of markers) bindParameter(source, marker.span, marker, params)
  if (params === undefined) return
  if (Array.isArray(params)) {
    const positional = markers.filter(({ marker }) => marker.name === undefined).length
    if (params.length > positional)
      throw outOfRange(`${where}: params has ${params.length} values, the text has ${positional} parameters (?)`)
    return
  }
  const names = [...new Set(markers.flatMap(({ marker }) => marker.name ?? []))]
  for (const name of Object.keys(params)) {
    if (names.includes(name)) continue
    const has = names.length === 0 ? 'no parameters' : names.map(known => `:${known}`).join(', ')
    const meant = nearest(name, names)
    throw invalidArgument(
      `${where}: params has a value for '${name}', which the text does not take; it has ${has}${meant === undefined ? '' : ` (did you mean '${meant}'?)`}`,
    )
  }
}

function isParameters(params: unknown): params is Parameters {
  return Array.isArray(params) || Object.prototype.toString.call(params) === '[object Object]'
}

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
      // It crosses to the engine as UTF-8, which has no lone surrogates.
      if (!(value as string & { isWellFormed(): boolean }).isWellFormed())
        throw invalid('a string with a lone surrogate')
      return literal(value, withNullable(STRING, false))
    case 'boolean':
      return literal(value, withNullable(BOOLEAN, false))
    case 'bigint': {
      const digits = value.toString().replace('-', '').length
      if (digits > kMaxDigits) throw invalid(`an integer of ${digits} digits, where DECIMAL holds ${kMaxDigits}`)
      return integerLiteral(value)
    }
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
  return literal(value, decimal(Math.min(digits, kMaxDigits), 0, false))
}
