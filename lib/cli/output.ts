// Rows of a SELECT onto a stream, as table, json, csv or arrow.
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import * as arrow from 'apache-arrow'
import { type JsonField, schemaToJson } from '../arrow/json-schema.js'
import { readRows } from '../arrow/row-reader.js'
import type { Scan } from '../table/scan.js'
import { jsonValue, textValue } from './values.js'

export type Format = 'table' | 'json' | 'csv' | 'arrow'
export const formats: readonly Format[] = ['table', 'json', 'csv', 'arrow']

/** Everything but rows. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** An error for people: its code once, also where the message begins with it (ENOENT: no such file). */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = (error as { code?: string }).code ?? error.name
  return error.message.startsWith(`${code}: `) ? error.message : `${code}: ${error.message}`
}

async function write(out: Writable, text: string | Uint8Array): Promise<void> {
  if (text.length === 0) return
  if (out.errored) throw out.errored
  if (!out.write(text)) await once(out, 'drain')
}

const csvCell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** Write all rows; returns how many. */
export async function writeRows(scan: Scan, format: Format, out: Writable): Promise<number> {
  const { fields } = schemaToJson(scan.schema)
  let rows = 0
  if (format === 'arrow') {
    const writer = new arrow.RecordBatchStreamWriter()
    const written = (async () => {
      for await (const bytes of writer) await write(out, bytes as Uint8Array)
    })()
    // Awaited below; until then a failure is nobody's.
    written.catch(() => {})
    for await (const batch of scan) {
      rows += batch.numRows
      writer.write(batch as arrow.RecordBatch)
    }
    if (rows === 0) writer.write(new arrow.RecordBatch(scan.schema))
    writer.finish()
    await written
    return rows
  }
  if (format === 'csv') await write(out, `${fields.map(field => csvCell(field.name)).join(',')}\n`)
  const cells: string[][] = []
  for await (const batch of scan) {
    let text = ''
    for (const row of readRows({ fields }, batch)) {
      rows++
      if (format === 'json')
        text += `${JSON.stringify(Object.fromEntries(fields.map(field => [field.name, jsonValue(field, row[field.name])])))}\n`
      else if (format === 'csv')
        text += `${fields.map(field => csvCell(textValue(field, row[field.name], ''))).join(',')}\n`
      else cells.push(fields.map(field => textValue(field, row[field.name], 'NULL')))
    }
    batch.release()
    await write(out, text)
  }
  if (format === 'table') await write(out, drawTable(fields, cells))
  return rows
}

const isNumber = ({ type }: JsonField): boolean => ['int', 'floatingpoint', 'decimal'].includes(type.name)

function drawTable(fields: readonly JsonField[], cells: readonly string[][]): string {
  const widths = fields.map((field, i) =>
    cells.reduce((width, row) => Math.max(width, row[i]!.length), field.name.length),
  )
  const line = (row: readonly string[]): string =>
    row
      .map((text, i) => (isNumber(fields[i]!) ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))
      .join(' | ')
      .trimEnd()
  const rule = widths.map(width => '-'.repeat(width)).join('-+-')
  return `${line(fields.map(field => field.name))}\n${rule}\n${cells.map(row => `${line(row)}\n`).join('')}(${cells.length} ${cells.length === 1 ? 'row' : 'rows'})\n`
}
