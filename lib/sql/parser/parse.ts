// The parser's door: a text to statements, or to one expression.

import type { Expression } from '../ast/expressions.js'
import type { Statement } from '../ast/statements.js'
import { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { tokenize } from './lexer.js'
import { StatementParser } from './statement-parser.js'
import type { Token } from './token.js'
import { TokenStream } from './token-stream.js'

/** A `?` or `:name`. */
export interface ParameterMarker {
  readonly name: string | undefined
  /** Of a `?`: its number, from 0, through the whole text; else -1. */
  readonly index: number
  readonly span: Span
}

export interface ParsedStatement {
  readonly statement: Statement
  /** The statement's text, variables replaced, without its `;`. */
  readonly text: string
  /** Where it stands in the text that was given. */
  readonly span: Span
  /** What the spans of the AST refer to. */
  readonly source: SourceText
  /** The parameters that it holds. */
  readonly parameters: readonly ParameterMarker[]
}

export interface ParseOptions {
  /** Values of `${NAME}`. */
  vars?: Readonly<Record<string, string>> | undefined
  /** Said before every message: "in view v". */
  context?: string | undefined
}

/** Read all statements of a text. Throw SqlError at the first that cannot be read. */
export function parseStatements(text: string, options: ParseOptions = {}): ParsedStatement[] {
  const source = SourceText.of(text, options.vars, options.context)
  const tokens = tokenize(source)
  const stream = new TokenStream(source, tokens)
  const parser = new StatementParser(stream)
  const statements: ParsedStatement[] = []
  const markers = tokens.filter(t => t.kind === 'parameter')
  let positional = 0
  while (!stream.atEnd) {
    if (stream.acceptSymbol(';')) continue
    const start = stream.current.start
    const statement = parser.parse()
    if (!stream.isSymbol(';') && !stream.atEnd) stream.fail(["';'", 'the end of the statement'])
    const span = { start, end: stream.previous.end }
    const parameters = toMarkers(
      markers.filter(t => t.start >= span.start && t.end <= span.end),
      positional,
    )
    positional += parameters.filter(p => p.name === undefined).length
    statements.push({
      statement,
      text: source.slice(span),
      span: { start: source.toOriginal(span.start), end: source.toOriginal(span.end) },
      source,
      parameters,
    })
  }
  return statements
}

/** Read one expression, such as the `where` of a scan. */
export function parseExpression(
  text: string,
  options: ParseOptions = {},
): { expression: Expression; source: SourceText; parameters: readonly ParameterMarker[] } {
  const source = SourceText.of(text, options.vars, options.context)
  const tokens = tokenize(source)
  const stream = new TokenStream(source, tokens)
  const expression = new StatementParser(stream).expressions.parse()
  if (!stream.atEnd) stream.fail(['the end of the expression'])
  return {
    expression,
    source,
    parameters: toMarkers(
      tokens.filter(t => t.kind === 'parameter'),
      0,
    ),
  }
}

/** `first`: the number of the first `?` among them. */
function toMarkers(tokens: readonly Token[], first: number): ParameterMarker[] {
  let positional = first
  return tokens.map(t => ({
    name: t.value === '' ? undefined : t.value,
    index: t.value === '' ? positional++ : -1,
    span: { start: t.start, end: t.end },
  }))
}
