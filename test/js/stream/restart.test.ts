import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Field, Int32, Schema, Utf8 } from 'apache-arrow'
import { Database, type MarbleError, StreamingSQLExecutor } from 'marbledb'

const schema = new Schema([new Field('k', new Utf8(), false), new Field('v', new Int32(), false)])
const rows = Array.from({ length: 100 }, (_, i) => ({ k: `k${i % 4}`, v: i }))
const createView = 'CREATE TABLE w (k STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED);'
const insert = 'INSERT INTO w SELECT k, COUNT(*) FROM r GROUP BY k;'

describe('Restarting and changing a view', () => {
  let directory: string
  let sql: StreamingSQLExecutor
  const run = async (text: string) => {
    sql.registerSource('r', rows, { schema })
    const results = await sql.execute(text)
    const job = results.findLast(result => result.job !== undefined)?.job
    await job?.finished
    return job
  }
  const reopen = async () => {
    await sql.close()
    sql = await StreamingSQLExecutor.open({ statePath: directory })
  }
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'marbledb-restart-'))
    sql = await StreamingSQLExecutor.open({ statePath: directory })
  })
  afterEach(async () => {
    await sql.close()
    rmSync(directory, { recursive: true, force: true })
  })

  it('a script that runs again changes nothing', async () => {
    await run(createView + insert)
    await reopen()
    await run(createView + insert)
    assert.deepEqual(
      (await sql.table('w').scan().toArray()).map(row => row.n),
      [25n, 25n, 25n, 25n],
    )
  })

  it('a view that was dropped and made anew is filled anew, with other columns too', async () => {
    await run(createView + insert)
    await run(`DROP TABLE w; ${createView} ${insert}`)
    assert.equal(await sql.table('w').count(), 4n)
    await reopen()
    await run(
      'DROP TABLE w; CREATE TABLE w (k STRING, n BIGINT, most INT, PRIMARY KEY (k) NOT ENFORCED);' +
        'INSERT INTO w SELECT k, COUNT(*), MAX(v) FROM r GROUP BY k;',
    )
    assert.deepEqual(
      (await sql.table('w').scan().toArray()).map(row => row.most),
      [96, 97, 98, 99],
    )
  })

  it('a changed filter or projection is refused by name, and runs with fresh', async () => {
    await run(createView + insert)
    await reopen()
    const changed = "INSERT INTO w SELECT k, COUNT(*) FROM r WHERE k = 'k1' GROUP BY k;"
    await assert.rejects(run(createView + changed), (error: MarbleError) => {
      assert.equal(error.code, 'MARBLE_INCOMPATIBLE_STATE')
      assert.match(error.message, /operator 'calc:w:1' is new/)
      assert.match(error.message, /execution\.restart/)
      return true
    })
    await run(`SET 'execution.restart' = 'fresh'; ${changed}`)
    assert.deepEqual(await sql.table('w').scan().toArray(), [{ k: 'k1', n: 25n }])
  })

  it('a second executor on the same path is refused until the first is closed', async () => {
    await assert.rejects(StreamingSQLExecutor.open({ statePath: directory }), { code: 'MARBLE_LOCKED' })
    await reopen()
  })

  it('pause resolves when the job is paused', async () => {
    sql.registerSource(
      'endless',
      (async function* () {
        for (let i = 0; ; i++) {
          yield { k: 'a', v: i }
          await new Promise(resolve => setTimeout(resolve, 1))
        }
      })(),
      { schema },
    )
    const [, result] = await sql.execute('CREATE TABLE e (k STRING, v INT); INSERT INTO e SELECT k, v FROM endless')
    const job = result!.job!
    await job.pause()
    assert.equal(job.status, 'paused')
    await job.resume()
    await job.cancel()
  })

  it('binary values are their own bytes', async () => {
    const [row] = await sql.query("SELECT X'00ff' AS b").toArray()
    assert.deepEqual(row, { b: Buffer.from([0, 255]) })
  })
})

describe('A refused option', () => {
  it('leaves nothing behind under the name', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'marbledb-refused-'))
    const db = await Database.open(directory)
    try {
      assert.throws(() => db.state('users', { valueEncoding: 'msgpack' }), { code: 'MARBLE_NOT_SUPPORTED' })
      const users = db.state<{ a: number }>('users', { valueEncoding: 'json' })
      users.put('x', { a: 1 })
      assert.deepEqual(users.get('x'), { a: 1 })
      assert.throws(() => db.on('flush', 5 as never), { code: 'MARBLE_INVALID_ARGUMENT' })
    } finally {
      await db.close()
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
