// Queries: SELECT with its clauses, WITH, VALUES, set operations, FROM items. What cannot be planned yet is read where that is
// feasible, so that the binder can name it and its place.

import type { Expression, Identifier } from '../ast/expressions.js'
import type {
  Alias,
  Cte,
  FromItem,
  Query,
  QueryBody,
  Select,
  SelectItem,
  SetOperation,
  Values,
  WindowArgument,
} from '../ast/queries.js'
import { cover, type Span } from '../text/span.js'
import type { ExpressionParser } from './expression-parser.js'
import type { TokenStream } from './token-stream.js'

export class QueryParser {
  readonly #stream: TokenStream
  #expressions: ExpressionParser

  constructor(stream: TokenStream, expressions: (query: () => Query) => ExpressionParser) {
    this.#stream = stream
    this.#expressions = expressions(() => this.parse())
  }

  get expressions(): ExpressionParser {
    return this.#expressions
  }

  parse(): Query {
    return this.#stream.nested(() => this.#query())
  }

  #query(): Query {
    const s = this.#stream
    const start = s.current
    const ctes = s.acceptWords('WITH') ? s.commaSeparated(() => this.#cte()) : []
    const body = this.#body()
    let orderBy: Span | undefined
    let limit: Span | undefined
    if (s.isWord('ORDER')) {
      const order = s.next()
      s.expectWord('BY')
      s.commaSeparated(() => {
        this.#expressions.parse()
        if (!s.acceptWords('ASC')) s.acceptWords('DESC')
        if (s.acceptWords('NULLS')) s.expectWord('FIRST', 'LAST')
      })
      orderBy = s.spanFrom(order)
    }
    while (s.isWord('LIMIT', 'OFFSET', 'FETCH')) {
      const word = s.next()
      if (word.value === 'FETCH') {
        s.expectWord('FIRST', 'NEXT')
        if (!s.isWord('ROW', 'ROWS')) this.#expressions.parse()
        s.expectWord('ROW', 'ROWS')
        s.expectWord('ONLY')
      } else {
        if (!s.acceptWords('ALL')) this.#expressions.parse()
        if (word.value === 'OFFSET' && !s.acceptWords('ROWS')) s.acceptWords('ROW')
      }
      limit ??= s.spanFrom(word)
    }
    return { kind: 'query', ctes, body, orderBy, limit, span: s.spanFrom(start) }
  }

