// Types: `ROW<a INT, b ARRAY<STRING NOT NULL>> NOT NULL`, `TIMESTAMP(3) WITH LOCAL TIME ZONE`, `DECIMAL(10, 2)`.

import type { TypeNode } from '../ast/expressions.js'
import type { Span } from '../text/span.js'
import { didYouMean } from '../text/suggest.js'
import { type RowField, type SqlType, STRING, BYTES, withNullable } from '../types/sql-type.js'
import type { TokenStream } from './token-stream.js'

const kTypeWords = [
  ...[
    'BOOLEAN',
    'TINYINT',
    'SMALLINT',
    'INT',
    'INTEGER',
    'BIGINT',
    'FLOAT',
    'REAL',
    'DOUBLE',
    'DECIMAL',
    'NUMERIC',
    'DEC',
    'CHAR',
    'CHARACTER',
  ],
  ...[
    'VARCHAR',
    'STRING',
    'BINARY',
    'VARBINARY',
    'BYTES',
    'DATE',
    'TIME',
    'TIMESTAMP',
    'TIMESTAMP_LTZ',
    'ARRAY',
    'MAP',
    'ROW',
  ],
]

const kForeignTypes: Readonly<Record<string, string>> = {
  TEXT: 'STRING',
  LONG: 'BIGINT',
  BOOL: 'BOOLEAN',
  DATETIME: 'TIMESTAMP(3)',
  TIMESTAMPTZ: 'TIMESTAMP_LTZ(3)',
  BLOB: 'BYTES',
  STRUCT: 'ROW',
  INT64: 'BIGINT',
  INT32: 'INT',
  FLOAT64: 'DOUBLE',
}

export class TypeParser {
  readonly #stream: TokenStream

  constructor(stream: TokenStream) {
    this.#stream = stream
  }

