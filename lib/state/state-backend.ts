// Bytes by key: the microsecond path. Keys are ordered bytewise; strings are their UTF-8 form.
import type { Bound, StateHandle } from '../../binding.js'
import type { Any } from '../any.js'
import { binding } from '../binding.js'
import type { Database } from '../database/database.js'
import { handleOf } from '../database/handles.js'
import { type Snapshot, snapshotOf, snapshotRule } from '../database/snapshot.js'
import { abortError, invalidArgument } from '../errors.js'
import { checkOptions, checkValue, count, oneOf, rule, type Rules, shown } from '../options.js'
import type { Codec, ValueEncoding } from './codec.js'
import { codecOf } from './codec.js'
import { slab } from './slab.js'
import { StateScan } from './state-scan.js'

export type Key = string | Uint8Array
export type Range<K> = { gte?: K; gt?: K; lte?: K; lt?: K }

/** What a state takes as a value: int64add takes numbers and bigints as well. */
export type StateValue<V> = V | Key | (V extends Buffer ? number | bigint : never)
export type MergeOperator = 'int64add' | 'max' | 'min' | 'append'

export interface StateOptions {
  valueEncoding?: ValueEncoding | Codec
  /** Values are gone so long after they were written; space comes back by compaction. */
  ttlMs?: number
  /**
   * What merge() does. int64add: 8 bytes, a little-endian int64 (numbers and bigints are taken as well), wraps around; max and
   * min compare bytes; append puts the operand behind the value.
   */
  mergeOperator?: MergeOperator
  /** false: not in the log. After a crash all such states and tables are as they were at the last flush. */
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
  ttlMs: count(1),
  mergeOperator: oneOf('int64add', 'max', 'min', 'append'),
  logged: rule.flag,
}
const kInt64Bytes = 8
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

/** Operators work on bytes: on those of an encoding that means something else they would make nonsense. */
export function checkMergedEncoding(operator: string, encoding: ValueEncoding | Codec): void {
  const works = operator === 'int64add' ? ['buffer'] : ['buffer', 'utf8']
  if (typeof encoding === 'object' || works.includes(encoding)) return
  throw invalidArgument(
    `state: mergeOperator '${operator}' works on bytes, not on those of valueEncoding '${encoding}'; use ${works
      .map(name => `'${name}'`)
      .join(' or ')} or a codec`,
  )
}

export class StateBackend<V = Buffer> {
  readonly name: string
  readonly #database: Database
  readonly #handle: StateHandle
  readonly #codec: Codec | 'buffer' | 'utf8'
  readonly #mergeOperator: string

  /** Made by Database.state. */
  constructor(
    database: Database,
    name: string,
    handle: StateHandle,
    encoding: ValueEncoding | Codec,
    mergeOperator: string,
  ) {
    this.#database = database
    this.name = name
    this.#handle = handle
    this.#codec = codecOf(encoding)
    this.#mergeOperator = mergeOperator
  }

  /** @internal */
  get [handleOf](): StateHandle {
    return this.#handle
  }

  put(key: Key, value: StateValue<V>): void {
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

  /** Put a value unless the key has one. True: it was put. Atomic against all other writes. */
  putIfAbsent(key: Key, value: StateValue<V>): boolean {
    return binding().statePutIfAbsent(this.#handle, key, this.encode(value))
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

  /** Combine with what the key has, by the state's mergeOperator; without one: MARBLE_INVALID_ARGUMENT. */
  merge(key: Key, operand: StateValue<V>): void {
    binding().stateMerge(this.#handle, key, this.encode(operand))
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
  encode(value: StateValue<V>): Key {
    if (this.#codec === 'buffer' || this.#codec === 'utf8') {
      if (this.#mergeOperator === 'int64add' && (typeof value === 'number' || typeof value === 'bigint')) {
        return int64Bytes(value)
      }
      return value as Key
    }
    return this.#codec.encode(value)
  }

  #decode(bytes: Buffer): V {
    if (this.#codec === 'buffer') return bytes as V
    if (this.#codec === 'utf8') return bytes.toString() as V
    return this.#codec.decode(bytes) as V
  }
}

function int64Bytes(value: number | bigint): Buffer {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw invalidArgument(`int64add: ${value} is no whole number that is exact; use a bigint`)
  }
  const bytes = Buffer.allocUnsafe(kInt64Bytes)
  bytes.writeBigInt64LE(BigInt.asIntN(64, BigInt(value)))
  return bytes
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
