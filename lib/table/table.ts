// A table: rows with an Arrow schema and, usually, a primary key.
import type * as arrow from 'apache-arrow'
import type { Bound, IteratorHandle, NativeScanOptions, SnapshotHandle } from '../../binding.js'
import type { Any } from '../any.js'
import type { Batch } from '../arrow/batch.js'
import { BatchReader } from '../arrow/export.js'
import { importBatch, importRows } from '../arrow/import.js'
import { columnIndex, type JsonField, type JsonSchema, schemaFromJson, schemaToJson } from '../arrow/json-schema.js'
import {
  type DataTypeLike,
  isRecordBatchLike,
  isTableLike,
  type RecordBatchLike,
  type TableLike,
} from '../arrow/like.js'
import { readRows } from '../arrow/row-reader.js'
import { decimalToString, toBinary, toBool, toDecimal, toFloat, toInt32, toInt64, toText } from '../arrow/values.js'
import { binding } from '../binding.js'
import type { Database } from '../database/database.js'
import { handleOf } from '../database/handles.js'
import { type Snapshot, snapshotOf, snapshotRule } from '../database/snapshot.js'
import { abortError, invalidArgument, makeError, notSupported } from '../errors.js'
import { checkValue, count, didYouMean, type Rule, rule, type Rules, shown } from '../options.js'
import type { Progress } from '../progress.js'
import type { Parameters as SqlParameters } from '../sql/binder/parameters.js'
import { planPredicate } from '../sql/predicate.js'
import { slab } from '../state/slab.js'
import type { Range } from '../state/state-backend.js'
import { boundsOf } from './bounds.js'
import { Columns, type OpenedTable } from './columns.js'
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
const countRules: Rules<CountOptions> = {
  where: conditionRule,
  params: rule.anything,
  snapshot: snapshotRule,
  signal: rule.signal,
}
const asyncReadRules = { snapshot: snapshotRule, signal: rule.signal }
const kNoRoom = -2
/** How often a call begins anew because the columns have changed meanwhile. */
const kTries = 3
/** Batches of a scan's first crossing: a reader that wants one row does not wait for a whole file. */
const kFirstBatches = 16
const kMostBatches = 512

export class Table<R = Any> {
  readonly name: string
  readonly #database: Database
  /** What is known of the columns; #columns looks whether it is still so. */
  #known: Columns

  /** Made by Database.table and Database.createTable. */
  constructor(database: Database, name: string, opened: OpenedTable) {
    this.#database = database
    this.name = name
    this.#known = new Columns(opened)
  }

  /** The columns that the table has now. */
  get schema(): arrow.Schema {
    return this.#columns().schema
  }

  get primaryKey(): string[] {
    return this.#columns().primaryKey
  }

