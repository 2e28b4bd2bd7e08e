import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Field, Schema, Utf8 } from 'apache-arrow'
import { ClosedError, Database, MarbleError } from 'marbledb'
import { temporaryDirectory, withCode, withDatabase } from '../helpers.js'

const schema = new Schema([new Field('id', new Utf8(), false)])

describe('Database', () => {
  it('keeps what was written over close and open', async () => {
    const directory = temporaryDirectory()
    const path = join(directory.path, 'db')
    const first = await Database.open(path)
    first.state('s').put('k', 'v')
    await (await first.createTable('t', { schema, primaryKey: ['id'] })).insert([{ id: 'a' }])
    await first.close()
    const second = await Database.open(path)
    assert.equal(second.state('s').getString('k'), 'v')
    assert.deepEqual(second.table('t').get(['a']), { id: 'a' })
    assert.deepEqual(second.listTables(), ['t'])
    assert.deepEqual(second.listStates(), ['s'])
    await second.close()
    directory.remove()
  })

  it('refuses everything after close with MARBLE_CLOSED, and closes twice without harm', async () => {
    const database = await Database.open(':memory:')
    const state = database.state('s')
    const table = await database.createTable('t', { schema, primaryKey: ['id'] })
    const batch = database.batch()
    const snapshot = database.snapshot()
    await Promise.all([database.close(), database.close()])
    await database.close()
    assert.throws(() => state.get('k'), ClosedError)
    assert.throws(() => state.put('k', 'v'), withCode('MARBLE_CLOSED'))
    assert.throws(() => [...state.scan()], withCode('MARBLE_CLOSED'))
    assert.throws(() => table.get(['a']), withCode('MARBLE_CLOSED'))
    assert.throws(() => batch.put(state, 'k', 'v'), withCode('MARBLE_CLOSED'))
    assert.throws(() => database.state('s'), withCode('MARBLE_CLOSED'))
    assert.throws(() => database.snapshot(), withCode('MARBLE_CLOSED'))
    await assert.rejects(table.insert([{ id: 'b' }]), withCode('MARBLE_CLOSED'))
    await assert.rejects(database.flush(), withCode('MARBLE_CLOSED'))
    await assert.rejects(state.getAsync('k'), withCode('MARBLE_CLOSED'))
    snapshot.close()
  })

  it('shares one native database between two objects of one path; each has its own close', async () => {
    await withDatabase(async (database, path) => {
      const other = await Database.open(path)
      other.state('s').put('k', 'v')
      await other.close()
      assert.equal(database.state('s').getString('k'), 'v')
      assert.throws(() => other.state('s'), withCode('MARBLE_CLOSED'))
    })
  })

  it('writes that were not awaited are there after close', async () => {
    const directory = temporaryDirectory()
    const path = join(directory.path, 'db')
    const database = await Database.open(path)
    const table = await database.createTable('t', { schema, primaryKey: ['id'] })
    const inserts = Array.from({ length: 50 }, (_, i) => table.insert([{ id: `row-${i}` }]))
    await database.close()
    await Promise.all(inserts)
    const again = await Database.open(path)
    assert.equal(await again.table('t').count(), 50n)
    await again.close()
    directory.remove()
  })

  it('is closed by await using', async () => {
    let database: Database
    {
      await using scoped = await Database.open(':memory:')
      database = scoped
    }
    assert.throws(() => database.snapshot(), withCode('MARBLE_CLOSED'))
  })

  it('names unknown options with a suggestion, and those that do nothing yet', async () => {
    await assert.rejects(
      Database.open(':memory:', { durabilty: 'power' } as never),
      /unknown option 'durabilty' \(did you mean 'durability'\?\)/,
    )
    await assert.rejects(Database.open(':memory:', { durability: 'full' } as never), TypeError)
    await assert.rejects(
      Database.open(':memory:', { memoryBudgetBytes: 1 }),
      withCode('MARBLE_INVALID_ARGUMENT', /memoryBudgetBytes/),
    )
    await assert.rejects(Database.open(':memory:', { threads: 100_000 }), withCode('MARBLE_INVALID_ARGUMENT', /100000/))
    await assert.rejects(Database.open(''), TypeError)
    const database = await Database.open(':memory:')
    await assert.rejects(
      database.createTable('t', { schema, replicated: true }),
      withCode('MARBLE_NOT_SUPPORTED', /replicated/),
    )
    await assert.rejects(
      database.createTable('t', { schema, primaryKey: ['no'] }),
      withCode('MARBLE_COLUMN_NOT_FOUND', /id/),
    )
    assert.throws(() => database.state('s', { ttlMs: 0 }), withCode('MARBLE_INVALID_ARGUMENT', /ttlMs/))
    assert.throws(() => database.table('none'), withCode('MARBLE_TABLE_NOT_FOUND', /none/))
    await database.close()
  })

  it('does not create a database where it must not', async () => {
    const directory = temporaryDirectory()
    await assert.rejects(Database.open(join(directory.path, 'db'), { create: false }), MarbleError)
    directory.remove()
  })

  it('drops tables and states', async () => {
    await withDatabase(async database => {
      await database.createTable('t', { schema, primaryKey: ['id'] })
      database.state('s').put('k', 'v')
      await assert.rejects(database.createTable('t', { schema }), withCode('MARBLE_TABLE_EXISTS'))
      await database.createTable('t', { schema, primaryKey: ['id'], ifNotExists: true })
      await assert.rejects(database.createTable('t', { schema, ifNotExists: true }), withCode('MARBLE_INCOMPATIBLE'))
      await database.dropTable('t')
      await database.dropState('s')
      assert.deepEqual([database.listTables(), database.listStates()], [[], []])
      await assert.rejects(database.dropTable('t'), withCode('MARBLE_TABLE_NOT_FOUND'))
      await database.dropTable('t', { ifExists: true })
      assert.equal(database.state('s').get('k'), undefined)
    })
  })

  it('tells of flushes', async () => {
    await withDatabase(async database => {
      const flushed = new Promise<object>(resolve => database.on('flush', resolve))
      database.state('s').put('k', 'v')
      await database.flush()
      assert.ok('rows' in (await flushed))
      assert.equal(database.metrics().flushes, 1)
    })
  })

  it('keeps to its memory budget and tells what each part takes', async () => {
    const budget = 8 * 1024 * 1024
    await withDatabase(
      async database => {
        const state = database.state('s')
        const value = 'v'.repeat(1000)
        let most = 0
        for (let i = 0; i < 40_000; i++) {
          state.put(`k${i}`, value)
          if (i % 200 === 0) most = Math.max(most, Number((database.metrics().memory as { total: number }).total))
        }
        assert.ok(most > budget / 8 && most <= budget * 1.1, `${most}`)
        const memory = database.metrics().memory as Record<string, number>
        const { budget: told, total, ...parts } = memory
        assert.equal(told, budget)
        assert.deepEqual(Object.keys(parts), [
          'memtableRows',
          'memtableIndexes',
          'fileChunks',
          'fileArrays',
          'decodedBatches',
        ])
        assert.equal(
          total,
          Object.values(parts).reduce((sum, part) => sum + part, 0),
        )
        assert.ok(Number(database.metrics().flushes) > 3, 'memtables are cut by it')
      },
      { memoryBudgetBytes: budget, maxBlockMs: 60_000, threads: 1 },
    )
  })

  it('creates tables by preset, and refuses another one for a table that exists', async () => {
    await withDatabase(async database => {
      for (const preset of ['timeSeries', 'dimension', 'appendLog'] as const) {
        const table = await database.createTable(preset, { schema, primaryKey: ['id'], preset, pointIndex: true })
        await table.insert([{ id: 'a' }])
        await database.flush()
        assert.equal((await table.scan().toArray()).length, 1)
        await database.createTable(preset, { schema, primaryKey: ['id'], preset, pointIndex: true, ifNotExists: true })
      }
      await assert.rejects(
        database.createTable('timeSeries', { schema, primaryKey: ['id'], preset: 'dimension', ifNotExists: true }),
        withCode('MARBLE_INCOMPATIBLE', /bloomBitsPerKey/),
      )
    })
  })

  it('drops files that have expired as a whole, tells of it and counts them', async () => {
    await withDatabase(async database => {
      const expired = new Promise<Record<string, unknown>>(resolve =>
        database.on('compaction', info => {
          if ((info as { expired: boolean }).expired) resolve(info as Record<string, unknown>)
        }),
      )
      const table = await database.createTable('t', { schema, primaryKey: ['id'], ttlMs: 1000 })
      let event: Record<string, unknown> | undefined
      while (event === undefined) {
        // A flush that comes too late writes nothing: once more.
        await table.insert([{ id: 'a' }])
        await database.flush()
        event = await Promise.race([expired, new Promise<undefined>(resolve => setTimeout(resolve, 4000, undefined))])
      }
      assert.equal(event.table, 't')
      assert.ok((event.inputs as number[]).length > 0)
      assert.deepEqual(event.outputs, [])
      const metrics = database.metrics() as { expiredFiles: number; expiredBytes: number }
      assert.ok(metrics.expiredFiles > 0)
      assert.ok(metrics.expiredBytes > 0)
    })
  })

  it('tells of compactions, and of levels in its metrics', async () => {
    await withDatabase(async database => {
      const compacted = new Promise<Record<string, unknown>>(resolve =>
        database.on('compaction', info => resolve(info as Record<string, unknown>)),
      )
      const state = database.state('s')
      for (let round = 0; round < 2; round++) {
        for (let i = 0; i < 100; i++) state.put(`k${i}`, `${round}`)
        await database.flush()
      }
      await database.compact({ table: 's' })
      const event = await compacted
      assert.equal(event.table, 's')
      assert.equal(event.inputLevel, 0)
      assert.equal(event.outputLevel, 6)
      assert.equal((event.inputs as number[]).length, 2)
      assert.equal((event.outputs as number[]).length, 1)
      const metrics = database.metrics() as {
        stallReason: string | null
        tables: Record<string, { writeAmplification: number; levels: Record<string, number>[] }>
      }
      assert.equal(metrics.stallReason, null)
      const { levels, writeAmplification } = metrics.tables.s!
      assert.deepEqual(
        levels.map(({ level, files, compactions }) => ({ level, files, compactions })),
        [{ level: 6, files: 1, compactions: 1 }],
      )
      assert.ok(levels[0]!.bytesWritten! > 0 && levels[0]!.bytesRead! > levels[0]!.bytesWritten!)
      assert.ok(writeAmplification > 1 && writeAmplification < 2)
    })
  })
})
