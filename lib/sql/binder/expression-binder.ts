// Expressions to typed expressions over the columns of a scope.

import type { Expression, FunctionCall } from '../ast/expressions.js'
import { kAggregateFunctions } from '../functions/aggregate-functions.js'
import { castAt, FunctionCallContext } from '../functions/function-call.js'
import { bindBinary, compare, type Operand, unifyForComparison } from '../functions/operators.js'
import { kNotYet, kScalarFunctions } from '../functions/scalar-functions.js'
import { bindExtract, bindRoundTo } from '../functions/time-functions.js'
import { type BoundExpression, call, column, literal } from '../logical/expressions.js'
import type { SourceText } from '../text/source-text.js'
import { didYouMean } from '../text/suggest.js'
import { commonType, isExplicitlyCastable } from '../types/coercion.js'
import {
  BOOLEAN,
  BYTES,
  DOUBLE,
  decimal,
  NULL_TYPE,
  type SqlType,
  STRING,
  typeToString,
  withNullable,
} from '../types/sql-type.js'
import { parseDate, parseDecimal, parseTime, parseTimestamp, nanosToUnit } from '../types/values.js'
import { bindInterval } from './interval.js'
import { bindParameter, integerLiteral, type Parameters } from './parameters.js'
import type { Scope } from './scope.js'

export class ExpressionBinder {
  protected readonly source: SourceText
  protected readonly scope: Scope
  protected readonly params: Parameters | undefined
  /** Where an aggregate would not be allowed: "WHERE", "a computed column". */
  readonly #place: string

  constructor(source: SourceText, scope: Scope, params: Parameters | undefined, place: string) {
    this.source = source
    this.scope = scope
    this.params = params
    this.#place = place
  }

  /** A hook for subclasses: an expression that has a meaning of its own (an aggregate, a grouping key). */
  protected intercept(_e: Expression): BoundExpression | undefined {
    return undefined
  }

  protected bindColumn(e: Expression & { kind: 'columnRef' }): BoundExpression {
    const index = this.scope.resolve(e.parts, this.source)
    return column(index, this.scope.columns[index]!.type)
  }

