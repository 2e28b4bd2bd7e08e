// A table's columns at one moment: the native handle that stands for them, and what reads and writes rows of them. When the
// table is altered there are others, and the engine refuses what comes through a handle of before.
import type * as arrow from 'apache-arrow'
import type { TableHandle } from '../../binding.js'
import { BatchReader } from '../arrow/export.js'
import { type JsonField, type JsonSchema, schemaFromJson, withoutDictionaries } from '../arrow/json-schema.js'
import { binding } from '../binding.js'
import { CellReader, prepareCells } from './row-cells.js'

export interface OpenedTable {
  handle: TableHandle
  schema: string
  primaryKey: number[]
}

const hasDictionaries = (fields: readonly JsonField[]): boolean =>
  fields.some(field => field.dictionary !== undefined || hasDictionaries(field.children ?? []))

export class Columns {
  readonly handle: TableHandle
  readonly jsonSchema: JsonSchema
  readonly keyFields: readonly JsonField[]
  readonly primaryKey: string[]
  /** Of the columns as they are stored. */
  readonly plainSchema: JsonSchema
  readonly plainReader: BatchReader
  readonly schema: arrow.Schema
  readonly #dictionaries: boolean
  /** Reads single rows without a batch, if the types allow. */
  readonly cells: CellReader | undefined

  constructor({ handle, schema, primaryKey }: OpenedTable) {
    this.handle = handle
    this.jsonSchema = JSON.parse(schema) as JsonSchema
    this.keyFields = primaryKey.map(i => this.jsonSchema.fields[i]!)
    this.primaryKey = this.keyFields.map(field => field.name)
    this.plainSchema = withoutDictionaries(this.jsonSchema)
    this.plainReader = new BatchReader(this.plainSchema)
    this.#dictionaries = hasDictionaries(this.jsonSchema.fields)
    this.schema = this.#dictionaries ? schemaFromJson(this.jsonSchema) : this.plainReader.schema
    if (binding().tableHasCells(handle)) {
      prepareCells()
      this.cells = new CellReader(this.jsonSchema)
    }
  }

  /** For one scan of all columns. */
  newReader(): BatchReader {
    return this.#dictionaries ? new BatchReader(this.jsonSchema, this.schema) : this.plainReader
  }

  /** Whether the table still has these columns. */
  get current(): boolean {
    return binding().tableIsCurrent(this.handle)
  }
  /** The columns that the table has now. */
  renewed(): Columns {
    return new Columns(binding().tableCurrent(this.handle))
  }
}
