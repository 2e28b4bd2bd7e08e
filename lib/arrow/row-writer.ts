// Rows (objects) into typed columns, in the form that the addon imports. Missing nullable columns are null; a wrong type, an
// unknown column or a missing value is MARBLE_SCHEMA and names row and column.
import type { ImportedBatch } from '../../binding.js'
import { type ErrorCode, MarbleError, makeError } from '../errors.js'
import { didYouMean, shown } from '../options.js'
import { type JsonField, type JsonSchema, withoutDictionaries } from './json-schema.js'
import { type Layout, layoutOf } from './layout.js'
import { toBinary, toBool, toDecimal, toFloat, toHalf, toInt32, toInt64, toInterval, toText, wrong } from './values.js'

interface Output {
  nodes: number[]
  buffers: (ArrayBufferView | undefined)[]
}

export class RowWriter {
  readonly #fields: readonly JsonField[]
  readonly #layouts: readonly Layout[]
  readonly #names: ReadonlySet<string>

  /** `names`: what rows may hold, where only some of it is written. */
  constructor(schema: JsonSchema, names: readonly string[] = schema.fields.map(field => field.name)) {
    this.#fields = withoutDictionaries(schema).fields
    this.#layouts = this.#fields.map(layoutOf)
    this.#names = new Set(names)
  }

  /** Columns of rows[start, end); `number`: what messages call the first of them. */
  write(rows: readonly unknown[], start: number, end: number, number = start): ImportedBatch {
    const slice = start === 0 && end === rows.length ? rows : rows.slice(start, end)
    for (let i = 0; i < slice.length; i++) this.#checkRow(slice[i], number + i)
    const output: Output = { nodes: [], buffers: [] }
    for (let i = 0; i < this.#fields.length; i++) {
      const field = this.#fields[i]!
      const values = slice.map(row => (row as Record<string, unknown>)[field.name])
      try {
        writeColumn(field, this.#layouts[i]!, values, output)
      } catch (error) {
        throw withRow(error, number)
      }
    }
    return { rows: slice.length, nodes: Float64Array.from(output.nodes), buffers: output.buffers }
  }

  #checkRow(row: unknown, index: number): void {
    if (!isRow(row)) throw makeError('MARBLE_SCHEMA', `row ${index} must be an object, not ${shown(row)}`)
    for (const name in row) {
      if (!this.#names.has(name)) {
        throw makeError(
          'MARBLE_SCHEMA',
          `row ${index}: the table has no column '${name}'${didYouMean(name, [...this.#names])}; it has ${[...this.#names].join(', ')}`,
        )
      }
    }
  }
}

/** What has columns by name. A forgotten await, or a Map, would be a row of nulls. */
function isRow(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !ArrayBuffer.isView(value) &&
    !(value instanceof Map || value instanceof Set || value instanceof Date || value instanceof Promise)
  )
}

class RowError extends Error {
  readonly row: number
  readonly code: ErrorCode
  constructor(row: number, error: unknown) {
    super((error as Error).message)
    this.row = row
    this.code = error instanceof MarbleError || error instanceof RowError ? error.code : 'MARBLE_SCHEMA'
  }
}

function withRow(error: unknown, start: number): unknown {
  return error instanceof RowError ? makeError(error.code, `row ${start + error.row}: ${error.message}`) : error
}

/** Write the items of lists: a failure is the row's that holds the item. */
function writeItems(rowOf: (item: number) => number, write: () => void): void {
  try {
    write()
  } catch (error) {
    throw error instanceof RowError ? new RowError(rowOf(error.row), error) : error
  }
}

/** Fill by row, saying which row a failure belongs to. */
function each(values: readonly unknown[], fill: (value: unknown, i: number) => void): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (value === undefined || value === null) continue
    try {
      fill(value, i)
    } catch (error) {
      throw new RowError(i, error)
    }
  }
}

function validityOf(field: JsonField, values: readonly unknown[]): Uint8Array | undefined {
  let bitmap: Uint8Array | undefined
  for (let i = 0; i < values.length; i++) {
    if (values[i] !== undefined && values[i] !== null) continue
    if (!field.nullable)
      throw new RowError(i, makeError('MARBLE_SCHEMA', `column '${field.name}' is not nullable and has no value`))
    bitmap ??= new Uint8Array(Math.ceil(values.length / 8)).fill(255)
    bitmap[i >> 3]! &= ~(1 << (i & 7))
  }
  return bitmap
}

