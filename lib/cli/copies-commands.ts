// `marbledb inspect | verify | backup | backups | restore`. Results go to stdout, everything else to stderr. Exit 0; 1 it failed, or
// verify found damage; 130 SIGINT, after a clean stop.
import { once } from 'node:events'
import type { DatabaseInspection, OperationOptions, VerifyReport } from '../database/copies.js'
import { Database } from '../database/database.js'
import type { Progress } from '../progress.js'
import { errorText, say } from './output.js'

export interface InspectCommandOptions {
  json?: boolean
  zoneMaps?: boolean
}
export interface VerifyCommandOptions {
  /** true: the newest. */
  backup?: number | true
  json?: boolean
}
export interface BackupCommandOptions {
  keep?: number
}
export interface RestoreCommandOptions {
  id?: number
}

const kFailed = 1
const kInterrupted = 130
const kReportMs = 1000

const kUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
function size(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < kUnits.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${kUnits[unit]}`
}

const plural = (n: number, one: string): string => `${n} ${one}${n === 1 ? '' : 's'}`

async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}

/** Run a command that Ctrl-C cancels; at most once a second it says how far it is. */
async function run(what: string, body: (options: Required<OperationOptions>) => Promise<number>): Promise<number> {
  const interruption = new AbortController()
  const onSigint = (): void => interruption.abort()
  process.once('SIGINT', onSigint)
  // Whoever reads the results may have enough of them (`| head`).
  let enough = false
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    enough = error.code === 'EPIPE'
    interruption.abort()
  }
  process.stdout.on('error', onOutputError)
  let said = Date.now()
  const onProgress = ({ done, total }: Progress): void => {
    if (Date.now() - said < kReportMs) return
    said = Date.now()
    say(`${what}: ${size(done)}${total === undefined ? '' : ` of ${size(total)}`}`)
  }
  try {
    return await body({ signal: interruption.signal, onProgress })
  } catch (error) {
    if (enough) return 0
    say(errorText(error))
    return interruption.signal.aborted ? kInterrupted : kFailed
  } finally {
    process.off('SIGINT', onSigint)
    process.stdout.off('error', onOutputError)
  }
}

export function runInspect(dir: string, options: InspectCommandOptions): Promise<number> {
  return run('inspect', async () => {
    const inspection = await Database.inspect(dir, { zoneMaps: options.zoneMaps === true })
    await print(options.json ? `${JSON.stringify(inspection, null, 2)}\n` : describe(inspection))
    return 0
  })
}

function describe(database: DatabaseInspection): string {
  const lines = [
    `database ${database.path}${database.id === '' ? '' : `, id '${database.id}'`}`,
    `manifest ${database.manifest}${database.manifestTorn ? ' (its last edit was cut off by a crash)' : ''}`,
    `sequence numbers up to ${database.lastSequence}, flushed up to ${database.flushedSequence}`,
  ]
  for (const table of database.tables) {
    const kind = `${table.isSystem ? 'system ' : ''}${table.isState ? 'state' : 'table'}`
    const columns = table.schema.fields.map(field => field.name).join(', ')
    const key = table.primaryKey.length === 0 ? 'no primary key' : `primary key ${table.primaryKey.join(', ')}`
    lines.push('', `${kind} ${table.name} (${columns}; ${key})`)
    if (table.files.length === 0) lines.push('  no files')
    for (let level = 0; level <= 6; level++) {
      const files = table.files.filter(file => file.level === level)
      if (files.length === 0) continue
      const bytes = files.reduce((sum, file) => sum + file.arrowBytes + file.idxBytes, 0)
      const rows = files.reduce((sum, file) => sum + file.rows, 0)
      lines.push(`  level ${level}: ${plural(files.length, 'file')}, ${plural(rows, 'row')}, ${size(bytes)}`)
      for (const file of files) {
        const notes = [
          file.clean ? 'clean' : `${plural(file.tombstones, 'tombstone')}`,
          `sequences ${file.minSequence} to ${file.maxSequence}`,
          ...(file.compression === 'none'
            ? []
            : [`${file.compression}, ${size(file.uncompressedBytes + file.idxBytes)} without`]),
          ...(file.present ? [] : ['MISSING OR CUT OFF']),
        ]
        lines.push(
          `    ${file.arrow} ${plural(file.rows, 'row')}, ${size(file.arrowBytes + file.idxBytes)}, ${notes.join(', ')}`,
        )
      }
    }
  }
  if (database.segments.length > 0) lines.push('', 'log')
  for (const segment of database.segments) {
    const range = segment.records === 0 ? '' : `, sequences ${segment.firstSequence} to ${segment.lastSequence}`
    const need = segment.needed ? '' : ', not needed'
    lines.push(
      `  ${segment.file} ${plural(segment.records, 'record')}${range}, ${size(segment.usedBytes)} of ${size(segment.fileBytes)}, ${segment.end}${need}`,
    )
  }
  if (database.otherFiles.length > 0) lines.push('', `other files: ${database.otherFiles.join(', ')}`)
  return `${lines.join('\n')}\n`
}

export function runVerify(dir: string, options: VerifyCommandOptions): Promise<number> {
  return run('verify', async operation => {
    const { backup } = options
    const report =
      backup === undefined
        ? await Database.verify(dir, operation)
        : await Database.verifyBackup(dir, { ...operation, ...(backup === true ? {} : { id: backup }) })
    await print(options.json ? `${JSON.stringify(report, null, 2)}\n` : findings(report))
    const looked = `${plural(report.files, 'file')}, ${size(report.bytes)}, ${plural(report.rows, 'row')}`
    const errors = report.findings.filter(finding => finding.severity === 'error').length
    say(report.ok ? `ok: ${looked}` : `${plural(errors, 'error')} in ${looked}`)
    return report.ok ? 0 : kFailed
  })
}

function findings(report: VerifyReport): string {
  return report.findings
    .map(
      ({ severity, file, offset, message }) =>
        `${severity} ${file}${offset === undefined ? '' : `@${offset}`}: ${message}\n`,
    )
    .join('')
}

export function runBackup(dir: string, target: string, options: BackupCommandOptions): Promise<number> {
  return run('backup', async operation => {
    const database = await Database.open(dir, { create: false })
    try {
      const { id, bytesCopied } = await database.backup(target, operation)
      await print(`${id}\n`)
      say(`backup ${id}: ${size(bytesCopied)} copied`)
    } finally {
      await database.close()
    }
    if (options.keep !== undefined) {
      const gone = await Database.pruneBackups(target, { keep: options.keep })
      if (gone > 0) say(`${plural(gone, 'older backup')} removed`)
    }
    return 0
  })
}

export function runBackups(dir: string, options: { json?: boolean }): Promise<number> {
  return run('backups', async () => {
    for (const backup of await Database.listBackups(dir)) {
      const time = new Date(backup.timeMs).toISOString()
      if (options.json) await print(`${JSON.stringify({ ...backup, sequence: String(backup.sequence) })}\n`)
      else if (backup.damage !== undefined) await print(`${backup.id} damaged: ${backup.damage}\n`)
      else
        await print(
          `${backup.id} ${time} sequence ${backup.sequence}, ${plural(backup.files, 'file')}, ${size(backup.bytes)}, ${size(backup.bytesCopied)} copied\n`,
        )
    }
    return 0
  })
}

export function runRestore(dir: string, target: string, options: RestoreCommandOptions): Promise<number> {
  return run('restore', async operation => {
    await Database.restore(dir, target, { ...operation, ...(options.id === undefined ? {} : { id: options.id }) })
    say(`restored to ${target}`)
    return 0
  })
}
