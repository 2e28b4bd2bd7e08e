import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import * as arrow from 'apache-arrow'
import { Database } from 'marbledb'
import { schemaFromJson, schemaToJson } from '../../../dist/arrow/json-schema.js'
import { collect, withCode, withDatabase } from '../helpers.js'

const field = (name: string, type: arrow.DataType, nullable = true): arrow.Field =>
  new arrow.Field(name, type, nullable)
const id = field('id', new arrow.Int32(), false)
const list = new arrow.List(field('item', new arrow.Utf8()))
const struct = new arrow.Struct([field('a', new arrow.Int32()), field('b', list)])
const map = new arrow.Map_(
  field(
    'entries',
    new arrow.Struct([field('key', new arrow.Utf8(), false), field('value', new arrow.Int64())]),
    false,
  ) as never,
)

const denseUnion = new arrow.DenseUnion(
  [5, 0, 7],
  [field('n', new arrow.Int64()), field('s', new arrow.Utf8()), field('l', list)],
)
const sparseUnion = new arrow.SparseUnion(
  [1, 0],
  [field('f', new arrow.Float64()), field('s', new arrow.Struct([field('a', new arrow.Bool())]))],
)
const tag = (name: string, value: unknown): unknown => ({ tag: name, value })

// Input row value → the value that comes out; undefined: the same.
const cases: { type: arrow.DataType; values: unknown[]; out?: unknown[] }[] = [
  { type: new arrow.Bool(), values: [true, false, null] },
  { type: new arrow.Int8(), values: [-128, 127, null] },
  { type: new arrow.Uint8(), values: [0, 255, null] },
  { type: new arrow.Int16(), values: [-32768, 32767, null] },
  { type: new arrow.Uint16(), values: [0, 65535, null] },
  { type: new arrow.Int32(), values: [-(2 ** 31), 2 ** 31 - 1, null] },
  { type: new arrow.Uint32(), values: [0, 2 ** 32 - 1, null] },
  {
    type: new arrow.Int64(),
    values: [-(2n ** 63n), 2n ** 63n - 1n, 5, null],
    out: [-(2n ** 63n), 2n ** 63n - 1n, 5n, null],
  },
  { type: new arrow.Uint64(), values: [0n, 2n ** 64n - 1n, null] },
  { type: new arrow.Float32(), values: [1.5, -0.25, null] },
  { type: new arrow.Float64(), values: [Math.PI, -0, Number.POSITIVE_INFINITY, Number.NaN, null] },
  { type: new arrow.Utf8(), values: ['', 'żółw 😀', 'x'.repeat(1000), null] },
  { type: new arrow.LargeUtf8(), values: ['', 'żółw', null] },
  { type: new arrow.Binary(), values: [Buffer.alloc(0), Buffer.from([0, 255]), null] },
  { type: new arrow.LargeBinary(), values: [Buffer.from([1]), null] },
  { type: new arrow.FixedSizeBinary(3), values: [Buffer.from([1, 2, 3]), null] },
  { type: new arrow.Decimal(2, 10, 128), values: ['12.50', '-0.01', 7, null], out: ['12.50', '-0.01', '7.00', null] },
  { type: new arrow.DateDay(), values: [Date.UTC(2001, 1, 3), Date.UTC(1969, 11, 31), null] },
  {
    type: new arrow.DateMillisecond(),
    values: [Date.UTC(2001, 1, 3), new Date(-86_400_000), null],
    out: [Date.UTC(2001, 1, 3), -86_400_000, null],
  },
  { type: new arrow.TimestampSecond(), values: [5000, -5000, new Date(7000), null], out: [5000, -5000, 7000, null] },
  {
    type: new arrow.TimestampMillisecond(),
    values: [5001, -1, new Date(7001), 8n, null],
    out: [5001, -1, 7001, 8, null],
  },
  { type: new arrow.TimestampMicrosecond(), values: [5n, new Date(7), 8, null], out: [5n, 7000n, 8n, null] },
  { type: new arrow.TimestampNanosecond(), values: [-5n, new Date(7), null], out: [-5n, 7_000_000n, null] },
  { type: new arrow.TimeMillisecond(), values: [0, 86_399_999, null] },
  { type: new arrow.TimeMicrosecond(), values: [0n, 86_399_999_999n, null] },
  { type: new arrow.DurationMillisecond(), values: [-5n, 5n, null] },
  { type: list, values: [[], ['a', null, 'b'], null, ['c']] },
  { type: struct, values: [{ a: 1, b: ['x'] }, null, { a: null, b: null }] },
  {
    type: map,
    values: [new Map([['k', 1n]]), new Map(), null, { z: 5 }],
    out: [new Map([['k', 1n]]), new Map(), null, new Map([['z', 5n]])],
  },
  { type: new arrow.Null(), values: [null, null] },
  { type: new arrow.Float16(), values: [1.5, -0.25, 65504, 2 ** -24, -0, Number.NaN, Number.NEGATIVE_INFINITY, null] },
  { type: new arrow.Decimal(4, 38, 128), values: ['-99999999999999999999999999.0001', '0.0000', null] },
  { type: new arrow.Decimal(1, 60, 256), values: [`${'9'.repeat(59)}.5`, '-0.5', null] },
  { type: new arrow.TimeSecond(), values: [0, 86_399, null] },
  { type: new arrow.TimeNanosecond(), values: [0n, 86_399_999_999_999n, null] },
  { type: new arrow.DurationSecond(), values: [-5n, 2n ** 40n, null] },
  { type: new arrow.DurationMicrosecond(), values: [-5n, 0n, null] },
  { type: new arrow.DurationNanosecond(), values: [2n ** 62n, null] },
  { type: new arrow.IntervalYearMonth(), values: [-14, 27, null] },
  { type: new arrow.IntervalDayTime(), values: [{ days: -3, milliseconds: 86_400_001 }, null] },
  {
    type: new arrow.IntervalMonthDayNano(),
    values: [{ months: 1, days: -2, nanoseconds: -3n }, { months: 0, days: 0, nanoseconds: 2n ** 40n }, null],
  },
  { type: new arrow.LargeList(field('item', new arrow.Int64())), values: [[1n, null], [], null] },
  { type: new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()), values: ['b', 'a', null, 'b', ''] },
  { type: new arrow.Dictionary(new arrow.Int64(), new arrow.Uint8()), values: [5n, 5n, null, -(2n ** 63n)] },
  { type: new arrow.Dictionary(new arrow.Float64(), new arrow.Int8()), values: [Number.NaN, 0.5, null, 0.5] },
  { type: new arrow.Dictionary(new arrow.Bool(), new arrow.Int16()), values: [true, null, false, true] },
  {
    type: new arrow.Dictionary(new arrow.TimestampMillisecond(), new arrow.Uint16(), null, true),
    values: [5000, null, 5000],
  },
  { type: new arrow.Dictionary(new arrow.Decimal(2, 10, 128), new arrow.Int32()), values: ['1.50', '1.50', null] },
  { type: new arrow.Dictionary(list, new arrow.Int32()), values: [['a'], null, ['a', null], []] },
  {
    type: new arrow.List(field('item', new arrow.Dictionary(new arrow.Utf8(), new arrow.Int16()))),
    values: [['x', 'y', null], [], null, ['y', 'y']],
  },
  {
    type: new arrow.Struct([
      field('a', new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32())),
      field('b', new arrow.List(field('item', new arrow.Dictionary(new arrow.Binary(), new arrow.Int64() as never)))),
    ]),
    values: [{ a: 'x', b: [Buffer.from('1'), Buffer.from('1')] }, { a: null, b: null }, null, { a: 'x', b: [null] }],
  },
  { type: new arrow.FixedSizeList(2, field('item', new arrow.Float64())), values: [[1, 2], null, [3, null]] },
  {
    type: denseUnion,
    values: [tag('n', 2n ** 63n - 1n), tag('s', 'żółw'), null, tag('l', ['a', null]), tag('n', -1n), tag('l', [])],
  },
  {
    type: denseUnion,
    values: [tag('s', null), tag('n', 7), tag('l', null)],
    out: [null, tag('n', 7n), null],
  },
  { type: sparseUnion, values: [tag('s', { a: true }), tag('f', 1.5), null, tag('f', -0.25), tag('s', { a: null })] },
  {
    type: new arrow.List(field('item', denseUnion)),
    values: [[tag('n', 1n), tag('s', ''), null], [], null, [tag('l', ['x'])]],
  },
  {
    type: new arrow.Struct([field('u', sparseUnion), field('d', denseUnion)]),
    values: [{ u: tag('f', 2), d: tag('s', 'x') }, null, { u: null, d: tag('n', 3n) }],
  },
  { type: new arrow.Utf8View(), values: ['', 'short', 'żółw '.repeat(20), null, 'exactly 12 b', 'exactly 13 by'] },
  { type: new arrow.BinaryView(), values: [Buffer.alloc(0), Buffer.from([0, 255]), null, Buffer.alloc(5000, 7)] },
  {
    type: new arrow.List(field('item', new arrow.Utf8View())),
    values: [['a', 'longer than twelve bytes', null], [], null],
  },
  {
    type: new arrow.Dictionary(new arrow.Utf8View(), new arrow.Int32()),
    values: ['b', 'longer than twelve bytes', null, 'b'],
  },
]

