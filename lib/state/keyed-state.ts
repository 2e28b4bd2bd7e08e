// Keyed state and timers of users' own operators: the types. Database.keyedState and Database.timers, which make them, are not
// there yet: they throw MARBLE_NOT_SUPPORTED.
import type { Schema } from 'apache-arrow'
import type { WriteBatch } from '../database/write-batch.js'
import type { Key } from './state-backend.js'

export type Ttl = { ms: number; update?: 'write' | 'readWrite' }

export interface StateDescriptor {
  default?: unknown
  encoding?: 'json' | 'msgpack' | 'v8' | Schema
  ttl?: Ttl
}

export interface KeyedStateOptions {
  maxParallelism?: number
  ttl?: Ttl
}

export interface AggregateFunction<I, A, O> {
  createAccumulator(): A
  add(value: I, accumulator: A): A
  merge(a: A, b: A): A
  getResult(accumulator: A): O
}

/** Flink's keyed state. Everything done between two setCurrentKey calls of one turn is written in one batch. */
export interface KeyedState {
  setCurrentKey(key: Key | number | bigint): void
  keys(): Iterable<Key>
  clear(): void
  value<T>(
    name: string,
    descriptor?: StateDescriptor,
  ): { value(): T | undefined; update(value: T): void; clear(): void }
  list<T>(
    name: string,
    descriptor?: StateDescriptor,
  ): { add(value: T): void; addAll(values: T[]): void; get(): T[]; update(values: T[]): void; clear(): void }
  map<K, V>(
    name: string,
    descriptor?: StateDescriptor,
  ): {
    get(key: K): V | undefined
    put(key: K, value: V): void
    remove(key: K): void
    contains(key: K): boolean
    entries(): Iterable<[K, V]>
    clear(): void
  }
  reducing<T>(
    name: string,
    reduce: (a: T, b: T) => T,
    descriptor?: StateDescriptor,
  ): { add(value: T): void; get(): T | undefined; clear(): void }
  aggregating<I, A, O>(
    name: string,
    aggregate: AggregateFunction<I, A, O>,
    descriptor?: StateDescriptor,
  ): { add(value: I): void; get(): O | undefined; clear(): void }
}

export type TimerDomain = 'event' | 'processing'

export interface Timers {
  /** A timer of the same name and key is moved. */
  register(name: string, timestampMs: number, options?: { key?: Key; domain?: TimerDomain }): void
  delete(name: string, options?: { key?: Key }): boolean
  list(): { name: string; timestamp: number; key?: Key; domain: TimerDomain }[]
  currentWatermark(): number
  /** Resolves with the number of timers fired, after their handlers. Ordered by (timestamp, name). */
  setWatermark(partition: number, ms: number, options?: { idle?: boolean }): Promise<number>
  /** What the handler writes to keyed state and to tx commits together with the timer's removal; if it throws, the timer stays. */
  on(
    event: 'fire',
    handler: (timer: { name: string; timestamp: number; key?: Key }, tx: WriteBatch) => void | Promise<void>,
  ): this
}
