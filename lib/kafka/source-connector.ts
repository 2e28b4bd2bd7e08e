// A connector outside SQL: Kafka (or files) as Arrow batches, with the offsets in the caller's hands.
import type { RecordBatch } from 'apache-arrow'
import type { BatchChunk, SourceHandle } from '../../binding.js'
import type { Batch } from '../arrow/batch.js'
import { BatchReader } from '../arrow/export.js'
import { type JsonSchema, type JsonType, schemaToJson } from '../arrow/json-schema.js'
import { isRecordBatchLike } from '../arrow/like.js'
import { describeType } from '../arrow/values.js'
import { binding } from '../binding.js'
import { invalidArgument, makeError, notSupported } from '../errors.js'
import { checkFields, checkOptions, checkValue, count, didYouMean, rule, type Rules, shown } from '../options.js'
import { kafka } from '../sql/index.js'
import { checkKafkaProperties } from './properties.js'

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

/** B: what createSource gives can be released; a connector of one's own gives RecordBatches of any make. */
export interface SourceConnector<B extends RecordBatch = RecordBatch> {
  readonly connectorType: string
  initialize(config: ConnectorConfig): Promise<void>
  shutdown(): Promise<void>
  /** Null: nothing just now. */
  nextBatch(maxRows: number): Promise<B | null>
  hasMore(): boolean
  partitionCount(): number
  currentOffset(): Offset
  seekToOffset(offset: Offset): Promise<void>
  commitOffset(offset: Offset): Promise<void>
  extractWatermark(batch: RecordBatch): number | null
}

const kDefaultBatchRows = 10_000
const kDefaultOutOfOrdernessMs = 5_000
const kWaitMs = 100
const configRules: Rules<ConnectorConfig> = {
  connectorType: rule.text,
  connectorId: rule.text,
  properties: rule.textRecord,
  watermarkColumn: rule.text,
  maxOutOfOrdernessMs: count(),
  batchSize: count(1),
  partitionId: count(),
  format: rule.text,
  schema: rule.anything, // schemaToJson looks at it
}
const maxRowsRule = count(1)
const offsetRules: Rules<Offset> = { connectorId: rule.text, partitions: rule.textRecord }
const kProperties = 'properties.'
const kGroup = 'properties.group.id'
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

export class NativeSourceConnector implements SourceConnector<Batch>, AsyncIterable<Batch>, AsyncDisposable {
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
    if (config.watermarkColumn !== undefined) checkWatermarkColumn(config.watermarkColumn, this.#schema)
    this.#handle = await this.#open(this.#offsets)
  }

  async shutdown(): Promise<void> {
    this.#closed = true
    const handle = this.#handle
    this.#handle = undefined
    if (handle !== undefined) await binding().sourceClose(handle)
  }

  async nextBatch(maxRows: number): Promise<Batch | null> {
    checkValue('nextBatch', 'maxRows', maxRows, maxRowsRule)
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
    this.#checkOffset('seekToOffset', offset)
    const before = this.#checkedHandle()
    // First the new one: an offset that the topic does not have leaves this source where it is.
    this.#handle = await this.#open(offset.partitions)
    this.#offsets = { ...offset.partitions }
    this.#rest = undefined
    await binding().sourceClose(before)
  }

  /** Tell the broker, for those who watch the consumer group `properties.group.id`; where to begin is said by seekToOffset. */
  async commitOffset(offset: Offset): Promise<void> {
    this.#checkOffset('commitOffset', offset)
    const handle = this.#checkedHandle()
    const { connectorType, properties } = this.#config!
    const remedy = 'keep currentOffset() and pass it to seekToOffset'
    if (connectorType !== 'kafka')
      throw notSupported(`commitOffset of a ${connectorType} source, which has nowhere to keep an offset,`, remedy)
    if (!properties[kGroup] && !properties['group.id'])
      throw invalidArgument(`commitOffset: offsets are committed for a consumer group: set '${kGroup}', or ${remedy}`)
    await binding().sourceCommit(handle, offset.partitions)
  }

