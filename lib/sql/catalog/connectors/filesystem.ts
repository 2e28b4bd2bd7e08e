// Files of JSON lines as bounded sources.

import type { Connector, Options } from '../connector.js'
import { jsonFormat, kJsonOptions } from './json-format.js'

export const filesystem: Connector = {
  name: 'filesystem',
  options: {
    path: { required: true },
    format: { required: true, values: ['json'], notYet: ['csv', 'raw', 'avro', 'orc', 'parquet', 'arrow'] },
    'source.monitor-interval': { unsupported: 'files are read once' },
    'source.path.regex-pattern': { unsupported: '' },
    'partition.default-name': { unsupported: '' },
    ...kJsonOptions,
  },
  metadata: {},
  configure(options: Options) {
    return {
      connector: 'filesystem',
      options: { path: options.get('path')! },
      format: jsonFormat(options),
      bounded: true,
      idleTimeoutMs: null,
    }
  },
}
