// A consistent view of a database: reads with it see the writes up to its sequence, and no later one.
import type { SnapshotHandle } from '../../binding.js'
import { binding } from '../binding.js'
import { checkOptions, type Rule } from '../options.js'
import type { Database } from './database.js'
import { handleOf } from './handles.js'

export class Snapshot implements Disposable {
  readonly sequence: bigint
  readonly #handle: SnapshotHandle
  readonly #forget: () => void

  /** Made by Database.snapshot. */
  constructor(database: Database, handle: SnapshotHandle) {
    this.#handle = handle
    this.sequence = binding().snapshotSequence(handle)
    this.#forget = database.track(() => this.close())
  }

  /** @internal */
  get [handleOf](): SnapshotHandle {
    return this.#handle
  }

  /** Let go of it; harmless when closed already. */
  close(): void {
    this.#forget()
    binding().snapshotClose(this.#handle)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

export const snapshotRule: Rule = {
  allowed: 'a Snapshot, as made by Database.snapshot',
  is: value => value instanceof Snapshot,
}
const kReadRules: Readonly<Record<string, Rule>> = { snapshot: snapshotRule }

/** Check the options of a read and take the snapshot out; the addon refuses one that is closed or of another database. */
export function snapshotOf(
  where: string,
  options: { snapshot?: Snapshot } | undefined,
  rules: Readonly<Record<string, Rule>> = kReadRules,
): SnapshotHandle | undefined {
  if (options === undefined) return undefined
  checkOptions(where, options, rules)
  return options.snapshot?.[handleOf]
}
