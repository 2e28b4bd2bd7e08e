import assert from 'node:assert/strict'
import type { Expression } from '../../../lib/sql/ast/expressions.js'
import type { CreateTable } from '../../../lib/sql/ast/statements.js'
import { parseStatements } from '../../../lib/sql/index.js'
import { parseExpression } from '../../../lib/sql/parser/parse.js'
import { typeToString } from '../../../lib/sql/types/sql-type.js'
import { errorOf } from './helpers.js'

/** An expression with every operator in parentheses. */
function shape(e: Expression): string {
  switch (e.kind) {
    case 'binary':
      return `(${shape(e.left)} ${e.operator} ${shape(e.right)})`
    case 'unary':
      return `(${e.operator} ${shape(e.operand)})`
    case 'between':
      return `(${shape(e.operand)} ${e.negated ? 'NOT ' : ''}BETWEEN ${shape(e.low)} AND ${shape(e.high)})`
    case 'is':
      return `(${shape(e.operand)} IS ${e.negated ? 'NOT ' : ''}${e.test})`
    case 'in':
      return `(${shape(e.operand)} ${e.negated ? 'NOT ' : ''}IN ${e.list.map(shape).join(',')})`
    case 'like':
      return `(${shape(e.operand)} ${e.negated ? 'NOT ' : ''}LIKE ${shape(e.pattern)})`
    case 'columnRef':
      return e.parts.map(p => p.name).join('.')
    case 'number':
      return e.text
    case 'string':
      return `'${e.value}'`
    case 'interval':
      return `INTERVAL[${e.negative ? '-' : ''}${e.value} ${e.from}${e.to === undefined ? '' : ` TO ${e.to}`}]`
    case 'function':
      return `${e.name.name}(${e.star ? '*' : e.args.map(shape).join(', ')})`
    default:
      return e.kind
  }
}

const parsed = (text: string): string => shape(parseExpression(text).expression)

describe('the parser of expressions', () => {
  const cases: [string, string][] = [
    ['a + b * c', '(a + (b * c))'],
    ['a - b - c', '((a - b) - c)'],
    ['a OR b AND NOT c = d', '(a OR (b AND (NOT (c = d))))'],
    ['-a * b', '((- a) * b)'],
    ['- -1', '(- (- 1))'],
    ['a || b || c = d', '(((a || b) || c) = d)'],
    ['a BETWEEN 1 AND 2 AND b', '((a BETWEEN 1 AND 2) AND b)'],
    ['a NOT BETWEEN b + 1 AND c OR d', '((a NOT BETWEEN (b + 1) AND c) OR d)'],
    ['a = b IS NOT NULL', '((a = b) IS NOT NULL)'],
    ['a NOT IN (1, 2) OR b NOT LIKE c', '((a NOT IN 1,2) OR (b NOT LIKE c))'],
    ['a != b', '(a <> b)'],
    ["'it''s' 'joined'\n'up'", "'it'sjoinedup'"],
    ["INTERVAL '10' SECONDS", 'INTERVAL[10 SECOND]'],
    ["INTERVAL -'1 02:03' DAY(2) TO MINUTE", 'INTERVAL[-1 02:03 DAY TO MINUTE]'],
    ['t.key + value + `a``b` + date', '(((t.key + value) + a`b) + date)'],
    ['COUNT(*) + f(1, g())', '(COUNT(*) + f(1, g()))'],
    ['1.5e3 + .5 + 1.', '((1.5e3 + .5) + 1.)'],
    ['a -- comment\n + /* another */ b', '(a + b)'],
  ]
  for (const [text, expected] of cases) it(`reads ${JSON.stringify(text)}`, () => assert.equal(parsed(text), expected))

  it('gives every expression the span of its text', () => {
    const { expression, source } = parseExpression('a +  f(b, c)')
    assert.ok(expression.kind === 'binary')
    assert.equal(source.slice(expression.span), 'a +  f(b, c)')
    assert.equal(source.slice(expression.right.span), 'f(b, c)')
  })
})

