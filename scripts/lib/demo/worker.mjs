// The job, in a process of its own, so that the demo can kill it. Talks to its parent by IPC.
import { performance } from 'node:perf_hooks'
import { StreamingSQLExecutor } from 'marbledb'
import { delaysView, flightsTable } from './view.mjs'

const [statePath, bootstrapServers, topic] = process.argv.slice(2)
const sql = await StreamingSQLExecutor.open({ statePath })
const results = await sql.execute(flightsTable(bootstrapServers, topic) + delaysView)
const { job } = results.at(-1)
process.send({ type: 'started', resumedFromEpoch: String(job.metrics().resumedFromEpoch ?? 0n) })

const report = () => {
  const metrics = job.metrics()
  process.send({
    type: 'progress',
    status: job.status,
    recordsIn: String(metrics.recordsIn),
    perSecond: metrics.recordsPerSecond,
    watermark: metrics.watermark,
    epoch: String(metrics.epoch),
    late: String(metrics.lateRecords),
    offsets: metrics.sources.map(source => [source.partition, Number(source.offset)]),
    lag: metrics.sources.reduce((sum, source) => sum + Math.max(0, Number(source.lag ?? 0n)), 0),
  })
}
const timer = setInterval(report, 100)
job.finished.catch(error => {
  process.send({ type: 'failed', message: error.message })
})

process.on('message', async message => {
  if (message.type !== 'finish') return
  clearInterval(timer)
  // The feed is at its end: close the windows that are still open, then read the view.
  await job.stop({ drain: true })
  report()
  const view = sql.table('delays')
  const rows = await view.scan().toArray()
  const keys = rows.map(({ origin, window_start }) => ({ origin, window_start }))
  const reads = []
  for (let i = 0; i < 20_000; i++) {
    const key = keys[(i * 7919) % keys.length]
    const began = performance.now()
    const row = view.get(key)
    const micros = (performance.now() - began) * 1000
    if (row === undefined || row.origin !== key.origin)
      throw new Error(`key ${JSON.stringify(key)} is in the scan but not found by get`)
    if (i >= 2_000) reads.push(micros)
  }
  reads.sort((a, b) => a - b)
  const example = view.get({ origin: 'SFO', window_start: Date.UTC(2001, 1, 3) })
  await sql.database.flush()
  await sql.database.compact({ table: 'delays' })
  const began = performance.now()
  let scanned = 0
  let flights = 0n
  let zeroCopy = true
  for await (const batch of view.scan({ columns: ['flights'] })) {
    scanned += batch.numRows
    for (const value of batch.getChildAt(0).data[0].values.subarray(0, batch.numRows)) flights += value
    zeroCopy &&= batch.zeroCopy
    batch.release()
  }
  const answer = {
    type: 'view',
    rows: rows.map(row => ({ ...row, flights: String(row.flights) })),
    example: example && { ...example, flights: String(example.flights) },
    p50: reads[Math.floor(reads.length * 0.5)],
    p99: reads[Math.floor(reads.length * 0.99)],
    scan: { rows: scanned, flights: String(flights), ms: performance.now() - began, zeroCopy },
  }
  // Several MB: disconnecting would throw away what is still under way.
  await new Promise((sent, failed) => {
    process.send(answer, error => (error ? failed(error) : sent()))
  })
  await sql.close()
  process.disconnect()
})
