import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Field, Int32, Schema, TimestampMillisecond, Utf8 } from 'apache-arrow'
import { SqlError, StreamingSQLExecutor } from 'marbledb'
import { temporaryDirectory, withCode } from '../helpers.js'

const day = 86_400_000
const schema = new Schema([
  new Field('origin', new Utf8(), true),
  new Field('delay', new Int32(), true),
  new Field('ts', new TimestampMillisecond(), true),
])
const watermark = { column: 'ts', maxOutOfOrdernessMs: 1000 }
const view = `CREATE TABLE delays (origin STRING, window_start TIMESTAMP(3), n BIGINT, longest INT, PRIMARY KEY (origin, window_start) NOT ENFORCED);`
const insert = `INSERT INTO delays SELECT origin, window_start, COUNT(*), MAX(delay)
  FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY origin, window_start, window_end;`
interface Flight {
  origin: string
  delay: number
  ts: number
}
const flights: Flight[] = Array.from({ length: 25_000 }, (_, i) => ({
  origin: `O${i % 3}`,
  delay: (i * 7919) % 1000,
  ts: i * 60_000,
}))
function expected(rows: readonly Flight[]): object[] {
  const groups = new Map<string, { origin: string; window_start: number; n: bigint; longest: number }>()
  for (const { origin, delay, ts } of rows) {
    const window_start = Math.floor(ts / day) * day
    const key = `${origin} ${String(window_start).padStart(15, '0')}`
    const group = groups.get(key) ?? { origin, window_start, n: 0n, longest: -1 }
    group.n++
    group.longest = Math.max(group.longest, delay)
    groups.set(key, group)
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
}

describe('StreamingSQLExecutor', () => {
  let directory: ReturnType<typeof temporaryDirectory>
  beforeEach(() => {
    directory = temporaryDirectory()
  })
  afterEach(() => directory.remove())
  const open = (options = {}): Promise<StreamingSQLExecutor> =>
    StreamingSQLExecutor.open({ statePath: directory.path, ...options })

  it('turns an async iterable into a view that is read by key and by scan', async () => {
    await using sql = await open()
    sql.registerSource(
      'flights',
      (async function* () {
        yield* flights
      })(),
      { schema, watermark },
    )
    const [created, inserted] = await sql.execute(view + insert)
    assert.equal(created!.kind, 'createTable')
    const metrics = await inserted!.job!.finished
    assert.equal(metrics.recordsIn, 25_000n)
    assert.equal(metrics.lateRecords, 0n)
    assert.equal(inserted!.job!.status, 'finished')
    const rows = expected(flights)
    assert.deepEqual(await sql.table('delays').scan().toArray(), rows)
    assert.deepEqual(
      sql.table('delays').get({ origin: 'O1', window_start: day }),
      rows.find(row => (row as Flight).origin === 'O1' && (row as { window_start: number }).window_start === day),
    )
    assert.deepEqual(sql.health(), [{ job: 'delays', ok: true }])
    assert.deepEqual(
      sql.jobs.map(job => job.name),
      ['delays'],
    )
  })

  it('reads arrays and RecordBatches too, and only the columns that the plan needs', async () => {
    await using sql = await open()
    const source = await sql.database.createTable<Flight>('held', { schema, primaryKey: ['ts'] })
    await source.insert(flights.slice(0, 5000))
    const batches = [...(await source.scan().toTable()).batches]
    sql.registerSource('flights', [...batches, ...flights.slice(5000, 6000)], { schema, watermark })
    await sql.execute('CREATE TABLE counts (origin STRING, n BIGINT, PRIMARY KEY (origin) NOT ENFORCED)')
    const [result] = await sql.execute('INSERT INTO counts SELECT origin, COUNT(*) FROM flights GROUP BY origin')
    await result!.job!.finished
    assert.deepEqual(
      await sql.table('counts').scan().toArray(),
      ['O0', 'O1', 'O2'].map(origin => ({ origin, n: 2000n })),
    )
  })

  it('running the script again changes nothing: objects exist, the finished job is not run again', async () => {
    for (let run = 0; run < 2; run++) {
      await using sql = await open()
      sql.registerSource('flights', flights, { schema, watermark })
      const results = await sql.execute(view + insert)
      await results[1]!.job!.finished
      assert.equal(results[0]!.message, run === 0 ? 'delays created' : 'delays exists already')
      assert.deepEqual(await sql.table('delays').scan().toArray(), expected(flights))
    }
    await using sql = await open()
    assert.deepEqual(await sql.execute('SHOW TABLES').then(([result]) => result!.rows!.toArray()), [{ name: 'delays' }])
    await assert.rejects(sql.execute('CREATE TABLE delays (a INT)'), SqlError)
  })

  it('an interrupted job resumes where it committed: nothing lost, nothing twice', async () => {
    let given = 0
    const slow = (rows: readonly Flight[], stopAt: number) => ({
      async *[Symbol.asyncIterator]() {
        for (const row of rows) {
          if (given++ >= stopAt) await sleep(60_000, undefined, { ref: false })
          yield row
        }
      },
    })
    const first = await open({ epochMs: 10 })
    first.registerSource('flights', slow(flights, 12_000), { schema, watermark })
    const [, started] = await first.execute(view + insert)
    while (started!.job!.metrics().recordsIn < 10_000n || started!.job!.metrics().epoch === 0n) await sleep(5)
    await first.close()
    given = 0
    await using second = await open()
    second.registerSource('flights', slow(flights, 1e9), { schema, watermark })
    const [, resumed] = await second.execute(view + insert)
    const metrics = await resumed!.job!.finished
    assert.ok(metrics.resumedFromEpoch > 0n)
    assert.deepEqual(await second.table('delays').scan().toArray(), expected(flights))
  })

  it('a failing iterable fails the job with its message', async () => {
    await using sql = await open()
    sql.registerSource(
      'flights',
      (async function* () {
        yield flights[0]!
        throw new Error('the well is dry')
      })(),
      { schema, watermark },
    )
    const [, result] = await sql.execute(view + insert)
    await assert.rejects(result!.job!.finished, /the well is dry/)
    assert.equal(result!.job!.status, 'failed')
    assert.match(sql.health()[0]!.reason!, /the well is dry/)
  })

  it('a row of the wrong type fails the job, naming the column', async () => {
    await using sql = await open()
    sql.registerSource('flights', [{ ...flights[0]!, delay: 'long' }], { schema, watermark })
    const [, result] = await sql.execute(view + insert)
    await assert.rejects(result!.job!.finished, /source 'flights': row 0: column 'delay'/)
    // Counted over the whole iterable, not within the batch in which it went.
    sql.registerSource('late', [...flights.slice(0, 15_000), { ...flights[0]!, delay: 'long' }], { schema, watermark })
    await sql.execute('CREATE TABLE copies (delay INT)')
    const [late] = await sql.execute('INSERT INTO copies SELECT delay FROM late')
    await assert.rejects(late!.job!.finished, /source 'late': row 15000: column 'delay'/)
  })

  it('queries local tables, files and constants', async () => {
    await using sql = await open()
    await sql.execute(
      "CREATE TABLE t (id INT, s STRING, PRIMARY KEY (id) NOT ENFORCED); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL)",
    )
    assert.deepEqual(await sql.query('SELECT id, UPPER(s) AS s FROM t WHERE id < 3').toArray(), [
      { id: 1, s: 'A' },
      { id: 2, s: 'B' },
    ])
    assert.deepEqual(await sql.query('SELECT id FROM t WHERE id = ?', { params: [2] }).toArray(), [{ id: 2 }])
    assert.equal((await sql.query('SELECT * FROM t').toTable()).numRows, 3)
    assert.deepEqual(
      await sql
        .query("SELECT CAST(5 AS BIGINT) AS big, TIMESTAMP '2001-02-03 04:05:06.007' AS ts, TRUE AS yes")
        .toArray(),
      [{ big: 5n, ts: Date.UTC(2001, 1, 3, 4, 5, 6, 7), yes: true }],
    )
    const file = join(directory.path, 'in.jsonl')
    writeFileSync(file, '{"a":1}\n{"a":2}\n')
    await sql.execute(`CREATE TABLE f (a INT) WITH ('connector' = 'filesystem', 'path' = '${file}', 'format' = 'json')`)
    assert.deepEqual(await sql.query('SELECT a + 1 AS b FROM f').toArray(), [{ b: 2 }, { b: 3 }])
    assert.deepEqual(await sql.query('SELECT a FROM f', { changelog: true }).toArray(), [
      { op: '+I', a: 1 },
      { op: '+I', a: 2 },
    ])
    assert.match(sql.explain('SELECT a FROM f'), /source/)
    await assert.rejects(sql.query('SELECT a FROM f', { signal: AbortSignal.abort() }).toArray(), {
      name: 'AbortError',
    })
  })

  it('errors say where in the text and what to do', async () => {
    await using sql = await open()
    await assert.rejects(
      sql.execute('CREATE TABLE t (a INT);\nSELECT b FROM t'),
      (error: SqlError) => error.line === 2 && error.column === 8,
    )
    assert.throws(() => sql.query('SELECT 1; SELECT 2'), /one SELECT/)
    assert.throws(() => sql.query('SHOW TABLES'), /use execute/)
    assert.throws(() => sql.table('nothing'), withCode('MARBLE_TABLE_NOT_FOUND'))
    await assert.rejects(
      StreamingSQLExecutor.open({ statePath: directory.path, stateBackend: 'memory' }),
      withCode('MARBLE_NOT_SUPPORTED', /memory/),
    )
    await assert.rejects(StreamingSQLExecutor.open({} as never), TypeError)
    await assert.rejects(
      StreamingSQLExecutor.open({ statePath: directory.path, epochMS: 5 } as never),
      /did you mean 'epochMs'/,
    )
  })

  it('a table that a job writes into cannot be dropped; a cancelled job lets go of it', async () => {
    await using sql = await open()
    sql.registerSource(
      'flights',
      (async function* () {
        yield flights[0]!
        await sleep(60_000, undefined, { ref: false })
      })(),
      { schema, watermark },
    )
    const [, result] = await sql.execute(view + insert)
    await assert.rejects(sql.execute('DROP TABLE delays'), /cancel it first/)
    await result!.job!.pause()
    await result!.job!.resume()
    await result!.job!.cancel()
    assert.equal(result!.job!.status, 'cancelled')
    await sql.execute('DROP TABLE delays')
    assert.deepEqual(sql.database.listTables(), [])
  })

  it('closes once, and everything after it is MARBLE_CLOSED', async () => {
    const sql = await open()
    await Promise.all([sql.close(), sql.close()])
    assert.throws(() => sql.query('SELECT 1'), withCode('MARBLE_CLOSED'))
    await assert.rejects(sql.execute('SELECT 1'), withCode('MARBLE_CLOSED'))
    const other = await open()
    await other.database.close()
    assert.throws(() => other.query('SELECT 1'), withCode('MARBLE_CLOSED'))
  })
})
