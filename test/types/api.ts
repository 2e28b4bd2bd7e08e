// Every shape that the package promises, used as its users do: that this compiles is the test (tsc, in scripts/tidy). Nothing
// here runs. Where a name is not there yet, the call throws MARBLE_NOT_SUPPORTED, but its types are those that it will have.
import { Int64, type RecordBatch, type Schema, type Table as ArrowTable } from 'apache-arrow'
import {
  type Batch,
  type Codec,
  type ConnectorConfig,
  createSource,
  Database,
  type Durability,
  importFromC,
  type Job,
  type JobMetrics,
  type Key,
  type KeyedState,
  type Logger,
  type Offset,
  type Progress,
  type Range,
  type Scan,
  type ScanOptions,
  type Snapshot,
  type SourceConnector,
  type StateBackend,
  type StateDescriptor,
  type StateOptions,
  StreamingSQLExecutor,
  type Table,
  type TableOptions,
  type Timers,
  type Ttl,
  type WriteBatch,
} from 'marbledb'
import { MockKafka } from 'marbledb/testing'

/** Is A exactly B? */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const holds = <_ extends true>(): void => {}

declare const schema: Schema
declare const recordBatch: RecordBatch
declare const arrowTable: ArrowTable
declare const batches: AsyncIterable<RecordBatch>
declare const signal: AbortSignal
interface Trade {
  symbol: string
  px: number
}

export const logger: Logger = {
  debug: (_o: object, _msg: string) => {},
  info: (_o: object, _msg: string) => {},
  warn: (_o: object, _msg: string) => {},
  error: (_o: object, _msg: string) => {},
}
export const durabilities: Durability[] = ['process', 'power']
export const keys: Key[] = ['a', new Uint8Array(1), Buffer.from('a')]
export const range: Range<number> = { gte: 1, gt: 1, lte: 2, lt: 2 }
export const progress: Progress[] = [
  { done: 1, unit: 'rows' },
  { done: 1, total: 2, unit: 'bytes' },
  { done: 1, unit: 'files' },
]
const onProgress = (p: Progress): void => {
  holds<Same<typeof p.total, number | undefined>>()
}

export async function databases(): Promise<void> {
  await using plain = await Database.open('./data')
  holds<Same<typeof plain.path, string>>()
  const db = await Database.open(':memory:', {
    id: 'a',
    create: true,
    durability: 'power',
    memoryBudgetBytes: 1,
    threads: 1,
    logger,
    maxBlockMs: 1,
    verifyReads: 'first',
    recovery: 'strict',
  })
  holds<Same<typeof db.id, string>>()
  const byDefault: StateBackend = db.state()
  const options: StateOptions = { valueEncoding: 'json', ttlMs: 1, mergeOperator: 'int64add', logged: false }
  const typed: StateBackend<{ a: number }> = db.state<{ a: number }>('s', options)
  for (const encoding of ['buffer', 'utf8', 'json', 'msgpack', 'v8'] as const)
    db.state('s', { valueEncoding: encoding })
  states(byDefault, typed, db.snapshot())
  const tableOptions: TableOptions = {
    preset: 'timeSeries',
    compression: 'zstd',
    ttlMs: 1,
    bloomBitsPerKey: 10,
    pointIndex: true,
    zoneMaps: true,
    logged: true,
  }
  const table: Table = await db.createTable('t', {
    schema,
    primaryKey: ['symbol'],
    ifNotExists: true,
    replicated: false,
    ...tableOptions,
  })
  await tables(table, await db.createTable<Trade>('t', { schema }), db.table<Trade>('t'), db.snapshot())
  const untyped: Table = db.table('t')
  await db.dropTable(untyped.name, { ifExists: true })
  const names: string[] = [...db.listTables(), ...db.listTables({ system: true }), ...db.listStates()]
  await db.dropState(names[0]!)
  await writeBatches(db.batch(), byDefault, typed, table)
  const snapshot: Snapshot = db.snapshot()
  holds<Same<typeof snapshot.sequence, bigint>>()
  {
    using scoped = db.snapshot()
    scoped.close()
  }
  keyed(db.keyedState('op', { maxParallelism: 16, ttl: { ms: 1, update: 'readWrite' } }))
  await timers(db.timers('op'))
  await db.flush()
  await db.compact({ table: 't', range: { gte: ['A'], lt: { symbol: 'B' } }, signal, onProgress })
  await db.checkpoint('dir')
  const { id, bytesCopied } = await db.backup('dir', { signal, onProgress })
  await Database.restore('from', 'to', { id: id + bytesCopied })
  const changes: AsyncIterable<Batch> = db.changes('t', { from: 5n, signal })
  for await (const batch of db.changes('t', { from: snapshot })) batch.release()
  holds<Same<typeof db.writable, boolean>>()
  await db.drained()
  const metrics: Record<string, unknown> = db.metrics()
  for (const event of ['flush', 'compaction', 'stall', 'backgroundError'] as const)
    db.on(event, (info: object) => void [info, metrics, changes]).on(event, () => {})
  await db.close()
}

