// The columns that a name can mean at one place of a query.

import type { Identifier } from '../ast/expressions.js'
import type { SourceText } from '../text/source-text.js'
import { cover } from '../text/span.js'
import { didYouMeanOrList } from '../text/suggest.js'
import type { SqlType } from '../types/sql-type.js'

/** What a column is to time: the event time (it has a watermark), processing time, or a bound of a window. */
export type ColumnRole = 'rowtime' | 'proctime' | 'windowStart' | 'windowEnd' | 'windowTime'

export interface Column {
  readonly name: string
  readonly type: SqlType
  readonly role?: ColumnRole | undefined
}

export class Scope {
  readonly columns: readonly Column[]
  /** The table's alias or name. */
  readonly qualifier: string | undefined

  constructor(columns: readonly Column[], qualifier: string | undefined) {
    this.columns = columns
    this.qualifier = qualifier
  }

  /** The index of the column that the name means; throw when it means none, or several. */
  resolve(parts: readonly Identifier[], source: SourceText): number {
    const [first, second] = parts
    const name = first!
    const whole = cover(name.span, parts.at(-1)!.span)
    if (parts.length === 1) return this.#find(name, source, name.name)
    if (name.name === this.qualifier) {
      const index = this.#find(second!, source, `${name.name}.${second!.name}`)
      if (parts.length > 2) throw this.#fieldAccess(source, whole, `${name.name}.${second!.name}`)
      return index
    }
    if (this.columns.some(c => c.name === name.name)) throw this.#fieldAccess(source, whole, name.name)
    const known = this.qualifier === undefined ? [] : [this.qualifier]
    throw source.error(name.span, `unknown table or alias ${name.name}`, didYouMeanOrList(name.name, known, 'in scope'))
  }

  #find(name: Identifier, source: SourceText, shown: string): number {
    const matches = this.columns.flatMap((c, i) => (c.name === name.name ? [i] : []))
    if (matches.length === 1) return matches[0]!
    if (matches.length > 1) {
      throw source.error(
        name.span,
        `the column ${shown} is ambiguous: ${matches.length} columns have this name`,
        'give them different aliases',
      )
    }
    throw source.error(
      name.span,
      `unknown column ${shown}`,
      didYouMeanOrList(name.name, new Set(this.columns.map(c => c.name)), 'columns'),
    )
  }

  #fieldAccess(source: SourceText, span: { start: number; end: number }, column: string): Error {
    return source.notSupported(span, `access to a field of the column ${column}`)
  }
}