  parse(): TypeNode {
    const start = this.#stream.current
    const type = this.#stream.nested(() => this.#nullability(this.#suffixes(this.#base())))
    return { type, span: this.#stream.spanFrom(start) }
  }

  #nullability(type: SqlType): SqlType {
    if (this.#stream.acceptWords('NOT', 'NULL')) return withNullable(type, false)
    this.#stream.acceptWords('NULL')
    return type
  }

  /** `INT ARRAY` is ARRAY<INT>. */
  #suffixes(type: SqlType): SqlType {
    let result = type
    while (this.#stream.acceptWords('ARRAY')) result = { name: 'ARRAY', element: result, nullable: true }
    return result
  }

  #base(): SqlType {
    const s = this.#stream
    const token = s.current
    if (token.kind !== 'word') s.fail(['a type'])
    const nullable = true
    switch (token.value) {
      case 'BOOLEAN':
      case 'TINYINT':
      case 'SMALLINT':
      case 'BIGINT':
      case 'FLOAT':
      case 'DATE':
        s.next()
        return { name: token.value, nullable }
      case 'INT':
      case 'INTEGER':
        s.next()
        return { name: 'INT', nullable }
      case 'REAL':
        s.next()
        return { name: 'FLOAT', nullable }
      case 'DOUBLE':
        s.next()
        s.acceptWords('PRECISION')
        return { name: 'DOUBLE', nullable }
      case 'DECIMAL':
      case 'NUMERIC':
      case 'DEC':
        s.next()
        return this.#decimal(token)
      case 'STRING':
        s.next()
        return STRING
      case 'BYTES':
        s.next()
        return BYTES
      case 'CHAR':
      case 'CHARACTER':
        s.next()
        if (s.acceptWords('VARYING')) return { name: 'VARCHAR', length: this.#length(), nullable }
        return { name: 'CHAR', length: this.#length() ?? 1, nullable }
      case 'VARCHAR':
        s.next()
        return { name: 'VARCHAR', length: this.#length(), nullable }
      case 'BINARY':
        s.next()
        return { name: 'BINARY', length: this.#length() ?? 1, nullable }
      case 'VARBINARY':
        s.next()
        return { name: 'VARBINARY', length: this.#length(), nullable }
      case 'TIME':
        s.next()
        return this.#time(token)
      case 'TIMESTAMP':
        s.next()
        return this.#timestamp()
      case 'TIMESTAMP_LTZ':
        s.next()
        return { name: 'TIMESTAMP_LTZ', precision: this.#precision(6), nullable }
      case 'ARRAY': {
        s.next()
        this.#open('<')
        const element = this.parse().type
        this.#close('<')
        return { name: 'ARRAY', element, nullable }
      }
      case 'MAP': {
        s.next()
        this.#open('<')
        const key = this.parse().type
        s.expectSymbol(',')
        const value = this.parse().type
        this.#close('<')
        return { name: 'MAP', key, value, nullable }
      }
      case 'ROW':
        s.next()
        return this.#row(token)
      case 'MULTISET':
      case 'RAW':
      case 'VARIANT':
        throw s.source.notSupported(token, `the type ${token.value}`)
      case 'INTERVAL':
        throw s.source.notSupported(token, 'a column or a cast of an interval type')
      default: {
        const equivalent = kForeignTypes[token.value]
        const hint = equivalent === undefined ? didYouMean(token.text, kTypeWords) : `Flink calls it ${equivalent}`
        throw s.source.error(token, `expected a type, found '${token.text}'`, hint)
      }
    }
  }

  #decimal(start: Span): SqlType {
    const s = this.#stream
    let precision = 10
    let scale = 0
    if (s.acceptSymbol('(')) {
      precision = this.#integer('a precision')
      if (s.acceptSymbol(',')) scale = this.#integer('a scale')
      s.expectSymbol(')')
    }
    const span = s.spanFrom(start)
    if (precision < 1 || precision > 38)
      throw s.source.error(span, `the precision of DECIMAL lies between 1 and 38, not ${precision}`)
    if (scale > precision)
      throw s.source.error(span, `the scale of DECIMAL (${scale}) cannot exceed its precision (${precision})`)
    return { name: 'DECIMAL', precision, scale, nullable: true }
  }

  #time(start: Span): SqlType {
    const precision = this.#precision(0)
    this.#stream.acceptWords('WITHOUT', 'TIME', 'ZONE')
    if (precision > 3) {
      throw this.#stream.source.notSupported(
        this.#stream.spanFrom(start),
        `TIME(${precision})`,
        'TIME keeps milliseconds: use TIME(3) or less',
      )
    }
    return { name: 'TIME', precision, nullable: true }
  }

  #timestamp(): SqlType {
    const s = this.#stream
    const precision = this.#precision(6)
    if (s.acceptWords('WITH', 'LOCAL', 'TIME', 'ZONE')) return { name: 'TIMESTAMP_LTZ', precision, nullable: true }
    if (s.areWords('WITH', 'TIME', 'ZONE')) {
      throw s.source.notSupported(s.current, 'TIMESTAMP WITH TIME ZONE', 'use TIMESTAMP_LTZ, a point in time')
    }
    s.acceptWords('WITHOUT', 'TIME', 'ZONE')
    return { name: 'TIMESTAMP', precision, nullable: true }
  }

  /** ROW<name type ['comment'], …>, also with parentheses. */
  #row(start: Span): SqlType {
    const s = this.#stream
    const bracket = s.isSymbol('(') ? '(' : '<'
    this.#open(bracket)
    const fields: RowField[] = []
    if (!s.isSymbol(bracket === '<' ? '>' : ')')) {
      s.commaSeparated(() => {
        const name = s.expectNameAfterDot('a field name')
        if (fields.some(f => f.name === name.name))
          throw s.source.error(name.span, `the field ${name.name} appears twice in this ROW`)
        const type = this.parse().type
        if (s.current.kind === 'string') s.next()
        fields.push({ name: name.name, type })
      })
    }
    this.#close(bracket)
    if (fields.length === 0) throw s.source.error(s.spanFrom(start), 'a ROW needs at least one field')
    return { name: 'ROW', fields, nullable: true }
  }

  #open(bracket: '<' | '('): void {
    this.#stream.expectSymbol(bracket)
  }

  #close(bracket: '<' | '('): void {
    this.#stream.expectSymbol(bracket === '<' ? '>' : ')')
  }

  #precision(absent: number): number {
    const s = this.#stream
    if (!s.acceptSymbol('(')) return absent
    const at = s.current
    const precision = this.#integer('a precision')
    s.expectSymbol(')')
    if (precision > 9) throw s.source.error(at, `the precision of a time lies between 0 and 9, not ${precision}`)
    return precision
  }

  #length(): number | undefined {
    const s = this.#stream
    if (!s.acceptSymbol('(')) return undefined
    const at = s.current
    const length = this.#integer('a length')
    s.expectSymbol(')')
    if (length < 1) throw s.source.error(at, 'a length must be at least 1')
    return length === 2147483647 ? undefined : length
  }

  #integer(what: string): number {
    const s = this.#stream
    if (s.current.kind !== 'number' || !/^\d{1,10}$/.test(s.current.text)) s.fail([what])
    return Number(s.next().text)
  }
}
