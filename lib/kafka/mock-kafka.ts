// librdkafka's mock cluster: a Kafka in this process for unit tests and demos. It keeps at most 5 MB a partition and has no
// real transactions: never proof of exactly-once.
import type { MockClusterHandle } from '../../binding.js'
import { binding } from '../binding.js'
import { checkOptions, checkValue, count, oneOf, type Rules } from '../options.js'
import { checkRecords, type KafkaRecord, partitionsRule, topicRule } from './records.js'

export interface MockKafkaOptions {
  /** Of topics that are created by the first record. */
  partitions?: number
  brokers?: number
}
const kMaxBrokers = 100
const startRules: Rules<MockKafkaOptions> = { partitions: partitionsRule, brokers: count(1, kMaxBrokers) }

export class MockKafka implements AsyncDisposable {
  readonly bootstrapServers: string
  readonly #handle: MockClusterHandle
  #closing: Promise<void> | undefined

  private constructor(handle: MockClusterHandle) {
    this.#handle = handle
    this.bootstrapServers = binding().mockClusterBootstrap(handle)
  }

  static async start(options: MockKafkaOptions = {}): Promise<MockKafka> {
    checkOptions('MockKafka.start', options, startRules)
    return new MockKafka(await binding().mockClusterStart(options.brokers ?? 1, options.partitions ?? 4))
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    checkValue('createTopic', 'topic', topic, topicRule)
    checkValue('createTopic', 'partitions', partitions, partitionsRule)
    await binding().mockClusterCreateTopic(this.#handle, topic, partitions)
  }

  /** Resolves when all records are delivered; rejects when the mock had no room for them. */
  async produce(topic: string, records: KafkaRecord[]): Promise<void> {
    checkRecords('produce', topic, records)
    await binding().mockClusterProduce(this.#handle, topic, records)
  }

  /** Take a broker (from 1) away, or bring it back with its data. */
  async setBroker(broker: number, state: 'up' | 'down'): Promise<void> {
    checkValue('setBroker', 'broker', broker, count(1, kMaxBrokers))
    checkValue('setBroker', 'state', state, oneOf('up', 'down'))
    await binding().mockClusterSetBroker(this.#handle, broker, state === 'up')
  }

  close(): Promise<void> {
    this.#closing ??= binding().mockClusterClose(this.#handle)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
