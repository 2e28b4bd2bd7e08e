// Expressions, by operator precedence (Pratt). The binding powers are Calcite's, which Flink uses.

import type { BinaryOperator, Expression, FunctionCall, Identifier, TimeUnit } from '../ast/expressions.js'
import type { Query } from '../ast/queries.js'
import { cover, type Span } from '../text/span.js'
import { didYouMean } from '../text/suggest.js'
import type { TokenStream } from './token-stream.js'
import type { TypeParser } from './type-parser.js'

const kPower = { or: 22, and: 24, not: 26, is: 28, comparison: 30, in: 32, sum: 40, product: 60, sign: 80 } as const

const kBinary: Readonly<Record<string, { operator: BinaryOperator; power: number }>> = {
  OR: { operator: 'OR', power: kPower.or },
  AND: { operator: 'AND', power: kPower.and },
  '=': { operator: '=', power: kPower.comparison },
  '<>': { operator: '<>', power: kPower.comparison },
  '<': { operator: '<', power: kPower.comparison },
  '<=': { operator: '<=', power: kPower.comparison },
  '>': { operator: '>', power: kPower.comparison },
  '>=': { operator: '>=', power: kPower.comparison },
  '+': { operator: '+', power: kPower.sum },
  '-': { operator: '-', power: kPower.sum },
  '*': { operator: '*', power: kPower.product },
  '/': { operator: '/', power: kPower.product },
  '%': { operator: '%', power: kPower.product },
  '||': { operator: '||', power: kPower.product },
}

/** A left-deep chain of operators is a deep tree: the limit keeps the walks over it within the stack. */
const kMaxChain = 1000

const kUnits: readonly TimeUnit[] = [
  'YEAR',
  'QUARTER',
  'MONTH',
  'WEEK',
  'DAY',
  'HOUR',
  'MINUTE',
  'SECOND',
  'MILLISECOND',
]

/** Functions that SQL writes without parentheses. */
const kBareFunctions = [
  'CURRENT_TIMESTAMP',
  'CURRENT_DATE',
  'CURRENT_TIME',
  'LOCALTIMESTAMP',
  'LOCALTIME',
  'CURRENT_ROW_TIMESTAMP',
]

export class ExpressionParser {
  readonly #stream: TokenStream
  readonly #types: TypeParser
  readonly #query: () => Query

  /** `query` reads a query at the cursor: subqueries are read here, and refused by the binder. */
  constructor(stream: TokenStream, types: TypeParser, query: () => Query) {
    this.#stream = stream
    this.#types = types
    this.#query = query
  }

  parse(power = 0): Expression {
    return this.#stream.nested(() => this.#chain(power))
  }

  parseUnit(): { unit: TimeUnit; span: Span } {
    const s = this.#stream
    if (s.current.kind !== 'word') s.fail(['a time unit such as DAY or HOUR'])
    const token = s.next()
    const unit = kUnits.find(u => u === token.value || `${u}S` === token.value)
    if (unit === undefined)
      throw s.source.error(
        token,
        `expected a time unit, found '${token.text}'`,
        didYouMean(token.text, kUnits) ?? `units: ${kUnits.join(', ')}`,
      )
    return { unit, span: token }
  }

