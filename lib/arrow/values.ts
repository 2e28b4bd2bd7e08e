// JavaScript values of Arrow columns, both ways. Out: int64 → bigint, smaller ints and floats → number, timestamp[s|ms] and
// date → number (epoch ms), timestamp[us|ns] → bigint, decimal → string, binary → Buffer, list → array, struct → object,
// map → Map, union → { tag: the child's name, value }. In: bigint, safe integers and Date are all accepted where an integer or a
// time is wanted.
import { makeError } from '../errors.js'
import { oneOf, type Rules, shown } from '../options.js'
import type { JsonField, JsonType, TimeUnit } from './json-schema.js'

export interface ValueOptions {
  /** How 64-bit integers come out. */
  int64?: 'bigint' | 'number' | 'string'
  /** How timestamps and dates come out; by default epoch ms as number, or bigint for us and ns. */
  timestamp?: 'number' | 'date'
}
export const valueRules: Rules<ValueOptions> = {
  int64: oneOf('bigint', 'number', 'string'),
  timestamp: oneOf('number', 'date'),
}

const kDayMs = 86_400_000
const unitsPerMs: Record<TimeUnit, number> = {
  SECOND: 1 / 1000,
  MILLISECOND: 1,
  MICROSECOND: 1000,
  NANOSECOND: 1_000_000,
}

export function describeType(type: JsonType): string {
  switch (type.name) {
    case 'int':
      return `${type.isSigned ? '' : 'u'}int${type.bitWidth}`
    case 'floatingpoint':
      return { HALF: 'float16', SINGLE: 'float32', DOUBLE: 'float64' }[type.precision]
    case 'decimal':
      return `decimal(${type.precision}, ${type.scale})`
    case 'timestamp':
    case 'time':
    case 'duration':
      return `${type.name}[${{ SECOND: 's', MILLISECOND: 'ms', MICROSECOND: 'us', NANOSECOND: 'ns' }[type.unit]}]`
    case 'date':
      return type.unit === 'DAY' ? 'date32' : 'date64'
    default:
      return type.name
  }
}

/** A value that the column cannot hold. */
export function wrong(field: JsonField, value: unknown, expected: string): Error {
  return makeError(
    'MARBLE_SCHEMA',
    `column '${field.name}' (${describeType(field.type)}) takes ${expected}, not ${shown(value)}`,
  )
}

/** A whole number as bigint: from bigint, a safe integer or, where times are meant, a Date. */
function toBigInt(field: JsonField, value: unknown): bigint {
  if (typeof value === 'bigint') return value
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
  throw wrong(field, value, 'a bigint or a safe integer')
}

const floorDiv = (a: bigint, b: bigint): bigint => {
  const quotient = a / b
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient
}

/** A 64-bit integer column's value in the column's own unit. */
export function toInt64(field: JsonField, value: unknown): bigint {
  const { type } = field
  let whole: bigint
  if (type.name === 'timestamp') {
    if (value instanceof Date) {
      const ms = value.getTime()
      if (Number.isNaN(ms)) throw wrong(field, value, 'a valid Date')
      whole = type.unit === 'SECOND' ? floorDiv(BigInt(ms), 1000n) : BigInt(ms) * BigInt(unitsPerMs[type.unit])
    } else if (type.unit === 'SECOND') {
      whole = floorDiv(toBigInt(field, value), 1000n) // epoch ms
    } else {
      whole = toBigInt(field, value) // ms are epoch ms; us and ns come in their own unit
    }
  } else if (type.name === 'date') {
    if (value instanceof Date && Number.isNaN(value.getTime())) throw wrong(field, value, 'a valid Date')
    whole = value instanceof Date ? BigInt(value.getTime()) : toBigInt(field, value)
  } else {
    whole = toBigInt(field, value)
  }
  const unsigned = type.name === 'int' && !type.isSigned
  if (unsigned ? BigInt.asUintN(64, whole) !== whole : BigInt.asIntN(64, whole) !== whole)
    throw wrong(field, value, 'a value within its range')
  return whole
}

/** An integer of up to 32 bits, or a date in days. */
export function toInt32(field: JsonField, value: unknown): number {
  const { type } = field
  if (type.name === 'date') {
    const ms = value instanceof Date ? value.getTime() : Number(toBigInt(field, value))
    if (!Number.isFinite(ms)) throw wrong(field, value, 'a valid Date')
    return Math.floor(ms / kDayMs)
  }
  const number = typeof value === 'bigint' ? Number(value) : value
  if (typeof number !== 'number' || !Number.isInteger(number)) throw wrong(field, value, 'an integer')
  const bits = type.name === 'int' ? type.bitWidth : 32
  const signed = type.name !== 'int' || type.isSigned
  const [low, high] = signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1]
  if (number < low || number > high) throw wrong(field, value, `an integer from ${low} to ${high}`)
  return number
}

export function toFloat(field: JsonField, value: unknown): number {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return Number(value)
  throw wrong(field, value, 'a number')
}

const float = new Float32Array(1)
const floatBits = new Uint32Array(float.buffer)

