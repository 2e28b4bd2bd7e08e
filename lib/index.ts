// The package: re-exports only.
export type { Batch } from './arrow/batch.js'
export { type ArrowCAddresses, importFromC } from './arrow/c-data.js'
export type { ValueOptions } from './arrow/values.js'
export { useBinding } from './binding.js'
export type {
  BackupInfo,
  DatabaseInspection,
  OperationOptions,
  RestoreOptions,
  VerifyReport,
} from './database/copies.js'
export type { ChangesOptions } from './database/changes.js'
export {
  type CompactOptions,
  type CreateTableOptions,
  Database,
  type OpenOptions,
  type TableOptions,
} from './database/database.js'
export { Snapshot } from './database/snapshot.js'
export { type Durability, WriteBatch } from './database/write-batch.js'
export {
  AbortedError,
  ClosedError,
  CorruptionError,
  type ErrorCode,
  errorCodes,
  IncompatibleError,
  IncompatibleStateError,
  KafkaError,
  LockedError,
  MarbleError,
  NotSupportedError,
  SchemaError,
} from './errors.js'
export type { Logger } from './logger.js'
export type { Progress } from './progress.js'
export type { Codec, ValueEncoding } from './state/codec.js'
export type {
  AggregateFunction,
  KeyedState,
  KeyedStateOptions,
  StateDescriptor,
  TimerDomain,
  Timers,
  Ttl,
} from './state/keyed-state.js'
export { type Key, type Range, StateBackend, type StateOptions, type StateScanOptions } from './state/state-backend.js'
export type { Scan } from './table/scan.js'
export {
  type FileFormat,
  type ImportOptions,
  type RowKey,
  type ScanOptions,
  Table,
  type TableIterator,
} from './table/table.js'
export { type ConnectorConfig, createSource, type Offset, type SourceConnector } from './kafka/source-connector.js'
export { SqlError } from './sql/sql-error.js'
export type { Job, JobEventName, JobMetrics, JobStatus, StopOptions } from './stream/job.js'
export {
  type ExecuteOptions,
  type ExecutorOptions,
  type FunctionSignature,
  type QueryOptions,
  type ReadableTable,
  type RegisterSourceOptions,
  type StatementResult,
  StreamingSQLExecutor,
} from './stream/executor.js'
