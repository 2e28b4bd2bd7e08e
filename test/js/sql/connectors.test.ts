import assert from 'node:assert/strict'
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
    ['ssl.keystore.location', '/x.jks', /ssl\.certificate\.location/],
    ['sasl.jaas.config', 'x', /sasl\.username/],
    ['key.deserializer', 'x', /'format'/],
    ['auto.offset.reset', 'earliest', /scan\.startup\.mode/],
  ]
  for (const [name, value, hint] of java) {
    it(`refuse the Java client's ${name} and name librdkafka's`, () => {
      const error = errorOf(() => new Session().run(table(kafka(`'format'='json','properties.${name}'='${value}'`))))
      assert.match(error.reason, /librdkafka's names/)
      assert.match(error.hint ?? '', hint)
    })
  }

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