  #cte(): Cte {
    const s = this.#stream
    const name = s.expectName('a name for the common table expression')
    const columns = s.isSymbol('(') ? this.#columnList() : []
    s.expectWord('AS')
    s.expectSymbol('(')
    const query = this.parse()
    s.expectSymbol(')')
    return { name, columns, query }
  }

  #columnList(): Identifier[] {
    const s = this.#stream
    s.expectSymbol('(')
    const columns = s.commaSeparated(() => s.expectName('a column name'))
    s.expectSymbol(')', "','")
    return columns
  }

  #body(): QueryBody {
    const s = this.#stream
    let left = this.#bodyOperand()
    for (let n = 0; s.isWord('UNION', 'INTERSECT', 'EXCEPT', 'MINUS'); n++) {
      if (n > 500) throw s.source.error(s.current, 'more than 500 set operations in a row')
      const token = s.next()
      const all = s.acceptWords('ALL')
      if (!all) s.acceptWords('DISTINCT')
      const right = this.#bodyOperand()
      const operator = (token.value === 'MINUS' ? 'EXCEPT' : token.value) as SetOperation['operator']
      left = {
        kind: 'setOperation',
        operator,
        all,
        left,
        right,
        operatorSpan: token,
        span: cover(left.span, right.span),
      }
    }
    return left
  }

  #bodyOperand(): QueryBody {
    const s = this.#stream
    if (s.isWord('SELECT')) return this.#select()
    if (s.isWord('VALUES')) return this.#values()
    if (s.acceptSymbol('(')) {
      const query = this.parse()
      s.expectSymbol(')')
      return query
    }
    return s.fail(['SELECT', 'VALUES', 'WITH'])
  }

  #values(): Values {
    const s = this.#stream
    const start = s.expectWord('VALUES')
    const rows = s.commaSeparated(() => {
      const open = s.current
      if (s.isWord('ROW')) s.next()
      if (!s.isSymbol('(')) {
        const value = this.#expressions.parse()
        return { values: [value], span: value.span }
      }
      s.expectSymbol('(')
      const values = s.commaSeparated(() => this.#expressions.parse())
      s.expectSymbol(')', "','")
      return { values, span: s.spanFrom(open) }
    })
    return { kind: 'values', rows, span: s.spanFrom(start) }
  }

  #select(): Select {
    const s = this.#stream
    const selectSpan = s.expectWord('SELECT')
    const distinct = s.acceptWords('DISTINCT')
    if (!distinct) s.acceptWords('ALL')
    if (s.isWord('FROM')) s.fail(['a select item'])
    const items = s.commaSeparated(() => this.#item())
    const from = s.acceptWords('FROM') ? this.#from() : undefined
    const where = s.acceptWords('WHERE') ? this.#expressions.parse() : undefined
    let groupBy: Expression[] | undefined
    let groupingSets: Span | undefined
    let groupBySpan: Span | undefined
    if (s.isWord('GROUP')) {
      const group = s.next()
      s.expectWord('BY')
      if (s.isWord('ROLLUP', 'CUBE', 'GROUPING')) {
        const word = s.next()
        s.acceptWords('SETS')
        groupingSets = cover(word, s.skipParentheses())
      } else {
        groupBy = s.commaSeparated(() => this.#expressions.parse())
      }
      groupBySpan = s.spanFrom(group)
    }
    const having = s.acceptWords('HAVING') ? this.#expressions.parse() : undefined
    let windowClause: Span | undefined
    if (s.isWord('WINDOW', 'QUALIFY')) {
      const start = s.next()
      while (s.current.kind !== 'eof' && !s.isSymbol(';', ')')) {
        if (s.isSymbol('(')) s.skipParentheses()
        else s.next()
      }
      windowClause = s.spanFrom(start)
    }
    return {
      kind: 'select',
      distinct,
      items,
      from,
      where,
      groupBy,
      groupingSets,
      having,
      windowClause,
      selectSpan,
      groupBySpan,
      span: s.spanFrom(selectSpan),
    }
  }

  #item(): SelectItem {
    const s = this.#stream
    const start = s.current
    if (s.isSymbol('*')) {
      s.next()
      return { expression: { kind: 'star', qualifier: [], span: start }, alias: undefined, span: start }
    }
    const expression = this.#expressions.parse()
    let alias: Identifier | undefined
    if (s.acceptWords('AS')) alias = s.expectName('an alias')
    else if (s.isName()) alias = s.takeBareAlias()
    return { expression, alias, span: s.spanFrom(start) }
  }

  #from(): FromItem {
    const s = this.#stream
    let left = this.#fromItem()
    for (let n = 0; ; n++) {
      if (n > 200) throw s.source.error(s.current, 'more than 200 tables in one FROM')
      const start = s.current
      let what: string
      if (s.acceptSymbol(',')) {
        what = 'a join (more than one table in FROM)'
      } else if (s.isWord('JOIN', 'INNER', 'LEFT', 'RIGHT', 'FULL', 'CROSS', 'NATURAL')) {
        const words: string[] = []
        while (s.isWord('INNER', 'LEFT', 'RIGHT', 'FULL', 'CROSS', 'NATURAL', 'OUTER')) words.push(s.next().value)
        s.expectWord('JOIN')
        what = [...words, 'JOIN'].join(' ')
      } else {
        return left
      }
      const joinSpan = s.spanFrom(start)
      const right = this.#fromItem()
      if (s.acceptWords('ON')) this.#expressions.parse()
      else if (s.acceptWords('USING')) this.#columnList()
      left = { kind: 'join', what, left, right, joinSpan, span: s.spanFrom(left.span) }
    }
  }

  #fromItem(): FromItem {
    return this.#stream.nested(() => this.#fromPrimary())
  }

  #fromPrimary(): FromItem {
    const s = this.#stream
    const start = s.current
    if (s.acceptSymbol('(')) {
      if (s.isWord('SELECT', 'WITH', 'VALUES') || s.isSymbol('(')) {
        const query = this.parse()
        s.expectSymbol(')')
        const alias = this.#alias()
        return { kind: 'derived', query, alias, span: s.spanFrom(start) }
      }
      const inner = this.#from()
      s.expectSymbol(')')
      return inner
    }
    if (s.isWord('LATERAL', 'UNNEST')) {
      const what = s.isWord('LATERAL') ? 'LATERAL' : 'UNNEST'
      s.next()
      s.acceptWords('TABLE')
      if (s.isSymbol('(')) s.skipParentheses()
      this.#alias()
      return { kind: 'unsupportedTable', what, span: s.spanFrom(start) }
    }
    if (s.isWord('TABLE')) {
      s.next()
      if (!s.isSymbol('(')) return this.#tableRef()
      s.expectSymbol('(')
      const call = this.#windowCall()
      s.expectSymbol(')')
      const alias = this.#alias()
      return { ...call, alias, span: s.spanFrom(start) }
    }
    if (s.isName() && s.peek().kind === 'symbol' && s.peek().value === '(') {
      const call = this.#windowCall()
      const alias = this.#alias()
      return { ...call, alias, span: s.spanFrom(start) }
    }
    return this.#tableRef()
  }

  #tableRef(): FromItem {
    const s = this.#stream
    const name = [s.expectName('a table name')]
    while (s.acceptSymbol('.')) name.push(s.expectNameAfterDot('a table name'))
    let systemTime: Span | undefined
    if (s.isWord('FOR')) {
      const start = s.next()
      if (!s.acceptWords('SYSTEM_TIME')) s.fail(['SYSTEM_TIME'])
      s.expectWord('AS')
      s.expectWord('OF')
      this.#expressions.parse()
      systemTime = s.spanFrom(start)
    }
    let options: Span | undefined
    if (s.isWord('TABLESAMPLE', 'MATCH_RECOGNIZE')) {
      const start = s.next()
      if (s.isSymbol('(')) s.skipParentheses()
      options = s.spanFrom(start)
    }
    const alias = this.#alias()
    return { kind: 'table', name, alias, systemTime, options, span: s.spanFrom(name[0]!.span) }
  }

  #alias(): Alias | undefined {
    const s = this.#stream
    let name: Identifier
    if (s.acceptWords('AS')) name = s.expectName('an alias')
    else if (s.isName()) name = s.takeBareAlias()
    else return undefined
    return { name, columns: s.isSymbol('(') ? this.#columnList() : [] }
  }

  /** TUMBLE(TABLE t, DESCRIPTOR(c), …); the alias is read by the caller. */
  #windowCall(): Extract<FromItem, { kind: 'windowTable' }> {
    const s = this.#stream
    const name = s.expectName('a window function such as TUMBLE')
    s.expectSymbol('(')
    const args = s.isSymbol(')') ? [] : s.commaSeparated(() => this.#windowArgument())
    s.expectSymbol(')', "','")
    return { kind: 'windowTable', function: name, args, alias: undefined, span: s.spanFrom(name.span) }
  }

  #windowArgument(): WindowArgument {
    const s = this.#stream
    const start = s.current
    const named = (s.isName() || s.isWord('OFFSET')) && s.peek().kind === 'symbol' && s.peek().value === '=>'
    const name = named ? s.expectNameAfterDot('an argument') : undefined
    if (named) s.next()
    const at = s.current
    if (s.isWord('TABLE') || (s.isSymbol('(') && ['SELECT', 'WITH'].includes(s.peek().value))) {
      const table = this.#fromPrimary()
      return { name, value: { kind: 'tableArgument', table, span: s.spanFrom(at) }, span: s.spanFrom(start) }
    }
    if (s.isWord('DESCRIPTOR')) {
      s.next()
      const columns = this.#columnList()
      return { name, value: { kind: 'descriptor', columns, span: s.spanFrom(at) }, span: s.spanFrom(start) }
    }
    const expression = this.#expressions.parse()
    return { name, value: { kind: 'expression', expression, span: expression.span }, span: s.spanFrom(start) }
  }
}
