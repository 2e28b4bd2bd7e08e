// The main job of MarbleDB, end to end: broker and producer here, the job in a child process.
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Database } from 'marbledb'
import { MockKafka, TestProducer } from 'marbledb/testing'
import { threeMillion, twentyThousand } from './flights.mjs'
import { ExpectedView } from './view.mjs'

const usage = `usage: scripts/demo [--crash] [--broker | --bootstrap HOST:PORT] [--rate EVENTS_PER_SECOND]
  --crash      kill the job with SIGKILL half way, start it again, count what was lost or doubled
  --broker     start a real Kafka broker and run 3,000,000 flights through it
  --bootstrap  use your broker: a topic "flights-<time>" is created there and stays
  --rate       flights a second; default 2000 (--broker: as fast as it goes)`
let options
try {
  options = parseArgs({
    options: {
      crash: { type: 'boolean' },
      broker: { type: 'boolean' },
      bootstrap: { type: 'string' },
      rate: { type: 'string' },
      help: { type: 'boolean' },
    },
  }).values
  if (options.broker && options.bootstrap) throw new Error('--broker and --bootstrap exclude each other')
  if (options.rate !== undefined && !(Number(options.rate) > 0))
    throw new Error(`--rate takes a number of events a second, not '${options.rate}'`)
} catch (error) {
  process.stderr.write(`${error.message}\n${usage}\n`)
  process.exit(2)
}
const print = text => process.stdout.write(`${text}\n`)
if (options.help) {
  print(usage)
  process.exit(0)
}

const partitions = 4
// Records of an earlier demo on the same broker would be counted as doubled.
const topic = options.bootstrap ? `flights-${Date.now()}` : 'flights'
const big = options.broker === true
const total = big ? 3_000_000 : 20_000
const rate = options.rate ? Number(options.rate) : big ? Number.POSITIVE_INFINITY : 2000
const directory = mkdtempSync(join(tmpdir(), 'marbledb-demo-'))
const statePath = join(directory, 'state')
const cleanUp = []
process.on('exit', () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))

async function startBroker() {
  if (options.bootstrap) return { bootstrapServers: options.bootstrap, what: `the broker at ${options.bootstrap}` }
  if (big) {
    const { TestBroker } = await import('../broker.mjs')
    print('Starting a Kafka broker …')
    const broker = await TestBroker.start()
    cleanUp.push(() => broker.close())
    return {
      bootstrapServers: broker.bootstrapServers,
      what: `a real broker (Kafka ${broker.version}) at ${broker.bootstrapServers}`,
    }
  }
  const mock = await MockKafka.start({ partitions })
  cleanUp.push(() => mock.close())
  return { bootstrapServers: mock.bootstrapServers, what: `an embedded broker at ${mock.bootstrapServers}`, mock }
}

