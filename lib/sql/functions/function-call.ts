// What a function's binder is given: the bound arguments and their places, and the usual complaints.

import { type BoundExpression, literal } from '../logical/expressions.js'
import type { SqlError } from '../sql-error.js'
import type { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { CastError, castTo, commonType } from '../types/coercion.js'
import {
  bareTypeToString,
  isNumeric,
  isString,
  isTimestamp,
  type SqlType,
  STRING,
  typeToString,
  withNullable,
} from '../types/sql-type.js'

export class FunctionCallContext {
  readonly name: string
  readonly args: readonly BoundExpression[]
  readonly argSpans: readonly Span[]
  readonly span: Span
  readonly source: SourceText

  constructor(
    source: SourceText,
    name: string,
    args: readonly BoundExpression[],
    argSpans: readonly Span[],
    span: Span,
  ) {
    this.source = source
    this.name = name
    this.args = args
    this.argSpans = argSpans
    this.span = span
  }

  error(i: number, reason: string, hint?: string): SqlError {
    return this.source.error(this.argSpans[i] ?? this.span, reason, hint)
  }

  /** Argument i as a value of `type`. */
  cast(i: number, type: SqlType): BoundExpression {
    return castAt(this.source, this.argSpans[i] ?? this.span, this.args[i]!, type)
  }

  string(i: number): BoundExpression {
    const arg = this.args[i]!
    if (arg.type.name === 'NULL' || isString(arg.type)) return this.cast(i, STRING)
    throw this.#wrong(i, 'a string', 'CAST(… AS STRING)')
  }

  numeric(i: number): BoundExpression {
    const arg = this.args[i]!
    if (isNumeric(arg.type)) return arg
    if (arg.type.name === 'NULL') return this.cast(i, { name: 'INT', nullable: true })
    throw this.#wrong(i, 'a number', isString(arg.type) ? 'CAST(… AS INT) or CAST(… AS DOUBLE)' : undefined)
  }

  int(i: number): BoundExpression {
    const arg = this.numeric(i)
    if (!['TINYINT', 'SMALLINT', 'INT'].includes(arg.type.name)) throw this.#wrong(i, 'an INT', 'CAST(… AS INT)')
    return this.cast(i, { name: 'INT', nullable: true })
  }

  boolean(i: number): BoundExpression {
    const arg = this.args[i]!
    if (arg.type.name === 'BOOLEAN') return arg
    if (arg.type.name === 'NULL') return this.cast(i, { name: 'BOOLEAN', nullable: true })
    throw this.#wrong(i, 'a condition (BOOLEAN)')
  }

  /** TIMESTAMP or TIMESTAMP_LTZ; a DATE becomes its midnight. */
  timestamp(i: number): BoundExpression {
    const arg = this.args[i]!
    if (isTimestamp(arg.type)) return arg
    if (arg.type.name === 'DATE' || arg.type.name === 'NULL')
      return this.cast(i, { name: 'TIMESTAMP', precision: 3, nullable: true })
    throw this.#wrong(i, 'a TIMESTAMP', isString(arg.type) ? "TO_TIMESTAMP(text, 'yyyy-MM-dd HH:mm:ss')" : undefined)
  }

  /** A string that is known while planning. */
  constantString(i: number, what: string): BoundExpression & { kind: 'literal' } {
    const arg = this.string(i)
    if (arg.kind === 'literal' && arg.value !== null) return { ...arg, type: withNullable(STRING, false) }
    throw this.error(i, `not supported: ${what} of ${this.name} that is not a constant`, 'write it as a string literal')
  }

  /** All given arguments as values of one type. */
  unify(indices: readonly number[]): { args: BoundExpression[]; type: SqlType } {
    let type = this.args[indices[0]!]!.type
    for (const i of indices.slice(1)) {
      const next = this.args[i]!.type
      const common = commonType(type, next)
      if (common === undefined)
        throw this.error(
          i,
          `${this.name}: ${typeToString(next)} does not go together with ${typeToString(type)}`,
          'CAST one of them',
        )
      type = common
    }
    return { args: indices.map(i => this.cast(i, type)), type }
  }

  #wrong(i: number, what: string, cast?: string): SqlError {
    const found = bareTypeToString(this.args[i]!.type)
    return this.error(
      i,
      `${this.name} needs ${what} here, found ${found}`,
      cast === undefined ? undefined : `write ${cast}`,
    )
  }
}

export function castAt(
  source: SourceText,
  span: Span,
  e: BoundExpression,
  type: SqlType,
  options?: { try?: boolean; explicit?: boolean },
): BoundExpression {
  try {
    return castTo(e, type, options)
  } catch (error) {
    if (error instanceof CastError) throw source.error(span, error.message)
    throw error
  }
}

export function stringLiteral(value: string): BoundExpression {
  return literal(value, withNullable(STRING, false))
}
