// Batches into the addon: the typed arrays of their Data are passed as they are (native/napi/arrow_import.h copies them once).
import type { ImportedBatch } from '../../binding.js'
import { invalidArgument, makeError } from '../errors.js'
import { shown } from '../options.js'
import type { JsonSchema } from './json-schema.js'
import { schemaToText } from './json-schema.js'
import {
  type DataLike,
  type DataTypeLike,
  isRecordBatchLike,
  isTableLike,
  parametersOf,
  type RecordBatchLike,
  type SchemaLike,
  type TableLike,
} from './like.js'
import { RowWriter } from './row-writer.js'

/** Rows of a batch made of objects: bounded memory for the columns in between. */
const kRowsPerBatch = 64 * 1024

export function importRows(
  schema: JsonSchema,
  rows: RecordBatchLike | TableLike | readonly unknown[],
): ImportedBatch[] {
  if (isTableLike(rows)) return rows.batches.map(batch => importBatch(batch))
  if (isRecordBatchLike(rows)) return [importBatch(rows)]
  if (!Array.isArray(rows))
    throw invalidArgument(`rows must be a RecordBatch, a Table or an array of objects, not ${shown(rows)}`)
  const writer = new RowWriter(schema)
  const batches: ImportedBatch[] = []
  for (let start = 0; start < rows.length; start += kRowsPerBatch) {
    batches.push(writer.write(rows, start, Math.min(start + kRowsPerBatch, rows.length)))
  }
  return batches
}

/** `columns`: only these, by name. */
export function importBatch(batch: RecordBatchLike, columns?: readonly string[]): ImportedBatch {
  const nodes: number[] = []
  const buffers: (ArrayBufferView | undefined)[] = []
  const { fields } = batch.schema
  const wanted =
    columns?.map(name => fields.findIndex(field => field.name === name)).filter(i => i >= 0) ?? fields.map((_, i) => i)
  for (const i of wanted) addNode(batch.data.children[i]!, nodes, buffers)
  const schema = columns === undefined ? batch.schema : narrowed(batch.schema, wanted)
  return { rows: batch.numRows, schema: schemaToText(schema), nodes: Float64Array.from(nodes), buffers }
}

const narrowSchemas = new WeakMap<SchemaLike, Map<string, SchemaLike>>()
function narrowed(schema: SchemaLike, wanted: readonly number[]): SchemaLike {
  const known = narrowSchemas.get(schema) ?? new Map<string, SchemaLike>()
  narrowSchemas.set(schema, known)
  const key = wanted.join()
  const found = known.get(key) ?? { fields: wanted.map(i => schema.fields[i]!) }
  known.set(key, found)
  return found
}

function addNode(data: DataLike, nodes: number[], buffers: (ArrayBufferView | undefined)[]): void {
  const { type } = data
  if (type.typeId === -1) {
    const indices = parametersOf(type).indices as DataTypeLike & { bitWidth: number; isSigned: boolean }
    const width = (indices.bitWidth / 8) * (indices.isSigned ? -1 : 1)
    const chunks = data.dictionary?.data ?? []
    nodes.push(data.length, data.offset, width, chunks.length, 0)
    buffers.push(validityOf(data), viewOf(data.values))
    for (const chunk of chunks) addNode(chunk, nodes, buffers)
    return
  }
  nodes.push(data.length, data.offset, 0, 0, 0)
  switch (type.typeId) {
    case 1: // null
      return
    case 4: // binary, utf8, large binary, large utf8
    case 5:
    case 19:
    case 20:
      buffers.push(validityOf(data), viewOf(data.valueOffsets), viewOf(data.values))
      return
    case 12: // list, map, large list
    case 17:
    case 21:
      buffers.push(validityOf(data), viewOf(data.valueOffsets))
      break
    case 14: // union
      buffers.push(viewOf(data.typeIds))
      if (parametersOf(type).mode === 1) buffers.push(viewOf(data.valueOffsets))
      break
    case 23: // binary view, utf8 view
    case 24: {
      const { offsets, bytes } = plainBytes(data)
      buffers.push(validityOf(data), offsets, bytes)
      return
    }
    case 13: // struct, fixed-size list
    case 16:
      buffers.push(validityOf(data))
      break
    default:
      buffers.push(validityOf(data), viewOf(data.values))
      return
  }
  for (const child of data.children) addNode(child, nodes, buffers)
}

const kViewBytes = 16
const kInlineBytes = 12

/** What views show, one value behind the other. */
function plainBytes(data: DataLike): { offsets: Int32Array; bytes: Uint8Array } {
  const { length, offset } = data
  const views = data.values as Uint8Array
  const words = new DataView(views.buffer, views.byteOffset, views.byteLength)
  const bitmap = validityOf(data) as Uint8Array | undefined
  const isValid = (i: number): boolean =>
    bitmap === undefined || (bitmap[(offset + i) >> 3]! & (1 << ((offset + i) & 7))) !== 0
  const offsets = new Int32Array(length + 1)
  let total = 0
  for (let i = 0; i < length; i++) {
    if (isValid(i)) total += words.getInt32(i * kViewBytes, true)
    if (total > 0x7fffffff) throw makeError('MARBLE_TOO_LARGE', 'views of more than 2 GiB in one batch')
    offsets[i + 1] = total
  }
  const bytes = new Uint8Array(total)
  for (let i = 0; i < length; i++) {
    const size = offsets[i + 1]! - offsets[i]!
    if (size === 0) continue
    const at = i * kViewBytes
    let from = views
    let start = at + 4
    if (size > kInlineBytes) {
      from = data.variadicBuffers![words.getInt32(at + 8, true)] as Uint8Array
      start = words.getInt32(at + 12, true)
    }
    bytes.set(from.subarray(start, start + size), offsets[i])
  }
  return { offsets, bytes }
}

const viewOf = (value: unknown): ArrayBufferView | undefined => (ArrayBuffer.isView(value) ? value : undefined)

// A bitmap that says nothing is not copied.
function validityOf(data: DataLike): ArrayBufferView | undefined {
  const bitmap = viewOf(data.nullBitmap)
  return bitmap === undefined || bitmap.byteLength === 0 || data.nullCount === 0 ? undefined : bitmap
}
