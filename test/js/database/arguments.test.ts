// What callers get wrong: each is refused by name, with what was given and what is allowed, and nothing is done.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DateMillisecond, Field, Int32, Int64, List, Map_, Schema, Struct, Utf8 } from 'apache-arrow'
import { Database, MarbleError, type Snapshot, type StateBackend, type Table } from 'marbledb'
import { collect, temporaryDirectory, withCode } from '../helpers.js'

const schema = new Schema([new Field('id', new Utf8(), false), new Field('n', new Int64(), true)])

/** A bad argument: a TypeError or RangeError with our code, which instanceof MarbleError knows, too. */
const refused =
  (message: RegExp, kind: typeof TypeError | typeof RangeError = TypeError) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof kind, `no ${kind.name}: ${String(error)}`)
    assert.ok(error instanceof MarbleError)
    assert.equal((error as { retriable: boolean }).retriable, false)
    return withCode('MARBLE_INVALID_ARGUMENT', message)(error)
  }

describe('Bad arguments', () => {
  let database: Database
  let other: Database
  let state: StateBackend
  let table: Table
  beforeEach(async () => {
    database = await Database.open(':memory:')
    other = await Database.open(':memory:')
    state = database.state('s')
    state.put('k', 'v')
    table = await database.createTable('t', { schema, primaryKey: ['id'] })
    await table.insert([{ id: 'a', n: 1 }])
  })
  afterEach(async () => {
    await database.close()
    await other.close()
  })

  /** Every read that takes options. */
  const reads = (options: object): [string, () => unknown][] => [
    ['get', () => state.get('k', options)],
    ['getString', () => state.getString('k', options)],
    ['getAsync', () => state.getAsync('k', options)],
    ['multiGet', () => state.multiGet(['k'], options)],
    ['exists', () => state.exists('k', options)],
    ['scan', () => [...state.scan(options)]],
    ['get', () => table.get(['a'], options)],
    ['getAsync', () => table.getAsync(['a'], options)],
    ['getMany', () => table.getMany([['a']], options)],
    ['scan', () => table.scan(options)],
    ['count', () => table.count(options)],
    ['newIterator', () => table.newIterator(options)],
  ]
  const eachRead = async (options: unknown, check: (where: string) => (error: unknown) => boolean): Promise<void> => {
    for (const [where, read] of reads(options as object)) await assert.rejects(async () => await read(), check(where))
  }

  it('a snapshot that is none, is closed, or is of another database, is refused by every read', async () => {
    for (const [given, shown] of [
      [{}, 'an object'],
      ['x', '"x"'],
      [null, 'null'],
      [5n, '5n'],
      [database, 'a Database'],
    ] as const) {
      await eachRead({ snapshot: given }, where =>
        refused(new RegExp(`^${where}: snapshot must be a Snapshot, as made by Database\\.snapshot, not ${shown}$`)),
      )
    }
    const closed = database.snapshot()
    closed.close()
    await eachRead({ snapshot: closed }, () => withCode('MARBLE_CLOSED', /snapshot is closed/))
    const foreign = other.snapshot()
    await eachRead({ snapshot: foreign }, () => refused(/snapshot belongs to another database/))
    const good = database.snapshot()
    for (const [, read] of reads({ snapshot: good })) await read()
  })

  it('an unknown option of a read is refused with a suggestion, or with what there is', async () => {
    await eachRead({ snapshoot: 1 }, where =>
      refused(new RegExp(`^${where}: unknown option 'snapshoot' \\(did you mean 'snapshot'\\?\\)$`)),
    )
    assert.throws(() => state.get('k', { consistent: true } as never), refused(/it takes snapshot$/))
    // A name that every object inherits is no option, and what is inherited is looked at.
    assert.throws(() => state.get('k', { constructor: 5 } as never), refused(/unknown option 'constructor'/))
    assert.throws(() => state.get('k', Object.create({ snapshoot: 1 }) as never), refused(/'snapshoot'/))
    assert.equal(state.getString('k', { snapshot: undefined }), 'v')
  })

  it('options that are no object are refused', async () => {
    const snapshot: Snapshot = database.snapshot()
    for (const [given, shown] of [
      [null, 'null'],
      [5, '5'],
      ['snapshot', '"snapshot"'],
      [[], 'an Array'],
      [new Map(), 'a Map'],
      [() => {}, 'a function'],
      [Promise.resolve(), 'a Promise'],
    ] as const) {
      await eachRead(given, where => refused(new RegExp(`^${where}: options must be an object, not ${shown}$`)))
      await assert.rejects(Database.open(':memory:', given as never), refused(/options must be an object/))
    }
    assert.throws(() => state.get('k', snapshot as never), refused(/unknown option 'sequence'/))
  })

  it('exists sees with a snapshot what was there', () => {
    const snapshot = database.snapshot()
    state.delete('k')
    assert.deepEqual([state.exists('k'), state.exists('k', { snapshot })], [false, true])
  })

  it('values of scan options are checked', () => {
    const cases: [object, RegExp, (typeof RangeError | typeof TypeError)?][] = [
      [{ reverse: 'no' }, /scan: reverse must be true or false, not "no"/],
      [{ limit: '5' }, /scan: limit must be a whole number of at least 0, not "5"/],
      [{ limit: 1.5 }, /scan: limit must be a whole number of at least 0, not 1\.5/, RangeError],
      [{ limit: Number.NaN }, /not NaN/, RangeError],
      [{ signal: {} }, /scan: signal must be an AbortSignal, not an object/],
    ]
    for (const [options, message, kind] of cases) {
      assert.throws(() => state.scan(options), refused(message, kind))
      assert.throws(() => table.scan(options), refused(message, kind))
    }
    assert.throws(
      () => state.scan({ keys: 'utf-8' as never }),
      refused(/keys must be 'buffer' or 'utf8', not "utf-8" \(did you mean 'utf8'\?\)/),
    )
    assert.throws(
      () => state.scan({ gte: 5 as never }),
      refused(/gte must be a string or a Uint8Array \(Buffer\), not 5/),
    )
    assert.throws(
      () => table.scan({ columns: 'id' as never }),
      refused(/columns must be an array of strings, not "id"/),
    )
    assert.throws(() => table.scan({ columns: ['id', 5 as never] }), refused(/columns must be .*: '1' is 5/))
    assert.throws(() => table.scan({ range: ['a'] as never }), refused(/range must be an object, not an Array/))
    assert.throws(
      () => table.scan({ range: { gtt: ['a'] } as never }),
      refused(/range: unknown field 'gtt' \(did you mean 'gte'\?|'gt'\?/),
    )
    assert.throws(() => table.scan({ batchRows: 0 }), refused(/batchRows/, RangeError))
    assert.throws(() => table.scan({ onProgress: 5 as never }), refused(/onProgress must be a function, not 5/))
    assert.throws(() => table.getMany('a' as never), refused(/getMany: keys must be an array, not "a"/))
    for (const key of [5, null, {}])
      assert.throws(() => state.get(key as never), refused(/key must be a string or a Uint8Array/))
    assert.throws(() => state.multiGet('a' as never), refused(/multiGet: keys must be an array, not "a"/))
  })

  it('conversions of rows are checked at the call', async () => {
    assert.throws(
      () => table.scan().rows({ int64: 'numbr' as never }),
      refused(/rows: int64 must be .* not "numbr" \(did you mean 'number'\?\)/),
    )
    assert.throws(
      () => table.scan().rows({ timestamp: 'Date' as never }),
      refused(/timestamp must be 'number' or 'date'/),
    )
    await assert.rejects(table.scan().toArray({ int64: 5 as never }), refused(/toArray: int64 must be .* not 5/))
    await assert.rejects(table.scan().toArray({ int46: 'number' } as never), refused(/did you mean 'int64'/))
    assert.deepEqual(await collect(table.scan().rows({ int64: 'string' })), [{ id: 'a', n: '1' }])
  })

  it('options of open are checked', async () => {
    const cases: [unknown, RegExp, typeof RangeError?][] = [
      [{ create: 'no' }, /^Database\.open: create must be true or false, not "no"$/],
      [{ id: '' }, /id must be a string/],
      [{ durability: 'full' }, /durability must be 'process' or 'power', not "full"/],
      [{ durability: 'powr' }, /did you mean 'power'/],
      [{ maxBlockMs: '5' }, /maxBlockMs must be a whole number from 0 to 2147483647, not "5"/],
      [{ maxBlockMs: 2 ** 31 }, /maxBlockMs/, RangeError],
      [{ threads: 0 }, /threads must be a whole number of at least 1, not 0/, RangeError],
      [{ memoryBudgetBytes: 'all' }, /memoryBudgetBytes must be a whole number/],
      [{ verifyReads: true }, /verifyReads must be 'always' or 'first' or 'never', not true/],
      [{ logger: {} }, /logger must be an object with the functions debug, info, warn and error, not an object/],
      [{ logger: () => {} }, /logger must be .*, not a function/],
    ]
    for (const [options, message, kind] of cases)
      await assert.rejects(Database.open(':memory:', options as never), refused(message, kind))
    for (const path of [undefined, 5, '', 'a\0b', 'a\uD800', new URL('file:///tmp')])
      await assert.rejects(Database.open(path as never), refused(/path must be the path of a directory/))
  })

  it('options of createTable, and names, are checked', async () => {
    const cases: [unknown, RegExp, typeof RangeError?][] = [
      [undefined, /createTable: options must be an object, not undefined/],
      [{}, /schema must be a Schema of apache-arrow, not undefined/],
      [{ schema, primaryKey: 'id' }, /primaryKey must be an array of strings, not "id"/],
      [{ schema, primaryKey: ['id', 'id'] }, /column 'id' is in the primary key twice/],
      [{ schema, primaryKeys: ['id'] }, /did you mean 'primaryKey'/],
      [{ schema, ifNotExists: 'yes' }, /ifNotExists must be true or false/],
      [{ schema, bloomBitsPerKey: -1 }, /bloomBitsPerKey must be a number from 0 to 64, not -1/, RangeError],
      [{ schema, bloomBitsPerKey: Number.NaN }, /bloomBitsPerKey/, RangeError],
      [{ schema, bloomBitsPerKey: '10' }, /bloomBitsPerKey must be a number/],
      [{ schema, pointIndex: 1 }, /pointIndex must be true or false, not 1/],
      [{ schema, compression: 'gzip' }, /compression must be 'none' or 'lz4' or 'zstd', not "gzip"/],
      [{ schema, compression: 'zst' }, /did you mean 'zstd'/],
      [{ schema, compression: true }, /compression must be 'none' or 'lz4' or 'zstd', not true/],
      [{ schema, compressionPerLevel: 'zstd' }, /compressionPerLevel must be an array of 'none' or 'lz4' or 'zstd'/],
      [{ schema, compressionPerLevel: ['none', 'snappy'] }, /compressionPerLevel .*'1' is "snappy"/],
      [{ schema, primaryKey: ['id'], compression: 'lz4', compressionPerLevel: ['zstd'] }, /leave one of them out/],
      [{ schema, primaryKey: ['id'], compressionPerLevel: Array(8).fill('lz4') }, /has 8 entries; .* levels 0 to 6/],
      [{ schema, compressionPerLevel: ['none', 'zstd'] }, /without a primary key all files are in level 0/],
    ]
    for (const [options, message, kind] of cases)
      await assert.rejects(database.createTable('u', options as never), refused(message, kind))
    await assert.rejects(
      database.createTable('u', { schema, primaryKey: ['idd'] }),
      withCode('MARBLE_COLUMN_NOT_FOUND', /no column 'idd' \(did you mean 'id'\?\)/),
    )
    for (const name of [5, '', null, '\uD800']) {
      await assert.rejects(database.createTable(name as never, { schema }), refused(/name must be/))
      await assert.rejects(database.dropTable(name as never), refused(/name must be/))
      await assert.rejects(database.dropState(name as never), refused(/name must be/))
      assert.throws(() => database.table(name as never), refused(/name must be/))
      assert.throws(() => database.state(name as never), refused(/name must be/))
    }
    assert.deepEqual(database.listTables(), ['t'])
    assert.throws(() => database.listTables({ sytem: true } as never), refused(/did you mean 'system'/))
    await assert.rejects(database.compact({ table: 5 as never }), refused(/table must be/))
    assert.throws(() => database.on('flsh' as never, () => {}), refused(/did you mean 'flush'/))
    assert.throws(() => database.on('flush', 5 as never), refused(/listener must be a function, not 5/))
    await database.createTable('trades', { schema, replicated: false, logged: true, compression: 'none' })
    assert.throws(() => database.table('trade'), withCode('MARBLE_TABLE_NOT_FOUND', /did you mean 'trades'/))
    await assert.rejects(database.dropState('ss'), withCode('MARBLE_TABLE_NOT_FOUND', /there is no state 'ss'/))
  })

  it('messages of the engine name options as they are called here', async () => {
    const directory = temporaryDirectory()
    const path = join(directory.path, 'db')
    await assert.rejects(
      Database.open(path, { create: false }),
      withCode('MARBLE_NOT_FOUND', /the option create is false/),
    )
    const first = await Database.open(path, { maxBlockMs: 5, verifyReads: 'always' })
    await assert.rejects(Database.open(path), withCode('MARBLE_INCOMPATIBLE', /: verifyReads, maxBlockMs$/))
    await first.createTable('t', { schema, primaryKey: ['id'] })
    const again = (options: object): Promise<Table> =>
      first.createTable('t', { schema, primaryKey: ['id'], ifNotExists: true, ...options })
    await assert.rejects(
      again({ bloomBitsPerKey: 12 }),
      withCode('MARBLE_INCOMPATIBLE', /option bloomBitsPerKey is 10, not 12/),
    )
    await assert.rejects(again({ pointIndex: false }), withCode('MARBLE_INCOMPATIBLE', /pointIndex is true, not false/))
    await assert.rejects(again({ zoneMaps: false }), withCode('MARBLE_INCOMPATIBLE', /zoneMaps is true, not false/))
    await first.close()
    directory.remove()
  })

  it('values of states are checked before anything is written', () => {
    assert.throws(
      () => database.state('c', { valueEncoding: null as never }),
      refused(/valueEncoding must be .* not null/),
    )
    assert.throws(() => database.state('c', { valueEncoding: {} as never }), refused(/functions encode and decode/))
    assert.throws(() => database.state('c', { valueEncoding: 'jsn' as never }), refused(/did you mean 'json'/))
    const json = database.state<unknown>('json', { valueEncoding: 'json' })
    const circular: Record<string, unknown> = {}
    circular.self = circular
    assert.throws(() => json.put('k', 5n), refused(/no JSON form: .*BigInt/))
    assert.throws(() => json.put('k', circular), refused(/no JSON form: .*circular/i))
    assert.throws(() => json.put('k', () => {}), refused(/no JSON form: a function/))
    const v8 = database.state<unknown>('v8', { valueEncoding: 'v8' })
    assert.throws(() => v8.put('k', () => {}), refused(/cannot be serialized/))
    for (const entries of [5, null, undefined, {}])
      assert.throws(() => state.putMany(entries as never), refused(/putMany: entries must be an iterable/))
    const short = [['a', '1'], ['b']] as unknown as [string, string][]
    assert.throws(() => state.putMany(short), refused(/putMany: entry 1 must be \[key, value\], not an Array/))
    assert.equal(state.exists('a'), false)
  })

  it('a batch takes states and tables, nothing like them', async () => {
    const batch = database.batch()
    assert.throws(() => batch.put({} as never, 'k', 'v'), refused(/WriteBatch\.put: state must be a StateBackend/))
    assert.throws(() => batch.put(table as never, 'k', 'v'), refused(/not a Table/))
    assert.throws(() => batch.delete(undefined as never, 'k'), refused(/not undefined/))
    assert.throws(() => batch.deleteRange('s' as never, 'a', 'b'), refused(/not "s"/))
    assert.throws(() => batch.deleteRange(state, 5 as never, 'b'), refused(/key must be .* not 5/))
    assert.throws(
      () => batch.insert(state as never, []),
      refused(/WriteBatch\.insert: table must be a Table.*not a StateBackend/),
    )
    assert.throws(() => batch.insert(table, 5 as never), refused(/rows must be .* not 5/))
    assert.throws(() => batch.deleteRow({} as never, ['a']), refused(/table must be a Table/))
    assert.throws(() => other.batch().put(state, 'k', 'v'), refused(/another database/))
    assert.equal(batch.length, 0)
    assert.throws(() => batch.commitSync({ durability: 'disk' as never }), refused(/'process' or 'power'/))
    await assert.rejects(batch.commit({ durabilty: 'power' } as never), refused(/did you mean 'durability'/))
  })

  it('what only looks like a batch is no batch', async () => {
    const fields = schema.fields
    for (const data of [{}, { type: {}, length: 1, children: [{}, {}] }, { type: {}, length: 1, children: [] }]) {
      const like = { schema: { fields }, data, numRows: 1 }
      await assert.rejects(table.insertBatch(like as never), refused(/insertBatch takes a RecordBatch/))
      assert.throws(() => database.batch().insert(table, like as never), refused(/rows must be a RecordBatch/))
    }
  })

  it('an invalid Date, and a wrong item of a list, are errors of their row', async () => {
    const nested = new Schema([
      new Field('id', new Utf8(), false),
      new Field('d', new DateMillisecond(), true),
      new Field('l', new List(new Field('item', new Int32(), true)), true),
    ])
    const rows = await database.createTable('rows', { schema: nested, primaryKey: ['id'] })
    await assert.rejects(
      rows.insert([{ id: 'a' }, { id: 'b', d: new Date(Number.NaN) }]),
      withCode('MARBLE_SCHEMA', /row 1: column 'd' \(date64\) takes a valid Date/),
    )
    await assert.rejects(
      rows.insert([{ id: 'a', l: [1, 2, 3] }, { id: 'b' }, { id: 'c', l: [4, 'x'] }]),
      withCode('MARBLE_SCHEMA', /row 2: column 'item'/),
    )
  })

  it('what only holds columns by accident is no row: nothing becomes a row of nulls', async () => {
    const inner = new Struct([new Field('x', new Int32(), true)])
    const entries = new Struct([new Field('key', new Utf8(), false), new Field('value', new Int32(), true)])
    const rows = await database.createTable('rows', {
      schema: new Schema([
        new Field('s', inner, true),
        new Field('m', new Map_(new Field('entries', entries, false)), true),
      ]),
    })
    for (const row of [new Map([['s', {}]]), new Date(), Promise.resolve({ s: null }), Buffer.from('s'), [], null, 5])
      await assert.rejects(rows.insert([{}, row]), withCode('MARBLE_SCHEMA', /row 1 must be an object, not /))
    for (const s of [new Map(), [1], new Date(), 5])
      await assert.rejects(
        rows.insert([{ s }]),
        withCode('MARBLE_SCHEMA', /row 0: column 's' \(struct\) takes an object, not /),
      )
    await assert.rejects(
      rows.insert([{ s: { x: 1 } }, { s: { xx: 1 } }]),
      withCode('MARBLE_SCHEMA', /row 1: column 's' has no field 'xx'; it has x/),
    )
    await assert.rejects(
      rows.insert([{ m: new Date() }]),
      withCode('MARBLE_SCHEMA', /column 'm' takes a Map or an object/),
    )
    assert.equal(await rows.count(), 0n)
    await rows.insert([{ s: { x: 1 }, m: { a: 1 } }, ...(await rows.scan().toTable())] as object[])
    assert.equal(await rows.count(), 1n)
    await assert.rejects(
      table.insert([{ id: Object.create(null) as string }]),
      withCode('MARBLE_SCHEMA', /column 'id' \(utf8\) takes a string, not an object/),
    )
  })
})
