// A RecordBatch whose columns lie in memory of the addon: in the mapping of a file (zeroCopy) or in a buffer of its own.
//
// release() empties it. When the last batch over a buffer is released the buffer is detached, so that the memory (or the
// mapping) goes at once instead of with a garbage collection. Batches that are merely dropped never detach: typed arrays
// that were taken out of them stay good.
import * as arrow from 'apache-arrow'
import { binding, shared } from '../binding.js'
import { notSupported } from '../errors.js'
import type { ArrowCAddresses } from './c-data.js'

/** The batches over one ArrayBuffer that were not released. */
class Holders {
  readonly buffer: ArrayBuffer
  count = 0
  constructor(buffer: ArrayBuffer) {
    this.buffer = buffer
  }
}
const allHolders = (): WeakMap<ArrayBuffer, Holders> => shared('holders', () => new WeakMap<ArrayBuffer, Holders>())

function hold(buffer: ArrayBuffer): Holders {
  const holdersOf = allHolders()
  let holders = holdersOf.get(buffer)
  if (holders === undefined) {
    holders = new Holders(buffer)
    holdersOf.set(buffer, holders)
  }
  holders.count++
  return holders
}

type MutableData = { -readonly [K in keyof arrow.Data]: arrow.Data[K] } & { _nullCount: number }

// In place: whoever holds this Data, or a Vector over it, sees no values any more.
function emptyData(data: arrow.Data): void {
  const mutable = data as unknown as MutableData
  for (const child of data.children) emptyData(child)
  mutable.length = 0
  mutable._nullCount = 1
  mutable.nullBitmap = new Uint8Array(8)
  if (mutable.values !== undefined) mutable.values = mutable.values.subarray(0, 0) as never
  if (mutable.valueOffsets !== undefined)
    mutable.valueOffsets = new (mutable.valueOffsets.constructor as Int32ArrayConstructor)(1) as never
}

export class MarbleBatch<T extends arrow.TypeMap = arrow.TypeMap> extends arrow.RecordBatch<T> implements Disposable {
  /** The columns lie in the mapping of a file of the database: nothing was copied. Computed from the address. */
  declare readonly zeroCopy: boolean
  #holders: Holders | undefined
  readonly #vectors: (arrow.Vector | null)[] = []

  constructor(
    schema: arrow.Schema<T>,
    data: arrow.Data<arrow.Struct<T>>,
    buffer: ArrayBuffer | undefined,
    zeroCopy: boolean,
  ) {
    super(schema, data)
    Object.defineProperty(this, 'zeroCopy', { value: zeroCopy, enumerable: false })
    if (buffer !== undefined) this.#holders = hold(buffer)
  }

  override getChildAt<R extends T[keyof T] = T[keyof T]>(index: number): arrow.Vector<R> | null {
    const known = this.#vectors[index]
    if (known !== undefined) return known as arrow.Vector<R> | null
    const vector = super.getChildAt<R>(index)
    this.#vectors[index] = vector
    return vector
  }

  /** Let go of the memory: from now on the columns have length 0. Harmless the second time. */
  release(): void {
    const holders = this.#holders
    if (holders === undefined) return
    this.#holders = undefined
    for (const child of this.data.children) emptyData(child)
    emptyData(this.data)
    for (const vector of this.#vectors) {
      if (vector !== null && vector !== undefined) (vector as { length: number }).length = 0
    }
    if (--holders.count === 0) {
      allHolders().delete(holders.buffer)
      binding().detach(holders.buffer)
    }
  }

  [Symbol.dispose](): void {
    this.release()
  }

  /** Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  exportToC(): ArrowCAddresses {
    throw notSupported('exportToC')
  }
}

export type Batch<T extends arrow.TypeMap = arrow.TypeMap> = MarbleBatch<T>
