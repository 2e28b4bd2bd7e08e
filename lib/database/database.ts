// The database: tables and states over one log. Parents close their children; a second close is harmless.
import type { Bound, DatabaseHandle } from '../../binding.js'
import type { Any } from '../any.js'
import type { Batch } from '../arrow/batch.js'
import { type JsonSchema, schemaToJson } from '../arrow/json-schema.js'
import { binding } from '../binding.js'
import { abortError, invalidArgument, MarbleError, makeError, notSupported } from '../errors.js'
import { type Logger, silentLogger } from '../logger.js'
import {
  checkOptions,
  checkValue,
  count,
  didYouMean,
  kMaxMs,
  later,
  listOf,
  oneOf,
  real,
  rule,
  type Rules,
} from '../options.js'
import type { Progress } from '../progress.js'
import { type Codec, codecOf, type ValueEncoding } from '../state/codec.js'
import type { KeyedState, KeyedStateOptions, Timers } from '../state/keyed-state.js'
import {
  checkMergedEncoding,
  checkStateOptions,
  type Key,
  type Range,
  StateBackend,
  type StateOptions,
  toBytes,
} from '../state/state-backend.js'
import { boundsOf } from '../table/bounds.js'
import { type RowKey, Table } from '../table/table.js'
import { type ChangesOptions, openChanges } from './changes.js'
import {
  type BackupInfo,
  type DatabaseInspection,
  folderRule,
  inspectDatabase,
  listBackups,
  type OperationOptions,
  operationRules,
  pruneBackups,
  type RestoreOptions,
  restoreBackup,
  runOperation,
  verifyBackup,
  verifyDatabase,
  type VerifyReport,
} from './copies.js'
import { Snapshot } from './snapshot.js'
import { type Durability, WriteBatch } from './write-batch.js'

export interface OpenOptions {
  id?: string
  create?: boolean
  durability?: Durability
  memoryBudgetBytes?: number
  threads?: number
  logger?: Logger
  maxBlockMs?: number
  verifyReads?: 'always' | 'first' | 'never'
  recovery?: 'strict' | 'truncate'
}
export type Compression = 'none' | 'lz4' | 'zstd'
export interface TableOptions {
  preset?: 'timeSeries' | 'dimension' | 'appendLog'
  /** How files are compressed: less disk, against decoding 64 KiB at a read and scans that copy (docs/tuning.md). */
  compression?: Compression
  /** Instead: of level 0, 1, … (those of metrics().tables[name].levels); the last holds for all deeper levels. */
  compressionPerLevel?: Compression[]
  ttlMs?: number
  bloomBitsPerKey?: number
  pointIndex?: boolean
  zoneMaps?: boolean
  logged?: boolean
}
export interface CreateTableOptions extends TableOptions {
  /** A Schema of apache-arrow, of any version. */
  schema: { fields: readonly object[] }
  primaryKey?: string[]
  ifNotExists?: boolean
  replicated?: boolean
}
export interface CompactOptions {
  /** A table or a state; without it all of them. */
  table?: string
  /** Of the table's keys, or prefixes of them; of a state's keys. */
  range?: Range<Key | RowKey>
  /** Stops within a moment; what was being written is removed, what was merged until then stays merged. */
  signal?: AbortSignal
  /** In bytes dealt with, of those that are to be dealt with by estimate. */
  onProgress?: (progress: Progress) => void
}
type EventName = 'flush' | 'compaction' | 'stall' | 'noSpace' | 'backgroundError'
type Listener = (info: object) => void

const kDefaultState = 'default'
const kDrainPollMs = 5
/** Below it, memtables would be too small to be worth their files. */
const kLeastBudget = 8 * 1024 * 1024
/** More bits lower the false positives no further. */
const kMaxBloomBits = 64
const openRules: Rules<OpenOptions> = {
  id: rule.name,
  create: rule.flag,
  durability: oneOf('process', 'power'),
  memoryBudgetBytes: count(kLeastBudget),
  threads: count(1),
  logger: rule.logger,
  maxBlockMs: count(0, kMaxMs),
  verifyReads: oneOf('always', 'first', 'never'),
  recovery: oneOf('strict', 'truncate'),
}
const compressionRule = oneOf('none', 'lz4', 'zstd')
const createTableRules: Rules<CreateTableOptions> = {
  schema: rule.anything, // schemaToJson looks at it
  primaryKey: rule.texts,
  ifNotExists: rule.flag,
  replicated: later(rule.flag, false),
  preset: oneOf('timeSeries', 'dimension', 'appendLog'),
  compression: compressionRule,
  compressionPerLevel: listOf(compressionRule),
  ttlMs: count(1),
  bloomBitsPerKey: real(0, kMaxBloomBits),
  pointIndex: rule.flag,
  zoneMaps: rule.flag,
  logged: rule.flag,
}
const compactRules: Rules<CompactOptions> = {
  table: rule.text,
  range: rule.object,
  signal: rule.signal,
  onProgress: rule.func,
}
const eventRule = oneOf('flush', 'compaction', 'stall', 'noSpace', 'backgroundError')