let child
let last
let view
let failure
let resumedFrom
function startWorker(bootstrapServers) {
  child = fork(fileURLToPath(new URL('worker.mjs', import.meta.url)), [statePath, bootstrapServers, topic], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  child.on('message', message => {
    if (message.type === 'started') resumedFrom = message.resumedFromEpoch
    if (message.type === 'progress') last = message
    if (message.type === 'view') view = message
    if (message.type === 'failed') failure = message.message
  })
  const mine = child
  child.on('exit', (code, signal) => {
    if (code !== 0 && !mine.killed) failure ??= `the job's process ended with ${signal ?? `code ${code}`}`
  })
  // Comes behind all that was sent.
  child.on('disconnect', () => {
    if (view === undefined && !mine.killed) failure ??= "the job's process ended before it had sent the view"
  })
}
async function until(what, done, seconds) {
  const end = Date.now() + seconds * 1000
  while (!done()) {
    if (failure) throw new Error(failure)
    if (Date.now() > end) throw new Error(`${what} did not happen within ${seconds} s`)
    await sleep(20)
  }
}
let shownAt = 0
function show(produced) {
  if (last === undefined || Date.now() - shownAt < 1000) return
  shownAt = Date.now()
  // Of all lives of the job: what its committed offsets say.
  const processed = last.offsets.reduce((sum, [, offset]) => sum + Math.max(0, offset), 0)
  const watermark =
    last.watermark === null ? '-' : new Date(last.watermark).toISOString().slice(0, 16).replace('T', ' ')
  print(
    `  produced ${String(produced).padStart(7)}  processed ${String(processed).padStart(7)}  ${String(Math.round(last.perSecond)).padStart(7)} events/s  watermark ${watermark}  lag ${last.lag}  epoch ${last.epoch}`,
  )
}

async function main() {
  const began = Date.now()
  const broker = await startBroker()
  const producer = await TestProducer.connect(broker.bootstrapServers)
  cleanUp.unshift(() => producer.close())
  if (!broker.mock) await producer.createTopic(topic, partitions)
  print(`Flights into ${broker.what}, topic "${topic}", ${partitions} partitions; the view "delays" in ${statePath}`)
  const expected = new ExpectedView()
  const produced = new Array(partitions).fill(0)
  let count = 0
  let killedAt
  if (broker.mock) await broker.mock.createTopic(topic, partitions)
  startWorker(broker.bootstrapServers)
  await until('the start of the job', () => resumedFrom !== undefined, 30)
  const start = Date.now()
  for await (const flights of big ? threeMillion() : twentyThousand()) {
    await producer.produce(
      topic,
      flights.map((flight, i) => ({ value: JSON.stringify(flight), partition: (count + i) % partitions })),
    )
    flights.forEach((flight, i) => {
      expected.add(flight)
      produced[(count + i) % partitions]++
    })
    count += flights.length
    if (options.crash && killedAt === undefined && count >= total / 2) {
      child.kill('SIGKILL')
      await until('the death of the job', () => child.signalCode !== null, 10)
      const store = await Database.open(join(statePath, 'marbledb_embedded'))
      const offsets = await store.table('connector_offsets').scan().toArray()
      killedAt = String(offsets.reduce((newest, row) => (row.epoch > newest ? row.epoch : newest), 0n))
      await store.close()
      print(`  killed the job with SIGKILL at epoch ${killedAt}`)
      resumedFrom = undefined
      startWorker(broker.bootstrapServers)
      await until('the restart of the job', () => resumedFrom !== undefined, 30)
      print(`  started again: resumed at epoch ${resumedFrom}`)
    }
    show(count)
    const due = start + (count / rate) * 1000
    if (due > Date.now()) await sleep(due - Date.now())
  }
  await producer.flush()
  if (broker.mock) await producer.verifyRetained(topic)
  if (count !== total) throw new Error(`${count} flights were read from the file, not ${total}`)
  const caughtUp = () =>
    last !== undefined &&
    produced.every((end, partition) => last.offsets.some(([p, offset]) => p === partition && offset === end))
  const waiting = setInterval(() => show(count), 250)
  await until('catching up with the producer', caughtUp, 120).finally(() => clearInterval(waiting))
  shownAt = 0
  show(count)
  child.send({ type: 'finish' })
  await until('the end of the job', () => view !== undefined, 60)

  const { lost, doubled, wrong } = expected.compare(view.rows)
  print(`\nThe view: ${view.rows.length} rows (origin, day), ${view.scan.flights} flights`)
  if (view.example)
    print(
      `  get({ origin: 'SFO', window_start: 2001-02-03 }) → ${view.example.flights} flights, average delay ${view.example.avg_delay.toFixed(2)} min, longest ${view.example.max_delay} min`,
    )
  print(`  read by key: p50 ${view.p50.toFixed(2)} µs, p99 ${view.p99.toFixed(2)} µs`)
  print(
    `  scan: ${view.scan.rows} rows added up in ${view.scan.ms.toFixed(2)} ms, zero copy: ${view.scan.zeroCopy ? 'yes' : 'no'}`,
  )
  print(
    `Proof: ${count} flights produced, ${count - lost} in the view, ${last.late} late; compared with the same sums in plain JavaScript: ${wrong.length} differences`,
  )
  for (const line of wrong.slice(0, 10)) print(`  ${line}`)
  if (options.crash) print(`killed at epoch ${killedAt}, resumed at ${resumedFrom}, ${lost} lost, ${doubled} doubled`)
  else print(`${lost} lost, ${doubled} doubled`)
  print(`Done in ${((Date.now() - began) / 1000).toFixed(1)} s.`)
  if (lost + doubled + wrong.length > 0 || (options.crash && killedAt !== resumedFrom)) return 1
  return 0
}

let code = 1
try {
  code = await main()
} catch (error) {
  process.stderr.write(`error: ${error.message}\n`)
} finally {
  child?.kill('SIGKILL')
  while (child !== undefined && child.exitCode === null && child.signalCode === null) await sleep(5)
  for (const step of cleanUp) await step()
}
process.exit(code)
