// The exact surface of the addon, by hand: one function for each function of native/napi. Above each
// native function stands the same signature; scripts/check-binding.mjs compares the two and the addon.
// Nothing here is public: lib/ wraps it.

declare const kind: unique symbol
interface Handle<K extends string> {
  readonly [kind]: K
}
export type DatabaseHandle = Handle<'database'>
export type StateHandle = Handle<'state'>
export type TableHandle = Handle<'table'>
export type SnapshotHandle = Handle<'snapshot'>
export type WriteBatchHandle = Handle<'writeBatch'>
export type IteratorHandle = Handle<'iterator'>
export type JobManagerHandle = Handle<'jobManager'>
export type JobHandle = Handle<'job'>
export type PushSourceHandle = Handle<'pushSource'>
export type SourceHandle = Handle<'source'>
export type ProducerHandle = Handle<'producer'>
export type MockClusterHandle = Handle<'mockCluster'>
export type ChangesHandle = Handle<'changes'>
export type OperationHandle = Handle<'operation'>

export interface DatabaseOptions {
  id?: string
  create?: boolean
  durability?: string
  maxBlockMs?: number
  threads?: number
  memoryBudgetBytes?: number
  verifyReads?: string
  recovery?: string
}
export interface NativeTableOptions {
  preset?: string
  compression?: string
  compressionPerLevel?: string[]
  bloomBitsPerKey?: number
  pointIndex?: boolean
  zoneMaps?: boolean
  ttlMs?: number
  logged?: boolean
}
export interface NativeStateOptions {
  ttlMs?: number
  mergeOperator?: string
  logged?: boolean
}
/** `key`: bytes of a state's key, values of a table's. */
export interface Bound {
  key: unknown
  inclusive: boolean
}
export interface NativeScanOptions {
  lower?: Bound
  upper?: Bound
  reverse?: boolean
  limit?: number
  batchRows?: number
  snapshot?: SnapshotHandle
  columns?: number[]
  /** Of tables: an expression of lib/sql/plan/PLAN.md as JSON, over the table's columns. */
  where?: string
}
/** See native/napi/arrow_export.h. */
export interface BatchChunk {
  count: number
  meta: Float64Array
  buffers: ArrayBuffer[]
}
/** See native/napi/arrow_import.h. */
export interface ImportedBatch {
  rows: number
  schema?: string
  nodes: Float64Array
  buffers: (ArrayBufferView | undefined)[]
}
/** Keys and values behind one another; `ends` holds where each ends. */
export interface EntryChunk {
  bytes: ArrayBuffer
  ends: Float64Array
}

// module_binding.cc
export function errorCodes(): string[]
export function prepareExit(): void
export function setErrorFactory(factory: (code: string, message: string) => Error): void
export function setSlab(slab: ArrayBuffer): void
export function setCells(cells: ArrayBuffer): void
export function ref(): void
export function unref(): void
export function detach(buffer: ArrayBuffer): void
export function addressOf(buffer: ArrayBuffer): bigint
export function mappedFiles(): { path: string, address: bigint, size: number }[]

// database_binding.cc
export function databaseOpen(path: string, options: DatabaseOptions): Promise<DatabaseHandle>
export function databaseClose(database: DatabaseHandle): Promise<void>
export function databaseInfo(database: DatabaseHandle): { path: string, id: string }
export function databaseFlush(database: DatabaseHandle): Promise<void>
export function databaseCompact(database: DatabaseHandle, table: string, lower: Bound | undefined, upper: Bound | undefined, operation: OperationHandle): Promise<void>
export function databaseSync(database: DatabaseHandle): Promise<void>
export function databaseDropTable(database: DatabaseHandle, name: string, ifExists: boolean): Promise<void>
export function databaseCreateTable(database: DatabaseHandle, name: string, schema: string, primaryKey: number[], ifNotExists: boolean, isState: boolean, isSystem: boolean, options: NativeTableOptions): Promise<void>
export function databaseOpenState(database: DatabaseHandle, name: string, encoding: string, options: NativeStateOptions): { handle: StateHandle, encoding: string, mergeOperator: string }
export function databaseOpenTable(database: DatabaseHandle, name: string): { handle: TableHandle, schema: string, primaryKey: number[], isState: boolean }
export function databaseListTables(database: DatabaseHandle): { name: string, isState: boolean, isSystem: boolean }[]
export function databaseWritable(database: DatabaseHandle): boolean
export function databaseMetrics(database: DatabaseHandle): Record<string, unknown>
export function databaseOn(database: DatabaseHandle, listener: (event: string, info: object) => void): void

