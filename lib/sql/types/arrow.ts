// SQL types as fields of Arrow's integration JSON, and back (for schemas that JavaScript brings).

import type { PlanField, PlanType } from '../plan/plan.js'
import { BOOLEAN, BYTES, DATE, decimal, STRING, type SqlType, withNullable } from './sql-type.js'

export function toPlanType(type: SqlType): { type: PlanType; children: PlanField[] } {
  const leaf = (planType: PlanType): { type: PlanType; children: PlanField[] } => ({ type: planType, children: [] })
  switch (type.name) {
    case 'BOOLEAN':
      return leaf({ name: 'bool' })
    case 'TINYINT':
      return leaf({ name: 'int', bitWidth: 8, isSigned: true })
    case 'SMALLINT':
      return leaf({ name: 'int', bitWidth: 16, isSigned: true })
    case 'INT':
      return leaf({ name: 'int', bitWidth: 32, isSigned: true })
    case 'BIGINT':
      return leaf({ name: 'int', bitWidth: 64, isSigned: true })
    case 'FLOAT':
      return leaf({ name: 'floatingpoint', precision: 'SINGLE' })
    case 'DOUBLE':
      return leaf({ name: 'floatingpoint', precision: 'DOUBLE' })
    case 'DECIMAL':
      return leaf({ name: 'decimal', precision: type.precision, scale: type.scale, bitWidth: 128 })
    case 'CHAR':
    case 'VARCHAR':
    case 'NULL':
      return leaf({ name: 'utf8' })
    case 'BINARY':
    case 'VARBINARY':
      return leaf({ name: 'binary' })
    case 'DATE':
      return leaf({ name: 'date', unit: 'DAY' })
    case 'TIME':
      return leaf({ name: 'time', unit: 'MILLISECOND', bitWidth: 32 })
    case 'TIMESTAMP':
      return leaf({ name: 'timestamp', unit: timestampUnit(type.precision) })
    case 'TIMESTAMP_LTZ':
      return leaf({ name: 'timestamp', unit: timestampUnit(type.precision), timezone: 'UTC' })
    case 'INTERVAL_DAY':
      return leaf({ name: 'duration', unit: 'MILLISECOND' })
    case 'INTERVAL_YEAR':
      return leaf({ name: 'interval', unit: 'YEAR_MONTH' })
    case 'ARRAY':
      return { type: { name: 'list' }, children: [toPlanField('item', type.element)] }
    case 'MAP': {
      const children = [toPlanField('key', withNullable(type.key, false)), toPlanField('value', type.value)]
      return {
        type: { name: 'map', keysSorted: false },
        children: [{ name: 'entries', type: { name: 'struct' }, nullable: false, children }],
      }
    }
    case 'ROW':
      return { type: { name: 'struct' }, children: type.fields.map(f => toPlanField(f.name, f.type)) }
  }
}

export function toPlanField(name: string, type: SqlType): PlanField {
  const plan = toPlanType(type)
  return { name, type: plan.type, nullable: type.nullable, children: plan.children }
}

export function timestampUnit(precision: number): 'MILLISECOND' | 'MICROSECOND' | 'NANOSECOND' {
  return precision <= 3 ? 'MILLISECOND' : precision <= 6 ? 'MICROSECOND' : 'NANOSECOND'
}

/** True when both are the same Arrow type: then no cast is needed between them. */
export function samePlanType(a: SqlType, b: SqlType): boolean {
  return JSON.stringify(toPlanType(a)) === JSON.stringify(toPlanType(b))
}

/** The SQL type of a field, or undefined when SQL has none for it (unsigned integers, dictionaries, unions …). */
export function fromPlanField(field: PlanField): SqlType | undefined {
  const { type, nullable } = field
  const children = field.children ?? []
  switch (type.name) {
    case 'bool':
      return withNullable(BOOLEAN, nullable)
    case 'int': {
      if (type.isSigned === false) return undefined
      const name = ({ 8: 'TINYINT', 16: 'SMALLINT', 32: 'INT', 64: 'BIGINT' } as const)[
        type.bitWidth as 8 | 16 | 32 | 64
      ]
      return name === undefined ? undefined : { name, nullable }
    }
    case 'floatingpoint':
      if (type.precision === 'HALF') return undefined
      return { name: type.precision === 'SINGLE' ? 'FLOAT' : 'DOUBLE', nullable }
    case 'decimal':
      return decimal(Number(type.precision), Number(type.scale), nullable)
    case 'utf8':
      return withNullable(STRING, nullable)
    case 'binary':
      return withNullable(BYTES, nullable)
    case 'date':
      return type.unit === 'DAY' ? withNullable(DATE, nullable) : undefined
    case 'time':
      return type.unit === 'MILLISECOND' ? { name: 'TIME', precision: 3, nullable } : undefined
    case 'timestamp': {
      const precision = { MILLISECOND: 3, MICROSECOND: 6, NANOSECOND: 9 }[String(type.unit)]
      if (precision === undefined) return undefined
      return { name: type.timezone ? 'TIMESTAMP_LTZ' : 'TIMESTAMP', precision, nullable }
    }
    case 'list': {
      const element = children[0] === undefined ? undefined : fromPlanField(children[0])
      return element === undefined ? undefined : { name: 'ARRAY', element, nullable }
    }
    case 'map': {
      const [key, value] = (children[0]?.children ?? []).map(fromPlanField)
      return key === undefined || value === undefined ? undefined : { name: 'MAP', key, value, nullable }
    }
    case 'struct': {
      const fields = children.map(c => ({ name: c.name, type: fromPlanField(c) }))
      if (fields.some(f => f.type === undefined)) return undefined
      return { name: 'ROW', fields: fields.map(f => ({ name: f.name, type: f.type! })), nullable }
    }
    default:
      return undefined
  }
}
