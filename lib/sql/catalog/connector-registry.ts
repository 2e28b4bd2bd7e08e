// The connectors by name.

import { didYouMean } from '../text/suggest.js'
import type { Connector, Options } from './connector.js'
import { filesystem } from './connectors/filesystem.js'
import { kafka } from './connectors/kafka.js'
import { marbledb } from './connectors/marbledb.js'

const kKnownElsewhere = [
  'upsert-kafka',
  'datagen',
  'print',
  'blackhole',
  'jdbc',
  'nexmark',
  'mongodb',
  'elasticsearch-7',
  'kinesis',
  'pulsar',
  'iceberg',
  'paimon',
]

export class ConnectorRegistry {
  readonly #connectors = new Map<string, Connector>([kafka, filesystem, marbledb].map(c => [c.name, c]))

  register(connector: Connector): void {
    this.#connectors.set(connector.name, connector)
  }

  /** The connector that the options name; throw when none is named, or an unknown one. */
  find(options: Options): Connector {
    const { source } = options
    const name = options.get('connector')
    if (name === undefined) {
      const hint = options.keys().includes('connector.type')
        ? "the option is called 'connector'"
        : "add 'connector' = 'kafka', or leave out WITH for a local table"
      throw source.error(options.span, "WITH needs the option 'connector'", hint)
    }
    const connector = this.#connectors.get(name)
    if (connector !== undefined) return connector
    const span = options.valueSpan('connector')
    if (name === 'js')
      throw source.error(
        span,
        "a 'js' source is registered by the program, not by CREATE TABLE",
        'use registerSource(name, rows, { schema })',
      )
    if (kKnownElsewhere.includes(name))
      throw source.notSupported(
        span,
        `the connector '${name}'`,
        `connectors: ${[...this.#connectors.keys()].join(', ')}`,
      )
    throw source.error(
      span,
      `unknown connector '${name}'`,
      didYouMean(name, this.#connectors.keys()) ?? `connectors: ${[...this.#connectors.keys()].join(', ')}`,
    )
  }
}