  /** Changed here, through another object or in another thread: then anew. A table that is gone keeps what it had. */
  #columns(): Columns {
    if (!this.#known.current) {
      try {
        this.#known = this.#known.renewed()
      } catch (error) {
        if (!isGone(error)) throw error
      }
    }
    return this.#known
  }

  /** Run a step with the columns that there are; again if they changed meanwhile: then nothing has been done. */
  async #withColumns<T>(step: (columns: Columns) => Promise<T>): Promise<T> {
    for (let left = kTries; ; left--) {
      const columns = this.#columns()
      try {
        return await step(columns)
      } catch (error) {
        if (left === 0 || codeOf(error) !== 'MARBLE_SCHEMA_CHANGED' || columns.current) throw error
      }
    }
  }

  #withColumnsSync<T>(columns: Columns, step: (columns: Columns) => T): T {
    for (let left = kTries; ; left--) {
      try {
        return step(columns)
      } catch (error) {
        // A name that is not known may be known by now.
        if (left === 0 || columns.current) throw error
        columns = this.#columns()
      }
    }
  }

  /** Add a column behind the others, of a type of apache-arrow: null in all rows that there are. No file is rewritten. */
  async addColumn(name: string, type: object): Promise<void> {
    checkValue('addColumn', 'name', name, rule.name)
    const schema = schemaToJson({ fields: [{ name, nullable: true, type: type as DataTypeLike }] })
    await this.#alter('add', name, JSON.stringify(schema))
  }

  /** Drop a column that is not of the primary key. Compactions give its room back. */
  async dropColumn(name: string): Promise<void> {
    checkValue('dropColumn', 'name', name, rule.name)
    await this.#alter('drop', name, '')
  }

  async renameColumn(from: string, to: string): Promise<void> {
    checkValue('renameColumn', 'from', from, rule.name)
    checkValue('renameColumn', 'to', to, rule.name)
    await this.#alter('rename', from, to)
  }

  async #alter(kind: 'add' | 'drop' | 'rename', column: string, change: string): Promise<void> {
    await binding().tableAlter(this.#known.handle, kind, column, change)
    this.#columns()
  }

  /** @internal Is it a table of this copy of the package? */
  static isTable(value: unknown): value is Table {
    return typeof value === 'object' && value !== null && #known in value
  }

  /** @internal What stands for the columns that there are now. */
  get columns(): Columns {
    return this.#columns()
  }

  /** Upsert by key: the last one wins, also within one batch. Columns by name; a missing nullable column is null. */
  async insertBatch(
    data: RecordBatchLike | TableLike | Uint8Array | AsyncIterable<RecordBatchLike>,
  ): Promise<{ rows: number }> {
    if (data instanceof Uint8Array)
      return { rows: await this.#withColumns(({ handle }) => binding().tableInsertIpc(handle, data)) }
    if (isRecordBatchLike(data)) return { rows: await this.#insert([data]) }
    if (isTableLike(data)) return { rows: await this.#insert(data.batches) }
    if (typeof (data as Partial<AsyncIterable<unknown>> | null)?.[Symbol.asyncIterator] !== 'function') {
      throw invalidArgument(
        `insertBatch takes a RecordBatch, a Table, Arrow IPC bytes or an async iterable of RecordBatches, not ${shown(data)}`,
      )
    }
    let rows = 0
    for await (const batch of data) {
      if (!isRecordBatchLike(batch))
        throw invalidArgument(`insertBatch: the iterable must yield RecordBatches, not ${shown(batch)}`)
      rows += await this.#insert([batch])
    }
    return { rows }
  }

  #insert(batches: readonly RecordBatchLike[]): Promise<number> {
    return this.#withColumns(({ handle }) =>
      binding().tableInsert(
        handle,
        batches.map(batch => importBatch(batch)),
      ),
    )
  }

  async insert(rows: readonly R[]): Promise<{ rows: number }> {
    if (!Array.isArray(rows)) throw invalidArgument(`insert takes an array of rows, not ${shown(rows)}`)
    return {
      rows: await this.#withColumns(({ handle, jsonSchema }) =>
        binding().tableInsert(handle, importRows(jsonSchema, rows)),
      ),
    }
  }

  get(key: RowKey, options?: { snapshot?: Snapshot }): R | undefined {
    const snapshot = snapshotOf('get', options)
    // A snapshot may keep columns that the table no longer has: those of now are wanted.
    const columns = snapshot === undefined ? this.#known : this.#columns()
    return this.#withColumnsSync(columns, columns => this.#get(columns, key, snapshot))
  }

  #get(columns: Columns, key: RowKey, snapshot: SnapshotHandle | undefined): R | undefined {
    const values = this.#keyValues(columns, key)
    const { handle, cells } = columns
    if (cells !== undefined) {
      let used = binding().tableGetCells(handle, values, slab().offset, snapshot)
      if (used === kNoRoom) {
        slab().renew()
        used = binding().tableGetCells(handle, values, 0, snapshot)
      }
      if (used >= 0) {
        slab().offset += used
        return cells.row() as R
      }
      if (used !== kNoRoom) return undefined
    }
    return this.#firstRow(columns, binding().tableGetBatch(handle, values, snapshot))
  }

  async getAsync(key: RowKey, options?: { snapshot?: Snapshot; signal?: AbortSignal }): Promise<R | undefined> {
    const snapshot = snapshotOf('getAsync', options, asyncReadRules)
    if (options?.signal?.aborted) throw abortError(options.signal)
    return this.#withColumns(async columns => {
      const chunk = await binding().tableGetAsync(columns.handle, this.#keyValues(columns, key), snapshot)
      if (options?.signal?.aborted) throw abortError(options.signal)
      return this.#firstRow(columns, chunk)
    })
  }

  /** Rows in the order of the keys, all of one snapshot. */
  getMany(keys: readonly RowKey[], options?: { snapshot?: Snapshot }): (R | undefined)[] {
    checkValue('getMany', 'keys', keys, rule.list)
    const given = snapshotOf('getMany', options)
    const own = given === undefined ? this.#database.snapshot() : undefined
    try {
      const snapshot = given ?? own![handleOf]
      return this.#withColumnsSync(this.#columns(), columns => keys.map(key => this.#get(columns, key, snapshot)))
    } finally {
      own?.close()
    }
  }

  delete(key: RowKey): void {
    this.#withColumnsSync(this.#columns(), columns =>
      binding().tableDelete(columns.handle, this.#keyValues(columns, key)),
    )
  }

  /** In key order; without a primary key in the order of insertion. */
  scan(options: ScanOptions = {}): Scan<R> {
    // The snapshot belongs to the call, not to the first step; and so do the columns.
    const { opened, columns, native, jsonSchema } = this.#withColumnsSync(this.#columns(), columns => {
      const scan = this.#nativeOptions(columns, 'scan', options)
      return { ...scan, columns, opened: this.open(columns, scan.native) }
    })
    const whole = options.columns === undefined
    const schema = whole ? columns.schema : schemaFromJson(jsonSchema)
    let first: typeof opened | undefined = opened
    return new SourceScan<R>({
      schema,
      jsonSchema,
      batches: () => {
        const opened = first ?? this.open(columns, native)
        first = undefined
        return this.#batches(opened, whole ? columns.newReader() : new BatchReader(jsonSchema, schema), options)
      },
    })
  }

  newIterator(options: ScanOptions = {}): TableIterator {
    const own = snapshotOf('newIterator', options, scanRules) === undefined ? this.#database.snapshot() : undefined
    const begin = (columns: Columns) => {
      const scan = this.#nativeOptions(columns, 'newIterator', options)
      scan.native.snapshot ??= own?.[handleOf]
      return { ...scan, columns, opened: this.open(columns, scan.native) }
    }
    let begun: ReturnType<typeof begin>
    try {
      begun = this.#withColumnsSync(this.#columns(), begin)
    } catch (error) {
      own?.close()
      throw error
    }
    const { columns, native, jsonSchema, opened } = begun
    const reader = (): BatchReader =>
      options.columns === undefined ? columns.newReader() : new BatchReader(jsonSchema)
    let current = this.#batches(opened, reader(), options)
    return {
      seek: key => {
        const values = this.#keyValues(columns, key, true)
        const bound: Bound = { key: values, inclusive: true }
        void current.return()
        current = this.#batches(
          this.open(columns, { ...native, ...(options.reverse ? { upper: bound } : { lower: bound }) }),
          reader(),
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
    const { iterator, release } = this.#withColumnsSync(this.#columns(), columns =>
      this.open(columns, {
        columns: [],
        snapshot,
        where: this.#condition(columns, 'count', options.where, options.params),
      }),
    )
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
  keyValues(key: RowKey, columns: Columns, allowPrefix = false): unknown[] {
    return this.#keyValues(columns, key, allowPrefix)
  }

  #keyValues({ keyFields: fields, primaryKey }: Columns, key: RowKey, allowPrefix = false): unknown[] {
    if (fields.length === 0) {
      throw notSupported(`a key of table '${this.name}', which has no primary key`, 'use scan')
    }
    if (typeof key !== 'object' || key === null)
      throw invalidArgument(
        `a key of table '${this.name}' is an object { ${primaryKey.join(', ')} } or an array, not ${shown(key)}`,
      )
    if (Array.isArray(key)) {
      if (key.length > fields.length || (!allowPrefix && key.length < fields.length)) {
        throw makeError(
          'MARBLE_SCHEMA',
          `the key of table '${this.name}' is (${primaryKey.join(', ')}): ${key.length} values were given`,
        )
      }
      return key.map((value, i) => keyValue(fields[i]!, value))
    }
    const named = key as Record<string, unknown>
    for (const name in named) {
      if (!primaryKey.includes(name)) {
        throw makeError(
          'MARBLE_SCHEMA',
          `'${name}' is no key column of table '${this.name}'${didYouMean(name, primaryKey)}: its key is (${primaryKey.join(', ')})`,
        )
      }
    }
    const values: unknown[] = []
    for (const field of fields) {
      if (named[field.name] === undefined) {
        if (allowPrefix && Object.keys(named).length === values.length) break
        throw makeError(
          'MARBLE_SCHEMA',
          `the key of table '${this.name}' is (${primaryKey.join(', ')}): '${field.name}' is missing`,
        )
      }
      values.push(keyValue(field, named[field.name]))
    }
    return values
  }

  /** @internal */
  open(columns: Columns, options: NativeScanOptions): { iterator: IteratorHandle; release: () => void } {
    const iterator = binding().tableScan(columns.handle, options)
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

  #nativeOptions(
    columns: Columns,
    where: string,
    options: ScanOptions,
  ): { native: NativeScanOptions; jsonSchema: JsonSchema } {
    const snapshot = snapshotOf(where, options, scanRules)
    const fields = columns.jsonSchema.fields
    const indices =
      options.columns?.map(name => columnIndex(columns.jsonSchema, name, `table '${this.name}'`)) ??
      fields.map((_, i) => i)
    return {
      native: {
        columns: indices,
        ...boundsOf(where, options.range, key => this.#keyValues(columns, key, true)),
        limit: options.limit,
        reverse: options.reverse,
        batchRows: options.batchRows,
        snapshot,
        where: this.#condition(columns, where, options.where, options.params),
      },
      jsonSchema: { fields: indices.map(i => fields[i]!) },
    }
  }

  /** The condition in the form that the addon reads. */
  #condition(
    columns: Columns,
    where: string,
    condition: string | object | undefined,
    params: unknown,
  ): string | undefined {
    if (condition === undefined) {
      if (params !== undefined)
        throw invalidArgument(`${where}: params without where: there is nothing that takes them`)
      return undefined
    }
    if (typeof condition !== 'string')
      throw notSupported(`${where}: a condition as an object`, "write it as SQL text: where: 'px > ?'")
    return JSON.stringify(
      planPredicate(condition, columns.jsonSchema.fields, params as SqlParameters | undefined, where),
    )
  }

  #firstRow(columns: Columns, chunk: Parameters<BatchReader['read']>[0] | undefined): R | undefined {
    if (chunk === undefined) return undefined
    const [batch] = columns.plainReader.read(chunk)
    const [row] = [...readRows(columns.plainSchema, batch!)]
    return row as R
  }
}

const codeOf = (error: unknown): string | undefined => (error as { code?: string } | undefined)?.code
const isGone = (error: unknown): boolean =>
  codeOf(error) === 'MARBLE_TABLE_NOT_FOUND' || codeOf(error) === 'MARBLE_CLOSED'

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
