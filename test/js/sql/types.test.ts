import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { PlanExpression } from '../../../lib/sql/index.js'
import { parseDuration } from '../../../lib/sql/catalog/duration.js'
import { fromPlanField } from '../../../lib/sql/types/arrow.js'
import { typeToString } from '../../../lib/sql/types/sql-type.js'
import { decimalToString, parseDecimal, parseTimestamp } from '../../../lib/sql/types/values.js'
import { session } from './helpers.js'

const s = session()

function resultType(expression: string): string {
  const planned = s.one(`SELECT ${expression} AS x FROM plain`)
  assert.ok(planned.kind === 'select')
  return typeToString(fromPlanField(planned.fields[0]!)!)
}

/** The projection of `SELECT expression FROM plain WHERE nn = 0`. */
function projection(expression: string): PlanExpression {
  const calc = s.planOf(`SELECT ${expression} AS x FROM plain WHERE nn = 0`).nodes.find(n => n.type === 'calc')
  assert.ok(calc?.type === 'calc')
  return calc.projections[0]!
}

function text(e: PlanExpression): string {
  switch (e.kind) {
    case 'column':
      return 'col'
    case 'literal':
      return JSON.stringify(e.value)
    case 'cast':
      return `${e.try ? 'try_' : ''}cast(${text(e.arg)}:${e.type.name}${e.type.bitWidth ?? ''})`
    case 'call':
      return `${e.function}(${e.args.map(text).join(',')})`
  }
}

describe('result types follow Flink', () => {
  // a INT, b BIGINT, c DOUBLE, d DECIMAL(10, 2), s STRING, t TIMESTAMP(3), f BOOLEAN, day DATE, nn INT NOT NULL
  const cases: [string, string][] = [
    ['a + a', 'INT'],
    ['a + b', 'BIGINT'],
    ['a / a', 'INT'],
    ['a / c', 'DOUBLE'],
    ['a + d', 'DECIMAL(13, 2)'],
    ['d + d', 'DECIMAL(11, 2)'],
    ['d * d', 'DECIMAL(21, 4)'],
    ['d / d', 'DECIMAL(23, 13)'],
    ['0.908 * b', 'DECIMAL(23, 3)'],
    ['d * c', 'DOUBLE'],
    ['nn + 1', 'INT NOT NULL'],
    ['nn + a', 'INT'],
    ['MOD(b, a)', 'INT'],
    ['MOD(a, b)', 'BIGINT'],
    ['ABS(d)', 'DECIMAL(10, 2)'],
    ['FLOOR(c)', 'DOUBLE'],
    ['FLOOR(d)', 'DECIMAL(10, 0)'],
    ['CEIL(a)', 'INT'],
    ['1', 'INT NOT NULL'],
    ['3000000000', 'BIGINT NOT NULL'],
    ['-2147483648', 'INT NOT NULL'],
    ['1.50', 'DECIMAL(3, 2) NOT NULL'],
    ['1e3', 'DOUBLE NOT NULL'],
    ["'x'", 'STRING NOT NULL'],
    ["TIMESTAMP '2001-02-03 04:05:06'", 'TIMESTAMP(3) NOT NULL'],
    ["t - INTERVAL '1' DAY", 'TIMESTAMP(3)'],
    ['CAST(t AS DATE)', 'DATE'],
    ['CAST(s AS DECIMAL(5, 1))', 'DECIMAL(5, 1)'],
    ['TRY_CAST(nn AS STRING)', 'STRING'],
    ['CAST(nn AS BIGINT)', 'BIGINT NOT NULL'],
    ['a = 1', 'BOOLEAN'],
    ['a IS NULL', 'BOOLEAN NOT NULL'],
    ['f IS NOT TRUE', 'BOOLEAN NOT NULL'],
    ['CASE WHEN f THEN 1 ELSE 2 END', 'INT NOT NULL'],
    ['CASE WHEN f THEN 1 END', 'INT'],
    ['CASE WHEN f THEN a ELSE b END', 'BIGINT'],
    ['CASE a WHEN 1 THEN 1.5 ELSE b END', 'DECIMAL(20, 1)'],
    ['COALESCE(a, 0)', 'INT NOT NULL'],
    ['COALESCE(a, b)', 'BIGINT'],
    ['NULLIF(nn, 1)', 'INT'],
    ['IF(f, nn, 1)', 'INT NOT NULL'],
    ["s || 'x'", 'STRING'],
    ['CHAR_LENGTH(s)', 'INT'],
    ['EXTRACT(YEAR FROM t)', 'BIGINT'],
    ['HOUR(t)', 'BIGINT'],
    ['FLOOR(t TO DAY)', 'TIMESTAMP(3)'],
    ['CEIL(day TO MONTH)', 'DATE'],
    ['TO_TIMESTAMP(s)', 'TIMESTAMP(3)'],
    ["DATE_FORMAT(t, 'yyyy-MM-dd')", 'STRING'],
    ['PROCTIME()', 'TIMESTAMP_LTZ(3) NOT NULL'],
    ['COUNT(*)', 'BIGINT NOT NULL'],
    ['SUM(a)', 'INT'],
    ['SUM(nn)', 'INT'],
    ['AVG(b)', 'BIGINT'],
    ['AVG(c)', 'DOUBLE'],
    ['SUM(d)', 'DECIMAL(38, 2)'],
    ['AVG(d)', 'DECIMAL(38, 6)'],
    ['MIN(s)', 'STRING'],
    ['MAX(t)', 'TIMESTAMP(3)'],
  ]
  for (const [expression, type] of cases)
    it(`${expression} is ${type}`, () => assert.equal(resultType(expression), type))
})

