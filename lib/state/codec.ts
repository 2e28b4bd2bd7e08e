// How a state's values become bytes. 'buffer' and 'utf8' have their own fast paths in state-backend.ts.
import { deserialize, serialize } from 'node:v8'
import { invalidArgument, notSupported } from '../errors.js'

export interface Codec<V = unknown> {
  encode(value: V): Uint8Array
  decode(bytes: Uint8Array): V
}

export type ValueEncoding = 'buffer' | 'utf8' | 'json' | 'msgpack' | 'v8'

/** A codec, or the name of one of the two that need none. */
export function codecOf(encoding: ValueEncoding | Codec): Codec | 'buffer' | 'utf8' {
  if (typeof encoding === 'object') {
    if (typeof encoding.encode !== 'function' || typeof encoding.decode !== 'function') {
      throw invalidArgument('valueEncoding: a codec has the functions encode and decode')
    }
    return encoding
  }
  switch (encoding) {
    case 'buffer':
    case 'utf8':
      return encoding
    case 'json':
      return jsonCodec
    case 'v8':
      return { encode: serialize, decode: bytes => deserialize(bytes as Buffer) as unknown }
    case 'msgpack':
      throw notSupported("valueEncoding 'msgpack'", "use 'json' or 'v8', or pass a codec { encode, decode }")
    default:
      throw invalidArgument(
        `valueEncoding must be 'buffer', 'utf8', 'json', 'msgpack', 'v8' or a codec, not ${String(encoding)}`,
      )
  }
}

const jsonCodec: Codec = {
  encode(value) {
    const text = JSON.stringify(value)
    if (text === undefined) throw invalidArgument(`a ${typeof value} has no JSON form`)
    return Buffer.from(text)
  },
  decode: bytes => JSON.parse((bytes as Buffer).toString()) as unknown,
}
