// Finds and loads the addon. Tried in this order: the file that MARBLEDB_BINDING (or useBinding) names, prebuilds/<platform>-<arch>/
// of the package, build/Release. A failure says what was tried and why each did not work.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'
import type * as Binding from '../binding.js'
import { type ErrorCode, makeError } from './errors.js'
import { checkValue, rule } from './options.js'

export type { Binding }

const require = createRequire(import.meta.url)
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
let chosen: string | undefined
let loaded: typeof Binding | undefined

function isMusl(): boolean {
  if (process.platform !== 'linux') return false
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header?.glibcVersionRuntime === undefined
}

function candidates(): string[] {
  const named = chosen ?? process.env.MARBLEDB_BINDING
  if (named !== undefined && named !== '') return [resolve(named)]
  const libc = isMusl() ? '-musl' : ''
  return [
    join(root, 'prebuilds', `${process.platform}-${process.arch}${libc}`, 'marbledb.node'),
    join(root, 'build', 'Release', 'marbledb.node'),
  ]
}

/** Load this addon file instead of the package's own. Only before the first use. */
export function useBinding(path: string): void {
  if (loaded !== undefined)
    throw makeError('MARBLE_BINDING', 'the addon is loaded already: call useBinding before anything else')
  checkValue('useBinding', 'path', path, rule.text)
  chosen = path
}

/** The addon, loaded on first use. */
export function binding(): typeof Binding {
  loaded ??= load()
  return loaded
}

const sharedKey = Symbol.for('marbledb.shared')

/** State that belongs to the addon's environment, not to this copy of the package: two copies may share one addon. */
export function shared<T>(name: string, make: () => T): T {
  const addon = binding() as unknown as { [sharedKey]?: Map<string, unknown> }
  addon[sharedKey] ??= new Map()
  if (!addon[sharedKey].has(name)) addon[sharedKey].set(name, make())
  return addon[sharedKey].get(name) as T
}

function load(): typeof Binding {
  const tried: string[] = []
  let cause: unknown
  for (const path of candidates()) {
    if (!existsSync(path)) {
      tried.push(`${path}: there is no such file`)
      continue
    }
    try {
      const native = require(path) as typeof Binding
      native.setErrorFactory((code, message) => makeError(code as ErrorCode, message))
      // process.exit runs no cleanup hooks of the main thread. Nothing is closed here: listeners of the user's own may
      // still write something.
      if (isMainThread) process.on('exit', () => native.prepareExit())
      return native
    } catch (error) {
      cause = error
      tried.push(`${path}: ${(error as Error).message}`)
    }
  }
  const where = `${process.platform}-${process.arch}, Node ${process.version}`
  throw makeError(
    'MARBLE_BINDING',
    `the native addon of marbledb cannot be loaded (${where}). Tried:\n${tried.map(line => `  ${line}`).join('\n')}\n` +
      'If the package was installed on another platform, install it again here; in a clone of the repository run scripts/build; ' +
      'or name the file in MARBLEDB_BINDING.',
    { cause },
  )
}
