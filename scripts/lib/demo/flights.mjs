// The records: real flights of early 2001, from the npm package vega-datasets.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

// The package exports only its build/index.js; the data lies beside that folder.
const data = join(dirname(createRequire(import.meta.url).resolve('vega-datasets')), '..', 'data')

/** 20,000 flights, as one array of batches of one. */
export async function* twentyThousand() {
  const flights = JSON.parse(readFileSync(join(data, 'flights-20k.json'), 'utf8'))
  for (let i = 0; i < flights.length; i += 100) yield flights.slice(i, i + 100)
}

/** 3,000,000 flights out of the Parquet file, read with DuckDB, in time order. */
export async function* threeMillion() {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const result = await connection.stream(
    `SELECT strftime("date", '%Y/%m/%d %H:%M') AS "date", delay::INT AS delay, distance::INT AS distance, origin, destination
     FROM '${join(data, 'flights-3m.parquet')}'`,
  )
  for (;;) {
    const chunk = await result.fetchChunk()
    if (chunk === null || chunk.rowCount === 0) return
    yield chunk
      .getRows()
      .map(([date, delay, distance, origin, destination]) => ({ date, delay, distance, origin, destination }))
  }
}
