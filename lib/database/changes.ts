// The change feed of a table: what Database.changes returns.
import type { Batch } from '../arrow/batch.js'
import { BatchReader } from '../arrow/export.js'
import type { JsonSchema } from '../arrow/json-schema.js'
import { binding } from '../binding.js'
import { abortError, makeError } from '../errors.js'
import { checkOptions, type Rules, rule } from '../options.js'
import type { Database } from './database.js'
import type { Snapshot } from './snapshot.js'

export interface ChangesOptions {
  /** The changes behind this write, or behind what a snapshot sees; without it those from now on. */
  from?: bigint | Snapshot
  signal?: AbortSignal
}

const kWaitMs = 50
const changesRules: Rules<ChangesOptions> = {
  from: {
    allowed: 'a bigint or a Snapshot',
    is: value =>
      typeof value === 'bigint' ||
      (typeof value === 'object' && value !== null && typeof (value as Snapshot).sequence === 'bigint'),
  },
  signal: rule.signal,
}

/** The log is kept from now on; whoever leaves the loop, or closes the database, lets it go. */
export function openChanges(database: Database, table: string, options: ChangesOptions): AsyncIterable<Batch> {
  checkOptions('changes', options, changesRules)
  const { from, signal } = options
  if (signal?.aborted) throw abortError(signal)
  const { handle, schema } = binding().changesOpen(
    database.nativeHandle,
    table,
    typeof from === 'object' ? from.sequence : from,
  )
  let reader = new BatchReader(JSON.parse(schema) as JsonSchema)
  const forget = database.track(() => binding().changesClose(handle))
  const close = (): void => {
    forget()
    signal?.removeEventListener('abort', close)
    binding().changesClose(handle)
  }
  signal?.addEventListener('abort', close, { once: true })
  async function* batches(): AsyncGenerator<Batch, void, undefined> {
    try {
      for (;;) {
        const next = await binding().changesNext(handle, kWaitMs)
        // The table was altered: from here on its commits have other columns.
        if (next?.schema !== undefined) reader = new BatchReader(JSON.parse(next.schema) as JsonSchema)
        if (next !== undefined) yield* reader.read(next.chunk)
        if (signal?.aborted) throw abortError(signal)
      }
    } catch (error) {
      if (signal?.aborted) throw abortError(signal)
      throw error
    } finally {
      close()
    }
  }
  let taken = false
  return {
    [Symbol.asyncIterator]() {
      if (taken) throw makeError('MARBLE_INVALID_ARGUMENT', 'changes can be read once: call changes again')
      taken = true
      return batches()
    },
  }
}
