// Schemas in the JSON form of Arrow's integration tests: how they cross to the addon (native/base/arrow_types.h).
import * as arrow from 'apache-arrow'
import { invalidArgument, makeError, notSupported } from '../errors.js'
import { shown } from '../options.js'
import { type DataTypeLike, type FieldLike, isSchemaLike, parametersOf, type SchemaLike } from './like.js'

export type TimeUnit = 'SECOND' | 'MILLISECOND' | 'MICROSECOND' | 'NANOSECOND'
export type JsonType =
  | { name: 'null' | 'bool' | 'utf8' | 'largeutf8' | 'binary' | 'largebinary' | 'list' | 'largelist' | 'struct' }
  | { name: 'int'; bitWidth: number; isSigned: boolean }
  | { name: 'floatingpoint'; precision: 'HALF' | 'SINGLE' | 'DOUBLE' }
  | { name: 'decimal'; precision: number; scale: number; bitWidth: number }
  | { name: 'date'; unit: 'DAY' | 'MILLISECOND' }
  | { name: 'time'; unit: TimeUnit; bitWidth: number }
  | { name: 'timestamp'; unit: TimeUnit; timezone?: string }
  | { name: 'duration'; unit: TimeUnit }
  | { name: 'interval'; unit: 'YEAR_MONTH' | 'DAY_TIME' | 'MONTH_DAY_NANO' }
  | { name: 'fixedsizebinary'; byteWidth: number }
  | { name: 'fixedsizelist'; listSize: number }
  | { name: 'map'; keysSorted: boolean }
  | { name: 'union'; mode: 'DENSE' | 'SPARSE'; typeIds: number[] }

export interface JsonField {
  name: string
  nullable: boolean
  type: JsonType
  children: JsonField[]
  /** Its values come with a dictionary; `type` and `children` are theirs, which is how they are stored. */
  dictionary?: { indexType: JsonIndexType; isOrdered: boolean }
  /** Of utf8 and binary: its values are views for those who read them; they are stored plainly. */
  view?: boolean
  metadata?: { key: string; value: string }[]
}
export type JsonIndexType = Extract<JsonType, { name: 'int' }>
export interface JsonSchema {
  fields: JsonField[]
  metadata?: { key: string; value: string }[]
}

const timeUnits = ['SECOND', 'MILLISECOND', 'MICROSECOND', 'NANOSECOND'] as const
const precisions = ['HALF', 'SINGLE', 'DOUBLE'] as const
const intervalUnits = ['YEAR_MONTH', 'DAY_TIME', 'MONTH_DAY_NANO'] as const
const unionModes = ['SPARSE', 'DENSE'] as const
const kBinaryView = 23
const kUtf8View = 24

function typeToJson(given: DataTypeLike, where: string): JsonType {
  const type = parametersOf(given)
  const number = (name: string): number => type[name] as number
  switch (type.typeId) {
    case 1:
      return { name: 'null' }
    case 2:
      return { name: 'int', bitWidth: number('bitWidth'), isSigned: type.isSigned === true }
    case 3:
      return { name: 'floatingpoint', precision: precisions[number('precision')]! }
    case 4:
      return { name: 'binary' }
    case 5:
      return { name: 'utf8' }
    case 6:
      return { name: 'bool' }
    case 7:
      return {
        name: 'decimal',
        precision: number('precision'),
        scale: number('scale'),
        bitWidth: number('bitWidth') || 128,
      }
    case 8:
      return { name: 'date', unit: number('unit') === 0 ? 'DAY' : 'MILLISECOND' }
    case 9:
      return { name: 'time', unit: timeUnits[number('unit')]!, bitWidth: number('bitWidth') }
    case 10: {
      const timezone = type.timezone as string | null | undefined
      return { name: 'timestamp', unit: timeUnits[number('unit')]!, ...(timezone ? { timezone } : {}) }
    }
    case 11:
      return { name: 'interval', unit: intervalUnits[number('unit')]! }
    case 12:
      return { name: 'list' }
    case 13:
      return { name: 'struct' }
    case 14:
      return {
        name: 'union',
        mode: unionModes[number('mode')]!,
        typeIds: [...(type.typeIds as Iterable<number>)],
      }
    case 15:
      return { name: 'fixedsizebinary', byteWidth: number('byteWidth') }
    case 16:
      return { name: 'fixedsizelist', listSize: number('listSize') }
    case 17:
      return { name: 'map', keysSorted: type.keysSorted === true }
    case 18:
      return { name: 'duration', unit: timeUnits[number('unit')]! }
    case 19:
      return { name: 'largebinary' }
    case 20:
      return { name: 'largeutf8' }
    case 21:
      return { name: 'largelist' }
    case kBinaryView:
      return { name: 'binary' }
    case kUtf8View:
      return { name: 'utf8' }
    default:
      throw notSupported(`${where}: Arrow type ${String(type)}`)
  }
}

function metadataToJson(metadata: ReadonlyMap<string, string> | undefined): {
  metadata?: { key: string; value: string }[]
} {
  if (metadata === undefined || metadata.size === 0) return {}
  return { metadata: [...metadata].map(([key, value]) => ({ key, value })) }
}

function dictionaryToJson(type: DataTypeLike, where: string): Pick<JsonField, 'dictionary'> {
  if (type.typeId !== -1) return {}
  const { indices, isOrdered } = parametersOf(type)
  const indexType = typeToJson(indices as DataTypeLike, where) as JsonIndexType
  return { dictionary: { indexType, isOrdered: isOrdered === true } }
}