// copies_binding.cc
export function operationNew(): OperationHandle
export function operationCancel(operation: OperationHandle): void
export function operationProgress(operation: OperationHandle): { done: number, total: number }
export function databaseCheckpoint(database: DatabaseHandle, dir: string, operation: OperationHandle): Promise<void>
export function databaseBackup(database: DatabaseHandle, dir: string, operation: OperationHandle): Promise<{ id: number, bytesCopied: number }>
export function backupsList(dir: string): Promise<string>
export function backupsVerify(dir: string, id: number, operation: OperationHandle): Promise<string>
export function backupsPrune(dir: string, keep: number): Promise<number>
export function backupsRestore(dir: string, id: number, target: string, operation: OperationHandle): Promise<void>
export function databaseInspect(path: string, zoneMaps: boolean): Promise<string>
export function databaseVerify(path: string, operation: OperationHandle): Promise<string>

// changes_binding.cc
export function changesOpen(database: DatabaseHandle, table: string, behind?: bigint): { handle: ChangesHandle, schema: string }
export function changesNext(changes: ChangesHandle, waitMs: number): Promise<{ chunk: BatchChunk, schema?: string } | undefined>
export function changesClose(changes: ChangesHandle): void

// state_binding.cc
export function stateGet(state: StateHandle, key: string | Uint8Array, offset: number, snapshot?: SnapshotHandle): number
export function stateGetBuffer(state: StateHandle, key: string | Uint8Array, snapshot?: SnapshotHandle): ArrayBuffer | undefined
export function stateGetString(state: StateHandle, key: string | Uint8Array, snapshot?: SnapshotHandle): string | undefined
export function stateExists(state: StateHandle, key: string | Uint8Array, snapshot?: SnapshotHandle): boolean
export function stateGetAsync(state: StateHandle, key: string | Uint8Array, snapshot?: SnapshotHandle): Promise<ArrayBuffer | undefined>
export function stateMultiGet(state: StateHandle, keys: (string | Uint8Array)[], snapshot?: SnapshotHandle): { bytes: ArrayBuffer, ends: Float64Array }
export function statePut(state: StateHandle, key: string | Uint8Array, value: string | Uint8Array): void
export function stateMerge(state: StateHandle, key: string | Uint8Array, operand: string | Uint8Array): void
export function statePutIfAbsent(state: StateHandle, key: string | Uint8Array, value: string | Uint8Array): boolean
export function statePutMany(state: StateHandle, entries: (string | Uint8Array)[]): void
export function stateDelete(state: StateHandle, key: string | Uint8Array): void
export function stateDeleteRange(state: StateHandle, from: string | Uint8Array, to: string | Uint8Array): void

// snapshot_binding.cc
export function snapshotOpen(database: DatabaseHandle): SnapshotHandle
export function snapshotSequence(snapshot: SnapshotHandle): bigint
export function snapshotClose(snapshot: SnapshotHandle): void

// write_batch_binding.cc
export function batchNew(database: DatabaseHandle): WriteBatchHandle
export function batchPut(batch: WriteBatchHandle, state: StateHandle, key: string | Uint8Array, value: string | Uint8Array): void
export function batchMerge(batch: WriteBatchHandle, state: StateHandle, key: string | Uint8Array, operand: string | Uint8Array): void
export function batchDelete(batch: WriteBatchHandle, state: StateHandle, key: string | Uint8Array): void
export function batchDeleteRange(batch: WriteBatchHandle, state: StateHandle, from: string | Uint8Array, to: string | Uint8Array): void
export function batchInsert(batch: WriteBatchHandle, table: TableHandle, rows: ImportedBatch): void
export function batchDeleteRow(batch: WriteBatchHandle, table: TableHandle, key: unknown[]): void
export function batchCommit(batch: WriteBatchHandle, power: boolean): Promise<void>
export function batchCommitSync(batch: WriteBatchHandle, power: boolean): void
export function batchLength(batch: WriteBatchHandle): number
export function batchClear(batch: WriteBatchHandle): void

// table_binding.cc
export function tableGetCells(table: TableHandle, key: unknown[], slabOffset: number, snapshot?: SnapshotHandle): number
export function tableGetBatch(table: TableHandle, key: unknown[], snapshot?: SnapshotHandle): BatchChunk | undefined
export function tableGetAsync(table: TableHandle, key: unknown[], snapshot?: SnapshotHandle): Promise<BatchChunk | undefined>
export function tableHasCells(table: TableHandle): boolean
export function tableIsCurrent(table: TableHandle): boolean
export function tableCurrent(table: TableHandle): { handle: TableHandle, schema: string, primaryKey: number[] }
export function tableAlter(table: TableHandle, kind: string, column: string, change: string): Promise<void>
export function tableInsert(table: TableHandle, batches: ImportedBatch[]): Promise<number>
export function tableInsertIpc(table: TableHandle, bytes: Uint8Array): Promise<number>
export function tableDelete(table: TableHandle, key: unknown[]): void

