// scripts/bench filter: conditions that keep 1 % of 10M rows, counted and as rows, beside DuckDB with one thread over its own table in
// memory. The sums of the ids that both sides give must be equal, or the figures are void.
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { DuckDBInstance } from '@duckdb/node-api'
import { Field, Float64, Int32, Int64, makeData, RecordBatch, Schema, Struct } from 'apache-arrow'
import { Database } from 'marbledb'

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '10000000' }, runs: { type: 'string', default: '9' } },
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
const from = Math.floor(rows * 0.4)
const to = from + rows / 100 - 1
const conditions = {
  'scattered (a < 10)': 'a < 10',
  'clustered (b BETWEEN)': `b BETWEEN ${from / 100} AND ${Math.floor(to / 100)}`,
  'by key (id BETWEEN)': `id BETWEEN ${from} AND ${to}`,
}
const total = columns => {
  let sum = 0n
  for (const column of columns) for (const id of column) sum += id
  return sum
}

try {
  const db = await Database.open(directory)
  const table = await db.createTable('big', { schema, primaryKey: ['id'] })
  for (let at = 0; at < rows; at += part) {
    const length = Math.min(part, rows - at)
    const children = [
      makeData({ type: new Int64(), data: BigInt64Array.from({ length }, (_, i) => BigInt(at + i)) }),
      makeData({ type: new Float64(), data: Float64Array.from({ length }, (_, i) => ((at + i) * 7919) % 1000) }),
      makeData({ type: new Int32(), data: Int32Array.from({ length }, (_, i) => Math.floor((at + i) / 100)) }),
    ]
    await table.insertBatch(
      new RecordBatch(schema, makeData({ type: new Struct(schema.fields), length, nullCount: 0, children })),
    )
  }
  await db.flush()
  await db.compact({ table: 'big' })
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
  const connection = await instance.connect()
  await connection.run(
    `CREATE TABLE big AS SELECT range AS id, CAST((range * 7919) % 1000 AS DOUBLE) AS a, CAST(range // 100 AS INTEGER) AS b FROM range(${rows})`,
  )
  print(
    `machine: ${cpus().length} x ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB; Node ${process.version}; ${new Date().toISOString().slice(0, 10)}`,
  )
  print(
    `${rows} rows of int64 (key), float64, int32; one compacted file, page cache warm; DuckDB: one thread, in memory`,
  )
  for (const [name, where] of Object.entries(conditions)) {
    const sides = {
      'marbledb count': async () => table.count({ where }),
      'duckdb count': async () =>
        (await connection.runAndReadAll(`SELECT COUNT(*) FROM big WHERE ${where}`)).getRows()[0][0],
      'marbledb rows': async () => {
        const columns = []
        for await (const batch of table.scan({ where, columns: ['id'] })) {
          columns.push(batch.getChild('id').data[0].values.subarray(0, batch.numRows))
        }
        return total(columns)
      },
      'duckdb rows': async () => {
        const result = await connection.run(`SELECT id FROM big WHERE ${where}`)
        const columns = []
        for (let chunk = await result.fetchChunk(); chunk?.rowCount > 0; chunk = await result.fetchChunk()) {
          columns.push(chunk.getColumnVector(0).toArray())
        }
        return total(columns)
      },
    }
    const answers = {}
    const line = []
    for (const [side, run] of Object.entries(sides)) {
      const times = []
      for (let i = 0; i < runs; i++) {
        const began = performance.now()
        answers[side] = await run()
        times.push(performance.now() - began)
      }
      const sorted = times.slice(1).sort((x, y) => x - y)
      line.push(`${side} ${sorted[Math.floor(sorted.length / 2)].toFixed(1)} ms (best ${sorted[0].toFixed(1)})`)
    }
    if (answers['marbledb count'] !== answers['duckdb count'] || answers['marbledb rows'] !== answers['duckdb rows']) {
      throw new Error(`void: the sides disagree on ${where}: ${Object.values(answers).join(', ')}`)
    }
    print(`${name.padEnd(22)} ${line.join('; ')}`)
  }
  const { batchesPruned, batchesOutOfRange, rowsFiltered } = db.metrics()
  print(
    `left out over all runs: ${batchesPruned} batches by zone maps, ${batchesOutOfRange} by key; ${rowsFiltered} rows by evaluation`,
  )
  connection.closeSync()
  instance.closeSync()
  await db.close()
} catch (error) {
  process.stderr.write(`error: ${error.message}\n`)
  process.exitCode = 1
} finally {
  rmSync(directory, { recursive: true, force: true })
}
