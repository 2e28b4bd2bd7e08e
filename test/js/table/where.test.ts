// Conditions in scans and counts: SQL text with parameters, compared with DuckDB; what is left out unread.
import assert from 'node:assert/strict'
import {
  Bool,
  DateDay,
  Decimal,
  Field,
  FixedSizeBinary,
  Float32,
  Float64,
  Int32,
  Int64,
  Int8,
  LargeUtf8,
  List,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  TimestampMillisecond,
  TimestampSecond,
  Uint32,
  Uint64,
  Uint8,
  Utf8,
} from 'apache-arrow'
import { DuckDBInstance } from '@duckdb/node-api'
import { Database, type Table } from 'marbledb'
import { withCode, withDatabase } from '../helpers.js'

const schema = new Schema([
  new Field('name', new Utf8(), false),
  new Field('n', new Int32(), false),
  new Field('i', new Int64(), true),
  new Field('small', new Int8(), true),
  new Field('d', new Float64(), true),
  new Field('f', new Float32(), true),
  new Field('s', new Utf8(), true),
  new Field('flag', new Bool(), true),
  new Field('ts', new TimestampMillisecond(), true),
  new Field('day', new DateDay(), true),
  new Field('price', new Decimal(2, 10), true),
  new Field('u', new Uint32(), true),
])
interface Row {
  name: string
  n: number
  i: bigint | null
  small: number | null
  d: number | null
  f: number | null
  s: string | null
  flag: boolean | null
  ts: number | null
  day: number | null
  price: string | null
  u: number | null
}
const kDay = 86_400_000

/** A small generator with a seed: the same rows and conditions in every run. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const kNames = ['', 'A', 'Ab', 'B', 'Ł']
const kTexts = ['', 'a', 'ab', 'abc', 'b%', 'x_y', "it's", 'Łódź', 'k'.repeat(70), `${'k'.repeat(70)}z`]

/** Values that follow from `n` and `shift`: rows that are written together lie close together, and apart from other versions of them. */
function randomRow(pick: (below: number) => number, name: string, n: number, shift = 0): Row {
  const near = (pick(40) === 0 ? pick(400) : n) + shift
  const orNull = <T>(value: T): T | null => (pick(12) === 0 ? null : value)
  return {
    name,
    n,
    i: orNull(BigInt(near) * 10_000_000_000n - 5n),
    small: orNull((near % 250) - 125),
    d: orNull(pick(9) === 0 ? -0 : near / 4 - 50),
    f: orNull(near / 4 - 50),
    s: orNull(pick(3) === 0 ? kTexts[pick(kTexts.length)]! : `k${1000 + near}`),
    flag: orNull(near % 100 < 50),
    ts: orNull(1_000_000_000_000 + near * 1000 + pick(1000)),
    day: orNull((10_000 + near) * kDay),
    price: orNull(`${near}.${10 + pick(90)}`),
    u: orNull(4_000_000_000 + near),
  }
}

const text = (value: string): string => `'${value.replaceAll("'", "''")}'`
const timestamp = (ms: number): string => `TIMESTAMP '${new Date(ms).toISOString().slice(0, -1).replace('T', ' ')}'`
const date = (ms: number): string => `DATE '${new Date(ms).toISOString().slice(0, 10)}'`
/** A value as a SQL literal that both dialects read. */
function literal(column: keyof Row, value: Row[keyof Row]): string {
  if (value === null) return 'NULL'
  if (column === 'ts') return timestamp(value as number)
  if (column === 'day') return date(value as number)
  if (typeof value === 'string' && column !== 'price') return text(value)
  return Object.is(value, -0) ? '-0.0' : String(value)
}

