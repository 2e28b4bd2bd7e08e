// Casts of constants, done while planning. What cannot be decided here with the very result that the runtime would give is
// left to it ('later').

import { integerBits, isInteger, isNumeric, isString, isTimestamp, bareTypeToString, type SqlType } from './sql-type.js'
import {
  decimalToString,
  floorDiv,
  type LiteralValue,
  literalToString,
  nanosToUnit,
  parseDate,
  parseDecimal,
  parseTime,
  parseTimestamp,
  rescale,
  unitsPerMs,
} from './values.js'

export type LiteralCast =
  | { kind: 'value'; value: LiteralValue }
  | { kind: 'invalid'; reason: string }
  | { kind: 'later' }

const kLater: LiteralCast = { kind: 'later' }
const kDayMs = 86_400_000n

function done(value: LiteralValue): LiteralCast {
  return { kind: 'value', value }
}

export function castLiteral(value: LiteralValue, from: SqlType, to: SqlType): LiteralCast {
  if (value === null) return done(null)
  const invalid = (): LiteralCast => ({
    kind: 'invalid',
    reason: `${literalToString(value, from)} is not a valid ${bareTypeToString(to)}`,
  })
  if (isString(from)) return fromString(String(value), to, invalid)
  if (isInteger(from)) return fromInteger(value as bigint, to, invalid)
  if (from.name === 'DECIMAL') return fromDecimal(value as bigint, from.scale, to, invalid)
  if (from.name === 'FLOAT' || from.name === 'DOUBLE') {
    if (to.name === 'DOUBLE') return done(value)
    if (to.name === 'FLOAT') return done(Math.fround(value as number))
    if (isInteger(to) && Number.isFinite(value as number) && Math.abs(value as number) < 2 ** 53)
      return integer(BigInt(Math.trunc(value as number)), to, invalid)
    return kLater
  }
  if (from.name === 'BOOLEAN') {
    if (to.name === 'BOOLEAN') return done(value)
    if (isString(to)) return done(value === true ? 'TRUE' : 'FALSE')
    return kLater
  }
  if (from.name === 'DATE') {
    if (to.name === 'DATE') return done(value)
    if (isTimestamp(to) && 'precision' in to) return done((value as bigint) * kDayMs * unitsPerMs(to.precision))
    return kLater
  }
  if (isTimestamp(from) && 'precision' in from) {
    if (isTimestamp(to) && 'precision' in to)
      return done(nanosToUnit(((value as bigint) * 1_000_000n) / unitsPerMs(from.precision), to.precision))
    if (to.name === 'DATE') return done(floorDiv(value as bigint, kDayMs * unitsPerMs(from.precision)))
    return kLater
  }
  return from.name === to.name ? done(value) : kLater
}

function integer(value: bigint, to: SqlType, invalid: () => LiteralCast): LiteralCast {
  return BigInt.asIntN(integerBits(to), value) === value ? done(value) : invalid()
}

function toDecimal(
  unscaled: bigint,
  scale: number,
  to: SqlType & { name: 'DECIMAL' },
  invalid: () => LiteralCast,
): LiteralCast {
  const result = rescale(unscaled, scale, to.scale)
  const limit = 10n ** BigInt(to.precision)
  return result < limit && -result < limit ? done(result) : invalid()
}

function fromString(text: string, to: SqlType, invalid: () => LiteralCast): LiteralCast {
  const trimmed = text.trim()
  if (isString(to)) return done(text)
  if (isInteger(to))
    return /^[+-]?\d+$/.test(trimmed)
      ? integer(BigInt(trimmed.replace(/^\+/, '')), to, invalid)
      : /^[+-]?\d*\.\d*$/.test(trimmed)
        ? kLater
        : invalid()
  if (to.name === 'DECIMAL') {
    const parsed = parseDecimal(trimmed)
    return parsed === undefined
      ? /[eE]/.test(trimmed)
        ? kLater
        : invalid()
      : toDecimal(parsed.unscaled, parsed.scale, to, invalid)
  }
  if (to.name === 'DOUBLE' || to.name === 'FLOAT') {
    if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(trimmed))
      return /^[+-]?(nan|inf(inity)?)$/i.test(trimmed) ? kLater : invalid()
    return done(to.name === 'FLOAT' ? Math.fround(Number(trimmed)) : Number(trimmed))
  }
  if (to.name === 'BOOLEAN') {
    const lower = trimmed.toLowerCase()
    if (['true', 't', 'yes', 'y', '1'].includes(lower)) return done(true)
    return ['false', 'f', 'no', 'n', '0'].includes(lower) ? done(false) : invalid()
  }
  if (to.name === 'DATE') {
    const days = parseDate(trimmed) ?? undefined
    if (days !== undefined) return done(days)
    const parsed = parseTimestamp(trimmed)
    return parsed === undefined ? invalid() : done(floorDiv(parsed.nanos, kDayMs * 1_000_000n))
  }
  if (to.name === 'TIME') {
    const parsed = parseTime(trimmed)
    return parsed === undefined ? invalid() : done(nanosToUnit(parsed.nanos, to.precision))
  }
  if (to.name === 'TIMESTAMP' || to.name === 'TIMESTAMP_LTZ') {
    const parsed = parseTimestamp(trimmed)
    return parsed === undefined ? invalid() : done(nanosToUnit(parsed.nanos, to.precision))
  }
  return kLater
}

function fromInteger(value: bigint, to: SqlType, invalid: () => LiteralCast): LiteralCast {
  if (isInteger(to)) return integer(value, to, invalid)
  if (to.name === 'DOUBLE') return done(Number(value))
  if (to.name === 'FLOAT') return done(Math.fround(Number(value)))
  if (to.name === 'DECIMAL') return toDecimal(value, 0, to, invalid)
  if (isString(to)) return done(value.toString())
  if (to.name === 'BOOLEAN') return done(value !== 0n)
  return kLater
}

function fromDecimal(value: bigint, scale: number, to: SqlType, invalid: () => LiteralCast): LiteralCast {
  if (to.name === 'DECIMAL') return toDecimal(value, scale, to, invalid)
  if (to.name === 'DOUBLE') return done(Number(decimalToString(value, scale)))
  if (to.name === 'FLOAT') return done(Math.fround(Number(decimalToString(value, scale))))
  if (isInteger(to)) return integer(value / 10n ** BigInt(scale), to, invalid)
  if (isString(to)) return done(decimalToString(value, scale))
  return isNumeric(to) ? invalid() : kLater
}