  bindCondition(e: Expression): BoundExpression {
    const bound = this.bind(e)
    return new FunctionCallContext(this.source, this.#place, [bound], [e.span], e.span).boolean(0)
  }

  bind(e: Expression): BoundExpression {
    const own = this.intercept(e)
    if (own !== undefined) return own
    switch (e.kind) {
      case 'columnRef':
        return this.bindColumn(e)
      case 'number':
        return this.#number(e.text, e)
      case 'string':
        return literal(e.value, withNullable(STRING, false))
      case 'binaryString':
        return literal(new Uint8Array(Buffer.from(e.hex, 'hex')), withNullable(BYTES, false))
      case 'boolean':
        return literal(e.value, withNullable(BOOLEAN, false))
      case 'null':
        return literal(null, NULL_TYPE)
      case 'temporal':
        return this.#temporal(e)
      case 'interval':
        return bindInterval(this.source, e)
      case 'parameter':
        return bindParameter(this.source, e.span, e, this.params)
      case 'unary':
        return this.#unary(e)
      case 'binary':
        return bindBinary(this.source, e.operator, this.#operand(e.left), this.#operand(e.right), e.span)
      case 'between':
        return this.#between(e)
      case 'in':
        return this.#in(e)
      case 'like':
        return this.#like(e)
      case 'is':
        return this.#is(e)
      case 'distinctFrom':
        return this.#distinctFrom(e)
      case 'case':
        return this.#case(e)
      case 'cast':
        return this.#cast(e)
      case 'extract':
        return bindExtract(this.#context('EXTRACT', [e.operand], e), e.unit, e.unitSpan)
      case 'roundTo':
        return bindRoundTo(this.#context(e.direction, [e.operand], e), e.direction, e.unit, e.unitSpan)
      case 'function':
        return this.#function(e)
      case 'star':
        throw this.source.error(e.span, '* can only stand alone in a SELECT list or in COUNT(*)')
      case 'subquery':
        throw this.source.notSupported(e.span, e.exists ? 'EXISTS (subquery)' : 'a subquery in an expression')
      case 'unsupported':
        throw this.source.notSupported(e.span, e.what)
    }
  }

  #operand(e: Expression): Operand {
    return { e: this.bind(e), span: e.span }
  }

  #context(name: string, args: readonly Expression[], e: Expression): FunctionCallContext {
    return new FunctionCallContext(
      this.source,
      name,
      args.map(a => this.bind(a)),
      args.map(a => a.span),
      e.span,
    )
  }

  #number(text: string, e: Expression): BoundExpression {
    if (/^\d+$/.test(text)) {
      if (text.replace(/^0+/, '').length > 38) throw this.source.error(e.span, 'this number has more than 38 digits')
      return integerLiteral(BigInt(text))
    }
    if (/[eE]/.test(text)) return literal(Number(text), withNullable(DOUBLE, false))
    const parsed = parseDecimal(text)!
    if (parsed.precision > 38) throw this.source.error(e.span, 'this number has more than 38 digits')
    return literal(parsed.unscaled, decimal(parsed.precision, parsed.scale, false))
  }

  #temporal(e: Expression & { kind: 'temporal' }): BoundExpression {
    const invalid = (format: string): Error =>
      this.source.error(e.span, `'${e.value}' is not a valid ${e.type}`, `the format is ${format}`)
    if (e.type === 'DATE') {
      const days = parseDate(e.value)
      if (days === undefined) throw invalid("DATE '2001-02-07'")
      return literal(days, { name: 'DATE', nullable: false })
    }
    if (e.type === 'TIME') {
      const time = parseTime(e.value)
      if (time === undefined) throw invalid("TIME '10:30:00'")
      return literal(nanosToUnit(time.nanos, Math.min(time.digits, 3)), {
        name: 'TIME',
        precision: Math.min(time.digits, 3),
        nullable: false,
      })
    }
    const time = parseTimestamp(e.value)
    if (time === undefined) throw invalid("TIMESTAMP '2001-02-07 10:30:00.000'")
    return literal(nanosToUnit(time.nanos, time.digits), { name: 'TIMESTAMP', precision: time.digits, nullable: false })
  }

