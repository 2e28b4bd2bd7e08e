// What is wrong with one of the `properties.*`, which take librdkafka's names: found where it is written, not when a client is
// made. native/kafka/kafka_options.cc holds the same rules for callers that are not TypeScript; a test compares the two.

import { nearest } from '../../text/suggest.js'
import { kLibrdkafkaProperties, type LibrdkafkaProperty } from './librdkafka-properties.js'

/** Names that only Kafka's Java client knows, or means differently, and what to say instead. */
export const kJavaNames: Readonly<Record<string, string>> = {
  'ssl.truststore.location': "'properties.ssl.ca.location', a PEM file",
  'ssl.truststore.password': "nothing: 'properties.ssl.ca.location' is a PEM file without a password",
  'ssl.truststore.type': "nothing: 'properties.ssl.ca.location' is a PEM file",
  'ssl.truststore.certificates': "'properties.ssl.ca.pem'",
  'ssl.keystore.type': "nothing: 'properties.ssl.keystore.location' is a PKCS#12 file",
  'ssl.keystore.certificate.chain': "'properties.ssl.certificate.pem'",
  'ssl.keystore.key': "'properties.ssl.key.pem'",
  'ssl.protocol': 'nothing: the newest version that both sides know is used',
  'ssl.enabled.protocols': 'nothing: the newest version that both sides know is used',
  'ssl.provider': "'properties.ssl.providers'",
  'ssl.keymanager.algorithm': 'nothing',
  'ssl.trustmanager.algorithm': 'nothing',
  'ssl.engine.factory.class': 'nothing',
  'sasl.jaas.config': "'properties.sasl.username' and 'properties.sasl.password'",
  'sasl.client.callback.handler.class': 'nothing',
  'sasl.login.callback.handler.class': 'nothing',
  'sasl.login.class': 'nothing',
  'key.deserializer': "nothing: 'format' reads the records",
  'value.deserializer': "nothing: 'format' reads the records",
  'key.serializer': "nothing: 'format' writes the records",
  'value.serializer': "nothing: 'format' writes the records",
  'max.poll.records': 'nothing: batches are sized by the source',
  'fetch.max.wait.ms': "'properties.fetch.wait.max.ms'",
  'receive.buffer.bytes': "'properties.socket.receive.buffer.bytes'",
  'send.buffer.bytes': "'properties.socket.send.buffer.bytes'",
  'request.timeout.ms': "'properties.socket.timeout.ms'",
  'default.api.timeout.ms': "'properties.socket.timeout.ms'",
  'metadata.max.age.ms': "'properties.topic.metadata.refresh.interval.ms'",
  'socket.connection.setup.timeout.max.ms': "'properties.socket.connection.setup.timeout.ms'",
  'interceptor.classes': 'nothing',
  'metric.reporters': 'nothing',
  'metrics.recording.level': 'nothing',
  'metrics.num.samples': 'nothing',
  'exclude.internal.topics': 'nothing: a table names its topic',
  'partition.discovery.interval.ms': 'nothing: partitions are found when the job starts',
  'buffer.memory': "'properties.queue.buffering.max.kbytes'",
  'max.block.ms': 'nothing',
  'schema.registry.url': 'nothing: it is no setting of the Kafka client',
}

const kOffsetsAreOurs =
  "leave it out: offsets are kept in the store, with the results; where reading begins is 'scan.startup.mode'"
/** Settings on which exactly-once rests: the one value that they may have, if any. */
export const kOurs: Readonly<Record<string, { only?: boolean; hint: string }>> = {
  'auto.offset.reset': { hint: "use 'scan.startup.mode'; an offset that is lost is always an error" },
  'enable.auto.commit': { only: false, hint: kOffsetsAreOurs },
  'auto.commit.enable': { only: false, hint: kOffsetsAreOurs },
  'enable.auto.offset.store': { only: false, hint: kOffsetsAreOurs },
  'auto.commit.interval.ms': { hint: kOffsetsAreOurs },
  'enable.partition.eof': { only: true, hint: 'leave it out: the end of a partition must be seen' },
  'allow.auto.create.topics': { only: false, hint: 'leave it out: reading must not create a topic' },
  'metadata.broker.list': { hint: "use 'properties.bootstrap.servers'" },
}

