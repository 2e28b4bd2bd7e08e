// Definitions as plain JSON and as rows: for the kept catalog, DESCRIBE and SHOW CREATE.

import { bareTypeToString, typeToString } from '../types/sql-type.js'
import type { CatalogObject } from './table.js'

export function describeTable(object: CatalogObject): Record<string, unknown> {
  if (object.kind === 'view')
    return { columns: object.columns.map(c => ({ name: c.name, type: typeToString(c.type) })) }
  return {
    columns: object.columns.map(c => ({
      name: c.name,
      kind: c.kind,
      type: typeToString(c.type),
      ...(c.kind === 'metadata' ? { key: c.key } : {}),
      ...(c.kind === 'computed' ? { expression: c.text } : {}),
    })),
    ...(object.watermark === undefined
      ? {}
      : { watermark: { column: object.columns[object.watermark.column]!.name, expression: object.watermark.text } }),
    primaryKey: object.primaryKey,
    connector: object.config.connector,
    ...(object.options === undefined ? {} : { options: object.options }),
  }
}

export interface DescribedColumn {
  readonly name: string
  readonly type: string
  readonly null: boolean
  readonly key: string | null
  readonly extras: string | null
  readonly watermark: string | null
}

/** One row per column, as Flink's DESCRIBE has them. */
export function describeColumns(object: CatalogObject): DescribedColumn[] {
  const key = object.kind === 'table' && object.primaryKey.length > 0 ? `PRI(${object.primaryKey.join(', ')})` : null
  return object.columns.map((c, i) => {
    const table = object.kind === 'table' ? object : undefined
    const t = table?.columns[i]
    const extras =
      t?.kind === 'computed'
        ? `AS ${t.text}`
        : t?.kind === 'metadata'
          ? `METADATA FROM '${t.key}'${t.virtual ? ' VIRTUAL' : ''}`
          : null
    return {
      name: c.name,
      type: `${bareTypeToString(c.type)}${table?.watermark?.column === i ? ' *ROWTIME*' : ''}`,
      null: c.type.nullable,
      key: table?.primaryKey.includes(c.name) === true ? key : null,
      extras,
      watermark: table?.watermark?.column === i ? table.watermark.text : null,
    }
  })
}
