// 'marbledb/testing': what tests of users need, too.
export { type KafkaRecord, MockKafka } from './kafka/mock-kafka.js'
export { TestProducer } from './kafka/test-producer.js'
