// From the logical plan to the shapes of the runtime's nodes:
// 1. filters and projections in a row become one Calc, where no expression would be computed twice and no predicate that can
//    fail would move before one that guards it;
// 2. an aggregate over a window, with what lies between them, becomes one WindowAggregate;
// 3. grouping keys that are more than a column become columns of a Calc below.
// A predicate never moves below a scan: it would pass the watermark, and rows that are filtered out still tell the time.

import type { Column } from '../binder/scope.js'
import {
  type BoundAggregate,
  type BoundExpression,
  column,
  columnsOf,
  substitute,
  visit,
} from '../logical/expressions.js'
import type { Aggregate, LogicalNode, Scan, Window } from '../logical/nodes.js'
import type { WindowColumn } from '../plan/plan.js'
import { foldConstants } from './constant-folding.js'

export type PhysicalNode = Scan | Calc | GroupAggregate | WindowAggregate

export interface Calc {
  readonly kind: 'calc'
  readonly input: PhysicalNode
  readonly filter: BoundExpression | undefined
  readonly projections: readonly BoundExpression[]
  readonly columns: readonly Column[]
}

export interface GroupAggregate {
  readonly kind: 'groupAggregate'
  readonly input: PhysicalNode
  readonly keys: readonly number[]
  readonly aggregates: readonly BoundAggregate[]
  readonly columns: readonly Column[]
}

export interface WindowAggregate {
  readonly kind: 'windowAggregate'
  readonly input: PhysicalNode
  readonly timeColumn: number
  readonly sizeMs: number
  readonly offsetMs: number
  readonly keys: readonly number[]
  /** What each grouping key of the query is: the key at this place of `keys`, or a column of the window. */
  readonly outputs: readonly (number | WindowColumn)[]
  readonly aggregates: readonly BoundAggregate[]
  /** The query's grouping keys, then the aggregates. */
  readonly columns: readonly Column[]
}

export function toPhysical(node: LogicalNode): PhysicalNode {
  switch (node.kind) {
    case 'scan':
      return node
    case 'filter':
      return filtered(toPhysical(node.input), node.predicate)
    case 'project':
      return projected(toPhysical(node.input), node.expressions, node.columns)
    case 'window':
      throw node.refuse('a window function without GROUP BY window_start, window_end')
    case 'aggregate':
      return node.windowed ? windowAggregate(node) : groupAggregate(node)
  }
}

function identityProjections(columns: readonly Column[]): BoundExpression[] {
  return columns.map((c, i) => column(i, c.type))
}

export function filtered(input: PhysicalNode, predicate: BoundExpression): Calc {
  if (input.kind === 'calc' && isMergeable(input, [predicate])) {
    const moved = foldConstants(substitute(predicate, input.projections))
    if (input.filter === undefined) return { ...input, filter: moved }
    if (!canFail(moved)) return { ...input, filter: conjunction(input.filter, moved) }
  }
  return {
    kind: 'calc',
    input,
    filter: predicate,
    projections: identityProjections(input.columns),
    columns: input.columns,
  }
}

export function projected(
  input: PhysicalNode,
  expressions: readonly BoundExpression[],
  columns: readonly Column[],
): Calc {
  if (input.kind === 'calc' && isMergeable(input, expressions)) {
    const projections = expressions.map(e => foldConstants(substitute(e, input.projections)))
    return { kind: 'calc', input: input.input, filter: input.filter, projections, columns }
  }
  return { kind: 'calc', input, filter: undefined, projections: expressions, columns }
}

function conjunction(a: BoundExpression, b: BoundExpression): BoundExpression {
  return {
    kind: 'call',
    function: 'and',
    args: [a, b],
    type: { name: 'BOOLEAN', nullable: a.type.nullable || b.type.nullable },
  }
}

