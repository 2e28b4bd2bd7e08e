// Projection pruning: which columns of each table a job reads. Tables are read once per job, so this is the union over all its
// statements.

import { columnsOf } from '../logical/expressions.js'
import type { CatalogTable } from '../catalog/table.js'
import type { GroupAggregate, PhysicalNode, WindowAggregate } from './physical.js'

export type UsedColumns = Map<CatalogTable, Set<number>>

/** The columns of its input that a calc needs to give `needed` columns. */
export function calcInputs(node: PhysicalNode & { kind: 'calc' }, needed: ReadonlySet<number>): Set<number> {
  const used = new Set<number>()
  if (node.filter !== undefined) columnsOf(node.filter, used)
  for (const i of needed) columnsOf(node.projections[i]!, used)
  return used
}

/** The columns of its input that an aggregate needs; aggregates that nobody reads are left out. */
export function aggregateInputs(node: GroupAggregate | WindowAggregate, needed: ReadonlySet<number>): Set<number> {
  const used = new Set<number>(node.keys)
  if (node.kind === 'windowAggregate') used.add(node.timeColumn)
  for (const i of neededAggregates(node, needed)) {
    const aggregate = node.aggregates[i]!
    for (const arg of aggregate.args) columnsOf(arg, used)
    if (aggregate.filter !== undefined) columnsOf(aggregate.filter, used)
  }
  return used
}

export function neededAggregates(node: GroupAggregate | WindowAggregate, needed: ReadonlySet<number>): number[] {
  const first = node.columns.length - node.aggregates.length
  return node.aggregates.flatMap((_, i) => (needed.has(first + i) ? [i] : []))
}

export function collectUsed(node: PhysicalNode, needed: ReadonlySet<number>, used: UsedColumns): void {
  switch (node.kind) {
    case 'scan': {
      const columns = used.get(node.table) ?? new Set()
      for (const i of needed) columns.add(i)
      used.set(node.table, columns)
      return
    }
    case 'calc':
      collectUsed(node.input, calcInputs(node, needed), used)
      return
    default:
      collectUsed(node.input, aggregateInputs(node, needed), used)
  }
}
