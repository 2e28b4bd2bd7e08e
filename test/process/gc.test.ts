import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runScript } from './run.js'

const prelude = `
  import { Database } from 'marbledb'
  import { Field, Float64, Int32, Schema } from 'apache-arrow'
  const { binding } = await import(new URL('./dist/binding.js', 'file://' + process.cwd() + '/'))
  const path = process.argv.at(-1)
  const schema = new Schema([new Field('id', new Int32(), false), new Field('v', new Float64(), true)])
  const collect = async () => { for (let i = 0; i < 5; i++) { gc(); await new Promise(r => setTimeout(r, 5)) } }
`

describe('Garbage collection', function () {
  this.timeout(60_000)
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'marbledb-gc-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))
  const run = async (body: string): Promise<string> => {
    const { code, signal, stdout, stderr } = await runScript(prelude + body, {
      args: [join(directory, 'db')],
      nodeArgs: ['--expose-gc'],
      timeoutMs: 50_000,
    })
    assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
    return stdout
  }

  it('unmaps a file when the last batch over it is gone, and no sooner', async () => {
    const stdout = await run(`
      const db = await Database.open(path)
      const table = await db.createTable('t', { schema, primaryKey: ['id'] })
      await table.insert(Array.from({ length: 200000 }, (_, id) => ({ id, v: id })))
      await db.flush()
      let kept
      await (async () => { for await (const batch of table.scan()) kept ??= batch.getChild('v').data[0].values })()
      await collect()
      const held = binding().mappedFiles().length
      const sum = kept.subarray(0, 10).reduce((a, b) => a + b, 0)
      kept = undefined
      await collect()
      process.stdout.write([held, sum, binding().mappedFiles().length].join(' '))
      await db.close()`)
    assert.equal(stdout, '1 45 0')
  })

  it('of handles in any order, with work under way, does no harm', async () => {
    const stdout = await run(`
      for (let round = 0; round < 30; round++) {
        await (async () => {
          const db = await Database.open(path + round)
          const state = db.state('s')
          state.put('a', 'b')
          const table = await db.createTable('t', { schema, primaryKey: ['id'] })
          void table.insert([{ id: 1, v: 2 }])
          db.snapshot(); db.batch().put(state, 'x', 'y')
          const scan = state.scan()[Symbol.iterator](); scan.next()
          table.scan()[Symbol.asyncIterator]().next().catch(() => {})
          if (round % 3 === 0) void db.flush()
          if (round % 3 === 1) void db.close()
        })()
        await collect()
      }
      process.stdout.write('alive')`)
    assert.equal(stdout, 'alive')
  })

  it('gets and scans in a long run keep memory bounded', async () => {
    const stdout = await run(`
      const db = await Database.open(path)
      const state = db.state('s')
      for (let i = 0; i < 2000; i++) state.put('key' + i, 'x'.repeat(200))
      const work = () => { for (let i = 0; i < 400000; i++) state.get('key' + (i % 2000)); for (let i = 0; i < 20; i++) for (const entry of state.scan()) if (entry === null) throw 0 }
      work(); await collect()
      const before = process.memoryUsage().rss
      for (let i = 0; i < 4; i++) { work(); await collect() }
      process.stdout.write(String((process.memoryUsage().rss - before) / 1e6))
      await db.close()`)
    assert.ok(Number(stdout) < 40, `${stdout} MB more`)
  })
})
