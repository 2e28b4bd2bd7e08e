import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Field, Int32, Schema, TimestampMillisecond, Utf8 } from 'apache-arrow'
import { createSource, StreamingSQLExecutor } from 'marbledb'
import { MockKafka, TestProducer } from 'marbledb/testing'
import { binding } from '../../../dist/binding.js'
import { kafkaPropertyProblem, kJavaNames, kOurs } from '../../../lib/sql/catalog/connectors/kafka-properties.js'
import { temporaryDirectory, withCode } from '../helpers.js'

describe('Kafka in JavaScript', () => {
  let kafka: MockKafka
  let temporary: ReturnType<typeof temporaryDirectory>
  before(async () => {
    kafka = await MockKafka.start({ partitions: 2 })
    temporary = temporaryDirectory()
  })
  after(async () => {
    await kafka.close()
    temporary.remove()
  })
  const properties = (topic: string): Record<string, string> => ({
    topic,
    'properties.bootstrap.servers': kafka.bootstrapServers,
    'scan.startup.mode': 'earliest-offset',
    'scan.bounded.mode': 'latest-offset',
  })

  it('gives the records of a topic as batches, with offsets', async () => {
    await kafka.produce(
      'raw',
      Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, value: `v${i}`, partition: i % 2, timestamp: 1000 + i })),
    )
    const source = await createSource({ connectorType: 'kafka', connectorId: 'c1', properties: properties('raw') })
    assert.equal(source.partitionCount(), 2)
    const rows: { key: string; value: string; timestamp: number; partition: number; offset: bigint }[] = []
    for await (const batch of source) {
      assert.deepEqual(
        batch.schema.fields.map(field => field.name),
        ['key', 'value', 'timestamp', 'partition', 'offset'],
      )
      for (const row of batch) rows.push({ ...row!.toJSON() } as never)
    }
    rows.sort((a, b) => a.timestamp - b.timestamp)
    assert.deepEqual(
      rows,
      Array.from({ length: 100 }, (_, i) => ({
        key: `k${i}`,
        value: `v${i}`,
        timestamp: 1000 + i,
        partition: i % 2,
        offset: BigInt(i >> 1),
      })),
    )
    assert.deepEqual(source.currentOffset(), { connectorId: 'c1', partitions: { 0: '50', 1: '50' } })
  })

  it('begins at an offset, cuts batches as asked, and reads JSON with a schema', async () => {
    await kafka.createTopic('json', 1)
    await kafka.produce(
      'json',
      Array.from({ length: 10 }, (_, i) => ({
        value: JSON.stringify({ a: i, ts: `1970-01-01 00:00:00.0${10 + i}` }),
        partition: 0,
      })),
    )
    const schema = new Schema([new Field('a', new Int32(), true), new Field('ts', new TimestampMillisecond(), true)])
    await using source = await createSource({
      connectorType: 'kafka',
      connectorId: 'c2',
      properties: properties('json'),
      format: 'json',
      schema,
      watermarkColumn: 'ts',
      maxOutOfOrdernessMs: 2,
    })
    await source.seekToOffset({ connectorId: 'c2', partitions: { 0: '4' } })
    const seen: number[] = []
    while (source.hasMore()) {
      const batch = await source.nextBatch(4)
      if (batch === null) continue
      assert.ok(batch.numRows <= 4)
      assert.equal(source.extractWatermark(batch), Math.max(...[...batch.getChild('a')!].map(Number)) + 10 - 2)
      seen.push(...[...batch.getChild('a')!].map(Number))
    }
    assert.deepEqual(seen, [4, 5, 6, 7, 8, 9])
    await assert.rejects(
      source.seekToOffset({ connectorId: 'other', partitions: {} }),
      withCode('MARBLE_INVALID_ARGUMENT'),
    )
  })

  it('names what is wrong: the topic, the option, the configuration', async () => {
    await assert.rejects(
      createSource({
        connectorType: 'kafka',
        connectorId: 'c',
        properties: { ...properties('raw'), 'scan.startup.mod': 'x' },
      }),
      /scan\.startup\.mod/,
    )
    await assert.rejects(
      createSource({ connectorType: 'nothing', connectorId: 'c', properties: {}, schema: new Schema([]) }),
      /nothing/,
    )
    await assert.rejects(
      createSource({ connectorType: 'kafka', connectorId: 'c', properties: { topic: 5 } as never }),
      TypeError,
    )
    await assert.rejects(
      createSource({ connectorType: 'kafka', connectorId: 'c', properties: {}, connectorID: 'x' } as never),
      /did you mean/,
    )
  })

  it('refuses a configuration that makes no sense, naming the option and what is allowed', async () => {
    const config = { connectorType: 'kafka', connectorId: 'c', properties: properties('raw') }
    const schema = new Schema([new Field('a', new Utf8(), true), new Field('ts', new TimestampMillisecond(), true)])
    const refused: [object | null, string, RegExp][] = [
      [null, 'MARBLE_INVALID_ARGUMENT', /config must be an object, not null/],
      [{ ...config, connectorId: '' }, 'MARBLE_INVALID_ARGUMENT', /connectorId must be .*, not ""/],
      [{ ...config, batchSize: 0 }, 'MARBLE_INVALID_ARGUMENT', /batchSize must be a whole number of at least 1, not 0/],
      [{ ...config, partitionId: 1.5 }, 'MARBLE_INVALID_ARGUMENT', /partitionId must be a whole number/],
      [{ ...config, properties: { topic: 5 } }, 'MARBLE_INVALID_ARGUMENT', /properties must be .*: 'topic' is 5/],
      [{ ...config, watermarkColumn: 'tss', schema, format: 'json' }, 'MARBLE_COLUMN_NOT_FOUND', /did you mean 'ts'/],
      [{ ...config, watermarkColumn: 'a', schema, format: 'json' }, 'MARBLE_INVALID_ARGUMENT', /'a' is utf8/],
      [{ ...config, format: 'json' }, 'MARBLE_INVALID_ARGUMENT', /format "json" needs a schema/],
      [{ ...config, schema: {} }, 'MARBLE_INVALID_ARGUMENT', /schema must be a Schema of apache-arrow, not an object/],
      ...(
        [
          ['properties.grup.id', 'g', 'MARBLE_INVALID_ARGUMENT', /no setting 'grup\.id'; did you mean group\.id/],
          ['properties.ssl.truststore.location', '/x', 'MARBLE_INVALID_ARGUMENT', /ssl\.ca\.location/],
          ['properties.fetch.wait.max.ms', 'soon', 'MARBLE_INVALID_ARGUMENT', /a whole number from 0 to 300000/],
          ['scan.startup.mod', 'x', 'MARBLE_INVALID_ARGUMENT', /did you mean 'scan\.startup\.mode'/],
          ['group', 'x', 'MARBLE_INVALID_ARGUMENT', /unknown property 'group' of a kafka source/],
          ['format', 'json', 'MARBLE_INVALID_ARGUMENT', /beside properties/],
          ['sink.partitioner', 'x', 'MARBLE_NOT_SUPPORTED', /sink\.partitioner/],
          ['scan.watermark.idle-timeout', '1 s', 'MARBLE_NOT_SUPPORTED', /extractWatermark/],
        ] as const
      ).map(([name, value, code, message]): [object, string, RegExp] => [
        { ...config, properties: { ...config.properties, [name]: value } },
        code,
        message,
      ]),
    ]
    for (const [given, code, message] of refused)
      await assert.rejects(createSource(given as never), withCode(code, message))
  })

  it('commits offsets for a group, and says what to set when there is none', async () => {
    await kafka.createTopic('committed', 1)
    await kafka.produce('committed', [{ value: 'a' }, { value: 'b' }])
    const config = { connectorType: 'kafka', connectorId: 'c', properties: properties('committed') }
    const offset = { connectorId: 'c', partitions: { 0: '1' } }
    await using without = await createSource(config)
    await assert.rejects(
      without.commitOffset(offset),
      withCode('MARBLE_INVALID_ARGUMENT', /set 'properties\.group\.id'.*seekToOffset/),
    )
    await using within = await createSource({
      ...config,
      properties: { ...config.properties, 'properties.group.id': 'g' },
    })
    await within.commitOffset(offset)
    const file = join(temporary.path, 'in.jsonl')
    writeFileSync(file, '{"a":"x"}\n')
    await using lines = await createSource({
      connectorType: 'filesystem',
      connectorId: 'c',
      properties: { path: file },
      format: 'json',
      schema: new Schema([new Field('a', new Utf8(), true)]),
    })
    await assert.rejects(lines.commitOffset(lines.currentOffset()), withCode('MARBLE_NOT_SUPPORTED', /seekToOffset/))
  })

  it('stays where it is when it cannot seek', async () => {
    await kafka.createTopic('seek', 1)
    await kafka.produce('seek', [{ value: 'a' }, { value: 'b' }])
    await using source = await createSource({
      connectorType: 'kafka',
      connectorId: 'c',
      properties: properties('seek'),
    })
    const to = (partitions: unknown): Promise<void> => source.seekToOffset({ connectorId: 'c', partitions } as never)
    const bad: [unknown, RegExp][] = [
      [{ x: '1' }, /by number, not by "x"/],
      [{ 0: 1 }, /'0' is 1/],
      [undefined, /partitions must be/],
      [{ 0: '1.5' }, /a whole number/],
    ]
    for (const [partitions, message] of bad)
      await assert.rejects(to(partitions), withCode('MARBLE_INVALID_ARGUMENT', message))
    await assert.rejects(
      source.seekToOffset(5 as never),
      withCode('MARBLE_INVALID_ARGUMENT', /offset must be an object/),
    )
    await assert.rejects(to({ 0: '99' }), withCode('MARBLE_KAFKA', /does not have this offset/))
    assert.deepEqual(source.currentOffset().partitions, {})
    const values: unknown[] = []
    for await (const batch of source) values.push(...batch.getChild('value')!)
    assert.deepEqual(values, ['a', 'b'])
    assert.throws(() => source.extractWatermark(5 as never), withCode('MARBLE_INVALID_ARGUMENT', /RecordBatch/))
  })

  it('records to produce are checked field by field', async () => {
    const producer = await TestProducer.connect(kafka.bootstrapServers)
    const refused: [unknown, RegExp][] = [
      ['x', /records must be an array, not "x"/],
      [[5], /record 0 must be an object, not 5/],
      [[{ value: 'a' }, { vlaue: 'b' }], /record 1: unknown field 'vlaue' \(did you mean 'value'\?\)/],
      [[{ value: 5 }], /record 0: value must be a string or a Uint8Array \(Buffer\) or null, not 5/],
      [[{ key: {} }], /record 0: key must be/],
      [[{ value: 'a', partition: '0' }], /record 0: partition must be a whole number from 0 to 99999, not "0"/],
      [[{ value: 'a', partition: 2 ** 40 }], /partition must be a whole number/],
      [[{ value: 'a', partition: -1 }], /partition must be a whole number/],
      [[{ value: 'a', timestamp: Number.NaN }], /timestamp must be a whole number of at least 1, not NaN/],
      [[{ value: 'a', timestamp: new Date() }], /timestamp must be .* not a Date/],
    ]
    for (const target of [kafka, producer]) {
      for (const [records, message] of refused)
        await assert.rejects(target.produce('checked', records as never), withCode('MARBLE_INVALID_ARGUMENT', message))
      await assert.rejects(target.produce('', []), withCode('MARBLE_INVALID_ARGUMENT', /topic must be/))
      await assert.rejects(target.createTopic('a b', 1), withCode('MARBLE_INVALID_ARGUMENT', /topic must be/))
      await assert.rejects(
        target.createTopic('checked', 2 ** 33),
        withCode('MARBLE_INVALID_ARGUMENT', /partitions must/),
      )
      await target.produce('checked', [{ key: null, value: null, partition: undefined }])
    }
    await producer.flush()
    await assert.rejects(producer.flush(-1), withCode('MARBLE_INVALID_ARGUMENT', /timeoutMs/))
    await assert.rejects(producer.watermarks(5 as never), withCode('MARBLE_INVALID_ARGUMENT', /topic/))
    await producer.close()
    await assert.rejects(kafka.setBroker(1, 'away' as never), withCode('MARBLE_INVALID_ARGUMENT', /'up' or 'down'/))
    await assert.rejects(
      MockKafka.start({ partition: 1 } as never),
      withCode('MARBLE_INVALID_ARGUMENT', /did you mean/),
    )
    for (const [servers, client, message] of [
      ['', {}, /bootstrapServers must be 'host:port'/],
      ['a\0b', {}, /bootstrapServers/],
      ['b:1', { 'client.id': 'a\0b' }, /without NUL/],
      ['b:1', { ack: 'all' }, /no setting 'ack'; did you mean acks/],
      ['b:1', { 'fetch.wait.max.ms': '5' }, /a setting of consumers, not of what writes/],
      ['b:1', { acks: 'some' }, /from -1 to 1000 or 'all'/],
      ['b:1', { acks: 1 }, /'acks' is 1/],
    ] as const)
      await assert.rejects(TestProducer.connect(servers, client as never), withCode('MARBLE_INVALID_ARGUMENT', message))
  })

  it('the rules of the planner and of the addon for properties are the same', async () => {
    const native = readFileSync(
      fileURLToPath(new URL('../../../native/kafka/kafka_options.cc', import.meta.url)),
      'utf8',
    )
    const table = native.slice(
      native.indexOf('kJavaNames[] = {'),
      native.indexOf('};', native.indexOf('kJavaNames[] = {')),
    )
    const names = [...table.matchAll(/\{"([a-z.]+)",/g)].map(([, name]) => name!)
    assert.deepEqual(names.sort(), Object.keys(kJavaNames).sort())
    const refuses = async (name: string, value: string): Promise<boolean> => {
      const spec = {
        id: 'c',
        connector: 'kafka',
        options: { ...properties('raw'), [`properties.${name}`]: value },
        format: '',
        formatOptions: {},
        schema: '{"fields":[]}',
        bounded: true,
      }
      try {
        await binding().sourceClose(await binding().sourceOpen(spec, {}))
        return false
      } catch (error) {
        // A file that is not there is found later, by librdkafka, which names no option of ours.
        return (error as Error).message.startsWith(`kafka option 'properties.${name}'`)
      }
    }
    const cases: [string, string][] = [
      ...Object.keys(kOurs).flatMap((name): [string, string][] => ['true', 'f', '5'].map(value => [name, value])),
      ...['/x.jks', '/x.P12', '/x.pfx', '/x.pkcs12'].map((path): [string, string] => ['ssl.keystore.location', path]),
      ['ssl.truststore.location', '/x'],
      ['no.such.setting', '1'],
      ['fetch.wait.max.ms', '10'],
      ['fetch.wait.max.ms', '-1'],
      ['isolation.level', 'READ_UNCOMMITTED'],
      ['isolation.level', 'none'],
      ['check.crcs', '1'],
      ['check.crcs', 'on'],
    ]
    for (const [name, value] of cases) {
      const problem = kafkaPropertyProblem(name, value, 'C')
      assert.equal(await refuses(name, value), problem !== undefined, `${name} = ${value}: ${problem?.reason}`)
    }
  })

  it('a topic becomes a view', async () => {
    const producer = await TestProducer.connect(kafka.bootstrapServers)
    await kafka.createTopic('flights', 2)
    const records = Array.from({ length: 2000 }, (_, i) => ({
      value: JSON.stringify({ origin: `O${i % 4}`, delay: i }),
      partition: i % 2,
    }))
    await producer.produce('flights', records)
    await producer.flush()
    await producer.verifyRetained('flights')
    assert.deepEqual(await producer.watermarks('flights'), [
      { low: 0n, high: 1000n },
      { low: 0n, high: 1000n },
    ])
    await producer.close()
    await producer.close()
    const directory = temporaryDirectory()
    {
      await using sql = await StreamingSQLExecutor.open({ statePath: directory.path })
      const [, , { job }] = (await sql.execute(
        `CREATE TABLE flights (origin STRING, delay INT) WITH ('connector' = 'kafka', 'topic' = 'flights', 'properties.bootstrap.servers' = '\${BROKER}',
           'format' = 'json', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');
         CREATE TABLE counts (origin STRING, n BIGINT, longest INT, PRIMARY KEY (origin) NOT ENFORCED);
         INSERT INTO counts SELECT origin, COUNT(*), MAX(delay) FROM flights GROUP BY origin`,
        { vars: { BROKER: kafka.bootstrapServers } },
      )) as [object, object, { job: { finished: Promise<{ sources: { offset: bigint }[] }> } }]
      const { sources } = await job.finished
      assert.deepEqual(
        sources.map(source => source.offset),
        [1000n, 1000n],
      )
      assert.deepEqual(
        await sql.table('counts').scan().toArray(),
        [0, 1, 2, 3].map(i => ({ origin: `O${i}`, n: 500n, longest: 1996 + i })),
      )
      const offsets = await sql.database.table('connector_offsets').scan().toArray()
      assert.equal(offsets.length, 2)
    }
    directory.remove()
  })
})
