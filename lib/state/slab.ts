// Memory that values of gets are copied into by the addon and seen through Buffers: far cheaper than a Buffer that the addon
// makes for each. A slab is never reused: when it is full a fresh one is taken, and the old one lives as long as the Buffers in it.
import { binding, shared } from '../binding.js'

export const kSlabBytes = 64 * 1024

class Slab {
  buffer: Buffer = Buffer.alloc(0)
  /** Where the next value goes. */
  offset = 0

  /** Take a fresh slab. */
  renew(): void {
    this.buffer = Buffer.allocUnsafeSlow(kSlabBytes)
    this.offset = 0
    binding().setSlab(this.buffer.buffer as ArrayBuffer)
  }

  /** The Buffer over what the addon has just written. */
  take(length: number): Buffer {
    const start = this.offset
    this.offset = start + length
    return Buffer.from(this.buffer.buffer as ArrayBuffer, start, length)
  }
}

let known: Slab | undefined

/** One per environment: a value is always taken before the next call. */
export function slab(): Slab {
  known ??= shared('slab', () => new Slab())
  return known
}
