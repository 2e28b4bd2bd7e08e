// `marbledb sql`: statements run in order; INSERTs into bounded jobs are waited for; rows of SELECTs go to stdout, everything
// else to stderr.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { StreamingSQLExecutor } from '../stream/executor.js'
import type { Job } from '../stream/job.js'
import { type ParsedStatement, parseStatements } from '../sql/index.js'
import { errorText, type Format, say, writeRows } from './output.js'

/** One -e or -f. */
export type Input = { readonly text: string } | { readonly file: string }
export interface SqlCommandOptions {
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

const kFailed = 1
const kUsage = 2
const kInterrupted = 130

const kStdin = '-'

async function readStdin(): Promise<string> {
  let text = ''
  // A character may be cut between two chunks: the stream puts it together.
  process.stdin.setEncoding('utf8')
  for await (const chunk of process.stdin) text += String(chunk)
  return text
}

async function readInput(input: Input): Promise<string> {
  if ('text' in input) return input.text
  return input.file === kStdin ? readStdin() : readFile(input.file, 'utf8')
}

/** Run; returns the exit code. */
export async function runSql(given: readonly Input[], options: SqlCommandOptions): Promise<number> {
  const inputs: readonly Input[] = given.length === 0 ? [{ file: kStdin }] : given
  if (inputs.filter(input => 'file' in input && input.file === kStdin).length > 1) {
    say("stdin ('-f -') can be read only once")
    return kUsage
  }
  const texts: string[] = []
  for (const input of inputs) {
    try {
      texts.push(await readInput(input))
    } catch (error) {
      say(`cannot read ${(input as { file: string }).file}: ${(error as Error).message}`)
      return kUsage
    }
  }
  const temporary = options.statePath === undefined ? await mkdtemp(join(tmpdir(), 'marbledb-sql-')) : undefined
  const interruption = new AbortController()
  const onSigint = (): void => interruption.abort()
  process.once('SIGINT', onSigint)
  // Whoever reads the rows may have enough of them (`| head`): then this ends as after Ctrl-C, and nothing is wrong.
  let enough = false
  let broken: Error | undefined
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') enough = true
    else broken ??= error
    interruption.abort()
  }
  process.stdout.on('error', onOutputError)
  const statements: StatementStats[] = []
  const jobs: { job: Job; began: number }[] = []
  const cpu = process.cpuUsage()
  /** How it ends when it is not the statements that say so. */
  const outcome = (): number | undefined => {
    if (broken !== undefined) {
      say(`cannot write the rows: ${broken.message}`)
      return kFailed
    }
    return enough ? 0 : interruption.signal.aborted ? kInterrupted : undefined
  }
  let code = 0
  try {
    const sql = await StreamingSQLExecutor.open({ statePath: options.statePath ?? temporary! })
    try {
      // All are read before the first runs.
      const parsed = texts.flatMap((text, i) =>
        parseStatements(text, { vars: options.var, context: texts.length > 1 ? nameOf(inputs[i]!, i) : undefined }),
      )
      for (const statement of parsed) {
        if (interruption.signal.aborted) break
        const began = performance.now()
        const { kind, rows } = await runStatement(sql, statement, options, interruption.signal, jobs)
        statements.push({ text: statement.text, kind, ms: performance.now() - began, rows })
      }
      if (!interruption.signal.aborted) await waitForUnbounded(jobs, interruption.signal)
      if (interruption.signal.aborted) for (const { job } of jobs) await job.stop().catch(() => {})
    } finally {
      if (options.stats !== undefined) {
        await writeStats(options.stats, statements, jobs, cpu).catch((error: Error) => {
          say(`cannot write --stats ${options.stats}: ${error.message}`)
          code = kFailed
        })
      }
      await sql.close()
    }
    return outcome() ?? code
  } catch (error) {
    const ended = outcome()
    if (ended !== undefined) return ended
    say(errorText(error))
    return kFailed
  } finally {
    process.off('SIGINT', onSigint)
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true })
  }
}

function nameOf(input: Input, index: number): string {
  return 'file' in input ? `in ${input.file}` : `in the text of option ${index + 1}`
}

/** Resolves when the job has ended or the user interrupts; rejects when it failed. */
function ended(job: Job, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) resolve()
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