export class Database implements AsyncDisposable {
  readonly path: string
  readonly id: string
  readonly #handle: DatabaseHandle
  readonly #logger: Logger
  readonly #children = new Set<() => void>()
  readonly #owned = new Set<() => Promise<void>>()
  readonly #listeners = new Map<string, Set<Listener>>()
  #closing: Promise<void> | undefined

  private constructor(handle: DatabaseHandle, logger: Logger) {
    this.#handle = handle
    this.#logger = logger
    const { path, id } = binding().databaseInfo(handle)
    this.path = path
    this.id = id
  }

  /** Open a database, or create it. ':memory:' keeps nothing on disk. Another process's: MARBLE_LOCKED with its pid. */
  static async open(path: string, options: OpenOptions = {}): Promise<Database> {
    checkValue('Database.open', 'path', path, rule.directory)
    checkOptions('Database.open', options, openRules)
    const { logger = silentLogger, ...rest } = options
    const database = new Database(await binding().databaseOpen(path, rest), logger)
    binding().databaseOn(database.#handle, (event, info) => database.#emit(event, info))
    return database
  }

  /** A state by name, created when it is missing. Without options it opens as it was created. */
  state<V = Buffer>(name: string = kDefaultState, options?: StateOptions): StateBackend<V> {
    this.#checkOpen()
    checkValue('state', 'name', name, rule.name)
    checkStateOptions(options)
    const wanted = options?.valueEncoding
    // Before anything is created: a name must not be taken by an encoding that is refused.
    if (wanted !== undefined) codecOf(wanted)
    const { ttlMs, mergeOperator: operator, logged } = options ?? {}
    if (operator !== undefined) checkMergedEncoding(operator, wanted ?? 'buffer')
    const { handle, encoding, mergeOperator } = binding().databaseOpenState(
      this.#handle,
      name,
      wanted === undefined ? '' : typeof wanted === 'object' ? 'codec' : wanted,
      { ttlMs, mergeOperator: operator, logged },
    )
    if (wanted === undefined && encoding === 'codec') {
      throw makeError(
        'MARBLE_INCOMPATIBLE',
        `state '${name}' was created with a codec of its own: pass it as valueEncoding`,
      )
    }
    return new StateBackend<V>(this, name, handle, (wanted ?? encoding) as ValueEncoding | Codec, mergeOperator)
  }

  /** Create a table. Without primaryKey rows keep their order of insertion. */
  async createTable<R = Any>(name: string, options: CreateTableOptions): Promise<Table<R>> {
    this.#checkOpen()
    checkValue('createTable', 'name', name, rule.name)
    checkValue('createTable', 'options', options, rule.object)
    checkOptions('createTable', options, createTableRules)
    await this.createNativeTable(name, schemaToJson(options.schema), options, false)
    return this.table<R>(name)
  }

  /** @internal Also for the tables of the SQL catalog. */
  async createNativeTable(
    name: string,
    schema: JsonSchema,
    options: Omit<CreateTableOptions, 'schema'>,
    isSystem: boolean,
  ): Promise<void> {
    const primaryKey = (options.primaryKey ?? []).map(column => {
      const index = schema.fields.findIndex(field => field.name === column)
      if (index < 0) {
        const names = schema.fields.map(field => field.name).join(', ')
        throw makeError(
          'MARBLE_COLUMN_NOT_FOUND',
          `primaryKey: there is no column '${column}'${didYouMean(
            column,
            schema.fields.map(field => field.name),
          )}; there are ${names}`,
        )
      }
      return index
    })
    const { ifNotExists, preset, compression, compressionPerLevel } = options
    const { bloomBitsPerKey, pointIndex, zoneMaps, ttlMs, logged } = options
    const text = JSON.stringify(schema)
    const native = {
      preset,
      compression,
      compressionPerLevel,
      bloomBitsPerKey,
      pointIndex,
      zoneMaps,
      ttlMs,
      logged,
    }
    await binding().databaseCreateTable(
      this.#handle,
      name,
      text,
      primaryKey,
      ifNotExists === true,
      false,
      isSystem,
      native,
    )
  }

  table<R = Any>(name: string): Table<R> {
    this.#checkOpen()
    checkValue('table', 'name', name, rule.name)
    const opened = this.#openTable(name)
    if (opened.isState)
      throw makeError('MARBLE_TABLE_NOT_FOUND', `'${name}' is a state, not a table: use state('${name}')`)
    return new Table<R>(this, name, opened)
  }

  async dropTable(name: string, options?: { ifExists?: boolean }): Promise<void> {
    this.#checkOpen()
    checkValue('dropTable', 'name', name, rule.name)
    checkOptions('dropTable', options, { ifExists: rule.flag })
    await binding().databaseDropTable(this.#handle, name, options?.ifExists === true)
  }

  listTables(options?: { system?: boolean }): string[] {
    checkOptions('listTables', options, { system: rule.flag })
    return this.#list(options?.system === true, false)
  }

  listStates(): string[] {
    return this.#list(false, true)
  }

  async dropState(name: string): Promise<void> {
    this.#checkOpen()
    checkValue('dropState', 'name', name, rule.name)
    if (!this.listStates().includes(name))
      throw makeError('MARBLE_TABLE_NOT_FOUND', `there is no state '${name}'${didYouMean(name, this.listStates())}`)
    await binding().databaseDropTable(this.#handle, name, false)
  }

  batch(): WriteBatch {
    return new WriteBatch(binding().batchNew(this.#handle))
  }

  snapshot(): Snapshot {
    return new Snapshot(this, binding().snapshotOpen(this.#handle))
  }

  /** Flink's keyed state for operators of your own. Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  keyedState(_operatorId: string, _options?: KeyedStateOptions): KeyedState {
    throw notSupported('keyedState')
  }

  /** Timers for operators of your own. Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  timers(_operatorId: string): Timers {
    throw notSupported('timers')
  }

  /** Write all memtables to files; behind the writes that were called before. */
  async flush(): Promise<void> {
    await binding().databaseFlush(this.#handle)
  }

  /**
   * Merge the files of one table or state, or a range of its keys, or all, down into the last level: without deleted and overwritten
   * rows that nothing needs. Behind the writes that were called before; those that come go on meanwhile.
   */
  async compact(options: CompactOptions = {}): Promise<void> {
    this.#checkOpen()
    checkOptions('compact', options, compactRules)
    const { table = '', range } = options
    const bounds = this.#compactRange(table, range)
    if (options.signal?.aborted) throw abortError(options.signal)
    await this.flush()
    await runOperation(options, operation =>
      binding().databaseCompact(this.#handle, table, bounds.lower, bounds.upper, operation),
    )
  }

  #compactRange(
    name: string,
    range: Range<Key | RowKey> | undefined,
  ): { lower?: Bound | undefined; upper?: Bound | undefined } {
    if (name !== '') this.#nameOf(name)
    if (range === undefined) return {}
    if (name === '') throw invalidArgument('compact: a range of keys needs a table: keys mean nothing without one')
    if (this.listStates().includes(name)) return boundsOf('compact', range, key => toBytes(key as Key))
    const table = this.table(name)
    const { columns } = table
    return boundsOf('compact', range, key => table.keyValues(key as RowKey, columns, true))
  }

  /**
   * Write a copy that opens as a database: one moment over all tables, with every write that was acknowledged before the call.
   * Files are hard links where that is possible. `dir` must not exist; it is there whole or not at all.
   */
  async checkpoint(dir: string): Promise<void> {
    this.#checkOpen()
    checkValue('checkpoint', 'dir', dir, folderRule)
    await runOperation({}, operation => binding().databaseCheckpoint(this.#handle, dir, operation))
  }

  /** Add a backup to those in the folder `dir`, copying only what it lacks. Database.restore brings any of them back. */
  async backup(dir: string, options: OperationOptions = {}): Promise<{ id: number; bytesCopied: number }> {
    this.#checkOpen()
    checkValue('backup', 'dir', dir, folderRule)
    checkOptions('backup', options, operationRules)
    return runOperation(options, operation => binding().databaseBackup(this.#handle, dir, operation))
  }

  /** Write a backup (the newest, or `id`) to a new or empty folder, which then opens as the database was. */
  static async restore(backupDir: string, toDir: string, options: RestoreOptions = {}): Promise<void> {
    return restoreBackup(backupDir, toDir, options)
  }

  /** The backups in a folder, oldest first. */
  static async listBackups(dir: string): Promise<BackupInfo[]> {
    return listBackups(dir)
  }

  /** Read every byte of a backup (the newest, or `id`) and compare it with its checksums. */
  static async verifyBackup(dir: string, options: RestoreOptions = {}): Promise<VerifyReport> {
    return verifyBackup(dir, options)
  }

  /** Remove all backups but the newest `keep`, and the files that none of those needs; resolves with how many went. */
  static async pruneBackups(dir: string, options: { keep: number }): Promise<number> {
    return pruneBackups(dir, options)
  }

  /** What the folder of a database holds, without opening it: tables, files by level, the log. */
  static async inspect(path: string, options: { zoneMaps?: boolean } = {}): Promise<DatabaseInspection> {
    return inspectDatabase(path, options)
  }

  /** Check everything in the folder of a closed database: every checksum, every invariant. Changes nothing. */
  static async verify(path: string, options: OperationOptions = {}): Promise<VerifyReport> {
    return verifyDatabase(path, options)
  }

  /**
   * Committed changes of a table behind a sequence number or snapshot (without one: from now on), cut at commits. First column `op`:
   * '+I' a row of a table without a primary key, '+U' a row put by key, '-D' a row deleted (its key; the rest is null). The log is kept
   * from the call on, within a limit; beyond it, and when it is gone already, MARBLE_TOO_FAR_BEHIND.
   */
  changes(table: string, options: ChangesOptions = {}): AsyncIterable<Batch> {
    this.#checkOpen()
    checkValue('changes', 'table', table, rule.name)
    return openChanges(this, this.table(table).name, options)
  }

  /** False: the next write may have to wait. */
  get writable(): boolean {
    return binding().databaseWritable(this.#handle)
  }

  async drained(): Promise<void> {
    this.#checkOpen()
    while (!this.writable) {
      await new Promise(resolve => setTimeout(resolve, kDrainPollMs))
      this.#checkOpen()
    }
  }

  metrics(): Record<string, unknown> {
    return binding().databaseMetrics(this.#handle)
  }

  on(event: EventName, listener: Listener): this {
    checkValue('on', 'event', event, eventRule)
    checkValue('on', 'listener', listener, rule.func)
    const listeners = this.#listeners.get(event) ?? new Set()
    listeners.add(listener)
    this.#listeners.set(event, listeners)
    return this
  }

  /** Close everything that was opened with it, wait for writes under way, close. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal Remember how to close a child; returns how to forget it. */
  track(close: () => void): () => void {
    this.#children.add(close)
    return () => this.#children.delete(close)
  }

  /** @internal A child that takes time to close (the jobs over this database). */
  own(close: () => Promise<void>): () => void {
    this.#owned.add(close)
    return () => this.#owned.delete(close)
  }

  /** @internal */
  get nativeHandle(): DatabaseHandle {
    return this.#handle
  }

  async #close(): Promise<void> {
    for (const close of [...this.#owned]) await close()
    for (const close of [...this.#children]) close()
    this.#children.clear()
    await binding().databaseClose(this.#handle)
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw makeError('MARBLE_CLOSED', 'the database is closed')
  }

  #openTable(name: string): ReturnType<ReturnType<typeof binding>['databaseOpenTable']> {
    try {
      return binding().databaseOpenTable(this.#handle, name)
    } catch (error) {
      if (!(error instanceof MarbleError) || error.code !== 'MARBLE_TABLE_NOT_FOUND') throw error
      throw makeError(error.code, `${error.message}${didYouMean(name, this.listTables())}`)
    }
  }

  #nameOf(table: string): void {
    if (
      !binding()
        .databaseListTables(this.#handle)
        .some(({ name }) => name === table)
    ) {
      throw makeError('MARBLE_TABLE_NOT_FOUND', `there is no table '${table}'`)
    }
  }

  #list(system: boolean, states: boolean): string[] {
    return binding()
      .databaseListTables(this.#handle)
      .filter(table => table.isState === states && (system || !table.isSystem))
      .map(table => table.name)
      .sort()
  }

  #emit(event: string, info: object): void {
    if (event === 'backgroundError')
      this.#logger.error(info, 'background error: the database is read-only until it is reopened')
    else if (event === 'noSpace')
      this.#logger.warn(info, 'the disk is full: the work is tried again when there is room')
    else this.#logger.debug(info, event)
    for (const listener of this.#listeners.get(event) ?? []) listener(info)
  }
}