describe('the parser of statements', () => {
  it('splits at semicolons outside of strings, names and comments', () => {
    const text = "SELECT 'a;b' AS `x;y` FROM t; -- ; not here\n ; /* ; */ SET 'a' = 'b;c';"
    assert.deepEqual(
      parseStatements(text).map(s => [s.text, text.slice(s.span.start, s.span.end)]),
      [
        ["SELECT 'a;b' AS `x;y` FROM t", "SELECT 'a;b' AS `x;y` FROM t"],
        ["SET 'a' = 'b;c'", "SET 'a' = 'b;c'"],
      ],
    )
  })

  it('reads every kind of statement', () => {
    const cases: [string, string][] = [
      ['CREATE TABLE IF NOT EXISTS t (a INT)', 'createTable'],
      ['DROP TABLE IF EXISTS t', 'dropTable'],
      ['CREATE TEMPORARY VIEW IF NOT EXISTS v (a, b) AS SELECT a, b FROM t', 'createView'],
      ['DROP VIEW v', 'dropView'],
      ['INSERT INTO t (a, b) VALUES (1, 2), (3, 4)', 'insert'],
      ['EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT * FROM u; INSERT INTO v SELECT * FROM u; END', 'statementSet'],
      ['BEGIN STATEMENT SET; INSERT INTO t SELECT * FROM u; END', 'statementSet'],
      ['EXECUTE INSERT INTO t SELECT * FROM u', 'insert'],
      ['WITH x AS (SELECT 1), y (a) AS (SELECT 2) SELECT * FROM x', 'select'],
      ['(SELECT 1)', 'select'],
      ['EXPLAIN PLAN FOR SELECT 1', 'explain'],
      ['EXPLAIN INSERT INTO t SELECT 1', 'explain'],
      ['SHOW TABLES', 'showTables'],
      ['show views', 'showViews'],
      ['SHOW JOBS', 'showJobs'],
      ['SHOW CREATE TABLE t', 'showCreate'],
      ['DESCRIBE t', 'describe'],
      ['DESC t', 'describe'],
      ["SET 'a' = 'b'", 'set'],
      ['SET', 'showSettings'],
      ['RESET', 'reset'],
      ["RESET 'a'", 'reset'],
    ]
    for (const [text, kind] of cases)
      assert.deepEqual(
        parseStatements(text).map(s => s.statement.kind),
        [kind],
        text,
      )
  })

  it('reads the types of columns', () => {
    const cases: [string, string][] = [
      ['INTEGER NOT NULL', 'INT NOT NULL'],
      ['DOUBLE PRECISION', 'DOUBLE'],
      ['NUMERIC(5,2)', 'DECIMAL(5, 2)'],
      ['DECIMAL', 'DECIMAL(10, 0)'],
      ['VARCHAR', 'STRING'],
      ['CHARACTER VARYING (7)', 'VARCHAR(7)'],
      ['TIMESTAMP', 'TIMESTAMP(6)'],
      ['TIMESTAMP(3) WITHOUT TIME ZONE', 'TIMESTAMP(3)'],
      ['TIMESTAMP(3) WITH LOCAL TIME ZONE', 'TIMESTAMP_LTZ(3)'],
      [
        'ROW<a INT, `b c` ROW<key ARRAY<STRING NOT NULL>>> NOT NULL',
        'ROW<`a` INT, `b c` ROW<`key` ARRAY<STRING NOT NULL>>> NOT NULL',
      ],
      ["ROW(a INT 'a comment', b STRING)", 'ROW<`a` INT, `b` STRING>'],
      ['MAP<STRING, ARRAY<MAP<INT, INT>>>', 'MAP<STRING, ARRAY<MAP<INT, INT>>>'],
      ['INT ARRAY', 'ARRAY<INT>'],
    ]
    for (const [text, expected] of cases) {
      const statement = parseStatements(`CREATE TABLE t (c ${text})`)[0]!.statement as CreateTable
      const column = statement.columns[0]!
      assert.equal(column.kind === 'physical' ? typeToString(column.type.type) : '', expected)
    }
  })

  it('reads a CREATE TABLE with everything', () => {
    const text = `CREATE TABLE t (
      a INT NOT NULL COMMENT 'it''s a', b STRING PRIMARY KEY NOT ENFORCED,
      ts TIMESTAMP(3) METADATA FROM 'timestamp' VIRTUAL, \`offset\` BIGINT METADATA,
      c AS a + 1 COMMENT 'computed', WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
      CONSTRAINT pk PRIMARY KEY (a, b) NOT ENFORCED
    ) COMMENT 'a table' WITH ('connector' = 'x', 'a' = '')`
    const t = parseStatements(text)[0]!.statement as CreateTable
    assert.deepEqual(
      t.columns.map(c => [c.kind, c.name.name, c.comment]),
      [
        ['physical', 'a', "it's a"],
        ['physical', 'b', undefined],
        ['metadata', 'ts', undefined],
        ['metadata', 'offset', undefined],
        ['computed', 'c', 'computed'],
      ],
    )
    assert.deepEqual(
      t.watermarks.map(w => w.column.map(c => c.name)),
      [['ts']],
    )
    assert.deepEqual(
      t.primaryKeys.map(k => k.columns.map(c => c.name)),
      [['a', 'b']],
    )
    assert.deepEqual(
      t.options?.map(o => [o.key, o.value]),
      [
        ['connector', 'x'],
        ['a', ''],
      ],
    )
    assert.equal(t.comment, 'a table')
  })

  it('numbers ? through the whole text and lists the parameters of each statement', () => {
    assert.deepEqual(
      parseStatements('SELECT ?, ?; SELECT :a, ?, :b').map(s => s.parameters.map(p => p.name ?? p.index)),
      [
        [0, 1],
        ['a', 2, 'b'],
      ],
    )
  })
})