function writeColumn(field: JsonField, layout: Layout, values: readonly unknown[], output: Output): void {
  const { type } = field
  const length = values.length
  output.nodes.push(length, 0, 0, 0, 0)
  if (layout.shape === 'null') return
  if (type.name === 'union') {
    writeUnion(field, layout, values, output)
    return
  }
  output.buffers.push(validityOf(field, values))
  switch (layout.shape) {
    case 'bits': {
      const bits = new Uint8Array(Math.ceil(length / 8))
      each(values, (value, i) => {
        if (toBool(field, value)) bits[i >> 3]! |= 1 << (i & 7)
      })
      output.buffers.push(bits)
      return
    }
    case 'fixed':
      output.buffers.push(writeFixed(field, layout, values))
      return
    case 'bytes32':
    case 'bytes64': {
      const text = type.name === 'utf8' || type.name === 'largeutf8'
      const parts: Uint8Array[] = []
      const offsets = layout.shape === 'bytes32' ? new Int32Array(length + 1) : new BigInt64Array(length + 1)
      let total = 0
      if (text) total = writeText(field, values, parts, offsets)
      else {
        each(values, (value, i) => {
          parts[i] = toBinary(field, value)
        })
        for (let i = 0; i < length; i++) {
          total += parts[i]?.length ?? 0
          offsets[i + 1] = (layout.shape === 'bytes32' ? total : BigInt(total)) as never
        }
      }
      if (layout.shape === 'bytes32' && total > 0x7fffffff)
        throw makeError('MARBLE_TOO_LARGE', `column '${field.name}': more than 2 GiB in one batch`)
      output.buffers.push(offsets, Buffer.concat(parts.filter(part => part !== undefined)))
      return
    }
    case 'list32':
    case 'list64': {
      const isMap = type.name === 'map'
      const items: unknown[] = []
      const offsets = layout.shape === 'list32' ? new Int32Array(length + 1) : new BigInt64Array(length + 1)
      for (let i = 0; i < length; i++) {
        const value = values[i]
        if (value !== undefined && value !== null) {
          const entries = isMap ? mapEntries(field, value, i) : value
          if (!Array.isArray(entries))
            throw new RowError(i, makeError('MARBLE_SCHEMA', `column '${field.name}' (${type.name}) takes an array`))
          for (const item of entries) items.push(item)
        }
        offsets[i + 1] = (layout.shape === 'list32' ? items.length : BigInt(items.length)) as never
      }
      output.buffers.push(offsets)
      writeItems(
        item => offsets.findIndex(end => Number(end) > item) - 1,
        () => writeColumn(field.children[0]!, layout.children[0]!, items, output),
      )
      return
    }
    case 'fixedList': {
      const size = (type as { listSize: number }).listSize
      const items: unknown[] = []
      for (let i = 0; i < length; i++) {
        const value = values[i]
        if (value !== undefined && value !== null && !(Array.isArray(value) && value.length === size)) {
          throw new RowError(i, makeError('MARBLE_SCHEMA', `column '${field.name}' takes an array of ${size}`))
        }
        for (let j = 0; j < size; j++) items.push(Array.isArray(value) ? value[j] : undefined)
      }
      writeItems(
        item => Math.floor(item / size),
        () => writeColumn({ ...field.children[0]!, nullable: true }, layout.children[0]!, items, output),
      )
      return
    }
    case 'struct': {
      const names = new Set(field.children.map(child => child.name))
      each(values, value => {
        if (!isRow(value)) throw wrong(field, value, 'an object')
        for (const name in value) {
          if (!names.has(name))
            throw makeError(
              'MARBLE_SCHEMA',
              `column '${field.name}' has no field '${name}'${didYouMean(name, names)}; it has ${[...names].join(', ')}`,
            )
        }
      })
      for (let i = 0; i < field.children.length; i++) {
        const child = field.children[i]!
        // Below a null struct there is nothing, whatever the child says of itself.
        const hasNull = values.some(value => value === undefined || value === null)
        const inner = values.map(value => (value as Record<string, unknown> | null | undefined)?.[child.name])
        writeColumn(hasNull ? { ...child, nullable: true } : child, layout.children[i]!, inner, output)
      }
      return
    }
  }
}

/** Which child of a union a value { tag, value } is of; null is the first one's. */
function childOf(field: JsonField, value: unknown): number {
  if (value === undefined || value === null) return 0
  const names = field.children.map(child => child.name)
  if (!isRow(value) || !('tag' in value) || Object.keys(value).some(name => name !== 'tag' && name !== 'value'))
    throw wrong(field, value, 'an object { tag, value }')
  const child = names.indexOf(value.tag as string)
  if (child < 0) {
    const known = names.map(name => `'${name}'`).join(', ')
    throw wrong(field, value.tag, `one of the tags ${known}`)
  }
  if ((value.value === undefined || value.value === null) && !field.children[child]!.nullable)
    throw makeError('MARBLE_SCHEMA', `'${names[child]}' of column '${field.name}' is not nullable and has no value`)
  return child
}

