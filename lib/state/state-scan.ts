// The entries of a state in key order, fetched in packed chunks: one crossing for hundreds of entries.
import type { EntryChunk, IteratorHandle } from '../../binding.js'
import { binding } from '../binding.js'
import { abortError } from '../errors.js'

const kFirstEntries = 64
const kMostEntries = 4096

export interface StateScanSpec<K, V> {
  /** Make the native iterator; a snapshot is taken here. Null: the range is empty. */
  open: () => IteratorHandle
  key: (bytes: Buffer, start: number, end: number) => K
  value: (bytes: Buffer, start: number, end: number) => V
  signal: AbortSignal | undefined
  /** Let the owner close the iterator with itself; returns how to forget it. */
  track: (close: () => void) => () => void
}

export class StateScan<K, V> implements Iterable<[K, V]>, AsyncIterable<[K, V]> {
  readonly #spec: StateScanSpec<K, V>
  // The snapshot belongs to the call of scan(): the first loop takes the iterator made there.
  #first: IteratorHandle | undefined

  constructor(spec: StateScanSpec<K, V>) {
    this.#spec = spec
    this.#first = spec.open()
  }

  #take(): { iterator: IteratorHandle; release: () => void } {
    const iterator = this.#first ?? this.#spec.open()
    this.#first = undefined
    const close = (): void => binding().iteratorClose(iterator)
    const forget = this.#spec.track(close)
    return {
      iterator,
      release: () => {
        forget()
        close()
      },
    }
  }

  *[Symbol.iterator](): Generator<[K, V], void, undefined> {
    const { iterator, release } = this.#take()
    try {
      for (let want = kFirstEntries; ; want = Math.min(want * 4, kMostEntries)) {
        if (this.#spec.signal?.aborted) throw abortError(this.#spec.signal)
        const chunk = binding().iteratorNextEntriesSync(iterator, want)
        if (chunk === undefined) return
        yield* this.#entries(chunk)
      }
    } finally {
      release()
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<[K, V], void, undefined> {
    const { iterator, release } = this.#take()
    try {
      for (let want = kFirstEntries; ; want = Math.min(want * 4, kMostEntries)) {
        if (this.#spec.signal?.aborted) throw abortError(this.#spec.signal)
        const chunk = await binding().iteratorNextEntries(iterator, want)
        if (this.#spec.signal?.aborted) throw abortError(this.#spec.signal)
        if (chunk === undefined) return
        yield* this.#entries(chunk)
      }
    } finally {
      release()
    }
  }

  *#entries({ bytes, ends }: EntryChunk): Generator<[K, V], void, undefined> {
    const buffer = Buffer.from(bytes)
    let at = 0
    for (let i = 0; i < ends.length; i += 2) {
      const middle = ends[i]!
      const end = ends[i + 1]!
      yield [this.#spec.key(buffer, at, middle), this.#spec.value(buffer, middle, end)]
      at = end
    }
  }
}
