// How a state's values become bytes. 'buffer' and 'utf8' have their own fast paths in state-backend.ts.
import { deserialize, serialize } from 'node:v8'
import type { Any } from '../any.js'
import { invalidArgument, notSupported } from '../errors.js'
import { didYouMean, shown } from '../options.js'

export interface Codec<V = Any> {
  encode(value: V): Uint8Array
  decode(bytes: Uint8Array): V
}

export type ValueEncoding = 'buffer' | 'utf8' | 'json' | 'msgpack' | 'v8'

/** A codec, or the name of one of the two that need none. */
export function codecOf(encoding: ValueEncoding | Codec): Codec | 'buffer' | 'utf8' {
  if (typeof encoding === 'object' && encoding !== null) {
    if (typeof encoding.encode !== 'function' || typeof encoding.decode !== 'function') {
      throw invalidArgument('valueEncoding: a codec is an object with the functions encode and decode')
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
      return v8Codec
    case 'msgpack':
      throw notSupported("valueEncoding 'msgpack'", "use 'json' or 'v8', or pass a codec { encode, decode }")
    default: {
      const hint = typeof encoding === 'string' ? didYouMean(encoding, ['buffer', 'utf8', 'json', 'msgpack', 'v8']) : ''
      throw invalidArgument(
        `valueEncoding must be 'buffer', 'utf8', 'json', 'msgpack', 'v8' or a codec { encode, decode }, not ${shown(encoding)}${hint}`,
      )
    }
  }
}

const jsonCodec: Codec = {
  encode(value) {
    let text: string | undefined
    try {
      text = JSON.stringify(value)
    } catch (cause) {
      throw invalidArgument(`the value has no JSON form: ${(cause as Error).message}`, { cause })
    }
    if (text === undefined) throw invalidArgument(`the value has no JSON form: ${shown(value)}`)
    return Buffer.from(text)
  },
  decode: bytes => JSON.parse((bytes as Buffer).toString()) as unknown,
}

const v8Codec: Codec = {
  encode(value) {
    try {
      return serialize(value)
    } catch (cause) {
      throw invalidArgument(`the value cannot be serialized by v8: ${(cause as Error).message}`, { cause })
    }
  },
  decode: bytes => deserialize(bytes as Buffer) as unknown,
}
