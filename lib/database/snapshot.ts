// A consistent view of a database: reads with it see the writes up to its sequence, and no later one.
import type { SnapshotHandle } from '../../binding.js'
import { binding } from '../binding.js'
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
