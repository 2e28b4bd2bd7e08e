import assert from 'node:assert/strict'
import { Catalog } from '../../../lib/sql/index.js'
import { errorOf, Session, session } from './helpers.js'

const table = (options: string, columns = 'a INT'): string => `CREATE TABLE x (${columns}) WITH (${options})`
const kafka = (more: string): string =>
  `'connector'='kafka','topic'='t','properties.bootstrap.servers'='b'${more === '' ? '' : `,${more}`}`

describe('connector options', () => {
  const refused: [string, RegExp, RegExp?][] = [
    [table("'connektor' = 'kafka'"), /WITH needs the option 'connector'/],
    [table("'connector' = 'kafa'"), /unknown connector 'kafa'/, /did you mean kafka/],
    [table("'connector' = 'jdbc'"), /not supported: the connector 'jdbc'/],
    [table("'connector' = 'js'"), /registered by the program/, /registerSource/],
    [table("'connector' = 'kafka', 'topik' = 't'"), /unknown option 'topik'/, /did you mean topic/],
    [table("'connector' = 'kafka', 'topic' = 't'"), /needs the option 'properties.bootstrap.servers'/],
    [table(kafka("'topic'='u'")), /'topic' is given twice/],
    [table(kafka("'format'='jsno'")), /'jsno' is not a value of 'format'/, /did you mean json/],
    [table(kafka("'format'='avro'")), /not supported: 'format' = 'avro'/],
    [
      table(kafka("'format'='json','scan.startup.mode'='group-offsets'")),
      /not supported: 'scan.startup.mode' = 'group-offsets'/,
    ],
    [
      table(kafka("'format'='json','scan.startup.mode'='timestamp'")),
      /needs the option 'scan.startup.timestamp-millis'/,
    ],
    [table(kafka("'format'='json','scan.startup.timestamp-millis'='1'")), /needs 'scan.startup.mode' = 'timestamp'/],
    [table(kafka("'format'='json','scan.partitions'='3-1'")), /needs partitions such as/],
    [table(kafka("'format'='json','scan.watermark.idle-timeout'='soon'")), /needs a duration such as '10 s'/],
    [table(kafka("'format'='json','json.ignore-parse-errors'='yes'")), /needs 'true' or 'false'/],
    [
      table(kafka("'format'='json','json.ignore-parse-errors'='true','json.fail-on-missing-field'='true'")),
      /cannot both be 'true'/,
    ],
    [table(kafka("'json.ignore-parse-errors'='true'"), '`value` STRING'), /needs 'format' = 'json'/],
    [table(kafka('')), /a kafka table without a format has no column a/, /value STRING/],
    [table(kafka(''), '`value` INT'), /is STRING or BYTES, not INT/],
    [table("'connector'='filesystem','path'='/x'"), /needs the option 'format'/],
    [
      table("'connector'='filesystem','path'='/x','format'='json'", 'a INT, PRIMARY KEY (a) NOT ENFORCED'),
      /not supported: a PRIMARY KEY on a table of the connector filesystem/,
    ],
    [
      table(kafka("'format'='json'"), "a INT, m STRING METADATA FROM 'topik'"),
      /unknown metadata key 'topik'/,
      /did you mean topic/,
    ],
    [
      table(kafka("'format'='json'"), 'a STRING, WATERMARK FOR a AS a'),
      /must be TIMESTAMP\(3\) or TIMESTAMP_LTZ\(3\), not STRING/,
      /TO_TIMESTAMP/,
    ],
    [table(kafka("'format'='json'"), 'a TIMESTAMP, WATERMARK FOR a AS a'), /not TIMESTAMP\(6\)/, /TIMESTAMP\(3\)/],
    [table(kafka("'format'='json'"), 'a INT, b AS a + 1, c AS b + 1'), /cannot use another one \(b\)/],
    ['CREATE TABLE x (a INT, b AS a + 1)', /not supported: a computed column in a local table/],
    ['CREATE TABLE x (a TIMESTAMP(3), WATERMARK FOR a AS a)', /not supported: a WATERMARK in a local table/],
    ['CREATE TABLE x (a INT, a INT)', /declared twice/],
    ['CREATE TABLE x (a INT, PRIMARY KEY (b) NOT ENFORCED)', /unknown column b in PRIMARY KEY/],
    ['CREATE TABLE x (a ROW<b INT>, PRIMARY KEY (a) NOT ENFORCED)', /cannot be part of a primary key/],
  ]
  for (const [sql, reason, hint] of refused) {
    it(`refuse ${sql.slice(15)}`, () => {
      const error = errorOf(() => new Session().run(sql))
      assert.match(error.reason, reason)
      assert.match(error.hint ?? '', hint ?? /^/)
    })
  }

  const java: [string, string, RegExp][] = [
    ['ssl.truststore.location', '/x.jks', /ssl\.ca\.location/],
    ['fetch.max.wait.ms', '5', /fetch\.wait\.max\.ms/],
    ['sasl.jaas.config', 'x', /sasl\.username/],
    ['key.deserializer', 'x', /'format'/],
  ]
  for (const [name, value, hint] of java) {
    it(`refuse the Java client's ${name} and name librdkafka's`, () => {
      const error = errorOf(() => new Session().run(table(kafka(`'format'='json','properties.${name}'='${value}'`))))
      assert.match(error.reason, /librdkafka's names/)
      assert.match(error.hint ?? '', hint)
    })
  }

  const property = (name: string, value: string): string =>
    table(kafka(`'format'='json','properties.${name}'='${value}'`))
  const wrong: [string, string, 'name' | 'value', RegExp, RegExp][] = [
    ['grup.id', 'x', 'name', /librdkafka has no setting 'grup\.id'/, /did you mean group\.id/],
    ['no.such.thing.at.all', 'x', 'name', /librdkafka has no setting/, /CONFIGURATION\.md/],
    ['linger.ms', '5', 'name', /'linger\.ms' is a setting of producers, not of what reads/, /leave it out/],
    ['sasl.oauthbearer.method', 'oidc', 'name', /not in this build of librdkafka/, /leave it out/],
    ['auto.offset.reset', 'earliest', 'name', /cannot be set/, /scan\.startup\.mode/],
    ['metadata.broker.list', 'b', 'name', /cannot be set/, /properties\.bootstrap\.servers/],
    ['auto.commit.interval.ms', '5', 'name', /cannot be set/, /offsets are kept in the store/],
    ['enable.auto.commit', 'true', 'value', /must be 'false'/, /offsets are kept in the store/],
    ['enable.partition.eof', 'f', 'value', /must be 'true'/, /must be seen/],
    ['check.crcs', 'yes', 'value', /'yes' is not a value of 'check\.crcs'/, /'true' or 'false'/],
    ['fetch.wait.max.ms', '5s', 'value', /'5s' is not a value/, /a whole number from 0 to 300000/],
    ['fetch.wait.max.ms', '300001', 'value', /'300001' is not a value/, /a whole number from 0 to 300000/],
    ['isolation.level', 'committed', 'value', /'committed' is not a value/, /'read_committed'/],
    ['ssl.keystore.location', '/x.jks', 'value', /PKCS#12 file.*no Java keystore/, /ssl\.certificate\.location/],
  ]
  for (const [name, value, part, reason, hint] of wrong) {
    it(`refuse properties.${name} = ${value} where it stands`, () => {
      const sql = property(name, value)
      const error = errorOf(() => new Session().run(sql))
      assert.match(error.reason, reason)
      assert.match(error.hint ?? '', hint)
      const place = part === 'name' ? sql.indexOf(`'properties.${name}`) : sql.lastIndexOf(`'${value}'`)
      assert.deepEqual([error.line, error.column], [1, place + 1])
    })
  }

  it('let properties pass that librdkafka takes', () => {
    for (const [name, value] of [
      ['group.id', 'g'],
      ['fetch.wait.max.ms', '10'],
      ['check.crcs', 'T'],
      ['isolation.level', 'READ_COMMITTED'],
      ['enable.auto.commit', 'false'],
      ['ssl.keystore.location', '/x.P12'],
      ['ssl.keystore.location', '/x.pkcs12'],
      ['security.protocol', 'SASL_SSL'],
      ['topic.metadata.refresh.interval.ms', '-1'],
    ] as const)
      new Session().run(property(name, value))
  })

  it('of a stored table do not keep the catalog from opening', () => {
    const s = new Session()
    s.run(table(kafka("'format'='json'")))
    const json = s.catalog.toJSON()
    const objects = json.objects.map(o => ({ ...o, ddl: property('gone.from.librdkafka', '1') }))
    assert.equal(Catalog.load({ ...json, objects }).find('x')?.kind, 'table')
  })

  it('of kafka go into the plan with their defaults; those of the planner and the format do not', () => {
    const s = session()
    s.run(
      table(
        kafka(
          "'format'='json','properties.group.id'='g','json.ignore-parse-errors'='true','scan.watermark.idle-timeout'='2 min'",
        ),
        "a TIMESTAMP(3), WATERMARK FOR a AS a - INTERVAL '1' SECOND",
      ),
    )
    const [source, watermark] = s.planOf('SELECT a FROM x').nodes
    assert.ok(source?.type === 'source' && watermark?.type === 'watermark')
    assert.deepEqual(source.options, {
      topic: 't',
      'properties.bootstrap.servers': 'b',
      'properties.group.id': 'g',
      'scan.startup.mode': 'earliest-offset',
      'scan.bounded.mode': 'unbounded',
    })
    assert.deepEqual(source.format, { name: 'json', options: { 'ignore-parse-errors': 'true' } })
    assert.equal(watermark.idleTimeoutMs, 120_000)
    assert.equal(source.bounded, false)
  })

  it('of a filesystem table make a bounded source', () => {
    const s = new Session()
    s.run(table("'connector'='filesystem','path'='/x','format'='json'"))
    const planned = s.one('SELECT a FROM x')
    assert.ok(planned.kind === 'select' && planned.bounded)
  })
})