function fieldToJson(field: FieldLike, where: string): JsonField {
  const place = `${where} '${field.name}'`
  const type = field.type.typeId === -1 ? (parametersOf(field.type).dictionary as DataTypeLike) : field.type
  const children = (parametersOf(type).children as readonly FieldLike[] | undefined | null) ?? []
  return {
    name: field.name,
    nullable: field.nullable !== false,
    type: typeToJson(type, place),
    children: children.map(child => fieldToJson(child, place)),
    ...dictionaryToJson(field.type, place),
    ...(type.typeId === kUtf8View || type.typeId === kBinaryView ? { view: true } : {}),
    ...metadataToJson(field.metadata),
  }
}

/** The columns as they are stored: without dictionaries. */
export function withoutDictionaries(schema: JsonSchema): JsonSchema {
  const plain = ({ dictionary, ...field }: JsonField): JsonField => ({
    ...field,
    children: (field.children ?? []).map(plain),
  })
  return { ...schema, fields: schema.fields.map(plain) }
}

export function schemaToJson(schema: unknown): JsonSchema {
  if (!isSchemaLike(schema)) throw invalidArgument(`schema must be a Schema of apache-arrow, not ${shown(schema)}`)
  return { fields: schema.fields.map(field => fieldToJson(field, 'column')), ...metadataToJson(schema.metadata) }
}

/** Schemas that come again and again, by object. */
const jsonTexts = new WeakMap<SchemaLike, string>()
export function schemaToText(schema: SchemaLike): string {
  let text = jsonTexts.get(schema)
  if (text === undefined) {
    text = JSON.stringify(schemaToJson(schema))
    jsonTexts.set(schema, text)
  }
  return text
}

function typeFromJson(type: JsonType, children: arrow.Field[]): arrow.DataType {
  switch (type.name) {
    case 'null':
      return new arrow.Null()
    case 'bool':
      return new arrow.Bool()
    case 'utf8':
      return new arrow.Utf8()
    case 'largeutf8':
      return new arrow.LargeUtf8()
    case 'binary':
      return new arrow.Binary()
    case 'largebinary':
      return new arrow.LargeBinary()
    case 'int':
      return new arrow.Int(type.isSigned, type.bitWidth as 8 | 16 | 32 | 64) as arrow.DataType
    case 'floatingpoint':
      return new arrow.Float(precisions.indexOf(type.precision)) as arrow.DataType
    case 'decimal':
      return new arrow.Decimal(type.scale, type.precision, type.bitWidth)
    case 'date':
      return type.unit === 'DAY' ? new arrow.DateDay() : new arrow.DateMillisecond()
    case 'time':
      return new arrow.Time(timeUnits.indexOf(type.unit) as never, type.bitWidth as never) as arrow.DataType
    case 'timestamp':
      return new arrow.Timestamp(timeUnits.indexOf(type.unit) as never, type.timezone ?? null) as arrow.DataType
    case 'duration':
      return new arrow.Duration(timeUnits.indexOf(type.unit) as never)
    case 'interval':
      return new arrow.Interval(intervalUnits.indexOf(type.unit) as never) as arrow.DataType
    case 'fixedsizebinary':
      return new arrow.FixedSizeBinary(type.byteWidth)
    case 'list':
      return new arrow.List(children[0]!)
    case 'fixedsizelist':
      return new arrow.FixedSizeList(type.listSize, children[0]!)
    case 'struct':
      return new arrow.Struct(children)
    case 'map':
      return new arrow.Map_(children[0] as never, type.keysSorted)
    case 'union':
      return type.mode === 'DENSE'
        ? new arrow.DenseUnion(type.typeIds, children)
        : new arrow.SparseUnion(type.typeIds, children)
    case 'largelist':
      return new (newerType('LargeList'))(children[0]!)
  }
}

/** A class that not every version of apache-arrow has. */
function newerType(name: string): new (child?: arrow.Field) => arrow.DataType {
  const Type = (arrow as unknown as Record<string, new (child?: arrow.Field) => arrow.DataType>)[name]
  if (Type === undefined) throw notSupported(`${name} with this version of apache-arrow`)
  return Type
}

function fieldFromJson(field: JsonField): arrow.Field {
  const { dictionary } = field
  let type = typeFromJson(field.type, (field.children ?? []).map(fieldFromJson))
  if (field.view === true) type = new (newerType(field.type.name === 'utf8' ? 'Utf8View' : 'BinaryView'))()
  if (dictionary !== undefined) {
    const indices = typeFromJson(dictionary.indexType, []) as arrow.Int32
    type = new arrow.Dictionary(type, indices, null, dictionary.isOrdered)
  }
  const metadata = new Map((field.metadata ?? []).map(({ key, value }) => [key, value]))
  return new arrow.Field(field.name, type, field.nullable, metadata)
}

/** A Schema of the apache-arrow that this package resolves. */
export function schemaFromJson(schema: JsonSchema): arrow.Schema {
  return new arrow.Schema(
    schema.fields.map(fieldFromJson),
    new Map((schema.metadata ?? []).map(({ key, value }) => [key, value])),
  )
}

export function columnIndex(schema: JsonSchema, name: string, table: string): number {
  const index = schema.fields.findIndex(field => field.name === name)
  if (index >= 0) return index
  const names = schema.fields.map(field => field.name).join(', ')
  throw makeError('MARBLE_COLUMN_NOT_FOUND', `${table} has no column '${name}'; it has ${names}`)
}
