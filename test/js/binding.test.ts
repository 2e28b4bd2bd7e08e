import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { binding } from '../../dist/binding.js'
import { errorCodes, KafkaError, makeError, MarbleError } from '../../dist/errors.js'
import { SqlError } from '../../dist/sql/sql-error.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const open = "import { Database } from 'marbledb'; await Database.open(':memory:')"

function run(script: string, env: Record<string, string>): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
  })
  return { status, stderr }
}

describe('The addon', () => {
  it('has the error codes that TypeScript knows, and no others', () => {
    assert.deepEqual([...binding().errorCodes()].sort(), [...errorCodes].sort())
  })

  it('has the functions of binding.d.ts with the signatures above the native functions', () => {
    const output = execFileSync(process.execPath, ['scripts/check-binding.mjs'], { cwd: root, encoding: 'utf8' })
    assert.match(output, / 0 complaints/)
  })

  it('errors are of the class of their code and say whether to try again', () => {
    const error = makeError('MARBLE_BUSY', 'wait')
    assert.equal(error.retriable, true)
    assert.equal(makeError('MARBLE_CLOSED', '').name, 'ClosedError')
    assert.equal(makeError('MARBLE_ABORTED', '').name, 'AbortError')
    const argument = makeError('MARBLE_INVALID_ARGUMENT', 'no')
    assert.ok(argument instanceof TypeError && argument instanceof MarbleError && !(argument instanceof KafkaError))
    assert.deepEqual([argument.code, argument.retriable], ['MARBLE_INVALID_ARGUMENT', false])
    const sql = new SqlError('no', { line: 2, column: 3 })
    assert.ok(sql instanceof MarbleError && sql instanceof SqlError && sql instanceof Error)
    assert.deepEqual([sql.name, sql.code, sql.line, sql.retriable], ['SqlError', 'MARBLE_SQL', 2, false])
  })

  it('says what it tried when the named file is not there', () => {
    const { status, stderr } = run(open, { MARBLEDB_BINDING: '/nowhere/marbledb.node' })
    assert.notEqual(status, 0)
    assert.match(stderr, /MARBLE_BINDING/)
    assert.match(stderr, /\/nowhere\/marbledb\.node: there is no such file/)
  })

  it('says why a file that is no addon cannot be loaded', () => {
    const directory = mkdtempSync(join(tmpdir(), 'marbledb-test-'))
    const file = join(directory, 'broken.node')
    writeFileSync(file, 'this is no shared library')
    const { status, stderr } = run(open, { MARBLEDB_BINDING: file })
    rmSync(directory, { recursive: true })
    assert.notEqual(status, 0)
    assert.match(stderr, /broken\.node: .*(invalid ELF header|file too short)/)
  })

  it('exports nothing but its two entry points', () => {
    const path = process.env.MARBLEDB_BINDING ?? join(root, 'build/Release/marbledb.node')
    const symbols = execFileSync('nm', ['-D', '--defined-only', path], { encoding: 'utf8' })
    const names = symbols
      .trim()
      .split('\n')
      .map(line => line.split(' ').at(-1))
    assert.deepEqual(names.sort(), ['napi_register_module_v1', 'node_api_module_get_api_version_v1'])
  })
})