describe('casts and constants', () => {
  const cases: [string, string][] = [
    ['a + b', 'plus(cast(col:int64),col)'],
    ['b + 1', 'plus(col,"1")'],
    ['c + 1', 'plus(col,1)'],
    ['1 + 2 * 3', '7'],
    ['a + (1 + 2)', 'plus(col,3)'],
    ['2147483647 + 1', '-2147483648'],
    ['7 / 2', '3'],
    ['-7 / 2', '-3'],
    ['1 / 0', 'divide(1,0)'],
    ['7 % 4', '3'],
    ["CAST('12' AS BIGINT)", '"12"'],
    ["CAST('2001-02-03' AS DATE)", '"11356"'],
    ["TRY_CAST('x' AS INT)", 'null'],
    ['CAST(1.55 AS DECIMAL(3, 1))', '"1.6"'],
    ["t > '2001-02-03 00:00:01'", 'greaterThan(col,"981158401000")'],
    ["t = DATE '1970-01-02'", 'equals(col,"86400000")'],
    ["day = '1970-01-02'", 'equals(col,"1")'],
    ['a IN (1, 2)', 'in(col,1,2)'],
    ['b IN (1, a)', 'or(equals(col,"1"),equals(col,cast(col:int64)))'],
    ['a IN (1, NULL)', 'or(equals(col,1),equals(col,null))'],
    ['a NOT IN (1)', 'not(in(col,1))'],
    ['a BETWEEN 1 AND 2', 'and(greaterThanOrEqual(col,1),lessThanOrEqual(col,2))'],
    ["s LIKE 'a!_%' ESCAPE '!'", 'like(col,"a!_%","!")'],
    ['f AND TRUE', 'col'],
    ['CASE WHEN FALSE THEN 1 ELSE a END', 'col'],
    ["'a' || 'b'", '"ab"'],
    ['CAST(s AS VARCHAR(3))', 'substring(col,1,3)'],
    ['CAST(t AS TIMESTAMP(0))', 'floorTime(col,"SECOND")'],
    ['FLOOR(t TO HOUR)', 'floorTime(col,"HOUR")'],
    [
      'CEIL(t TO DAY)',
      'case(equals(floorTime(col,"DAY"),col),col,floorTime(plus(floorTime(col,"DAY"),"86400000"),"DAY"))',
    ],
    ['EXTRACT(MONTH FROM day)', 'extract("MONTH",cast(col:timestamp))'],
    ['a IS NOT DISTINCT FROM 1', 'or(and(isNull(col),false),isTrue(equals(col,1)))'],
    ['TRIM(BOTH FROM s)', 'trim(col)'],
    ['SUBSTRING(s FROM 2 FOR 3)', 'substring(col,2,3)'],
    ['TO_TIMESTAMP(s)', 'toTimestamp(col,"yyyy-MM-dd HH:mm:ss")'],
    ['a <> 1.5', 'notEquals(cast(col:decimal128),"1.5")'],
    ["(t - TIMESTAMP '1970-01-01 00:00:00') > INTERVAL '1' HOUR", 'greaterThan(minus(col,"0"),"3600000")'],
    ["X'0aff'", '"Cv8="'],
  ]
  for (const [expression, expected] of cases)
    it(`${expression} becomes ${expected}`, () => assert.equal(text(projection(expression)), expected))
})

describe('values', () => {
  it('decimals keep their digits', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
        fc.integer({ min: 0, max: 30 }),
        (unscaled, scale) => {
          const parsed = parseDecimal(decimalToString(unscaled, scale))
          assert.deepEqual([parsed?.unscaled, parsed?.scale], [unscaled, scale])
        },
      ),
    )
  })

  it('timestamps agree with Date', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }), date => {
        assert.equal(parseTimestamp(date.toISOString().slice(0, 23))?.nanos, BigInt(date.getTime()) * 1_000_000n)
      }),
    )
  })

  it('durations are those of Flink', () => {
    const cases: [string, number | undefined][] = [
      ['10 s', 10_000],
      ['10s', 10_000],
      ['500', 500],
      ['5 min', 300_000],
      ['1 h', 3_600_000],
      ['2 days', 172_800_000],
      ['s', undefined],
      ['1 fortnight', undefined],
      ['-1 s', undefined],
    ]
    for (const [duration, ms] of cases) assert.equal(parseDuration(duration), ms, duration)
  })
})
