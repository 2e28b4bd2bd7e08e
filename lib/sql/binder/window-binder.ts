// TABLE(TUMBLE(TABLE t, DESCRIPTOR(c), INTERVAL … [, offset])), by position or by name.

import type { Identifier } from '../ast/expressions.js'
import type { FromItem, WindowArgument, WindowTable } from '../ast/queries.js'
import type { SourceText } from '../text/source-text.js'
import { didYouMeanOrList } from '../text/suggest.js'
import { bareTypeToString, TIMESTAMP_3, withNullable } from '../types/sql-type.js'
import { ExpressionBinder } from './expression-binder.js'
import type { Parameters } from './parameters.js'
import { type Relation, relation } from './relation.js'
import { type Column, Scope } from './scope.js'

const kArguments = ['DATA', 'TIMECOL', 'SIZE', 'OFFSET'] as const
type ArgumentName = (typeof kArguments)[number]

const kUsage = "usage: TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR))"

export function bindWindow(
  item: WindowTable,
  source: SourceText,
  params: Parameters | undefined,
  bindTable: (item: FromItem) => Relation,
): Relation {
  const name = item.function.name.toUpperCase()
  if (['HOP', 'CUMULATE', 'SESSION'].includes(name))
    throw source.notSupported(item.function.span, `the window function ${name}`, 'use TUMBLE')
  if (name !== 'TUMBLE')
    throw source.error(
      item.function.span,
      `unknown table function ${item.function.name}`,
      didYouMeanOrList(name, ['TUMBLE'], 'table functions'),
    )
  const args = collect(item, source)
  const data = args.get('DATA')!
  if (data.value.kind !== 'tableArgument') throw source.error(data.span, 'TUMBLE needs a table here', kUsage)
  const input = bindTable(data.value.table)
  if (input.updating !== undefined)
    throw source.notSupported(data.span, 'a window over an updating query', 'a window needs rows that are only added')
  const timeColumn = bindTimeColumn(args.get('TIMECOL')!, input, source)
  const sizeMs = bindLength(args.get('SIZE')!, 'size', source, params)
  if (sizeMs <= 0) throw source.error(args.get('SIZE')!.span, 'the size of a window must be positive')
  const offset = args.get('OFFSET')
  const offsetMs = offset === undefined ? 0 : bindLength(offset, 'offset', source, params)
  const rowtime = input.scope.columns[timeColumn]!.type
  const bound = withNullable(TIMESTAMP_3, false)
  const columns: Column[] = [
    ...input.scope.columns,
    { name: 'window_start', type: bound, role: 'windowStart' },
    { name: 'window_end', type: bound, role: 'windowEnd' },
    { name: 'window_time', type: withNullable(rowtime, false), role: 'windowTime' },
  ]
  const refuse = (what: string, hint?: string) => source.notSupported(item.span, what, hint)
  return relation({ kind: 'window', input: input.node, timeColumn, sizeMs, offsetMs, columns, refuse }, undefined)
}

function collect(item: WindowTable, source: SourceText): Map<ArgumentName, WindowArgument> {
  const args = new Map<ArgumentName, WindowArgument>()
  item.args.forEach((arg, i) => {
    const name = arg.name === undefined ? kArguments[i] : named(arg.name, source)
    if (name === undefined)
      throw source.error(arg.span, `TUMBLE takes at most 4 arguments, found ${item.args.length}`, kUsage)
    if (args.has(name)) throw source.error(arg.span, `the argument ${name} of TUMBLE is given twice`)
    args.set(name, arg)
  })
  for (const name of ['DATA', 'TIMECOL', 'SIZE'] as const) {
    if (!args.has(name)) throw source.error(item.span, `TUMBLE lacks its argument ${name}`, kUsage)
  }
  return args
}

function named(name: Identifier, source: SourceText): ArgumentName {
  const found = kArguments.find(a => a === name.name.toUpperCase())
  if (found === undefined)
    throw source.error(
      name.span,
      `TUMBLE has no argument ${name.name}`,
      didYouMeanOrList(name.name, kArguments, 'arguments'),
    )
  return found
}

function bindTimeColumn(arg: WindowArgument, input: Relation, source: SourceText): number {
  if (arg.value.kind !== 'descriptor') throw source.error(arg.span, 'TUMBLE needs DESCRIPTOR(column) here', kUsage)
  const [name, second] = arg.value.columns
  if (second !== undefined) throw source.error(second.span, 'DESCRIPTOR of a window takes one column')
  const index = new Scope(input.scope.columns, undefined).resolve([name!], source)
  const { role, type } = input.scope.columns[index]!
  if (role === 'rowtime') return index
  if (role === 'proctime')
    throw source.notSupported(name!.span, 'a window on processing time', 'declare a WATERMARK on a time column')
  if (role === 'windowTime') throw source.notSupported(name!.span, 'a window over windows')
  const remedy = `declare WATERMARK FOR ${name!.name} AS ${name!.name} - INTERVAL '5' SECOND in its CREATE TABLE`
  throw source.error(
    name!.span,
    `a window needs an event time: the column ${name!.name} (${bareTypeToString(type)}) has no WATERMARK`,
    type.name.startsWith('TIMESTAMP')
      ? remedy
      : `a time attribute is a TIMESTAMP(3) column with a WATERMARK; ${remedy}`,
  )
}

function bindLength(arg: WindowArgument, what: string, source: SourceText, params: Parameters | undefined): number {
  if (arg.value.kind !== 'expression') throw source.error(arg.span, `the ${what} of a window is an interval`, kUsage)
  const bound = new ExpressionBinder(source, new Scope([], undefined), params, 'a window function').bind(
    arg.value.expression,
  )
  if (bound.kind !== 'literal' || bound.type.name !== 'INTERVAL_DAY') {
    const months = bound.type.name === 'INTERVAL_YEAR'
    throw source.error(
      arg.span,
      `the ${what} of a window is an interval of days or less${months ? ', not of months' : ''}`,
      "such as INTERVAL '1' DAY or INTERVAL '10' MINUTES",
    )
  }
  return Number(bound.value as bigint)
}
