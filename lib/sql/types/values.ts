// The values of literals while they are planned, and their texts: integers, decimals (unscaled) and times are bigint, in the
// unit of their type; FLOAT and DOUBLE are number.

import { timestampUnit } from './arrow.js'
import type { SqlType } from './sql-type.js'

export type LiteralValue = null | boolean | number | bigint | string | Uint8Array

const kDayMs = 86_400_000n

/** Units of a timestamp's Arrow unit in a millisecond. */
export function unitsPerMs(precision: number): bigint {
  return { MILLISECOND: 1n, MICROSECOND: 1000n, NANOSECOND: 1_000_000n }[timestampUnit(precision)]
}

export function floorDiv(a: bigint, b: bigint): bigint {
  const q = a / b
  return a % b !== 0n && a < 0n !== b < 0n ? q - 1n : q
}

/** Days since 1970-01-01 of 'yyyy-MM-dd', or undefined. */
export function parseDate(text: string): bigint | undefined {
  const m = /^(\d{4})-(\d{1,2})-(\d{1,2})$/.exec(text.trim())
  if (m === null) return undefined
  const [year, month, day] = [Number(m[1]), Number(m[2]), Number(m[3])]
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined
  return BigInt(date.getTime()) / kDayMs
}

/** Nanoseconds since midnight of 'HH:mm[:ss[.fraction]]' and the number of digits of the fraction, or undefined. */
export function parseTime(text: string): { nanos: bigint; digits: number } | undefined {
  const m = /^(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?$/.exec(text.trim())
  if (m === null) return undefined
  const [hour, minute, second] = [Number(m[1]), Number(m[2]), Number(m[3] ?? 0)]
  if (hour > 23 || minute > 59 || second > 59) return undefined
  const fraction = m[4] ?? ''
  return {
    nanos: BigInt(hour * 3600 + minute * 60 + second) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0')),
    digits: fraction.length,
  }
}

/** Nanoseconds since the epoch of 'yyyy-MM-dd[ HH:mm[:ss[.fraction]]]', or undefined. */
export function parseTimestamp(text: string): { nanos: bigint; digits: number } | undefined {
  const m = /^(\S+?)(?:[ T](.+))?$/.exec(text.trim())
  const days = m === null ? undefined : parseDate(m[1]!)
  const time = m === null ? undefined : m[2] === undefined ? { nanos: 0n, digits: 0 } : parseTime(m[2])
  if (days === undefined || time === undefined) return undefined
  return { nanos: days * kDayMs * 1_000_000n + time.nanos, digits: time.digits }
}

/** Nanoseconds to the unit of TIMESTAMP(precision), cut to the precision. */
export function nanosToUnit(nanos: bigint, precision: number): bigint {
  const step = 10n ** BigInt(9 - precision)
  const cut = floorDiv(nanos, step) * step
  return floorDiv(cut, 1_000_000n / unitsPerMs(precision))
}

export function decimalToString(unscaled: bigint, scale: number): string {
  if (scale === 0) return unscaled.toString()
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** Change a decimal's scale, rounding half up (away from zero), as Flink does. */
export function rescale(unscaled: bigint, from: number, to: number): bigint {
  if (to >= from) return unscaled * 10n ** BigInt(to - from)
  const divisor = 10n ** BigInt(from - to)
  const half = divisor / 2n
  return unscaled < 0n ? -((-unscaled + half) / divisor) : (unscaled + half) / divisor
}

/** '12.50' to its unscaled value and scale, or undefined. */
export function parseDecimal(text: string): { unscaled: bigint; scale: number; precision: number } | undefined {
  const m = /^([+-]?)(\d*)(?:\.(\d*))?$/.exec(text.trim())
  if (m === null || (m[2] === '' && (m[3] ?? '') === '')) return undefined
  const fraction = m[3] ?? ''
  const digits = `${m[2]}${fraction}`.replace(/^0+(?=\d)/, '')
  const unscaled = BigInt(digits) * (m[1] === '-' ? -1n : 1n)
  return { unscaled, scale: fraction.length, precision: Math.max(digits.length, fraction.length, 1) }
}

/** For messages and EXPLAIN. */
export function literalToString(value: LiteralValue, type: SqlType): string {
  if (value === null) return 'NULL'
  switch (type.name) {
    case 'CHAR':
    case 'VARCHAR':
      return `'${String(value).replaceAll("'", "''")}'`
    case 'BINARY':
    case 'VARBINARY':
      return `X'${Buffer.from(value as Uint8Array).toString('hex')}'`
    case 'DECIMAL':
      return decimalToString(value as bigint, type.scale)
    case 'DATE':
      return `DATE '${new Date(Number((value as bigint) * kDayMs)).toISOString().slice(0, 10)}'`
    case 'TIMESTAMP':
    case 'TIMESTAMP_LTZ': {
      const units = unitsPerMs(type.precision)
      const ms = floorDiv(value as bigint, units)
      if (ms > 8_640_000_000_000_000n || ms < -8_640_000_000_000_000n) return `${type.name} ${value}`
      return `TIMESTAMP '${new Date(Number(ms)).toISOString().slice(0, 23).replace('T', ' ')}'`
    }
    case 'INTERVAL_DAY':
      return `${value} ms`
    case 'INTERVAL_YEAR':
      return `${value} months`
    default:
      return String(value).toUpperCase()
  }
}