function states(state: StateBackend, typed: StateBackend<{ a: number }>, snapshot: Snapshot): void {
  state.put('k', 'v')
  state.put(Buffer.from('k'), new Uint8Array(1))
  typed.put('k', { a: 1 })
  state.putMany([['k', 'v']])
  typed.putMany(new Map([['k', { a: 1 }]]))
  holds<Same<ReturnType<typeof state.get>, Buffer | undefined>>()
  holds<Same<ReturnType<typeof typed.get>, { a: number } | undefined>>()
  const absent: boolean = state.putIfAbsent('k', 'v')
  const text: string | undefined = state.getString('k', { snapshot })
  const later: Promise<{ a: number } | undefined> = typed.getAsync('k', { snapshot, signal })
  const many: ({ a: number } | undefined)[] = typed.multiGet(['k'], { snapshot })
  const there: boolean = state.exists('k')
  state.delete('k')
  state.deleteRange('a', Buffer.from('b'))
  state.merge('k', 'v')
  state.clear()
  for (const [key, value] of state.scan()) holds<Same<[typeof key, typeof value], [Buffer, Buffer]>>()
  for (const [key, value] of typed.scan({ keys: 'utf8', gte: 'a', lt: 'b', reverse: true, limit: 5, snapshot, signal }))
    holds<Same<[typeof key, typeof value], [string, { a: number }]>>()
  const keysAre: { keys?: 'buffer' | 'utf8' } = {}
  const both: Iterable<[unknown, Buffer]> & AsyncIterable<[unknown, Buffer]> = state.scan(keysAre)
  const codec: Codec = { encode: value => Buffer.from([value.a]), decode: bytes => ({ a: bytes[0] }) }
  const options: StateOptions = { valueEncoding: codec }
  void [absent, text, later, many, there, both, options, state.flush()]
}

async function tables(table: Table, typed: Table<Trade>, again: Table<Trade>, snapshot: Snapshot): Promise<void> {
  holds<Same<[typeof table.name, typeof table.primaryKey], [string, string[]]>>()
  const itsSchema: Schema = table.schema
  const inserted: { rows: number } = await table.insertBatch(recordBatch)
  for (const data of [recordBatch, arrowTable, new Uint8Array(1), batches]) await table.insertBatch(data)
  await table.insert([{ anything: 1 }])
  await table.addColumn('size', new Int64())
  await table.renameColumn('size', 'volume')
  await table.dropColumn('volume')
  await typed.insert([{ symbol: 'A', px: 1 }])
  // @ts-expect-error the type of the row is checked where it is named
  await typed.insert([{ symbol: 'A', price: 1 }])
  const px: number = table.get({ symbol: 'A' })?.px + 1
  const row: Trade | undefined = typed.get(['A'], { snapshot })
  const later: Trade | undefined = await again.getAsync(['A'], { snapshot, signal })
  const many: (Trade | undefined)[] = typed.getMany([['A'], { symbol: 'B' }], { snapshot })
  table.delete(['A'])
  const options: ScanOptions = {
    columns: ['px'],
    where: "px > ? AND symbol = 'A'",
    params: [1],
    range: { gte: ['A'], lt: { symbol: 'B' } },
    limit: 1,
    reverse: true,
    snapshot,
    signal,
    batchRows: 1,
    onProgress,
  }
  const scan: Scan = table.scan(options)
  const whole: ArrowTable = await scan.toTable()
  for await (const batch of scan) batchShape(batch)
  for await (const r of scan.rows({ int64: 'number' })) r.px.toFixed()
  const first: number = (await scan.toArray({ timestamp: 'date', int64: 'string' }))[0].px
  const rows: Trade[] = await typed.scan().toArray()
  const iterator = table.newIterator(options)
  iterator.seek({ symbol: 'A' })
  const next: Batch | undefined = await iterator.next()
  await iterator.close()
  const count: bigint = await table.count({ where: 'px > 1', snapshot })
  for (const format of ['arrow', 'parquet', 'csv', 'jsonl'] as const) {
    const imported: { rows: number } = await table.importFile('file', { format, signal, onProgress })
    const exported: { rows: number } = await table.exportFile('file', { ...options, format })
    void [imported, exported]
  }
  void [itsSchema, inserted, px, row, later, many, whole, first, rows, next, count]
}

