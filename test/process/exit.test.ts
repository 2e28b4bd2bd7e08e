import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database } from 'marbledb'
import { runScript } from './run.js'

// What a process has open when it ends, one step more in each.
const prelude = `
  import { Database, StreamingSQLExecutor } from 'marbledb'
  import { Field, Int32, Schema, Utf8 } from 'apache-arrow'
  const path = process.argv.at(-1)
  const schema = new Schema([new Field('id', new Int32(), false), new Field('s', new Utf8(), true)])
`
const fill = `
  const db = await Database.open(path)
  const state = db.state('s'); state.put('k', 'v')
  const table = await db.createTable('t', { schema, primaryKey: ['id'] })
  await table.insert(Array.from({ length: 100000 }, (_, id) => ({ id, s: 'row ' + id })))
`
const steps: Record<string, string> = {
  'an open database': `const db = await Database.open(path); db.state('s').put('k', 'v')`,
  'an open that was not awaited': `void Database.open(path)`,
  'writes that were not awaited': `${fill} void table.insert([{ id: -1, s: null }]); void db.flush(); void state.getAsync('k')`,
  'a snapshot and a batch': `${fill} const snapshot = db.snapshot(); const batch = db.batch().put(state, 'a', 'b')`,
  'half a scan': `${fill} await db.flush(); const it = table.scan()[Symbol.asyncIterator](); const { value: batch } = await it.next(); globalThis.kept = batch`,
  'a scan whose next step runs': `${fill} const it = table.scan()[Symbol.asyncIterator](); void it.next()`,
  'half a scan of a state': `${fill} const it = state.scan()[Symbol.iterator](); it.next()`,
  'batches that were released': `${fill} await db.flush(); for await (const b of table.scan()) b.release()`,
  'a close that was not awaited': `${fill} void db.close()`,
  'a closed database': `${fill} await db.close()`,
  'a running job and query': `
    const sql = await StreamingSQLExecutor.open({ statePath: path })
    sql.registerSource('r', (async function* () { for (let id = 0; ; id++) { yield { id, s: 'x' }; if (id % 100 === 0) await new Promise(r => setTimeout(r, 1).unref()) } })(), { schema })
    await sql.execute('CREATE TABLE c (s STRING, n BIGINT, PRIMARY KEY (s) NOT ENFORCED); INSERT INTO c SELECT s, COUNT(*) FROM r GROUP BY s')
    await sql.execute("CREATE TABLE l (id INT, PRIMARY KEY (id) NOT ENFORCED); INSERT INTO l VALUES (1), (2)")
    const it = sql.query('SELECT id FROM l')[Symbol.asyncIterator](); await it.next()`,
  'a mock Kafka with a source': `
    const { MockKafka } = await import('marbledb/testing'); const { createSource } = await import('marbledb')
    const kafka = await MockKafka.start({ partitions: 1 }); await kafka.produce('t', [{ value: 'v' }])
    const source = await createSource({ connectorType: 'kafka', connectorId: 'c', properties: { topic: 't', 'properties.bootstrap.servers': kafka.bootstrapServers, 'scan.startup.mode': 'earliest-offset' } })
    while ((await source.nextBatch(10)) === null);
    void source.nextBatch(10)`,
}

describe('A process may end at any moment', function () {
  this.timeout(60_000)
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'marbledb-exit-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  for (const [what, step] of Object.entries(steps)) {
    it(`by process.exit with ${what}`, async () => {
      const { code, signal, stderr } = await runScript(`${prelude}${step}\nprocess.exit(7)`, {
        args: [join(directory, 'db')],
      })
      assert.deepEqual({ code, signal, stderr }, { code: 7, signal: null, stderr: '' })
    })

    it(`by its own end with ${what}, though nothing was closed`, async () => {
      const { code, signal, stderr } = await runScript(`${prelude}${step}`, { args: [join(directory, 'db')] })
      assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
    })

    it(`by the end of a worker that was terminated with ${what}`, async () => {
      const worker = `
        import { Worker } from 'node:worker_threads'
        import { once } from 'node:events'
        const text = ${JSON.stringify(`${prelude.replace('process.argv.at(-1)', "(await import('node:worker_threads')).workerData")}${step}\n;(await import('node:worker_threads')).parentPort.postMessage('there'); await new Promise(r => setTimeout(r, 60000))`)}
        for (let round = 0; round < 3; round++) {
          const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(text.replace(/from '([a-z/-]+)'/g, (_, name) => "from '" + import.meta.resolve(name) + "'").replace(/import\\('([a-z/-]+)'\\)/g, (_, name) => name.startsWith('marble') ? "import('" + import.meta.resolve(name) + "')" : "import('" + name + "')"))), { workerData: process.argv.at(-1) + round })
          await once(worker, 'message')
          await worker.terminate()
        }
        process.stdout.write('done')`
      const { code, signal, stdout, stderr } = await runScript(worker, {
        args: [join(directory, 'db')],
        timeoutMs: 50_000,
      })
      assert.deepEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: 'done', stderr: '' })
    })
  }

  it('and what was written before is there', async () => {
    const path = join(directory, 'db')
    await runScript(`${prelude}${fill}; process.exit(0)`, { args: [path] })
    const database = await Database.open(path)
    assert.equal(database.state('s').getString('k'), 'v')
    assert.equal(await database.table('t').count(), 100_000n)
    await database.close()
  })

  it('an awaited promise of the addon keeps it alive, also a job that runs', async () => {
    const script = `${prelude}
      const sql = await StreamingSQLExecutor.open({ statePath: path })
      sql.registerSource('r', (async function* () { for (let id = 0; id < 5; id++) { yield { id, s: 'x' }; await new Promise(r => setTimeout(r, 30)) } })(), { schema })
      const [, { job }] = await sql.execute('CREATE TABLE c (s STRING, n BIGINT, PRIMARY KEY (s) NOT ENFORCED); INSERT INTO c SELECT s, COUNT(*) FROM r GROUP BY s')
      await job.finished
      process.stdout.write(String(sql.table('c').get(['x']).n))`
    const { code, stdout } = await runScript(script, { args: [join(directory, 'db')] })
    assert.deepEqual({ code, stdout }, { code: 0, stdout: '5' })
  })

  it('another process is told who has the database open', async () => {
    const path = join(directory, 'db')
    const database = await Database.open(path)
    const { stdout } = await runScript(
      `${prelude} await Database.open(path).catch(e => process.stdout.write(e.code + ' ' + e.message))`,
      { args: [path] },
    )
    assert.match(stdout, /^MARBLE_LOCKED /)
    assert.match(stdout, new RegExp(`\\b${process.pid}\\b`))
    await database.close()
  })
})