const kOperators = ['=', '<>', '<', '<=', '>', '>=']
function randomCondition(pick: (below: number) => number, depth: number): string {
  if (depth > 0 && pick(2) === 0) {
    const inner = (): string => `(${randomCondition(pick, depth - 1)})`
    return [
      () => `NOT ${inner()}`,
      () => `${inner()} AND ${inner()}`,
      () => `${inner()} AND ${inner()} AND ${inner()}`,
      () => `${inner()} OR ${inner()}`,
      () => `${inner()} IS NOT TRUE`,
    ][pick(5)]!()
  }
  const column = schema.fields[pick(3) === 0 ? pick(2) : pick(schema.fields.length)]!.name as keyof Row
  const row = (): Row => randomRow(pick, kNames[pick(kNames.length)]!, pick(400), pick(3) * 400)
  const value = (): string => {
    const chosen = row()[column]
    return chosen === null ? literal(column, row()[column] ?? row()[column]) : literal(column, chosen)
  }
  const list = (count: number): string => Array.from({ length: count }, value).join(', ')
  switch (pick(9)) {
    case 0:
      return `${column} IS ${pick(2) === 0 ? 'NOT ' : ''}NULL`
    case 1:
      return `${column} ${pick(3) === 0 ? 'NOT ' : ''}IN (${list(1 + pick(5))})`
    case 2:
      return `${column} BETWEEN ${value()} AND ${value()}`
    case 3:
      return pick(2) === 0
        ? `s LIKE '${['k1%', 'k12%', 'a%', '%', '', '%b%', 'x_y', 'kkkkk%', 'Ł%', '_b%'][pick(10)]}'`
        : `name LIKE '${['A%', '%', 'Ab', 'Ł%'][pick(4)]}'`
    case 4:
      return ['i > n', 'd < f', 'COALESCE(small, 0) > 3', 'n + 1 >= small', 'flag', 'NOT flag', 'd = f'][pick(7)]!
    case 5:
      return `${value()} ${kOperators[pick(6)]} ${column}`
    default:
      return `${column} ${kOperators[pick(6)]} ${value()}`
  }
}

