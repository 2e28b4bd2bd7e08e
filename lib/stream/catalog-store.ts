// The SQL catalog in the store: a system table with one row for each object, rewritten as a whole when DDL changes it.
import type { JsonSchema } from '../arrow/json-schema.js'
import type { Database } from '../database/database.js'
import { makeError } from '../errors.js'
import { Catalog, type CatalogEntry, kCatalogVersion } from '../sql/index.js'

const kTable = 'sql_catalog'
const text = (name: string) => ({ name, nullable: false, type: { name: 'utf8' } as const, children: [] })
const int = (name: string, bitWidth: number) => ({
  name,
  nullable: false,
  type: { name: 'int', bitWidth, isSigned: true } as const,
  children: [],
})
const schema: JsonSchema = {
  fields: [text('name'), text('kind'), text('ddl'), text('definition'), int('position', 32), int('version', 32)],
}
interface Row {
  name: string
  kind: CatalogEntry['kind']
  ddl: string
  definition: string
  position: number
  version: number
}

export class CatalogStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async load(): Promise<Catalog> {
    await this.#database.createNativeTable(kTable, schema, { primaryKey: ['name'], ifNotExists: true }, true)
    const rows = await this.#database.table<Row>(kTable).scan().toArray()
    rows.sort((a, b) => a.position - b.position)
    const newer = rows.find(row => row.version !== kCatalogVersion)
    if (newer !== undefined) {
      throw makeError(
        'MARBLE_INCOMPATIBLE',
        `the SQL catalog has version ${newer.version}, this package reads version ${kCatalogVersion}`,
      )
    }
    const objects = rows.map(({ kind, name, ddl, definition }) => ({
      kind,
      name,
      ddl,
      definition: JSON.parse(definition) as Record<string, unknown>,
    }))
    return Catalog.load({ version: kCatalogVersion, objects })
  }

  /** Atomic: after a crash the catalog is the old one or the new one. */
  async save(catalog: Catalog): Promise<void> {
    const table = this.#database.table<Row>(kTable)
    const { version, objects } = catalog.toJSON()
    const rows = objects.map(
      (object, position): Row => ({
        name: object.name,
        kind: object.kind,
        ddl: object.ddl,
        definition: JSON.stringify(object.definition),
        position,
        version,
      }),
    )
    const kept = new Set(rows.map(row => row.name))
    const batch = this.#database.batch()
    for (const { name } of await table.scan().toArray()) if (!kept.has(name)) batch.deleteRow(table, [name])
    if (rows.length > 0) batch.insert(table, rows)
    await batch.commit()
  }
}
