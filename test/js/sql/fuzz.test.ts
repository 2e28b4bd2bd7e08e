import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { parseStatements, SqlError } from '../../../lib/sql/index.js'
import { kTables, Session, session } from './helpers.js'

const directory = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../fixtures/plans')

const seeds = [
  kTables,
  ...fs
    .readdirSync(directory)
    .filter(f => f.endsWith('.sql'))
    .map(f => fs.readFileSync(path.join(directory, f), 'utf8')),
  "SELECT a, CASE WHEN f THEN CAST(s AS INT) ELSE -1 END, t - INTERVAL '1 02' DAY TO HOUR, COALESCE(b, 2) FROM plain WHERE s LIKE 'a%' AND a NOT IN (1, 2) AND d * 2.5 BETWEEN 0 AND 1e3 AND t > '2001-01-01'",
  'WITH x AS (SELECT origin, MAX(delay) AS m FROM flights GROUP BY origin) SELECT * FROM x',
  "CREATE VIEW v AS SELECT EXTRACT(YEAR FROM t) AS y, FLOOR(t TO DAY) AS d, TRIM(s) || UPPER(s) AS z FROM plain; EXPLAIN SELECT * FROM v; SHOW TABLES; SET 'pipeline.name' = 'x'; RESET; DROP VIEW v",
]

const words = seeds.join(' ').match(/\w+|'[^']*'|[^\s\w]/g)!

/** A seed with a few tokens dropped, doubled, swapped, replaced, or characters cut in. */
const mutated = fc
  .record({
    seed: fc.constantFrom(...seeds),
    edits: fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        kind: fc.integer({ min: 0, max: 4 }),
        word: fc.constantFrom(...words),
        raw: fc.string({ maxLength: 3 }),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  })
  .map(({ seed, edits }) => {
    const tokens = seed.match(/\s+|\w+|'[^']*'|[^\s\w]/g)!
    for (const { at, kind, word, raw } of edits) {
      const i = Math.floor(at * tokens.length)
      if (kind === 0) tokens.splice(i, 1)
      else if (kind === 1) tokens.splice(i, 0, tokens[i]!)
      else if (kind === 2) tokens[i] = word
      else if (kind === 3) tokens.splice(i, 0, ` ${word} `)
      else tokens.splice(i, 0, raw)
    }
    return tokens.join('')
  })

/** Anything but SqlError is a defect, and so is a place outside of the text. */
function onlySqlErrors(text: string, run: () => void): void {
  const start = performance.now()
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof SqlError, error instanceof Error ? error.stack : String(error))
    assert.ok(error.line >= 1 && error.column >= 1)
    if (!error.reason.startsWith('in the view')) assert.ok(error.line <= text.split('\n').length, `line ${error.line}`)
  }
  assert.ok(performance.now() - start < 2000, 'took too long')
}

describe('mutated statements', function () {
  this.timeout(120_000)

  it('only ever fail with an SqlError, and never hang', () => {
    fc.assert(
      fc.property(mutated, text => {
        const s = text.includes('CREATE TABLE flights') ? new Session() : session()
        onlySqlErrors(text, () => s.run(text))
      }),
      { numRuns: 3000 },
    )
  })

  it('of arbitrary characters only ever fail with an SqlError', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), text =>
        onlySqlErrors(text, () => void parseStatements(text)),
      ),
      { numRuns: 2000 },
    )
  })

  it('of arbitrary expressions plan or fail with an SqlError', () => {
    const leaf = fc.constantFrom(
      'a',
      'b',
      'c',
      'd',
      's',
      't',
      'f',
      'day',
      'r',
      'nn',
      '1',
      '2.5',
      '1e2',
      "'x'",
      "'2001-01-01'",
      'NULL',
      'TRUE',
      "INTERVAL '1' DAY",
      "DATE '2001-01-01'",
      'COUNT(*)',
    )
    const { expression } = fc.letrec<{ expression: string }>(tie => ({
      expression: fc.oneof(
        { maxDepth: 4, depthSize: 'small' },
        leaf,
        fc
          .tuple(
            tie('expression'),
            fc.constantFrom('+', '-', '*', '/', '%', '||', '=', '<', 'AND', 'OR'),
            tie('expression'),
          )
          .map(([a, o, b]) => `(${a} ${o} ${b})`),
        fc
          .tuple(
            fc.constantFrom(
              'ABS',
              'FLOOR',
              'UPPER',
              'COALESCE',
              'NULLIF',
              'IF',
              'MOD',
              'SUBSTRING',
              'SUM',
              'MAX',
              'YEAR',
            ),
            fc.array(tie('expression'), { minLength: 1, maxLength: 3 }),
          )
          .map(([f, args]) => `${f}(${args.join(', ')})`),
        fc
          .tuple(
            tie('expression'),
            fc.constantFrom(
              'INT',
              'STRING',
              'DOUBLE',
              'TIMESTAMP(3)',
              'DECIMAL(5, 2)',
              'DATE',
              'BOOLEAN',
              'VARCHAR(2)',
            ),
          )
          .map(([e, t]) => `CAST(${e} AS ${t})`),
        fc
          .tuple(tie('expression'), tie('expression'), tie('expression'))
          .map(([a, b, c]) => `CASE WHEN ${a} THEN ${b} ELSE ${c} END`),
        fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `${a} IN (${b}, 1)`),
      ),
    }))
    const s = session()
    let planned = 0
    fc.assert(
      fc.property(expression, e => {
        const sql = `SELECT ${e} AS x FROM plain`
        onlySqlErrors(sql, () => {
          s.run(sql)
          planned++
        })
      }),
      { numRuns: 3000 },
    )
    assert.ok(planned > 100, `only ${planned} of the expressions could be planned`)
  })
})