function batchShape(batch: Batch): void {
  holds<Same<typeof batch.zeroCopy, boolean>>()
  const plain: RecordBatch = batch
  const { array, schema: address }: { array: bigint; schema: bigint } = batch.exportToC()
  using imported: Batch = importFromC({ array, schema: address })
  imported.release()
  void plain
}

async function writeBatches(
  batch: WriteBatch,
  state: StateBackend,
  typed: StateBackend<{ a: number }>,
  table: Table,
): Promise<void> {
  const rows: object[] = [{ symbol: 'A' }]
  batch
    .put(state, 'k', 'v')
    .put(typed, 'k', { a: 1 })
    .delete(state, 'k')
    .deleteRange(typed, 'a', 'b')
    .insert(table, recordBatch)
    .insert(table, arrowTable)
    .insert(table, rows)
    .deleteRow(table, { symbol: 'A' })
    .deleteRow(table, ['A'])
  await batch.commit({ durability: 'power' })
  batch.commitSync({ durability: 'process' })
  holds<Same<typeof batch.length, number>>()
  batch.clear()
}

function keyed(state: KeyedState): void {
  const ttl: Ttl = { ms: 1, update: 'write' }
  const descriptor: StateDescriptor = { default: 0, encoding: 'msgpack', ttl }
  const withSchema: StateDescriptor = { encoding: schema }
  state.setCurrentKey('k')
  state.setCurrentKey(5)
  state.setCurrentKey(5n)
  const all: Iterable<Key> = state.keys()
  state.clear()
  const value = state.value<number>('v', descriptor)
  value.update((value.value() ?? 0) + 1)
  value.clear()
  const list = state.list<string>('l', withSchema)
  list.add('a')
  list.addAll(['b'])
  list.update(list.get())
  list.clear()
  const map = state.map<string, number>('m')
  map.put('a', (map.get('a') ?? 0) + 1)
  map.remove('a')
  const there: boolean = map.contains('a')
  for (const [k, v] of map.entries()) holds<Same<[typeof k, typeof v], [string, number]>>()
  map.clear()
  const reducing = state.reducing<bigint>('r', (a, b) => a + b)
  reducing.add(1n)
  const sum: bigint | undefined = reducing.get()
  reducing.clear()
  const mean = state.aggregating<number, { n: number; s: number }, number>(
    'a',
    {
      createAccumulator: () => ({ n: 0, s: 0 }),
      add: (v, acc) => ({ n: acc.n + 1, s: acc.s + v }),
      merge: (a, b) => ({ n: a.n + b.n, s: a.s + b.s }),
      getResult: acc => acc.s / acc.n,
    },
    descriptor,
  )
  mean.add(1)
  const result: number | undefined = mean.get()
  mean.clear()
  void [all, there, sum, result]
}

async function timers(t: Timers): Promise<void> {
  t.register('n', 5, { key: 'k', domain: 'processing' })
  const deleted: boolean = t.delete('n', { key: 'k' })
  for (const { name, timestamp, key, domain } of t.list())
    holds<
      Same<
        [typeof name, typeof timestamp, typeof key, typeof domain],
        [string, number, Key | undefined, 'event' | 'processing']
      >
    >()
  const watermark: number = t.currentWatermark()
  const fired: number = await t.setWatermark(0, 5, { idle: true })
  t.on('fire', (timer, tx) => {
    tx.put({} as StateBackend, timer.name, String(timer.timestamp))
  }).on('fire', async () => {})
  void [deleted, watermark, fired]
}

