// Rows (objects) out of a batch's columns, read from the typed arrays of its Data.
import type * as arrow from 'apache-arrow'
import type { JsonField, JsonSchema } from './json-schema.js'
import { decimalToString, fromInt64, fromNumber, type ValueOptions } from './values.js'

type Read = (index: number) => unknown
type Row = Record<string, unknown>

/** All rows of a batch. */
export function* readRows(
  schema: JsonSchema,
  batch: arrow.RecordBatch,
  options: ValueOptions = {},
): Generator<Row, void, undefined> {
  const columns = schema.fields.map((field, i) => readerOf(field, batch.data.children[i]!, options))
  const names = schema.fields.map(field => field.name)
  const rows = batch.numRows
  for (let i = 0; i < rows; i++) {
    const row: Row = {}
    for (let c = 0; c < names.length; c++) row[names[c]!] = columns[c]!(i)
    yield row
  }
}

/** Through a dictionary, which may be in pieces. */
function dictionaryReader({ dictionary, ...values }: JsonField, data: arrow.Data, options: ValueOptions): Read {
  const indices = data.values as unknown as Int32Array | BigInt64Array
  const pieces: { end: number; read: Read }[] = []
  let end = 0
  for (const piece of data.dictionary!.data) {
    const start = end
    const read = readerOf(values, piece, options)
    end += piece.length
    pieces.push({ end, read: index => read(index - start) })
  }
  return row => {
    const index = Number(indices[row])
    for (const piece of pieces) if (index < piece.end) return piece.read(index)
    return null
  }
}

function readerOf(field: JsonField, data: arrow.Data, options: ValueOptions): Read {
  const read =
    field.dictionary === undefined ? valueReader(field, data, options) : dictionaryReader(field, data, options)
  const { nullBitmap, offset } = data
  if (field.type.name === 'null' && field.dictionary === undefined) return () => null
  if (nullBitmap === undefined || nullBitmap === null || nullBitmap.length === 0) return read
  return index => {
    const bit = offset + index
    return (nullBitmap[bit >> 3]! & (1 << (bit & 7))) === 0 ? null : read(index)
  }
}

/** The bytes of a view: not copied. */
function viewReader(data: arrow.Data): (index: number) => Uint8Array {
  const views = data.values as unknown as Uint8Array
  const words = new DataView(views.buffer, views.byteOffset, views.byteLength)
  const { variadicBuffers } = data as unknown as { variadicBuffers: readonly Uint8Array[] }
  return index => {
    const at = index * 16
    const size = words.getInt32(at, true)
    if (size <= 12) return views.subarray(at + 4, at + 4 + size)
    const from = words.getInt32(at + 12, true)
    return variadicBuffers[words.getInt32(at + 8, true)]!.subarray(from, from + size)
  }
}

function valueReader(field: JsonField, data: arrow.Data, options: ValueOptions): Read {
  const { type } = field
  if (field.view === true) {
    const bytesOf = viewReader(data)
    if (type.name === 'utf8') return index => asBuffer(bytesOf(index)).toString('utf8')
    return index => Buffer.from(bytesOf(index))
  }
  const values = data.values as unknown
  const offsets = data.valueOffsets as unknown as Int32Array | BigInt64Array
  switch (type.name) {
    case 'null':
      return () => null
    case 'bool': {
      const bits = values as Uint8Array
      const { offset } = data
      return index => {
        const bit = offset + index
        return (bits[bit >> 3]! & (1 << (bit & 7))) !== 0
      }
    }
    case 'utf8':
    case 'largeutf8': {
      const bytes = asBuffer(values as Uint8Array)
      return index => bytes.toString('utf8', Number(offsets[index]), Number(offsets[index + 1]))
    }
    case 'binary':
    case 'largebinary': {
      const bytes = values as Uint8Array
      return index => copyOf(bytes, Number(offsets[index]), Number(offsets[index + 1]))
    }
    case 'fixedsizebinary': {
      const bytes = values as Uint8Array
      const width = type.byteWidth
      return index => copyOf(bytes, index * width, (index + 1) * width)
    }
    case 'decimal': {
      const words = values as Uint32Array
      const count = type.bitWidth / 32
      return index => {
        let unscaled = 0n
        for (let w = count - 1; w >= 0; w--) unscaled = (unscaled << 32n) | BigInt(words[index * count + w]!)
        return decimalToString(BigInt.asIntN(type.bitWidth, unscaled), type.scale)
      }
    }
    case 'list':
    case 'largelist': {
      const item = readerOf(field.children[0]!, data.children[0]!, options)
      return index => {
        const list: unknown[] = []
        for (let i = Number(offsets[index]); i < Number(offsets[index + 1]); i++) list.push(item(i))
        return list
      }
    }
    case 'fixedsizelist': {
      const item = readerOf(field.children[0]!, data.children[0]!, options)
      const size = type.listSize
      return index => Array.from({ length: size }, (_, i) => item(index * size + i))
    }
    case 'struct': {
      const children = field.children.map((child, i) => ({
        name: child.name,
        read: readerOf(child, data.children[i]!, options),
      }))
      return index => {
        const row: Row = {}
        for (const child of children) row[child.name] = child.read(index)
        return row
      }
    }
    case 'union': {
      const children = field.children.map((child, i) => readerOf(child, data.children[i]!, options))
      const names = field.children.map(child => child.name)
      const typeIds = data.typeIds as unknown as Int8Array
      const childOf = new Map(type.typeIds.map((id, i) => [id, i]))
      const dense = type.mode === 'DENSE'
      return index => {
        const child = childOf.get(typeIds[index]!)!
        const value = children[child]!(dense ? Number(offsets[index]) : index)
        return value === null ? null : { tag: names[child]!, value }
      }
    }
    case 'map': {
      const entries = data.children[0]!
      const [keyField, valueField] = field.children[0]!.children as [JsonField, JsonField]
      const key = readerOf(keyField, entries.children[0]!, options)
      const value = readerOf(valueField, entries.children[1]!, options)
      return index => {
        const map = new Map<unknown, unknown>()
        for (let i = Number(offsets[index]); i < Number(offsets[index + 1]); i++) map.set(key(i), value(i))
        return map
      }
    }
    case 'interval': {
      const words = values as Int32Array
      if (type.unit === 'DAY_TIME') return index => ({ days: words[index * 2], milliseconds: words[index * 2 + 1] })
      if (type.unit === 'MONTH_DAY_NANO') {
        return index => ({
          months: words[index * 4],
          days: words[index * 4 + 1],
          nanoseconds: (BigInt(words[index * 4 + 3]!) << 32n) | BigInt(words[index * 4 + 2]! >>> 0),
        })
      }
      break
    }
    case 'floatingpoint':
      if (type.precision === 'HALF') return index => fromHalf((values as Uint16Array)[index]!)
      break
  }
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
    const convert = fromInt64(type, options)
    return index => convert(values[index]!)
  }
  const numbers = values as Float64Array
  const convert = fromNumber(type, options)
  return convert === undefined ? index => numbers[index] : index => convert(numbers[index]!)
}

/** The row outlives the batch: its bytes are its own. (`slice` of a Buffer would be a view of the batch.) */
function copyOf(bytes: Uint8Array, from: number, to: number): Buffer {
  return Buffer.from(Uint8Array.prototype.slice.call(bytes, from, to).buffer)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return exponent === 0 ? sign * 2 ** -14 * (fraction / 1024) : sign * 2 ** (exponent - 15) * (1 + fraction / 1024)
}