/** Column v of a file as JSON: numbers as what they say, bytes as hex; temporal values as integers of their unit. */
const printColumn = `
import sys, json, decimal, pyarrow as pa
def shape(v):
    if v is None or isinstance(v, (bool, str)): return v
    if isinstance(v, (int, float)): return {'number': str(int(v)) if v == v and abs(v) != float('inf') and v == int(v) else repr(v)}
    if isinstance(v, decimal.Decimal): return format(v, 'f')
    if isinstance(v, bytes): return ['hex', v.hex()]
    if hasattr(v, 'nanoseconds') and hasattr(v, 'months'): v = {k: getattr(v, k) for k in ('months', 'days', 'nanoseconds')}
    if isinstance(v, (list, tuple)): return [shape(x) for x in v]
    if isinstance(v, dict): return {k: shape(x) for k, x in v.items()}
    raise ValueError(str(type(v)))
t = pa.ipc.open_file(sys.argv[1]).read_all()
t.validate(full=True)
c = t.column('v')
try:
    valid = c.is_valid().to_pylist()
except Exception:
    valid = len(c) - c.null_count
try:
    values = [shape(v) for v in c.to_pylist()]
except Exception:
    values = None
print(json.dumps({'valid': valid, 'values': values}))
`
/** A number as Python shows it. */
function python(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf'
  return String(value).replace(/e([-+])(\d)$/, 'e$10$2')
}
/** A value of a row in the same form. */
function shape(value: unknown): unknown {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  if (typeof value === 'number') return { number: python(value) }
  if (typeof value === 'bigint') return { number: String(value) }
  if (Buffer.isBuffer(value)) return ['hex', value.toString('hex')]
  if (Array.isArray(value)) return value.map(shape)
  if (value instanceof Map) return [...value].map(([k, v]) => [shape(k), shape(v)])
  // Of a union pyarrow gives the value alone.
  if ('tag' in (value as object)) return shape((value as { value: unknown }).value)
  return Object.fromEntries(Object.entries(value as object).map(([k, v]) => [k, shape(v)]))
}

