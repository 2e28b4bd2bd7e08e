// The one error that reading, binding and planning SQL can end in. It names the place (line and column, both from 1), shows the
// line with a caret under the offending text and, where there is one, says what to do instead.

import { MarbleError } from '../errors.js'

export interface SqlErrorPlace {
  line: number
  column: number
  /** The line of the text, shortened when long, and the caret line below it. */
  excerpt?: string
  hint?: string
}

export class SqlError extends MarbleError {
  override readonly code = 'MARBLE_SQL'
  readonly line: number
  readonly column: number
  readonly hint: string | undefined
  /** The message alone, without place, excerpt and hint. */
  readonly reason: string

  constructor(reason: string, place: SqlErrorPlace) {
    const excerpt = place.excerpt === undefined ? '' : `\n${place.excerpt}`
    const hint = place.hint === undefined ? '' : `\n  hint: ${place.hint}`
    super('MARBLE_SQL', `line ${place.line}, column ${place.column}: ${reason}${excerpt}${hint}`)
    this.reason = reason
    this.line = place.line
    this.column = place.column
    this.hint = place.hint
  }
}
