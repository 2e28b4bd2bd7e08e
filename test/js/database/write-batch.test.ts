import assert from 'node:assert/strict'
import { Field, Int32, Schema, Utf8 } from 'apache-arrow'
import { Database } from 'marbledb'
import { withCode } from '../helpers.js'

const schema = new Schema([new Field('id', new Utf8(), false), new Field('n', new Int32(), true)])

describe('WriteBatch', () => {
  it('changes states and tables at one moment, and nothing before', async () => {
    await using database = await Database.open(':memory:')
    const state = database.state('s')
    const table = await database.createTable<{ id: string; n: number | null }>('t', { schema, primaryKey: ['id'] })
    state.put('old', '1')
    await table.insert([{ id: 'old', n: 1 }])
    const batch = database.batch()
    batch
      .put(state, 'new', '2')
      .delete(state, 'old')
      .insert(table, [{ id: 'new', n: 2 }])
      .deleteRow(table, { id: 'old' })
    assert.equal(batch.length, 4)
    assert.equal(state.get('new'), undefined)
    assert.deepEqual(table.get(['old']), { id: 'old', n: 1 })
    await batch.commit()
    assert.equal(batch.length, 0)
    assert.equal(state.getString('new'), '2')
    assert.equal(state.get('old'), undefined)
    assert.deepEqual(await table.scan().toArray(), [{ id: 'new', n: 2 }])
  })

  it('the last change of a key counts, and a range removes what the batch did before', async () => {
    await using database = await Database.open(':memory:')
    const state = database.state('s')
    const batch = database.batch()
    batch
      .put(state, 'a', '1')
      .put(state, 'a', '2')
      .put(state, 'b', '1')
      .deleteRange(state, 'b', 'c')
      .put(state, 'bb', '3')
    batch.commitSync({ durability: 'power' })
    assert.deepEqual(
      [...state.scan({ keys: 'utf8' })].map(([k, v]) => `${k}=${v}`),
      ['a=2', 'bb=3'],
    )
    batch.put(state, 'x', '1').clear()
    batch.commitSync()
    assert.equal(state.get('x'), undefined)
  })

  it('takes no states of another database', async () => {
    await using one = await Database.open(':memory:')
    await using two = await Database.open(':memory:')
    assert.throws(
      () => one.batch().put(two.state('s'), 'k', 'v'),
      withCode('MARBLE_INVALID_ARGUMENT', /another database/),
    )
    const snapshot = two.snapshot()
    assert.throws(() => one.state('s').get('k', { snapshot }), withCode('MARBLE_INVALID_ARGUMENT', /another database/))
  })
})