/** The bits of the nearest half float; ties go to the even one. */
export function toHalf(value: number): number {
  float[0] = value
  const bits = floatBits[0]!
  const sign = (bits >>> 16) & 0x8000
  const exponent = (bits >>> 23) & 0xff
  const fraction = bits & 0x7fffff
  if (exponent === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200)
  const scaled = exponent - 127 + 15
  if (scaled >= 31) return sign | 0x7c00
  // What is shifted out decides about the last bit; a carry goes on into the exponent, which is right.
  const shift = scaled > 0 ? 13 : 14 - scaled
  if (shift > 24) return sign
  const whole = scaled > 0 ? (scaled << 23) | fraction : fraction | 0x800000
  const rest = whole & ((1 << shift) - 1)
  const middle = 1 << (shift - 1)
  const half = whole >>> shift
  return sign | (rest > middle || (rest === middle && (half & 1) === 1) ? half + 1 : half)
}

/** The words of { days, milliseconds } or { months, days, nanoseconds }. */
export function toInterval(field: JsonField, value: unknown): number[] {
  const monthly = field.type.name === 'interval' && field.type.unit === 'MONTH_DAY_NANO'
  const names = monthly ? ['months', 'days', 'nanoseconds'] : ['days', 'milliseconds']
  const object = value as Record<string, unknown>
  if (typeof value !== 'object' || value === null || Object.keys(object).some(name => !names.includes(name)))
    throw wrong(field, value, `an object { ${names.join(', ')} }`)
  const part = (name: string): number => toInt32({ ...field, type: int32 }, object[name] ?? 0)
  if (!monthly) return [part('days'), part('milliseconds')]
  const nanoseconds = toInt64({ ...field, type: int64 }, object.nanoseconds ?? 0)
  return [part('months'), part('days'), Number(BigInt.asIntN(32, nanoseconds)), Number(nanoseconds >> 32n)]
}
const int32 = { name: 'int', bitWidth: 32, isSigned: true } as const
const int64 = { name: 'int', bitWidth: 64, isSigned: true } as const

export function toBool(field: JsonField, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw wrong(field, value, 'a boolean')
}

export function toText(field: JsonField, value: unknown): string {
  if (typeof value !== 'string') throw wrong(field, value, 'a string')
  if (!(value as string & { isWellFormed(): boolean }).isWellFormed())
    throw wrong(field, value, 'a string without lone surrogates')
  return value
}

export function toBinary(field: JsonField, value: unknown): Uint8Array {
  if (typeof value === 'string') return Buffer.from(toText(field, value))
  if (value instanceof Uint8Array) return value
  throw wrong(field, value, 'a Uint8Array (Buffer) or a string')
}

/** The unscaled value of a decimal given as string, number or bigint. */
export function toDecimal(field: JsonField, value: unknown): bigint {
  const { type } = field
  if (type.name !== 'decimal') throw wrong(field, value, 'a decimal')
  const text =
    typeof value === 'string'
      ? value.trim()
      : typeof value === 'number' || typeof value === 'bigint'
        ? String(value)
        : undefined
  const match = text === undefined ? null : /^([+-]?)(\d*)(?:\.(\d*))?$/.exec(text)
  if (match === null || (match[2] === '' && (match[3] ?? '') === '')) throw wrong(field, value, 'a decimal as a string')
  const fraction = (match[3] ?? '').replace(/0+$/, '')
  if (fraction.length > type.scale)
    throw wrong(field, value, `a decimal with at most ${type.scale} digits behind the point`)
  const digits = BigInt(`${match[2]}${fraction.padEnd(type.scale, '0')}` || '0')
  if (digits.toString().length > type.precision)
    throw wrong(field, value, `a decimal of at most ${type.precision} digits`)
  return match[1] === '-' ? -digits : digits
}

export function decimalToString(unscaled: bigint, scale: number): string {
  if (scale <= 0) return (unscaled * 10n ** BigInt(-scale)).toString()
  const negative = unscaled < 0n
  const digits = (negative ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  return `${negative ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** A 64-bit value as it comes out, given its column. */
export function fromInt64(type: JsonType, options: ValueOptions): (value: bigint) => unknown {
  if (type.name === 'timestamp' || type.name === 'date') {
    const unit = type.name === 'date' ? 'MILLISECOND' : type.unit
    if (options.timestamp === 'date') {
      return value => new Date(unit === 'SECOND' ? Number(value) * 1000 : Math.floor(Number(value) / unitsPerMs[unit]))
    }
    if (unit === 'SECOND') return value => Number(value) * 1000
    if (unit === 'MILLISECOND') return Number
  }
  if (options.int64 === 'number') {
    return value => {
      const number = Number(value)
      if (!Number.isSafeInteger(number))
        throw makeError('MARBLE_SCHEMA', `${value} is beyond the safe integers: read it as 'bigint' or 'string'`)
      return number
    }
  }
  if (options.int64 === 'string') return String
  return value => value
}

/** A number of up to 32 bits as it comes out: only dates and bools change. */
export function fromNumber(type: JsonType, options: ValueOptions): ((value: number) => unknown) | undefined {
  if (type.name === 'date')
    return options.timestamp === 'date' ? days => new Date(days * kDayMs) : days => days * kDayMs
  if (type.name === 'bool') return value => value !== 0
  return undefined
}
