// Flight records onto a broker, and the statements of the main job.
import { readFileSync } from 'node:fs'
import { DuckDBInstance } from '@duckdb/node-api'
import type { TestProducer } from 'marbledb/testing'
import { flights20k, flights3m } from './duckdb.js'

export const flightsTable = (bootstrapServers: string, topic: string): string => `
CREATE TABLE flights (\`date\` STRING, delay INT, distance INT, origin STRING, destination STRING,
  ts AS TO_TIMESTAMP(\`date\`, 'yyyy/MM/dd HH:mm'), WATERMARK FOR ts AS ts - INTERVAL '1' HOUR)
  WITH ('connector' = 'kafka', 'topic' = '${topic}', 'properties.bootstrap.servers' = '${bootstrapServers}',
        'format' = 'json', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');`

export const delaysView = `
CREATE TABLE delays (origin STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), flights BIGINT, avg_delay DOUBLE,
  max_delay INT, PRIMARY KEY (origin, window_start) NOT ENFORCED);
INSERT INTO delays SELECT origin, window_start, window_end, COUNT(*), AVG(CAST(delay AS DOUBLE)), MAX(delay)
  FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY origin, window_start, window_end;`

export const countsAndTotal = `
CREATE TABLE counts (origin STRING, window_start TIMESTAMP(3), flights BIGINT, PRIMARY KEY (origin, window_start) NOT ENFORCED);
CREATE TABLE total (window_start TIMESTAMP(3), flights BIGINT, PRIMARY KEY (window_start) NOT ENFORCED);
EXECUTE STATEMENT SET BEGIN
  INSERT INTO counts SELECT origin, window_start, COUNT(*)
    FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY origin, window_start, window_end;
  INSERT INTO total SELECT window_start, COUNT(*)
    FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
END;`

/** What DuckDB makes of the same records; `source` is a table function over the same file. */
export const delaysAnswer = (source: string): string => `
  SELECT origin, epoch_ms(day * 86400000)::TIMESTAMP_MS AS window_start, epoch_ms((day + 1) * 86400000)::TIMESTAMP_MS AS window_end,
    count(*)::BIGINT AS flights, avg(delay::DOUBLE) AS avg_delay, max(delay)::INTEGER AS max_delay
  FROM (SELECT origin, delay, epoch_ms(ts) // 86400000 AS day FROM ${source}) GROUP BY ALL`
export const source20k = `(SELECT origin, delay, strptime("date", '%Y/%m/%d %H:%M') AS ts FROM read_json('${flights20k}'))`
export const source3m = `(SELECT origin, delay, "date" AS ts FROM '${flights3m}')`

export async function produce20k(producer: TestProducer, topic: string, partitions: number): Promise<number> {
  const flights = JSON.parse(readFileSync(flights20k, 'utf8')) as object[]
  await producer.produce(
    topic,
    flights.map((flight, i) => ({ value: JSON.stringify(flight), partition: i % partitions })),
  )
  await producer.flush()
  return flights.length
}

export async function produce3m(producer: TestProducer, topic: string, partitions: number): Promise<number> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const result = await connection.stream(
    `SELECT '{"date":"' || strftime("date", '%Y/%m/%d %H:%M') || '","delay":' || coalesce(delay::VARCHAR, 'null') || ',"distance":' || distance ||
       ',"origin":"' || origin || '","destination":"' || destination || '"}' FROM '${flights3m}'`,
  )
  let count = 0
  for (;;) {
    const chunk = await result.fetchChunk()
    if (chunk === null || chunk.rowCount === 0) break
    const values = chunk.getColumnValues(0) as string[]
    await producer.produce(
      topic,
      values.map((value, i) => ({ value, partition: (count + i) % partitions })),
    )
    count += values.length
  }
  await producer.flush()
  connection.closeSync()
  instance.closeSync()
  return count
}
