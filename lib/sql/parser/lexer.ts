// Text to tokens. `>` is always a token of its own (`ROW<a ARRAY<INT>>`), `>=` is one token. Strings are 'it''s', names `a``b`,
// comments `--` and `/* */`. The last token is `eof`.

import type { SourceText } from '../text/source-text.js'
import type { Token, TokenKind } from './token.js'

const kWord = /[\p{L}_$][\p{L}\p{N}_$]*/uy
const kNumber = /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y
const kSymbols = [
  '<>',
  '<=',
  '>=',
  '!=',
  '||',
  '=>',
  '(',
  ')',
  ',',
  ';',
  '.',
  '+',
  '-',
  '*',
  '/',
  '%',
  '=',
  '<',
  '>',
  '[',
  ']',
  '{',
  '}',
  ':',
  '?',
]

export function tokenize(source: SourceText): Token[] {
  const text = source.text
  const tokens: Token[] = []
  let i = 0

  const push = (kind: TokenKind, end: number, value?: string): void => {
    const raw = text.slice(i, end)
    tokens.push({ kind, start: i, end, text: raw, value: value ?? raw })
    i = end
  }
  const match = (pattern: RegExp, at: number): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(text)?.[0]
  }
  const quoted = (kind: TokenKind, open: number, what: string): void => {
    const quote = text[open]!
    let end = open + 1
    for (;;) {
      end = text.indexOf(quote, end)
      if (end < 0)
        throw source.error(
          { start: i, end: text.length },
          `unterminated ${what}`,
          `it starts here and has no closing ${quote}`,
        )
      if (text[end + 1] !== quote) break
      end += 2
    }
    push(kind, end + 1, text.slice(open + 1, end).replaceAll(quote + quote, quote))
  }

  while (i < text.length) {
    const c = text[i]!
    if (/\s/.test(c) || c === '\uFEFF') {
      i++
    } else if (c === '-' && text[i + 1] === '-') {
      const end = text.indexOf('\n', i)
      i = end < 0 ? text.length : end
    } else if (c === '/' && text[i + 1] === '*') {
      const end = text.indexOf('*/', i + 2)
      if (end < 0)
        throw source.error(
          { start: i, end: text.length },
          'unterminated comment',
          'it starts here and has no closing */',
        )
      i = end + 2
    } else if (c === "'") {
      quoted('string', i, 'string')
    } else if (c === '`') {
      quoted('quoted', i, 'name')
      if (tokens.at(-1)!.value === '') throw source.error(tokens.at(-1)!, 'a name cannot be empty')
    } else if ((c === 'x' || c === 'X') && text[i + 1] === "'") {
      const start = i
      quoted('binary', i + 1, 'binary string')
      const token = tokens.at(-1)!
      if (!/^(?:[0-9a-fA-F]{2})*$/.test(token.value)) {
        throw source.error({ start, end: i }, "a binary string needs pairs of hexadecimal digits, such as X'0aff'")
      }
    } else if (c === '"') {
      throw source.error({ start: i, end: i + 1 }, 'unexpected "', "write strings as '…' and names as `…`")
    } else {
      const number = match(kNumber, i)
      if (number !== undefined) {
        push('number', i + number.length)
        const tail = match(kWord, i)
        if (tail !== undefined)
          throw source.error({ start: i, end: i + tail.length }, `unexpected '${tail}' after a number`)
        continue
      }
      const word = match(kWord, i)
      if (word !== undefined) {
        push('word', i + word.length, word.toUpperCase())
        continue
      }
      if (c === ':') {
        const name = match(kWord, i + 1)
        if (name !== undefined) {
          push('parameter', i + 1 + name.length, name)
          continue
        }
      }
      const symbol = kSymbols.find(s => text.startsWith(s, i))
      if (symbol === undefined) {
        const bad = String.fromCodePoint(text.codePointAt(i)!)
        const hint = /[‘’“”]/.test(bad) ? "these are typographic quotes: write strings as '…'" : undefined
        throw source.error({ start: i, end: i + bad.length }, `unexpected character '${bad}'`, hint)
      }
      push(
        symbol === '?' ? 'parameter' : 'symbol',
        i + symbol.length,
        symbol === '!=' ? '<>' : symbol === '?' ? '' : symbol,
      )
    }
  }
  tokens.push({ kind: 'eof', start: text.length, end: text.length, text: '', value: '' })
  return tokens
}
