// Feeds a job from a JavaScript iterable: rows gathered into batches of at most kRows or kWaitMs, held back while the job's
// queue is full. A resumed job gets the iterable from its beginning: the native side skips what it has seen.
import type { ImportedBatch, PushSourceHandle } from '../../binding.js'
import { importBatch } from '../arrow/import.js'
import type { JsonSchema } from '../arrow/json-schema.js'
import { isRecordBatchLike, isTableLike } from '../arrow/like.js'
import { RowWriter } from '../arrow/row-writer.js'
import { binding } from '../binding.js'
import { makeError } from '../errors.js'

export type SourceRows = Iterable<object> | AsyncIterable<object>

const kRows = 10_000
const kWaitMs = 5

/** What registerSource was given. */
export class RegisteredRows {
  readonly name: string
  readonly schema: JsonSchema
  readonly #rows: SourceRows
  #used = false

  constructor(name: string, schema: JsonSchema, rows: SourceRows) {
    this.name = name
    this.schema = schema
    this.#rows = rows
  }

  /** An iterator over all rows. A generator gives them once only. */
  iterate(): AsyncIterator<object> | Iterator<object> {
    // A whole batch or table is taken as it is, not row by row.
    const whole = isRecordBatchLike(this.#rows)
      ? [this.#rows]
      : isTableLike(this.#rows)
        ? this.#rows.batches
        : this.#rows
    const rows = whole as Partial<AsyncIterable<object>> & Partial<Iterable<object>>
    const iterator = rows[Symbol.asyncIterator]?.() ?? rows[Symbol.iterator]!()
    if ((iterator as unknown) === this.#rows && this.#used) {
      throw makeError(
        'MARBLE_INVALID_ARGUMENT',
        `the rows of source '${this.name}' were read already: register an array, or an object whose [Symbol.asyncIterator] begins anew`,
      )
    }
    this.#used = true
    return iterator
  }
}

export class Pump {
  readonly handle: PushSourceHandle
  readonly #source: RegisteredRows
  readonly #columns: readonly string[]
  readonly #writer: RowWriter
  #pending: object[] = []
  /** Rows of the iterable before those pending, as messages count them. */
  #sent = 0
  #timer: NodeJS.Timeout | undefined
  /** Set while the job's queue is full. */
  #full: Promise<void> | undefined
  #room: (() => void) | undefined
  #stopped = false

  /** `columns`: those that the plan reads, in its order. */
  constructor(source: RegisteredRows, columns: JsonSchema) {
    this.#source = source
    this.#columns = columns.fields.map(field => field.name)
    this.#writer = new RowWriter(
      columns,
      source.schema.fields.map(field => field.name),
    )
    this.handle = binding().pushSourceNew(JSON.stringify(columns), () => this.#onDemand())
  }

  /** Run until the iterable or the job ends. Never rejects: a failure goes to the job. */
  async run(iterator: AsyncIterator<object> | Iterator<object>): Promise<void> {
    try {
      // A sync iterator is not awaited row by row.
      const isAsync = typeof (iterator as { [Symbol.asyncIterator]?: unknown })[Symbol.asyncIterator] === 'function'
      while (!this.#stopped) {
        const step = iterator.next()
        const { value, done } = isAsync || step instanceof Promise ? await step : (step as IteratorResult<object>)
        if (done === true) break
        await this.#take(value)
      }
      if (this.#stopped) {
        await iterator.return?.()
        return
      }
      await this.#flush()
      if (!this.#stopped) binding().pushSourceFinish(this.handle)
    } catch (error) {
      if (!this.#stopped)
        binding().pushSourceFail(
          this.handle,
          `source '${this.#source.name}': ${error instanceof Error ? error.message : String(error)}`,
        )
    } finally {
      clearTimeout(this.#timer)
    }
  }

  /** The job has ended. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#onDemand()
  }

  async #take(row: object): Promise<void> {
    if (isRecordBatchLike(row)) {
      await this.#flush()
      this.#sent += row.numRows
      this.#push(importBatch(row, this.#columns))
    } else {
      this.#pending.push(row)
      if (this.#pending.length >= kRows) await this.#flush()
      else this.#timer ??= setTimeout(() => this.#flushSoon(), kWaitMs)
    }
    if (this.#full !== undefined) await this.#full
  }

  #flushSoon(): void {
    this.#timer = undefined
    if (this.#full !== undefined) return
    try {
      this.#send()
    } catch (error) {
      binding().pushSourceFail(this.handle, `source '${this.#source.name}': ${(error as Error).message}`)
      this.stop()
    }
  }

  async #flush(): Promise<void> {
    if (this.#full !== undefined) await this.#full
    this.#send()
    // Long synchronous iterables let others run between batches.
    await new Promise(resolve => setImmediate(resolve))
  }

  #send(): void {
    const rows = this.#pending
    if (rows.length === 0 || this.#stopped) return
    this.#pending = []
    const first = this.#sent
    this.#sent += rows.length
    this.#push(this.#writer.write(rows, 0, rows.length, first))
  }

  #push(batch: ImportedBatch): void {
    if (this.#stopped) return
    try {
      if (binding().pushSourcePush(this.handle, batch)) return
    } catch (error) {
      if ((error as { code?: string }).code !== 'MARBLE_CLOSED') throw error
      this.stop()
      return
    }
    this.#full = new Promise(resolve => {
      this.#room = resolve
    })
  }

  #onDemand(): void {
    this.#full = undefined
    this.#room?.()
    this.#room = undefined
  }
}
