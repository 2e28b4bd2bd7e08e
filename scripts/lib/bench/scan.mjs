// scripts/bench scan: 10M rows out of the store into JavaScript as apache-arrow batches, beside apache-arrow reading
// the same SSTables as IPC files. Every side adds up one column of all rows outside the measured
// time; the figures are void when the sums differ.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { Field, Float64, Int32, Int64, makeData, RecordBatch, Schema, Struct, tableFromIPC } from 'apache-arrow'
import { Database } from 'marbledb'

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '10000000' }, runs: { type: 'string', default: '15' } },
})
const [rows, runs] = [Number(values.rows), Number(values.runs)]
const print = text => process.stdout.write(`${text}\n`)
const directory = mkdtempSync(join(tmpdir(), 'marbledb-bench-'))
const schema = new Schema([
  new Field('id', new Int64(), false),
  new Field('a', new Float64(), false),
  new Field('b', new Int32(), false),
])
const part = 1_000_000
const sum = batches => {
  let total = 0
  for (const batch of batches) {
    for (const value of batch.getChild('a').data[0].values.subarray(0, batch.numRows)) total += value
  }
  return total
}

try {
  const db = await Database.open(directory)
  const table = await db.createTable('big', { schema, primaryKey: ['id'] })
  for (let at = 0; at < rows; at += part) {
    const length = Math.min(part, rows - at)
    const children = [
      makeData({ type: new Int64(), data: BigInt64Array.from({ length }, (_, i) => BigInt(at + i)) }),
      makeData({ type: new Float64(), data: Float64Array.from({ length }, (_, i) => i % 1000) }),
      makeData({ type: new Int32(), data: new Int32Array(length).fill(at / part) }),
    ]
    await table.insertBatch(
      new RecordBatch(schema, makeData({ type: new Struct(schema.fields), length, nullCount: 0, children })),
    )
  }
  await db.flush()
  await db.compact({ table: 'big' })
  print(
    `machine: ${cpus().length} x ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB; Node ${process.version}; ${new Date().toISOString().slice(0, 10)}`,
  )
  print(`${rows} rows of int64, float64, int32; compacted, page cache warm; page checksums verified at first touch`)
  // Those alone that the table consists of: a snapshot may keep others.
  const copy = join(directory, 'copy')
  await db.checkpoint(copy)
  const files = readdirSync(copy)
    .filter(name => name.endsWith('.arrow'))
    .map(name => join(copy, name))
  const sides = {
    'marbledb scan()': async () => {
      const batches = []
      for await (const batch of table.scan()) batches.push(batch)
      return batches
    },
    'apache-arrow tableFromIPC(readFileSync())': async () =>
      files.flatMap(file => tableFromIPC(readFileSync(file)).batches),
  }
  const sums = new Set()
  for (const [name, read] of Object.entries(sides)) {
    const times = []
    let zeroCopy
    for (let run = 0; run < runs; run++) {
      const began = performance.now()
      const batches = await read()
      times.push(performance.now() - began)
      sums.add(sum(batches))
      zeroCopy = batches.every(batch => batch.zeroCopy === true)
    }
    const sorted = times.slice(1).sort((a, b) => a - b)
    print(
      `${name.padEnd(42)} first ${times[0].toFixed(1)} ms, then median ${sorted[Math.floor(sorted.length / 2)].toFixed(2)} ms, best ${sorted[0].toFixed(2)} ms${zeroCopy ? ', zero copy' : ''}`,
    )
  }
  if (sums.size !== 1) throw new Error(`void: the sides disagree: ${[...sums].join(', ')}`)
  await db.close()
} catch (error) {
  process.stderr.write(`error: ${error.message}\n`)
  process.exitCode = 1
} finally {
  rmSync(directory, { recursive: true, force: true })
}
