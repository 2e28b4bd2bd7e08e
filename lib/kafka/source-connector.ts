// A connector outside SQL: Kafka (or files) as Arrow batches, with the offsets in the caller's hands.
import type { BatchChunk, SourceHandle } from '../../binding.js'
import type { Batch } from '../arrow/batch.js'
import { BatchReader } from '../arrow/export.js'
import { type JsonSchema, schemaToJson } from '../arrow/json-schema.js'
import { binding } from '../binding.js'
import { invalidArgument, makeError, notSupported } from '../errors.js'
import { checkCount, checkOptions } from '../options.js'

export interface ConnectorConfig {
  connectorType: string
  connectorId: string
  properties: Record<string, string>
  watermarkColumn?: string
  maxOutOfOrdernessMs?: number
  batchSize?: number
  partitionId?: number
  format?: string
  schema?: { fields: readonly object[] }
}
/** The offset of the next record to read, by partition, as JSON. */
export type Offset = { connectorId: string; partitions: Record<string, string> }

export interface SourceConnector {
  readonly connectorType: string
  initialize(config: ConnectorConfig): Promise<void>
  shutdown(): Promise<void>
  /** Null: nothing just now. */
  nextBatch(maxRows: number): Promise<Batch | null>
  hasMore(): boolean
  partitionCount(): number
  currentOffset(): Offset
  seekToOffset(offset: Offset): Promise<void>
  commitOffset(offset: Offset): Promise<void>
  extractWatermark(batch: Batch): number | null
}

const kDefaultBatchRows = 10_000
const kDefaultOutOfOrdernessMs = 5_000
const kWaitMs = 100
/** Rows of a topic without a format. */
const rawSchema: JsonSchema = {
  fields: [
    { name: 'key', nullable: true, type: { name: 'utf8' }, children: [] },
    { name: 'value', nullable: true, type: { name: 'utf8' }, children: [] },
    { name: 'timestamp', nullable: true, type: { name: 'timestamp', unit: 'MILLISECOND' }, children: [] },
    { name: 'partition', nullable: false, type: { name: 'int', bitWidth: 32, isSigned: true }, children: [] },
    { name: 'offset', nullable: false, type: { name: 'int', bitWidth: 64, isSigned: true }, children: [] },
  ],
}

export class NativeSourceConnector implements SourceConnector, AsyncIterable<Batch>, AsyncDisposable {
  #config: ConnectorConfig | undefined
  #schema: JsonSchema = rawSchema
  #reader = new BatchReader(rawSchema)
  #handle: SourceHandle | undefined
  #offsets: Record<string, string> = {}
  // What a larger native batch has left over, and the offset behind it.
  #rest: { batch: Batch; at: number; partition: number; next: string } | undefined
  #closed = false

  get connectorType(): string {
    return this.#config?.connectorType ?? ''
  }

  /** Connect. A broker that is down, a topic that does not exist, a wrong setting: an error that names it. */
  async initialize(config: ConnectorConfig): Promise<void> {
    checkConfig(config)
    this.#config = config
    this.#schema = config.schema === undefined ? rawSchema : schemaToJson(config.schema)
    this.#reader = new BatchReader(this.#schema)
    if (
      config.watermarkColumn !== undefined &&
      !this.#schema.fields.some(field => field.name === config.watermarkColumn)
    ) {
      throw makeError('MARBLE_COLUMN_NOT_FOUND', `watermarkColumn: there is no column '${config.watermarkColumn}'`)
    }
    await this.#open()
  }

  async shutdown(): Promise<void> {
    this.#closed = true
    const handle = this.#handle
    this.#handle = undefined
    if (handle !== undefined) await binding().sourceClose(handle)
  }

  async nextBatch(maxRows: number): Promise<Batch | null> {
    checkCount('nextBatch', 'maxRows', maxRows, 1)
    if (this.#rest === undefined) {
      const handle = this.#checkedHandle()
      if (binding().sourceFinished(handle)) return null
      const rows = await binding().sourceNext(handle, kWaitMs)
      if (rows === undefined) return null
      const batch = this.#read(rows.chunk)
      if (batch === undefined || batch.numRows === 0) {
        this.#offsets[rows.partition] = rows.nextOffset
        return null
      }
      this.#rest = { batch, at: 0, partition: rows.partition, next: rows.nextOffset }
    }
    const { batch, at, partition, next } = this.#rest
    const end = Math.min(at + maxRows, batch.numRows)
    if (end === batch.numRows) {
      this.#rest = undefined
      this.#offsets[partition] = next
      return at === 0 ? batch : (batch.slice(at, end) as Batch)
    }
    this.#rest.at = end
    // Rows that stay behind are not read yet: offsets move only with a whole native batch.
    return batch.slice(at, end) as Batch
  }

