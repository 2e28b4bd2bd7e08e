import assert from 'node:assert/strict'
import { Field, Int32, Schema } from 'apache-arrow'
import { createSource, StreamingSQLExecutor } from 'marbledb'
import { MockKafka, TestProducer } from 'marbledb/testing'
import { temporaryDirectory, withCode } from '../helpers.js'

describe('Kafka in JavaScript', () => {
  let kafka: MockKafka
  before(async () => {
    kafka = await MockKafka.start({ partitions: 2 })
  })
  after(() => kafka.close())
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
      Array.from({ length: 10 }, (_, i) => ({ value: JSON.stringify({ a: i }), partition: 0 })),
    )
    const schema = new Schema([new Field('a', new Int32(), true)])
    await using source = await createSource({
      connectorType: 'kafka',
      connectorId: 'c2',
      properties: properties('json'),
      format: 'json',
      schema,
      watermarkColumn: 'a',
      maxOutOfOrdernessMs: 2,
    })
    await source.seekToOffset({ connectorId: 'c2', partitions: { 0: '4' } })
    const seen: number[] = []
    while (source.hasMore()) {
      const batch = await source.nextBatch(4)
      if (batch === null) continue
      assert.ok(batch.numRows <= 4)
      assert.equal(source.extractWatermark(batch), Math.max(...[...batch.getChild('a')!].map(Number)) - 2)
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
