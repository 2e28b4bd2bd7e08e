// Constant rows of a plan (INSERT … VALUES, SELECT without FROM) as rows of objects. A plan's literals are strings for 64-bit
// integers, decimals and times (counts in the type's unit), base64 for binary.
import type { JsonField } from '../arrow/json-schema.js'
import type { ConstantRows } from '../sql/index.js'

type Literal = ConstantRows['rows'][number][number]

export function constantRows({ fields, rows }: ConstantRows): Record<string, unknown>[] {
  const columns = fields as unknown as readonly JsonField[]
  return rows.map(row =>
    Object.fromEntries(columns.map((field, i) => [field.name, literalValue(field, row[i] ?? null)])),
  )
}

function literalValue({ type }: JsonField, value: Literal): unknown {
  if (value === null) return null
  switch (type.name) {
    case 'int':
      return type.bitWidth === 64 ? BigInt(value as string) : Number(value)
    case 'timestamp': {
      const count = BigInt(value as string)
      return type.unit === 'SECOND' ? count * 1000n : count
    }
    case 'date':
      return type.unit === 'DAY' ? BigInt(value as string) * 86_400_000n : BigInt(value as string)
    case 'time':
      return type.bitWidth === 32 ? Number(value) : BigInt(value as string)
    case 'duration':
      return BigInt(value as string)
    case 'binary':
    case 'largebinary':
    case 'fixedsizebinary':
      return Buffer.from(value as string, 'base64')
    default:
      return value
  }
}
