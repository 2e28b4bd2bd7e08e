// Bytes by key: the microsecond path. Keys are ordered bytewise; strings are their UTF-8 form.
import type { Bound, StateHandle } from '../../binding.js'
import type { Any } from '../any.js'
import { binding } from '../binding.js'
import type { Database } from '../database/database.js'
import { handleOf } from '../database/handles.js'
import { type Snapshot, snapshotOf, snapshotRule } from '../database/snapshot.js'
import { abortError, invalidArgument, notSupported } from '../errors.js'
import { checkOptions, checkValue, count, later, oneOf, rule, type Rules, shown } from '../options.js'
import type { Codec, ValueEncoding } from './codec.js'
import { codecOf } from './codec.js'
import { slab } from './slab.js'
import { StateScan } from './state-scan.js'

export type Key = string | Uint8Array
export type Range<K> = { gte?: K; gt?: K; lte?: K; lt?: K }

export interface StateOptions {
  valueEncoding?: ValueEncoding | Codec
  ttlMs?: number
  mergeOperator?: 'int64add' | 'max' | 'min' | 'append'
  logged?: boolean
}
export interface StateScanOptions<Keys extends 'buffer' | 'utf8' = 'buffer'> extends Range<Key> {
  reverse?: boolean
  limit?: number
  keys?: Keys
  snapshot?: Snapshot
  signal?: AbortSignal
}

const kNoRoom = -2
const kTooBig = -3

const stateRules: Rules<StateOptions> = {
  valueEncoding: rule.anything, // codecOf looks at it
  ttlMs: later(count(1)),
  mergeOperator: later(oneOf('int64add', 'max', 'min', 'append')),
  logged: later(rule.flag, true),
}
const asyncReadRules = { snapshot: snapshotRule, signal: rule.signal }
const scanRules: Rules<StateScanOptions> = {
  gte: rule.bytes,
  gt: rule.bytes,
  lte: rule.bytes,
  lt: rule.bytes,
  reverse: rule.flag,
  limit: count(),
  keys: oneOf('buffer', 'utf8'),
  snapshot: snapshotRule,
  signal: rule.signal,
}

export function checkStateOptions(options: StateOptions | undefined): void {
  checkOptions('state', options, stateRules)
}

export class StateBackend<V = Buffer> {
  readonly name: string
  readonly #database: Database
  readonly #handle: StateHandle
  readonly #codec: Codec | 'buffer' | 'utf8'

  /** Made by Database.state. */
  constructor(database: Database, name: string, handle: StateHandle, encoding: ValueEncoding | Codec) {
    this.#database = database
    this.name = name
    this.#handle = handle
    this.#codec = codecOf(encoding)
  }

  /** @internal */
  get [handleOf](): StateHandle {
    return this.#handle
  }

