// Batches out of the addon: a chunk's Float64Array says which bytes of which ArrayBuffer make up which column (the order is
// that of native/napi/arrow_export.h); here they become typed arrays and apache-arrow's Data.
import * as arrow from 'apache-arrow'
import type { BatchChunk } from '../../binding.js'
import { type Batch, MarbleBatch } from './batch.js'
import type { JsonSchema } from './json-schema.js'
import { schemaFromJson } from './json-schema.js'
import { type Layout, layoutOf, numbersOf } from './layout.js'

type View = arrow.Data['values']

/** The last argument, the buffers of views, is not in all versions' types. */
const AnyData = arrow.Data as unknown as new (...args: unknown[]) => arrow.Data
/** Of views; older versions of apache-arrow have none. */
const variadicOf = (data: arrow.Data): readonly Uint8Array[] =>
  (data as unknown as { variadicBuffers?: readonly Uint8Array[] }).variadicBuffers ?? []

/** The same in memory of its own. */
function copied(data: arrow.Data): arrow.Data {
  const own = <V extends ArrayBufferView | undefined>(view: V): V =>
    (view === undefined ? undefined : (view as unknown as Uint8Array).slice()) as V
  return new AnyData(
    data.type,
    data.offset,
    data.length,
    data.nullCount,
    [own(data.valueOffsets as never), own(data.values), own(data.nullBitmap), own(data.typeIds as never)],
    data.children.map(copied),
    undefined,
    variadicOf(data).map(own),
  )
}

const kViewBytes = 16
const kInlineBytes = 12

/** Views of bytes that lie one behind the other: short ones hold them, the others point at them where they are. */
function viewsOf(
  type: arrow.DataType,
  length: number,
  nullCount: number,
  offsets: Int32Array,
  bytes: Uint8Array,
  validity: Uint8Array | undefined,
): arrow.Data {
  const views = new Uint8Array(length * kViewBytes)
  const words = new DataView(views.buffer)
  for (let i = 0; i < length; i++) {
    const from = offsets[i]!
    const size = offsets[i + 1]! - from
    const at = i * kViewBytes
    words.setInt32(at, size, true)
    // The first four bytes are there in any case.
    views.set(bytes.subarray(from, from + (size > kInlineBytes ? 4 : size)), at + 4)
    if (size > kInlineBytes) words.setInt32(at + 12, from, true)
  }
  const buffers = [undefined, views, validity]
  return new AnyData(type, 0, length, validity === undefined ? 0 : nullCount, buffers, [], undefined, [bytes])
}

/** Reads chunks of batches with one schema. Of one scan, if there are columns with dictionaries. */
export class BatchReader {
  readonly schema: arrow.Schema
  readonly #struct: arrow.Struct
  readonly #layouts: readonly Layout[]
  #meta: Float64Array = new Float64Array(0)
  #at = 0
  /** What the nulls of one batch are made of: a write from outside reaches no other batch. */
  #zeros = new ArrayBuffer(0)

  /** `made`: what schemaFromJson gives, if it was made before. */
  constructor(schema: JsonSchema, made: arrow.Schema = schemaFromJson(schema)) {
    this.schema = made
    this.#struct = new arrow.Struct(this.schema.fields)
    this.#layouts = schema.fields.map(layoutOf)
  }

  read(chunk: BatchChunk): Batch[] {
    this.#meta = chunk.meta
    this.#at = 0
    const batches: Batch[] = []
    for (let i = 0; i < chunk.count; i++) batches.push(this.#batch(chunk.buffers))
    return batches
  }

  #next(): number {
    return this.#meta[this.#at++]!
  }