describe('variables', () => {
  it('are replaced everywhere but in comments, and cannot end a string', () => {
    const [s] = parseStatements("SELECT ${COLUMN} /* ${NO} */ FROM `${TABLE}` WHERE a = '${VALUE}' -- ${NO}", {
      vars: { COLUMN: 'a + 1', TABLE: 'x`y', VALUE: "it's" },
    })
    assert.equal(s!.text.split(' --')[0], "SELECT a + 1 /* ${NO} */ FROM `x``y` WHERE a = 'it''s'")
  })

  it('leave the places of errors where the user wrote them', () => {
    const error = errorOf(() =>
      parseStatements("SELECT '${LONG}',\n  '${LONG}' + FROM t", { vars: { LONG: 'x'.repeat(200) } }),
    )
    assert.deepEqual([error.line, error.column], [2, 15])
    assert.match(error.message, / {2}' *\$\{LONG\}' \+ FROM t\n {16}\^$/m)
  })

  it('that are unknown are an error with the nearest name', () => {
    const error = errorOf(() => parseStatements('SELECT 1;\n SELECT ${BROKR}', { vars: { BROKER: 'x' } }))
    assert.equal(
      error.message,
      'line 2, column 9: unknown variable ${BROKR}\n   SELECT ${BROKR}\n          ^\n  hint: did you mean BROKER? variables: BROKER',
    )
  })
})

