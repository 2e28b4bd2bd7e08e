// A row read by key, from the cells that the addon has written into scratch memory (native/napi/row_cells.h): one crossing and
// no Arrow batch.
import { binding, shared } from '../binding.js'
import type { JsonField, JsonSchema } from '../arrow/json-schema.js'
import { fromInt64, fromNumber } from '../arrow/values.js'
import { slab } from '../state/slab.js'

const kCellBytes = 64 * 1024
let doubles = new Float64Array(0)
let longs = new BigInt64Array(0)
let unsignedLongs = new BigUint64Array(0)
let words = new Uint32Array(0)
let flags = new Uint8Array(0)

/** Scratch memory of this environment, made at the first use. */
export function prepareCells(): void {
  if (flags.length > 0) return
  const memory = shared('cells', () => {
    const made = new ArrayBuffer(kCellBytes)
    binding().setCells(made)
    return made
  })
  doubles = new Float64Array(memory)
  longs = new BigInt64Array(memory)
  unsignedLongs = new BigUint64Array(memory)
  words = new Uint32Array(memory)
  flags = new Uint8Array(memory)
}

type Read = (cell: number) => unknown

function readerOf({ type }: JsonField): Read {
  switch (type.name) {
    case 'utf8':
    case 'largeutf8':
      return cell => slab().buffer.toString('utf8', words[cell * 2]!, words[cell * 2]! + words[cell * 2 + 1]!)
    case 'decimal':
      return cell => slab().buffer.toString('latin1', words[cell * 2]!, words[cell * 2]! + words[cell * 2 + 1]!)
    case 'binary':
    case 'largebinary':
    case 'fixedsizebinary':
      return cell => slab().buffer.subarray(words[cell * 2]!, words[cell * 2]! + words[cell * 2 + 1]!)
    case 'int':
      if (type.bitWidth === 64) return type.isSigned ? cell => longs[cell] : cell => unsignedLongs[cell]
      return cell => doubles[cell]
    case 'timestamp':
    case 'duration': {
      const convert = fromInt64(type, {})
      return cell => convert(longs[cell]!)
    }
    case 'time':
      return type.bitWidth === 64 ? cell => longs[cell] : cell => doubles[cell]
    case 'date': {
      if (type.unit === 'MILLISECOND') return cell => Number(longs[cell])
      const convert = fromNumber(type, {})!
      return cell => convert(doubles[cell]!)
    }
    case 'bool':
      return cell => doubles[cell] !== 0
    default:
      return cell => doubles[cell]
  }
}

export class CellReader {
  readonly #names: readonly string[]
  readonly #read: readonly Read[]

  constructor(schema: JsonSchema) {
    this.#names = schema.fields.map(field => field.name)
    this.#read = schema.fields.map(readerOf)
  }

  /** The row that was written last. */
  row(): Record<string, unknown> {
    const count = this.#names.length
    const nulls = count * 8
    const row: Record<string, unknown> = {}
    for (let i = 0; i < count; i++) row[this.#names[i]!] = flags[nulls + i] === 1 ? null : this.#read[i]!(i)
    return row
  }
}