  #chain(power: number): Expression {
    let left = this.#prefix()
    for (let n = 0; ; n++) {
      if (n > kMaxChain)
        throw this.#stream.source.error(
          this.#stream.current,
          `more than ${kMaxChain} operators in a row`,
          'use IN for a long list of values',
        )
      const extended = this.#infix(left, power)
      if (extended === undefined) return left
      left = extended
    }
  }

  /** `left` extended by the operator at the cursor, or undefined when that binds no tighter than `power`. */
  #infix(left: Expression, power: number): Expression | undefined {
    const s = this.#stream
    const token = s.current
    if (token.kind !== 'word' && token.kind !== 'symbol') return undefined
    const binary = kBinary[token.value]
    if (binary !== undefined && Object.hasOwn(kBinary, token.value)) {
      if (binary.power <= power) return undefined
      s.next()
      const right = this.parse(binary.power)
      return {
        kind: 'binary',
        operator: binary.operator,
        left,
        right,
        operatorSpan: token,
        span: cover(left.span, right.span),
      }
    }
    if (token.kind === 'symbol') {
      if (token.value !== '[') return undefined
      s.next()
      this.parse()
      s.expectSymbol(']')
      return { kind: 'unsupported', what: 'element access with [ ]', span: s.spanFrom(left.span) }
    }
    if (token.value === 'IS' && kPower.is > power) return this.#is(left)
    const negated = token.value === 'NOT' && ['IN', 'BETWEEN', 'LIKE', 'SIMILAR'].includes(s.peek().value)
    const word = negated ? s.peek().value : token.value
    if (kPower.in <= power || !['IN', 'BETWEEN', 'LIKE', 'SIMILAR'].includes(word)) return undefined
    if (negated) s.next()
    s.next()
    if (word === 'IN') return this.#in(left, negated)
    if (word === 'BETWEEN') return this.#between(left, negated)
    if (word === 'SIMILAR') throw s.source.notSupported(token, 'SIMILAR TO', 'use LIKE')
    const pattern = this.parse(kPower.in)
    const escapedBy = s.acceptWords('ESCAPE') ? this.parse(kPower.in) : undefined
    return { kind: 'like', operand: left, pattern, escape: escapedBy, negated, span: s.spanFrom(left.span) }
  }

  #is(left: Expression): Expression {
    const s = this.#stream
    s.next()
    const negated = s.acceptWords('NOT')
    if (s.acceptWords('DISTINCT', 'FROM')) {
      const right = this.parse(kPower.comparison)
      return { kind: 'distinctFrom', left, right, negated, span: cover(left.span, right.span) }
    }
    const word = s.expectWord('NULL', 'TRUE', 'FALSE', 'UNKNOWN').value as 'NULL' | 'TRUE' | 'FALSE' | 'UNKNOWN'
    return { kind: 'is', operand: left, test: word, negated, span: s.spanFrom(left.span) }
  }

  #in(left: Expression, negated: boolean): Expression {
    const s = this.#stream
    s.expectSymbol('(')
    let list: Expression[] = []
    let query: Query | undefined
    if (s.isWord('SELECT', 'WITH', 'VALUES')) query = this.#query()
    else list = s.commaSeparated(() => this.parse())
    s.expectSymbol(')')
    return { kind: 'in', operand: left, list, query, negated, span: s.spanFrom(left.span) }
  }

  #between(left: Expression, negated: boolean): Expression {
    const s = this.#stream
    const symmetric = s.acceptWords('SYMMETRIC')
    if (!symmetric) s.acceptWords('ASYMMETRIC')
    const low = this.parse(kPower.in)
    s.expectWord('AND')
    const high = this.parse(kPower.in)
    return { kind: 'between', operand: left, low, high, negated, symmetric, span: cover(left.span, high.span) }
  }

  #prefix(): Expression {
    const s = this.#stream
    const token = s.current
    if (token.kind === 'symbol') {
      if (token.value === '(') return this.#parenthesised()
      if (token.value === '-' || token.value === '+') {
        s.next()
        const operand = this.parse(kPower.sign)
        return { kind: 'unary', operator: token.value, operand, span: cover(token, operand.span) }
      }
      s.fail(['an expression'])
    }
    switch (token.kind) {
      case 'number':
        s.next()
        return { kind: 'number', text: token.text, span: token }
      case 'string':
        return { kind: 'string', ...s.expectString('a string') }
      case 'binary':
        s.next()
        return { kind: 'binaryString', hex: token.value, span: token }
      case 'parameter':
        s.next()
        return {
          kind: 'parameter',
          name: token.value === '' ? undefined : token.value,
          index: token.value === '' ? s.parameters++ : -1,
          span: token,
        }
      case 'quoted':
        return this.#reference()
      case 'eof':
        return s.fail(['an expression'])
      default:
        return this.#word()
    }
  }

  #parenthesised(): Expression {
    const s = this.#stream
    const open = s.expectSymbol('(')
    if (s.isWord('SELECT', 'WITH', 'VALUES')) {
      const query = this.#query()
      s.expectSymbol(')')
      return { kind: 'subquery', query, exists: false, span: s.spanFrom(open) }
    }
    const inner = this.parse()
    if (s.isSymbol(',')) {
      while (s.acceptSymbol(',')) this.parse()
      s.expectSymbol(')')
      return { kind: 'unsupported', what: 'a row of values as an expression', span: s.spanFrom(open) }
    }
    s.expectSymbol(')')
    return { ...inner, span: s.spanFrom(open) }
  }

  #word(): Expression {
    const s = this.#stream
    const token = s.current
    const follows = s.peek()
    switch (token.value) {
      case 'NULL':
        s.next()
        return { kind: 'null', span: token }
      case 'TRUE':
      case 'FALSE':
        s.next()
        return { kind: 'boolean', value: token.value === 'TRUE', span: token }
      case 'NOT': {
        s.next()
        const operand = this.parse(kPower.not)
        return { kind: 'unary', operator: 'NOT', operand, span: cover(token, operand.span) }
      }
      case 'DATE':
      case 'TIME':
      case 'TIMESTAMP':
        if (follows.kind !== 'string') break
        s.next()
        return { kind: 'temporal', type: token.value, value: s.expectString('a string').value, span: s.spanFrom(token) }
      case 'INTERVAL':
        return this.#interval()
      case 'CASE':
        return this.#case()
      case 'EXISTS': {
        s.next()
        s.expectSymbol('(')
        const query = this.#query()
        s.expectSymbol(')')
        return { kind: 'subquery', query, exists: true, span: s.spanFrom(token) }
      }
      case 'CAST':
      case 'TRY_CAST': {
        s.next()
        s.expectSymbol('(')
        const operand = this.parse()
        s.expectWord('AS')
        const to = this.#types.parse()
        s.expectSymbol(')')
        return { kind: 'cast', operand, to, try: token.value === 'TRY_CAST', span: s.spanFrom(token) }
      }
      case 'ARRAY':
      case 'MAP':
        if (follows.kind !== 'symbol' || follows.value !== '[') break
        s.next()
        s.next()
        if (!s.isSymbol(']')) s.commaSeparated(() => this.parse())
        s.expectSymbol(']')
        return { kind: 'unsupported', what: `the ${token.value}[…] constructor`, span: s.spanFrom(token) }
      case 'ROW':
        if (follows.kind !== 'symbol' || follows.value !== '(') break
        s.next()
        return { kind: 'unsupported', what: 'the ROW(…) constructor', span: cover(token, s.skipParentheses()) }
      default:
    }
    if (
      kBareFunctions.includes(token.value) &&
      !(follows.kind === 'symbol' && (follows.value === '(' || follows.value === '.'))
    ) {
      s.next()
      return this.#call({ name: token.text, quoted: false, span: token }, [])
    }
    if (!s.isName() && !(follows.kind === 'symbol' && follows.value === '(' && ['LEFT', 'RIGHT'].includes(token.value)))
      s.fail(['an expression'])
    return this.#reference()
  }

  /** A column, `t.*`, or a function call. */
  #reference(): Expression {
    const s = this.#stream
    const first = s.isName() ? s.expectName('a column') : s.expectNameAfterDot('a function')
    if (s.isSymbol('(')) return this.#function(first)
    const parts = [first]
    while (s.isSymbol('.')) {
      s.next()
      if (s.isSymbol('*')) {
        s.next()
        return { kind: 'star', qualifier: parts, span: s.spanFrom(first.span) }
      }
      parts.push(s.expectNameAfterDot('a column'))
    }
    return { kind: 'columnRef', parts, span: s.spanFrom(first.span) }
  }

  #function(name: Identifier): Expression {
    const s = this.#stream
    s.expectSymbol('(')
    const special = name.quoted ? undefined : this.#special(name)
    if (special !== undefined) return special
    const distinct = s.acceptWords('DISTINCT')
    if (!distinct) s.acceptWords('ALL')
    let star = false
    let args: Expression[] = []
    const argNames: (Identifier | undefined)[] = []
    if (s.isSymbol('*')) {
      s.next()
      star = true
    } else if (!s.isSymbol(')')) {
      args = s.commaSeparated(() => {
        const named = s.isName() && s.peek().kind === 'symbol' && s.peek().value === '=>'
        argNames.push(named ? s.expectName('an argument') : undefined)
        if (named) s.next()
        return this.parse()
      })
    }
    s.expectSymbol(')', ...(args.length > 0 ? ["','"] : []))
    const call = this.#call(name, args, { argNames, star, distinct })
    return this.#afterCall(call)
  }

  #call(name: Identifier, args: Expression[], more: Partial<FunctionCall> = {}): FunctionCall {
    return {
      ...{
        kind: 'function',
        name,
        args,
        argNames: [],
        star: false,
        distinct: false,
        filter: undefined,
        over: undefined,
      },
      ...more,
      span: this.#stream.spanFrom(name.span),
    }
  }

  /** FILTER (WHERE …) and OVER. */
  #afterCall(call: FunctionCall): FunctionCall {
    const s = this.#stream
    let filter: Expression | undefined
    let over: Span | undefined
    if (s.isWord('WITHIN') && s.peek().value === 'GROUP') throw s.source.notSupported(s.current, 'WITHIN GROUP')
    if (s.isWord('FILTER') && s.peek().kind === 'symbol' && s.peek().value === '(') {
      s.next()
      s.next()
      s.expectWord('WHERE')
      filter = this.parse()
      s.expectSymbol(')')
    }
    if (s.isWord('OVER')) {
      const start = s.next()
      if (s.isSymbol('(')) s.skipParentheses()
      else s.expectName('a window name')
      over = s.spanFrom(start)
    }
    return { ...call, filter, over, span: s.spanFrom(call.span) }
  }

  /** The calls with a syntax of their own; the opening parenthesis has been read. */
  #special(name: Identifier): Expression | undefined {
    const s = this.#stream
    switch (name.name.toUpperCase()) {
      case 'EXTRACT': {
        const { unit, span: unitSpan } = this.parseUnit()
        s.expectWord('FROM')
        const operand = this.parse()
        s.expectSymbol(')')
        return { kind: 'extract', unit, operand, unitSpan, span: s.spanFrom(name.span) }
      }
      case 'FLOOR':
      case 'CEIL':
      case 'CEILING': {
        const operand = this.parse()
        if (!s.acceptWords('TO')) {
          s.expectSymbol(')', 'TO')
          return this.#call(name, [operand], { argNames: [undefined] })
        }
        const { unit, span: unitSpan } = this.parseUnit()
        s.expectSymbol(')')
        const direction = name.name.toUpperCase() === 'FLOOR' ? 'FLOOR' : 'CEIL'
        return { kind: 'roundTo', direction, operand, unit, unitSpan, span: s.spanFrom(name.span) }
      }
      case 'TRIM': {
        const side = s.isWord('BOTH', 'LEADING', 'TRAILING') ? s.next() : undefined
        const first = side !== undefined && s.isWord('FROM') ? undefined : this.parse()
        if (!s.acceptWords('FROM')) {
          if (side !== undefined) s.fail(['FROM'])
          s.expectSymbol(')')
          return this.#call(name, [first!])
        }
        const text = this.parse()
        s.expectSymbol(')')
        const spaces = first === undefined || (first.kind === 'string' && first.value === ' ')
        if (!spaces || (side !== undefined && side.value !== 'BOTH')) {
          throw s.source.notSupported(
            s.spanFrom(name.span),
            'TRIM of one end or of other characters than spaces',
            'use TRIM(text)',
          )
        }
        return this.#call(name, [text])
      }
      case 'SUBSTRING': {
        const args = [this.parse()]
        if (s.acceptWords('FROM')) {
          args.push(this.parse())
          if (s.acceptWords('FOR')) args.push(this.parse())
        } else {
          while (s.acceptSymbol(',')) args.push(this.parse())
        }
        s.expectSymbol(')', "','")
        return this.#call(name, args)
      }
      case 'POSITION':
      case 'OVERLAY':
        throw s.source.notSupported(name.span, `the function ${name.name.toUpperCase()}`)
      default:
        return undefined
    }
  }

  /** INTERVAL ['-'] '10' SECONDS, INTERVAL '1 02:03' DAY TO MINUTE, with precisions that are read and not needed. */
  #interval(): Expression {
    const s = this.#stream
    const start = s.next()
    const negative = s.isSymbol('-')
    if (negative || s.isSymbol('+')) s.next()
    if (s.current.kind === 'number') s.fail([`a string such as INTERVAL '${s.current.text}' DAY`])
    const { value } = s.expectString("a string such as '10'")
    const from = this.#intervalUnit()
    const to = s.acceptWords('TO') ? this.#intervalUnit() : undefined
    return { kind: 'interval', value, negative, from, to, span: s.spanFrom(start) }
  }

  #intervalUnit(): TimeUnit {
    const { unit } = this.parseUnit()
    if (this.#stream.isSymbol('(')) this.#stream.skipParentheses()
    return unit
  }

  #case(): Expression {
    const s = this.#stream
    const start = s.next()
    const operand = s.isWord('WHEN') ? undefined : this.parse()
    const branches: { when: Expression; result: Expression }[] = []
    do {
      s.expectWord('WHEN')
      const when = this.parse()
      s.expectWord('THEN')
      branches.push({ when, result: this.parse() })
    } while (s.isWord('WHEN'))
    const otherwise = s.acceptWords('ELSE') ? this.parse() : undefined
    if (!s.isWord('END')) s.fail(otherwise === undefined ? ['WHEN', 'ELSE', 'END'] : ['END'])
    s.next()
    return { kind: 'case', operand, branches, otherwise, span: s.spanFrom(start) }
  }
}
