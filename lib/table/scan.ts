// A scan of a table (or the rows of a query): batches as they come, a whole apache-arrow Table, or rows as objects.
import * as arrow from 'apache-arrow'
import type { Any } from '../any.js'
import type { Batch } from '../arrow/batch.js'
import type { JsonSchema } from '../arrow/json-schema.js'
import { readRows } from '../arrow/row-reader.js'
import { type ValueOptions, valueRules } from '../arrow/values.js'
import { checkOptions } from '../options.js'

export interface Scan<R = Any> extends AsyncIterable<Batch> {
  /** The columns of its batches. */
  readonly schema: arrow.Schema
  toTable(): Promise<arrow.Table>
  rows(options?: ValueOptions): AsyncIterable<R>
  toArray(options?: ValueOptions): Promise<R[]>
}

export interface ScanSource {
  readonly schema: arrow.Schema
  readonly jsonSchema: JsonSchema
  /** Start; called once for each loop. */
  batches(): AsyncGenerator<Batch, void, undefined>
}

export class SourceScan<R> implements Scan<R> {
  readonly #source: ScanSource

  constructor(source: ScanSource) {
    this.#source = source
  }

  get schema(): arrow.Schema {
    return this.#source.schema
  }

  [Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    return this.#source.batches()
  }

  async toTable(): Promise<arrow.Table> {
    const batches: arrow.RecordBatch[] = []
    for await (const batch of this) batches.push(batch)
    return new arrow.Table(this.schema, batches)
  }

  rows(options: ValueOptions = {}): AsyncGenerator<R, void, undefined> {
    checkOptions('rows', options, valueRules)
    return this.#rows(options)
  }

  async *#rows(options: ValueOptions): AsyncGenerator<R, void, undefined> {
    for await (const batch of this) {
      yield* readRows(this.#source.jsonSchema, batch, options) as Generator<R, void, undefined>
      batch.release()
    }
  }

  async toArray(options: ValueOptions = {}): Promise<R[]> {
    checkOptions('toArray', options, valueRules)
    const rows: R[] = []
    for await (const batch of this) {
      for (const row of readRows(this.#source.jsonSchema, batch, options)) rows.push(row as R)
      batch.release()
    }
    return rows
  }
}
