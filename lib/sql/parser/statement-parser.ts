// Statements. One instance reads one text, statement after statement.

import type { Expression, Identifier } from '../ast/expressions.js'
import type {
  ColumnDefinition,
  CreateTable,
  CreateView,
  Insert,
  OptionNode,
  Statement,
  StatementSet,
  WatermarkDefinition,
} from '../ast/statements.js'
import type { Span } from '../text/span.js'
import { ExpressionParser } from './expression-parser.js'
import { QueryParser } from './query-parser.js'
import type { TokenStream } from './token-stream.js'
import { TypeParser } from './type-parser.js'

const kStatementWords = [
  'CREATE',
  'DROP',
  'INSERT',
  'EXECUTE',
  'SELECT',
  'WITH',
  'VALUES',
  'EXPLAIN',
  'SHOW',
  'DESCRIBE',
  'DESC',
  'SET',
  'RESET',
  'BEGIN',
]
const kUnsupportedStatements = [
  'ALTER',
  'UPDATE',
  'DELETE',
  'TRUNCATE',
  'USE',
  'LOAD',
  'UNLOAD',
  'ANALYZE',
  'CALL',
  'COMPILE',
  'ADD',
  'REMOVE',
  'STOP',
  'MERGE',
  'UPSERT',
  'REPLACE',
]

export class StatementParser {
  readonly #stream: TokenStream
  readonly #types: TypeParser
  readonly #queries: QueryParser

  constructor(stream: TokenStream) {
    this.#stream = stream
    this.#types = new TypeParser(stream)
    this.#queries = new QueryParser(stream, query => new ExpressionParser(stream, this.#types, query))
  }

  get expressions(): ExpressionParser {
    return this.#queries.expressions
  }

  /** Read up to the statement's end; the `;` or the end of the text is next. */
  parse(): Statement {
    const s = this.#stream
    const token = s.current
    if (s.isSymbol('(') || s.isWord('SELECT', 'WITH', 'VALUES')) return this.#select()
    if (token.kind === 'word') {
      switch (token.value) {
        case 'CREATE':
          return this.#create()
        case 'DROP':
          return this.#drop()
        case 'INSERT':
          return this.#insert()
        case 'EXECUTE':
        case 'BEGIN':
          return this.#statementSet()
        case 'EXPLAIN':
          return this.#explain()
        case 'SHOW':
          return this.#show()
        case 'DESCRIBE':
        case 'DESC': {
          s.next()
          s.acceptWords('EXTENDED')
          const name = this.#name('a table name')
          return { kind: 'describe', name, span: s.spanFrom(token) }
        }
        case 'SET':
          return this.#set()
        case 'RESET': {
          s.next()
          const key = s.current.kind === 'string' ? s.expectString('a key') : undefined
          return { kind: 'reset', key: key?.value, keySpan: key?.span, span: s.spanFrom(token) }
        }
        default:
      }
      if (kUnsupportedStatements.includes(token.value))
        throw s.source.notSupported(token, `the statement ${token.value}`)
    }
    return s.fail(kStatementWords)
  }

