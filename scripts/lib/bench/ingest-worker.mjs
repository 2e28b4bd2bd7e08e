// MarbleDB's side of `scripts/bench ingest`, in a process of its own. Prints one line of JSON. The
// checksum adds up all four fields of every record, out of the view: the same number that the
// generator and the bare loop print.
import { performance } from 'node:perf_hooks'
import { StreamingSQLExecutor } from 'marbledb'

const [statePath, bootstrapServers, topic] = process.argv.slice(2)
const sql = await StreamingSQLExecutor.open({ statePath })
const cpuBefore = process.cpuUsage()
const began = performance.now()
const results = await sql.execute(`
  CREATE TABLE ticks (ts BIGINT, \`key\` STRING, px DOUBLE, qty BIGINT, event_time TIMESTAMP(3) METADATA FROM 'timestamp',
      WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND)
    WITH ('connector' = 'kafka', 'topic' = '${topic}', 'properties.bootstrap.servers' = '${bootstrapServers}', 'format' = 'json',
          'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');
  CREATE TABLE candles (\`key\` STRING, window_start TIMESTAMP(3), n BIGINT, ts BIGINT, px DOUBLE, qty BIGINT, average DOUBLE, low DOUBLE,
    high DOUBLE, PRIMARY KEY (\`key\`, window_start) NOT ENFORCED);
  INSERT INTO candles SELECT \`key\`, window_start, COUNT(*), SUM(ts), SUM(px), SUM(qty), AVG(px), MIN(px), MAX(px)
    FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) GROUP BY \`key\`, window_start, window_end`)
const metrics = await results.at(-1).job.finished
const seconds = (performance.now() - began) / 1000
const cpu = process.cpuUsage(cpuBefore)

let messages = 0n
let checksum = 0n
let viewRows = 0
const letters = key =>
  BigInt.asUintN(
    64,
    [...Buffer.from(key)].reduce((sum, byte) => sum * 31n + BigInt(byte), 0n),
  )
const lettersOf = new Map()
for await (const row of sql.table('candles').scan().rows()) {
  if (!lettersOf.has(row.key)) lettersOf.set(row.key, letters(row.key))
  messages += row.n
  checksum += row.ts + lettersOf.get(row.key) * row.n + BigInt(Math.round(row.px * 100)) + row.qty
  viewRows++
}
const dirtyGroups = Number(metrics.stateRowsCommitted)
process.stdout.write(
  `${JSON.stringify({
    messages: Number(messages),
    checksum: String(BigInt.asUintN(64, checksum)),
    viewRows,
    seconds,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    epochs: Number(metrics.epoch),
    dirtyGroups,
    nsPerDirtyGroup: dirtyGroups === 0 ? 0 : (metrics.commitMs * 1e6) / dirtyGroups,
    peakRssMb: Math.round(process.resourceUsage().maxRSS / 1024),
  })}\n`,
)
await sql.close()
