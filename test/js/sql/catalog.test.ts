import assert from 'node:assert/strict'
import { Catalog, Planner, parseStatements, type RegisteredSource } from '../../../lib/sql/index.js'
import { errorOf, kKafka, kTables, Session, session } from './helpers.js'

const trades: RegisteredSource = {
  name: 'trades',
  fields: [
    { name: 'symbol', type: { name: 'utf8' }, nullable: false, children: [] },
    { name: 'ts', type: { name: 'timestamp', unit: 'MILLISECOND' }, nullable: true, children: [] },
  ],
  watermark: { column: 'ts', maxOutOfOrdernessMs: 0 },
}

describe('the catalog', () => {
  it('takes an identical definition again as nothing new, whatever its layout', () => {
    const s = session()
    const again = s.run(kTables.replaceAll('CREATE TABLE', 'create  table').replaceAll('\n', '\n-- comment\n'))
    assert.deepEqual(
      again.map(p => p.kind === 'createTable' && p.isNew),
      [false, false, false, false],
    )
    s.run('CREATE VIEW v AS SELECT a FROM plain')
    const view = s.one('create view v as select  a from plain')
    assert.ok(view.kind === 'createView' && !view.isNew)
  })

  const base = `CREATE TABLE x (a INT, b STRING, c AS a + 1, t TIMESTAMP(3), WATERMARK FOR t AS t) ${kKafka}`
  const differences: [string, string, RegExp][] = [
    ['a type', base.replace('a INT', 'a BIGINT'), /the column a was INT, is BIGINT/],
    ['nullability', base.replace('a INT', 'a INT NOT NULL'), /the column a was INT NULL, is INT NOT NULL/],
    ['a missing column', base.replace('b STRING, ', ''), /the column b is missing/],
    ['a new column', base.replace('b STRING', 'b STRING, z INT'), /the column z is new/],
    ['the order', base.replace('a INT, b STRING', 'b STRING, a INT'), /another order/],
    ['a computed column', base.replace('a + 1', 'a + 2'), /the column c was computed as a \+ 1, is a \+ 2/],
    [
      'the watermark',
      base.replace('AS t)', "AS t - INTERVAL '1' SECOND)"),
      /the watermark was FOR t AS t, is FOR t AS t - INTERVAL '1' SECOND/,
    ],
    ['an option', base.replace("'topic' = 't'", "'topic' = 'u'"), /the option 'topic' was 't', is 'u'/],
    [
      'a new option',
      base.replace("'topic' = 't'", "'topic' = 't', 'scan.partitions' = '0'"),
      /the option 'scan.partitions' is new/,
    ],
    ['the connector', 'CREATE TABLE x (a INT)', /the option 'connector' is missing/],
  ]
  for (const [what, sql, reason] of differences) {
    it(`refuses another definition and names ${what}`, () => {
      const s = session(base)
      const error = errorOf(() => s.run(sql))
      assert.match(error.reason, reason)
      assert.match(error.hint!, /DROP TABLE x first/)
      const tolerated = s.one(sql.replace('CREATE TABLE', 'CREATE TABLE IF NOT EXISTS'))
      assert.ok(tolerated.kind === 'createTable' && !tolerated.isNew)
    })
  }

  it('does not show secrets in differences', () => {
    const sql = (password: string): string =>
      `CREATE TABLE x (a INT) ${kKafka.replace(')', `, 'properties.sasl.password' = '${password}')`)}`
    const error = errorOf(() => session(sql('old')).run(sql('new')))
    assert.match(error.reason, /'properties.sasl.password' was \(hidden\), is \(hidden\)/)
  })

  it('names the changed key of a local table', () => {
    const error = errorOf(() =>
      session().run('CREATE TABLE log (origin STRING, flights BIGINT, PRIMARY KEY (origin) NOT ENFORCED)'),
    )
    assert.match(error.reason, /the primary key was none, is \(origin\)/)
  })

  it('is the same after it was written and loaded', () => {
    const s = session()
    s.run('CREATE VIEW v AS SELECT a, b FROM plain WHERE a > 0; CREATE TEMPORARY VIEW w AS SELECT a FROM plain')
    s.catalog.registerSource(trades)
    const json = JSON.stringify(s.catalog)
    const loaded = Catalog.load(JSON.parse(json))
    assert.equal(JSON.stringify(loaded), json)
    assert.deepEqual(loaded.names(), ['delays', 'flights', 'log', 'plain', 'v'])
    const plan = (catalog: Catalog): unknown => new Planner(catalog).plan(parseStatements('SELECT * FROM v')[0]!)
    assert.deepEqual(plan(loaded), plan(s.catalog))
  })

  it('loads a view whose table is gone, and complains when it is used', () => {
    const s = session('CREATE TABLE x (a INT); CREATE VIEW v AS SELECT a FROM x; DROP TABLE x')
    const loaded = Catalog.load(JSON.parse(JSON.stringify(s.catalog)))
    assert.match(
      errorOf(() => new Planner(loaded).plan(parseStatements('SELECT * FROM v')[0]!)).reason,
      /in the view v: unknown table x/,
    )
  })

  it('refuses a version that it does not know', () => {
    assert.throws(() => Catalog.load({ version: 2 as 1, objects: [] }), RangeError)
  })

  it('gives the stored fields of a local table, keys NOT NULL', () => {
    const planned = new Session().one('CREATE TABLE x (a INT, b STRING, PRIMARY KEY (a) NOT ENFORCED)')
    assert.ok(planned.kind === 'createTable' && planned.isNew)
    assert.deepEqual(
      planned.fields?.map(f => [f.name, f.type.name, f.nullable]),
      [
        ['a', 'int', false],
        ['b', 'utf8', true],
      ],
    )
    assert.deepEqual(planned.table.primaryKey, ['a'])
  })

  it('describes columns', () => {
    const planned = session().one('DESCRIBE flights')
    assert.ok(planned.kind === 'describe')
    assert.deepEqual(planned.columns.at(-1), {
      name: 'ts',
      type: 'TIMESTAMP(3) *ROWTIME*',
      null: true,
      key: null,
      extras: "AS TO_TIMESTAMP(`date`, 'yyyy/MM/dd HH:mm')",
      watermark: "ts - INTERVAL '1' HOUR",
    })
  })

  it('drops, and drops what is not there only with IF EXISTS', () => {
    const s = session()
    s.run('DROP TABLE plain; DROP TABLE IF EXISTS plain; DROP VIEW IF EXISTS nix')
    assert.equal(s.catalog.find('plain'), undefined)
  })
})

