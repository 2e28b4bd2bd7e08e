// `properties.*` are librdkafka's. A name that only Kafka's Java client knows would be an error of the client at run time at
// best: it is refused here, with what librdkafka calls it.

const kEquivalents: Readonly<Record<string, string>> = {
  'ssl.truststore.location': "'properties.ssl.ca.location', a PEM file",
  'ssl.truststore.password': "nothing: 'properties.ssl.ca.location' is a PEM file without a password",
  'ssl.truststore.type': "nothing: 'properties.ssl.ca.location' is a PEM file",
  'ssl.truststore.certificates': "'properties.ssl.ca.pem'",
  'ssl.keystore.type': "nothing: 'properties.ssl.keystore.location' is a PKCS#12 file",
  'ssl.keystore.certificate.chain': "'properties.ssl.certificate.pem'",
  'ssl.keystore.key': "'properties.ssl.key.pem'",
  'ssl.protocol': 'nothing: OpenSSL chooses the protocol',
  'ssl.enabled.protocols': 'nothing: OpenSSL chooses the protocol',
  'ssl.provider': "'properties.ssl.providers'",
  'sasl.jaas.config': "'properties.sasl.username' and 'properties.sasl.password'",
  'sasl.client.callback.handler.class': "'properties.sasl.oauthbearer.method'",
  'sasl.login.callback.handler.class': "'properties.sasl.oauthbearer.method'",
  'sasl.login.class': 'nothing',
  'sasl.kerberos.kinit.cmd': "'properties.sasl.kerberos.kinit.cmd' needs a build with Kerberos",
  'key.deserializer': "nothing: 'format' reads the records",
  'value.deserializer': "nothing: 'format' reads the records",
  'key.serializer': "nothing: 'format' writes the records",
  'value.serializer': "nothing: 'format' writes the records",
  'fetch.max.wait.ms': "'properties.fetch.wait.max.ms'",
  'receive.buffer.bytes': "'properties.socket.receive.buffer.bytes'",
  'send.buffer.bytes': "'properties.socket.send.buffer.bytes'",
  'default.api.timeout.ms': "'properties.socket.timeout.ms'",
  'request.timeout.ms': "'properties.socket.timeout.ms'",
  'max.poll.records': 'nothing: batches are sized by the source',
  'interceptor.classes': 'nothing',
  'metric.reporters': 'nothing',
  'exclude.internal.topics': "'properties.topic.blacklist'",
  'auto.offset.reset': "'scan.startup.mode'",
  'enable.auto.commit': 'nothing: offsets are kept in the store, with the results',
  'auto.commit.interval.ms': 'nothing: offsets are kept in the store, with the results',
  'enable.auto.offset.store': 'nothing: offsets are kept in the store, with the results',
}

/** Why the property (without `properties.`) is refused, or undefined. */
export function refusedProperty(name: string, value: string): string | undefined {
  if (name === 'ssl.keystore.location' && !/\.(p12|pfx|pkcs12)$/i.test(value)) {
    return "'properties.ssl.certificate.location' and 'properties.ssl.key.location' (PEM files), or a PKCS#12 keystore (.p12)"
  }
  return Object.hasOwn(kEquivalents, name) ? kEquivalents[name] : undefined
}
