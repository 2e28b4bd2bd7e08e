import assert from 'node:assert/strict'
import { Field, Float64, Schema, Utf8 } from 'apache-arrow'
import type { Batch, Database } from '../../../dist/index.js'
import { withDatabase } from '../helpers.js'

const schema = new Schema([new Field('symbol', new Utf8(), false), new Field('px', new Float64(), true)])

async function quotes(db: Database) {
  return db.createTable('quotes', { schema, primaryKey: ['symbol'] })
}
const rowsOf = (batch: Batch): unknown[] => batch.toArray().map(row => ({ ...row!.toJSON() }))

describe('Changes', () => {
  it('yields what is committed behind a snapshot, in order, with op first', async () => {
    await withDatabase(async db => {
      const table = await quotes(db)
      await table.insert([{ symbol: 'OLD', px: 1 }])
      const snapshot = db.snapshot()
      await table.insert([{ symbol: 'A', px: 2 }])
      const changes = db.changes('quotes', { from: snapshot })
      const seen: unknown[] = []
      setTimeout(() => {
        table.delete(['A'])
      }, 20)
      for await (const batch of changes) {
        assert.deepEqual(
          batch.schema.fields.map(({ name, nullable }) => ({ name, nullable })),
          [
            { name: 'op', nullable: false },
            { name: 'symbol', nullable: false },
            { name: 'px', nullable: true },
          ],
        )
        seen.push(...rowsOf(batch))
        if (seen.length === 2) break
      }
      assert.deepEqual(seen, [
        { op: '+U', symbol: 'A', px: 2 },
        { op: '-D', symbol: 'A', px: null },
      ])
      assert.throws(() => changes[Symbol.asyncIterator](), TypeError)
      snapshot.close()
    })
  })

  it('begins with what comes next without from, and ends with its signal', async () => {
    await withDatabase(async db => {
      const table = await quotes(db)
      await table.insert([{ symbol: 'OLD', px: 1 }])
      const abort = new AbortController()
      const changes = db.changes('quotes', { signal: abort.signal })
      await table.insert([{ symbol: 'NEW', px: 1 }])
      const seen: unknown[] = []
      await assert.rejects(
        async () => {
          for await (const batch of changes) {
            seen.push(...rowsOf(batch))
            abort.abort()
          }
        },
        { name: 'AbortError' },
      )
      assert.deepEqual(seen, [{ op: '+U', symbol: 'NEW', px: 1 }])
    })
  })

  it('says that it is too far behind when the log is gone, and ends when the database is closed', async () => {
    await withDatabase(async db => {
      const table = await quotes(db)
      await table.insert([{ symbol: 'A', px: 1 }])
      await db.flush()
      assert.throws(() => db.changes('quotes', { from: 0n }), { code: 'MARBLE_TOO_FAR_BEHIND' })
      assert.throws(() => db.changes('quotes', { from: 99n }), TypeError)
      assert.throws(() => db.changes('none'), { code: 'MARBLE_TABLE_NOT_FOUND' })
      const waiting = db.changes('quotes')[Symbol.asyncIterator]().next()
      const ended = assert.rejects(waiting, (error: { code: string }) =>
        ['MARBLE_CLOSED', 'MARBLE_ABORTED'].includes(error.code),
      )
      await db.close()
      await ended
    })
  })
})