describe('syntax errors', () => {
  it('show the line, a caret and a hint', () => {
    const error = errorOf(() => parseStatements('-- first\n\nSELECT a FORM t'))
    assert.equal(
      error.message,
      "line 3, column 10: expected FROM, found 'FORM'\n  SELECT a FORM t\n           ^\n  hint: did you mean FROM?",
    )
    assert.deepEqual(
      [error.code, error.retriable, error.line, error.column, error.hint],
      ['MARBLE_SQL', false, 3, 10, 'did you mean FROM?'],
    )
  })

  it('count columns in characters and keep tabs under tabs', () => {
    const error = errorOf(() => parseStatements("\tSELECT '😀é' a b FROM t"))
    assert.deepEqual([error.line, error.column], [1, 16])
    assert.match(error.message, /\n {2}\t {14}\^/)
  })

  it('show a window of a long line', () => {
    const error = errorOf(() => parseStatements(`SELECT ${'a, '.repeat(500)} FROM`))
    const [, line, caret] = error.message.split('\n')
    assert.ok(line!.length < 110)
    assert.equal(line![caret!.indexOf('^')], 'F')
  })

  const cases: [string, number, number, RegExp, RegExp?][] = [
    ['SELECT a FROM t WEHRE x = 1', 1, 17, /expected WHERE, found 'WEHRE'/, /did you mean WHERE/],
    ['SELECT a FROM t GRUOP BY a', 1, 17, /expected GROUP/, /did you mean GROUP/],
    ['SELCT a FROM t', 1, 1, /expected CREATE.* found 'SELCT'/, /did you mean SELECT/],
    ['CREATE TABEL t (a INT)', 1, 8, /expected TABLE or VIEW/, /did you mean TABLE/],
    ['CREATE TABLE t (a INTT)', 1, 19, /expected a type, found 'INTT'/, /did you mean INT\?/],
    ['CREATE TABLE t (a TEXT)', 1, 19, /expected a type/, /STRING/],
    ['CREATE TABLE t (a INT b INT)', 1, 23, /expected ',', '\)'/],
    ['CREATE TABLE t (a INT PRIMARY KEY)', 1, 34, /NOT ENFORCED/],
    ['CREATE TABLE t (a DECIMAL(39))', 1, 19, /between 1 and 38/],
    ['CREATE TABLE select (a INT)', 1, 14, /expected a table name/, /back-quotes, `select`/],
    ["SELECT 'abc", 1, 8, /unterminated string/],
    ['SELECT `abc', 1, 8, /unterminated name/],
    ['SELECT /* abc', 1, 8, /unterminated comment/],
    ['SELECT "a" FROM t', 1, 8, /unexpected "/, /'…'/],
    ['SELECT ‘a’', 1, 8, /unexpected character '‘'/, /typographic/],
    ['SELECT 1a', 1, 9, /'a' after a number/],
    ['SELECT a, FROM t', 1, 11, /expected an expression, found 'FROM'/],
    ['SELECT FROM t', 1, 8, /expected a select item/],
    ['SELECT f(a FROM t', 1, 12, /expected '\)' or ','/],
    ['SELECT CASE WHEN a THEN b', 1, 26, /expected WHEN, ELSE or END, found the end/],
    ["SELECT INTERVAL '1' FORTNIGHT", 1, 21, /time unit, found 'FORTNIGHT'/],
    ['SELECT INTERVAL 1 DAY', 1, 17, /INTERVAL '1' DAY/],
    ['SELECT 1 2', 1, 10, /expected ';'/],
    ['INSERT INTO t', 1, 14, /expected SELECT, VALUES or a column list/],
    ['EXECUTE STATEMENT SET BEGIN END', 1, 1, /at least one INSERT/],
    ['EXECUTE STATEMENT SET BEGIN SELECT 1; END', 1, 29, /expected INSERT or END/],
    ['SET x = y', 1, 5, /key in quotes/],
    ['ALTER TABLE t ADD x INT', 1, 1, /not supported: the statement ALTER/],
    ['CREATE TABLE t (a INT) PARTITIONED BY (a)', 1, 24, /not supported: PARTITIONED BY/],
    ['SELECT * FROM a.b.c.', 1, 21, /expected a table name/],
    ['DROP TABLE a.b', 1, 13, /not supported: catalog and database names/],
    [`SELECT ${'('.repeat(300)}1`, 1, 0, /nested more than 200 levels/],
    [`SELECT ${'1+'.repeat(2000)}1`, 1, 0, /more than 1000 operators/],
  ]
  for (const [text, line, column, message, hint] of cases) {
    it(`of ${text.slice(0, 50)}`, () => {
      const error = errorOf(() => parseStatements(text))
      assert.match(error.reason, message)
      assert.equal(error.line, line)
      if (column > 0) assert.equal(error.column, column)
      if (hint !== undefined) assert.match(error.hint ?? '', hint)
    })
  }
})
