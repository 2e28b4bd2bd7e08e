// 'marbledb/testing': what tests of users need, too.
export { MockKafka, type MockKafkaOptions } from './kafka/mock-kafka.js'
export type { KafkaRecord } from './kafka/records.js'
export { TestProducer } from './kafka/test-producer.js'
