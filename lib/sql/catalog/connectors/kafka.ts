// Kafka topics as sources. Without a format the rows are the records themselves (kRawColumns).

import {
  BIGINT,
  BYTES,
  bareTypeToString,
  INT,
  type SqlType,
  STRING,
  sameType,
  TIMESTAMP_3,
  TIMESTAMP_LTZ_3,
} from '../../types/sql-type.js'
import type { Connector, Options, PhysicalColumn } from '../connector.js'
import { parseDuration } from '../duration.js'
import { jsonFormat, kJsonOptions } from './json-format.js'
import { kafkaPropertyProblem } from './kafka-properties.js'

const kProperties = 'properties.'
const kDefaultIdleTimeout = '10 s'

const kRawColumns: Readonly<Record<string, readonly SqlType[]>> = {
  key: [STRING, BYTES],
  value: [STRING, BYTES],
  timestamp: [TIMESTAMP_3, TIMESTAMP_LTZ_3],
  partition: [INT, BIGINT],
  offset: [BIGINT],
}

export const kafka: Connector = {
  name: 'kafka',
  options: {
    topic: { required: true },
    'properties.bootstrap.servers': { required: true },
    format: {
      values: ['json'],
      notYet: [
        'avro',
        'avro-confluent',
        'debezium-json',
        'debezium-avro-confluent',
        'canal-json',
        'maxwell-json',
        'csv',
        'raw',
        'protobuf',
        'orc',
        'parquet',
        'ogg-json',
      ],
    },
    'scan.startup.mode': {
      values: ['earliest-offset', 'latest-offset', 'timestamp'],
      notYet: ['group-offsets', 'specific-offsets'],
    },
    'scan.startup.timestamp-millis': { type: 'integer' },
    'scan.bounded.mode': {
      values: ['unbounded', 'latest-offset'],
      notYet: ['group-offsets', 'timestamp', 'specific-offsets'],
    },
    'scan.partitions': { type: 'partitions' },
    'scan.watermark.idle-timeout': { type: 'duration' },
    'topic-pattern': { unsupported: "declare one 'topic'" },
    'value.format': { unsupported: "use 'format'" },
    'key.format': { unsupported: "read the key as a metadata column: k STRING METADATA FROM 'key'" },
    'key.fields': { unsupported: "read the key as a metadata column: k STRING METADATA FROM 'key'" },
    'value.fields-include': { unsupported: '' },
    'scan.startup.specific-offsets': { unsupported: '' },
    'scan.bounded.specific-offsets': { unsupported: '' },
    'scan.bounded.timestamp-millis': { unsupported: '' },
    'scan.topic-partition-discovery.interval': { unsupported: '' },
    'scan.watermark.alignment.max-drift': { unsupported: '' },
    'scan.watermark.emit.strategy': { unsupported: '' },
    'sink.partitioner': { unsupported: 'a kafka table is a source' },
    'sink.delivery-guarantee': { unsupported: 'a kafka table is a source' },
    'sink.transactional-id-prefix': { unsupported: 'a kafka table is a source' },
    'sink.parallelism': { unsupported: 'a kafka table is a source' },
    ...kJsonOptions,
  },
  prefixes: [kProperties],
  metadata: {
    topic: [STRING],
    partition: [INT, BIGINT],
    offset: [BIGINT],
    timestamp: [TIMESTAMP_LTZ_3, TIMESTAMP_3],
    'timestamp-type': [STRING],
    key: [STRING, BYTES],
  },

  check(options: Options): void {
    const { source } = options
    for (const key of options.keys().filter(k => k.startsWith(kProperties))) {
      const problem = kafkaPropertyProblem(key.slice(kProperties.length), options.get(key)!, 'C')
      if (problem !== undefined)
        throw source.error(
          problem.part === 'name' ? options.keySpan(key) : options.valueSpan(key),
          problem.reason,
          problem.hint,
        )
    }
    if (/[;,]/.test(options.get('topic')!))
      throw source.notSupported(options.valueSpan('topic'), 'several topics in one table', 'declare a table for each')
    const timestamp = options.get('scan.startup.timestamp-millis')
    const mode = options.get('scan.startup.mode')
    if (mode === 'timestamp' && timestamp === undefined) {
      throw source.error(
        options.valueSpan('scan.startup.mode'),
        "'scan.startup.mode' = 'timestamp' needs the option 'scan.startup.timestamp-millis'",
      )
    }
    if (timestamp !== undefined && mode !== 'timestamp') {
      throw source.error(
        options.keySpan('scan.startup.timestamp-millis'),
        "'scan.startup.timestamp-millis' needs 'scan.startup.mode' = 'timestamp'",
      )
    }
    const json = options.keys().find(k => k.startsWith('json.'))
    if (json !== undefined && options.get('format') !== 'json')
      throw source.error(options.keySpan(json), `'${json}' needs 'format' = 'json'`)
  },

  configure(options: Options, columns: readonly PhysicalColumn[]) {
    const format = options.get('format') === undefined ? null : jsonFormat(options)
    if (format === null) checkRawColumns(options, columns)
    const plain = options
      .keys()
      .filter(k => k !== 'connector' && k !== 'format' && k !== 'scan.watermark.idle-timeout' && !k.startsWith('json.'))
    return {
      connector: 'kafka',
      options: {
        'scan.startup.mode': 'earliest-offset',
        'scan.bounded.mode': 'unbounded',
        ...Object.fromEntries(plain.map(k => [k, options.get(k)!])),
      },
      format,
      bounded: options.get('scan.bounded.mode') === 'latest-offset',
      idleTimeoutMs: parseDuration(options.get('scan.watermark.idle-timeout') ?? kDefaultIdleTimeout) || null,
    }
  },
}

function checkRawColumns(options: Options, columns: readonly PhysicalColumn[]): void {
  const all = Object.entries(kRawColumns).map(([name, types]) => `${name} ${bareTypeToString(types[0]!)}`)
  const hint = `without 'format' the columns are among: ${all.join(', ')}; or add 'format' = 'json'`
  for (const c of columns) {
    const types = Object.hasOwn(kRawColumns, c.name) ? kRawColumns[c.name] : undefined
    if (types === undefined)
      throw options.source.error(c.span, `a kafka table without a format has no column ${c.name}`, hint)
    if (!types.some(t => sameType(t, c.type)))
      throw options.source.error(
        c.span,
        `the column ${c.name} of a kafka table without a format is ${types.map(bareTypeToString).join(' or ')}, not ${bareTypeToString(c.type)}`,
        hint,
      )
  }
}
