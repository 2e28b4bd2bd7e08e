import assert from 'node:assert/strict'
import {
  Bool,
  DateDay,
  Field,
  Float64,
  Int32,
  Int64,
  RecordBatch,
  Schema,
  Table as ArrowTable,
  TimestampMillisecond,
  Utf8,
  makeData,
  tableFromArrays,
  tableToIPC,
  vectorFromArray,
} from 'apache-arrow'
import fc from 'fast-check'
import { Database, SchemaError } from 'marbledb'
import { collect, withCode, withDatabase } from '../helpers.js'

const trades = new Schema([
  new Field('symbol', new Utf8(), false),
  new Field('ts', new TimestampMillisecond(), false),
  new Field('px', new Float64(), true),
  new Field('n', new Int64(), true),
])
interface Trade {
  symbol: string
  ts: number
  px: number | null
  n: bigint | null
}
const rowsOf = (count: number): Trade[] =>
  Array.from({ length: count }, (_, i) => ({ symbol: `S${i % 5}`, ts: i, px: i / 2, n: BigInt(i) }))

describe('Table', () => {
  let database: Database
  beforeEach(async () => {
    database = await Database.open(':memory:')
  })
  afterEach(() => database.close())

  it('upserts by key: the last one wins, also within one batch', async () => {
    const table = await database.createTable<Trade>('t', { schema: trades, primaryKey: ['symbol', 'ts'] })
    const same = { symbol: 'A', ts: 1, n: null }
    assert.deepEqual(
      await table.insert([
        { ...same, px: 1 },
        { ...same, px: 2 },
      ]),
      { rows: 2 },
    )
    assert.deepEqual(table.get(['A', 1]), { ...same, px: 2 })
    await table.insert([{ ...same, px: 3 }])
    assert.deepEqual(await table.scan().toArray(), [{ ...same, px: 3 }])
    assert.equal(await table.count(), 1n)
  })

  it('finds rows by named key, by array, by Date and bigint', async () => {
    const table = await database.createTable<Trade>('t', { schema: trades, primaryKey: ['symbol', 'ts'] })
    const rows = rowsOf(100)
    await table.insert(rows)
    const wanted = { symbol: 'S2', ts: 7, px: 3.5, n: 7n }
    for (const key of [{ symbol: 'S2', ts: 7 }, { ts: 7, symbol: 'S2' }, ['S2', 7], ['S2', 7n], ['S2', new Date(7)]]) {
      assert.deepEqual(table.get(key), wanted)
    }
    assert.deepEqual(await table.getAsync(['S2', 7]), wanted)
    assert.deepEqual(
      table.getMany([
        ['S2', 7],
        ['S2', 8],
        ['S3', 8],
      ]),
      [wanted, undefined, rows[8]],
    )
    assert.throws(() => table.get(['S2']), withCode('MARBLE_SCHEMA', /symbol, ts/))
    assert.throws(() => table.get({ symbol: 'S2', tss: 7 }), withCode('MARBLE_SCHEMA', /did you mean 'ts'/))
    assert.throws(() => table.get(['S2', 'seven']), withCode('MARBLE_SCHEMA', /'ts'/))
    assert.throws(() => table.get('S2' as never), TypeError)
  })

  it('deletes rows, and sees with a snapshot what was there', async () => {
    const table = await database.createTable<Trade>('t', { schema: trades, primaryKey: ['symbol', 'ts'] })
    await table.insert(rowsOf(10))
    const snapshot = database.snapshot()
    table.delete(['S1', 1])
    assert.equal(table.get(['S1', 1]), undefined)
    assert.notEqual(table.get(['S1', 1], { snapshot }), undefined)
    assert.equal(await table.count(), 9n)
    assert.equal(await table.count({ snapshot }), 10n)
    assert.equal((await table.scan({ snapshot }).toArray()).length, 10)
  })

  it('rejects what does not fit the schema, naming row and column', async () => {
    const table = await database.createTable('t', { schema: trades, primaryKey: ['symbol', 'ts'] })
    const good = { symbol: 'A', ts: 1 }
    await assert.rejects(
      table.insert([good, { ...good, px: 'high' }]),
      withCode('MARBLE_SCHEMA', /row 1: column 'px' \(float64\)/),
    )
    await assert.rejects(table.insert([{ ts: 1 }]), withCode('MARBLE_SCHEMA', /row 0: column 'symbol' is not nullable/))
    await assert.rejects(
      table.insert([{ ...good, pxx: 1 }]),
      withCode('MARBLE_SCHEMA', /no column 'pxx' \(did you mean 'px'/),
    )
    await assert.rejects(table.insert([{ ...good, n: 2 ** 60 }]), withCode('MARBLE_SCHEMA', /safe integer/))
    await assert.rejects(table.insert([5 as never]), withCode('MARBLE_SCHEMA', /row 0/))
    await assert.rejects(table.insert({} as never), TypeError)
    const wrong = tableFromArrays({ symbol: ['A'], ts: Float64Array.of(1) })
    await assert.rejects(table.insertBatch(wrong), SchemaError)
    await assert.rejects(
      table.insertBatch(tableFromArrays({ nope: Int32Array.of(1) })),
      withCode('MARBLE_SCHEMA', /nope.*symbol, ts/),
    )
    await assert.rejects(table.insertBatch(Buffer.from('no arrow')), withCode('MARBLE_SCHEMA', /IPC/))
    await assert.rejects(table.insertBatch(5 as never), TypeError)
    assert.equal(await table.count(), 0n)
  })

  it('takes batches in every form: RecordBatch, Table, IPC stream and file, async iterable, dictionaries', async () => {
    const schema = new Schema([new Field('id', new Int32(), false), new Field('name', new Utf8(), true)])
    const names = ['x', null, 'żółw', 'x']
    const data = (first: number): ArrowTable => {
      const ids = vectorFromArray(
        [0, 1, 2, 3].map(i => first + i),
        new Int32(),
      )
      return new ArrowTable({ id: ids, name: vectorFromArray(names) }) // strings become a Dictionary here
    }
    assert.equal(data(0).schema.fields[1]!.type.typeId, -1)
    const table = await database.createTable<{ id: number; name: string | null }>('t', { schema, primaryKey: ['id'] })
    const plain = (first: number): ArrowTable =>
      new ArrowTable({
        id: vectorFromArray(
          [0, 1, 2, 3].map(i => first + i),
          new Int32(),
        ),
        name: vectorFromArray(names, new Utf8()),
      })
    assert.deepEqual(await table.insertBatch(data(0).batches[0]!), { rows: 4 })
    assert.deepEqual(await table.insertBatch(data(10).concat(data(20))), { rows: 8 })
    assert.deepEqual(await table.insertBatch(tableToIPC(plain(30), 'stream')), { rows: 4 })
    assert.deepEqual(await table.insertBatch(tableToIPC(plain(40), 'file')), { rows: 4 })
    async function* batches(): AsyncGenerator<RecordBatch> {
      yield data(50).batches[0]!
      yield plain(60).batches[0]!.slice(1, 3)
      yield data(70).slice(1, 3).batches[0]!
    }
    assert.deepEqual(await table.insertBatch(batches()), { rows: 8 })
    const expected = [0, 10, 20, 30, 40, 50].flatMap(first => names.map((name, i) => ({ id: first + i, name })))
    for (const first of [60, 70]) for (const i of [1, 2]) expected.push({ id: first + i, name: names[i]! })
    assert.deepEqual(await table.scan().toArray(), expected)
  })

  it('columns go by name, and a missing nullable one is null', async () => {
    const table = await database.createTable<Trade>('t', { schema: trades, primaryKey: ['symbol', 'ts'] })
    const batch = new RecordBatch({
      ts: makeData({ type: new TimestampMillisecond(), data: BigInt64Array.of(5n) }),
      symbol: vectorFromArray(['A'], new Utf8()).data[0]!,
    })
    await table.insertBatch(batch)
    assert.deepEqual(await table.scan().toArray(), [{ symbol: 'A', ts: 5, px: null, n: null }])
  })

  it('scans ranges by key and by prefix of it, in both directions, with limit and columns', async () => {
    const table = await database.createTable<Trade>('t', { schema: trades, primaryKey: ['symbol', 'ts'] })
    const rows = rowsOf(1000).sort((a, b) => (a.symbol === b.symbol ? a.ts - b.ts : a.symbol < b.symbol ? -1 : 1))
    await table.insert([...rows].reverse())
    const check = async (options: object, keep: (row: Trade) => boolean): Promise<void> => {
      const expected = rows.filter(keep)
      assert.deepEqual(await table.scan(options).toArray(), expected, JSON.stringify(options))
      assert.deepEqual(await table.scan({ ...options, reverse: true }).toArray(), [...expected].reverse())
      assert.deepEqual(await table.scan({ ...options, limit: 5 }).toArray(), expected.slice(0, 5))
    }
    await check({}, () => true)
    await check({ range: { gte: ['S2'], lte: ['S3'] } }, row => row.symbol >= 'S2' && row.symbol <= 'S3')
    await check({ range: { gt: ['S2'], lt: ['S4'] } }, row => row.symbol === 'S3')
    await check(
      { range: { gt: ['S2', 52], lte: { symbol: 'S2', ts: 502 } } },
      row => row.symbol === 'S2' && row.ts > 52 && row.ts <= 502,
    )
    await check({ range: { gte: { symbol: 'S4' } } }, row => row.symbol === 'S4')
    assert.deepEqual(await table.scan({ columns: ['n', 'symbol'], limit: 1 }).toArray(), [{ n: 0n, symbol: 'S0' }])
    assert.throws(() => table.scan({ columns: ['nope'] }), withCode('MARBLE_COLUMN_NOT_FOUND', /symbol, ts, px, n/))
    assert.throws(() => table.scan({ limt: 1 } as never), /did you mean 'limit'/)
    assert.throws(() => table.scan({ limit: -1 }), RangeError)
  })

  it('keeps the order of insertion without a primary key', async () => {
    const table = await database.createTable<{ id: string }>('t', {
      schema: new Schema([new Field('id', new Utf8(), true)]),
    })
    const rows = Array.from({ length: 100 }, (_, i) => ({ id: `r${(i * 37) % 100}` }))
    for (let i = 0; i < 100; i += 10) await table.insert(rows.slice(i, i + 10))
    assert.deepEqual(await table.scan().toArray(), rows)
    assert.deepEqual(table.primaryKey, [])
    assert.throws(() => table.get(['r1']), withCode('MARBLE_NOT_SUPPORTED', /no primary key/))
  })

  it('unawaited inserts take effect in the order of the calls', async () => {
    const table = await database.createTable<Trade>('t', { schema: trades, primaryKey: ['symbol', 'ts'] })
    await Promise.all(Array.from({ length: 200 }, (_, i) => table.insert([{ symbol: 'A', ts: 1, px: i, n: null }])))
    assert.equal(table.get(['A', 1])?.px, 199)
  })

  it('iterates with seek', async () => {
    const table = await database.createTable<Trade>('t', { schema: trades, primaryKey: ['symbol', 'ts'] })
    await table.insert(rowsOf(100))
    const iterator = table.newIterator({ columns: ['ts'] })
    iterator.seek(['S3', 50])
    const batch = await iterator.next()
    assert.deepEqual([...batch!.getChildAt(0)!].map(Number).slice(0, 2), [53, 58])
    iterator.seek(['S9'])
    assert.equal(await iterator.next(), undefined)
    await iterator.close()
  })

  it('a scan that is aborted, or left, lets the table be dropped', async () => {
    await withDatabase(async db => {
      const table = await db.createTable<Trade>('t', { schema: trades, primaryKey: ['symbol', 'ts'] })
      await table.insert(rowsOf(100_000))
      await db.flush()
      for await (const batch of table.scan()) {
        assert.ok(batch.numRows > 0)
        break
      }
      const controller = new AbortController()
      await assert.rejects(
        async () => {
          for await (const batch of table.scan({ signal: controller.signal })) {
            batch.release()
            controller.abort()
          }
        },
        { name: 'AbortError' },
      )
      await db.dropTable('t')
      await assert.rejects(table.insert(rowsOf(1)))
    })
  })

  it('gives rows with the conversions that are asked for', async () => {
    const schema = new Schema([
      new Field('id', new Int64(), false),
      new Field('d', new DateDay(), true),
      new Field('ts', new TimestampMillisecond(), true),
      new Field('b', new Bool(), true),
    ])
    const table = await database.createTable('t', { schema, primaryKey: ['id'] })
    const ms = Date.UTC(2001, 1, 3, 4, 5, 6, 7)
    const day = Date.UTC(2001, 1, 3)
    await table.insert([{ id: 5, d: new Date(ms), ts: new Date(ms), b: true }])
    assert.deepEqual(await table.scan().toArray(), [{ id: 5n, d: day, ts: ms, b: true }])
    assert.deepEqual(table.get([5]), { id: 5n, d: day, ts: ms, b: true })
    assert.deepEqual(await table.scan().toArray({ int64: 'number', timestamp: 'date' }), [
      { id: 5, d: new Date(day), ts: new Date(ms), b: true },
    ])
    assert.deepEqual(await collect(table.scan().rows({ int64: 'string' })), [{ id: '5', d: day, ts: ms, b: true }])
  })

  it('agrees with a map under random inserts, deletes, flushes and compactions', async () => {
    const row = fc.record(
      {
        symbol: fc.constantFrom('A', 'B', 'CC', ''),
        ts: fc.integer({ min: -3, max: 3 }),
        px: fc.option(fc.double({ noNaN: true })),
        n: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
      },
      { noNullPrototype: true },
    )
    const operation = fc.oneof(
      fc.record({ op: fc.constant('insert' as const), rows: fc.array(row, { minLength: 1, maxLength: 8 }) }),
      fc.record({ op: fc.constant('delete' as const), row }),
      fc.record({ op: fc.constantFrom('flush' as const, 'compact' as const) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async operations => {
        await withDatabase(async db => {
          const table = await db.createTable<Trade>('t', { schema: trades, primaryKey: ['symbol', 'ts'] })
          const model = new Map<string, Trade>()
          const key = ({ symbol, ts }: Trade): string => `${symbol}|${ts + 10}`
          for (const step of operations) {
            if (step.op === 'insert') {
              await table.insert(step.rows)
              for (const r of step.rows) model.set(key(r), r)
            } else if (step.op === 'delete') {
              table.delete([step.row.symbol, step.row.ts])
              model.delete(key(step.row))
            } else if (step.op === 'flush') await db.flush()
            else await db.compact({ table: 't' })
          }
          const expected = [...model.values()].sort((a, b) =>
            a.symbol === b.symbol ? a.ts - b.ts : a.symbol < b.symbol ? -1 : 1,
          )
          assert.deepEqual(await table.scan().toArray(), expected)
          assert.deepEqual(await table.scan({ reverse: true }).toArray(), [...expected].reverse())
          assert.deepEqual(table.getMany(expected.map(r => [r.symbol, r.ts])), expected)
          assert.equal(await table.count(), BigInt(expected.length))
        })
      }),
      { numRuns: 25 },
    )
  })
})
