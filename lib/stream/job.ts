// A streaming job as its user sees it.
import type { JobHandle } from '../../binding.js'
import { binding } from '../binding.js'
import { makeError } from '../errors.js'
import { checkOptions, checkValue, later, oneOf, rule, type Rules } from '../options.js'

export type JobStatus = 'starting' | 'running' | 'paused' | 'restarting' | 'finished' | 'failed' | 'cancelled'
export type JobEventName = 'epoch' | 'checkpoint' | 'late' | 'badRecord' | 'stalled' | 'failed'
export interface JobMetrics {
  recordsIn: bigint
  recordsOut: bigint
  recordsPerSecond: number
  lateRecords: bigint
  badRecords: bigint
  watermark: number | null
  epoch: bigint
  /** The epoch that this run began behind; 0n: fresh. */
  resumedFromEpoch: bigint
  lastCheckpoint: number | null
  sources: {
    name: string
    partition: number
    /** Behind the last record read; -1n where the source's place is no number: then see `position`. */
    offset: bigint
    /** The same place as the source itself writes it: JSON. */
    position: string
    lag: bigint | null
    watermark: number | null
    idle: boolean
  }[]
  operators: object[]
  memory: Record<string, number>
}

const ended: ReadonlySet<string> = new Set(['finished', 'failed', 'cancelled'])
// The end of the input is beyond every time.
const watermarkOf = (ms: number | null): number | null => (ms !== null && ms > 8.64e15 ? Number.POSITIVE_INFINITY : ms)
const eventRule = oneOf('epoch', 'checkpoint', 'late', 'badRecord', 'stalled', 'failed')
export interface StopOptions {
  /** Not supported yet. */
  savepoint?: string
  drain?: boolean
}
const stopRules: Rules<StopOptions> = { savepoint: later(rule.text), drain: rule.flag }

export class Job {
  readonly id: string
  readonly name: string
  /** @internal Tables that it writes into. */
  readonly targets: readonly string[]
  /** @internal Its input ends. */
  readonly bounded: boolean
  /** @internal performance.now() when it ended. */
  endedAt: number | undefined
  readonly #handle: JobHandle
  readonly #listeners = new Map<string, Set<(info: object) => void>>()
  #finished: Promise<JobMetrics> | undefined
  #onEnd: (() => void)[] = []

  /** Made by StreamingSQLExecutor. */
  constructor(handle: JobHandle, targets: readonly string[], bounded: boolean) {
    this.#handle = handle
    this.targets = targets
    this.bounded = bounded
    const { id, name } = binding().jobInfo(handle)
    this.id = id
    this.name = name
    binding().jobOn(handle, (event, epoch, message) => this.#emit(event, epoch, message))
  }

  get status(): JobStatus {
    return binding().jobStatus(this.#handle) as JobStatus
  }

  /** @internal Why it failed. */
  get error(): Error | undefined {
    return binding().jobError(this.#handle)
  }

  /** Resolves when a bounded job has read everything, or the job was stopped; rejects when it fails. Keeps the process alive. */
  get finished(): Promise<JobMetrics> {
    if (this.#finished === undefined) {
      this.#finished = this.#waitForEnd()
      // Asking for the promise is not handling it: without a handler a failure is reported by health() and 'failed'.
      this.#finished.catch(() => {})
    }
    return this.#finished
  }

  metrics(): JobMetrics {
    const { sources, operators, watermark, ...rest } = binding().jobMetrics(this.#handle)
    return {
      ...rest,
      watermark: watermarkOf(watermark),
      sources: sources.map(({ offset, lag, ...source }) => ({
        ...source,
        watermark: watermarkOf(source.watermark),
        offset: /^\d+$/.test(offset) ? BigInt(offset) : -1n,
        position: offset,
        lag: lag < 0 ? null : BigInt(lag),
      })),
      operators,
      memory: { stateBytes: operators.reduce((sum, operator) => sum + operator.stateBytes, 0) },
    }
  }

  async pause(): Promise<void> {
    await binding().jobPause(this.#handle)
    // The epoch under way is committed first.
    while (this.status === 'running' || this.status === 'starting') await new Promise(resolve => setTimeout(resolve, 5))
  }

  async resume(): Promise<void> {
    await binding().jobResume(this.#handle)
  }

  /** End at the last committed epoch. */
  async cancel(): Promise<void> {
    await binding().jobCancel(this.#handle)
    this.#checkEnd()
  }

  /**
   * Commit what was read, then end; a later start resumes. With `drain` the input ends here: all windows close, and the job is
   * finished for good (`SET 'execution.restart' = 'fresh'` runs it again).
   */
  async stop(options?: StopOptions): Promise<void> {
    checkOptions('stop', options, stopRules)
    if (options?.drain === true) await binding().jobDrain(this.#handle)
    else await binding().jobStop(this.#handle)
    this.#checkEnd()
  }

  on(event: JobEventName, listener: (info: object) => void): this {
    checkValue('on', 'event', event, eventRule)
    checkValue('on', 'listener', listener, rule.func)
    const listeners = this.#listeners.get(event) ?? new Set()
    listeners.add(listener)
    this.#listeners.set(event, listeners)
    return this
  }

  /** @internal Call once, when the job has ended (at once if it has). */
  whenEnded(call: () => void): void {
    this.#onEnd.push(call)
    this.#checkEnd()
  }

  /** @internal The next result of a query: undefined when none came in time, null at the end. */
  nextResult(timeoutMs: number): ReturnType<ReturnType<typeof binding>['jobNextResult']> {
    return binding().jobNextResult(this.#handle, timeoutMs)
  }

  async #waitForEnd(): Promise<JobMetrics> {
    binding().ref()
    try {
      await new Promise<void>(resolve => this.whenEnded(resolve))
    } finally {
      binding().unref()
    }
    if (this.status === 'failed') {
      throw this.error ?? makeError('MARBLE_INTERNAL', `job '${this.name}' failed`)
    }
    return this.metrics()
  }

  #emit(event: string, epoch: bigint, message: string): void {
    this.#checkEnd()
    if (event === 'status' || event === 'finished') return
    for (const listener of this.#listeners.get(event) ?? []) listener({ event, epoch, message, job: this.name })
  }

  #checkEnd(): void {
    if (!ended.has(this.status)) return
    this.endedAt ??= performance.now()
    const calls = this.#onEnd
    this.#onEnd = []
    for (const call of calls) call()
  }
}