  hasMore(): boolean {
    if (this.#rest !== undefined) return true
    return this.#handle !== undefined && !binding().sourceFinished(this.#handle)
  }

  partitionCount(): number {
    return binding().sourcePartitions(this.#checkedHandle()).length
  }

  currentOffset(): Offset {
    return { connectorId: this.#config?.connectorId ?? '', partitions: { ...this.#offsets } }
  }

  async seekToOffset(offset: Offset): Promise<void> {
    this.#checkOffset(offset)
    const handle = this.#checkedHandle()
    this.#offsets = { ...offset.partitions }
    this.#rest = undefined
    await binding().sourceClose(handle)
    await this.#open()
  }

  async commitOffset(offset: Offset): Promise<void> {
    this.#checkOffset(offset)
    await binding().sourceCommit(this.#checkedHandle(), offset.partitions)
  }

  /** The greatest value of the watermark column, less the allowed disorder; null without one. */
  extractWatermark(batch: Batch): number | null {
    const name = this.#config?.watermarkColumn
    if (name === undefined) return null
    const vector = batch.getChild(name)
    if (vector === null) throw makeError('MARBLE_COLUMN_NOT_FOUND', `the batch has no column '${name}'`)
    let greatest: number | null = null
    for (const value of vector) {
      const ms = value === null || value === undefined ? null : Number(value)
      if (ms !== null && (greatest === null || ms > greatest)) greatest = ms
    }
    return greatest === null ? null : greatest - (this.#config?.maxOutOfOrdernessMs ?? kDefaultOutOfOrdernessMs)
  }

  /** Until the end of a bounded source; leaving the loop shuts the source down. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    const rows = this.#config?.batchSize ?? kDefaultBatchRows
    try {
      while (!this.#closed && this.hasMore()) {
        const batch = await this.nextBatch(rows)
        if (batch !== null) yield batch
      }
    } finally {
      await this.shutdown()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown()
  }

  async #open(): Promise<void> {
    const config = this.#config!
    const options: Record<string, string> = { ...config.properties }
    if (config.partitionId !== undefined) options['scan.partitions'] = String(config.partitionId)
    const format = config.format ?? ''
    const formatOptions: Record<string, string> = {}
    for (const name of Object.keys(options)) {
      if (format !== '' && name.startsWith(`${format}.`)) {
        formatOptions[name.slice(format.length + 1)] = options[name]!
        delete options[name]
      }
    }
    this.#handle = await binding().sourceOpen(
      {
        id: config.connectorId,
        connector: config.connectorType,
        options,
        format,
        formatOptions,
        schema: JSON.stringify(this.#schema),
        bounded: config.connectorType !== 'kafka' || options['scan.bounded.mode'] === 'latest-offset',
      },
      this.#offsets,
    )
  }

  #read(chunk: BatchChunk): Batch | undefined {
    return this.#reader.read(chunk)[0]
  }

  #checkedHandle(): SourceHandle {
    if (this.#handle === undefined)
      throw makeError('MARBLE_CLOSED', this.#closed ? 'the source is shut down' : 'the source is not initialized')
    return this.#handle
  }

  #checkOffset(offset: Offset): void {
    if (offset.connectorId !== this.#config?.connectorId) {
      throw makeError(
        'MARBLE_INVALID_ARGUMENT',
        `the offset belongs to connector '${offset.connectorId}', not '${this.#config?.connectorId}'`,
      )
    }
  }
}

function checkConfig(config: ConnectorConfig): void {
  checkOptions('createSource', config, [
    'connectorType',
    'connectorId',
    'properties',
    'watermarkColumn',
    'maxOutOfOrdernessMs',
    'batchSize',
    'partitionId',
    'format',
    'schema',
  ])
  for (const name of ['connectorType', 'connectorId'] as const) {
    if (typeof config?.[name] !== 'string' || config[name] === '')
      throw invalidArgument(`createSource: ${name} must be a string`)
  }
  if (typeof config.properties !== 'object' || config.properties === null)
    throw invalidArgument('createSource: properties must be an object of strings')
  for (const [name, value] of Object.entries(config.properties)) {
    if (typeof value !== 'string') throw invalidArgument(`createSource: the property '${name}' must be a string`)
  }
  checkCount('createSource', 'batchSize', config.batchSize, 1)
  checkCount('createSource', 'partitionId', config.partitionId)
  checkCount('createSource', 'maxOutOfOrdernessMs', config.maxOutOfOrdernessMs)
  if (config.schema === undefined && config.connectorType !== 'kafka')
    throw notSupported(`createSource: '${config.connectorType}' without a schema`)
  if (config.format !== undefined && config.schema === undefined)
    throw invalidArgument('createSource: a format needs a schema')
}

/** Open a source. Use it as an async iterable of batches, or by its methods. */
export async function createSource(
  config: ConnectorConfig,
): Promise<SourceConnector & AsyncIterable<Batch> & AsyncDisposable> {
  const source = new NativeSourceConnector()
  await source.initialize(config)
  return source
}
