// Rows (objects) into a RecordBatch of apache-arrow, without the addon.
import * as arrow from 'apache-arrow'
import type { ImportedBatch } from '../../binding.js'
import { type Batch, MarbleBatch } from './batch.js'
import { type JsonSchema, schemaFromJson } from './json-schema.js'
import { type Layout, layoutOf } from './layout.js'
import { RowWriter } from './row-writer.js'

export function rowsToBatch(schema: JsonSchema, rows: readonly unknown[]): Batch {
  const written = new RowWriter(schema).write(rows, 0, rows.length)
  const arrowSchema = schemaFromJson(schema)
  const cursor = { written, node: 0, buffer: 0 }
  const children = schema.fields.map((field, i) =>
    take(cursor, layoutOf(field), arrowSchema.fields[i]!.type as arrow.DataType),
  )
  const data = new arrow.Data(new arrow.Struct(arrowSchema.fields), 0, rows.length, 0, [] as never, children)
  return new MarbleBatch(arrowSchema, data, undefined, false)
}

interface Cursor {
  written: ImportedBatch
  node: number
  buffer: number
}

function take(cursor: Cursor, layout: Layout, type: arrow.DataType): arrow.Data {
  const length = cursor.written.nodes[cursor.node]!
  cursor.node += 5
  if (layout.shape === 'null') return new arrow.Data(type, 0, length, length)
  const next = (): ArrayBufferView | undefined => cursor.written.buffers[cursor.buffer++]
  const validity = next()
  const hasOffsets = ['bytes32', 'bytes64', 'list32', 'list64'].includes(layout.shape)
  const offsets = hasOffsets ? next() : undefined
  const values = ['bits', 'fixed', 'bytes32', 'bytes64'].includes(layout.shape) ? next() : undefined
  const children = layout.children.map((child, i) => take(cursor, child, type.children[i]!.type as arrow.DataType))
  return new arrow.Data(
    type,
    0,
    length,
    validity === undefined ? 0 : -1,
    [offsets, values, validity] as never,
    children,
  )
}