  /** The greatest value of the watermark column, less the allowed disorder; null without one. */
  extractWatermark(batch: RecordBatch): number | null {
    const name = this.#config?.watermarkColumn
    if (!isRecordBatchLike(batch))
      throw invalidArgument(`extractWatermark: batch must be a RecordBatch, not ${shown(batch)}`)
    if (name === undefined) return null
    const vector = batch.getChild(name)
    if (vector === null) throw makeError('MARBLE_COLUMN_NOT_FOUND', `the batch has no column '${name}'`)
    let greatest: number | null = null
    // apache-arrow gives epoch ms for timestamps and dates of every unit.
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

  #open(offsets: Record<string, string>): Promise<SourceHandle> {
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
    return binding().sourceOpen(
      {
        id: config.connectorId,
        connector: config.connectorType,
        options,
        format,
        formatOptions,
        schema: JSON.stringify(this.#schema),
        bounded: config.connectorType !== 'kafka' || options['scan.bounded.mode'] === 'latest-offset',
      },
      offsets,
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

  #checkOffset(where: string, offset: Offset): void {
    checkFields(`${where}: offset`, offset, offsetRules)
    for (const field of ['connectorId', 'partitions'] as const)
      checkValue(`${where}: offset`, field, offset[field], offsetRules[field])
    const wrong = Object.keys(offset.partitions).find(partition => !/^\d{1,9}$/.test(partition))
    if (wrong !== undefined)
      throw invalidArgument(`${where}: offset: partitions must be by number, not by ${shown(wrong)}`)
    if (offset.connectorId !== this.#config?.connectorId) {
      throw invalidArgument(
        `${where}: the offset belongs to connector '${offset.connectorId}', not '${this.#config?.connectorId}'`,
      )
    }
  }
}

function checkConfig(config: ConnectorConfig): void {
  const where = 'createSource'
  checkValue(where, 'config', config, rule.object)
  checkOptions(where, config, configRules)
  for (const field of ['connectorType', 'connectorId', 'properties'] as const)
    checkValue(where, field, config[field], configRules[field])
  if (config.connectorType === 'kafka') checkKafkaOptions(where, config)
  if (config.schema === undefined && config.connectorType !== 'kafka')
    throw notSupported(`createSource: '${config.connectorType}' without a schema`)
  if (config.format !== undefined && config.schema === undefined)
    throw invalidArgument(`createSource: format ${shown(config.format)} needs a schema`)
}

/** Settings of librdkafka, and the names of our own options: the addon looks at the values of these. */
function checkKafkaOptions(where: string, { properties, format }: ConnectorConfig): void {
  const client: Record<string, string> = {}
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith(kProperties) || name === 'group.id') client[name.replace(kProperties, '')] = value
    else if (name !== 'bootstrap.servers' && !(format !== undefined && name.startsWith(`${format}.`)))
      checkOwnOption(where, name)
  }
  delete client['bootstrap.servers']
  checkKafkaProperties(where, client, 'consumer')
}

function checkOwnOption(where: string, name: string): void {
  const definition = Object.hasOwn(kafka.options, name) ? kafka.options[name] : undefined
  if (definition === undefined) {
    const known = [...Object.keys(kafka.options), kProperties + name]
    throw invalidArgument(
      `${where}: unknown property '${name}' of a kafka source${didYouMean(name, known)}; librdkafka's settings begin with '${kProperties}'`,
    )
  }
  if (definition.unsupported !== undefined)
    throw notSupported(`${where}: the property '${name}'`, definition.unsupported)
  if (name === 'format') throw invalidArgument(`${where}: 'format' is said beside properties, not in them`)
  if (name.startsWith('scan.watermark.'))
    throw notSupported(`${where}: the property '${name}'`, 'watermarks of a source are what extractWatermark says')
}

function checkWatermarkColumn(name: string, { fields }: JsonSchema): void {
  const field = fields.find(f => f.name === name)
  if (field === undefined) {
    const names = fields.map(f => f.name)
    throw makeError(
      'MARBLE_COLUMN_NOT_FOUND',
      `createSource: watermarkColumn: there is no column '${name}'${didYouMean(name, names)}; there are ${names.join(', ')}`,
    )
  }
  if (!isTime(field.type))
    throw invalidArgument(
      `createSource: watermarkColumn must be a timestamp or a date: '${name}' is ${describeType(field.type)}`,
    )
}

const isTime = ({ name }: JsonType): boolean => name === 'timestamp' || name === 'date'

/** Open a source. Use it as an async iterable of batches, or by its methods. */
export async function createSource(
  config: ConnectorConfig,
): Promise<SourceConnector<Batch> & AsyncIterable<Batch> & AsyncDisposable> {
  const source = new NativeSourceConnector()
  await source.initialize(config)
  return source
}
