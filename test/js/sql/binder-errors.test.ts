import assert from 'node:assert/strict'
import { errorOf, session } from './helpers.js'

const tumble = "TABLE(TUMBLE(TABLE flights, DESCRIPTOR(ts), INTERVAL '1' DAY))"

/** Statement, column of the error, message, hint. */
const cases: Record<string, [string, number, RegExp, RegExp?][]> = {
  names: [
    ['SELECT dely FROM flights', 8, /unknown column dely/, /did you mean delay\? columns: date, delay/],
    ['SELECT ORIGIN FROM flights', 8, /unknown column ORIGIN/, /did you mean origin/],
    ['SELECT x.a FROM plain p', 8, /unknown table or alias x/, /in scope: p/],
    ['SELECT a FROM (SELECT a, b AS a FROM plain)', 8, /the column a is ambiguous/],
    ['SELECT origin FROM fligths', 20, /unknown table fligths/, /did you mean flights/],
    ['SELECT r.x FROM plain', 8, /not supported: access to a field/],
    ['SELECT SUBSTRNG(s, 1) FROM plain', 8, /unknown function SUBSTRNG/, /did you mean SUBSTRING/],
    ['SELECT NOW() FROM plain', 8, /not supported: the function NOW/, /PROCTIME/],
    ['SELECT CURRENT_TIMESTAMP FROM plain', 8, /not supported: the function CURRENT_TIMESTAMP/],
    ['SELECT * FROM plain AS p (x, y)', 27, /2 column names for 10 columns/],
  ],
  types: [
    ['SELECT a + s FROM plain', 12, /\+ needs a number here, found STRING/, /CAST/],
    ['SELECT s + s FROM plain', 8, /joined with \|\|/],
    ['SELECT a || s FROM plain', 8, /\|\| needs a string/, /CAST\(… AS STRING\)/],
    ['SELECT a FROM plain WHERE s = 1', 27, /cannot compare STRING with INT/, /CAST\(… AS INT\) around the string/],
    ["SELECT a FROM plain WHERE t > 'yesterday'", 31, /'yesterday' is not a valid TIMESTAMP\(3\)/],
    ['SELECT a FROM plain WHERE a', 27, /WHERE needs a condition/],
    ["SELECT CASE WHEN f THEN 1 ELSE 'x' END FROM plain", 32, /CASE: STRING NOT NULL does not go together with INT/],
    ['SELECT CAST(a AS TIMESTAMP(3)) FROM plain', 8, /cannot cast INT to TIMESTAMP\(3\)/],
    ["SELECT CAST('abc' AS INT) FROM plain", 8, /'abc' is not a valid INT/],
    ['SELECT CAST(s AS CHAR(3)) FROM plain', 8, /not supported: a cast to CHAR\(3\)/],
    ["SELECT INTERVAL '1:2' DAY FROM plain", 8, /not an interval of DAY/, /INTERVAL '10' DAY/],
    ["SELECT t + INTERVAL '1' MONTH FROM plain", 8, /not supported: arithmetic with intervals of years/],
    ["SELECT DATE_FORMAT(t, 'YYYY') FROM plain", 23, /not supported: 'Y' in the format/, /the year is yyyy/],
    ['SELECT DATE_FORMAT(t, s) FROM plain', 23, /not supported: a format of DATE_FORMAT that is not a constant/],
    ['SELECT SUBSTRING(s) FROM plain', 8, /SUBSTRING takes 2 to 3 arguments, found 1/, /usage: SUBSTRING/],
    ["SELECT DATE '2001-02-30' FROM plain", 8, /'2001-02-30' is not a valid DATE/],
    ['SELECT FLOOR(t TO QUARTER) FROM plain', 19, /not supported: the unit QUARTER/],
  ],
  grouping: [
    ['SELECT origin, COUNT(*) FROM flights', 8, /origin must appear in GROUP BY/, /add GROUP BY origin/],
    ['SELECT destination FROM flights GROUP BY origin', 8, /destination must appear in GROUP BY/],
    ['SELECT origin o, COUNT(*) FROM flights GROUP BY o', 49, /unknown column o/, /write GROUP BY origin/],
    ['SELECT a FROM plain GROUP BY 1', 30, /not supported: a position in GROUP BY/],
    ['SELECT a FROM plain WHERE COUNT(*) > 1', 27, /COUNT is an aggregate and not allowed in WHERE/, /HAVING/],
    ['SELECT SUM(COUNT(*)) FROM plain', 12, /not allowed in the argument of another aggregate/],
    ['SELECT COUNT(DISTINCT a) FROM plain', 8, /not supported: COUNT\(DISTINCT …\)/],
    ['SELECT SUM(*) FROM plain', 8, /SUM\(\*\) has no meaning/],
    ['SELECT SUM(s) FROM plain', 12, /SUM needs a number here/],
    ['SELECT COUNT(*) FROM plain HAVING COUNT(*) > 1', 35, /not supported: HAVING on a GROUP BY without a window/],
    ['SELECT n FROM (SELECT COUNT(*) AS n FROM plain) WHERE n > 1', 55, /not supported: WHERE over an updating query/],
    [
      'SELECT MAX(n) FROM (SELECT origin, COUNT(*) AS n FROM flights GROUP BY origin)',
      1,
      /not supported: an aggregate over an updating query/,
    ],
    ['SELECT COUNT(*) FROM flights GROUP BY origin', 1, /does not select its key \(origin\)/],
    ['SELECT a FROM plain GROUP BY ROLLUP (a)', 30, /not supported: GROUPING SETS/],
  ],
  windows: [
    [
      "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE plain, DESCRIPTOR(t), INTERVAL '1' DAY)) GROUP BY window_start, window_end",
      59,
      /the column t \(TIMESTAMP\(3\)\) has no WATERMARK/,
      /declare WATERMARK FOR t/,
    ],
    [`SELECT * FROM ${tumble}`, 15, /not supported: a window function without GROUP BY/],
    [
      `SELECT COUNT(*) FROM ${tumble} GROUP BY window_start`,
      85,
      /GROUP BY over a window without window_end/,
      /add window_end/,
    ],
    [`SELECT COUNT(*) FROM ${tumble} GROUP BY origin`, 85, /without window_start, window_end/],
    [
      `SELECT COUNT(*) FROM ${tumble} WHERE window_start > TIMESTAMP '2001-01-01 00:00:00' GROUP BY window_start, window_end`,
      22,
      /not supported: a condition on window_start/,
      /HAVING/,
    ],
    [
      "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(ts), INTERVAL '1' MONTH)) GROUP BY window_start, window_end",
      66,
      /interval of days or less, not of months/,
    ],
    ["SELECT 1 FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(ts), INTERVAL '0' DAY))", 59, /must be positive/],
    ['SELECT 1 FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(ts)))', 15, /TUMBLE lacks its argument SIZE/, /usage/],
    ["SELECT 1 FROM TABLE(TUMBLE(TABLE flights, ts, INTERVAL '1' DAY))", 43, /needs DESCRIPTOR\(column\)/],
    [
      "SELECT 1 FROM TABLE(TUMBLE(DATA => TABLE flights, TIMECOLUMN => DESCRIPTOR(ts), SIZE => INTERVAL '1' DAY))",
      51,
      /no argument TIMECOLUMN/,
    ],
    [
      "SELECT 1 FROM TABLE(HOP(TABLE flights, DESCRIPTOR(ts), INTERVAL '1' DAY, INTERVAL '2' DAY))",
      21,
      /not supported: the window function HOP/,
    ],
    [
      "SELECT 1 FROM TABLE(TUMBLLE(TABLE flights, DESCRIPTOR(ts), INTERVAL '1' DAY))",
      21,
      /unknown table function TUMBLLE/,
      /TUMBLE/,
    ],
  ],
  'what is not supported': [
    ['SELECT * FROM plain ORDER BY a', 21, /not supported: ORDER BY/],
    ['SELECT * FROM plain LIMIT 1', 21, /not supported: LIMIT/],
    ['SELECT * FROM plain, flights', 20, /not supported: a join/],
    ['SELECT * FROM plain LEFT JOIN flights ON a = delay', 21, /not supported: LEFT JOIN/],
    ['SELECT SUM(a) OVER (PARTITION BY s ORDER BY t) FROM plain', 15, /not supported: OVER/],
    ['SELECT a FROM plain UNION ALL SELECT a FROM plain', 21, /not supported: UNION ALL/],
    ['SELECT a FROM plain WHERE a IN (SELECT delay FROM flights)', 27, /not supported: IN \(subquery\)/],
    ['SELECT (SELECT 1) FROM plain', 8, /not supported: a subquery in an expression/],
    ['SELECT ARRAY[1, 2] FROM plain', 8, /not supported: the ARRAY/],
    ['SELECT * FROM plain FOR SYSTEM_TIME AS OF t', 21, /not supported: FOR SYSTEM_TIME/],
  ],
  inserts: [
    [
      'INSERT INTO delays SELECT origin FROM flights',
      20,
      /delays takes 2 columns, the query gives 1 column/,
      /table: \(origin STRING, flights BIGINT\); query: \(origin STRING\)/,
    ],
    [
      'INSERT INTO log SELECT origin, origin FROM flights',
      32,
      /the query's column origin is STRING, but the column flights of log is BIGINT/,
      /CAST/,
    ],
    ['INSERT INTO log (origin, nix) SELECT origin, 1 FROM flights', 26, /unknown column nix of log/],
    [
      'INSERT INTO log SELECT origin, COUNT(*) FROM flights GROUP BY origin',
      13,
      /log has no primary key/,
      /declare PRIMARY KEY \(origin\) NOT ENFORCED in CREATE TABLE log/,
    ],
    ["INSERT INTO delays SELECT 'x', COUNT(*) FROM flights GROUP BY origin", 13, /not all of \(origin\)/],
    [
      'INSERT INTO delays SELECT UPPER(origin), COUNT(*) FROM flights GROUP BY origin',
      13,
      /must hand its key to delays/,
    ],
    ['INSERT INTO flights SELECT * FROM flights', 13, /not supported: kafka sink/],
    ['INSERT INTO dely SELECT * FROM flights', 13, /unknown table dely/],
    ["INSERT INTO log VALUES ('a', 'x')", 30, /value 2 is STRING/],
    ["INSERT INTO log VALUES ('a')", 24, /log takes 2 columns, the query gives 1/],
    ['INSERT INTO delays VALUES (NULL, 1)', 28, /origin of delays is NOT NULL/],
    ['INSERT INTO delays (flights) SELECT delay FROM flights', 13, /origin is NOT NULL and gets no value/],
  ],
  parameters: [
    ['SELECT ? FROM plain', 8, /no value for parameter 1/],
    ['SELECT :a FROM plain', 8, /no value for the parameter :a/],
  ],
  settings: [
    ["SET 'pipline.name' = 'x'", 5, /unknown setting 'pipline.name'/, /did you mean pipeline.name/],
    ["SET 'execution.restart' = 'yes'", 27, /'yes' is not a value/, /'resume' or 'fresh'/],
    ["SET 'parallelism.default' = '0'", 29, /'0' is not a value/],
    ["RESET 'nix'", 7, /unknown setting 'nix'/],
  ],
  'catalog statements': [
    ['DROP TABLE nix', 12, /unknown table nix/],
    ['DROP VIEW plain', 11, /plain is a table, not a view/],
    ['DESCRIBE nix', 10, /unknown table nix/],
    ['CREATE VIEW plain AS SELECT 1 AS x FROM flights', 13, /plain exists and is a table/],
    ['CREATE VIEW v AS SELECT a, a FROM plain', 13, /two columns of the view are called a/],
  ],
}

describe('errors of the binder', () => {
  const s = session()
  for (const [group, list] of Object.entries(cases)) {
    describe(`about ${group}`, () => {
      for (const [sql, column, reason, hint] of list) {
        it(sql, () => {
          const error = errorOf(() => s.run(sql))
          assert.match(error.reason, reason)
          assert.equal(error.column, column)
          assert.match(error.hint ?? '', hint ?? /^/)
        })
      }
    })
  }

  it('in a view say which view, with the place in its definition', () => {
    const t = session()
    t.run('CREATE VIEW v AS SELECT a FROM plain; DROP TABLE plain')
    const error = errorOf(() => t.run('SELECT * FROM v'))
    assert.match(
      error.message,
      /^line 1, column 32: in the view v: unknown table plain\n {2}CREATE VIEW v AS SELECT a FROM plain\n/,
    )
  })
})