export interface PropertyProblem {
  readonly reason: string
  readonly hint: string
  /** What is wrong, for the place of an error. */
  readonly part: 'name' | 'value'
}

/** What is wrong with a property (without `properties.`) of a consumer or a producer, or undefined. */
export function kafkaPropertyProblem(name: string, value: string, role: 'C' | 'P'): PropertyProblem | undefined {
  if (Object.hasOwn(kJavaNames, name)) {
    return {
      reason: `'${name}' is a setting of Kafka's Java client; properties.* take librdkafka's names`,
      hint: `use ${kJavaNames[name]!}`,
      part: 'name',
    }
  }
  const property = kLibrdkafkaProperties.get(name)
  if (property === undefined) {
    const near = nearest(name, kLibrdkafkaProperties.keys())
    return {
      reason: `librdkafka has no setting '${name}'`,
      hint: near === undefined ? "the names are those of librdkafka's CONFIGURATION.md" : `did you mean ${near}?`,
      part: 'name',
    }
  }
  if (property.kind === 'unsupported')
    return { reason: `'${name}' is not in this build of librdkafka`, hint: 'leave it out', part: 'name' }
  if (property.role !== '*' && property.role !== role) {
    const [theirs, ours] = role === 'C' ? ['producers', 'what reads'] : ['consumers', 'what writes']
    return { reason: `'${name}' is a setting of ${theirs}, not of ${ours}`, hint: 'leave it out', part: 'name' }
  }
  if (Object.hasOwn(kOurs, name)) {
    const { only, hint } = kOurs[name]!
    if (only === undefined) return { reason: `'${name}' cannot be set`, hint, part: 'name' }
    if (booleanOf(value) !== only) return { reason: `'${name}' must be '${only}'`, hint, part: 'value' }
  }
  if (name === 'ssl.keystore.location' && !/\.(p12|pfx|pkcs12)$/i.test(value)) {
    return {
      reason: `'${name}' takes a PKCS#12 file (.p12, .pfx or .pkcs12), no Java keystore: '${value}'`,
      hint: "for PEM files use 'properties.ssl.certificate.location' and 'properties.ssl.key.location'",
      part: 'value',
    }
  }
  const wanted = wantedValue(property, value)
  return wanted === undefined
    ? undefined
    : { reason: `'${value}' is not a value of '${name}'`, hint: `it takes ${wanted}`, part: 'value' }
}

/** As librdkafka reads it. */
function booleanOf(value: string): boolean | undefined {
  if (/^(true|t|1)$/i.test(value)) return true
  return /^(false|f|0)$/i.test(value) ? false : undefined
}

/** What the property takes, when `value` is something else. */
function wantedValue({ kind, values }: LibrdkafkaProperty, value: string): string | undefined {
  if (value.includes('\0')) return 'a text without NUL characters'
  switch (kind) {
    case 'boolean':
      return booleanOf(value) === undefined ? "'true' or 'false'" : undefined
    case 'enum':
      return values.includes(value.trim().toLowerCase()) ? undefined : values.map(v => `'${v}'`).join(', ')
    case 'integer':
    case 'float': {
      const [least, most, ...words] = values as [string, string, ...string[]]
      if (words.includes(value.toLowerCase())) return undefined
      // librdkafka takes '5 s' for 5, and '010' for 8: only what means the same to everyone.
      const whole =
        /^\s*[+-]?(0|[1-9]\d*)\s*$/.test(value) || (kind === 'float' && /^\s*[+-]?\d+(\.\d*)?\s*$/.test(value))
      if (whole && Number(value) >= Number(least) && Number(value) <= Number(most)) return undefined
      const also = words.map(word => ` or '${word}'`).join('')
      return `a ${kind === 'integer' ? 'whole number' : 'number'} from ${least} to ${most}${also}`
    }
    default:
      return undefined
  }
}