/** No expression of the calc is used twice by those above. */
function isMergeable(calc: Calc, above: readonly BoundExpression[]): boolean {
  const uses = new Map<number, number>()
  for (const e of above) {
    visit(e, x => {
      if (x.kind === 'column') uses.set(x.index, (uses.get(x.index) ?? 0) + 1)
    })
  }
  return [...uses].every(
    ([index, count]) =>
      count === 1 || calc.projections[index]!.kind === 'column' || calc.projections[index]!.kind === 'literal',
  )
}

function canFail(e: BoundExpression): boolean {
  let found = false
  visit(e, x => {
    if (x.kind === 'cast' && !x.try) found = true
    if (x.kind === 'call' && (x.function === 'divide' || x.function === 'mod')) found = true
  })
  return found
}

function groupAggregate(node: Aggregate): GroupAggregate {
  const { input, keys } = withKeyColumns(toPhysical(node.input), node.keys)
  return { kind: 'groupAggregate', input, keys, aggregates: node.aggregates, columns: node.columns }
}

/** Keys that are expressions become columns after the input's own. */
function withKeyColumns(
  input: PhysicalNode,
  keys: readonly BoundExpression[],
): { input: PhysicalNode; keys: number[] } {
  const extra: BoundExpression[] = []
  const indices = keys.map(k => (k.kind === 'column' ? k.index : input.columns.length + extra.push(k) - 1))
  if (extra.length === 0) return { input, keys: indices }
  const columns = [...input.columns, ...extra.map((e, i): Column => ({ name: `$key${i}`, type: e.type }))]
  return { input: projected(input, [...identityProjections(input.columns), ...extra], columns), keys: indices }
}

const kWindowColumns: readonly WindowColumn[] = ['start', 'end', 'time']

function windowAggregate(node: Aggregate): WindowAggregate {
  const { window, filters, projections } = toWindow(node.input)
  const width = window.input.columns.length
  const onInput = (e: BoundExpression): BoundExpression => {
    const moved = projections === undefined ? e : foldConstants(substitute(e, projections))
    if ([...columnsOf(moved)].some(i => i >= width)) {
      throw window.refuse(
        'window_start, window_end or window_time in an expression below the aggregate',
        'use them as grouping keys, and in expressions above: in the SELECT list or HAVING',
      )
    }
    return moved
  }
  const keys: BoundExpression[] = []
  const outputs = node.keys.map((key): number | WindowColumn => {
    const moved = projections === undefined ? key : substitute(key, projections)
    if (moved.kind === 'column' && moved.index >= width) return kWindowColumns[moved.index - width]!
    return keys.push(onInput(key)) - 1
  })
  const aggregates = node.aggregates.map(a => ({
    ...a,
    args: a.args.map(onInput),
    filter: a.filter === undefined ? undefined : onInput(a.filter),
  }))
  let input = toPhysical(window.input)
  for (const predicate of filters) {
    if ([...columnsOf(predicate)].some(i => i >= width))
      throw window.refuse('a condition on window_start, window_end or window_time below the aggregate', 'use HAVING')
    input = filtered(input, predicate)
  }
  const keyed = withKeyColumns(input, keys)
  const { timeColumn, sizeMs, offsetMs } = window
  return {
    kind: 'windowAggregate',
    input: keyed.input,
    timeColumn,
    sizeMs,
    offsetMs,
    keys: keyed.keys,
    outputs,
    aggregates,
    columns: node.columns,
  }
}

/** The window below the aggregate; what lies between, as expressions over the window's columns, the lowest filter first. */
function toWindow(node: LogicalNode): {
  window: Window
  filters: BoundExpression[]
  projections: readonly BoundExpression[] | undefined
} {
  if (node.kind === 'window') return { window: node, filters: [], projections: undefined }
  if (node.kind !== 'filter' && node.kind !== 'project') throw new Error('a windowed aggregate is over a window')
  const below = toWindow(node.input)
  const move = (e: BoundExpression): BoundExpression =>
    below.projections === undefined ? e : foldConstants(substitute(e, below.projections))
  if (node.kind === 'filter') return { ...below, filters: [...below.filters, move(node.predicate)] }
  return { ...below, projections: node.expressions.map(move) }
}
