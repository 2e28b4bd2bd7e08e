import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Field, Int32, Schema, Utf8 } from 'apache-arrow'
import { Database } from 'marbledb'
import { withCode } from '../helpers.js'

describe('StateBackend: merges, expiry, conditional and unlogged writes', () => {
  let dir: string
  let database: Database
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'marble-'))
    database = await Database.open(dir)
  })
  afterEach(async () => {
    await database.close()
    await rm(dir, { recursive: true, force: true })
  })
  const reopen = async () => {
    await database.close()
    database = await Database.open(dir)
  }

  it('merges by each operator, alone and in batches, also across a flush', async () => {
    const counts = database.state('counts', { mergeOperator: 'int64add' })
    counts.merge('k', 40)
    counts.put('k', 50n)
    const operand = Buffer.alloc(8)
    operand.writeBigInt64LE(-9n)
    counts.merge('k', operand)
    await database.flush()
    database.batch().merge(counts, 'k', 1n).merge(counts, 'new', 7).commitSync()
    assert.equal(counts.get('k')?.readBigInt64LE(), 42n)
    assert.equal(counts.get('new')?.readBigInt64LE(), 7n)

    const log = database.state<string>('log', { mergeOperator: 'append', valueEncoding: 'utf8' })
    for (const word of ['a', 'b', 'c']) log.merge('k', word)
    assert.equal(log.get('k'), 'abc')
    const [max, min] = (['max', 'min'] as const).map(mergeOperator => database.state(mergeOperator, { mergeOperator }))
    for (const value of ['b', 'c', 'a']) {
      max!.merge('k', value)
      min!.merge('k', value)
    }
    assert.deepEqual([max!.getString('k'), min!.getString('k')], ['c', 'a'])
    assert.deepEqual([...log.scan({ keys: 'utf8' })], [['k', 'abc']])
  })

  it('refuses what an operator cannot take', () => {
    const counts = database.state('counts', { mergeOperator: 'int64add' })
    for (const call of [
      () => counts.merge('k', 'seven'),
      () => counts.put('k', Buffer.alloc(4)),
      () => counts.merge('k', 0.5),
      () => database.state('plain').merge('k', 'x'),
      () => database.state('json', { mergeOperator: 'append', valueEncoding: 'json' }),
      () => database.state('text', { mergeOperator: 'int64add', valueEncoding: 'utf8' }),
      () => database.state('none', { mergeOperator: 'multiply' as never }),
    ]) {
      assert.throws(call, withCode('MARBLE_INVALID_ARGUMENT'))
    }
    assert.deepEqual(database.listStates().sort(), ['counts', 'plain'])
  })

  it('keeps merge operator, ttlMs and logged over a reopening, and refuses others', async () => {
    database.state('s', { mergeOperator: 'append', ttlMs: 60_000, logged: false })
    await reopen()
    database.state('s').merge('k', 'a')
    database.state('s', { ttlMs: 60_000 }).merge('k', 'b')
    assert.equal(database.state('s').getString('k'), 'ab')
    for (const options of [{ mergeOperator: 'max' }, { ttlMs: 1 }, { logged: true }] as const) {
      assert.throws(() => database.state('s', options), withCode('MARBLE_INCOMPATIBLE', /'s' was created with/))
    }
  })

  it('forgets values and rows after ttlMs, but not under a snapshot', async () => {
    const state = database.state('s', { ttlMs: 200 })
    const schema = new Schema([new Field('id', new Int32(), false), new Field('name', new Utf8(), true)])
    const table = await database.createTable('t', { schema, primaryKey: ['id'], ttlMs: 200 })
    state.put('k', 'v')
    await table.insert([{ id: 1, name: 'a' }])
    const snapshot = database.snapshot()
    assert.equal(state.getString('k'), 'v')
    await sleep(250)
    assert.equal(state.get('k'), undefined)
    assert.equal(state.exists('k'), false)
    assert.equal(table.get([1]), undefined)
    assert.equal(await table.count(), 0n)
    assert.equal(state.getString('k', { snapshot }), 'v')
    assert.deepEqual(table.get([1], { snapshot }), { id: 1, name: 'a' })
    snapshot.close()
    await database.compact()
    const tables = database.metrics().tables as
      | Record<string, { sstRows: number }>
      | { name: string; sstRows: number }[]
    const rows = Object.values(tables).map(entry => entry.sstRows)
    assert.deepEqual(rows.filter(Boolean), [], 'compaction gives the space back')
  })

  it('puts only what is absent', () => {
    const state = database.state('s')
    assert.equal(state.putIfAbsent('k', 'first'), true)
    assert.equal(state.putIfAbsent('k', 'second'), false)
    assert.equal(state.getString('k'), 'first')
    state.delete('k')
    assert.equal(state.putIfAbsent('k', 'third'), true)
  })

  it('brings unlogged states back as they were at the last flush', async () => {
    const state = database.state('s', { logged: false })
    state.put('kept', 'yes')
    await database.flush()
    state.put('lost', 'yes')
    await reopen()
    assert.deepEqual(
      [...database.state('s').scan({ keys: 'utf8' })].map(([key]) => key),
      ['kept'],
    )
  })
})