describe('registered sources', () => {
  it('are tables with their watermark', () => {
    const s = new Session()
    s.catalog.registerSource(trades)
    const plan = s.planOf(
      "SELECT symbol, window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE trades, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY symbol, window_start, window_end",
    )
    assert.deepEqual(plan.nodes.map(n => n.id).slice(0, 3), [
      'source:trades',
      'watermark:trades',
      'windowAggregate:collect:1',
    ])
    const [source] = plan.nodes
    assert.ok(source?.type === 'source' && source.connector === 'js' && source.bounded && source.format === null)
  })

  it('are refused when they make no sense', () => {
    const { catalog } = session()
    assert.throws(() => catalog.registerSource({ ...trades, name: 'plain' }), /a table has this name/)
    assert.throws(() => catalog.registerSource({ ...trades, fields: [] }), /has no columns/)
    assert.throws(
      () => catalog.registerSource({ ...trades, watermark: { column: 'tss', maxOutOfOrdernessMs: 0 } }),
      /unknown watermark column tss .*did you mean ts/,
    )
    assert.throws(
      () => catalog.registerSource({ ...trades, watermark: { column: 'symbol', maxOutOfOrdernessMs: 0 } }),
      /must be a timestamp/,
    )
    assert.throws(
      () => catalog.registerSource({ ...trades, watermark: { column: 'ts', maxOutOfOrdernessMs: -1 } }),
      RangeError,
    )
    assert.throws(
      () =>
        catalog.registerSource({
          ...trades,
          fields: [{ name: 'u', type: { name: 'int', bitWidth: 32, isSigned: false }, nullable: true, children: [] }],
        }),
      /type that SQL does not know/,
    )
  })
})
