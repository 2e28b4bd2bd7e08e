// SQL's types, as Flink has them. Values are immutable; nullability is part of the type.

export type IntegerName = 'TINYINT' | 'SMALLINT' | 'INT' | 'BIGINT'
export type ApproximateName = 'FLOAT' | 'DOUBLE'

export type SqlType = { readonly nullable: boolean } & (
  | { readonly name: 'BOOLEAN' | IntegerName | ApproximateName | 'DATE' | 'NULL' }
  | { readonly name: 'DECIMAL'; readonly precision: number; readonly scale: number }
  /** `length` undefined: STRING. */
  | { readonly name: 'CHAR' | 'VARCHAR'; readonly length: number | undefined }
  | { readonly name: 'BINARY' | 'VARBINARY'; readonly length: number | undefined }
  | { readonly name: 'TIME' | 'TIMESTAMP' | 'TIMESTAMP_LTZ'; readonly precision: number }
  | { readonly name: 'INTERVAL_DAY' | 'INTERVAL_YEAR' }
  | { readonly name: 'ARRAY'; readonly element: SqlType }
  | { readonly name: 'MAP'; readonly key: SqlType; readonly value: SqlType }
  | { readonly name: 'ROW'; readonly fields: readonly RowField[] }
)

export interface RowField {
  readonly name: string
  readonly type: SqlType
}

export type TypeName = SqlType['name']

const kIntegers: readonly TypeName[] = ['TINYINT', 'SMALLINT', 'INT', 'BIGINT']

export const BOOLEAN: SqlType = { name: 'BOOLEAN', nullable: true }
export const INT: SqlType = { name: 'INT', nullable: true }
export const BIGINT: SqlType = { name: 'BIGINT', nullable: true }
export const DOUBLE: SqlType = { name: 'DOUBLE', nullable: true }
export const STRING: SqlType = { name: 'VARCHAR', length: undefined, nullable: true }
export const BYTES: SqlType = { name: 'VARBINARY', length: undefined, nullable: true }
export const DATE: SqlType = { name: 'DATE', nullable: true }
export const TIMESTAMP_3: SqlType = { name: 'TIMESTAMP', precision: 3, nullable: true }
export const TIMESTAMP_LTZ_3: SqlType = { name: 'TIMESTAMP_LTZ', precision: 3, nullable: true }
export const INTERVAL_DAY: SqlType = { name: 'INTERVAL_DAY', nullable: true }
export const INTERVAL_YEAR: SqlType = { name: 'INTERVAL_YEAR', nullable: true }
export const NULL_TYPE: SqlType = { name: 'NULL', nullable: true }

export function decimal(precision: number, scale: number, nullable = true): SqlType {
  return { name: 'DECIMAL', precision, scale, nullable }
}

export function withNullable(type: SqlType, nullable: boolean): SqlType {
  return type.nullable === nullable ? type : { ...type, nullable }
}

export function isInteger(type: SqlType): boolean {
  return kIntegers.includes(type.name)
}

/** 8, 16, 32 or 64. */
export function integerBits(type: SqlType): number {
  return 8 << kIntegers.indexOf(type.name)
}

export function isApproximate(type: SqlType): boolean {
  return type.name === 'FLOAT' || type.name === 'DOUBLE'
}

export function isNumeric(type: SqlType): boolean {
  return isInteger(type) || isApproximate(type) || type.name === 'DECIMAL'
}

export function isString(type: SqlType): boolean {
  return type.name === 'CHAR' || type.name === 'VARCHAR'
}

export function isBinary(type: SqlType): boolean {
  return type.name === 'BINARY' || type.name === 'VARBINARY'
}

export function isTimestamp(type: SqlType): boolean {
  return type.name === 'TIMESTAMP' || type.name === 'TIMESTAMP_LTZ'
}

export function isNested(type: SqlType): boolean {
  return type.name === 'ARRAY' || type.name === 'MAP' || type.name === 'ROW'
}

/** As Flink prints it: `DECIMAL(10, 2) NOT NULL`, `` ROW<`a` INT> ``. */
export function typeToString(type: SqlType): string {
  return type.nullable ? bareTypeToString(type) : `${bareTypeToString(type)} NOT NULL`
}

/** The type without its nullability. */
export function bareTypeToString(type: SqlType): string {
  switch (type.name) {
    case 'DECIMAL':
      return `DECIMAL(${type.precision}, ${type.scale})`
    case 'CHAR':
    case 'VARCHAR':
      return type.length === undefined ? 'STRING' : `${type.name}(${type.length})`
    case 'BINARY':
    case 'VARBINARY':
      return type.length === undefined ? 'BYTES' : `${type.name}(${type.length})`
    case 'TIME':
    case 'TIMESTAMP':
    case 'TIMESTAMP_LTZ':
      return `${type.name}(${type.precision})`
    case 'INTERVAL_DAY':
      return 'INTERVAL DAY TO SECOND'
    case 'INTERVAL_YEAR':
      return 'INTERVAL YEAR TO MONTH'
    case 'ARRAY':
      return `ARRAY<${typeToString(type.element)}>`
    case 'MAP':
      return `MAP<${typeToString(type.key)}, ${typeToString(type.value)}>`
    case 'ROW':
      return `ROW<${type.fields.map(f => `\`${f.name.replaceAll('`', '``')}\` ${typeToString(f.type)}`).join(', ')}>`
    default:
      return type.name
  }
}

/** Equal but for the nullability of the type itself. */
export function sameType(a: SqlType, b: SqlType): boolean {
  return bareTypeToString(a) === bareTypeToString(b)
}
