// A table: rows with an Arrow schema and, usually, a primary key.
import type * as arrow from 'apache-arrow'
import type { Bound, IteratorHandle, NativeScanOptions, SnapshotHandle, TableHandle } from '../../binding.js'
import type { Any } from '../any.js'
import type { Batch } from '../arrow/batch.js'
import { BatchReader } from '../arrow/export.js'
import { importBatch, importRows } from '../arrow/import.js'
import { columnIndex, type JsonField, type JsonSchema } from '../arrow/json-schema.js'
import { isRecordBatchLike, isTableLike, type RecordBatchLike, type TableLike } from '../arrow/like.js'
import { readRows } from '../arrow/row-reader.js'
import { decimalToString, toBinary, toBool, toDecimal, toFloat, toInt32, toInt64, toText } from '../arrow/values.js'
import { binding } from '../binding.js'
import type { Database } from '../database/database.js'
import { handleOf } from '../database/handles.js'
import { type Snapshot, snapshotOf, snapshotRule } from '../database/snapshot.js'
import { abortError, invalidArgument, makeError, notSupported } from '../errors.js'
import { checkFields, checkValue, count, didYouMean, type Rule, rule, type Rules, shown } from '../options.js'
import type { Progress } from '../progress.js'
import type { Parameters as SqlParameters } from '../sql/binder/parameters.js'
import { planPredicate } from '../sql/predicate.js'
import { slab } from '../state/slab.js'
import type { Range } from '../state/state-backend.js'
import { CellReader, prepareCells } from './row-cells.js'
import { type Scan, SourceScan } from './scan.js'

export type RowKey = object | unknown[]
export interface ScanOptions {
  columns?: string[]
  /** A condition as SQL text: "px > ? AND symbol = 'A'". Rows for which it is NULL are left out. */
  where?: string | object
  /** Values of the `?` in `where`: numbers, bigints, strings, booleans, Dates, Uint8Arrays, null. */
  params?: unknown[]
  range?: Range<RowKey>
  limit?: number
  reverse?: boolean
  snapshot?: Snapshot
  signal?: AbortSignal
  batchRows?: number
  onProgress?: (progress: Progress) => void
}
export interface CountOptions {
  where?: string
  params?: unknown[]
  snapshot?: Snapshot
  signal?: AbortSignal
}
export type FileFormat = 'arrow' | 'parquet' | 'csv' | 'jsonl'
export interface ImportOptions {
  format?: FileFormat
  signal?: AbortSignal
  onProgress?: (progress: Progress) => void
}
export interface TableIterator {
  /** The next batches begin at the first key that is not less than this one (with reverse: not greater). */
  seek(key: RowKey): void
  next(): Promise<Batch | undefined>
  close(): Promise<void>
}

const conditionRule: Rule = {
  allowed: 'a condition as SQL text',
  is: value => typeof value === 'string' || (typeof value === 'object' && value !== null),
}
const scanRules: Rules<ScanOptions> = {
  columns: rule.texts,
  where: conditionRule,
  params: rule.anything, // checked against the text
  range: rule.object,
  limit: count(),
  reverse: rule.flag,
  snapshot: snapshotRule,
  signal: rule.signal,
  batchRows: count(1),
  onProgress: rule.func,
}
const rangeRules: Rules<Range<RowKey>> = {
  gte: rule.anything, // keyValues looks at them
  gt: rule.anything,
  lte: rule.anything,
  lt: rule.anything,
}
const countRules: Rules<CountOptions> = {
  where: conditionRule,
  params: rule.anything,
  snapshot: snapshotRule,
  signal: rule.signal,
}
const asyncReadRules = { snapshot: snapshotRule, signal: rule.signal }
const kNoRoom = -2
/** Batches of a scan's first crossing: a reader that wants one row does not wait for a whole file. */
const kFirstBatches = 16
const kMostBatches = 512

export class Table<R = Any> {
  readonly name: string
  readonly schema: arrow.Schema
  readonly primaryKey: string[]
  /** @internal */
  readonly jsonSchema: JsonSchema
  readonly #database: Database
  readonly #handle: TableHandle
  readonly #keyFields: readonly JsonField[]
  readonly #reader: BatchReader
  readonly #cells: CellReader | undefined

