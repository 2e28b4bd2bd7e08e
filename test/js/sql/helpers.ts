import assert from 'node:assert/strict'
import {
  Catalog,
  type JobPlan,
  type PlannedStatement,
  Planner,
  type PlanOptions,
  parseStatements,
  SqlError,
} from '../../../lib/sql/index.js'

export const kKafka =
  "WITH ('connector' = 'kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'b:9092', 'format' = 'json')"

/** Tables that most tests use. */
export const kTables = `
  CREATE TABLE flights (\`date\` STRING, delay INT, distance INT, origin STRING, destination STRING,
    ts AS TO_TIMESTAMP(\`date\`, 'yyyy/MM/dd HH:mm'), WATERMARK FOR ts AS ts - INTERVAL '1' HOUR) ${kKafka};
  CREATE TABLE plain (a INT, b BIGINT, c DOUBLE, d DECIMAL(10, 2), s STRING, t TIMESTAMP(3), f BOOLEAN, day DATE, r ROW<x INT>, nn INT NOT NULL) ${kKafka};
  CREATE TABLE delays (origin STRING, flights BIGINT, PRIMARY KEY (origin) NOT ENFORCED);
  CREATE TABLE log (origin STRING, flights BIGINT);
`

export class Session {
  readonly catalog = new Catalog()
  readonly planner = new Planner(this.catalog)
  settings: Record<string, string> = {}

  /** Plan and apply every statement; the results. */
  run(sql: string, options: PlanOptions & { vars?: Record<string, string> } = {}): PlannedStatement[] {
    return parseStatements(sql, { vars: options.vars }).map(parsed => {
      const planned = this.planner.plan(parsed, { settings: this.settings, ...options })
      this.planner.apply(planned)
      if (planned.kind === 'set') this.settings[planned.key] = planned.value
      return planned
    })
  }

  one(sql: string, options: PlanOptions = {}): PlannedStatement {
    return this.run(sql, options).at(-1)!
  }

  planOf(sql: string, options: PlanOptions = {}): JobPlan {
    const planned = this.one(sql, options)
    assert.ok('plan' in planned && planned.plan !== undefined, `${planned.kind} has no plan`)
    return planned.plan
  }
}

export function session(sql: string = kTables): Session {
  const s = new Session()
  s.run(sql)
  return s
}

export function errorOf(f: () => unknown): SqlError {
  try {
    f()
  } catch (error) {
    assert.ok(error instanceof SqlError, `not an SqlError: ${String(error instanceof Error ? error.stack : error)}`)
    return error
  }
  assert.fail('no error was thrown')
}
