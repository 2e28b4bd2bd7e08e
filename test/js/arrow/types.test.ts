import assert from 'node:assert/strict'
import * as arrow from 'apache-arrow'
import { Database } from 'marbledb'
import { schemaFromJson, schemaToJson } from '../../../dist/arrow/json-schema.js'
import { withDatabase } from '../helpers.js'

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
  { type: new arrow.FixedSizeList(2, field('item', new arrow.Float64())), values: [[1, 2], null, [3, null]] },
]

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

  it('schemas keep names, types and nullability through their JSON form', () => {
    const schema = new arrow.Schema([id, ...cases.map(({ type }, i) => field(`c${i}`, type))])
    const json = schemaToJson(schema)
    assert.deepEqual(schemaToJson(schemaFromJson(json)), json)
    assert.equal(String(schemaFromJson(json)), String(schema))
  })

  it('types that cannot be stored are refused by name', async () => {
    await using database = await Database.open(':memory:')
    const union = new arrow.DenseUnion([0], [field('a', new arrow.Int32())])
    await assert.rejects(database.createTable('t', { schema: new arrow.Schema([field('u', union)]) }), {
      code: 'MARBLE_NOT_SUPPORTED',
    })
    await assert.rejects(database.createTable('t', { schema: { fields: 5 } as never }), TypeError)
  })
})