  #batch(buffers: ArrayBuffer[]): Batch {
    const buffer = buffers[this.#next()]!
    const rows = this.#next()
    const first = this.#next()
    const whole = this.#next()
    const zeroCopy = this.#next() === 1
    const sliced = rows !== whole
    this.#zeros = new ArrayBuffer(0)
    const children: arrow.Data[] = []
    for (let i = 0; i < this.#layouts.length; i++) {
      const data = this.#data(this.#layouts[i]!, this.schema.fields[i]!.type as arrow.DataType, buffer)
      children.push(sliced ? data.slice(first, rows) : data)
    }
    const data = new arrow.Data(this.#struct, 0, rows, 0, [] as never, children)
    return new MarbleBatch(this.schema, data, buffer, zeroCopy)
  }

  /** What a column's dictionary has so far: each batch brings what is new. Copied: it outlives its batch. */
  readonly #dictionaries = new Map<Layout, arrow.Data[]>()

  #dictionary(layout: Layout, type: arrow.Dictionary, buffer: ArrayBuffer): arrow.Data {
    const [indexLayout, valueLayout] = layout.children as [Layout, Layout]
    const indices = this.#data(indexLayout, type.indices as arrow.DataType, buffer)
    const anew = this.#next() === 1
    const added = this.#data(valueLayout, type.dictionary as arrow.DataType, buffer)
    const known = anew ? [] : (this.#dictionaries.get(layout) ?? [])
    const chunks = added.length > 0 || known.length === 0 ? [...known, copied(added)] : known
    this.#dictionaries.set(layout, chunks)
    return new arrow.Data(
      type,
      0,
      indices.length,
      indices.nullCount,
      [undefined, indices.values, indices.nullCount > 0 ? indices.nullBitmap : undefined] as never,
      [],
      new arrow.Vector(chunks),
    )
  }

  #data(layout: Layout, type: arrow.DataType, buffer: ArrayBuffer): arrow.Data {
    if (layout.shape === 'dictionary') return this.#dictionary(layout, type as arrow.Dictionary, buffer)
    const start = this.#at
    const length = this.#next()
    const nullCount = this.#next()
    if (layout.shape === 'null') return new arrow.Data(type, 0, length, length)
    if (layout.shape === 'sparseUnion' || layout.shape === 'denseUnion') {
      if (length > 0 && nullCount === length) {
        this.#at = start + numbersOf(layout)
        return this.#nulls(layout, type, length)
      }
      return this.#union(layout, type as arrow.Union, buffer, length)
    }
    let validity: Uint8Array | undefined
    const validityOffset = this.#next()
    const validityLength = this.#next()
    if (length > 0 && nullCount === length && validityLength === 0) {
      // A column that the file does not have.
      this.#at = start + numbersOf(layout)
      return this.#nulls(layout, type, length)
    }
    if (nullCount !== 0 && validityLength > 0) validity = new Uint8Array(buffer, validityOffset, validityLength)
    let offsets: Int32Array | BigInt64Array | undefined
    let values: View | undefined
    switch (layout.shape) {
      case 'bits':
        values = this.#view(buffer, Uint8Array)
        break
      case 'fixed':
        values = this.#view(buffer, layout.array)
        break
      case 'bytes32':
        offsets = this.#offsets(buffer, Int32Array) as Int32Array
        values = this.#view(buffer, Uint8Array)
        break
      case 'bytes64':
        offsets = this.#offsets(buffer, BigInt64Array) as BigInt64Array
        values = this.#view(buffer, Uint8Array)
        break
      case 'list32':
        offsets = this.#offsets(buffer, Int32Array) as Int32Array
        break
      case 'list64':
        offsets = this.#offsets(buffer, BigInt64Array) as BigInt64Array
        break
    }
    if (layout.view) return viewsOf(type, length, nullCount, offsets as Int32Array, values as Uint8Array, validity)
    const children = layout.children.map((child, i) =>
      this.#data(child, type.children[i]!.type as arrow.DataType, buffer),
    )
    return new arrow.Data(
      type,
      0,
      length,
      validity === undefined ? 0 : nullCount,
      [offsets, values, validity] as never,
      children,
    )
  }

