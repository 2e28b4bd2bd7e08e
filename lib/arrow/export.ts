// Batches out of the addon: a chunk's Float64Array says which bytes of which ArrayBuffer make up which column (the order is
// that of native/napi/arrow_export.h); here they become typed arrays and apache-arrow's Data.
import * as arrow from 'apache-arrow'
import type { BatchChunk } from '../../binding.js'
import { type Batch, MarbleBatch } from './batch.js'
import type { JsonSchema } from './json-schema.js'
import { schemaFromJson } from './json-schema.js'
import { type Layout, layoutOf } from './layout.js'

type View = arrow.Data['values']

/** Reads chunks of batches with one schema. */
export class BatchReader {
  readonly schema: arrow.Schema
  readonly #struct: arrow.Struct
  readonly #layouts: readonly Layout[]
  #meta: Float64Array = new Float64Array(0)
  #at = 0

  constructor(schema: JsonSchema) {
    this.schema = schemaFromJson(schema)
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
    const children: arrow.Data[] = []
    for (let i = 0; i < this.#layouts.length; i++) {
      const data = this.#data(this.#layouts[i]!, this.schema.fields[i]!.type as arrow.DataType, buffer)
      children.push(sliced ? data.slice(first, rows) : data)
    }
    const data = new arrow.Data(this.#struct, 0, rows, 0, [] as never, children)
    return new MarbleBatch(this.schema, data, buffer, zeroCopy)
  }

  #data(layout: Layout, type: arrow.DataType, buffer: ArrayBuffer): arrow.Data {
    const length = this.#next()
    const nullCount = this.#next()
    if (layout.shape === 'null') return new arrow.Data(type, 0, length, length)
    let validity: Uint8Array | undefined
    const validityOffset = this.#next()
    const validityLength = this.#next()
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