describe('Arrow types', () => {
  for (const { type, values, out = values } of cases) {
    it(`${type} keeps its values in memory, in files, by key and in batches`, async () => {
      await withDatabase(async database => {
        const schema = new arrow.Schema([id, field('v', type)])
        const table = await database.createTable<{ id: number; v: unknown }>('t', { schema, primaryKey: ['id'] })
        const expected = out.map((v, i) => ({ id: i, v }))
        await table.insert(values.map((v, i) => ({ id: i, v })))
        const check = async (): Promise<void> => {
          assert.deepEqual(await table.scan().toArray(), expected)
          for (const row of expected) assert.deepEqual(table.get([row.id]), row)
          assert.deepEqual(await table.getAsync([0]), expected[0])
          assert.deepEqual(await table.scan({ range: { gt: [0] } }).toArray(), expected.slice(1))
        }
        await check()
        await database.flush()
        await check()
        // A second file, and both merged.
        await table.insert([{ id: 0, v: values[0] }])
        await database.flush()
        await check()
        await database.compact({ table: 't' })
        await check()
        // Out as batches and in again, whole and sliced.
        const copy = await database.createTable<{ id: number; v: unknown }>('copy', {
          schema: table.schema,
          primaryKey: ['id'],
        })
        const whole = await table.scan().toTable()
        assert.equal(String(whole.schema.fields[1]!.type), String(type))
        await copy.insertBatch(whole)
        assert.deepEqual(await copy.scan().toArray(), expected)
        const slice = await database.createTable('slice', { schema: table.schema, primaryKey: ['id'] })
        await slice.insertBatch(whole.batches[0]!.slice(1))
        assert.deepEqual(await slice.scan().toArray(), expected.slice(1))
      })
    })
  }

  for (const { type, values, out = values } of cases) {
    it(`${type} is there after a reopening, and pyarrow reads the same`, async () => {
      await withDatabase(async (database, path) => {
        const schema = new arrow.Schema([id, field('v', type)])
        const table = await database.createTable<{ id: number; v: unknown }>('t', { schema, primaryKey: ['id'] })
        await table.insert(values.map((v, i) => ({ id: i, v })))
        await database.close()
        const again = await Database.open(path)
        try {
          const reopened = again.table<{ id: number; v: unknown }>('t')
          assert.equal(String(reopened.schema.fields[1]!.type), String(type))
          assert.deepEqual(
            await reopened.scan().toArray(),
            out.map((v, i) => ({ id: i, v })),
          )
          await again.flush()
        } finally {
          await again.close()
        }
        const python = process.env.MARBLE_PYARROW_PYTHON
        if (python === undefined) return
        const files = readdirSync(path).filter(name => name.endsWith('.arrow'))
        assert.equal(files.length, 1)
        const output = execFileSync(python, ['-c', printColumn, join(path, files[0]!)], { encoding: 'utf8' })
        const { valid, values: read } = JSON.parse(output) as { valid: boolean[] | number; values: unknown[] | null }
        const isThere = out.map(v => v !== null)
        // Of two interval types pyarrow can only count.
        assert.deepEqual(valid, Array.isArray(valid) ? isThere : isThere.filter(Boolean).length)
        if (read !== null) assert.deepEqual(read, out.map(shape))
      })
    })
  }

  it('pyarrow reads the values of a dictionary plainly', async function () {
    const python = process.env.MARBLE_PYARROW_PYTHON
    if (python === undefined) this.skip()
    await withDatabase(async (database, path) => {
      const type = new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8())
      const schema = new arrow.Schema([id, field('v', type), field('l', new arrow.List(field('item', type)))])
      const table = await database.createTable('t', { schema, primaryKey: ['id'] })
      await table.insert([
        { id: 1, v: 'a', l: ['b', null] },
        { id: 2, v: null, l: null },
      ])
      await database.flush()
      const script =
        'import sys, json, pyarrow as pa; print(json.dumps(pa.ipc.open_file(sys.argv[1]).read_all().to_pylist()))'
      const file = readdirSync(path).find(name => name.endsWith('.arrow'))!
      const output = execFileSync(python, ['-c', script, join(path, file)], { encoding: 'utf8' })
      assert.deepEqual(JSON.parse(output), [
        { id: 1, v: 'a', l: ['b', null] },
        { id: 2, v: null, l: null },
      ])
    })
  })

  it('a dictionary grows over the batches of a scan, and begins anew where its indices end', async () => {
    await withDatabase(async database => {
      const schema = new arrow.Schema([
        id,
        field('few', new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32())),
        field('many', new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8())),
      ])
      const table = await database.createTable('t', { schema, primaryKey: ['id'] })
      const rows = Array.from({ length: 1000 }, (_, i) => ({ id: i, few: `f${i % 7}`, many: `m${i}` }))
      await table.insert(rows)
      await database.flush()
      assert.deepEqual(await table.scan().toArray(), rows)
      // 1000 values, 128 at a time: no batch has more than its indices can say, and none is lost.
      const batches = await collect(table.scan())
      assert.ok(batches.length >= 8)
      for (const batch of batches) assert.ok(batch.getChild('many')!.data[0]!.dictionary!.length <= 128)
      assert.deepEqual(
        batches.flatMap(batch => [...batch.getChild('many')!]),
        rows.map(row => row.many),
      )
      const few = await collect(table.scan({ columns: ['few'], batchRows: 100 }))
      assert.ok(few.every(batch => batch.getChild('few')!.data[0]!.dictionary!.length === 7))
      // As apache-arrow's own writer takes it: a stream, and a file, whose dictionaries may only grow.
      const whole = await table.scan({ columns: ['few'] }).toTable()
      for (const format of ['stream', 'file'] as const) {
        const back = arrow.tableFromIPC(arrow.tableToIPC(whole, format))
        assert.deepEqual(
          [...back.getChild('few')!],
          rows.map(row => row.few),
        )
      }
      // What was released does not take the later batches' values with it.
      const kept: unknown[] = []
      for await (const batch of table.scan()) {
        kept.push(...batch.getChild('few')!)
        batch.release()
      }
      assert.deepEqual(
        kept,
        rows.map(row => row.few),
      )
      assert.deepEqual(
        await table.scan({ where: "few = 'f3' AND many < 'm2'" }).toArray(),
        rows.filter(row => row.few === 'f3' && row.many < 'm2'),
      )
    })
  })

  it('of a dictionary deep inside, a part of a batch has the values of its own rows', async () => {
    await withDatabase(async database => {
      const name = new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8())
      const schema = new arrow.Schema([
        id,
        field('l', new arrow.List(field('item', name))),
        field('s', new arrow.Struct([field('name', name), field('n', new arrow.Int32())])),
        field('u', new arrow.DenseUnion([0, 1], [field('name', name), field('n', new arrow.Int32())])),
      ])
      const table = await database.createTable('t', { schema, primaryKey: ['id'] })
      const rows = Array.from({ length: 1000 }, (_, i) => ({
        id: i,
        l: i % 10 === 0 ? null : [`a${i}`, `b${i}`, 'same'],
        s: { name: i % 7 === 0 ? null : `s${i}`, n: i },
        u: i % 3 === 0 ? { tag: 'n', value: i } : { tag: 'name', value: `u${i}` },
      }))
      await table.insert(rows)
      assert.deepEqual(await table.scan().toArray(), rows)
      await database.flush()
      assert.deepEqual(await table.scan().toArray(), rows)
      assert.deepEqual(await table.scan({ range: { gte: [301], lte: [420] } }).toArray(), rows.slice(301, 421))
      const batches = await collect(table.scan())
      // 1,800 values and one that comes again, of which 128 can be told apart.
      assert.ok(batches.length >= 15)
      assert.deepEqual(
        batches.flatMap(batch => [...batch.getChild('s')!].map(row => row!.toJSON())),
        rows.map(row => row.s),
      )
    })
  })

  it('a row with more values than its dictionary can tell apart is refused by name', async () => {
    await withDatabase(async database => {
      const type = new arrow.List(field('item', new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8())))
      const table = await database.createTable('t', {
        schema: new arrow.Schema([id, field('l', type)]),
        primaryKey: ['id'],
      })
      const l = Array.from({ length: 129 }, (_, i) => `v${i}`)
      await table.insert([{ id: 1, l }])
      assert.deepEqual(table.get([1]), { id: 1, l })
      await assert.rejects(collect(table.scan()), withCode('MARBLE_TOO_LARGE', /index type/))
    })
  })

  it('batches with dictionaries go in as they are, into plain columns too', async () => {
    await withDatabase(async database => {
      const type = new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32())
      const schema = new arrow.Schema([id, field('v', type)])
      const table = await database.createTable('t', { schema, primaryKey: ['id'] })
      const plain = await database.createTable('p', {
        schema: new arrow.Schema([id, field('v', new arrow.Utf8())]),
        primaryKey: ['id'],
      })
      const data = new arrow.Table({
        id: arrow.vectorFromArray([1, 2, 3], new arrow.Int32()),
        v: arrow.vectorFromArray(['x', null, 'x'], type),
      })
      const rows = [
        { id: 1, v: 'x' },
        { id: 2, v: null },
        { id: 3, v: 'x' },
      ]
      for (const to of [table, plain]) {
        await to.insertBatch(data)
        assert.deepEqual(await to.scan().toArray(), rows)
        await to.insertBatch(arrow.tableToIPC(data, 'stream'))
        await to.insertBatch(arrow.tableToIPC(data, 'file'))
        assert.deepEqual(await to.scan().toArray(), rows)
      }
      assert.equal(plain.schema.fields[1]!.type.typeId, new arrow.Utf8().typeId)
      assert.equal(String(table.schema.fields[1]!.type), String(type))
      for await (const batch of table.scan()) await plain.insertBatch(batch)
      for await (const batch of plain.scan()) await table.insertBatch(batch)
      assert.deepEqual(await table.scan().toArray(), rows)
      const changes = database.changes('t')[Symbol.asyncIterator]()
      await table.insert([{ id: 4, v: 'y' }])
      const { value } = await changes.next()
      assert.equal(value!.getChild('v')!.get(0), 'y')
      assert.equal(value!.schema.fields[2]!.type.typeId, -1)
      await changes.return!()
    })
  })

  it('schemas keep names, types and nullability through their JSON form', () => {
    const schema = new arrow.Schema([id, ...cases.map(({ type }, i) => field(`c${i}`, type))])
    const json = schemaToJson(schema)
    assert.deepEqual(schemaToJson(schemaFromJson(json)), json)
    assert.equal(String(schemaFromJson(json)), String(schema))
  })

  it('batches that apache-arrow made of unions and views go through memory, files, merges and slices', async () => {
    await withDatabase(async database => {
      const n = arrow.vectorFromArray([1, 2, 3, 4], new arrow.Int32())
      const s = arrow.vectorFromArray(['a', null, 'c', 'd'], new arrow.Utf8())
      const fields = [field('n', new arrow.Int32()), field('s', new arrow.Utf8())]
      const dense = new arrow.DenseUnion([3, 9], fields)
      const sparse = new arrow.SparseUnion([3, 9], fields)
      const typeIds = Int8Array.of(3, 9, 9, 3)
      const view = new arrow.Utf8View()
      const children: arrow.Data[] = [
        arrow.vectorFromArray([1, 2, 3, 4], new arrow.Int32()).data[0]!,
        // Of the values of a dense union's children some are not used.
        arrow.makeData({
          type: dense,
          typeIds,
          valueOffsets: Int32Array.of(1, 1, 3, 3),
          children: [n.data[0]!, s.data[0]!],
        }),
        arrow.makeData({ type: sparse, typeIds, children: [n.data[0]!, s.data[0]!] }),
        arrow.vectorFromArray(['x', 'a view of more than twelve bytes', null, ''], view).data[0]!,
      ]
      const schema = new arrow.Schema([id, field('d', dense), field('p', sparse), field('v', view)])
      const struct = new arrow.Struct(schema.fields)
      const batch = new arrow.RecordBatch(schema, arrow.makeData({ type: struct, length: 4, nullCount: 0, children }))
      const rows = [
        { id: 1, d: tag('n', 2), p: tag('n', 1), v: 'x' },
        { id: 2, d: null, p: null, v: 'a view of more than twelve bytes' },
        { id: 3, d: tag('s', 'd'), p: tag('s', 'c'), v: null },
        { id: 4, d: tag('n', 4), p: tag('n', 4), v: '' },
      ]
      const bare = rows.map(row =>
        [row.d, row.p].map(value => (value as { value?: unknown } | null)?.value ?? null).concat([row.v]),
      )
      const read = (batches: arrow.RecordBatch[]): unknown[] =>
        batches.flatMap(one =>
          Array.from({ length: one.numRows }, (_, i) => ['d', 'p', 'v'].map(c => one.getChild(c)!.get(i))),
        )
      for (const compression of ['none', 'zstd'] as const) {
        const table = await database.createTable(`t-${compression}`, { schema, primaryKey: ['id'], compression })
        await table.insertBatch(batch)
        const check = async (): Promise<void> => {
          assert.deepEqual(await table.scan().toArray(), rows)
          const batches = await collect(table.scan())
          assert.deepEqual(read(batches), bare)
          assert.deepEqual(read(await collect(table.scan({ range: { gte: [2], lte: [3] } }))), bare.slice(1, 3))
          // What came out goes in again, cut in two, and through Arrow's own stream.
          const copy = await database.createTable('copy', { schema, primaryKey: ['id'] })
          for (const one of batches) {
            await copy.insertBatch(one.slice(Math.min(2, one.numRows)))
            await copy.insertBatch(one.slice(0, 2))
          }
          assert.deepEqual(await copy.scan().toArray(), rows)
          await database.dropTable('copy')
        }
        await check()
        await database.flush()
        await check()
        await table.insertBatch(batch.slice(1, 3))
        await check()
        await database.flush()
        await database.compact({ table: table.name })
        await check()
      }
      const again = await database.createTable('again', { schema, primaryKey: ['id'] })
      await again.insertBatch(arrow.tableToIPC(new arrow.Table([batch]), 'stream'))
      assert.deepEqual(await again.scan().toArray(), rows)
    })
  })

  it('columns of unions and views can be added: the rows that there are have nulls', async () => {
    await withDatabase(async database => {
      const table = await database.createTable('t', { schema: new arrow.Schema([id]), primaryKey: ['id'] })
      await table.insert([{ id: 1 }, { id: 2 }])
      await database.flush()
      await table.addColumn('d', denseUnion)
      await table.addColumn('p', sparseUnion)
      await table.addColumn('v', new arrow.Utf8View())
      const none = { d: null, p: null, v: null }
      const rows = [
        { id: 1, ...none },
        { id: 2, ...none },
      ] as Record<string, unknown>[]
      assert.deepEqual(await table.scan().toArray(), rows)
      assert.deepEqual(await table.scan({ range: { gt: [1] } }).toArray(), rows.slice(1))
      rows.push({ id: 3, d: tag('s', 'x'), p: tag('f', 1), v: 'longer than twelve bytes' })
      await table.insert([rows[2]!])
      assert.deepEqual(await table.scan().toArray(), rows)
      await database.flush()
      await database.compact({ table: 't' })
      assert.deepEqual(await table.scan().toArray(), rows)
    })
  })

  it('values that are none of a union are refused by name', async () => {
    await using database = await Database.open(':memory:')
    const table = await database.createTable('t', { schema: new arrow.Schema([id, field('u', denseUnion)]) })
    const refused = async (u: unknown, words: RegExp): Promise<void> =>
      assert.rejects(table.insert([{ id: 1 }, { id: 2, u }]), withCode('MARBLE_SCHEMA', words))
    await refused('x', /row 1: .*'u'.*\{ tag, value \}/)
    await refused({ tag: 'x', value: 1 }, /row 1: .*'u'.*'n', 's', 'l'/)
    await refused({ tag: 's', value: 1 }, /row 1: .*'s'.*a string/)
    await refused({ tag: 's', value: 'x', more: 1 }, /row 1: .*'u'/)
  })

  it('types that cannot be stored are refused by name', async () => {
    await using database = await Database.open(':memory:')
    const strange = Object.assign(Object.create(new arrow.Int32()) as arrow.Int32, { typeId: 22 })
    await assert.rejects(
      database.createTable('t', { schema: { fields: [{ name: 'u', type: strange, nullable: true }] } as never }),
      withCode('MARBLE_NOT_SUPPORTED', /'u'/),
    )
    // A union has no order: it cannot be a key.
    const schema = new arrow.Schema([field('u', denseUnion, false)])
    await assert.rejects(
      database.createTable('t', { schema, primaryKey: ['u'] }),
      withCode('MARBLE_NOT_SUPPORTED', /'u'/),
    )
    await assert.rejects(database.createTable('t', { schema: { fields: 5 } as never }), TypeError)
  })
})
