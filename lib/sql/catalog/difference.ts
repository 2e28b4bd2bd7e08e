// In what two definitions of one name differ, in words; comments do not count.

import { type BoundExpression, identity, transform } from '../logical/expressions.js'
import { bareTypeToString, typeToString } from '../types/sql-type.js'
import { baseColumns, type CatalogTable, type TableColumn } from './table.js'

/** Differences between the table that exists and the one that is declared; empty when they are the same. */
export function tableDifferences(existing: CatalogTable, declared: CatalogTable): string[] {
  const found: string[] = []
  for (const column of existing.columns) {
    if (!declared.columns.some(c => c.name === column.name)) found.push(`the column ${column.name} is missing`)
  }
  for (const column of declared.columns) {
    const old = existing.columns.find(c => c.name === column.name)
    if (old === undefined) found.push(`the column ${column.name} is new`)
    else found.push(...columnDifferences(existing, old, declared, column))
  }
  const order = (t: CatalogTable): string => t.columns.map(c => c.name).join(', ')
  if (found.length === 0 && order(existing) !== order(declared))
    found.push(`the columns are in another order: (${order(existing)}) before, (${order(declared)}) now`)
  found.push(...watermarkDifferences(existing, declared))
  if (existing.primaryKey.join() !== declared.primaryKey.join()) {
    const key = (t: CatalogTable): string => (t.primaryKey.length === 0 ? 'none' : `(${t.primaryKey.join(', ')})`)
    found.push(`the primary key was ${key(existing)}, is ${key(declared)}`)
  }
  found.push(...optionDifferences(existing.options ?? {}, declared.options ?? {}))
  if (found.length === 0 && existing.config.connector !== declared.config.connector)
    found.push(`the connector was ${existing.config.connector}, is ${declared.config.connector}`)
  return found
}

/** A text of the expression that says columns by name, so that their order does not matter. */
function meaning(e: BoundExpression, columns: readonly { readonly name: string }[]): string {
  const names = transform(e, x => (x.kind === 'column' ? { ...x, index: 0, name: columns[x.index]!.name } : x))
  return identity(names)
}

function columnDifferences(
  existing: CatalogTable,
  old: TableColumn,
  declared: CatalogTable,
  now: TableColumn,
): string[] {
  if (old.kind !== now.kind) return [`the column ${now.name} was ${old.kind}, is ${now.kind}`]
  if (old.kind === 'computed' && now.kind === 'computed') {
    const same = meaning(old.expression, baseColumns(existing)) === meaning(now.expression, baseColumns(declared))
    return same ? [] : [`the column ${now.name} was computed as ${old.text}, is ${now.text}`]
  }
  const found: string[] = []
  if (typeToString(old.type) !== typeToString(now.type)) {
    const show = bareTypeToString(old.type) === bareTypeToString(now.type) ? typeWithNull : typeToString
    found.push(`the column ${now.name} was ${show(old.type)}, is ${show(now.type)}`)
  }
  if (old.kind === 'metadata' && now.kind === 'metadata' && old.key !== now.key)
    found.push(`the column ${now.name} was metadata '${old.key}', is '${now.key}'`)
  return found
}

function typeWithNull(type: Parameters<typeof typeToString>[0]): string {
  return `${bareTypeToString(type)} ${type.nullable ? 'NULL' : 'NOT NULL'}`
}

function watermarkDifferences(existing: CatalogTable, declared: CatalogTable): string[] {
  const [a, b] = [existing.watermark, declared.watermark]
  const show = (t: CatalogTable): string =>
    t.watermark === undefined ? 'none' : `FOR ${t.columns[t.watermark.column]!.name} AS ${t.watermark.text}`
  if (a === undefined && b === undefined) return []
  if (a !== undefined && b !== undefined && existing.columns[a.column]!.name === declared.columns[b.column]!.name) {
    if (meaning(a.expression, existing.columns) === meaning(b.expression, declared.columns)) return []
  }
  return [`the watermark was ${show(existing)}, is ${show(declared)}`]
}

function optionDifferences(old: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  const found: string[] = []
  const shown = (key: string, value: string): string =>
    /password|secret|token|key\.pem/i.test(key) ? '(hidden)' : `'${value}'`
  for (const key of new Set([...Object.keys(old), ...Object.keys(now)])) {
    if (old[key] === now[key]) continue
    if (old[key] === undefined) found.push(`the option '${key}' is new`)
    else if (now[key] === undefined) found.push(`the option '${key}' is missing`)
    else found.push(`the option '${key}' was ${shown(key, old[key])}, is ${shown(key, now[key])}`)
  }
  return found
}