  /** Made by Database.table and Database.createTable. */
  constructor(database: Database, name: string, opened: { handle: TableHandle; schema: string; primaryKey: number[] }) {
    this.#database = database
    this.#handle = opened.handle
    this.name = name
    this.jsonSchema = JSON.parse(opened.schema) as JsonSchema
    this.#keyFields = opened.primaryKey.map(i => this.jsonSchema.fields[i]!)
    this.primaryKey = this.#keyFields.map(field => field.name)
    this.#reader = new BatchReader(this.jsonSchema)
    this.schema = this.#reader.schema
    if (binding().tableHasCells(this.#handle)) {
      prepareCells()
      this.#cells = new CellReader(this.jsonSchema)
    }
  }

  /** @internal Is it a table of this copy of the package? */
  static isTable(value: unknown): value is Table {
    return typeof value === 'object' && value !== null && #handle in value
  }

  /** @internal */
  get [handleOf](): TableHandle {
    return this.#handle
  }

  /** Upsert by key: the last one wins, also within one batch. Columns by name; a missing nullable column is null. */
  async insertBatch(
    data: RecordBatchLike | TableLike | Uint8Array | AsyncIterable<RecordBatchLike>,
  ): Promise<{ rows: number }> {
    if (data instanceof Uint8Array) return { rows: await binding().tableInsertIpc(this.#handle, data) }
    if (isRecordBatchLike(data)) return { rows: await binding().tableInsert(this.#handle, [importBatch(data)]) }
    if (isTableLike(data))
      return {
        rows: await binding().tableInsert(
          this.#handle,
          data.batches.map(batch => importBatch(batch)),
        ),
      }
    if (typeof (data as Partial<AsyncIterable<unknown>> | null)?.[Symbol.asyncIterator] !== 'function') {
      throw invalidArgument(
        `insertBatch takes a RecordBatch, a Table, Arrow IPC bytes or an async iterable of RecordBatches, not ${shown(data)}`,
      )
    }
    let rows = 0
    for await (const batch of data) {
      if (!isRecordBatchLike(batch))
        throw invalidArgument(`insertBatch: the iterable must yield RecordBatches, not ${shown(batch)}`)
      rows += await binding().tableInsert(this.#handle, [importBatch(batch)])
    }
    return { rows }
  }

  async insert(rows: readonly R[]): Promise<{ rows: number }> {
    if (!Array.isArray(rows)) throw invalidArgument(`insert takes an array of rows, not ${shown(rows)}`)
    return { rows: await binding().tableInsert(this.#handle, importRows(this.jsonSchema, rows)) }
  }

  get(key: RowKey, options?: { snapshot?: Snapshot }): R | undefined {
    return this.#get(key, snapshotOf('get', options))
  }

  #get(key: RowKey, snapshot: SnapshotHandle | undefined): R | undefined {
    const values = this.keyValues(key)
    if (this.#cells !== undefined) {
      let used = binding().tableGetCells(this.#handle, values, slab().offset, snapshot)
      if (used === kNoRoom) {
        slab().renew()
        used = binding().tableGetCells(this.#handle, values, 0, snapshot)
      }
      if (used >= 0) {
        slab().offset += used
        return this.#cells.row() as R
      }
      if (used !== kNoRoom) return undefined
    }
    return this.#firstRow(binding().tableGetBatch(this.#handle, values, snapshot))
  }

  async getAsync(key: RowKey, options?: { snapshot?: Snapshot; signal?: AbortSignal }): Promise<R | undefined> {
    const snapshot = snapshotOf('getAsync', options, asyncReadRules)
    if (options?.signal?.aborted) throw abortError(options.signal)
    const chunk = await binding().tableGetAsync(this.#handle, this.keyValues(key), snapshot)
    if (options?.signal?.aborted) throw abortError(options.signal)
    return this.#firstRow(chunk)
  }

  /** Rows in the order of the keys, all of one snapshot. */
  getMany(keys: readonly RowKey[], options?: { snapshot?: Snapshot }): (R | undefined)[] {
    checkValue('getMany', 'keys', keys, rule.list)
    const given = snapshotOf('getMany', options)
    if (given !== undefined) return keys.map(key => this.#get(key, given))
    const snapshot = this.#database.snapshot()
    try {
      return keys.map(key => this.#get(key, snapshot[handleOf]))
    } finally {
      snapshot.close()
    }
  }

  delete(key: RowKey): void {
    binding().tableDelete(this.#handle, this.keyValues(key))
  }

  /** In key order; without a primary key in the order of insertion. */
  scan(options: ScanOptions = {}): Scan<R> {
    const { native, jsonSchema } = this.#nativeOptions('scan', options)
    const whole = options.columns === undefined
    const reader = whole ? this.#reader : new BatchReader(jsonSchema)
    // The snapshot belongs to the call, not to the first step.
    let first: ReturnType<typeof this.open> | undefined = this.open(native)
    return new SourceScan<R>({
      schema: reader.schema,
      jsonSchema,
      batches: () => {
        const opened = first ?? this.open(native)
        first = undefined
        return this.#batches(opened, reader, options)
      },
    })
  }

  newIterator(options: ScanOptions = {}): TableIterator {
    const { native, jsonSchema } = this.#nativeOptions('newIterator', options)
    const reader = options.columns === undefined ? this.#reader : new BatchReader(jsonSchema)
    const own = options.snapshot === undefined ? this.#database.snapshot() : undefined
    native.snapshot ??= own?.[handleOf]
    let current = this.#batches(this.open(native), reader, options)
    return {
      seek: key => {
        const values = this.keyValues(key, true)
        const bound: Bound = { key: values, inclusive: true }
        void current.return()
        current = this.#batches(
          this.open({ ...native, ...(options.reverse ? { upper: bound } : { lower: bound }) }),
          reader,
          options,
        )
      },
      next: async () => {
        const { value } = await current.next()
        return value ?? undefined
      },
      close: async () => {
        await current.return()
        own?.close()
      },
    }
  }

  /** Without `where`, what is known of the files is counted instead of read. */
  async count(options: CountOptions = {}): Promise<bigint> {
    const snapshot = snapshotOf('count', options, countRules)
    const where = this.#condition('count', options.where, options.params)
    const { iterator, release } = this.open({ columns: [], snapshot, where })
    try {
      return await abortable(options.signal, release, () => binding().iteratorCount(iterator))
    } finally {
      release()
    }
  }

  /** Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  async importFile(_path: string, _options?: ImportOptions): Promise<{ rows: number }> {
    throw notSupported('importFile', 'read the file and use insertBatch')
  }

  /** Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  async exportFile(_path: string, _options?: ScanOptions & { format?: FileFormat }): Promise<{ rows: number }> {
    throw notSupported('exportFile', 'scan the table and write its batches')
  }

  /** @internal The values of a key in key order, in the columns' own units. */
  keyValues(key: RowKey, allowPrefix = false): unknown[] {
    const fields = this.#keyFields
    if (fields.length === 0) {
      throw notSupported(`a key of table '${this.name}', which has no primary key`, 'use scan')
    }
    if (typeof key !== 'object' || key === null)
      throw invalidArgument(
        `a key of table '${this.name}' is an object { ${this.primaryKey.join(', ')} } or an array, not ${shown(key)}`,
      )
    if (Array.isArray(key)) {
      if (key.length > fields.length || (!allowPrefix && key.length < fields.length)) {
        throw makeError(
          'MARBLE_SCHEMA',
          `the key of table '${this.name}' is (${this.primaryKey.join(', ')}): ${key.length} values were given`,
        )
      }
      return key.map((value, i) => keyValue(fields[i]!, value))
    }
    const named = key as Record<string, unknown>
    for (const name in named) {
      if (!this.primaryKey.includes(name)) {
        throw makeError(
          'MARBLE_SCHEMA',
          `'${name}' is no key column of table '${this.name}'${didYouMean(name, this.primaryKey)}: its key is (${this.primaryKey.join(', ')})`,
        )
      }
    }
    const values: unknown[] = []
    for (const field of fields) {
      if (named[field.name] === undefined) {
        if (allowPrefix && Object.keys(named).length === values.length) break
        throw makeError(
          'MARBLE_SCHEMA',
          `the key of table '${this.name}' is (${this.primaryKey.join(', ')}): '${field.name}' is missing`,
        )
      }
      values.push(keyValue(field, named[field.name]))
    }
    return values
  }

  /** @internal */
  open(options: NativeScanOptions): { iterator: IteratorHandle; release: () => void } {
    const iterator = binding().tableScan(this.#handle, options)
    const close = (): void => binding().iteratorClose(iterator)
    const forget = this.#database.track(close)
    return {
      iterator,
      release: () => {
        forget()
        close()
      },
    }
  }

  async *#batches(
    opened: ReturnType<typeof this.open>,
    reader: BatchReader,
    options: ScanOptions,
  ): AsyncGenerator<Batch, void, undefined> {
    const { iterator, release } = opened
    const { signal, onProgress } = options
    let rows = 0
    try {
      for (let want = kFirstBatches; ; want = kMostBatches) {
        const chunk = await abortable(signal, release, () => binding().iteratorNextBatches(iterator, want))
        if (chunk === undefined) return
        for (const batch of reader.read(chunk)) {
          rows += batch.numRows
          yield batch
          onProgress?.({ done: rows, unit: 'rows' })
          if (signal?.aborted) throw abortError(signal)
        }
      }
    } finally {
      release()
    }
  }

  #nativeOptions(where: string, options: ScanOptions): { native: NativeScanOptions; jsonSchema: JsonSchema } {
    const snapshot = snapshotOf(where, options, scanRules)
    const fields = this.jsonSchema.fields
    const columns =
      options.columns?.map(name => columnIndex(this.jsonSchema, name, `table '${this.name}'`)) ??
      fields.map((_, i) => i)
    return {
      native: {
        columns,
        lower: this.#bound(where, 'gte', 'gt', options.range),
        upper: this.#bound(where, 'lte', 'lt', options.range),
        limit: options.limit,
        reverse: options.reverse,
        batchRows: options.batchRows,
        snapshot,
        where: this.#condition(where, options.where, options.params),
      },
      jsonSchema: { fields: columns.map(i => fields[i]!) },
    }
  }

  /** The condition in the form that the addon reads. */
  #condition(where: string, condition: string | object | undefined, params: unknown): string | undefined {
    if (condition === undefined) {
      if (params !== undefined)
        throw invalidArgument(`${where}: params without where: there is nothing that takes them`)
      return undefined
    }
    if (typeof condition !== 'string')
      throw notSupported(`${where}: a condition as an object`, "write it as SQL text: where: 'px > ?'")
    return JSON.stringify(planPredicate(condition, this.jsonSchema.fields, params as SqlParameters | undefined, where))
  }

  #bound(
    where: string,
    inclusive: 'gte' | 'lte',
    exclusive: 'gt' | 'lt',
    range: Range<RowKey> | undefined,
  ): Bound | undefined {
    if (range === undefined) return undefined
    checkFields(`${where}: range`, range, rangeRules)
    if (range[inclusive] !== undefined && range[exclusive] !== undefined)
      throw invalidArgument(`${where}: a range has ${inclusive} or ${exclusive}, not both`)
    const key = range[inclusive] ?? range[exclusive]
    return key === undefined ? undefined : { key: this.keyValues(key, true), inclusive: range[inclusive] !== undefined }
  }

  #firstRow(chunk: Parameters<BatchReader['read']>[0] | undefined): R | undefined {
    if (chunk === undefined) return undefined
    const [batch] = this.#reader.read(chunk)
    const [row] = [...readRows(this.jsonSchema, batch!)]
    return row as R
  }
}

/** A step of a scan; when the signal fires meanwhile, `stop` ends it at its next batch. */
async function abortable<T>(signal: AbortSignal | undefined, stop: () => void, step: () => Promise<T>): Promise<T> {
  if (signal === undefined) return await step()
  if (signal.aborted) throw abortError(signal)
  signal.addEventListener('abort', stop)
  try {
    const result = await step()
    if (signal.aborted) throw abortError(signal)
    return result
  } catch (error) {
    throw signal.aborted ? abortError(signal) : error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Checked, and in the column's unit: what the addon turns into a scalar. */
function keyValue(field: JsonField, value: unknown): unknown {
  if (value === null || value === undefined) return null
  const { type } = field
  switch (type.name) {
    case 'utf8':
    case 'largeutf8':
      return toText(field, value)
    case 'binary':
    case 'largebinary':
      return toBinary(field, value)
    case 'bool':
      return toBool(field, value)
    case 'floatingpoint':
      return toFloat(field, value)
    case 'decimal':
      return decimalToString(toDecimal(field, value), type.scale)
    case 'int':
      if (type.bitWidth !== 64) return toInt32(field, value)
      return typeof value === 'number' && Number.isSafeInteger(value) ? value : toInt64(field, value)
    case 'timestamp':
      if (type.unit !== 'SECOND' && typeof value === 'number' && Number.isSafeInteger(value)) return value
      return toInt64(field, value)
    case 'date':
      return type.unit === 'DAY' ? toInt32(field, value) : toInt64(field, value)
    case 'time':
      return type.bitWidth === 32 ? toInt32(field, value) : toInt64(field, value)
    case 'duration':
      return toInt64(field, value)
    default:
      return value
  }
}
