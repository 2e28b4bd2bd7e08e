// Copies of databases, and what is done with folders of closed ones. Database has these as methods.
import type { OperationHandle } from '../../binding.js'
import type { JsonSchema } from '../arrow/json-schema.js'
import { binding } from '../binding.js'
import { abortError } from '../errors.js'
import { checkOptions, checkValue, count, type Rule, type Rules, rule } from '../options.js'
import type { Progress } from '../progress.js'

export interface OperationOptions {
  signal?: AbortSignal
  onProgress?: (progress: Progress) => void
}
export interface RestoreOptions extends OperationOptions {
  /** Which backup; without it the newest. */
  id?: number
}
export interface BackupInfo {
  id: number
  /** When it was made, ms since the epoch. */
  timeMs: number
  /** The id of the database's options. */
  databaseId: string
  /** Of the last write in it. */
  sequence: bigint
  files: number
  bytes: number
  /** What was new when it was made. */
  bytesCopied: number
  /** Why it cannot be restored, if its description is damaged. */
  damage?: string
}
export interface VerifyReport {
  /** No finding is an error. */
  ok: boolean
  files: number
  bytes: number
  rows: number
  logRecords: number
  /** 'notice': what a crash leaves and the next open repairs. */
  findings: { severity: 'error' | 'notice'; file: string; offset?: number; message: string }[]
}
/** Sequence numbers are strings of digits, keys hexadecimal. */
export interface DatabaseInspection {
  path: string
  databaseId: string
  id: string
  manifest: string
  manifestTorn: boolean
  nextFileNumber: number
  nextTableId: number
  logFirstSegment: number
  logPosition: string
  flushedSequence: string
  lastSequence: string
  tables: {
    id: number
    name: string
    isState: boolean
    isSystem: boolean
    schema: JsonSchema
    primaryKey: string[]
    options: Record<string, unknown>
    rows: number
    bytes: number
    /** What it would take without compression. */
    uncompressedBytes: number
    files: {
      number: number
      level: number
      arrow: string
      idx: string
      arrowBytes: number
      idxBytes: number
      compression: string
      /** Of .arrow, without compression. */
      uncompressedBytes: number
      rows: number
      tombstones: number
      clean: boolean
      minSequence: string
      maxSequence: string
      minKey: string
      maxKey: string
      present: boolean
      error?: string
      zones?: { batch: number; column: string; min: string | null; max: string | null; nulls: number | null }[]
    }[]
  }[]
  segments: {
    id: number
    file: string
    fileBytes: number
    usedBytes: number
    records: number
    firstSequence: string
    lastSequence: string
    needed: boolean
    fixedEnd?: number
    end: string
  }[]
  otherFiles: string[]
}

const kProgressMs = 50

/** A folder of files: not ':memory:'. */
export const folderRule: Rule = {
  allowed: 'the path of a folder (a string without NUL characters and lone surrogates)',
  is: value => rule.directory.is(value) && value !== ':memory:',
}
export const operationRules: Rules<OperationOptions> = { signal: rule.signal, onProgress: rule.func }
const restoreRules: Rules<RestoreOptions> = { ...operationRules, id: count(1) }

/** Run a native call that can be cancelled and says how far it is. */
export async function runOperation<T>(
  { signal, onProgress }: OperationOptions,
  start: (operation: OperationHandle) => Promise<T>,
): Promise<T> {
  if (signal?.aborted) throw abortError(signal)
  const operation = binding().operationNew()
  const cancel = (): void => binding().operationCancel(operation)
  signal?.addEventListener('abort', cancel, { once: true })
  let last = 0
  let thrown: { error: unknown } | undefined
  const report = (): void => {
    if (thrown !== undefined) return
    const { done, total } = binding().operationProgress(operation)
    if (done <= last) return
    last = done
    try {
      onProgress?.({ done, total, unit: 'bytes' })
    } catch (error) {
      // The listener's error is the caller's: it ends the call.
      thrown = { error }
      cancel()
    }
  }
  const timer = onProgress === undefined ? undefined : setInterval(report, kProgressMs)
  timer?.unref()
  try {
    const result = await start(operation)
    if (onProgress !== undefined) report()
    if (thrown !== undefined) throw thrown.error
    return result
  } catch (error) {
    if (thrown !== undefined) throw thrown.error
    if (signal?.aborted && (error as { code?: string }).code === 'MARBLE_ABORTED') throw abortError(signal)
    throw error
  } finally {
    clearInterval(timer)
    signal?.removeEventListener('abort', cancel)
  }
}

export async function restoreBackup(backupDir: string, toDir: string, options: RestoreOptions): Promise<void> {
  checkValue('Database.restore', 'backupDir', backupDir, folderRule)
  checkValue('Database.restore', 'toDir', toDir, folderRule)
  checkOptions('Database.restore', options, restoreRules)
  await runOperation(options, operation => binding().backupsRestore(backupDir, options.id ?? 0, toDir, operation))
}

export async function listBackups(dir: string): Promise<BackupInfo[]> {
  checkValue('Database.listBackups', 'dir', dir, folderRule)
  const backups = JSON.parse(await binding().backupsList(dir)) as (Omit<BackupInfo, 'sequence'> & {
    sequence: string
  })[]
  return backups.map(backup => ({ ...backup, sequence: BigInt(backup.sequence) }))
}

export async function verifyBackup(dir: string, options: RestoreOptions): Promise<VerifyReport> {
  checkValue('Database.verifyBackup', 'dir', dir, folderRule)
  checkOptions('Database.verifyBackup', options, restoreRules)
  return JSON.parse(
    await runOperation(options, operation => binding().backupsVerify(dir, options.id ?? 0, operation)),
  ) as VerifyReport
}

export async function pruneBackups(dir: string, options: { keep: number }): Promise<number> {
  checkValue('Database.pruneBackups', 'dir', dir, folderRule)
  checkOptions('Database.pruneBackups', options, { keep: count(1) })
  checkValue('Database.pruneBackups', 'keep', options.keep, count(1))
  return binding().backupsPrune(dir, options.keep)
}

export async function inspectDatabase(path: string, options: { zoneMaps?: boolean }): Promise<DatabaseInspection> {
  checkValue('Database.inspect', 'path', path, folderRule)
  checkOptions('Database.inspect', options, { zoneMaps: rule.flag })
  return JSON.parse(await binding().databaseInspect(path, options.zoneMaps === true)) as DatabaseInspection
}

export async function verifyDatabase(path: string, options: OperationOptions): Promise<VerifyReport> {
  checkValue('Database.verify', 'path', path, folderRule)
  checkOptions('Database.verify', options, operationRules)
  return JSON.parse(await runOperation(options, operation => binding().databaseVerify(path, operation))) as VerifyReport
}
