// The view of the demo: its SQL, and the same view computed in plain JavaScript from the records
// that were produced. The two share nothing but the records.
export const flightsTable = (bootstrapServers, topic) => `
CREATE TABLE flights (\`date\` STRING, delay INT, distance INT, origin STRING, destination STRING,
  ts AS TO_TIMESTAMP(\`date\`, 'yyyy/MM/dd HH:mm'), WATERMARK FOR ts AS ts - INTERVAL '1' HOUR)
  WITH ('connector' = 'kafka', 'topic' = '${topic}', 'properties.bootstrap.servers' = '${bootstrapServers}',
        'format' = 'json', 'scan.startup.mode' = 'earliest-offset');`

export const delaysView = `
CREATE TABLE delays (origin STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), flights BIGINT,
  avg_delay DOUBLE, max_delay INT, PRIMARY KEY (origin, window_start) NOT ENFORCED);
INSERT INTO delays SELECT origin, window_start, window_end, COUNT(*), AVG(CAST(delay AS DOUBLE)), MAX(delay)
  FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY origin, window_start, window_end;`

const dayMs = 86_400_000
const toMs = text => Date.parse(`${text.slice(0, 10).replaceAll('/', '-')}T${text.slice(11)}:00Z`)

/** Adds records up by origin and day: a Map from "origin|day" to {flights, sum, max}. */
export class ExpectedView {
  #groups = new Map()
  add({ date, delay, origin }) {
    const start = Math.floor(toMs(date) / dayMs) * dayMs
    const key = `${origin}|${start}`
    const group = this.#groups.get(key) ?? { flights: 0, counted: 0, sum: 0, max: null }
    group.flights++
    if (delay !== null) {
      group.counted++
      group.sum += delay
      group.max = group.max === null ? delay : Math.max(group.max, delay)
    }
    this.#groups.set(key, group)
  }
  get size() {
    return this.#groups.size
  }
  /** Full difference both ways with the rows of the view. */
  compare(rows) {
    let lost = 0
    let doubled = 0
    const wrong = []
    const seen = new Set()
    for (const row of rows) {
      const key = `${row.origin}|${row.window_start}`
      const group = this.#groups.get(key)
      if (seen.has(key)) wrong.push(`${key}: twice in the view`)
      seen.add(key)
      const flights = Number(row.flights)
      const expected = group?.flights ?? 0
      lost += Math.max(0, expected - flights)
      doubled += Math.max(0, flights - expected)
      if (group === undefined) continue
      const average = group.counted === 0 ? null : group.sum / group.counted
      const sameAverage =
        average === row.avg_delay ||
        (average !== null && Math.abs(average - row.avg_delay) <= 1e-9 * Math.max(1, Math.abs(average)))
      if (!sameAverage || row.max_delay !== group.max || row.window_end !== row.window_start + dayMs) {
        wrong.push(`${key}: got ${row.avg_delay}, ${row.max_delay}; expected ${average}, ${group.max}`)
      }
    }
    for (const [key, group] of this.#groups) if (!seen.has(key)) lost += group.flights
    return { lost, doubled, wrong }
  }
}
