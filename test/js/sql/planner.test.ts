import assert from 'node:assert/strict'
import { explain, type JobPlan, type PlanField, planPredicate, parseStatements } from '../../../lib/sql/index.js'
import { errorOf, kKafka, kTables, Session, session } from './helpers.js'

const ids = (plan: JobPlan): string[] => plan.nodes.map(n => n.id)
const source = (plan: JobPlan) => {
  const node = plan.nodes[0]!
  assert.ok(node.type === 'source')
  return node
}

describe('the planner', () => {
  it('reads only the columns that are used', () => {
    const s = session()
    assert.deepEqual(
      source(s.planOf('SELECT b FROM plain WHERE a > 0')).fields.map(f => f.name),
      ['a', 'b'],
    )
    assert.deepEqual(
      source(s.planOf('SELECT x FROM (SELECT a AS x, b AS y FROM plain)')).fields.map(f => f.name),
      ['a'],
    )
    assert.deepEqual(
      source(s.planOf('SELECT COUNT(*) FROM plain')).fields.map(f => f.name),
      ['a'],
    )
    assert.deepEqual(
      source(s.planOf('SELECT a FROM (SELECT a, SUM(b), MAX(c) FROM plain GROUP BY a)')).fields.map(f => f.name),
      ['a'],
    )
  })

  it('takes * as it stands, also when two columns have one name', () => {
    const sink = session().planOf('SELECT * FROM (SELECT a, b AS a FROM plain)').nodes.at(-1)!
    assert.deepEqual(
      sink.fields.map(f => [f.name, f.type.bitWidth]),
      [
        ['a', 32],
        ['a0', 64],
      ],
    )
  })

  it('reads a table once for all statements of a set', () => {
    const plan = session().planOf(`EXECUTE STATEMENT SET BEGIN
      INSERT INTO delays SELECT origin, COUNT(*) FROM flights GROUP BY origin;
      INSERT INTO log SELECT destination, CAST(delay AS BIGINT) FROM flights; END`)
    assert.deepEqual(ids(plan), [
      'source:flights',
      'calc:flights',
      'watermark:flights',
      'groupAggregate:delays:1',
      'sink:delays',
      'calc:log:1',
      'sink:log',
    ])
    assert.deepEqual(
      source(plan).fields.map(f => f.name),
      ['date', 'delay', 'origin', 'destination'],
    )
    assert.equal(plan.job.name, 'delays+log')
  })

  it('gives two inserts into one table different ids', () => {
    const plan = session().planOf(`EXECUTE STATEMENT SET BEGIN
      INSERT INTO log SELECT origin, 1 FROM flights; INSERT INTO log SELECT destination, 2 FROM flights; END`)
    assert.deepEqual(ids(plan).slice(3), ['calc:log:1', 'sink:log', 'calc:log.2:1', 'sink:log.2'])
    assert.equal(plan.job.name, 'log')
  })

  it('keeps the id of an aggregate when a filter is added below it', () => {
    const s = session()
    const id = (where: string): string | undefined =>
      ids(s.planOf(`INSERT INTO delays SELECT origin, COUNT(*) FROM flights ${where} GROUP BY origin`)).find(i =>
        i.startsWith('group'),
      )
    assert.equal(id(''), id('WHERE delay > 0'))
  })

  it('filters after the watermark: rows that are filtered out still tell the time', () => {
    const plan = session().planOf('SELECT origin FROM flights WHERE delay > 0')
    assert.deepEqual(ids(plan), [
      'source:flights',
      'calc:flights',
      'watermark:flights',
      'calc:collect:1',
      'sink:collect',
    ])
  })

  it('makes one node of filters and projections in a row', () => {
    const plan = session().planOf(
      'SELECT y * 2 FROM (SELECT x + 1 AS y FROM (SELECT a AS x FROM plain WHERE a > 0) WHERE x < 9) WHERE y <> 5',
    )
    assert.deepEqual(
      ids(plan),
      ['source:plain', 'calc:collect:1', 'calc:collect:2', 'sink:collect'].filter(i => ids(plan).includes(i)),
    )
    assert.ok(plan.nodes.length <= 4)
  })

  it('does not move a predicate that can fail before the one that guards it', () => {
    const plan = session().planOf('SELECT a FROM (SELECT a, b FROM plain WHERE b <> 0) WHERE a / b > 1')
    assert.equal(plan.nodes.filter(n => n.type === 'calc' && n.filter !== null).length, 2)
  })

  it('plans a windowed aggregate with keys that are expressions, filters below and HAVING above', () => {
    const plan =
      session().planOf(`SELECT UPPER(origin) AS o, window_end, COUNT(*) FILTER (WHERE delay > 0) AS n, MAX(distance) + 1 AS m
      FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(ts), INTERVAL '2' HOURS, INTERVAL '30' MINUTES)) WHERE destination = 'LAX'
      GROUP BY UPPER(origin), window_start, window_end HAVING COUNT(*) > 1`)
    const aggregate = plan.nodes.find(n => n.type === 'windowAggregate')
    assert.ok(aggregate?.type === 'windowAggregate')
    assert.deepEqual(
      [aggregate.window.sizeMs, aggregate.window.offsetMs, aggregate.windowColumns],
      [7_200_000, 1_800_000, ['end']],
    )
    assert.deepEqual(
      aggregate.fields.map(f => f.name),
      ['key0', '$agg0', '$agg1', '$agg2', 'window_end'],
    )
    const above = plan.nodes.at(-2)!
    assert.ok(above.type === 'calc' && above.filter !== null)
    assert.deepEqual(
      above.fields.map(f => f.name),
      ['o', 'window_end', 'n', 'm'],
    )
  })

  it('sees through views, subqueries and common table expressions to the window', () => {
    const s = session()
    s.run(`CREATE VIEW late AS SELECT origin AS o, ts AS at_time, delay FROM flights WHERE delay > 15;
      CREATE VIEW days AS SELECT o, window_start AS day_start, window_end FROM TABLE(TUMBLE(TABLE late, DESCRIPTOR(at_time), INTERVAL '1' DAY))`)
    const plan = s.planOf(
      'WITH d AS (SELECT * FROM days) SELECT day_start, COUNT(*) AS n FROM (SELECT * FROM d) GROUP BY day_start, window_end',
    )
    assert.ok(plan.nodes.some(n => n.type === 'windowAggregate'))
    assert.deepEqual(
      plan.nodes.at(-1)!.fields.map(f => f.name),
      ['day_start', 'n'],
    )
  })

  it('plans SELECT DISTINCT as grouping by all columns', () => {
    const plan = session().planOf('SELECT DISTINCT origin, destination FROM flights')
    const sink = plan.nodes.at(-1)!
    assert.ok(sink.type === 'sink')
    assert.deepEqual([sink.mode, sink.primaryKey], ['upsert', ['origin', 'destination']])
  })

  it('marks an updating query and names its key, also when it is renamed', () => {
    const sink = session().planOf('SELECT COUNT(*) AS n, origin AS o FROM flights GROUP BY origin').nodes.at(-1)!
    assert.ok(sink.type === 'sink')
    assert.deepEqual([sink.connector, sink.mode, sink.primaryKey], ['collect', 'upsert', ['o']])
  })

  it('stores a total under a constant key', () => {
    const s = session()
    s.run('CREATE TABLE total (id INT, n BIGINT, PRIMARY KEY (id) NOT ENFORCED)')
    const sink = s.planOf('INSERT INTO total SELECT 1, COUNT(*) FROM flights').nodes.at(-1)!
    assert.ok(sink.type === 'sink' && sink.mode === 'upsert')
    assert.match(
      errorOf(() => s.run('INSERT INTO total SELECT delay, COUNT(*) FROM flights GROUP BY delay, origin')).reason,
      /not all of \(delay, origin\)/,
    )
    s.run('CREATE TABLE pairs (a STRING, b STRING, n BIGINT, PRIMARY KEY (a) NOT ENFORCED)')
    const error = errorOf(() =>
      s.run('INSERT INTO pairs SELECT origin, destination, COUNT(*) FROM flights GROUP BY origin, destination'),
    )
    assert.match(error.reason, /the primary key \(a\) of pairs is not the key of the query \(origin, destination\)/)
    assert.match(error.hint!, /declare PRIMARY KEY \(a, b\) NOT ENFORCED/)
  })

  it('takes a constant in GROUP BY for no key', () => {
    const s = session()
    s.run('CREATE TABLE total (id STRING, n BIGINT, PRIMARY KEY (id) NOT ENFORCED)')
    const plan = s.planOf("INSERT INTO total SELECT 'all', COUNT(*) FROM flights GROUP BY 'all'")
    const aggregate = plan.nodes.find(n => n.type === 'groupAggregate')
    assert.ok(aggregate?.type === 'groupAggregate')
    assert.deepEqual(aggregate.keys, [])
  })

  it('shows the catalog and the settings', () => {
    const s = session()
    s.run("CREATE VIEW v AS SELECT a FROM plain; SET 'pipeline.name' = 'x'")
    const kinds = ['SHOW TABLES', 'SHOW VIEWS', 'SHOW JOBS', 'SHOW CREATE TABLE log', 'SET', 'RESET'].map(sql =>
      s.one(sql),
    )
    assert.deepEqual(kinds.slice(0, 4), [
      { kind: 'showTables', names: ['delays', 'flights', 'log', 'plain', 'v'] },
      { kind: 'showViews', names: ['v'] },
      { kind: 'showJobs' },
      { kind: 'showCreate', name: 'log', ddl: 'CREATE TABLE log (origin STRING, flights BIGINT)' },
    ])
    const settings = kinds[4]!
    assert.ok(settings.kind === 'showSettings')
    assert.equal(settings.settings.find(x => x.key === 'pipeline.name')?.value, 'x')
    assert.deepEqual(kinds[5], { kind: 'reset', key: undefined })
  })

  it('maps INSERT columns by name where they are named, and fills the others with NULL', () => {
    const s = session()
    const calc = s.planOf('INSERT INTO log (flights) SELECT delay FROM flights').nodes.at(-2)!
    assert.ok(calc.type === 'calc')
    assert.deepEqual(
      calc.projections.map(p => p.kind),
      ['literal', 'cast'],
    )
  })

  it('gives the rows of INSERT … VALUES and of queries without FROM as constants', () => {
    const s = session()
    const insert = s.one("INSERT INTO log (flights, origin) VALUES (1, 'a'), (-2, NULL), (1 + 2, 'it''s')")
    assert.ok(insert.kind === 'insertValues')
    assert.deepEqual(insert.rows, [
      ['a', '1'],
      [null, '-2'],
      ["it's", '3'],
    ])
    const values = s.one("SELECT 1 + 1 AS two, 'x', NULL, TIMESTAMP '1970-01-01 00:00:01.5'")
    assert.ok(values.kind === 'values')
    assert.deepEqual(values.rows, [[2, 'x', null, '1500']])
    assert.deepEqual(
      values.fields.map(f => f.name),
      ['two', 'EXPR$1', 'EXPR$2', 'EXPR$3'],
    )
    const rows = s.one("VALUES (1, 'a'), (2.5, 'b')")
    assert.ok(rows.kind === 'values')
    assert.deepEqual(rows.rows, [
      ['1.0', 'a'],
      ['2.5', 'b'],
    ])
  })

  it('binds parameters by position and by name', () => {
    const s = session()
    const literals = (plan: JobPlan): unknown[] => {
      const found: unknown[] = []
      JSON.stringify(plan.nodes, (_, v: unknown) => {
        if (v !== null && typeof v === 'object' && 'kind' in v && v.kind === 'literal' && 'value' in v)
          found.push(v.value)
        return v
      })
      return found
    }
    const sql = (a: string, b: string): string => `SELECT a FROM plain WHERE s = ${a} AND b < ${b}`
    assert.deepEqual(literals(s.planOf(sql('?', '?'), { params: ["x' OR 1=1", 7n] })), ["x' OR 1=1", '7'])
    assert.deepEqual(literals(s.planOf(sql(':s', ':n'), { params: { s: 'x', n: 3 } })), ['x', '3'])
    assert.deepEqual(literals(s.planOf('SELECT a FROM plain WHERE t >= ? AND c = ?', { params: [new Date(5), 1.5] })), [
      '5',
      1.5,
    ])
    assert.match(errorOf(() => s.planOf(sql('?', '?'), { params: ['x'] })).reason, /no value for parameter 2/)
    assert.match(
      errorOf(() => s.planOf('SELECT a FROM plain WHERE s = ?', { params: [{}] })).reason,
      /parameter 1 is a value of type object/,
    )
  })

  it('takes settings into jobs', () => {
    const s = session()
    s.run(
      "SET 'pipeline.name' = 'mine'; SET 'marble.epoch-ms' = '50'; SET 'pipeline.max-parallelism' = '8'; SET 'execution.restart' = 'fresh'; SET 'parallelism.default' = '2'",
    )
    const planned = s.one('INSERT INTO log SELECT origin, 1 FROM flights')
    assert.ok(planned.kind === 'insert')
    assert.deepEqual([planned.plan.job.name, planned.plan.settings], ['mine', { epochMs: 50, maxParallelism: 8 }])
    assert.deepEqual(
      [planned.settings.restart, planned.settings.parallelism, planned.targets, planned.bounded],
      ['fresh', 2, ['log'], false],
    )
  })

  it('explains a plan as a tree with changelog modes', () => {
    const s = session()
    const planned = s.one(
      'EXPLAIN INSERT INTO delays SELECT origin, COUNT(*) FROM flights WHERE delay > 15 GROUP BY origin',
    )
    assert.ok(planned.kind === 'explain')
    assert.equal(
      planned.text,
      `job delays
sink:delays (marbledb, upsert by origin) columns [origin, flights] [I,UA]
+- groupAggregate:delays:1 by [origin] [COUNT(*)] [I,UA]
   +- calc:delays:1 [origin] where (delay > 15) [I]
      +- watermark:flights on ts as (ts - 3600000 ms), idle after 10000 ms [I]
         +- calc:flights [delay, origin, toTimestamp(date, 'yyyy/MM/dd HH:mm') AS ts] [I]
            +- source:flights (kafka, json, unbounded) columns [date, delay, origin] [I]`,
    )
    assert.equal(explain(planned.plan!), planned.text)
  })

  it('plans the same SQL the same way each time', () => {
    const sql = `${kTables}; INSERT INTO delays SELECT origin, COUNT(*) FROM flights GROUP BY origin`
    assert.deepEqual(new Session().planOf(sql), new Session().planOf(sql))
  })

  it('changes nothing by planning', () => {
    const s = session()
    const before = JSON.stringify(s.catalog)
    for (const parsed of parseStatements(
      `CREATE TABLE y (a INT) ${kKafka}; DROP TABLE plain; CREATE VIEW v AS SELECT a FROM plain`,
    ))
      s.planner.plan(parsed)
    assert.equal(JSON.stringify(s.catalog), before)
  })

  it('plans a condition over given fields', () => {
    const fields: PlanField[] = [
      { name: 'symbol', type: { name: 'utf8' }, nullable: false, children: [] },
      { name: 'px', type: { name: 'floatingpoint', precision: 'DOUBLE' }, nullable: true, children: [] },
    ]
    const e = planPredicate("px > ? AND symbol = 'A'", fields, [5])
    assert.ok(e.kind === 'call' && e.function === 'and')
    assert.match(
      errorOf(() => planPredicate('pxx > 1', fields)).message,
      /^line 1, column 1: unknown column pxx\n {2}pxx > 1\n {2}\^\n {2}hint: did you mean px\?/,
    )
    assert.match(errorOf(() => planPredicate('px > 1 px', fields)).reason, /expected the end of the expression/)
  })
})