function writeUnion(field: JsonField, layout: Layout, values: readonly unknown[], output: Output): void {
  const { type, children } = field
  if (type.name !== 'union') throw wrong(field, values, 'a union')
  validityOf(field, values) // a null where none may be
  const dense = type.mode === 'DENSE'
  const typeIds = new Int8Array(values.length)
  const offsets = new Int32Array(values.length)
  const items: unknown[][] = children.map(() => [])
  const rows: number[][] = children.map(() => [])
  for (let row = 0; row < values.length; row++) {
    let mine = 0
    try {
      mine = childOf(field, values[row])
    } catch (error) {
      throw new RowError(row, error)
    }
    typeIds[row] = type.typeIds[mine]!
    offsets[row] = items[mine]!.length
    const value = (values[row] as { value?: unknown } | null | undefined)?.value
    for (let c = 0; c < children.length; c++) {
      if (dense && c !== mine) continue
      items[c]!.push(c === mine ? value : undefined)
      rows[c]!.push(row)
    }
  }
  output.buffers.push(typeIds)
  if (dense) output.buffers.push(offsets)
  for (let c = 0; c < children.length; c++) {
    writeItems(
      item => rows[c]![item]!,
      // Where another child has the value there is none, whatever the child says of itself.
      () => writeColumn({ ...children[c]!, nullable: true }, layout.children[c]!, items[c]!, output),
    )
  }
}

function mapEntries(field: JsonField, value: unknown, row: number): unknown[] {
  const [key, item] = field.children[0]!.children.map(child => child.name) as [string, string]
  if (value instanceof Map) return [...value].map(([k, v]) => ({ [key]: k as unknown, [item]: v as unknown }))
  if (isRow(value)) return Object.entries(value).map(([k, v]) => ({ [key]: k, [item]: v as unknown }))
  throw new RowError(row, makeError('MARBLE_SCHEMA', `column '${field.name}' takes a Map or an object`))
}

function writeText(
  field: JsonField,
  values: readonly unknown[],
  parts: Uint8Array[],
  offsets: Int32Array | BigInt64Array,
): number {
  let capacity = 0
  each(values, value => {
    capacity += toText(field, value).length
  })
  // One buffer for all texts; 3 bytes a UTF-16 unit is the most that UTF-8 takes.
  const bytes = Buffer.allocUnsafeSlow(capacity * 3)
  let total = 0
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (typeof value === 'string') total += bytes.write(value, total)
    offsets[i + 1] = (offsets instanceof Int32Array ? total : BigInt(total)) as never
  }
  parts.push(bytes.subarray(0, total))
  return total
}

function writeFixed(field: JsonField, layout: Layout, values: readonly unknown[]): ArrayBufferView {
  const { type } = field
  const { length } = values
  if (type.name === 'decimal') {
    const words = type.bitWidth / 32
    const out = new Uint32Array(length * words)
    each(values, (value, i) => {
      const unscaled = BigInt.asUintN(type.bitWidth, toDecimal(field, value))
      for (let w = 0; w < words; w++) out[i * words + w] = Number((unscaled >> BigInt(32 * w)) & 0xffffffffn)
    })
    return out
  }
  if (type.name === 'fixedsizebinary') {
    const out = new Uint8Array(length * type.byteWidth)
    each(values, (value, i) => {
      const bytes = toBinary(field, value)
      if (bytes.length !== type.byteWidth)
        throw makeError('MARBLE_SCHEMA', `column '${field.name}' takes ${type.byteWidth} bytes, not ${bytes.length}`)
      out.set(bytes, i * type.byteWidth)
    })
    return out
  }
  if (type.name === 'interval' && type.unit !== 'YEAR_MONTH') {
    const out = new Int32Array(length * layout.elements)
    each(values, (value, i) => out.set(toInterval(field, value), i * layout.elements))
    return out
  }
  if (type.name === 'floatingpoint' && type.precision === 'HALF') {
    const out = new Uint16Array(length)
    each(values, (value, i) => {
      out[i] = toHalf(toFloat(field, value))
    })
    return out
  }
  const out = new layout.array(length)
  if (out instanceof BigInt64Array || out instanceof BigUint64Array) {
    each(values, (value, i) => {
      out[i] = toInt64(field, value)
    })
  } else if (type.name === 'floatingpoint') {
    each(values, (value, i) => {
      out[i] = toFloat(field, value)
    })
  } else {
    each(values, (value, i) => {
      out[i] = toInt32(field, value)
    })
  }
  return out
}
