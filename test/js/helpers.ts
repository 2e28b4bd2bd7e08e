// What tests of the package share: directories of their own, databases that are closed again, rows of Arrow batches.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database, type OpenOptions } from 'marbledb'

/** A directory that is removed after the suite's test. */
export function temporaryDirectory(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'marbledb-test-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** Run with a database on disk, closed and removed afterwards. */
export async function withDatabase(
  run: (database: Database, path: string) => Promise<void>,
  options?: OpenOptions,
): Promise<void> {
  const directory = temporaryDirectory()
  const path = join(directory.path, 'db')
  const database = await Database.open(path, options)
  try {
    await run(database, path)
  } finally {
    await database.close()
    directory.remove()
  }
}

/** The code of an error, for assert.throws and assert.rejects. */
export const withCode =
  (code: string, message?: RegExp) =>
  (error: unknown): boolean => {
    const { code: actual, message: text } = error as { code?: string; message: string }
    if (actual !== code) throw new Error(`expected ${code}, got ${actual}: ${text}`)
    if (message !== undefined && !message.test(text)) throw new Error(`the message does not match ${message}: ${text}`)
    return true
  }

export async function collect<T>(iterable: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of iterable) all.push(item)
  return all
}
