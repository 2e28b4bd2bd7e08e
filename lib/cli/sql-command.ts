// `marbledb sql`: statements run in order; INSERTs into bounded jobs are waited for; rows of SELECTs go to stdout, everything
// else to stderr.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { StreamingSQLExecutor } from '../stream/executor.js'
import type { Job } from '../stream/job.js'
import { type ParsedStatement, parseStatements } from '../sql/index.js'
import { type Format, writeRows } from './output.js'

export interface SqlCommandOptions {
  file?: string
  execute?: string
  statePath?: string
  format: Format
  changelog?: boolean
  var: Record<string, string>
  stats?: string
}
interface StatementStats {
  text: string
  kind: string
  ms: number
  rows: number
}

const kUsage = 2
const kInterrupted = 130

const say = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

async function readStdin(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin) text += String(chunk)
  return text
}

/** Run; returns the exit code. */
export async function runSql(options: SqlCommandOptions): Promise<number> {
  let text: string
  try {
    text =
      options.execute ??
      (options.file === undefined || options.file === '-' ? await readStdin() : await readFile(options.file, 'utf8'))
  } catch (error) {
    say(`cannot read ${options.file}: ${(error as Error).message}`)
    return kUsage
  }
  const temporary = options.statePath === undefined ? await mkdtemp(join(tmpdir(), 'marbledb-sql-')) : undefined
  const interruption = new AbortController()
  const onSigint = (): void => interruption.abort()
  process.once('SIGINT', onSigint)
  const statements: StatementStats[] = []
  const jobs: { job: Job; began: number }[] = []
  const cpu = process.cpuUsage()
  try {
    const sql = await StreamingSQLExecutor.open({ statePath: options.statePath ?? temporary! })
    try {
      for (const statement of parseStatements(text, { vars: options.var })) {
        if (interruption.signal.aborted) break
        const began = performance.now()
        const { kind, rows } = await runStatement(sql, statement, options, interruption.signal, jobs)
        statements.push({ text: statement.text, kind, ms: performance.now() - began, rows })
      }
      if (!interruption.signal.aborted) await waitForUnbounded(jobs, interruption.signal)
      if (interruption.signal.aborted) for (const { job } of jobs) await job.stop().catch(() => {})
    } finally {
      if (options.stats !== undefined) await writeStats(options.stats, statements, jobs, cpu)
      await sql.close()
    }
    return interruption.signal.aborted ? kInterrupted : 0
  } catch (error) {
    if (interruption.signal.aborted) return kInterrupted
    say(error instanceof Error ? `${(error as { code?: string }).code ?? error.name}: ${error.message}` : String(error))
    return 1
  } finally {
    process.off('SIGINT', onSigint)
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true })
  }
}

/** Resolves when the job has ended or the user interrupts; rejects when it failed. */
function ended(job: Job, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
    job.finished.then(() => resolve(), reject)
  })
}

async function runStatement(
  sql: StreamingSQLExecutor,
  statement: ParsedStatement,
  options: SqlCommandOptions,
  signal: AbortSignal,
  jobs: { job: Job; began: number }[],
): Promise<{ kind: string; rows: number }> {
  const began = performance.now()
  const result = await sql.executeParsed(statement, { changelog: options.changelog, signal })
  const { kind, job, rows, message } = result
  if (message !== undefined) say(message)
  if (job !== undefined) {
    jobs.push({ job, began })
    if (job.bounded) {
      await ended(job, signal)
      if (!signal.aborted) say(`job ${job.name} finished: ${job.metrics().recordsIn} records`)
    }
  }
  if (rows !== undefined && kind !== 'showCreate')
    return { kind, rows: await writeRows(rows, options.format, process.stdout) }
  return { kind, rows: job === undefined ? 0 : Number(job.metrics().recordsOut) }
}

/** Jobs over unbounded sources run until they fail or the user interrupts. */
async function waitForUnbounded(jobs: readonly { job: Job }[], signal: AbortSignal): Promise<void> {
  const running = jobs.filter(({ job }) => !job.bounded)
  if (running.length > 0) say(`${running.length} ${running.length === 1 ? 'job is' : 'jobs are'} running; Ctrl-C stops`)
  await Promise.all(running.map(({ job }) => ended(job, signal)))
}

async function writeStats(
  path: string,
  statements: readonly StatementStats[],
  jobs: readonly { job: Job; began: number }[],
  before: NodeJS.CpuUsage,
): Promise<void> {
  const cpu = process.cpuUsage(before)
  const stats = {
    statements,
    jobs: jobs.map(({ job, began }) => {
      const metrics = job.metrics()
      const seconds = ((job.endedAt ?? performance.now()) - began) / 1000
      return {
        name: job.name,
        seconds,
        recordsIn: Number(metrics.recordsIn),
        recordsOut: Number(metrics.recordsOut),
        eventsPerSecond: Number(metrics.recordsIn) / Math.max(seconds, 1e-9),
        lateRecords: Number(metrics.lateRecords),
        badRecords: Number(metrics.badRecords),
      }
    }),
    process: { peakRssBytes: process.resourceUsage().maxRSS * 1024, cpuSeconds: (cpu.user + cpu.system) / 1e6 },
  }
  await writeFile(path, `${JSON.stringify(stats, null, 2)}\n`)
}
