// What callers of the executor get wrong: refused by name, before anything runs.
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Field, Int32, Schema, tableFromArrays, TimestampMillisecond, Utf8 } from 'apache-arrow'
import { SqlError, StreamingSQLExecutor } from 'marbledb'
import { temporaryDirectory, withCode } from '../helpers.js'

const schema = new Schema([new Field('a', new Utf8(), true), new Field('ts', new TimestampMillisecond(), true)])
const invalid = (message: RegExp): ((error: unknown) => boolean) => withCode('MARBLE_INVALID_ARGUMENT', message)

describe('Bad arguments of the executor', () => {
  let directory: ReturnType<typeof temporaryDirectory>
  let sql: StreamingSQLExecutor
  beforeEach(async () => {
    directory = temporaryDirectory()
    sql = await StreamingSQLExecutor.open({ statePath: ':memory:' })
  })
  afterEach(async () => {
    await sql.close()
    directory.remove()
  })

  it('options of open are checked, and nothing is made', async () => {
    const statePath = join(directory.path, 'state')
    const cases: [unknown, RegExp][] = [
      [undefined, /options must be an object, not undefined/],
      [{}, /statePath must be the path of a directory .*, not undefined/],
      [{ statePath: 'a\0b' }, /statePath must be/],
      [
        { statePath, checkpointIntervalSeconds: '5' },
        /checkpointIntervalSeconds must be a number from 0\.001 to 2147483, not "5"/,
      ],
      [{ statePath, checkpointIntervalSeconds: Number.POSITIVE_INFINITY }, /checkpointIntervalSeconds/],
      [{ statePath, checkpointIntervalSeconds: 1e-9 }, /checkpointIntervalSeconds/],
      [{ statePath, checkpointIntervalSeconds: Number.NaN }, /not NaN/],
      [{ statePath, maxParallelism: 65_536 }, /maxParallelism must be a whole number from 1 to 32768, not 65536/],
      [{ statePath, maxParallelism: 1.5 }, /maxParallelism/],
      [{ statePath, parallelism: 'two' }, /parallelism must be a whole number/],
      [{ statePath, epochMs: 2001 }, /epochMs must be a whole number from 1 to 2000, not 2001/],
      [{ statePath, epochMs: '100' }, /epochMs/],
      [{ statePath, stateBackend: 'rocksdb' }, /stateBackend must be 'marbledb' or 'memory', not "rocksdb"/],
      [{ statePath, memoryBudgetBytes: -1 }, /memoryBudgetBytes/],
      [{ statePath, logger: { info: () => {} } }, /logger must be an object with the functions/],
      [{ statePath, changelog: true }, /unknown option 'changelog'; it takes statePath, /],
    ]
    for (const [options, message] of cases)
      await assert.rejects(StreamingSQLExecutor.open(options as never), invalid(message))
    for (const [name, value] of Object.entries({ parallelism: 2, memoryBudgetBytes: 1e9, timerBackend: 'memory' }))
      await assert.rejects(
        StreamingSQLExecutor.open({ statePath, [name]: value }),
        withCode('MARBLE_NOT_SUPPORTED', new RegExp(`${name}.*${value}`)),
      )
    assert.equal(existsSync(statePath), false)
    const plain = await StreamingSQLExecutor.open({ statePath, parallelism: 1, stateBackend: 'marbledb' })
    await plain.close()
  })

  it("statePath ':memory:' keeps nothing on disk, and is a database of its own each time", async () => {
    const before = process.cwd()
    process.chdir(directory.path)
    try {
      await using one = await StreamingSQLExecutor.open({ statePath: ':memory:' })
      await using two = await StreamingSQLExecutor.open({ statePath: ':memory:' })
      await one.execute('CREATE TABLE t (a INT, PRIMARY KEY (a) NOT ENFORCED); INSERT INTO t VALUES (1)')
      await two.execute('CREATE TABLE t (b STRING)')
      assert.deepEqual(one.table('t').get([1]), { a: 1 })
      assert.equal(one.database.path, ':memory:')
    } finally {
      process.chdir(before)
    }
    assert.equal(existsSync(join(directory.path, ':memory:')), false)
  })

  it('a state path that cannot be is an error that names it, and ends', async () => {
    const file = join(directory.path, 'file')
    writeFileSync(file, '')
    // In /proc a new name is ENOENT for ever.
    for (const statePath of ['/proc/marbledb', '/proc/a/b/c', file, join(file, 'below')])
      await assert.rejects(
        StreamingSQLExecutor.open({ statePath }),
        withCode('MARBLE_IO', new RegExp(`the directory of statePath "${statePath}" cannot be made: E`)),
      )
    const deep = await StreamingSQLExecutor.open({ statePath: join(directory.path, 'a', 'b', 'c') })
    await deep.close()
  })

  it('values for parameters fit the text: no fewer, no more, none that nothing asks for', async () => {
    const query =
      (text: string, params: unknown): (() => unknown) =>
      () =>
        sql.query(text, { params: params as never })
    assert.throws(query('SELECT 1 AS x', [1]), invalid(/query: params has 1 values, the text has 0 parameters \(\?\)/))
    assert.throws(query('SELECT ? AS x', [1, 2]), invalid(/params has 2 values, the text has 1 parameters/))
    assert.throws(
      query('SELECT 1 AS x', { a: 1 }),
      invalid(/a value for 'a', which the text does not take; it has no parameters/),
    )
    assert.throws(
      query('SELECT :name AS x', { name: 1, nam: 2 }),
      invalid(/'nam'.*it has :name \(did you mean 'name'\?\)/),
    )
    assert.throws(query('SELECT :a AS x', [1]), SqlError)
    assert.throws(query('SELECT ? AS x', { a: 1 }), SqlError)
    for (const params of ['x', 5, null, new Map(), new Date()])
      assert.throws(
        query('SELECT ? AS x', params),
        invalid(/params must be an array \(for \?\) or an object \(for :name\)/),
      )
    assert.throws(query('SELECT ? AS x, ? AS y', [1]), (error: SqlError) => error.line === 1 && error.column === 16)
    assert.throws(query('SELECT ? AS x', [10n ** 40n]), /parameter 1 is an integer of 41 digits/)
    for (const [value, message] of [
      [Number.NaN, /parameter 1 is NaN/],
      [undefined, /parameter 1 is undefined/],
      [{}, /parameter 1 is a value of type object/],
    ] as const)
      assert.throws(query('SELECT ? AS x', [value]), message)
    assert.deepEqual(await sql.query('SELECT ? AS x, ? AS y', { params: [1, 'a'] }).toArray(), [{ x: 1, y: 'a' }])
    assert.deepEqual(await sql.query('SELECT :a AS x, :a AS y', { params: { a: 1 } }).toArray(), [{ x: 1, y: 1 }])
    assert.deepEqual(await sql.query('SELECT 1 AS x', { params: [] }).toArray(), [{ x: 1 }])
  })

  it('a value that is missing is found before the first statement runs', async () => {
    const script = 'CREATE TABLE t (a INT); INSERT INTO t VALUES (?); INSERT INTO t VALUES (?)'
    await assert.rejects(
      sql.execute(script, { params: [1] }),
      (error: SqlError) => error.column === script.lastIndexOf('?') + 1,
    )
    await assert.rejects(sql.execute(script, { params: [1, 2, 3] }), invalid(/3 values, the text has 2 parameters/))
    assert.deepEqual(sql.database.listTables(), [])
    await sql.execute(script, { params: [1, 2] })
    assert.equal(await sql.table('t').count(), 2n)
  })

  it('definitions that are kept have no parameters', async () => {
    for (const text of [
      'CREATE VIEW v AS SELECT a FROM t WHERE a = ?',
      "CREATE TABLE u (a INT, b AS a + ?) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json')",
    ]) {
      await sql.execute('CREATE TABLE IF NOT EXISTS t (a INT)')
      await assert.rejects(sql.execute(text, { params: [1] }), /a definition that is kept cannot have parameters/)
    }
  })

  it('arguments of execute, query, explain and table are checked', async () => {
    for (const text of [undefined, 5, null]) {
      await assert.rejects(sql.execute(text as never), invalid(/execute: sql must be a string/))
      assert.throws(() => sql.query(text as never), invalid(/query: select must be a string/))
      assert.throws(() => sql.explain(text as never), invalid(/explain: sql must be a string/))
      assert.throws(() => sql.table(text as never), invalid(/table: name must be/))
    }
    await assert.rejects(sql.execute('SELECT 1', { vars: { A: 5 as never } }), invalid(/vars must be .*: 'A' is 5/))
    await assert.rejects(sql.execute('SELECT 1', { variables: {} } as never), invalid(/it takes vars, params/))
    await assert.rejects(sql.execute('SELECT 1', null as never), invalid(/options must be an object, not null/))
    assert.throws(
      () => sql.query('SELECT 1', { changelog: 'yes' as never }),
      invalid(/changelog must be true or false/),
    )
    assert.throws(() => sql.query('SELECT 1', { signal: 5 as never }), invalid(/signal must be an AbortSignal/))
    await sql.execute('CREATE TABLE trades (a INT)')
    assert.throws(() => sql.table('trade'), withCode('MARBLE_TABLE_NOT_FOUND', /did you mean 'trades'/))
  })

  it('arguments of registerSource are checked', () => {
    const register =
      (...args: unknown[]): (() => void) =>
      () =>
        sql.registerSource(...(args as [never, never, never]))
    assert.throws(register('', [], { schema }), invalid(/registerSource: name must be/))
    for (const rows of ['abc', 5, null, undefined, {}, () => {}])
      assert.throws(register('r', rows, { schema }), invalid(/rows must be an iterable or an async iterable of rows/))
    assert.throws(register('r', []), invalid(/options must be an object, not undefined/))
    assert.throws(register('r', [], {}), invalid(/schema must be a Schema of apache-arrow/))
    assert.throws(register('r', [], { schema, watermarks: {} }), invalid(/did you mean 'watermark'/))
    const watermark = (given: unknown): (() => void) => register('r', [], { schema, watermark: given })
    assert.throws(watermark('ts'), invalid(/watermark must be an object, not "ts"/))
    assert.throws(
      watermark({ colum: 'ts', maxOutOfOrdernessMs: 1 }),
      invalid(/watermark: unknown field 'colum' \(did you mean 'column'/),
    )
    assert.throws(watermark({ column: 'ts', maxOutOfOrdernesMs: 1 }), invalid(/did you mean 'maxOutOfOrdernessMs'/))
    assert.throws(watermark({ column: 'ts' }), invalid(/maxOutOfOrdernessMs must be a whole number .*, not undefined/))
    assert.throws(watermark({ column: 'ts', maxOutOfOrdernessMs: 0.5 }), invalid(/not 0\.5/))
    assert.throws(watermark({ maxOutOfOrdernessMs: 1 }), invalid(/column must be a string/))
    assert.throws(
      watermark({ column: 'tss', maxOutOfOrdernessMs: 1 }),
      invalid(/unknown watermark column tss.*did you mean ts/),
    )
    assert.throws(
      watermark({ column: 'a', maxOutOfOrdernessMs: 1 }),
      invalid(/must be a timestamp in milliseconds, not STRING/),
    )
    assert.throws(register('r', [], { schema: new Schema([]) }), invalid(/has no columns/))
  })

  it('a whole Table or RecordBatch is a source', async () => {
    const table = tableFromArrays({ n: Int32Array.of(1, 2, 3) })
    const numbers = new Schema([new Field('n', new Int32(), true)])
    sql.registerSource('whole', table, { schema: numbers })
    sql.registerSource('batch', table.batches[0]!, { schema: numbers })
    for (const name of ['whole', 'batch'])
      assert.deepEqual(await sql.query(`SELECT SUM(n) AS s FROM ${name}`).toArray(), [{ s: 6 }])
  })

  it('columns of one name keep their values: the second a is a0, as in Flink', async () => {
    await sql.execute('CREATE TABLE t (a INT, op INT, PRIMARY KEY (a) NOT ENFORCED); INSERT INTO t VALUES (1, 2)')
    assert.deepEqual(await sql.query('SELECT 1 AS a, 2 AS a, 3 AS a').toArray(), [{ a: 1, a0: 2, a1: 3 }])
    assert.deepEqual(await sql.query('SELECT a, op AS a FROM t').toArray(), [{ a: 1, a0: 2 }])
    // The first column of a changelog is called op.
    assert.deepEqual(await sql.query('SELECT op, a FROM t', { changelog: true }).toArray(), [
      { op: '+I', op0: 2, a: 1 },
    ])
  })

  it('an epoch is at most two seconds, however it is set', async () => {
    await assert.rejects(sql.execute("SET 'marble.epoch-ms' = '2001'"), /a whole number from 1 to 2000/)
  })
})