  #union(layout: Layout, type: arrow.Union, buffer: ArrayBuffer, length: number): arrow.Data {
    const typeIds = this.#view(buffer, Int8Array)
    const offsets = layout.shape === 'denseUnion' ? this.#view(buffer, Int32Array) : undefined
    const children = layout.children.map((child, i) =>
      this.#data(child, type.children[i]!.type as arrow.DataType, buffer),
    )
    return new arrow.Data(type, 0, length, -1, [offsets, undefined, undefined, typeIds] as never, children)
  }

  /** A union has no validity of its own: nulls of its first child, in a dense one all the same null. */
  #nullUnion(layout: Layout, type: arrow.Union, length: number): arrow.Data {
    const dense = layout.shape === 'denseUnion'
    const typeIds = new Int8Array(length).fill(type.typeIds[0]!)
    const children = layout.children.map((child, i) => {
      const items = dense ? Math.min(i === 0 ? 1 : 0, length) : length
      return this.#nulls(child, type.children[i]!.type as arrow.DataType, items)
    })
    const offsets = dense ? new Int32Array(length) : undefined
    return new arrow.Data(type, 0, length, -1, [offsets, undefined, undefined, typeIds] as never, children)
  }

  #nulls(layout: Layout, type: arrow.DataType, length: number): arrow.Data {
    if (layout.shape === 'null') return new arrow.Data(type, 0, length, length)
    if (layout.shape === 'sparseUnion' || layout.shape === 'denseUnion')
      return this.#nullUnion(layout, type as arrow.Union, length)
    const zeros = <V>(
      View: { new (buffer: ArrayBuffer, offset: number, length: number): V; BYTES_PER_ELEMENT: number },
      elements: number,
    ): V => {
      const bytes = elements * View.BYTES_PER_ELEMENT
      if (this.#zeros.byteLength < bytes) this.#zeros = new ArrayBuffer(bytes)
      return new View(this.#zeros, 0, elements)
    }
    let offsets: Int32Array | BigInt64Array | undefined
    let values: View | undefined
    let items = 0
    switch (layout.shape) {
      case 'bits':
        values = zeros(Uint8Array, Math.ceil(length / 8))
        break
      case 'fixed':
        values = zeros(layout.array as Uint8ArrayConstructor, length * layout.elements)
        break
      case 'bytes32':
        offsets = zeros(Int32Array, length + 1)
        values = new Uint8Array(0)
        break
      case 'bytes64':
        offsets = zeros(BigInt64Array, length + 1)
        values = new Uint8Array(0)
        break
      case 'list32':
        offsets = zeros(Int32Array, length + 1)
        break
      case 'list64':
        offsets = zeros(BigInt64Array, length + 1)
        break
      case 'fixedList':
        items = length * (type as arrow.FixedSizeList).listSize
        break
      case 'struct':
        items = length
        break
    }
    const validity = zeros(Uint8Array, Math.ceil(length / 8))
    if (layout.view) return viewsOf(type, length, length, offsets as Int32Array, new Uint8Array(0), validity)
    const children = layout.children.map((child, i) =>
      this.#nulls(child, type.children[i]!.type as arrow.DataType, items),
    )
    return new arrow.Data(type, 0, length, length, [offsets, values, validity] as never, children)
  }

  // An absent buffer (no rows, or only nulls) is an empty view, never a view of something else.
  #view(buffer: ArrayBuffer, View: Layout['array']): View {
    const offset = this.#next()
    const bytes = this.#next()
    return (bytes === 0 ? new View(0) : new View(buffer, offset, bytes / View.BYTES_PER_ELEMENT)) as View
  }

  // apache-arrow reads offsets[0] also of an empty column.
  #offsets(buffer: ArrayBuffer, View: Int32ArrayConstructor | BigInt64ArrayConstructor): Int32Array | BigInt64Array {
    const offset = this.#next()
    const bytes = this.#next()
    return bytes === 0 ? new View(1) : new View(buffer, offset, bytes / View.BYTES_PER_ELEMENT)
  }
}
