// A real Kafka broker for tests: one node, its data in a temporary directory, its process ours.
// `kill` is a power cut for the broker (SIGKILL); `restart` continues the same data on the same port.
import { execFile, spawn } from 'node:child_process'
import { createWriteStream, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
const run = promisify(execFile)
const scripts = join(dirname(fileURLToPath(import.meta.url)), '../broker')
const startTimeoutMs = 60_000
const stopTimeoutMs = 15_000
/** Brokers that run now, and all data directories: none outlives this process when it exits. */
const running = new Set()
const directories = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const dir of directories) rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
})
/** A loopback port that is free now, not among `taken`. */
async function freePort(taken = []) {
  for (;;) {
    const port = await new Promise((resolve, reject) => {
      const server = createServer()
      server.once('error', reject)
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
      })
    })
    if (!taken.includes(port)) return port
  }
}
export class TestBroker {
  #port
  #controllerPort
  #dir
  #options
  #child
  #ended = Promise.resolve()
  constructor(port, controllerPort, dir, options) {
    this.#port = port
    this.#controllerPort = controllerPort
    this.#dir = dir
    this.#options = options
    directories.add(dir)
  }
  /** Fetch the broker if need be, start it on free ports and wait until it serves. */
  static async start(options = {}) {
    await run(join(scripts, 'fetch'), { timeout: 300_000 })
    const port = await freePort()
    const controllerPort = await freePort([port])
    const dir = await mkdtemp(join(tmpdir(), 'marbledb-broker-'))
    const broker = new TestBroker(port, controllerPort, dir, options)
    try {
      await broker.#launch()
    } catch (error) {
      await broker.close()
      throw error
    }
    return broker
  }
  /** The version of Kafka that runs, from the same place that fetches it. */
  get version() {
    return /<kafka.version>(.*)<\/kafka.version>/.exec(readFileSync(join(scripts, 'pom.xml'), 'utf8'))[1]
  }
  get bootstrapServers() {
    return `127.0.0.1:${this.#port}`
  }
  /** The process id of the broker; undefined while it is down. */
  get pid() {
    return this.#child?.pid
  }
  /** Where the broker's output goes. */
  get logFile() {
    return join(this.#dir, 'broker.log')
  }
  async createTopic(name, partitions, config = {}) {
    const { stdout } = await run(join(scripts, 'fetch'))
    const settings = Object.entries(config).flatMap(([key, value]) => ['--config', `${key}=${value}`])
    const args = ['--bootstrap-server', this.bootstrapServers, '--create', '--topic', name]
    await run(
      'java',
      [
        '-Xmx128m',
        '-XX:TieredStopAtLevel=1',
        '-XX:+UseSerialGC',
        `-Dlog4j2.configurationFile=${join(scripts, 'log4j2.properties')}`,
        '-cp',
        `${stdout.trim()}/*`,
        'org.apache.kafka.tools.TopicCommand',
        ...args,
        '--partitions',
        String(partitions),
        '--replication-factor',
        '1',
        ...settings,
      ],
      { timeout: 30_000 },
    )
  }
  /** End the broker as a power cut would. Its data stays. */
  async kill() {
    this.#child?.kill('SIGKILL')
    await this.#ended
  }
  /** Start it again (after `kill`, or after a clean stop) on the same port with the same data. */
  async restart() {
    await this.#stop()
    await this.#launch()
  }
  /** Stop the broker and remove its data. A second call is harmless. */
  async close() {
    await this.#stop()
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 5 })
    directories.delete(this.#dir)
  }
  async [Symbol.asyncDispose]() {
    await this.close()
  }
  async #stop() {
    const child = this.#child
    if (!child) return
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await this.#ended
    clearTimeout(timer)
  }
  async #launch() {
    const settings = Object.entries(this.#options.settings ?? {}).map(([key, value]) => `${key}=${value}`)
    const log = createWriteStream(this.logFile, { flags: 'a' })
    // The script ends in `exec java`: its process id is the broker's.
    const child = spawn(
      join(scripts, 'start'),
      [String(this.#port), join(this.#dir, 'data'), this.#options.heap ?? '256m'],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          ...process.env,
          MARBLE_BROKER_CONTROLLER_PORT: String(this.#controllerPort),
          MARBLE_BROKER_SETTINGS: settings.join('\n'),
        },
      },
    )
    this.#child = child
    running.add(child)
    child.stdout.pipe(log, { end: false })
    child.stderr.pipe(log, { end: false })
    let failed
    child.once('error', error => {
      failed = error
    })
    this.#ended = new Promise(resolve => {
      child.once('close', () => {
        running.delete(child)
        if (this.#child === child) this.#child = undefined
        log.end(() => resolve())
      })
    })
    const ready = new Promise(resolve => {
      let tail = ''
      child.stdout.on('data', chunk => {
        tail = (tail + chunk.toString('utf8')).slice(-4096)
        if (tail.includes('Kafka Server started')) resolve(true)
      })
      child.once('close', () => resolve(false))
      setTimeout(() => resolve(false), startTimeoutMs).unref()
    })
    if (await ready) return
    const alive = child.exitCode === null && child.signalCode === null
    if (alive) child.kill('SIGKILL')
    await this.#ended
    const output = failed ? failed.message : (await readFile(this.logFile, 'utf8').catch(() => '')).slice(-3000)
    const what = alive ? `did not start within ${startTimeoutMs / 1000} s` : 'ended while it started'
    throw new Error(`the Kafka broker on ${this.bootstrapServers} ${what}:\n${output}`)
  }
}
