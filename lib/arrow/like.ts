// What of apache-arrow's objects is read, as shapes: users' objects may come from another copy or version of the package, so
// nothing here asks for a class.

export interface DataTypeLike {
  readonly typeId: number
}
/** What the types have of their own, by name: bitWidth, unit, children … */
export type TypeParameters = DataTypeLike & Readonly<Record<string, unknown>>
export const parametersOf = (type: DataTypeLike): TypeParameters => type as TypeParameters
export interface FieldLike {
  readonly name: string
  readonly type: DataTypeLike
  readonly nullable: boolean
  readonly metadata?: ReadonlyMap<string, string>
}
export interface SchemaLike {
  readonly fields: readonly FieldLike[]
  readonly metadata?: ReadonlyMap<string, string>
}
export interface DataLike {
  readonly type: DataTypeLike
  readonly length: number
  readonly offset: number
  readonly nullCount: number
  readonly values?: unknown
  readonly valueOffsets?: unknown
  readonly nullBitmap?: unknown
  /** Of unions. */
  readonly typeIds?: unknown
  /** Of views: what does not lie in the view itself. */
  readonly variadicBuffers?: readonly unknown[]
  readonly children: readonly DataLike[]
  readonly dictionary?: { readonly data: readonly DataLike[] } | undefined
}
export interface RecordBatchLike {
  readonly schema: SchemaLike
  readonly data: DataLike
  readonly numRows: number
}
export interface TableLike {
  readonly schema: SchemaLike
  readonly batches: readonly RecordBatchLike[]
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

export function isSchemaLike(value: unknown): value is SchemaLike {
  return (
    isObject(value) &&
    Array.isArray(value.fields) &&
    value.fields.every(field => isObject(field) && typeof field.name === 'string' && isObject(field.type))
  )
}

export function isTableLike(value: unknown): value is TableLike {
  return isObject(value) && Array.isArray(value.batches) && isSchemaLike(value.schema)
}

export function isRecordBatchLike(value: unknown): value is RecordBatchLike {
  return (
    isObject(value) &&
    !Array.isArray(value.batches) &&
    isSchemaLike(value.schema) &&
    isDataLike(value.data) &&
    value.data.children.length === value.schema.fields.length &&
    typeof value.numRows === 'number'
  )
}

function isDataLike(value: unknown): value is DataLike {
  return (
    isObject(value) &&
    isObject(value.type) &&
    typeof value.length === 'number' &&
    Array.isArray(value.children) &&
    value.children.every(isDataLike)
  )
}