export async function executors(): Promise<void> {
  await using sql = await StreamingSQLExecutor.open({
    statePath: './state',
    checkpointIntervalSeconds: 60,
    maxParallelism: 16,
    parallelism: 1,
    epochMs: 100,
    stateBackend: 'marbledb',
    timerBackend: 'memory',
    memoryBudgetBytes: 1,
    logger,
  })
  const db: Database = sql.database
  const jobs: Job[] = sql.jobs
  const [result] = await sql.execute('SELECT ?', { vars: { A: 'b' }, params: [1] })
  await sql.execute('SELECT :a', { params: { a: 1 } })
  const { kind, job, rows, message }: { kind: string; job?: Job; rows?: Scan; message?: string } = result!
  const scan: Scan = sql.query('SELECT :a', { params: { a: 1 }, changelog: true, signal })
  const typed: Scan<Trade> = sql.query<Trade>('SELECT * FROM t')
  const n: number = sql.table('t').get(['A'])?.n + 1
  const trade: Trade | undefined = await sql.table<Trade>('t').getAsync(['A'])
  const readable: Pick<
    Table<Trade>,
    'get' | 'getAsync' | 'getMany' | 'scan' | 'count' | 'schema' | 'primaryKey'
  > = sql.table<Trade>('t')
  for await (const batch of sql.subscribe('t', { fromSnapshot: true, signal })) batch.release()
  sql.registerFunction('f', { args: ['INT'], returns: 'INT', columnar: false }, (a: number) => a + 1)
  const watermark = { column: 'ts', maxOutOfOrdernessMs: 1 }
  sql.registerSource('s', [{ a: 1 }], { schema, watermark })
  sql.registerSource('s', [recordBatch], { schema })
  sql.registerSource('s', batches, { schema })
  sql.registerConnector('mine', (config: ConnectorConfig) => new Mine(config))
  await sql.registerDimensionTable('d', arrowTable, { primaryKey: ['a'] })
  await sql.registerDimensionTable('d', recordBatch, { primaryKey: ['a'] })
  const plan: string = sql.explain('SELECT 1')
  const health: { job: string; ok: boolean; reason?: string }[] = sql.health()
  await sql.close()
  if (job !== undefined) await jobShape(job)
  void [db, jobs, kind, rows, message, scan, typed, n, trade, readable, plan, health]
}

async function jobShape(job: Job): Promise<void> {
  holds<Same<[typeof job.id, typeof job.name], [string, string]>>()
  holds<
    Same<typeof job.status, 'starting' | 'running' | 'paused' | 'restarting' | 'finished' | 'failed' | 'cancelled'>
  >()
  const finished: JobMetrics = await job.finished
  const metrics: JobMetrics = job.metrics()
  const total: bigint =
    metrics.recordsIn + finished.recordsOut + metrics.lateRecords + metrics.badRecords + metrics.epoch
  const rate: number = metrics.recordsPerSecond
  const times: (number | null)[] = [metrics.watermark, metrics.lastCheckpoint]
  for (const source of metrics.sources) {
    const place: [string, number, bigint, bigint | null, number | null, boolean] = [
      source.name,
      source.partition,
      source.offset,
      source.lag,
      source.watermark,
      source.idle,
    ]
    void place
  }
  const operators: object[] = metrics.operators
  const memory: Record<string, number> = metrics.memory
  await job.pause()
  await job.resume()
  await job.stop({ savepoint: 'dir' })
  await job.cancel()
  for (const event of ['epoch', 'checkpoint', 'late', 'badRecord', 'stalled', 'failed'] as const)
    job.on(event, (info: object) => void info).on(event, () => {})
  void [total, rate, times, operators, memory]
}

/** A connector of one's own: RecordBatches of any make. */
class Mine implements SourceConnector {
  readonly connectorType: string
  constructor(config: ConnectorConfig) {
    this.connectorType = config.connectorType
  }
  async initialize(_config: ConnectorConfig): Promise<void> {}
  async shutdown(): Promise<void> {}
  async nextBatch(_maxRows: number): Promise<RecordBatch | null> {
    return recordBatch
  }
  hasMore(): boolean {
    return true
  }
  partitionCount(): number {
    return 1
  }
  currentOffset(): Offset {
    return { connectorId: 'c', partitions: { 0: '5' } }
  }
  async seekToOffset(_offset: Offset): Promise<void> {}
  async commitOffset(_offset: Offset): Promise<void> {}
  extractWatermark(_batch: RecordBatch): number | null {
    return null
  }
}

export async function connectors(): Promise<void> {
  const config: ConnectorConfig = {
    connectorType: 'kafka',
    connectorId: 'c',
    properties: { topic: 't' },
    watermarkColumn: 'ts',
    maxOutOfOrdernessMs: 5000,
    batchSize: 10_000,
    partitionId: 0,
    format: 'json',
    schema,
  }
  const source = await createSource(config)
  const asConnector: SourceConnector & AsyncIterable<Batch> = source
  const batch: RecordBatch | null = await source.nextBatch(5)
  if (batch !== null) source.extractWatermark(batch)
  source.extractWatermark(recordBatch)
  for await (const b of source) b.release()
  await source.commitOffset(source.currentOffset())
  await asConnector.shutdown()
}

export async function testing(): Promise<void> {
  await using kafka = await MockKafka.start({ partitions: 4 })
  const servers: string = kafka.bootstrapServers
  await kafka.produce('t', [{ key: 'k', value: Buffer.from('v'), partition: 0, timestamp: 5 }, {}])
  await kafka.close()
  void servers
}
