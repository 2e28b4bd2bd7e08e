// One life of a job, to be killed: opens the state path, executes the SQL it is given, reports
// every epoch to its parent. With `watch`, a reader in this process takes snapshots all the time
// and checks that the two tables of a statement set agree in each.
import { StreamingSQLExecutor } from 'marbledb'

const { statePath, sql: text, watch } = JSON.parse(process.argv[2])
const executor = await StreamingSQLExecutor.open({ statePath, epochMs: 20 })
const results = await executor.execute(text)
const { job } = results.findLast(result => result.job !== undefined)
process.send({ type: 'started', epoch: String(job.metrics().epoch) })
let done = false
job.on('epoch', () => {
  if (process.connected)
    process.send({ type: 'epoch', epoch: String(job.metrics().epoch), recordsIn: String(job.metrics().recordsIn) })
})

async function watchSnapshots() {
  let snapshots = 0
  const [byKey, total] = watch
  while (!done) {
    const snapshot = executor.database.snapshot()
    try {
      const sums = new Map()
      for (const row of await executor.table(byKey).scan({ snapshot }).toArray()) {
        sums.set(row.window_start, (sums.get(row.window_start) ?? 0n) + row.flights)
      }
      const totals = await executor.table(total).scan({ snapshot }).toArray()
      const agree = totals.length === sums.size && totals.every(row => sums.get(row.window_start) === row.flights)
      snapshots++
      if (!agree)
        process.send({ type: 'torn', sequence: String(snapshot.sequence), windows: sums.size, totals: totals.length })
    } finally {
      snapshot.close()
    }
    process.send({ type: 'snapshots', count: snapshots })
    await new Promise(resolve => setImmediate(resolve))
  }
}
const watching = watch === undefined ? Promise.resolve() : watchSnapshots()
try {
  await job.finished
  done = true
  await watching
  process.send({ type: 'finished', epoch: String(job.metrics().epoch) })
} catch (error) {
  process.send({ type: 'failed', message: `${error.code}: ${error.message}` })
}
await executor.close()
process.disconnect()