describe('Conditions', () => {
  it('give the rows that DuckDB gives, over random rows, writes, flushes and conditions', async () => {
    const duckdb = await DuckDBInstance.create(':memory:')
    const connection = await duckdb.connect()
    let pruned = 0
    let filtered = 0
    try {
      for (let seed = 1; seed <= 4; seed++) {
        const pick = generator(seed)
        const database = await Database.open(':memory:')
        const table = await database.createTable<Row>('t', { schema, primaryKey: ['name', 'n'], zoneMaps: seed !== 3 })
        const rows = new Map<string, Row>()
        for (let write = 0; write < 25; write++) {
          const name = kNames[pick(kNames.length)]!
          const from = pick(400)
          const shift = pick(3) * 400
          const batch = Array.from({ length: 1 + pick(80) }, (_, i) => randomRow(pick, name, (from + i) % 400, shift))
          await table.insert(batch)
          for (const row of batch) rows.set(`${row.name}/${row.n}`, row)
          // Not each time: a file with tombstones is never a stretch of its own.
          for (let i = pick(4) === 0 ? 5 : 0; i > 0; i--) {
            const n = pick(400)
            table.delete([name, n])
            rows.delete(`${name}/${n}`)
          }
          if (pick(2) === 0) await database.flush()
          if (pick(12) === 0) await database.compact()
        }
        await connection.run('DROP TABLE IF EXISTS t')
        await connection.run(`CREATE TABLE t (name VARCHAR, n INTEGER, i BIGINT, small TINYINT, d DOUBLE, f FLOAT, s VARCHAR,
          flag BOOLEAN, ts TIMESTAMP_MS, day DATE, price DECIMAL(10, 2), u UINTEGER)`)
        const values = [...rows.values()].map(
          row =>
            `(${schema.fields.map(field => literal(field.name as keyof Row, row[field.name as keyof Row])).join(', ')})`,
        )
        await connection.run(`INSERT INTO t VALUES ${values.join(', ')}`)
        for (let round = 0; round < 150; round++) {
          const where = randomCondition(pick, 2)
          const answer = await connection.runAndReadAll(`SELECT name, n FROM t WHERE ${where} ORDER BY encode(name), n`)
          const expected = answer.getRowsJS() as [string, number][]
          const reverse = pick(3) === 0
          const found = await table.scan({ where, columns: ['name', 'n'], reverse }).toArray()
          if (reverse) found.reverse()
          assert.deepEqual(
            found.map(row => [row.name, row.n]),
            expected,
            `seed ${seed}: ${where}`,
          )
          assert.equal(await table.count({ where }), BigInt(expected.length), `seed ${seed}: ${where}`)
          const limit = pick(20)
          const first = await table.scan({ where, columns: ['n'], limit }).toArray()
          assert.deepEqual(
            first.map(row => row.n),
            expected.slice(0, limit).map(row => row[1]),
            `seed ${seed}: ${where} LIMIT ${limit}`,
          )
        }
        const metrics = database.metrics() as Record<string, number>
        if (seed === 3) assert.equal(metrics.batchesPruned, 0, 'without zone maps')
        pruned += metrics.batchesPruned!
        filtered += metrics.rowsFiltered!
        await database.close()
      }
    } finally {
      connection.closeSync()
      duckdb.closeSync()
    }
    assert.ok(pruned > 10, `${pruned} batches pruned`)
    assert.ok(filtered > 1000, `${filtered} rows filtered`)
  }).timeout(180_000)

  const kRows = 200_000
  /** Rows with n ascending, and v = n / 1000 where n is divisible by 7, else null. */
  async function bigTable(database: Database): Promise<Table> {
    const fields = [new Field('n', new Int32(), false), new Field('v', new Float64(), true)]
    const table = await database.createTable('big', { schema: new Schema(fields), primaryKey: ['n'] })
    const n = Int32Array.from({ length: kRows }, (_, i) => i)
    const v = Float64Array.from(n, i => i / 1000)
    const nullBitmap = new Uint8Array(kRows / 8)
    let nullCount = 0
    for (let i = 0; i < kRows; i++) {
      if (i % 7 === 0) nullBitmap[i >> 3]! |= 1 << (i & 7)
      else nullCount++
    }
    const children = [
      makeData({ type: new Int32(), data: n }),
      makeData({ type: new Float64(), data: v, nullBitmap, nullCount }),
    ]
    const data = makeData({ type: new Struct(fields), length: kRows, children })
    await table.insertBatch(new RecordBatch(new Schema(fields), data))
    await database.flush()
    await database.compact()
    return table
  }
  const delta = (database: Database, before: Record<string, unknown>, name: string): number =>
    Number(database.metrics()[name]) - Number(before[name])

  it('skips batches by zone maps and by keys, and says so', () =>
    withDatabase(async database => {
      const table = await bigTable(database)
      let before = database.metrics()
      assert.equal(await table.count({ where: 'v < 1' }), 143n)
      assert.ok(delta(database, before, 'batchesPruned') >= 2)
      assert.ok(delta(database, before, 'rowsFiltered') < 70_000)
      before = database.metrics()
      assert.deepEqual(await table.scan({ where: 'n = 150000' }).toArray(), [{ n: 150_000, v: null }])
      assert.ok(delta(database, before, 'batchesOutOfRange') >= 2)
      assert.equal(delta(database, before, 'rowsFiltered'), 0)
      before = database.metrics()
      assert.deepEqual(await table.scan({ where: 'n > 300000' }).toArray(), [])
      assert.ok(delta(database, before, 'filesOutOfRange') >= 1)
    }))

  it('counts from what files know of themselves, and only where one file has a say', () =>
    withDatabase(async database => {
      const table = await bigTable(database)
      let before = database.metrics()
      assert.equal(await table.count(), BigInt(kRows))
      assert.equal(delta(database, before, 'rowsFromMetadata'), kRows)
      await table.insert([
        { n: 5, v: 1 },
        { n: kRows, v: 1 },
      ])
      table.delete([7])
      before = database.metrics()
      assert.equal(await table.count(), BigInt(kRows))
      const known = delta(database, before, 'rowsFromMetadata')
      assert.ok(known > kRows - 100 && known < kRows, String(known))
    }))

  it('brings no old row back: a newer version that does not match hides it, pruned or not', () =>
    withDatabase(async database => {
      const table = await bigTable(database)
      // The new versions lie in a file whose v is far from what is asked for: its zones say that nothing there can match. It begins
      // with keys that no other file has, so there it may be left out; from 1 to 50 it must be read, because it hides older rows.
      const newer = Array.from({ length: 101 }, (_, i) => ({ n: i - 50, v: 1e9 }))
      await table.insert(newer.filter(row => row.n !== 0))
      await database.flush()
      assert.equal(await table.count({ where: 'v < 0.051' }), 1n)
      assert.deepEqual(await table.scan({ where: 'v < 0.051' }).toArray(), [{ n: 0, v: 0 }])
      assert.deepEqual(await table.scan({ where: 'v < 0.051', reverse: true }).toArray(), [{ n: 0, v: 0 }])
      table.delete([0])
      assert.deepEqual(await table.scan({ where: 'v < 0.01' }).toArray(), [])
    }))

  it('crosses without a copy where whole stretches match', () =>
    withDatabase(async database => {
      const table = await bigTable(database)
      const zeroCopy: boolean[] = []
      let rows = 0
      for await (const batch of table.scan({ where: 'n >= 1000', columns: ['v', 'n'] })) {
        zeroCopy.push(batch.zeroCopy)
        rows += batch.numRows
        assert.equal(batch.getChild('n')!.get(0), 1000 + rows - batch.numRows)
      }
      assert.equal(rows, kRows - 1000)
      assert.ok(zeroCopy.every(Boolean))
      for await (const batch of table.scan({ where: 'v IS NOT NULL', limit: 100 })) {
        assert.equal(batch.zeroCopy, false)
        assert.equal(batch.getChild('v')!.nullCount, 0)
      }
    }))

  it('binds parameters by position and by name, checked against the text', async () => {
    await withDatabase(async database => {
      const table = await database.createTable<Row>('t', { schema, primaryKey: ['name', 'n'] })
      const pick = generator(9)
      await table.insert(
        Array.from({ length: 50 }, (_, i) => ({ ...randomRow(pick, 'A', i), ts: i * 1000, i: BigInt(i) })),
      )
      const keys = async (where: string, params?: unknown): Promise<number[]> =>
        (await table.scan({ where, params: params as unknown[] }).toArray()).map(row => row.n)
      assert.deepEqual(await keys('ts = ?', [new Date(3000)]), [3])
      assert.deepEqual(await keys('i = ? OR i = ?', [4n, 7]), [4, 7])
      assert.deepEqual(await keys('n < :most AND name = :name', { most: 2, name: 'A' }), [0, 1])
      assert.deepEqual(await keys('i = ?', [null]), [])
      assert.throws(() => table.scan({ where: 'n = ?' }), withCode('MARBLE_SQL', /no value for parameter 1/))
      assert.throws(
        () => table.scan({ where: 'n = ?', params: [1, 2] }),
        withCode('MARBLE_INVALID_ARGUMENT', /scan: params has 2 values, the text has 1/),
      )
      assert.throws(() => table.scan({ params: [1] }), withCode('MARBLE_INVALID_ARGUMENT', /params without where/))
      assert.throws(() => table.scan({ where: 'n = ?', params: ['\ud800'] }), withCode('MARBLE_SQL', /lone surrogate/))
    })
  })

  it('refuses at the call what has no meaning, with its place', async () => {
    await withDatabase(async database => {
      const table = await database.createTable<Row>('t', { schema, primaryKey: ['name', 'n'] })
      const wrong = (where: unknown, message: RegExp, code = 'MARBLE_SQL'): void =>
        assert.throws(() => table.scan({ where: where as string }), withCode(code, message))
      wrong(
        'n > 1 AND\n  prise > 2',
        /line 2, column 3: unknown column prise\n {4}prise > 2\n {4}\^\n.*did you mean price/,
      )
      wrong('s > 1', /column 1: cannot compare STRING with INT/)
      wrong('ts > 1700000000000', /cannot compare TIMESTAMP.*\n.*\n.*\n.*pass a Date/)
      wrong('n + 1', /a condition/)
      wrong('n >', /column 4/)
      wrong('n = 1 LIMIT 5', /expected the end of the expression/)
      wrong('', /expected an expression/)
      wrong('COUNT(*) > 1', /COUNT/i)
      wrong({ kind: 'call' }, /as an object.*SQL text/, 'MARBLE_NOT_SUPPORTED')
      assert.throws(() => table.scan({ where: 5 as never }), TypeError)
      await assert.rejects(table.count({ where: 'm = 1' }), withCode('MARBLE_SQL', /unknown column m/))
      await assert.rejects(table.count({ were: 'n = 1' } as never), /did you mean 'where'/)
    })
  })

  it('takes columns of every type that SQL can hold, and asks any column whether it is null', async () => {
    await withDatabase(async database => {
      const odd = new Schema([
        new Field('id', new Uint64(), false),
        new Field('byte', new Uint8(), true),
        new Field('large', new LargeUtf8(), true),
        new Field('second', new TimestampSecond(), true),
        new Field('berlin', new TimestampMillisecond('Europe/Berlin'), true),
        new Field('list', new List(new Field('item', new Int32(), true)), true),
        new Field('fixed', new FixedSizeBinary(2), true),
      ])
      const table = await database.createTable('odd', { schema: odd, primaryKey: ['id'] })
      await table.insert(
        Array.from({ length: 10 }, (_, i) => ({
          id: 2n ** 63n + BigInt(i),
          byte: 250 - i,
          large: `x${i}`,
          second: i * 1000,
          berlin: i * 1000,
          list: i === 3 ? null : [i],
          fixed: i === 4 ? null : Buffer.from([i, i]),
        })),
      )
      const ids = async (where: string, params?: unknown[]): Promise<number[]> =>
        (await table.scan({ where, params }).toArray()).map(row => Number(BigInt(row.id) - 2n ** 63n))
      assert.deepEqual(await ids('id >= 9223372036854775815'), [7, 8, 9])
      assert.deepEqual(await ids('id = ?', [2n ** 63n + 2n]), [2])
      assert.deepEqual(await ids('byte IN (249, 248, 1000)'), [1, 2])
      assert.deepEqual(
        await ids(`byte IN (${Array.from({ length: 2000 }, (_, i) => i)})`),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      )
      assert.deepEqual(await ids("large LIKE '_5' OR large = 'x6'"), [5, 6])
      assert.deepEqual(await ids("second = TIMESTAMP '1970-01-01 00:00:04'"), [4])
      assert.deepEqual(await ids('berlin > ?', [new Date(7000)]), [8, 9])
      assert.deepEqual(await ids('list IS NULL OR fixed IS NULL'), [3, 4])
      assert.deepEqual(await ids("fixed IS NOT NULL AND byte < 243 AND NOT large = 'x9'"), [8])
      assert.throws(
        () => table.scan({ where: 'fixed = 1' }),
        withCode('MARBLE_SQL', /column fixed of Arrow type fixedsize/),
      )
    })
  })

  it('works with range, limit, iterators and tables without a key', async () => {
    await withDatabase(async database => {
      const table = await database.createTable<Row>('t', { schema, primaryKey: ['name', 'n'] })
      const log = await database.createTable<Row>('log', { schema })
      const rows = kNames.flatMap(name =>
        Array.from({ length: 30 }, (_, n) => ({ ...randomRow(generator(n + 1), name, n), small: n })),
      )
      await table.insert(rows)
      await log.insert(rows)
      await database.flush()
      const found = await table
        .scan({ where: 'small >= 10', range: { gte: ['A'], lt: ['B', 12] }, limit: 45 })
        .toArray()
      const expected = rows.filter(
        r => r.small! >= 10 && (r.name === 'A' || r.name === 'Ab' || (r.name === 'B' && r.n < 12)),
      )
      assert.deepEqual(
        found.map(r => [r.name, r.n]),
        expected.map(r => [r.name, r.n]).slice(0, 45),
      )
      assert.deepEqual(
        (await log.scan({ where: 'small = 3', columns: ['name'] }).toArray()).map(row => row.name),
        kNames,
      )
      const iterator = table.newIterator({ where: 'small < 2', columns: ['name', 'n'] })
      iterator.seek(['B', 1])
      const batch = await iterator.next()
      assert.deepEqual(
        batch!.toArray().map(row => [row!.name, row!.n]),
        [
          ['B', 1],
          ['Ł', 0],
          ['Ł', 1],
        ],
      )
      await iterator.close()
    })
  })

  it('ends at an aborted signal', () =>
    withDatabase(async database => {
      const table = await bigTable(database)
      const aborted = { name: 'AbortError', code: 'MARBLE_ABORTED' }
      await assert.rejects(table.count({ where: 'v < 0', signal: AbortSignal.abort() }), aborted)
      const controller = new AbortController()
      const counted = table.count({ where: "CAST(v AS STRING) = 'nothing'", signal: controller.signal })
      controller.abort()
      await assert.rejects(counted, aborted)
      const late = new AbortController()
      const scan = table.scan({ where: "CAST(v AS STRING) = 'nothing'", signal: late.signal }).toArray()
      late.abort()
      await assert.rejects(scan, aborted)
      assert.equal(await table.count(), BigInt(kRows))
    }))
})

describe('Ranges of keys that end in text', () => {
  it('hold a key apart from the longer ones that begin with it', async () => {
    await withDatabase(async database => {
      const fields = [new Field('n', new Int32(), false), new Field('s', new Utf8(), false)]
      const table = await database.createTable<{ n: number; s: string }>('t', {
        schema: new Schema(fields),
        primaryKey: ['n', 's'],
      })
      await table.insert(['a', 'ab', 'b'].map(s => ({ n: 1, s })))
      const texts = async (range: object): Promise<string[]> =>
        (await table.scan({ range }).toArray()).map(row => row.s)
      assert.deepEqual(await texts({ gt: [1, 'a'] }), ['ab', 'b'])
      assert.deepEqual(await texts({ lte: [1, 'a'] }), ['a'])
      assert.deepEqual(await texts({ gt: [1] }), [])
    })
  })
})
