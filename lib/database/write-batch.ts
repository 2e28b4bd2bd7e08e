// Changes over any number of states and tables, atomic when committed. Of several changes of one key the last one counts.
import type { WriteBatchHandle } from '../../binding.js'
import { importRows } from '../arrow/import.js'
import type { RecordBatchLike, TableLike } from '../arrow/like.js'
import { binding } from '../binding.js'
import { checkOptions, checkValue, oneOf, type Rule, type Rules } from '../options.js'
import { type Key, StateBackend, type StateValue, toBytes } from '../state/state-backend.js'
import { Table } from '../table/table.js'
import { handleOf } from './handles.js'

export type Durability = 'process' | 'power'

const commitRules: Rules<{ durability?: Durability }> = { durability: oneOf('process', 'power') }
const stateRule: Rule = {
  allowed: 'a StateBackend, as made by Database.state',
  is: value => value instanceof StateBackend,
}
const tableRule: Rule = { allowed: 'a Table, as made by Database.table', is: value => Table.isTable(value) }

export class WriteBatch {
  readonly #handle: WriteBatchHandle

  /** Made by Database.batch. */
  constructor(handle: WriteBatchHandle) {
    this.#handle = handle
  }

  put<V>(state: StateBackend<V>, key: Key, value: StateValue<V>): this {
    checkValue('WriteBatch.put', 'state', state, stateRule)
    binding().batchPut(this.#handle, state[handleOf], key, state.encode(value))
    return this
  }

  /** Combine with what the key has, by the state's mergeOperator. */
  merge<V>(state: StateBackend<V>, key: Key, operand: StateValue<V>): this {
    checkValue('WriteBatch.merge', 'state', state, stateRule)
    binding().batchMerge(this.#handle, state[handleOf], key, state.encode(operand))
    return this
  }

  delete<V>(state: StateBackend<V>, key: Key): this {
    checkValue('WriteBatch.delete', 'state', state, stateRule)
    binding().batchDelete(this.#handle, state[handleOf], key)
    return this
  }

  /** Delete the keys from `from` up to, not including, `to`. */
  deleteRange<V>(state: StateBackend<V>, from: Key, to: Key): this {
    checkValue('WriteBatch.deleteRange', 'state', state, stateRule)
    if (Buffer.compare(toBytes(from), toBytes(to)) < 0) {
      binding().batchDeleteRange(this.#handle, state[handleOf], from, to)
    }
    return this
  }

  insert<R>(table: Table<R>, rows: RecordBatchLike | TableLike | readonly R[]): this {
    checkValue('WriteBatch.insert', 'table', table, tableRule)
    const { handle, jsonSchema } = table.columns
    for (const batch of importRows(jsonSchema, rows)) binding().batchInsert(this.#handle, handle, batch)
    return this
  }

  deleteRow<R>(table: Table<R>, key: object | unknown[]): this {
    checkValue('WriteBatch.deleteRow', 'table', table, tableRule)
    const { columns } = table
    binding().batchDeleteRow(this.#handle, columns.handle, table.keyValues(key, columns))
    return this
  }

  /** Write it. Afterwards the batch is empty and may be used again. */
  async commit(options?: { durability?: Durability }): Promise<void> {
    await binding().batchCommit(this.#handle, isPower(options))
  }

  commitSync(options?: { durability?: Durability }): void {
    binding().batchCommitSync(this.#handle, isPower(options))
  }

  get length(): number {
    return binding().batchLength(this.#handle)
  }

  clear(): void {
    binding().batchClear(this.#handle)
  }
}

function isPower(options: { durability?: Durability } | undefined): boolean {
  checkOptions('commit', options, commitRules)
  return options?.durability === 'power'
}
