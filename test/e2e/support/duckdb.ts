// The batch answer, computed by DuckDB from the same records, and a full difference both ways.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'

// The package exports only its build/index.js; the data lies beside that folder.
const data = join(dirname(createRequire(import.meta.url).resolve('vega-datasets')), '..', 'data')
export const flights20k = join(data, 'flights-20k.json')
export const flights3m = join(data, 'flights-3m.parquet')

export interface Answer {
  names: string[]
  types: string[]
  rows: unknown[][]
}
export async function duckdb(query: string): Promise<Answer> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const result = await connection.runAndReadAll(query)
    return {
      names: result.columnNames(),
      types: result.columnTypes().map(String),
      rows: result.getRowsJS() as unknown[][],
    }
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

const arrowNames: Record<string, string> = {
  VARCHAR: 'Utf8',
  BIGINT: 'Int64',
  INTEGER: 'Int32',
  DOUBLE: 'Float64',
  TIMESTAMP_MS: 'Timestamp<MILLISECOND>',
  TIMESTAMP: 'Timestamp<MILLISECOND>',
}
const canonical = (value: unknown): string => {
  if (value instanceof Date) return `t${value.getTime()}`
  if (typeof value === 'bigint') return `i${value}`
  return value === null ? 'null' : `${typeof value}:${value}`
}

/** Fails unless `rows` (objects) are exactly the answer's rows, as a set, with its types. */
export function assertSameRows(
  rows: Record<string, unknown>[],
  schema: { fields: { name: string; type: unknown }[] },
  answer: Answer,
): void {
  assert.deepEqual(
    schema.fields.map(field => [field.name, String(field.type)]),
    answer.names.map((name, i) => [name, arrowNames[answer.types[i]!] ?? answer.types[i]]),
    'column names and types',
  )
  const timestamps = new Set(answer.names.filter((_, i) => answer.types[i]!.startsWith('TIMESTAMP')))
  const ours = rows
    .map(row =>
      answer.names
        .map(name => (timestamps.has(name) && typeof row[name] === 'number' ? `t${row[name]}` : canonical(row[name])))
        .join(' | '),
    )
    .sort()
  const theirs = answer.rows.map(row => row.map(canonical).join(' | ')).sort()
  const count = (list: string[]) => {
    const counts = new Map<string, number>()
    for (const line of list) counts.set(line, (counts.get(line) ?? 0) + 1)
    return counts
  }
  const [left, right] = [count(ours), count(theirs)]
  const onlyOurs = [...left].filter(([line, n]) => n > (right.get(line) ?? 0)).map(([line]) => line)
  const onlyTheirs = [...right].filter(([line, n]) => n > (left.get(line) ?? 0)).map(([line]) => line)
  assert.deepEqual(
    { onlyOurs: onlyOurs.slice(0, 5), onlyTheirs: onlyTheirs.slice(0, 5), ours: ours.length },
    { onlyOurs: [], onlyTheirs: [], ours: theirs.length },
  )
}
