// scripts/bench ingest: from a real broker into the view, beside a bare librdkafka + simdjson loop over
// the same topic. Both read the same messages in turn; the figures are void when they disagree
// on what they read.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { TestBroker } from '../broker.mjs'

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '8000000' },
    partitions: { type: 'string', default: '1' },
    runs: { type: 'string', default: '3' },
  },
})
const [messages, partitions, runs] = ['messages', 'partitions', 'runs'].map(name => Number(values[name]))
if (![messages, partitions, runs].every(number => Number.isSafeInteger(number) && number > 0)) {
  process.stderr.write('error: --messages, --partitions and --runs take positive whole numbers\n')
  process.exit(2)
}
const root = fileURLToPath(new URL('../../..', import.meta.url))
const run = promisify(execFile)
const json = async (file, args) =>
  JSON.parse((await run(file, args.map(String), { maxBuffer: 1 << 20 })).stdout.trim().split('\n').at(-1))
const tool = name => join(root, 'build', 'native', 'kafka', name)
const print = text => process.stdout.write(`${text}\n`)
const median = list => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]

const directory = mkdtempSync(join(tmpdir(), 'marbledb-bench-'))
const broker = await TestBroker.start({ heap: '1g' })
let code = 0
try {
  print(
    `machine: ${cpus().length} x ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB; broker Kafka ${broker.version} on the same cores; ${new Date().toISOString().slice(0, 10)}`,
  )
  const generated = await json(tool('kafka_generate'), [broker.bootstrapServers, 'ticks', messages, partitions])
  print(
    `topic: ${messages} messages, ${generated.bytesPerMessage} bytes each, ${partitions} partition(s), 1000 keys, uncompressed`,
  )
  print('bare loop: librdkafka consume_batch_queue + simdjson, 4 fields added up, fetch settings as MarbleDB')
  print(
    "marbledb: TUMBLE 1 MINUTE by key: COUNT, 3 x SUM, AVG, MIN, MAX over the same 4 fields and the record's time into a local table, epochs of 100 ms, durability 'process'",
  )
  const lines = { bare: [], marbledb: [] }
  for (let i = 0; i < runs; i++) {
    const bare = await json(tool('kafka_bare_loop'), [broker.bootstrapServers, 'ticks', messages])
    const ours = await json(process.execPath, [
      join(root, 'scripts/lib/bench/ingest-worker.mjs'),
      join(directory, `run${i}`),
      broker.bootstrapServers,
      'ticks',
    ])
    if (
      bare.messages !== messages ||
      ours.messages !== messages ||
      bare.checksum !== generated.checksum ||
      ours.checksum !== generated.checksum
    ) {
      throw new Error(
        `void: the sides disagree: ${messages} produced (${generated.checksum}), bare read ${bare.messages} (${bare.checksum}), marbledb ${ours.messages} (${ours.checksum})`,
      )
    }
    lines.bare.push(bare)
    lines.marbledb.push(ours)
    for (const [name, line] of Object.entries({ 'bare loop': bare, marbledb: ours })) {
      print(
        `  run ${i + 1} ${name.padEnd(10)} ${Math.round(messages / line.seconds)
          .toLocaleString('en')
          .padStart(10)} events/s  ${((line.cpuSeconds * 1e6) / messages).toFixed(2)} CPU-s per million`,
      )
    }
  }
  for (const [name, list] of Object.entries(lines)) {
    print(
      `median ${name.padEnd(10)} ${Math.round(messages / median(list.map(line => line.seconds)))
        .toLocaleString('en')
        .padStart(
          10,
        )} events/s  ${((median(list.map(line => line.cpuSeconds)) * 1e6) / messages).toFixed(2)} CPU-s per million`,
    )
  }
  const last = lines.marbledb.at(-1)
  print(
    `marbledb, last run: ${last.epochs} epochs, ${last.viewRows} rows in the view, commit ${last.nsPerDirtyGroup.toFixed(1)} ns per changed group (${last.dirtyGroups} in all), peak RSS ${last.peakRssMb} MB`,
  )
} catch (error) {
  process.stderr.write(`error: ${error.stderr || error.message}\n`)
  code = 1
} finally {
  await broker.close()
  rmSync(directory, { recursive: true, force: true })
}
process.exit(code)