  #select(): Statement {
    const query = this.#queries.parse()
    return { kind: 'select', query, span: query.span }
  }

  #create(): Statement {
    const s = this.#stream
    const start = s.expectWord('CREATE')
    if (s.isWord('OR')) throw s.source.notSupported(s.current, 'CREATE OR REPLACE', 'DROP it first')
    const temporary = s.acceptWords('TEMPORARY')
    if (s.isWord('SYSTEM', 'FUNCTION', 'CATALOG', 'DATABASE', 'MODEL', 'MATERIALIZED'))
      throw s.source.notSupported(s.current, `CREATE ${s.current.value}`)
    if (s.isWord('VIEW')) return this.#createView(start, temporary)
    if (!s.isWord('TABLE')) s.fail(['TABLE', 'VIEW'])
    if (temporary)
      throw s.source.notSupported(
        start,
        'CREATE TEMPORARY TABLE',
        'leave out TEMPORARY: creating an identical table again does nothing',
      )
    return this.#createTable(start)
  }

  #createTable(start: Span): CreateTable {
    const s = this.#stream
    s.expectWord('TABLE')
    const ifNotExists = s.acceptWords('IF', 'NOT', 'EXISTS')
    const name = this.#name('a table name')
    const columns: ColumnDefinition[] = []
    const watermarks: WatermarkDefinition[] = []
    const primaryKeys: { columns: Identifier[]; span: Span }[] = []
    if (s.isWord('AS', 'LIKE')) throw s.source.notSupported(s.current, `CREATE TABLE … ${s.current.value}`)
    s.expectSymbol('(')
    s.commaSeparated(() => {
      if (s.isWord('WATERMARK')) watermarks.push(this.#watermark())
      else if (s.isWord('CONSTRAINT', 'PRIMARY') && s.peek().kind === 'word') primaryKeys.push(this.#primaryKey())
      else columns.push(this.#column())
    })
    s.expectSymbol(')', "','")
    let comment: string | undefined
    if (s.acceptWords('COMMENT')) comment = s.expectString('a comment').value
    if (s.isWord('DISTRIBUTED', 'PARTITIONED')) throw s.source.notSupported(s.current, `${s.current.value} BY`)
    let options: OptionNode[] | undefined
    if (s.acceptWords('WITH')) {
      s.expectSymbol('(')
      options = s.isSymbol(')') ? [] : s.commaSeparated(() => this.#option())
      s.expectSymbol(')', "','")
    }
    if (s.isWord('LIKE', 'AS')) throw s.source.notSupported(s.current, `CREATE TABLE … ${s.current.value}`)
    return {
      kind: 'createTable',
      name,
      ifNotExists,
      columns,
      watermarks,
      primaryKeys,
      comment,
      options,
      span: s.spanFrom(start),
    }
  }

  #option(): OptionNode {
    const s = this.#stream
    const key = s.expectString("an option such as 'connector'")
    s.expectSymbol('=')
    const value = s.expectString('a value in quotes')
    return { key: key.value, value: value.value, keySpan: key.span, valueSpan: value.span }
  }

  #column(): ColumnDefinition {
    const s = this.#stream
    const start = s.current
    const name = s.expectName('a column name')
    if (s.acceptWords('AS')) {
      const expression = this.expressions.parse()
      return { kind: 'computed', name, expression, comment: this.#comment(), span: s.spanFrom(start) }
    }
    const type = this.#types.parse()
    if (s.acceptWords('METADATA')) {
      const key = s.acceptWords('FROM') ? s.expectString('a metadata key') : undefined
      const virtual = s.acceptWords('VIRTUAL')
      return { kind: 'metadata', name, type, key, virtual, comment: this.#comment(), span: s.spanFrom(start) }
    }
    let primaryKey: Span | undefined
    if (s.isWord('PRIMARY', 'CONSTRAINT')) {
      const at = s.current
      if (s.acceptWords('CONSTRAINT')) s.expectName('a constraint name')
      s.expectWord('PRIMARY')
      s.expectWord('KEY')
      this.#notEnforced()
      primaryKey = s.spanFrom(at)
    }
    if (s.isWord('UNIQUE', 'DEFAULT', 'REFERENCES', 'CHECK'))
      throw s.source.notSupported(s.current, `${s.current.value} on a column`)
    const comment = this.#comment()
    if (!s.isSymbol(',', ')')) s.fail(["','", "')'", 'NOT NULL', 'METADATA', 'PRIMARY KEY', 'COMMENT'])
    return { kind: 'physical', name, type, primaryKey, comment, span: s.spanFrom(start) }
  }

  #comment(): string | undefined {
    return this.#stream.acceptWords('COMMENT') ? this.#stream.expectString('a comment').value : undefined
  }

  #watermark(): WatermarkDefinition {
    const s = this.#stream
    const start = s.expectWord('WATERMARK')
    s.expectWord('FOR')
    const column = [s.expectName('a column name')]
    while (s.acceptSymbol('.')) column.push(s.expectNameAfterDot('a field name'))
    s.expectWord('AS')
    const expression: Expression = this.expressions.parse()
    return { column, expression, span: s.spanFrom(start) }
  }

  #primaryKey(): { columns: Identifier[]; span: Span } {
    const s = this.#stream
    const start = s.current
    if (s.acceptWords('CONSTRAINT')) s.expectName('a constraint name')
    if (s.isWord('UNIQUE')) throw s.source.notSupported(s.current, 'UNIQUE')
    s.expectWord('PRIMARY')
    s.expectWord('KEY')
    s.expectSymbol('(')
    const columns = s.commaSeparated(() => s.expectName('a column name'))
    s.expectSymbol(')', "','")
    this.#notEnforced()
    return { columns, span: s.spanFrom(start) }
  }

  #notEnforced(): void {
    const s = this.#stream
    if (s.isWord('ENFORCED')) throw s.source.notSupported(s.current, 'PRIMARY KEY ENFORCED', 'write NOT ENFORCED')
    if (s.acceptWords('NOT', 'ENFORCED')) return
    throw s.source.error(
      s.current.kind === 'eof' ? s.previous : s.current,
      'expected NOT ENFORCED after PRIMARY KEY',
      'as in Flink: PRIMARY KEY (a) NOT ENFORCED',
    )
  }

  #createView(start: Span, temporary: boolean): CreateView {
    const s = this.#stream
    s.expectWord('VIEW')
    const ifNotExists = s.acceptWords('IF', 'NOT', 'EXISTS')
    const name = this.#name('a view name')
    let columns: Identifier[] = []
    if (s.acceptSymbol('(')) {
      columns = s.commaSeparated(() => {
        const column = s.expectName('a column name')
        this.#comment()
        return column
      })
      s.expectSymbol(')', "','")
    }
    const comment = this.#comment()
    s.expectWord('AS')
    const query = this.#queries.parse()
    return { kind: 'createView', name, ifNotExists, temporary, columns, comment, query, span: s.spanFrom(start) }
  }

  #drop(): Statement {
    const s = this.#stream
    const start = s.expectWord('DROP')
    s.acceptWords('TEMPORARY')
    if (s.isWord('FUNCTION', 'CATALOG', 'DATABASE', 'MODEL', 'MATERIALIZED', 'SYSTEM'))
      throw s.source.notSupported(s.current, `DROP ${s.current.value}`)
    const what = s.expectWord('TABLE', 'VIEW')
    const ifExists = s.acceptWords('IF', 'EXISTS')
    const name = this.#name(what.value === 'TABLE' ? 'a table name' : 'a view name')
    return { kind: what.value === 'TABLE' ? 'dropTable' : 'dropView', name, ifExists, span: s.spanFrom(start) }
  }

  #insert(): Insert {
    const s = this.#stream
    const start = s.expectWord('INSERT')
    if (s.isWord('OVERWRITE')) throw s.source.notSupported(s.current, 'INSERT OVERWRITE', 'use INSERT INTO')
    s.expectWord('INTO')
    const table = this.#name('a table name')
    if (s.isWord('PARTITION')) throw s.source.notSupported(s.current, 'INSERT INTO … PARTITION')
    let columns: Identifier[] | undefined
    if (s.isSymbol('(') && !['SELECT', 'WITH', 'VALUES'].includes(s.peek().value)) {
      s.next()
      columns = s.commaSeparated(() => s.expectName('a column name'))
      s.expectSymbol(')', "','")
    }
    if (!s.isWord('SELECT', 'WITH', 'VALUES') && !s.isSymbol('('))
      s.fail(columns === undefined ? ['SELECT', 'VALUES', 'a column list'] : ['SELECT', 'VALUES'])
    const query = this.#queries.parse()
    return { kind: 'insert', table, columns, query, span: s.spanFrom(start) }
  }

  /** EXECUTE STATEMENT SET BEGIN …; END, or BEGIN STATEMENT SET; …; END. */
  #statementSet(): Statement {
    const s = this.#stream
    const start = s.next()
    if (start.value === 'EXECUTE') {
      if (s.isWord('INSERT')) return this.#insert()
      s.expectWord('STATEMENT')
      s.expectWord('SET')
      s.expectWord('BEGIN')
    } else {
      s.expectWord('STATEMENT')
      s.expectWord('SET')
      s.expectSymbol(';')
    }
    const inserts: Insert[] = []
    while (!s.isWord('END')) {
      if (s.acceptSymbol(';')) continue
      if (!s.isWord('INSERT')) s.fail(['INSERT', 'END'])
      inserts.push(this.#insert())
      if (!s.isWord('END')) s.expectSymbol(';', 'END')
    }
    s.next()
    const set: StatementSet = { kind: 'statementSet', inserts, span: s.spanFrom(start) }
    if (inserts.length === 0) throw s.source.error(set.span, 'a statement set needs at least one INSERT')
    return set
  }

  #explain(): Statement {
    const s = this.#stream
    const start = s.expectWord('EXPLAIN')
    if (s.isWord('ESTIMATED_COST', 'CHANGELOG_MODE', 'JSON_EXECUTION_PLAN', 'PLAN_ADVICE')) {
      s.commaSeparated(() => s.expectWord('ESTIMATED_COST', 'CHANGELOG_MODE', 'JSON_EXECUTION_PLAN', 'PLAN_ADVICE'))
    }
    if (s.acceptWords('PLAN')) s.expectWord('FOR')
    if (!s.isWord('SELECT', 'WITH', 'VALUES', 'INSERT', 'EXECUTE', 'BEGIN', 'STATEMENT') && !s.isSymbol('('))
      s.fail(['SELECT', 'INSERT', 'EXECUTE STATEMENT SET'])
    if (s.isWord('STATEMENT')) {
      s.next()
      s.expectWord('SET')
      s.fail(['EXECUTE STATEMENT SET'])
    }
    const statement = s.nested(() => this.parse())
    return { kind: 'explain', statement, span: s.spanFrom(start) }
  }

  #show(): Statement {
    const s = this.#stream
    const start = s.expectWord('SHOW')
    const kinds = { TABLES: 'showTables', VIEWS: 'showViews', JOBS: 'showJobs' } as const
    if (s.isWord('TABLES', 'VIEWS', 'JOBS')) {
      const kind = kinds[s.next().value as keyof typeof kinds]
      return { kind, span: s.spanFrom(start) }
    }
    if (s.acceptWords('CREATE')) {
      const what = s.expectWord('TABLE', 'VIEW').value as 'TABLE' | 'VIEW'
      const name = this.#name('a name')
      return { kind: 'showCreate', what, name, span: s.spanFrom(start) }
    }
    if (s.isWord('CATALOGS', 'DATABASES', 'FUNCTIONS', 'MODULES', 'COLUMNS', 'JARS', 'PARTITIONS'))
      throw s.source.notSupported(s.current, `SHOW ${s.current.value}`)
    return s.fail(['TABLES', 'VIEWS', 'JOBS', 'CREATE'])
  }

  #set(): Statement {
    const s = this.#stream
    const start = s.expectWord('SET')
    if (s.current.kind === 'eof' || s.isSymbol(';')) return { kind: 'showSettings', span: s.spanFrom(start) }
    if (s.current.kind === 'word') {
      throw s.source.error(
        s.current,
        `expected a key in quotes, found '${s.current.text}'`,
        "as in Flink: SET 'pipeline.name' = 'delays'",
      )
    }
    const key = s.expectString("a key such as 'pipeline.name'")
    s.expectSymbol('=')
    const value = s.expectString('a value in quotes')
    return {
      kind: 'set',
      key: key.value,
      value: value.value,
      keySpan: key.span,
      valueSpan: value.span,
      span: s.spanFrom(start),
    }
  }

  /** The name of a catalog object. There is one catalog and one database, so a qualified name is refused. */
  #name(what: string): Identifier {
    const s = this.#stream
    const name = s.expectName(what)
    if (s.isSymbol('.')) throw s.source.notSupported(s.current, 'catalog and database names', `use the plain name`)
    return name
  }
}
