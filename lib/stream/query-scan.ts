// The rows of a query: a job whose results are pulled batch by batch. Leaving the loop cancels it.
import * as arrow from 'apache-arrow'
import { type Batch, MarbleBatch } from '../arrow/batch.js'
import { BatchReader } from '../arrow/export.js'
import type { JsonField, JsonSchema } from '../arrow/json-schema.js'
import { rowsToBatch } from '../arrow/rows-to-batch.js'
import { abortError } from '../errors.js'
import { type PlanField, uniqueNames } from '../sql/index.js'
import { type Scan, type ScanSource, SourceScan } from '../table/scan.js'
import type { Job } from './job.js'

const kWaitMs = 50
const opField: JsonField = { name: 'op', nullable: false, type: { name: 'utf8' }, children: [] }

export interface QueryScanSpec {
  fields: readonly JsonField[]
  /** Put a first column `op` before the rows: '+I' for each, because the query only appends. */
  withOp: boolean
  signal: AbortSignal | undefined
  start: () => Promise<Job>
}

export function queryScan<R>(spec: QueryScanSpec): Scan<R> {
  const inner: JsonSchema = { fields: [...spec.fields] }
  // A column of the query that is called op, too, comes as op0.
  const jsonSchema: JsonSchema = spec.withOp
    ? { fields: uniqueNames([opField, ...spec.fields] as unknown as PlanField[]) as unknown as JsonField[] }
    : inner
  const reader = new BatchReader(inner)
  const schema = spec.withOp ? new BatchReader(jsonSchema).schema : reader.schema
  const source: ScanSource = {
    schema,
    jsonSchema,
    async *batches() {
      if (spec.signal?.aborted) throw abortError(spec.signal)
      const job = await spec.start()
      try {
        for (;;) {
          if (spec.signal?.aborted) throw abortError(spec.signal)
          const chunk = await job.nextResult(kWaitMs)
          if (spec.signal?.aborted) throw abortError(spec.signal)
          if (chunk === null) return
          if (chunk === undefined) continue
          for (const batch of reader.read(chunk)) yield spec.withOp ? withOp(schema, batch) : batch
        }
      } finally {
        await job.cancel()
      }
    },
  }
  return new SourceScan<R>(source)
}

/** Rows that are known already. */
export function rowsScan<R>(jsonSchema: JsonSchema, rows: readonly object[]): Scan<R> {
  const schema = new BatchReader(jsonSchema).schema
  return new SourceScan<R>({
    schema,
    jsonSchema,
    async *batches() {
      if (rows.length > 0) yield rowsToBatch(jsonSchema, rows)
    },
  })
}

function withOp(schema: arrow.Schema, batch: Batch): Batch {
  const rows = batch.numRows
  const offsets = Int32Array.from({ length: rows + 1 }, (_, i) => i * 2)
  const op = new arrow.Data(new arrow.Utf8(), 0, rows, 0, [offsets, Buffer.from('+I'.repeat(rows))] as never)
  const data = new arrow.Data(new arrow.Struct(schema.fields), 0, rows, 0, [] as never, [op, ...batch.data.children])
  return new MarbleBatch(schema, data, undefined, false)
}
