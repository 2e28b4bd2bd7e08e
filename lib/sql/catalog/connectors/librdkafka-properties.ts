// The settings that librdkafka 2.12 takes as text, one a line: name, whose they are (C consumer, P producer, * both), kind, and
// for numbers the bounds, for enumerations the values. Written and compared by test/native/kafka/property_list_test.cc from
// the librdkafka that the addon links; the planner, which knows no addon, reads it here.
const kList = `
acks P integer -1 1000 all
allow.auto.create.topics * boolean
api.version.fallback.ms * integer 0 604800000
api.version.request * boolean
api.version.request.timeout.ms * integer 1 300000
auto.commit.enable C boolean
auto.commit.interval.ms C integer 0 86400000
auto.offset.reset C enum smallest earliest beginning largest latest end error
batch.num.messages P integer 1 1000000
batch.size P integer 1 2147483647
bootstrap.servers * string
broker.address.family * enum any v4 v6
broker.address.ttl * integer 0 86400000
broker.version.fallback * string
builtin.features * flags
check.crcs C boolean
client.dns.lookup * enum use_all_dns_ips resolve_canonical_bootstrap_servers_only
client.id * string
client.rack * string
compression.codec P enum none gzip snappy lz4 zstd
compression.level P integer -1 12
compression.type P enum none gzip snappy lz4 zstd
connections.max.idle.ms * integer 0 2147483647
consume.callback.max.messages C integer 0 1000000
coordinator.query.interval.ms C integer 1 3600000
debug * flags
delivery.report.only.error P boolean
delivery.timeout.ms P integer 0 2147483647
enable.auto.commit C boolean
enable.auto.offset.store C boolean
enable.gapless.guarantee P boolean
enable.idempotence P boolean
enable.metrics.push * boolean
enable.partition.eof C boolean
enable.random.seed * boolean
enable.sasl.oauthbearer.unsecure.jwt * boolean
enable.ssl.certificate.verification * boolean
enabled_events * integer 0 2147483647
fetch.error.backoff.ms C integer 0 300000
fetch.max.bytes C integer 0 2147483135
fetch.message.max.bytes C integer 1 1000000000
fetch.min.bytes C integer 1 100000000
fetch.queue.backoff.ms C integer 0 300000
fetch.wait.max.ms C integer 0 300000
group.id C string
group.instance.id C string
group.protocol C enum classic consumer
group.protocol.type C string
group.remote.assignor C string
heartbeat.interval.ms C integer 1 3600000
https.ca.location * unsupported
https.ca.pem * unsupported
internal.termination.signal * integer 0 128
isolation.level C enum read_uncommitted read_committed
linger.ms P float 0 900000
log.connection.close * boolean
log.queue * boolean
log.thread.name * boolean
log_level * integer 0 7
max.in.flight * integer 1 1000000
max.in.flight.requests.per.connection * integer 1 1000000
max.partition.fetch.bytes C integer 1 1000000000
max.poll.interval.ms C integer 1 86400000
message.copy.max.bytes * integer 0 1000000000
message.max.bytes * integer 1000 1000000000
message.send.max.retries P integer 0 2147483647
message.timeout.ms P integer 0 2147483647
metadata.broker.list * string
metadata.max.age.ms * integer 1 86400000
metadata.recovery.rebootstrap.trigger.ms * integer 0 2147483647
metadata.recovery.strategy * enum none rebootstrap
offset.store.method C enum none file broker
offset.store.path C string
offset.store.sync.interval.ms C integer -1 86400000
partition.assignment.strategy C string
partitioner P string
plugin.library.paths * string
produce.offset.report P boolean
queue.buffering.backpressure.threshold P integer 1 1000000
queue.buffering.max.kbytes P integer 1 2147483647
queue.buffering.max.messages P integer 0 2147483647
queue.buffering.max.ms P float 0 900000
queued.max.messages.kbytes C integer 1 2097151
queued.min.messages C integer 1 10000000
queuing.strategy P enum fifo lifo
receive.message.max.bytes * integer 1000 2147483647
reconnect.backoff.jitter.ms * integer 0 3600000
reconnect.backoff.max.ms * integer 0 3600000
reconnect.backoff.ms * integer 0 3600000
request.required.acks P integer -1 1000 all
request.timeout.ms P integer 1 900000
retries P integer 0 2147483647
retry.backoff.max.ms * integer 1 300000
retry.backoff.ms * integer 1 300000
sasl.kerberos.keytab * string
sasl.kerberos.kinit.cmd * string
sasl.kerberos.min.time.before.relogin * integer 0 86400000
sasl.kerberos.principal * string
sasl.kerberos.service.name * string
sasl.mechanism * string
sasl.mechanisms * string
sasl.oauthbearer.assertion.algorithm * unsupported
sasl.oauthbearer.assertion.claim.aud * unsupported
sasl.oauthbearer.assertion.claim.exp.seconds * unsupported
sasl.oauthbearer.assertion.claim.iss * unsupported
sasl.oauthbearer.assertion.claim.jti.include * unsupported
sasl.oauthbearer.assertion.claim.nbf.seconds * unsupported
sasl.oauthbearer.assertion.claim.sub * unsupported
sasl.oauthbearer.assertion.file * unsupported
sasl.oauthbearer.assertion.jwt.template.file * unsupported
sasl.oauthbearer.assertion.private.key.file * unsupported
sasl.oauthbearer.assertion.private.key.passphrase * unsupported
sasl.oauthbearer.assertion.private.key.pem * unsupported
sasl.oauthbearer.client.credentials.client.id * unsupported
sasl.oauthbearer.client.credentials.client.secret * unsupported
sasl.oauthbearer.client.id * unsupported
sasl.oauthbearer.client.secret * unsupported
sasl.oauthbearer.config * string
sasl.oauthbearer.extensions * unsupported
sasl.oauthbearer.grant.type * unsupported
sasl.oauthbearer.metadata.authentication.type * unsupported
sasl.oauthbearer.method * unsupported
sasl.oauthbearer.scope * unsupported
sasl.oauthbearer.token.endpoint.url * unsupported
sasl.password * string
sasl.username * string
security.protocol * enum plaintext ssl sasl_plaintext sasl_ssl
session.timeout.ms C integer 1 3600000
socket.blocking.max.ms * integer 1 60000
socket.connection.setup.timeout.ms * integer 1000 2147483647
socket.keepalive.enable * boolean
socket.max.fails * integer 0 1000000
socket.nagle.disable * boolean
socket.receive.buffer.bytes * integer 0 100000000
socket.send.buffer.bytes * integer 0 100000000
socket.timeout.ms * integer 10 300000
ssl.ca.certificate.stores * unsupported
ssl.ca.location * string
ssl.ca.pem * string
ssl.certificate.location * string
ssl.certificate.pem * string
ssl.cipher.suites * string
ssl.crl.location * string
ssl.curves.list * string
ssl.endpoint.identification.algorithm * enum none https
ssl.engine.id * string
ssl.engine.location * string
ssl.key.location * string
ssl.key.password * string
ssl.key.pem * string
ssl.keystore.location * string
ssl.keystore.password * string
ssl.providers * string
ssl.sigalgs.list * string
statistics.interval.ms * integer 0 86400000
sticky.partitioning.linger.ms P integer 0 900000
topic.blacklist * string
topic.metadata.propagation.max.ms * integer 0 3600000
topic.metadata.refresh.fast.cnt * integer 0 1000
topic.metadata.refresh.fast.interval.ms * integer 1 60000
topic.metadata.refresh.interval.ms * integer -1 3600000
topic.metadata.refresh.sparse * boolean
transaction.timeout.ms P integer 1000 2147483647
transactional.id P string
`

export interface LibrdkafkaProperty {
  readonly role: 'C' | 'P' | '*'
  readonly kind: 'string' | 'boolean' | 'integer' | 'float' | 'enum' | 'flags' | 'unsupported'
  /** Of an enumeration the values; of a number least, most, and words that it may be instead. */
  readonly values: readonly string[]
}

export const kLibrdkafkaProperties: ReadonlyMap<string, LibrdkafkaProperty> = new Map(
  kList
    .trim()
    .split('\n')
    .map(line => {
      const [name, role, kind, ...values] = line.split(' ') as [
        string,
        LibrdkafkaProperty['role'],
        LibrdkafkaProperty['kind'],
        ...string[],
      ]
      return [name, { role, kind, values }]
    }),
)
