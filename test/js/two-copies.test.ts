import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Field, Int32, Schema, Utf8 } from 'apache-arrow'
import * as first from 'marbledb'

const root = fileURLToPath(new URL('../..', import.meta.url))

describe('Two copies of the package over one addon', () => {
  let directory: string
  let second: typeof first
  let previous: string | undefined
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'marbledb-copy-'))
    cpSync(join(root, 'dist'), join(directory, 'dist'), { recursive: true })
    cpSync(join(root, 'package.json'), join(directory, 'package.json'))
    symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
    previous = process.env.MARBLEDB_BINDING
    process.env.MARBLEDB_BINDING ??= join(root, 'build', 'Release', 'marbledb.node')
    second = (await import(pathToFileURL(join(directory, 'dist', 'index.js')).href)) as typeof first
  })
  after(() => {
    if (previous === undefined) delete process.env.MARBLEDB_BINDING
    rmSync(directory, { recursive: true, force: true })
  })

  it('read what belongs to them, in turn', async () => {
    assert.notEqual(first.Database, second.Database)
    const databases = [await first.Database.open(':memory:'), await second.Database.open(':memory:')]
    const schema = new Schema([new Field('id', new Int32(), false), new Field('s', new Utf8(), true)])
    for (const [i, database] of databases.entries()) {
      database.state('s').put('k', `value of ${i}`)
      const table = await database.createTable('t', { schema, primaryKey: ['id'] })
      await table.insert([{ id: 1, s: `row of ${i}` }])
    }
    for (let round = 0; round < 2000; round++) {
      for (const [i, database] of databases.entries()) {
        assert.equal(database.state('s').get('k')?.toString(), `value of ${i}`)
        assert.deepEqual(database.table('t').get([1]), { id: 1, s: `row of ${i}` })
      }
    }
    for (const database of databases) await database.close()
  })

  it('know the errors of each other', async () => {
    for (const { Database } of [first, second]) {
      const database = await Database.open(':memory:')
      await database.close()
      await assert.rejects(database.flush(), first.ClosedError)
      await assert.rejects(database.flush(), second.MarbleError)
      await database.flush().catch(error => assert.ok(!(error instanceof first.KafkaError)))
    }
  })
})
