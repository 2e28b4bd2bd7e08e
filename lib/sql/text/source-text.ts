// A SQL text as it is read: `${NAME}` variables are replaced before the lexer sees it, and every offset of the replaced text can
// be mapped back, so that errors show the line and column of what the user wrote.
//
// Variables are replaced everywhere but in comments. Inside '…' and `…` the quote is doubled in the value, so that a value
// can never end the literal that holds it.

import { SqlError } from '../sql-error.js'
import type { Span } from './span.js'
import { didYouMeanOrList } from './suggest.js'

interface Piece {
  /** Offset in the replaced text. */
  readonly at: number
  /** Offset in the original text. */
  readonly original: number
  /** A replaced variable maps to the place of its `$` as a whole. */
  readonly replaced: boolean
}

const kMaxExcerpt = 100

export class SourceText {
  readonly original: string
  readonly text: string
  readonly #pieces: Piece[]
  /** Set for the text of a view: errors say where they come from. */
  readonly #context: string | undefined

  private constructor(original: string, text: string, pieces: Piece[], context: string | undefined) {
    this.original = original
    this.text = text
    this.#pieces = pieces
    this.#context = context
  }

  /** Throw SqlError for a variable that `vars` does not hold. */
  static of(original: string, vars: Readonly<Record<string, string>> = {}, context?: string): SourceText {
    const identity = [{ at: 0, original: 0, replaced: false }]
    if (!original.includes('${')) return new SourceText(original, original, identity, context)
    const pieces: Piece[] = identity
    let text = ''
    let copied = 0
    let quote = ''
    let i = 0
    while (i < original.length) {
      const c = original[i]!
      if (quote === '' && c === '-' && original[i + 1] === '-') {
        const end = original.indexOf('\n', i)
        i = end < 0 ? original.length : end
      } else if (quote === '' && c === '/' && original[i + 1] === '*') {
        const end = original.indexOf('*/', i + 2)
        i = end < 0 ? original.length : end + 2
      } else if (c === '$' && original[i + 1] === '{') {
        const name = /^[A-Za-z_][\w.-]*(?=\})/.exec(original.slice(i + 2, i + 130))?.[0]
        if (name === undefined) {
          i += 2
          continue
        }
        if (!Object.hasOwn(vars, name)) {
          const plain = new SourceText(original, original, identity, context)
          throw plain.error(
            { start: i, end: i + name.length + 3 },
            `unknown variable \${${name}}`,
            didYouMeanOrList(name, Object.keys(vars), 'variables'),
          )
        }
        text += original.slice(copied, i)
        pieces.push({ at: text.length, original: i, replaced: true })
        const value = vars[name]!
        text += quote === '' ? value : value.replaceAll(quote, quote + quote)
        i += name.length + 3
        copied = i
        pieces.push({ at: text.length, original: i, replaced: false })
      } else {
        if (c === "'" || c === '`') quote = quote === '' ? c : quote === c ? '' : quote
        i++
      }
    }
    text += original.slice(copied)
    return new SourceText(original, text, pieces, context)
  }

  /** The offset in the original text of an offset in `text`. */
  toOriginal(offset: number): number {
    let low = 0
    let high = this.#pieces.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#pieces[middle]!.at <= offset) low = middle
      else high = middle - 1
    }
    const piece = this.#pieces[low]!
    return piece.replaced ? piece.original : piece.original + (offset - piece.at)
  }

  slice(span: Span): string {
    return this.text.slice(span.start, span.end)
  }

  /** Line and column, from 1, of an offset in `text`; a column is a character (code point). */
  place(offset: number): { line: number; column: number } {
    const at = Math.min(this.toOriginal(offset), this.original.length)
    const lineStart = this.original.lastIndexOf('\n', at - 1) + 1
    let line = 1
    for (let i = this.original.indexOf('\n'); i >= 0 && i < at; i = this.original.indexOf('\n', i + 1)) line++
    return { line, column: [...this.original.slice(lineStart, at)].length + 1 }
  }

  error(span: Span, reason: string, hint?: string): SqlError {
    const { line, column } = this.place(span.start)
    const message = this.#context === undefined ? reason : `${this.#context}: ${reason}`
    return new SqlError(message, { line, column, excerpt: this.#excerpt(span.start), hint })
  }

  notSupported(span: Span, what: string, hint?: string): SqlError {
    return this.error(span, `not supported: ${what}`, hint)
  }

  #excerpt(offset: number): string {
    const at = Math.min(this.toOriginal(offset), this.original.length)
    const lineStart = this.original.lastIndexOf('\n', at - 1) + 1
    const newline = this.original.indexOf('\n', at)
    let before = [...this.original.slice(lineStart, at)]
    let after = [...this.original.slice(at, newline < 0 ? undefined : newline).replace(/\r$/, '')]
    if (before.length > kMaxExcerpt - 30) before = ['…', ...before.slice(before.length - (kMaxExcerpt - 31))]
    if (before.length + after.length > kMaxExcerpt) after = [...after.slice(0, kMaxExcerpt - before.length - 1), '…']
    const pad = before.map(c => (c === '\t' ? '\t' : ' ')).join('')
    return `  ${before.join('')}${after.join('')}\n  ${pad}^`
  }
}
