// The cursor over a statement's tokens, and what every part of the parser needs: expectations with their message, and the limit
// on nesting that keeps a hostile text from exhausting the stack.

import type { Identifier } from '../ast/expressions.js'
import type { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { nearest } from '../text/suggest.js'
import { kClauseWords, kReserved } from './keywords.js'
import type { Token } from './token.js'

const kMaxNesting = 200

export class TokenStream {
  readonly source: SourceText
  readonly #tokens: readonly Token[]
  #at = 0
  #nesting = 0
  /** Index of the last word that was taken as an alias without AS. */
  #bareAlias = -1
  /** Number of `?` seen so far; they are numbered through the whole text. */
  parameters = 0

  constructor(source: SourceText, tokens: readonly Token[]) {
    this.source = source
    this.#tokens = tokens
  }

  get current(): Token {
    return this.#tokens[this.#at]!
  }

  get atEnd(): boolean {
    return this.current.kind === 'eof'
  }

  get previous(): Token {
    return this.#tokens[Math.max(0, this.#at - 1)]!
  }

  peek(ahead = 1): Token {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)]!
  }

  next(): Token {
    const token = this.current
    if (token.kind !== 'eof') this.#at++
    return token
  }

  spanFrom(start: Span): Span {
    return { start: start.start, end: Math.max(start.end, this.previous.end) }
  }

  isWord(...words: string[]): boolean {
    return this.current.kind === 'word' && words.includes(this.current.value)
  }

  /** The next tokens are these words, in this order. */
  areWords(...words: string[]): boolean {
    return words.every((word, i) => this.peek(i).kind === 'word' && this.peek(i).value === word)
  }

  acceptWords(...words: string[]): boolean {
    if (!this.areWords(...words)) return false
    this.#at += words.length
    return true
  }

  expectWord(...words: string[]): Token {
    if (!this.isWord(...words)) this.fail(words)
    return this.next()
  }

  isSymbol(...symbols: string[]): boolean {
    return this.current.kind === 'symbol' && symbols.includes(this.current.value)
  }

  acceptSymbol(symbol: string): boolean {
    if (!this.isSymbol(symbol)) return false
    this.#at++
    return true
  }

  expectSymbol(symbol: string, ...alternatives: string[]): Token {
    if (!this.isSymbol(symbol)) this.fail([`'${symbol}'`, ...alternatives])
    return this.next()
  }

  /** A word that is not reserved, or a back-quoted name. */
  isName(): boolean {
    return this.current.kind === 'quoted' || (this.current.kind === 'word' && !kReserved.has(this.current.value))
  }

  expectName(what: string): Identifier {
    if (!this.isName()) this.fail([what])
    return this.#identifier()
  }

  /** After a dot any word is a name. */
  expectNameAfterDot(what: string): Identifier {
    if (this.current.kind !== 'quoted' && this.current.kind !== 'word') this.fail([what])
    return this.#identifier()
  }

  /** An alias without AS; remembered, for it may be a misspelt keyword. */
  takeBareAlias(): Identifier {
    if (this.current.kind === 'word') this.#bareAlias = this.#at
    return this.#identifier()
  }

  expectString(what: string): { value: string; span: Span } {
    if (this.current.kind !== 'string') this.fail([what])
    const first = this.next()
    let value = first.value
    while (this.current.kind === 'string') value += this.next().value
    return { value, span: this.spanFrom(first) }
  }

  commaSeparated<T>(parse: () => T): T[] {
    const items = [parse()]
    while (this.acceptSymbol(',')) items.push(parse())
    return items
  }

  /** Run `parse` one level deeper. */
  nested<T>(parse: () => T): T {
    if (++this.#nesting > kMaxNesting)
      throw this.source.error(this.current, `nested more than ${kMaxNesting} levels deep`)
    try {
      return parse()
    } finally {
      this.#nesting--
    }
  }

  /** Skip a balanced (…), the current token being the opening parenthesis. */
  skipParentheses(): Span {
    const open = this.expectSymbol('(')
    let depth = 1
    while (depth > 0) {
      if (this.current.kind === 'eof') this.fail(["')'"])
      if (this.isSymbol('(')) depth++
      else if (this.isSymbol(')')) depth--
      this.next()
    }
    return this.spanFrom(open)
  }

  /** Throw what was expected here and what was found. */
  fail(expected: readonly string[]): never {
    this.#blameAlias()
    const token = this.current
    const found =
      token.kind === 'eof'
        ? 'the end of the text'
        : token.kind === 'string'
          ? `the string ${shorten(token.text)}`
          : `'${shorten(token.text)}'`
    const keywords = expected.filter(e => /^[A-Z_]+$/.test(e))
    const meant = token.kind === 'word' ? nearest(token.text, keywords) : undefined
    let hint = meant === undefined ? undefined : `did you mean ${meant}?`
    if (
      hint === undefined &&
      token.kind === 'word' &&
      kReserved.has(token.value) &&
      expected.some(e => /name|column|alias|expression/.test(e))
    ) {
      hint = `${token.value} is a reserved word: as a name it needs back-quotes, \`${token.text}\``
    }
    const list = expected.length <= 1 ? expected.join('') : `${expected.slice(0, -1).join(', ')} or ${expected.at(-1)}`
    throw this.source.error(token, `expected ${list}, found ${found}`, hint)
  }

  /** `SELECT a FORM t`: FORM was read as an alias; the mistake is there, not at t. */
  #blameAlias(): void {
    if (this.#bareAlias < 0 || this.#bareAlias !== this.#at - 1) return
    const alias = this.#tokens[this.#bareAlias]!
    const meant = nearest(alias.text, kClauseWords)
    if (meant === undefined) return
    throw this.source.error(alias, `expected ${meant}, found '${alias.text}'`, `did you mean ${meant}?`)
  }

  #identifier(): Identifier {
    const token = this.next()
    return {
      name: token.kind === 'quoted' ? token.value : token.text,
      quoted: token.kind === 'quoted',
      span: { start: token.start, end: token.end },
    }
  }
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 39)}…` : text
}
