// Local tables: CREATE TABLE without WITH. They are stored in the database, read as bounded sources and written by jobs.

import type { Connector, Options } from '../connector.js'
import { kLocalConnector } from '../table.js'

export const marbledb: Connector = {
  name: kLocalConnector,
  options: {},
  metadata: {},
  configure(_options: Options) {
    return { connector: kLocalConnector, options: {}, format: null, bounded: true, idleTimeoutMs: null }
  },
}
