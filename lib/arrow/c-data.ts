// Batches by the Arrow C Data Interface: addresses of its structs, for other native addons in this process.
import { notSupported } from '../errors.js'
import type { Batch } from './batch.js'

export interface ArrowCAddresses {
  array: bigint
  schema: bigint
}

/** The batch behind two structs, which it takes over. Not supported yet: throws MARBLE_NOT_SUPPORTED. */
export function importFromC(_addresses: ArrowCAddresses): Batch {
  throw notSupported('importFromC', 'pass batches as Arrow IPC bytes')
}