  #unary(e: Expression & { kind: 'unary' }): BoundExpression {
    const c = this.#context(e.operator, [e.operand], e)
    if (e.operator === 'NOT') return call('not', [c.boolean(0)], BOOLEAN)
    const arg = c.args[0]!
    if (arg.kind === 'literal' && arg.value !== null && arg.type.name.startsWith('INTERVAL')) {
      return e.operator === '-' ? { ...arg, value: -(arg.value as bigint) } : arg
    }
    const number = c.numeric(0)
    if (e.operator === '+') return number
    if (number.kind === 'literal' && typeof number.value === 'number') return { ...number, value: -number.value }
    if (number.kind === 'literal' && typeof number.value === 'bigint') {
      return number.type.name === 'DECIMAL' && number.type.scale > 0
        ? { ...number, value: -number.value }
        : integerLiteral(-number.value)
    }
    return call('negate', [number], number.type)
  }

  #between(e: Expression & { kind: 'between' }): BoundExpression {
    const [operand, low, high] = [this.#operand(e.operand), this.#operand(e.low), this.#operand(e.high)]
    const within = (a: Operand, b: Operand): BoundExpression =>
      call(
        'and',
        [
          compare(this.source, 'greaterThanOrEqual', 'BETWEEN', operand, a, a.span),
          compare(this.source, 'lessThanOrEqual', 'BETWEEN', operand, b, b.span),
        ],
        BOOLEAN,
      )
    const inside = e.symmetric ? call('or', [within(low, high), within(high, low)], BOOLEAN) : within(low, high)
    return e.negated ? call('not', [inside], BOOLEAN) : inside
  }

  /** Literals of the operand's type make one `in`; anything else is a chain of comparisons. */
  #in(e: Expression & { kind: 'in' }): BoundExpression {
    if (e.query !== undefined) throw this.source.notSupported(e.span, 'IN (subquery)')
    const operand = this.#operand(e.operand)
    const items = e.list.map(item => this.#operand(item))
    const pairs = items.map(item => unifyForComparison(this.source, 'IN', operand, item, item.span))
    const simple = pairs.every(
      ([left, right]) => right.kind === 'literal' && right.value !== null && left === operand.e,
    )
    const result = simple
      ? call('in', [operand.e, ...pairs.map(p => p[1])], BOOLEAN, operand.e.type.nullable)
      : anyOf(pairs.map(([a, b]) => call('equals', [a, b], BOOLEAN)))
    return e.negated ? call('not', [result], BOOLEAN) : result
  }

  #like(e: Expression & { kind: 'like' }): BoundExpression {
    const c = this.#context(
      'LIKE',
      e.escape === undefined ? [e.operand, e.pattern] : [e.operand, e.pattern, e.escape],
      e,
    )
    const args: BoundExpression[] = [c.string(0), c.constantString(1, 'a pattern')]
    if (e.escape !== undefined) {
      const character = c.constantString(2, 'an escape character')
      if ([...String(character.value)].length !== 1) throw c.error(2, 'the escape of LIKE is one character')
      args.push(character)
    }
    const result = call('like', args, BOOLEAN)
    return e.negated ? call('not', [result], BOOLEAN) : result
  }

  #is(e: Expression & { kind: 'is' }): BoundExpression {
    const c = this.#context(`IS ${e.test}`, [e.operand], e)
    if (e.test === 'NULL')
      return call(e.negated ? 'isNotNull' : 'isNull', [untypedAsString(c.args[0]!)], BOOLEAN, false)
    const arg = c.boolean(0)
    if (e.test === 'UNKNOWN') return call(e.negated ? 'isNotNull' : 'isNull', [arg], BOOLEAN, false)
    const name = e.test === 'TRUE' ? (e.negated ? 'isNotTrue' : 'isTrue') : e.negated ? 'isNotFalse' : 'isFalse'
    return call(name, [arg], BOOLEAN, false)
  }

  /** a IS NOT DISTINCT FROM b: equal, or both NULL. */
  #distinctFrom(e: Expression & { kind: 'distinctFrom' }): BoundExpression {
    const [left, right] = [this.#operand(e.left), this.#operand(e.right)]
    const [a, b] = unifyForComparison(this.source, 'IS DISTINCT FROM', left, right, e.span)
    const bothNull = call('and', [call('isNull', [a], BOOLEAN, false), call('isNull', [b], BOOLEAN, false)], BOOLEAN)
    const same = call('or', [bothNull, call('isTrue', [call('equals', [a, b], BOOLEAN)], BOOLEAN, false)], BOOLEAN)
    return e.negated ? same : call('not', [same], BOOLEAN)
  }

  #case(e: Expression & { kind: 'case' }): BoundExpression {
    const operand = e.operand === undefined ? undefined : this.#operand(e.operand)
    const conditions = e.branches.map(b => {
      if (operand === undefined)
        return new FunctionCallContext(this.source, 'WHEN', [this.bind(b.when)], [b.when.span], b.when.span).boolean(0)
      return compare(this.source, 'equals', 'CASE', operand, this.#operand(b.when), b.when.span)
    })
    const values = e.branches.map(b => this.#operand(b.result))
    values.push(e.otherwise === undefined ? { e: literal(null, NULL_TYPE), span: e.span } : this.#operand(e.otherwise))
    let type: SqlType = NULL_TYPE
    for (const value of values) {
      const common = commonType(type, value.e.type)
      if (common === undefined) {
        throw this.source.error(
          value.span,
          `CASE: ${typeToString(value.e.type)} does not go together with ${typeToString(type)}`,
          'CAST one of the values',
        )
      }
      type = type.name === 'NULL' ? value.e.type : common
    }
    const results = values.map(v => castAt(this.source, v.span, v.e, type))
    const args = conditions.flatMap((c, i) => [c, results[i]!])
    return call(
      'case',
      [...args, results.at(-1)!],
      type,
      results.some(r => r.type.nullable),
    )
  }

  #cast(e: Expression & { kind: 'cast' }): BoundExpression {
    const arg = this.bind(e.operand)
    const to = e.to.type
    if (!isExplicitlyCastable(arg.type, to)) {
      const numeric =
        ['TIMESTAMP', 'TIMESTAMP_LTZ', 'DATE'].includes(to.name) ||
        ['TIMESTAMP', 'TIMESTAMP_LTZ', 'DATE'].includes(arg.type.name)
      throw this.source.error(
        e.span,
        `cannot cast ${typeToString(arg.type)} to ${typeToString(to)}`,
        numeric ? 'numbers and times have no cast between them' : undefined,
      )
    }
    return castAt(this.source, e.span, arg, to, { try: e.try, explicit: true })
  }

  #function(e: FunctionCall): BoundExpression {
    const name = e.name.name.toUpperCase()
    if (e.over !== undefined) throw this.source.notSupported(e.over, 'OVER windows')
    if (Object.hasOwn(kAggregateFunctions, name)) {
      throw this.source.error(
        e.span,
        `${name} is an aggregate and not allowed in ${this.#place}`,
        this.#place === 'WHERE' ? 'use HAVING, or filter in an outer query' : undefined,
      )
    }
    const named = e.argNames.find(n => n !== undefined)
    if (named !== undefined) throw this.source.notSupported(named.span, 'named arguments here')
    const scalar = Object.hasOwn(kScalarFunctions, name) ? kScalarFunctions[name] : undefined
    if (scalar === undefined) {
      if (Object.hasOwn(kNotYet, name))
        throw this.source.notSupported(e.name.span, `the function ${name}`, kNotYet[name])
      const all = [...Object.keys(kScalarFunctions), ...Object.keys(kAggregateFunctions), 'CAST', 'TRY_CAST', 'EXTRACT']
      throw this.source.error(e.name.span, `unknown function ${e.name.name}`, didYouMean(name, all))
    }
    if (e.distinct || e.star)
      throw this.source.error(e.span, `${name} takes neither DISTINCT nor *`, `usage: ${scalar.usage}`)
    if (e.filter !== undefined)
      throw this.source.error(e.filter.span, `FILTER belongs to aggregates, and ${name} is none`)
    if (e.args.length < scalar.minArgs || e.args.length > scalar.maxArgs) {
      const wanted = scalar.minArgs === scalar.maxArgs ? `${scalar.minArgs}` : `${scalar.minArgs} to ${scalar.maxArgs}`
      throw this.source.error(
        e.span,
        `${name} takes ${wanted} argument${wanted === '1' ? '' : 's'}, found ${e.args.length}`,
        `usage: ${scalar.usage}`,
      )
    }
    return scalar.bind(this.#context(name, e.args, e))
  }
}

function untypedAsString(e: BoundExpression): BoundExpression {
  return e.type.name === 'NULL' ? literal(null, STRING) : e
}

/** A OR B OR …, as a tree whose depth is the logarithm of their number: long lists must not nest deeply. */
function anyOf(conditions: readonly BoundExpression[]): BoundExpression {
  if (conditions.length === 1) return conditions[0]!
  const middle = (conditions.length + 1) >> 1
  return call('or', [anyOf(conditions.slice(0, middle)), anyOf(conditions.slice(middle))], BOOLEAN)
}