  put(key: Key, value: V | Key): void {
    binding().statePut(this.#handle, key, this.encode(value))
  }

  /** All or nothing. */
  putMany(entries: Iterable<[Key, V | Key]>): void {
    if (typeof (entries as Partial<Iterable<unknown>> | null | undefined)?.[Symbol.iterator] !== 'function')
      throw invalidArgument(`putMany: entries must be an iterable of [key, value], not ${shown(entries)}`)
    const flat: Key[] = []
    for (const entry of entries) {
      if (!Array.isArray(entry) || entry.length !== 2)
        throw invalidArgument(`putMany: entry ${flat.length / 2} must be [key, value], not ${shown(entry)}`)
      flat.push(entry[0], this.encode(entry[1]))
    }
    if (flat.length > 0) binding().statePutMany(this.#handle, flat)
  }

  /** Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  putIfAbsent(_key: Key, _value: V | Key): boolean {
    throw notSupported('putIfAbsent')
  }

  get(key: Key, options?: { snapshot?: Snapshot }): V | undefined {
    const snapshot = snapshotOf('get', options)
    if (this.#codec === 'utf8') return binding().stateGetString(this.#handle, key, snapshot) as V | undefined
    let length = binding().stateGet(this.#handle, key, slab().offset, snapshot)
    if (length === kNoRoom) {
      slab().renew()
      length = binding().stateGet(this.#handle, key, 0, snapshot)
    }
    if (length >= 0) return this.#decode(slab().take(length))
    if (length !== kTooBig) return undefined
    // Without a slab yet every value is too big for it.
    if (slab().buffer.length === 0) {
      slab().renew()
      return this.get(key, options)
    }
    const bytes = binding().stateGetBuffer(this.#handle, key, snapshot)
    return bytes === undefined ? undefined : this.#decode(Buffer.from(bytes))
  }

  getString(key: Key, options?: { snapshot?: Snapshot }): string | undefined {
    return binding().stateGetString(this.#handle, key, snapshotOf('getString', options))
  }

  /** Never blocks the event loop on disk. */
  async getAsync(key: Key, options?: { snapshot?: Snapshot; signal?: AbortSignal }): Promise<V | undefined> {
    const snapshot = snapshotOf('getAsync', options, asyncReadRules)
    if (options?.signal?.aborted) throw abortError(options.signal)
    const bytes = await binding().stateGetAsync(this.#handle, key, snapshot)
    if (options?.signal?.aborted) throw abortError(options.signal)
    return bytes === undefined ? undefined : this.#decode(Buffer.from(bytes))
  }

  /** Values in the order of the keys, all of one snapshot. */
  multiGet(keys: Key[], options?: { snapshot?: Snapshot }): (V | undefined)[] {
    checkValue('multiGet', 'keys', keys, rule.list)
    const { bytes, ends } = binding().stateMultiGet(this.#handle, keys, snapshotOf('multiGet', options))
    const buffer = Buffer.from(bytes)
    const values: (V | undefined)[] = new Array<V | undefined>(keys.length).fill(undefined)
    let at = 0
    for (let i = 0; i < keys.length; i++) {
      const end = ends[i]!
      if (end < 0) continue
      values[i] = this.#decode(buffer.subarray(at, end) as Buffer)
      at = end
    }
    return values
  }

  exists(key: Key, options?: { snapshot?: Snapshot }): boolean {
    return binding().stateExists(this.#handle, key, snapshotOf('exists', options))
  }

  delete(key: Key): void {
    binding().stateDelete(this.#handle, key)
  }

  /** Delete the keys from `from` up to, not including, `to`. */
  deleteRange(from: Key, to: Key): void {
    if (Buffer.compare(toBytes(from), toBytes(to)) < 0) binding().stateDeleteRange(this.#handle, from, to)
  }

  /** Not supported yet: throws MARBLE_NOT_SUPPORTED. */
  merge(_key: Key, _operand: V | Key): void {
    throw notSupported('merge', 'read, change and put')
  }

  clear(): void {
    binding().stateDeleteRange(this.#handle, '', '')
  }

  /** A snapshot taken at the call; leaving the loop early releases it. */
  scan(options: StateScanOptions<'utf8'> & { keys: 'utf8' }): Iterable<[string, V]> & AsyncIterable<[string, V]>
  scan(options?: StateScanOptions): Iterable<[Buffer, V]> & AsyncIterable<[Buffer, V]>
  scan(options: StateScanOptions<'buffer' | 'utf8'>): Iterable<[Any, V]> & AsyncIterable<[Any, V]>
  scan(
    options: StateScanOptions<'buffer' | 'utf8'> = {},
  ): Iterable<[string | Buffer, V]> & AsyncIterable<[string | Buffer, V]> {
    const snapshot = snapshotOf('scan', options, scanRules)
    const lower = boundOf('gte', 'gt', options)
    const upper = boundOf('lte', 'lt', options)
    const open = () =>
      binding().stateScan(this.#handle, { lower, upper, snapshot, reverse: options.reverse, limit: options.limit })
    const asText = options.keys === 'utf8'
    return new StateScan<string | Buffer, V>({
      open,
      key: (bytes, start, end) =>
        asText ? bytes.toString('utf8', start, end) : (bytes.subarray(start, end) as Buffer),
      value:
        this.#codec === 'utf8'
          ? (bytes, start, end) => bytes.toString('utf8', start, end) as V
          : (bytes, start, end) => this.#decode(bytes.subarray(start, end) as Buffer),
      signal: options.signal,
      track: close => this.#database.track(close),
    })
  }

  async flush(): Promise<void> {
    await this.#database.flush()
  }

  /** @internal */
  encode(value: V | Key): Key {
    if (this.#codec === 'buffer' || this.#codec === 'utf8') return value as Key
    return this.#codec.encode(value)
  }

  #decode(bytes: Buffer): V {
    if (this.#codec === 'buffer') return bytes as V
    if (this.#codec === 'utf8') return bytes.toString() as V
    return this.#codec.decode(bytes) as V
  }
}

export function toBytes(key: Key): Uint8Array {
  if (typeof key === 'string') return Buffer.from(key)
  if (key instanceof Uint8Array) return key
  throw invalidArgument(`the key must be a string or a Uint8Array (Buffer), not ${shown(key)}`)
}

function boundOf(inclusive: 'gte' | 'lte', exclusive: 'gt' | 'lt', range: Range<Key>): Bound | undefined {
  if (range[inclusive] !== undefined && range[exclusive] !== undefined) {
    throw invalidArgument(`scan: a range has ${inclusive} or ${exclusive}, not both`)
  }
  if (range[inclusive] !== undefined) return { key: range[inclusive], inclusive: true }
  return range[exclusive] === undefined ? undefined : { key: range[exclusive], inclusive: false }
}
