// SQL over streams and local tables: text to plans (lib/sql), plans to jobs (the addon), the catalog in the store.
import { mkdir, realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { RecordBatch, Table as ArrowTable } from 'apache-arrow'
import type { JobManagerHandle } from '../../binding.js'
import type { Any } from '../any.js'
import type { Batch } from '../arrow/batch.js'
import { type JsonField, type JsonSchema, schemaToJson } from '../arrow/json-schema.js'
import { binding, shared } from '../binding.js'
import { Database } from '../database/database.js'
import { invalidArgument, makeError, notSupported } from '../errors.js'
import type { Logger } from '../logger.js'
import type { ConnectorConfig, SourceConnector } from '../kafka/source-connector.js'
import {
  checkFields,
  checkOptions,
  checkValue,
  count,
  kMaxMs,
  later,
  oneOf,
  real,
  type Rule,
  rule,
  type Rules,
  shown,
} from '../options.js'
import {
  type Catalog,
  checkParameters,
  explain,
  isBounded,
  type JobPlan,
  type JobSettings,
  type Parameters,
  type ParsedStatement,
  parseStatements,
  type PlannedStatement,
  Planner,
} from '../sql/index.js'
import type { Scan } from '../table/scan.js'
import type { Table } from '../table/table.js'
import { CatalogStore } from './catalog-store.js'
import { constantRows } from './constant-rows.js'
import { Job } from './job.js'
import { Pump, RegisteredRows, type SourceRows } from './pump.js'
import { queryScan, rowsScan } from './query-scan.js'

export interface ExecutorOptions {
  /** The directory of the database (made when missing), or ':memory:'. */
  statePath: string
  checkpointIntervalSeconds?: number
  maxParallelism?: number
  parallelism?: number
  epochMs?: number
  stateBackend?: 'marbledb' | 'memory'
  timerBackend?: 'marbledb' | 'memory'
  memoryBudgetBytes?: number
  logger?: Logger
}
export interface StatementResult {
  kind: string
  job?: Job
  rows?: Scan
  message?: string
}
export interface QueryOptions {
  params?: unknown[] | Record<string, unknown>
  changelog?: boolean
  signal?: AbortSignal
}
export interface ExecuteOptions {
  /** Values of `${NAME}` in the text. */
  vars?: Record<string, string>
  /** Values of `?` (an array) or of `:name` (an object). */
  params?: unknown[] | Record<string, unknown>
}
export interface RegisterSourceOptions {
  /** A Schema of apache-arrow, of any version. */
  schema: { fields: readonly object[] }
  watermark?: { column: string; maxOutOfOrdernessMs: number }
}
export interface FunctionSignature {
  args: string[]
  returns: string
  columnar?: boolean
}
export type ReadableTable<R = Any> = Pick<
  Table<R>,
  'get' | 'getAsync' | 'getMany' | 'scan' | 'count' | 'schema' | 'primaryKey'
>

const kDatabase = 'marbledb_embedded'
/** native/stream/job_store.h: whoever starts the job drops its state and rows first. */
const kDroppingStatus = 'dropping'
const kMemory = ':memory:'
/** limits::kMaxEpochMs and, of key groups, what 16 bits of a key hold. */
const kMaxEpochMs = 2_000
const kMaxParallelism = 32_768
const kWhere = 'StreamingSQLExecutor.open'
const openRules: Rules<ExecutorOptions> = {
  statePath: rule.directory,
  checkpointIntervalSeconds: real(0.001, Math.floor(kMaxMs / 1000)),
  maxParallelism: count(1, kMaxParallelism),
  parallelism: later(count(1), 1),
  epochMs: count(1, kMaxEpochMs),
  stateBackend: later(oneOf('marbledb', 'memory'), 'marbledb'),
  timerBackend: later(oneOf('marbledb', 'memory'), 'marbledb'),
  memoryBudgetBytes: later(count(1)),
  logger: rule.logger,
}
const paramsRule = rule.anything // checkParameters looks at them
const executeRules: Rules<ExecuteOptions> = { vars: rule.textRecord, params: paramsRule }
const queryRules: Rules<QueryOptions> = { params: paramsRule, changelog: rule.flag, signal: rule.signal }
const registerRules: Rules<RegisterSourceOptions> = {
  schema: rule.anything, // schemaToJson looks at it
  watermark: rule.object,
}
const watermarkRules: Rules<NonNullable<RegisterSourceOptions['watermark']>> = {
  column: rule.text,
  maxOutOfOrdernessMs: count(),
}
const rowsRule: Rule = {
  allowed: 'an iterable or an async iterable of rows',
  is: value =>
    typeof value === 'object' &&
    value !== null &&
    (typeof (value as AsyncIterable<object>)[Symbol.asyncIterator] === 'function' ||
      typeof (value as Iterable<object>)[Symbol.iterator] === 'function'),
}
/** Two executors on one path would overwrite each other's catalog and run its jobs twice. */
const openPaths = (): Set<string> => shared('executors', () => new Set<string>())
const column = (name: string): JsonField => ({ name, nullable: true, type: { name: 'utf8' }, children: [] })

export class StreamingSQLExecutor implements AsyncDisposable {
  readonly database: Database
  #path: string | undefined
  readonly #planner: Planner
  readonly #store: CatalogStore
  readonly #manager: JobManagerHandle
  readonly #jobs: Job[] = []
  readonly #sources = new Map<string, RegisteredRows>()
  #settings: Record<string, string> = {}
  // Statements of several calls do not mix.
  #queue: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  private constructor(database: Database, catalog: Catalog, store: CatalogStore, manager: JobManagerHandle) {
    this.database = database
    this.#planner = new Planner(catalog)
    this.#store = store
    this.#manager = manager
    database.own(() => this.#stopJobs())
  }

  /** The database lies at <statePath>/marbledb_embedded, or with ':memory:' nowhere. Opening restarts nothing by itself. */
  static async open(options: ExecutorOptions): Promise<StreamingSQLExecutor> {
    checkValue(kWhere, 'options', options, rule.object)
    checkValue(kWhere, 'statePath', options.statePath, rule.directory)
    checkOptions(kWhere, options, openRules)
    if (options.statePath === kMemory) return StreamingSQLExecutor.#openAt(undefined, options)
    const path = await makeDirectory(options.statePath)
    if (openPaths().has(path)) {
      throw makeError(
        'MARBLE_LOCKED',
        `${kWhere}: '${options.statePath}' is open in this process already: share that executor, or close it first`,
      )
    }
    openPaths().add(path)
    try {
      return await StreamingSQLExecutor.#openAt(path, options)
    } catch (error) {
      openPaths().delete(path)
      throw error
    }
  }

  /** `path` undefined: in memory. */
  static async #openAt(path: string | undefined, options: ExecutorOptions): Promise<StreamingSQLExecutor> {
    const database = await Database.open(
      path === undefined ? kMemory : join(options.statePath, kDatabase),
      options.logger === undefined ? {} : { logger: options.logger },
    )
    try {
      const store = new CatalogStore(database)
      const catalog = await store.load()
      const manager = await binding().jobManagerOpen(database.nativeHandle, {
        epochMs: options.epochMs,
        checkpointIntervalMs:
          options.checkpointIntervalSeconds === undefined
            ? undefined
            : Math.round(options.checkpointIntervalSeconds * 1000),
        maxParallelism: options.maxParallelism,
      })
      const executor = new StreamingSQLExecutor(database, catalog, store, manager)
      executor.#path = path
      return executor
    } catch (error) {
      await database.close()
      throw error
    }
  }

  /** Those that were started and have not made room for a successor. */
  get jobs(): Job[] {
    return [...this.#jobs]
  }

  /** One result per statement; resolves when each is accepted and its job runs. */
  execute(sql: string, options: ExecuteOptions = {}): Promise<StatementResult[]> {
    return this.#inOrder(async () => {
      checkValue('execute', 'sql', sql, rule.anyText)
      checkOptions('execute', options, executeRules)
      const statements = parseStatements(sql, { vars: options.vars })
      checkParameters('execute', statements, options.params)
      const results: StatementResult[] = []
      for (const parsed of statements) {
        this.#checkOpen()
        results.push(await this.#run(parsed, options.params as Parameters | undefined, {}))
      }
      return results
    })
  }

  /** @internal One statement of a text that was parsed as a whole: errors name the place in that text. */
  executeParsed(parsed: ParsedStatement, options: QueryOptions): Promise<StatementResult> {
    return this.#inOrder(() => {
      this.#checkOpen()
      return this.#run(parsed, options.params as Parameters | undefined, options)
    })
  }

  /**
   * Over local tables and bounded sources the final rows, and it ends. With an unbounded source, or changelog: true, it is
   * continuous, and the first column `op` says what happened to the row.
   */
  query<R = Any>(select: string, options: QueryOptions = {}): Scan<R> {
    this.#checkOpen()
    checkValue('query', 'select', select, rule.anyText)
    checkOptions('query', options, queryRules)
    const statements = parseStatements(select)
    if (statements.length !== 1)
      throw invalidArgument(`query takes one SELECT, not ${statements.length} statements: use execute`)
    checkParameters('query', statements, options.params)
    const planned = this.#planner.plan(statements[0]!, {
      params: options.params as Parameters | undefined,
      settings: this.#settings,
    })
    if (planned.kind !== 'select' && planned.kind !== 'values')
      throw invalidArgument(`query takes a SELECT, not ${planned.kind}: use execute`)
    return this.#scan<R>(planned, options)
  }

  /** A local table, for reading. */
  table<R = Any>(name: string): ReadableTable<R> {
    this.#checkOpen()
    checkValue('table', 'name', name, rule.name)
    const object = this.#planner.catalog.find(name)
    if (object?.kind === 'view')
      throw makeError('MARBLE_TABLE_NOT_FOUND', `'${name}' is a view: read it with query('SELECT * FROM ${name}')`)
    if (object !== undefined && object.config.connector !== 'marbledb') {
      throw makeError(
        'MARBLE_TABLE_NOT_FOUND',
        `'${name}' is no local table (connector '${object.config.connector}'): it can be queried, not read by key`,
      )
    }
    return this.database.table<R>(name)
  }

  /** Make an iterable a table. A job that resumes gets it from its beginning again, and skips what it has seen. */
  registerSource(name: string, rows: SourceRows, options: RegisterSourceOptions): void {
    const where = 'registerSource'
    this.#checkOpen()
    checkValue(where, 'name', name, rule.name)
    checkValue(where, 'rows', rows, rowsRule)
    checkValue(where, 'options', options, rule.object)
    checkOptions(where, options, registerRules)
    if (options.watermark !== undefined) {
      checkFields(`${where}: watermark`, options.watermark, watermarkRules)
      for (const field of ['column', 'maxOutOfOrdernessMs'] as const)
        checkValue(`${where}: watermark`, field, options.watermark[field], watermarkRules[field])
    }
    const schema = schemaToJson(options.schema)
    const fields = schema.fields.map(({ name, type, nullable, children }) => ({ name, type, nullable, children }))
    this.#planner.catalog.registerSource({ name, fields: fields as never, watermark: options.watermark, bounded: true })
    this.#sources.set(name, new RegisteredRows(name, { fields }, rows))
  }

  /** A table's changes, with no gap after the snapshot. Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  subscribe(_table: string, _options?: { fromSnapshot?: boolean; signal?: AbortSignal }): AsyncIterable<Batch> {
    throw notSupported('subscribe')
  }

  /** A function for SQL. Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  registerFunction(_name: string, _signature: FunctionSignature, _fn: (...args: Any[]) => Any): void {
    throw notSupported('registerFunction')
  }

  /** A connector for CREATE TABLE. Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  registerConnector(_type: string, _factory: (config: ConnectorConfig) => SourceConnector): void {
    throw notSupported('registerConnector', 'registerSource takes any iterable')
  }

  /** A small table that every job holds whole. Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  async registerDimensionTable(
    _name: string,
    _data: ArrowTable | RecordBatch,
    _options: { primaryKey: string[] },
  ): Promise<void> {
    throw notSupported('registerDimensionTable')
  }

  /** The plan of a statement, with its changelog modes. */
  explain(sql: string): string {
    this.#checkOpen()
    checkValue('explain', 'sql', sql, rule.anyText)
    return parseStatements(sql)
      .map(parsed => {
        const planned = this.#planner.plan(parsed, { settings: this.#settings })
        if (planned.kind === 'explain') return planned.text
        if ('plan' in planned) return explain(planned.plan as JobPlan)
        throw invalidArgument(`there is no plan to explain for ${planned.kind}`)
      })
      .join('\n\n')
  }

  /** Does every job make progress, and if not, why. */
  health(): { job: string; ok: boolean; reason?: string }[] {
    return this.#jobs.map(job => {
      const { status } = job
      if (status === 'failed') return { job: job.name, ok: false, reason: job.error?.message ?? 'failed' }
      if (status === 'paused' || status === 'restarting') return { job: job.name, ok: false, reason: status }
      return { job: job.name, ok: true }
    })
  }

  /** End all jobs at their last epoch, close the database. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await this.#stopJobs()
    await this.database.close()
  }

  // Also when it is the database that is closed.
  #stopJobs(): Promise<void> {
    this.#stopping ??= this.#queue
      .then(() => binding().jobManagerClose(this.#manager))
      .finally(() => {
        if (this.#path !== undefined) openPaths().delete(this.#path)
      })
    return this.#stopping
  }

  #checkOpen(): void {
    if (this.#closing !== undefined || this.#stopping !== undefined)
      throw makeError('MARBLE_CLOSED', 'the executor is closed')
  }

  #inOrder<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(run)
    this.#queue = result.catch(() => {})
    return result
  }

  async #run(parsed: ParsedStatement, params: Parameters | undefined, query: QueryOptions): Promise<StatementResult> {
    const planned = this.#planner.plan(parsed, { params, settings: this.#settings })
    const { kind } = planned
    switch (planned.kind) {
      case 'createTable':
      case 'createView':
        return { kind, message: await this.#create(planned) }
      case 'dropTable':
      case 'dropView':
        return { kind, message: await this.#drop(planned) }
      case 'insert':
      case 'statementSet': {
        const job = await this.#startJob(planned)
        return { kind, job, message: `job ${job.name} is ${job.status}` }
      }
      case 'insertValues': {
        const { rows } = await this.database.table(planned.table.name).insert(constantRows(planned))
        return { kind, message: `${rows} rows into ${planned.table.name}` }
      }
      case 'select':
      case 'values':
        return { kind, rows: this.#scan(planned, query) }
      case 'explain':
        return { kind, message: planned.text }
      case 'set':
        this.#settings = { ...this.#settings, [planned.key]: planned.value }
        return { kind, message: `${planned.key} = ${planned.value}` }
      case 'reset':
        this.#settings =
          planned.key === undefined
            ? {}
            : Object.fromEntries(Object.entries(this.#settings).filter(([key]) => key !== planned.key))
        return { kind, message: planned.key ?? 'all settings' }
      case 'showTables':
      case 'showViews':
        return {
          kind,
          rows: textRows(
            ['name'],
            planned.names.map(name => [name]),
          ),
        }
      case 'showJobs':
        return {
          kind,
          rows: textRows(
            ['id', 'name', 'status'],
            this.#jobs.map(job => [job.id, job.name, job.status]),
          ),
        }
      case 'showCreate':
        return { kind, message: planned.ddl, rows: textRows(['ddl'], [[planned.ddl]]) }
      case 'describe':
        return {
          kind,
          rows: textRows(
            ['name', 'type', 'null', 'key', 'extras', 'watermark'],
            planned.columns.map(c =>
              ['name', 'type', 'null', 'key', 'extras', 'watermark'].map(name =>
                textOf((c as unknown as Record<string, unknown>)[name]),
              ),
            ),
          ),
        }
      case 'showSettings':
        return {
          kind,
          rows: textRows(
            ['key', 'value', 'description'],
            planned.settings.map(s => [s.key, s.value, s.description]),
          ),
        }
    }
  }

  async #create(planned: Extract<PlannedStatement, { kind: 'createTable' | 'createView' }>): Promise<string> {
    const { name } = planned.kind === 'createTable' ? planned.table : planned.view
    if (planned.kind === 'createTable' && planned.fields !== undefined) {
      // First the table, then the catalog: a crash between the two is healed by running the statement again.
      const schema = { fields: planned.fields as unknown as JsonField[] }
      await this.database.createNativeTable(
        name,
        schema,
        { primaryKey: [...planned.table.primaryKey], ifNotExists: true },
        false,
      )
    }
    if (!planned.isNew) return `${name} exists already`
    this.#planner.apply(planned)
    await this.#store.save(this.#planner.catalog)
    return `${name} created`
  }

  async #drop(planned: Extract<PlannedStatement, { kind: 'dropTable' | 'dropView' }>): Promise<string> {
    const { name } = planned
    const object = planned.kind === 'dropTable' ? planned.table : planned.view
    if (object === undefined) return `there was no ${name}`
    const writer = this.#jobs.find(
      job => job.targets.includes(name) && !['finished', 'failed', 'cancelled'].includes(job.status),
    )
    if (writer !== undefined)
      throw makeError('MARBLE_INVALID_ARGUMENT', `job '${writer.name}' writes into ${name}: cancel it first`)
    const local = object.kind === 'table' && object.config.connector === 'marbledb'
    if (local) await this.#forgetJobsInto(name)
    this.#planner.apply(planned)
    await this.#store.save(this.#planner.catalog)
    if (local) await this.database.dropTable(name, { ifExists: true })
    this.#sources.delete(name)
    return `${name} dropped`
  }

  /** Jobs that wrote into a table that goes start anew: resumed at their offsets, its successor would stay empty. */
  async #forgetJobsInto(name: string): Promise<void> {
    const jobs = this.database.table<{ plan: string; status: string }>('jobs')
    const rows = await jobs.scan().toArray()
    const stale = rows.filter(row =>
      (JSON.parse(row.plan) as JobPlan).nodes.some(node => node.type === 'sink' && node.table === name),
    )
    if (stale.length > 0) await jobs.insert(stale.map(row => ({ ...row, status: kDroppingStatus })))
  }

  async #startJob(planned: { plan: JobPlan; targets: readonly string[]; settings: JobSettings }): Promise<Job> {
    const { plan, targets, settings } = planned
    const job = await this.#start(plan, targets, settings)
    for (let i = this.#jobs.length - 1; i >= 0; i--) if (this.#jobs[i]!.name === job.name) this.#jobs.splice(i, 1)
    this.#jobs.push(job)
    return job
  }

  async #start(plan: JobPlan, targets: readonly string[], settings: JobSettings): Promise<Job> {
    if ((settings.parallelism ?? 1) > 1) throw notSupported("'parallelism.default' above 1")
    const feeds = plan.nodes.flatMap(node => {
      if (node.type !== 'source' || node.connector !== 'js') return []
      const source = this.#sources.get(node.table)
      if (source === undefined)
        throw makeError(
          'MARBLE_TABLE_NOT_FOUND',
          `source '${node.table}' is not registered in this process: call registerSource`,
        )
      const columns = { fields: node.fields as unknown as JsonField[] }
      return [{ id: node.id, iterator: source.iterate(), pump: new Pump(source, columns) }]
    })
    const handle = await binding().jobStart(
      this.#manager,
      JSON.stringify(plan),
      settings.restart === 'fresh',
      feeds.map(feed => feed.id),
      feeds.map(feed => feed.pump.handle),
    )
    const job = new Job(handle, targets, isBounded(plan))
    for (const { pump, iterator } of feeds) {
      job.whenEnded(() => pump.stop())
      void pump.run(iterator)
    }
    return job
  }

  #scan<R>(planned: Extract<PlannedStatement, { kind: 'select' | 'values' }>, options: QueryOptions): Scan<R> {
    const fields = planned.fields as unknown as readonly JsonField[]
    if (planned.kind === 'values') {
      if (options.changelog === true) throw notSupported('changelog of constant rows')
      return rowsScan<R>({ fields: [...fields] }, constantRows(planned))
    }
    const sink = planned.plan.nodes.at(-1)
    const updating = sink?.type === 'sink' && sink.mode === 'upsert'
    const continuous = !planned.bounded || options.changelog === true
    if (continuous && updating)
      throw notSupported('a continuous query with updates', 'INSERT it into a table with a primary key and read that')
    return queryScan<R>({
      fields,
      withOp: continuous,
      signal: options.signal,
      start: () => {
        this.#checkOpen()
        return this.#start(planned.plan, [], planned.settings)
      },
    })
  }
}

/**
 * Make a directory with its parents; its real path. Not by mkdir's own `recursive`: where a file system refuses a new name with
 * ENOENT, as /proc does, that tries forever.
 */
async function makeDirectory(path: string): Promise<string> {
  const wanted = resolve(path)
  const make = async (directory: string): Promise<void> => {
    try {
      await mkdir(directory)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST' && (await stat(directory)).isDirectory()) return
      const parent = dirname(directory)
      if (code !== 'ENOENT' || parent === directory || (await exists(parent))) throw error
      await make(parent)
      await make(directory)
    }
  }
  try {
    await make(wanted)
    return await realpath(wanted)
  } catch (cause) {
    throw makeError(
      'MARBLE_IO',
      `${kWhere}: the directory of statePath ${shown(path)} cannot be made: ${(cause as Error).message}`,
      { cause },
    )
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

function textOf(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value)
}

function textRows(names: readonly string[], rows: readonly (readonly (string | null)[])[]): Scan {
  const schema: JsonSchema = { fields: names.map(column) }
  return rowsScan(
    schema,
    rows.map(row => Object.fromEntries(names.map((name, i) => [name, row[i] ?? null]))),
  )
}