// iterator_binding.cc
export function tableScan(table: TableHandle, options: NativeScanOptions): IteratorHandle
export function stateScan(state: StateHandle, options: NativeScanOptions): IteratorHandle
export function iteratorNextBatches(iterator: IteratorHandle, maxBatches: number): Promise<BatchChunk | undefined>
export function iteratorCount(iterator: IteratorHandle): Promise<bigint>
export function iteratorNextEntriesSync(iterator: IteratorHandle, maxEntries: number): EntryChunk | undefined
export function iteratorNextEntries(iterator: IteratorHandle, maxEntries: number): Promise<EntryChunk | undefined>
export function iteratorClose(iterator: IteratorHandle): void

// source_binding.cc
export interface SourceSpec {
  id: string
  connector: string
  options: Record<string, string>
  format: string
  formatOptions: Record<string, string>
  schema: string
  bounded: boolean
}
export interface SourceRows {
  partition: number
  nextOffset: string
  badRecords: number
  chunk: BatchChunk
}
export interface PartitionStatus {
  partition: number
  highWatermark: number
  lag: number
  finished: boolean
  caughtUp: boolean
}
export function sourceOpen(spec: SourceSpec, offsets: Record<string, string>): Promise<SourceHandle>
export function sourceNext(source: SourceHandle, timeoutMs: number): Promise<SourceRows | undefined>
export function sourceFinished(source: SourceHandle): boolean
export function sourcePartitions(source: SourceHandle): PartitionStatus[]
export function sourceCommit(source: SourceHandle, offsets: Record<string, string>): Promise<void>
export function sourceClose(source: SourceHandle): Promise<void>

// job_binding.cc
export interface JobManagerOptions {
  epochMs?: number
  checkpointIntervalMs?: number
  maxParallelism?: number
}
export interface NativeSourceMetrics {
  name: string
  partition: number
  offset: string
  /** -1: unknown */
  lag: number
  watermark: number | null
  idle: boolean
}
export interface NativeJobMetrics {
  recordsIn: bigint
  recordsOut: bigint
  recordsPerSecond: number
  lateRecords: bigint
  badRecords: bigint
  watermark: number | null
  epoch: bigint
  resumedFromEpoch: bigint
  lastCheckpoint: number | null
  commits: bigint
  commitMs: number
  stateRowsCommitted: bigint
  sources: NativeSourceMetrics[]
  operators: { id: string; type: string; rowsIn: number; rowsOut: number; lateRows: number; stateRows: number; stateBytes: number; busyMs: number }[]
}
export function jobManagerOpen(database: DatabaseHandle, options: JobManagerOptions): Promise<JobManagerHandle>
export function jobManagerClose(manager: JobManagerHandle): Promise<void>
export function jobStart(manager: JobManagerHandle, plan: string, fresh: boolean, sourceIds: string[], sources: PushSourceHandle[]): Promise<JobHandle>
export function jobInfo(job: JobHandle): { id: string, name: string }
export function jobStatus(job: JobHandle): string
export function jobError(job: JobHandle): Error | undefined
export function jobMetrics(job: JobHandle): NativeJobMetrics
export function jobPause(job: JobHandle): Promise<void>
export function jobResume(job: JobHandle): Promise<void>
export function jobCancel(job: JobHandle): Promise<void>
export function jobStop(job: JobHandle): Promise<void>
export function jobDrain(job: JobHandle): Promise<void>
export function jobOn(job: JobHandle, listener: (event: string, epoch: bigint, message: string) => void): void
export function jobNextResult(job: JobHandle, timeoutMs: number): Promise<BatchChunk | null | undefined>
export function pushSourceNew(schema: string, onDemand: () => void): PushSourceHandle
export function pushSourcePush(source: PushSourceHandle, batch: ImportedBatch): boolean
export function pushSourceFinish(source: PushSourceHandle): void
export function pushSourceFail(source: PushSourceHandle, message: string): void

// kafka_binding.cc
export function producerConnect(bootstrapServers: string, properties: [string, string][]): Promise<ProducerHandle>
export function producerProduce(producer: ProducerHandle, topic: string, records: object[]): Promise<void>
export function producerFlush(producer: ProducerHandle, timeoutMs: number): Promise<void>
export function producerCreateTopic(producer: ProducerHandle, topic: string, partitions: number): Promise<void>
export function producerWatermarks(producer: ProducerHandle, topic: string): Promise<{ low: bigint, high: bigint }[]>
export function producerClose(producer: ProducerHandle): Promise<void>
export function mockClusterStart(brokers: number, partitions: number): Promise<MockClusterHandle>
export function mockClusterBootstrap(cluster: MockClusterHandle): string
export function mockClusterCreateTopic(cluster: MockClusterHandle, topic: string, partitions: number): Promise<void>
export function mockClusterProduce(cluster: MockClusterHandle, topic: string, records: object[]): Promise<void>
export function mockClusterSetBroker(cluster: MockClusterHandle, broker: number, up: boolean): Promise<void>
export function mockClusterClose(cluster: MockClusterHandle): Promise<void>
