// librdkafka's mock cluster: a Kafka in this process for unit tests and demos. It keeps at most 5 MB a partition and has no
// real transactions: never proof of exactly-once.
import type { MockClusterHandle } from '../../binding.js'
import { binding } from '../binding.js'
import { checkCount, checkOptions } from '../options.js'
import type { Key } from '../state/state-backend.js'

export interface KafkaRecord {
  key?: Key
  value?: Key
  partition?: number
  /** Epoch ms; without it the time of producing. */
  timestamp?: number
}

export class MockKafka implements AsyncDisposable {
  readonly bootstrapServers: string
  readonly #handle: MockClusterHandle
  #closing: Promise<void> | undefined

  private constructor(handle: MockClusterHandle) {
    this.#handle = handle
    this.bootstrapServers = binding().mockClusterBootstrap(handle)
  }

  /** `partitions`: of topics that are created by the first record. */
  static async start(options: { partitions?: number; brokers?: number } = {}): Promise<MockKafka> {
    checkOptions('MockKafka.start', options, ['partitions', 'brokers'])
    checkCount('MockKafka.start', 'partitions', options.partitions, 1)
    checkCount('MockKafka.start', 'brokers', options.brokers, 1)
    return new MockKafka(await binding().mockClusterStart(options.brokers ?? 1, options.partitions ?? 4))
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    checkCount('createTopic', 'partitions', partitions, 1)
    await binding().mockClusterCreateTopic(this.#handle, topic, partitions)
  }

  /** Resolves when all records are delivered; rejects when the mock had no room for them. */
  async produce(topic: string, records: KafkaRecord[]): Promise<void> {
    await binding().mockClusterProduce(this.#handle, topic, records)
  }

  /** Take a broker (from 1) away, or bring it back with its data. */
  async setBroker(broker: number, state: 'up' | 'down'): Promise<void> {
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
