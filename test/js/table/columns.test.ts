import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Field, FixedSizeList, Float64, Int32, Int64, List, Schema, Struct, Utf8 } from 'apache-arrow'
import { Database, type Table } from 'marbledb'
import { collect, withCode, withDatabase } from '../helpers.js'

interface Row {
  id: number
  name?: string | null
  [column: string]: unknown
}
const schema = new Schema([
  new Field('note', new Utf8(), true),
  new Field('id', new Int32(), false),
  new Field('name', new Utf8(), true),
])
const create = (database: Database): Promise<Table<Row>> =>
  database.createTable<Row>('t', { schema, primaryKey: ['id'] })
const namesOf = (table: { schema: Schema }): string[] => table.schema.fields.map(field => field.name)

describe('Table columns', () => {
  it('are added, dropped and renamed; the schema shows it at once, also after a flush and a reopening', async () => {
    await withDatabase(async (database, path) => {
      const table = await create(database)
      await table.insert([{ id: 1, name: 'a', note: 'x' }])
      await database.flush()
      await table.addColumn('px', new Float64())
      assert.deepEqual(namesOf(table), ['note', 'id', 'name', 'px'])
      assert.deepEqual(table.get([1]), { note: 'x', id: 1, name: 'a', px: null })
      await table.insert([{ id: 2, px: 1.5 }])
      await table.dropColumn('note')
      await table.renameColumn('name', 'title')
      await table.renameColumn('id', 'key')
      assert.deepEqual(namesOf(table), ['key', 'title', 'px'])
      assert.deepEqual(table.primaryKey, ['key'])
      const rows = [
        { key: 1, title: 'a', px: null },
        { key: 2, title: null, px: 1.5 },
      ]
      assert.deepEqual(await table.scan().toArray(), rows)
      assert.deepEqual(table.get({ key: 2 }), rows[1])
      assert.deepEqual(table.getMany([[2], [1]]), [rows[1], rows[0]])
      assert.deepEqual(await table.getAsync([1]), rows[0])
      assert.deepEqual(await table.scan({ columns: ['px'], where: 'px IS NULL' }).toArray(), [{ px: null }])
      assert.equal(await table.count({ where: "title = 'a'" }), 1n)
      await database.flush()
      assert.deepEqual(await table.scan().toArray(), rows)
      await database.close()
      const again = await Database.open(path)
      try {
        assert.deepEqual(namesOf(again.table('t')), ['key', 'title', 'px'])
        assert.deepEqual(await again.table('t').scan().toArray(), rows)
        await again.compact({ table: 't' })
        assert.deepEqual(await again.table('t').scan().toArray(), rows)
      } finally {
        await again.close()
      }
    })
  })

  it('scans stay without copy; only the nulls are made, of any type', async () => {
    await withDatabase(async database => {
      const table = await create(database)
      const rows = Array.from({ length: 3000 }, (_, i) => ({ id: i, name: `n${i}`, note: null }))
      await table.insert(rows)
      await database.flush()
      await table.dropColumn('note')
      await table.addColumn('px', new Float64())
      await table.addColumn('text', new Utf8())
      await table.addColumn('list', new List(new Field('item', new Int64(), true)))
      await table.addColumn('pair', new FixedSizeList(2, new Field('item', new Int32(), true)))
      await table.addColumn('deep', new Struct([new Field('a', new Utf8(), true), new Field('b', new Int64(), true)]))
      const batches = await collect(table.scan())
      assert.ok(batches.every(batch => batch.zeroCopy))
      assert.equal(batches[0]!.getChild('px')!.nullCount, 3000)
      assert.equal(batches[0]!.getChild('name')!.get(2999), 'n2999')
      const nulls = { px: null, text: null, list: null, pair: null, deep: null }
      assert.deepEqual(
        await table.scan({ range: { gte: [1500] } }).toArray(),
        rows.slice(1500).map(({ id, name }) => ({ id, name, ...nulls })),
      )
      // They go back in as they came out.
      const copy = await database.createTable<Row>('copy', { schema: table.schema, primaryKey: ['id'] })
      for (const batch of batches) await copy.insertBatch(batch)
      assert.deepEqual(copy.get([7]), { id: 7, name: 'n7', ...nulls })
    })
  })

  it('every object of the table knows, and so does another thread', async () => {
    await withDatabase(async (database, path) => {
      const table = await create(database)
      await table.insert([{ id: 1, name: 'a' }])
      const other = database.table<Row>('t')
      const third = database.table<Row>('t')
      await table.addColumn('px', new Float64())
      assert.deepEqual(namesOf(other), ['note', 'id', 'name', 'px'])
      await third.insert([{ id: 2, px: 5 }])
      assert.deepEqual(
        await database
          .table('t')
          .scan({ columns: ['px'] })
          .toArray(),
        [{ px: null }, { px: 5 }],
      )
      const code = `
        const { parentPort, workerData } = require('node:worker_threads')
        import(workerData.module).then(async ({ Database }) => {
          const database = await Database.open(workerData.path)
          await database.table('t').dropColumn('name')
          await database.close()
          parentPort.postMessage('done')
        })`
      const worker = new Worker(code, {
        eval: true,
        workerData: { path, module: new URL('../../../dist/index.js', import.meta.url).href },
      })
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
      assert.deepEqual(table.get([2]), { note: null, id: 2, px: 5 })
      assert.deepEqual(namesOf(other), ['note', 'id', 'px'])
      assert.deepEqual(await third.scan({ columns: ['id', 'px'] }).toArray(), [
        { id: 1, px: null },
        { id: 2, px: 5 },
      ])
      await worker.terminate()
    })
  })

  it('scans and snapshots that began before go on', async () => {
    await withDatabase(async database => {
      const table = await create(database)
      await table.insert([
        { id: 1, name: 'a', note: 'x' },
        { id: 2, name: 'b' },
      ])
      const scan = table.scan()
      const iterator = table.newIterator()
      const snapshot = database.snapshot()
      await table.dropColumn('note')
      await table.insert([{ id: 2, name: 'c' }])
      const before = [
        { note: 'x', id: 1, name: 'a' },
        { note: null, id: 2, name: 'b' },
      ]
      assert.deepEqual(await scan.toArray(), before)
      iterator.seek([2])
      const batch = await iterator.next()
      assert.equal(batch!.getChild('name')!.get(0), 'b')
      await iterator.close()
      // A snapshot is of rows: they come in the columns that there are now.
      assert.deepEqual(await table.scan({ snapshot }).toArray(), [
        { id: 1, name: 'a' },
        { id: 2, name: 'b' },
      ])
      assert.deepEqual(table.get([2], { snapshot }), { id: 2, name: 'b' })
      snapshot.close()
    })
  })

  it('batches that were built before are refused, calls map by name', async () => {
    await withDatabase(async database => {
      const table = await create(database)
      const batch = database.batch().insert(table, [{ id: 1, name: 'a' }])
      await table.renameColumn('name', 'title')
      await assert.rejects(batch.commit(), withCode('MARBLE_SCHEMA_CHANGED', /table 't'/))
      assert.throws(() => database.batch().insert(table, [{ id: 1, name: 'a' }]), withCode('MARBLE_SCHEMA'))
      await assert.rejects(table.insert([{ id: 1, name: 'a' }]), withCode('MARBLE_SCHEMA'))
      await database
        .batch()
        .insert(table, [{ id: 1, title: 'a' }])
        .commit()
      // Writes that were called before the change are written before it.
      const writes = Array.from({ length: 20 }, (_, i) => table.insert([{ id: i + 10, title: 't' }]))
      const change = table.dropColumn('title')
      await Promise.all([...writes, change])
      assert.equal(await table.count(), 21n)
      assert.deepEqual(table.get([29]), { note: null, id: 29 })
    })
  })

  it('changes are cut where the columns change', async () => {
    await withDatabase(async database => {
      const table = await create(database)
      const seen: object[] = []
      const changes = database.changes('t')
      const reader = (async () => {
        for await (const batch of changes) {
          seen.push(...batch.toArray().map(row => ({ ...row!.toJSON() })))
          if (seen.length === 3) return
        }
      })()
      await table.insert([{ id: 1, name: 'a' }])
      await table.dropColumn('note')
      await table.addColumn('px', new Float64())
      await table.insert([{ id: 2, px: 2 }])
      table.delete([1])
      await reader
      assert.deepEqual(seen, [
        { op: '+U', note: null, id: 1, name: 'a' },
        { op: '+U', id: 2, name: null, px: 2 },
        { op: '-D', id: 1, name: null, px: null },
      ])
    })
  })

  it('mistakes are named', async () => {
    await withDatabase(async database => {
      const table = await create(database)
      await assert.rejects(table.addColumn('name', new Utf8()), withCode('MARBLE_SCHEMA', /'t'.*'name'/))
      await assert.rejects(table.dropColumn('nam'), withCode('MARBLE_COLUMN_NOT_FOUND', /did you mean 'name'/))
      await assert.rejects(table.dropColumn('id'), withCode('MARBLE_SCHEMA', /primary key/))
      await assert.rejects(table.renameColumn('name', 'note'), withCode('MARBLE_SCHEMA', /'note'/))
      await assert.rejects(table.addColumn('', new Utf8()), TypeError)
      await assert.rejects(table.addColumn('x', 'utf8' as never), TypeError)
      await assert.rejects(table.addColumn(5 as never, new Utf8()), TypeError)
      await database.dropTable('t')
      await assert.rejects(table.addColumn('x', new Utf8()), withCode('MARBLE_TABLE_NOT_FOUND'))
      assert.deepEqual(namesOf(table), ['note', 'id', 'name'])
      // A table of the same name is another one.
      await create(database)
      await assert.rejects(table.dropColumn('name'), withCode('MARBLE_TABLE_NOT_FOUND'))
    })
  })

  it('pyarrow opens files of before and after', async function () {
    const python = process.env.MARBLE_PYARROW_PYTHON
    if (python === undefined) this.skip()
    await withDatabase(async (database, path) => {
      const table = await create(database)
      await table.insert([{ id: 1, name: 'a', note: 'x' }])
      await database.flush()
      await table.dropColumn('note')
      await table.renameColumn('name', 'title')
      await table.addColumn('px', new Float64())
      await table.insert([{ id: 2, title: 'b', px: 2.5 }])
      await database.flush()
      const files = readdirSync(path)
        .filter(name => name.endsWith('.arrow'))
        .sort()
        .map(name => join(path, name))
      const script = `
import json, sys, pyarrow as pa
for path in sys.argv[1:]:
    t = pa.ipc.open_file(path).read_all()
    ids = {f.name: (f.metadata or {}).get(b'marble.fieldId', b'').decode() for f in t.schema}
    print(json.dumps([ids, t.to_pylist()]))
`
      const output = execFileSync(python, ['-c', script, ...files], { encoding: 'utf8' })
      assert.deepEqual(
        output
          .trim()
          .split('\n')
          .map(line => JSON.parse(line) as unknown),
        [
          [{ note: '1', id: '2', name: '3' }, [{ note: 'x', id: 1, name: 'a' }]],
          [{ id: '2', title: '3', px: '4' }, [{ id: 2, title: 'b', px: 2.5 }]],
        ],
      )
    })
  })
})
