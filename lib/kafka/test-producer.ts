// A producer for demos and tests: acks from all replicas, idempotent, partitioned like the Java client.
import type { ProducerHandle } from '../../binding.js'
import { binding } from '../binding.js'
import { makeError } from '../errors.js'
import { checkValue, count, kMaxMs, rule, type Rule } from '../options.js'
import { checkKafkaProperties } from './properties.js'
import { checkRecords, type KafkaRecord, partitionsRule, topicRule } from './records.js'

const kFlushMs = 60_000
const serversRule: Rule = {
  allowed: "'host:port', or several with commas between",
  is: value => typeof value === 'string' && /^[\w.:,/[\]-]+$/.test(value),
}

export class TestProducer implements AsyncDisposable {
  readonly #handle: ProducerHandle
  #closing: Promise<void> | undefined

  private constructor(handle: ProducerHandle) {
    this.#handle = handle
  }

  /** `properties` take librdkafka's names. */
  static async connect(bootstrapServers: string, properties: Record<string, string> = {}): Promise<TestProducer> {
    checkValue('TestProducer.connect', 'bootstrapServers', bootstrapServers, serversRule)
    checkValue('TestProducer.connect', 'properties', properties, rule.textRecord)
    checkKafkaProperties('TestProducer.connect', properties, 'producer')
    return new TestProducer(await binding().producerConnect(bootstrapServers, Object.entries(properties)))
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    checkValue('createTopic', 'topic', topic, topicRule)
    checkValue('createTopic', 'partitions', partitions, partitionsRule)
    await binding().producerCreateTopic(this.#handle, topic, partitions)
  }

  /** Queue records; resolves when they are queued, which waits while the queue is full. */
  async produce(topic: string, records: KafkaRecord[]): Promise<void> {
    checkRecords('produce', topic, records)
    await binding().producerProduce(this.#handle, topic, records)
  }

  /** Resolves when all is delivered; rejects with the first failure since the last flush. */
  async flush(timeoutMs = kFlushMs): Promise<void> {
    checkValue('flush', 'timeoutMs', timeoutMs, count(0, kMaxMs))
    await binding().producerFlush(this.#handle, timeoutMs)
  }

  /** The offsets [low, high) of each partition. */
  async watermarks(topic: string): Promise<{ low: bigint; high: bigint }[]> {
    checkValue('watermarks', 'topic', topic, topicRule)
    return binding().producerWatermarks(this.#handle, topic)
  }

  /** Fail when a partition no longer has its first records: a mock broker drops what exceeds 5 MB. */
  async verifyRetained(topic: string): Promise<void> {
    const dropped = (await this.watermarks(topic)).flatMap(({ low }, partition) =>
      low > 0n ? [`${low} of partition ${partition}`] : [],
    )
    if (dropped.length > 0)
      throw makeError('MARBLE_KAFKA', `topic '${topic}' has dropped records: ${dropped.join(', ')}`)
  }

  close(): Promise<void> {
    this.#closing ??= binding().producerClose(this.#handle)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
