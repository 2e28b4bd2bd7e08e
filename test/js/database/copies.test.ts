import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Database } from '../../../dist/index.js'
import { temporaryDirectory } from '../helpers.js'

const run = promisify(execFile)
const cli = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))

/** A command's outcome; a failure is no exception. */
async function marbledb(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    return { code: 0, ...(await run(process.execPath, [cli, ...args])) }
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string }
  }
}

describe('Copies', () => {
  let directory: ReturnType<typeof temporaryDirectory>
  beforeEach(() => {
    directory = temporaryDirectory()
  })
  afterEach(() => directory.remove())
  const at = (name: string): string => join(directory.path, name)

  async function filled(keys = 1000): Promise<Database> {
    const db = await Database.open(at('db'))
    const state = db.state('s')
    state.putMany(Array.from({ length: keys }, (_, i) => [`key${i}`, `value ${i}`] as [string, string]))
    await db.flush()
    state.put('tail', 'in the log')
    return db
  }
  async function count(path: string): Promise<number> {
    await using db = await Database.open(path, { create: false })
    return [...db.state('s').scan()].length
  }

  it('makes a checkpoint that opens as a database and holds every write before the call', async () => {
    await using db = await filled()
    await db.checkpoint(at('copy'))
    db.state('s').put('later', 'x')
    assert.equal(await count(at('copy')), 1001)
    await assert.rejects(db.checkpoint(at('copy')), { code: 'MARBLE_INVALID_ARGUMENT', message: /exists/ })
    await assert.rejects(db.checkpoint(':memory:'), TypeError)
  })

  it('backs up only what is new, lists, verifies, prunes and restores', async () => {
    const db = await filled()
    const seen: number[] = []
    const first = await db.backup(at('b'), { onProgress: ({ done, total }) => seen.push(done / total!) })
    assert.equal(first.id, 1)
    assert.ok(first.bytesCopied > 1000)
    assert.equal(seen.at(-1), 1)
    assert.deepEqual(
      seen,
      [...seen].sort((a, b) => a - b),
    )
    db.state('s').put('more', 'x')
    const second = await db.backup(at('b'))
    assert.equal(second.id, 2)
    assert.ok(second.bytesCopied < first.bytesCopied)
    await db.close()
    const listed = await Database.listBackups(at('b'))
    assert.deepEqual(
      listed.map(({ id, bytesCopied }) => ({ id, bytesCopied })),
      [first, second],
    )
    assert.equal(typeof listed[0]!.sequence, 'bigint')
    assert.ok((await Database.verifyBackup(at('b'), { id: 1 })).ok)
    await Database.restore(at('b'), at('old'), { id: 1 })
    await Database.restore(at('b'), at('new'))
    assert.equal(await count(at('old')), 1001)
    assert.equal(await count(at('new')), 1002)
    assert.equal(await Database.pruneBackups(at('b'), { keep: 1 }), 1)
    await assert.rejects(Database.restore(at('b'), at('gone'), { id: 1 }), { code: 'MARBLE_NOT_FOUND' })
    await assert.rejects(Database.restore(at('b'), at('new')), { code: 'MARBLE_INVALID_ARGUMENT' })
    await assert.rejects(Database.pruneBackups(at('b'), { keep: 0 }), RangeError)
  })

  it('cancels a backup by its signal, and by a listener that throws', async () => {
    await using db = await filled(20_000)
    await assert.rejects(db.backup(at('b'), { signal: AbortSignal.abort() }), { name: 'AbortError' })
    const error = new Error('enough')
    await assert.rejects(
      db.backup(at('b'), {
        onProgress() {
          throw error
        },
      }),
      error,
    )
    const { id } = await db.backup(at('b'))
    assert.ok((await Database.verifyBackup(at('b'), { id })).ok)
  })

  it('inspects and verifies a closed database, and says where damage is', async () => {
    const db = await filled()
    await assert.rejects(Database.verify(at('db')), { code: 'MARBLE_LOCKED' })
    await db.close()
    const found = await Database.inspect(at('db'), { zoneMaps: true })
    const state = found.tables.find(({ name }) => name === 's')!
    assert.ok(state.isState)
    assert.equal(state.rows, 1000)
    assert.deepEqual(state.primaryKey, ['key'])
    assert.ok(state.files[0]!.zones!.length > 0)
    assert.equal(BigInt(found.lastSequence), 2n)
    assert.ok((await Database.verify(at('db'))).ok)
    const file = join(at('db'), state.files[0]!.arrow)
    const bytes = readFileSync(file)
    bytes[5000]! ^= 1
    writeFileSync(file, bytes)
    const report = await Database.verify(at('db'))
    assert.equal(report.ok, false)
    assert.deepEqual(
      report.findings.map(({ severity, file, offset }) => ({ severity, file, offset })),
      [{ severity: 'error', file: state.files[0]!.arrow, offset: 4096 }],
    )
    await assert.rejects(Database.inspect(at('none')), { code: 'MARBLE_NOT_FOUND' })
  })

  it('does the same on the command line', async function () {
    this.timeout(60_000)
    await (await filled()).close()
    const backup = await marbledb('backup', at('db'), at('b'), '--keep', '3')
    assert.deepEqual({ code: backup.code, stdout: backup.stdout }, { code: 0, stdout: '1\n' })
    assert.match(backup.stderr, /backup 1: .* copied/)
    const restored = await marbledb('restore', at('b'), at('r'))
    assert.equal(restored.code, 0, restored.stderr)
    assert.equal(await count(at('r')), 1001)
    const inspected = await marbledb('inspect', at('db'), '--json')
    assert.equal(JSON.parse(inspected.stdout).tables.find((t: { name: string }) => t.name === 's').rows, 1001)
    assert.match((await marbledb('inspect', at('db'))).stdout, /state s \(key, value; primary key key\)/)
    const list = await marbledb('backups', at('b'), '--json')
    assert.equal(JSON.parse(list.stdout).id, 1)
    const verified = await marbledb('verify', at('db'))
    assert.deepEqual({ code: verified.code, stdout: verified.stdout }, { code: 0, stdout: '' })
    assert.match(verified.stderr, /^ok: /)
    assert.equal((await marbledb('verify', at('b'), '--backup')).code, 0)
    const idx = readdirSync(at('db')).find(name => name.endsWith('.idx'))!
    rmSync(join(at('db'), idx))
    const damaged = await marbledb('verify', at('db'))
    assert.equal(damaged.code, 1)
    assert.match(damaged.stdout, new RegExp(`^error ${idx}: is missing`))
    assert.equal((await marbledb('verify', at('none'))).code, 1)
    assert.equal((await marbledb('verify')).code, 2)
    assert.equal((await marbledb('backup', at('db'), at('b'), '--keep', '0')).code, 2)
  })
})
