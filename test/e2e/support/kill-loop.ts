// Runs a bounded job in a child process that is killed again and again with SIGKILL at random
// moments and started anew, until `kills` fell and the job has finished.
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Database } from 'marbledb'

export interface Kill {
  /** Epoch in the store right after the kill. */
  epoch: bigint
  /** Records that this epoch covers, of all partitions. */
  records: bigint
  status: string
}
export interface KillLoopResult {
  kills: Kill[]
  lives: number
  snapshots: number
  torn: string[]
}
interface Message {
  type: 'started' | 'epoch' | 'snapshots' | 'torn' | 'finished' | 'failed'
  epoch?: string
  count?: number
  message?: string
}
export interface KillLoopOptions {
  statePath: string
  sql: string
  kills: number
  /** Longest time a life goes on after its first new epoch, before it is killed. */
  maxLifeMs: number
  random: () => number
  watch?: [string, string]
  afterKill?: (store: Database) => Promise<void>
}

/** A small generator with a printable seed (mulberry32), so that a failing run can be repeated. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

async function inspect(statePath: string): Promise<Kill> {
  const store = await Database.open(join(statePath, 'marbledb_embedded'))
  try {
    const offsets = store.listTables({ system: true }).includes('connector_offsets')
      ? ((await store.table('connector_offsets').scan().toArray()) as { epoch: bigint; offset: string }[])
      : []
    const jobs = store.listTables({ system: true }).includes('jobs')
      ? ((await store.table('jobs').scan().toArray()) as { status: string }[])
      : []
    return {
      epoch: offsets.reduce((newest, row) => (row.epoch > newest ? row.epoch : newest), 0n),
      records: offsets.reduce((sum, row) => sum + BigInt(JSON.parse(row.offset)), 0n),
      status: jobs[0]?.status ?? 'none',
    }
  } finally {
    await store.close()
  }
}

export async function killLoop(options: KillLoopOptions): Promise<KillLoopResult> {
  const result: KillLoopResult = { kills: [], lives: 0, snapshots: 0, torn: [] }
  for (let finished = false; !finished; ) {
    if (++result.lives > options.kills + 20) throw new Error(`the job did not finish in ${result.lives} lives`)
    let epochs = 0
    let failure: string | undefined
    let snapshots = 0
    const child: ChildProcess = fork(
      fileURLToPath(new URL('job-worker.mjs', import.meta.url)),
      [JSON.stringify({ statePath: options.statePath, sql: options.sql, watch: options.watch })],
      { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
    )
    const exited = new Promise<void>(resolve => child.on('exit', () => resolve()))
    child.on('message', (message: Message) => {
      if (message.type === 'epoch') epochs++
      if (message.type === 'finished') finished = true
      if (message.type === 'failed') failure = message.message
      if (message.type === 'snapshots') snapshots = message.count ?? 0
      if (message.type === 'torn') result.torn.push(JSON.stringify(message))
    })
    const deadline = Date.now() + 60_000
    const wantsKill = result.kills.length < options.kills
    while (
      child.exitCode === null &&
      child.signalCode === null &&
      failure === undefined &&
      !finished &&
      !(wantsKill && epochs > 0)
    ) {
      if (Date.now() > deadline && wantsKill) throw new Error('a life of the job committed no epoch within 60 s')
      await sleep(2)
    }
    if (failure !== undefined) throw new Error(`the job failed: ${failure}`)
    if (wantsKill && !finished) {
      await sleep(options.random() * options.maxLifeMs)
      child.kill('SIGKILL')
      await exited
      finished = false
      const kill = await inspect(options.statePath)
      result.kills.push(kill)
      if (options.afterKill !== undefined) {
        const store = await Database.open(join(options.statePath, 'marbledb_embedded'))
        try {
          await options.afterKill(store)
        } finally {
          await store.close()
        }
      }
    }
    await exited
    result.snapshots += snapshots
    if (!finished && result.kills.length >= options.kills && child.exitCode !== null && child.exitCode !== 0)
      throw new Error(`the job's process ended with code ${child.exitCode}`)
  }
  return result
}
