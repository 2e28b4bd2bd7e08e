// Every example in README.md runs, in a process of its own, and prints what the README says.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const examples = [...readme.matchAll(/<!-- example: ([a-z-]+) -->\n```js\n([\s\S]*?)```\nprints\n```\n([\s\S]*?)```/g)]

describe('README.md', () => {
  it('has its examples marked so that they can be run', () => {
    assert.equal(examples.length, (readme.match(/```js\n/g) ?? []).length)
    assert.ok(examples.length >= 3)
  })
  for (const [, name, code, expected] of examples) {
    it(`runs its example "${name}"`, async () => {
      // Inside the package, so that 'marbledb' resolves as it does for a user.
      const folder = join(root, 'build', 'readme')
      mkdirSync(folder, { recursive: true })
      const file = join(folder, `${name}.mjs`)
      writeFileSync(file, code!)
      try {
        const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 25_000 })
        assert.equal(stdout, expected)
      } finally {
        rmSync(file)
      }
    })
  }
})
