// The main job on a real broker: the view equals the batch answer, whatever is killed on the way.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StreamingSQLExecutor } from 'marbledb'
import { TestProducer } from 'marbledb/testing'
import { TestBroker } from '../../scripts/lib/broker.mjs'
import { assertSameRows, duckdb } from './support/duckdb.js'
import {
  countsAndTotal,
  delaysAnswer,
  delaysView,
  flightsTable,
  produce20k,
  produce3m,
  source20k,
  source3m,
} from './support/flights.js'
import { type Kill, killLoop, seeded } from './support/kill-loop.js'

const kills = process.env.MARBLE_LONG === undefined ? 20 : 100
const seed = Number(process.env.MARBLE_SEED ?? Date.now() % 1_000_000)

describe('the main job on a real broker', () => {
  let broker: TestBroker
  let producer: TestProducer
  let directory: string
  const print = (text: string) => process.stdout.write(`      ${text}\n`)
  const inside = (list: Kill[], total: number) =>
    list.filter(kill => kill.epoch > 0n && kill.records > 0n && kill.records < BigInt(total))
  const show = (list: Kill[]) =>
    print(`seed ${seed}; kills at epoch (records): ${list.map(kill => `${kill.epoch} (${kill.records})`).join(', ')}`)

  before(async () => {
    broker = await TestBroker.start()
    producer = await TestProducer.connect(broker.bootstrapServers)
    directory = mkdtempSync(join(tmpdir(), 'marbledb-e2e-'))
  })
  after(async () => {
    await producer?.close()
    await broker?.close()
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
  })

  it('gives the view that DuckDB computes from the same 20,000 records, rows and types', async () => {
    await producer.createTopic('flights20k', 4)
    assert.equal(await produce20k(producer, 'flights20k', 4), 20_000)
    const sql = await StreamingSQLExecutor.open({ statePath: join(directory, 'view20k') })
    try {
      const results = await sql.execute(flightsTable(broker.bootstrapServers, 'flights20k') + delaysView)
      const metrics = await results.at(-1)!.job!.finished
      assert.equal(metrics.recordsIn, 20_000n)
      assert.equal(metrics.lateRecords, 0n)
      const view = sql.table('delays')
      assertSameRows(
        (await view.scan().toArray()) as Record<string, unknown>[],
        view.schema,
        await duckdb(delaysAnswer(source20k)),
      )
    } finally {
      await sql.close()
    }
  })

  it('loses and doubles nothing over 3,000,000 records when its process is killed again and again', async () => {
    await producer.createTopic('flights3m', 4)
    const total = await produce3m(producer, 'flights3m', 4)
    assert.equal(total, 3_000_000)
    const statePath = join(directory, 'view3m')
    const text = flightsTable(broker.bootstrapServers, 'flights3m') + delaysView
    const result = await killLoop({ statePath, sql: text, kills, maxLifeMs: 120, random: seeded(seed) })
    show(result.kills)
    assert.ok(
      inside(result.kills, total).length > kills / 2,
      `only ${inside(result.kills, total).length} of ${kills} kills fell strictly inside the run`,
    )
    const sql = await StreamingSQLExecutor.open({ statePath })
    try {
      const view = sql.table('delays')
      assertSameRows(
        (await view.scan().toArray()) as Record<string, unknown>[],
        view.schema,
        await duckdb(delaysAnswer(source3m)),
      )
    } finally {
      await sql.close()
    }
  })

  it('never shows a torn epoch: two views of one statement set agree in every snapshot, across kills too', async () => {
    const statePath = join(directory, 'torn')
    const text = flightsTable(broker.bootstrapServers, 'flights3m') + countsAndTotal
    let checkedAfterKill = 0
    const result = await killLoop({
      statePath,
      sql: text,
      kills: 8,
      maxLifeMs: 400,
      random: seeded(seed + 1),
      watch: ['counts', 'total'],
      afterKill: async store => {
        const sums = new Map<number, bigint>()
        for (const row of (await store.table('counts').scan().toArray()) as {
          window_start: number
          flights: bigint
        }[]) {
          sums.set(row.window_start, (sums.get(row.window_start) ?? 0n) + row.flights)
        }
        const totals = (await store.table('total').scan().toArray()) as { window_start: number; flights: bigint }[]
        assert.deepEqual(new Map(totals.map(row => [row.window_start, row.flights])), sums)
        checkedAfterKill++
      },
    })
    show(result.kills)
    print(`${result.snapshots} snapshots taken while the job ran`)
    assert.deepEqual(result.torn, [])
    assert.ok(result.snapshots >= 20, `only ${result.snapshots} snapshots were taken while the job ran`)
    assert.equal(checkedAfterKill, result.kills.length)
    assert.ok(inside(result.kills, 3_000_000).length > 4, 'most kills must fall strictly inside the run')
  })
})
