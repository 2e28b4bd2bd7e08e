// How values look on the command line: in JSON integers beyond 2^53 as strings, as NaN and the infinities, which JSON has not;
// TIMESTAMP 'YYYY-MM-DD HH:MM:SS.sss', NULL null.
import type { JsonField, JsonType } from '../arrow/json-schema.js'

const unitsPerSecond = { SECOND: 1n, MILLISECOND: 1000n, MICROSECOND: 1_000_000n, NANOSECOND: 1_000_000_000n }
const digits = { SECOND: 0, MILLISECOND: 3, MICROSECOND: 6, NANOSECOND: 9 }

/** 'YYYY-MM-DDTHH:MM:SS', or undefined beyond what a Date can be. */
function isoText(ms: number): string | undefined {
  const date = new Date(ms)
  // Years beyond 9999 have six digits and a sign.
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString().slice(0, -5)
}

function timestampText(type: Extract<JsonType, { name: 'timestamp' }>, value: number | bigint): string {
  // Rows hold seconds and milliseconds as epoch ms.
  const unit = type.unit === 'SECOND' ? 'MILLISECOND' : type.unit
  const count = BigInt(value)
  const per = unitsPerSecond[unit]
  let fraction = count % per
  let seconds = count / per
  if (fraction < 0n) {
    fraction += per
    seconds -= 1n
  }
  const whole = isoText(Number(seconds) * 1000)?.replace('T', ' ')
  if (whole === undefined) return String(value)
  const rest = type.unit === 'SECOND' ? '' : `.${fraction.toString().padStart(digits[unit], '0')}`
  return `${whole}${rest}${type.timezone === undefined ? '' : 'Z'}`
}

function timeText(type: Extract<JsonType, { name: 'time' }>, value: number | bigint): string {
  const per = unitsPerSecond[type.unit]
  const count = BigInt(value)
  const seconds = Number(count / per)
  const two = (n: number): string => String(n).padStart(2, '0')
  const fraction = digits[type.unit] === 0 ? '' : `.${(count % per).toString().padStart(digits[type.unit], '0')}`
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${fraction}`
}

/** A value of a row as JSON can hold it. */
export function jsonValue(field: JsonField, value: unknown): unknown {
  if (value === null || value === undefined) return null
  const { type } = field
  switch (type.name) {
    case 'timestamp':
      return timestampText(type, value as number | bigint)
    case 'date':
      return isoText(value as number)?.split('T')[0] ?? String(value)
    case 'time':
      return timeText(type, value as number | bigint)
    case 'binary':
    case 'largebinary':
    case 'fixedsizebinary':
      return (value as Buffer).toString('base64')
    case 'list':
    case 'largelist':
    case 'fixedsizelist':
      return (value as unknown[]).map(item => jsonValue(field.children[0]!, item))
    case 'struct':
      return Object.fromEntries(
        field.children.map(child => [child.name, jsonValue(child, (value as Record<string, unknown>)[child.name])]),
      )
    case 'map': {
      const [key, item] = field.children[0]!.children as [JsonField, JsonField]
      return Object.fromEntries(
        [...(value as Map<unknown, unknown>)].map(([k, v]) => [String(jsonValue(key, k)), jsonValue(item, v)]),
      )
    }
    default:
      if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString()
      return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
  }
}

/** A value as text: of a table's cell, or of CSV. */
export function textValue(field: JsonField, value: unknown, whenNull: string): string {
  if (value === null || value === undefined) return whenNull
  const json = jsonValue(field, value)
  return typeof json === 'object' ? JSON.stringify(json) : String(json)
}
