import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { Field, Int32, Schema, Utf8 } from 'apache-arrow'
import type { Database, Table } from 'marbledb'
import { withCode, withDatabase } from '../helpers.js'

interface Row {
  id: number
  text: string | null
}
const schema = new Schema([new Field('id', new Int32(), false), new Field('text', new Utf8(), true)])
const kRows = 40_000

/** Files that overlap: each of `rounds` has every key, with an incompressible text. */
async function filled(database: Database, rounds: number, name = 't'): Promise<Table<Row>> {
  const table = await database.createTable<Row>(name, { schema, primaryKey: ['id'] })
  for (let round = 0; round < rounds; round++) {
    await table.insert(Array.from({ length: kRows }, (_, id) => ({ id, text: `${round}-${id}-`.padEnd(200, 'x') })))
    await database.flush()
  }
  return table
}
const filesOf = (path: string): string[] => readdirSync(path).filter(name => /\.(arrow|idx)$/.test(name))
const metricsOf = (database: Database, table: string): { sstFiles: number; sstRows: number } =>
  (database.metrics().tables as Record<string, { sstFiles: number; sstRows: number }>)[table]!

describe('Database.compact', () => {
  it('merges, and says how far it is in bytes', async () => {
    await withDatabase(async (database, path) => {
      const table = await filled(database, 3)
      const seen: { done: number; total?: number; unit: string }[] = []
      await database.compact({ table: 't', onProgress: progress => seen.push(progress) })
      assert.equal(metricsOf(database, 't').sstRows, kRows)
      assert.ok(seen.length > 0)
      for (const [i, { done, total, unit }] of seen.entries()) {
        assert.equal(unit, 'bytes')
        assert.ok(done <= total!, `${done} of ${total}`)
        if (i > 0) assert.ok(done > seen[i - 1]!.done)
      }
      // All of it: at least what lies there now.
      const last = seen.at(-1)!
      assert.equal(last.done, last.total)
      assert.ok(last.total! > kRows * 200, String(last.total))
      assert.equal(filesOf(path).length, 2 * metricsOf(database, 't').sstFiles)
      assert.equal(table.get([7])!.text!.slice(0, 4), '2-7-')
    })
  })

  it('stops when the signal fires; what it was writing is gone, and nothing else', async () => {
    await withDatabase(async (database, path) => {
      const table = await filled(database, 3)
      const before = metricsOf(database, 't')
      const controller = new AbortController()
      const events: object[] = []
      database.on('compaction', info => events.push(info))
      const compacting = database.compact({ table: 't', signal: controller.signal })
      await new Promise(resolve => setTimeout(resolve, 5))
      controller.abort()
      await assert.rejects(compacting, (error: Error & { code?: string }) => {
        assert.equal(error.name, 'AbortError')
        assert.equal(error.code, 'MARBLE_ABORTED')
        return true
      })
      assert.deepEqual(metricsOf(database, 't'), before)
      assert.equal(filesOf(path).length, 2 * before.sstFiles)
      assert.equal(await table.count(), BigInt(kRows))
      await database.compact({ table: 't' })
      assert.equal(metricsOf(database, 't').sstRows, kRows)
      assert.equal(filesOf(path).length, 2 * metricsOf(database, 't').sstFiles)
      assert.equal(await table.count(), BigInt(kRows))
    })
  })

  it('a signal that has fired, and a listener that throws, end it', async () => {
    await withDatabase(async database => {
      await filled(database, 3)
      const reason = new Error('enough')
      await assert.rejects(
        database.compact({ table: 't', signal: AbortSignal.abort() }),
        (error: Error) => error.name === 'AbortError',
      )
      assert.equal(metricsOf(database, 't').sstRows, 3 * kRows)
      await assert.rejects(
        database.compact({
          table: 't',
          onProgress: () => {
            throw reason
          },
        }),
        reason,
      )
      await database.compact()
      assert.equal(metricsOf(database, 't').sstRows, kRows)
    })
  })

  it('writes go on meanwhile', async () => {
    await withDatabase(async database => {
      const table = await filled(database, 3)
      let compacted = false
      const compacting = database.compact({ table: 't' }).then(() => {
        compacted = true
      })
      let during = 0
      while (!compacted) {
        await table.insert([{ id: kRows + during, text: null }])
        if (!compacted) during++
        await new Promise(resolve => setImmediate(resolve))
      }
      await compacting
      assert.ok(during > 0)
      assert.ok((await table.count()) >= BigInt(kRows + during))
    })
  })

  it('takes a range of keys', async () => {
    await withDatabase(async database => {
      const table = await filled(database, 1)
      await database.compact({ table: 't' }) // down into the last level
      for (let id = 0; id < 2000; id++) table.delete([id])
      for (let id = kRows - 2000; id < kRows; id++) table.delete([id])
      await database.flush()
      const rows = metricsOf(database, 't').sstRows
      assert.equal(rows, kRows + 4000)
      // Between the two: nothing to be merged there.
      await database.compact({ table: 't', range: { gte: [kRows], lt: [kRows + 10] } })
      assert.equal(metricsOf(database, 't').sstRows, rows)
      await database.compact({ table: 't', range: { lt: { id: 2000 } } })
      assert.ok(metricsOf(database, 't').sstRows < rows)
      assert.equal(await table.count(), BigInt(kRows - 4000))

      const state = database.state('s')
      for (const value of ['a', 'b']) {
        state.putMany(Array.from({ length: 1000 }, (_, i) => [`k${i}`, value]))
        await database.flush()
      }
      assert.equal(metricsOf(database, 's').sstRows, 2000)
      await database.compact({ table: 's', range: { gte: 'k', lte: 'l' } })
      assert.equal(metricsOf(database, 's').sstRows, 1000)
    })
  })

  it('names what does not fit', async () => {
    await withDatabase(async database => {
      await filled(database, 1)
      await assert.rejects(
        database.compact({ range: { gte: [1] } }),
        withCode('MARBLE_INVALID_ARGUMENT', /needs a table/),
      )
      await assert.rejects(database.compact({ table: 'u' }), withCode('MARBLE_TABLE_NOT_FOUND', /'u'/))
      await assert.rejects(database.compact({ table: 't', range: { gte: ['x'] } }), withCode('MARBLE_SCHEMA'))
      await assert.rejects(database.compact({ table: 't', range: { gte: [1], gt: [2] } }), TypeError)
      await assert.rejects(database.compact({ table: 't', range: { from: [1] } as never }), TypeError)
      await assert.rejects(database.compact({ signal: 5 as never }), TypeError)
      await assert.rejects(database.compact({ onProgress: 5 as never }), TypeError)
    })
  })
})
