// Sinks to the JSON plan of one job. Each table is read by one source (with its computed columns and its watermark), whichever
// statements use it; everything above belongs to one sink, under whose name its nodes are numbered by type, so that state is
// found again when the same SQL is planned again.

import { baseColumns, type CatalogTable } from '../catalog/table.js'
import { type BoundExpression, column, columnsOf, substitute } from '../logical/expressions.js'
import type { Sink } from '../logical/nodes.js'
import {
  type Calc,
  type GroupAggregate,
  type PhysicalNode,
  toPhysical,
  type WindowAggregate,
} from '../rules/physical.js'
import { aggregateInputs, calcInputs, collectUsed, neededAggregates, type UsedColumns } from '../rules/pruning.js'
import { toPlanField } from '../types/arrow.js'
import { makeError } from '../../errors.js'
import { CastError, castTo } from '../types/coercion.js'
import type { SqlType } from '../types/sql-type.js'
import { type ColumnMap, toPlanAggregate, toPlanExpression } from './plan-expression.js'
import {
  type JobPlan,
  kPlanVersion,
  type PlanField,
  type PlanNode,
  type SourceColumn,
  type WindowColumn,
} from './plan.js'

/** A node of the plan, and where the logical columns stand in its fields. */
interface Emitted {
  readonly id: string
  readonly columns: ColumnMap
  readonly fields: readonly PlanField[]
}

const kCollect = 'collect'

export function buildPlan(name: string, sinks: readonly Sink[], settings: JobPlan['settings'] = {}): JobPlan {
  return new PlanBuilder().build(name, sinks, settings)
}

class PlanBuilder {
  readonly #nodes: PlanNode[] = []
  readonly #used: UsedColumns = new Map()
  readonly #scans = new Map<CatalogTable, Emitted>()
  readonly #numbers = new Map<string, number>()
  #owner = ''

  build(name: string, sinks: readonly Sink[], settings: JobPlan['settings']): JobPlan {
    const inputs = sinks.map(s => toPhysical(s.input))
    for (const input of inputs) collectUsed(input, allOf(input), this.#used)
    const owners = new Map<string, number>()
    sinks.forEach((sink, i) => {
      const target = sink.table?.name ?? kCollect
      const nth = (owners.get(target) ?? 0) + 1
      owners.set(target, nth)
      this.#owner = nth === 1 ? target : `${target}.${nth}`
      this.#sink(sink, inputs[i]!)
    })
    return { version: kPlanVersion, job: { name }, settings, nodes: this.#nodes }
  }

  #sink(sink: Sink, physical: PhysicalNode): void {
    const input = this.#inOrder(this.#emit(physical, allOf(physical)), physical)
    const columns = sink.table?.columns ?? sink.input.columns
    const fields = uniqueNames(columns.map(c => toPlanField(c.name, c.type)))
    this.#nodes.push({
      ...{ id: `sink:${this.#owner}`, type: 'sink', input: input.id, table: sink.table?.name ?? kCollect },
      ...{
        connector: sink.table === undefined ? 'collect' : 'marbledb',
        options: {},
        primaryKey: sink.primaryKey,
        mode: sink.mode,
        fields,
      },
    })
  }

  /** The sink takes columns by position: rearrange them where they are not in order. */
  #inOrder(input: Emitted, node: PhysicalNode): Emitted {
    const inOrder =
      node.columns.every((_, i) => input.columns.get(i) === i) && input.fields.length === node.columns.length
    if (inOrder) return input
    const projections = node.columns.map((c, i) => column(i, c.type))
    return this.#calc(
      { kind: 'calc', input: node, filter: undefined, projections, columns: node.columns },
      allOf(node),
      input,
    )
  }

  #id(type: string): string {
    const key = `${type}:${this.#owner}`
    const n = (this.#numbers.get(key) ?? 0) + 1
    this.#numbers.set(key, n)
    return `${key}:${n}`
  }

  #emit(node: PhysicalNode, needed: ReadonlySet<number>): Emitted {
    switch (node.kind) {
      case 'scan':
        return this.#scan(node.table)
      case 'calc':
        return this.#emitCalc(node, needed)
      case 'groupAggregate':
        return this.#groupAggregate(node, needed)
      case 'windowAggregate':
        return this.#windowAggregate(node, needed)
    }
  }

  #emitCalc(node: Calc, needed: ReadonlySet<number>): Emitted {
    const input = this.#emit(node.input, calcInputs(node, needed))
    const outputs = [...needed].sort((a, b) => a - b)
    const plain = node.filter === undefined && outputs.every(i => node.projections[i]!.kind === 'column')
    if (!plain) return this.#calc(node, needed, input)
    // Columns that are only picked or renamed need no node of their own.
    const columns = new Map(
      outputs.map(i => [i, input.columns.get((node.projections[i] as BoundExpression & { kind: 'column' }).index)!]),
    )
    return { id: input.id, columns, fields: input.fields }
  }

  #calc(node: Calc, needed: ReadonlySet<number>, input: Emitted): Emitted {
    // A batch without columns would lose its number of rows.
    const outputs = needed.size === 0 ? [0] : [...needed].sort((a, b) => a - b)
    const usable = outputs.filter(i => [...columnsOf(node.projections[i]!)].every(c => input.columns.has(c)))
    const projections = usable.map(i => toPlanExpression(node.projections[i]!, input.columns))
    const fields = usable.map(i => toPlanField(node.columns[i]!.name, node.columns[i]!.type))
    if (usable.length === 0) {
      const [first] = input.fields
      projections.push({
        kind: 'column',
        index: 0,
        type: first!.type,
        nullable: first!.nullable,
        ...(first!.children.length > 0 ? { children: first!.children } : {}),
      })
      fields.push(first!)
    }
    const filter = node.filter === undefined ? null : toPlanExpression(node.filter, input.columns)
    const id = this.#id('calc')
    const named = uniqueNames(fields)
    this.#nodes.push({ id, type: 'calc', input: input.id, filter, projections, fields: named })
    return { id, columns: new Map(usable.map((c, i) => [c, i])), fields: named }
  }

  #groupAggregate(node: GroupAggregate, needed: ReadonlySet<number>): Emitted {
    const input = this.#emit(node.input, aggregateInputs(node, needed))
    const { aggregates, fields, columns } = this.#aggregated(
      node,
      needed,
      input,
      node.keys.map((_, i) => i),
    )
    const id = this.#id('groupAggregate')
    const keys = node.keys.map(k => input.columns.get(k)!)
    this.#nodes.push({ id, type: 'groupAggregate', input: input.id, keys, aggregates, fields })
    return { id, columns, fields }
  }

  #windowAggregate(node: WindowAggregate, needed: ReadonlySet<number>): Emitted {
    const input = this.#emit(node.input, aggregateInputs(node, needed))
    const keyOutputs = node.keys.map((_, k) => node.outputs.indexOf(k))
    const { aggregates, fields, columns } = this.#aggregated(node, needed, input, keyOutputs)
    const windowColumns: WindowColumn[] = []
    for (const part of ['start', 'end', 'time'] as const) {
      const wanted = node.outputs.flatMap((o, i) => (o === part && needed.has(i) ? [i] : []))
      if (wanted.length === 0) continue
      for (const i of wanted) columns.set(i, fields.length)
      fields.push(toPlanField(`window_${part}`, node.columns[wanted[0]!]!.type))
      windowColumns.push(part)
    }
    const id = this.#id('windowAggregate')
    const window = {
      kind: 'tumble',
      timeColumn: input.columns.get(node.timeColumn)!,
      sizeMs: node.sizeMs,
      offsetMs: node.offsetMs,
    } as const
    const keys = node.keys.map(k => input.columns.get(k)!)
    const named = uniqueNames(fields)
    this.#nodes.push({
      id,
      type: 'windowAggregate',
      input: input.id,
      window,
      keys,
      aggregates,
      windowColumns,
      fields: named,
    })
    return { id, columns, fields: named }
  }

  /** Keys, then the aggregates that are read. `keyOutputs[k]` is the logical column of key k. */
  #aggregated(
    node: GroupAggregate | WindowAggregate,
    needed: ReadonlySet<number>,
    input: Emitted,
    keyOutputs: readonly number[],
  ) {
    const columns = new Map<number, number>()
    const fields: PlanField[] = []
    keyOutputs.forEach((output, k) => {
      columns.set(output, k)
      fields.push(toPlanField(node.columns[output]!.name, node.columns[output]!.type))
    })
    const first = node.columns.length - node.aggregates.length
    const used = neededAggregates(node, needed)
    used.forEach((a, n) => {
      columns.set(first + a, fields.length)
      fields.push(toPlanField(`$agg${n}`, node.aggregates[a]!.type))
    })
    return {
      aggregates: used.map(a => toPlanAggregate(node.aggregates[a]!, input.columns)),
      fields: uniqueNames(fields),
      columns,
    }
  }

  #scan(table: CatalogTable): Emitted {
    const known = this.#scans.get(table)
    if (known !== undefined) return known
    const emitted = this.#emitScan(table)
    this.#scans.set(table, emitted)
    return emitted
  }

  /** source, then a calc when columns are computed or converted, then the watermark. */
  #emitScan(table: CatalogTable): Emitted {
    const { watermark } = table
    const wanted = new Set(this.#used.get(table))
    if (watermark !== undefined) columnsOf(watermark.expression, wanted.add(watermark.column))
    if (wanted.size === 0) wanted.add(table.columns.findIndex(c => c.kind === 'physical'))
    const outputs = [...wanted].sort((a, b) => a - b)
    const base = baseColumns(table)
    const expressions = outputs.map(i => {
      const c = table.columns[i]!
      if (c.kind === 'computed') return c.expression
      const from = column(base.indexOf(c), c.kind === 'metadata' ? c.nativeType : c.type)
      return c.kind === 'metadata' ? convert(from, c.type) : from
    })
    const source = this.#source(table, expressions)
    const plain = expressions.every(e => e.kind === 'column')
    const fields = outputs.map(i => toPlanField(table.columns[i]!.name, table.columns[i]!.type))
    let id = source.id
    if (!plain || outputs.length !== source.fields.length) {
      id = `calc:${table.name}`
      this.#nodes.push({
        id,
        type: 'calc',
        input: source.id,
        filter: null,
        projections: expressions.map(e => toPlanExpression(e, source.columns)),
        fields,
      })
    }
    const columns = new Map(outputs.map((c, i) => [c, i]))
    if (watermark !== undefined) {
      const input = id
      id = `watermark:${table.name}`
      const expr = toPlanExpression(this.#watermarkExpression(table), columns)
      this.#nodes.push({
        id,
        type: 'watermark',
        input,
        column: columns.get(watermark.column)!,
        expr,
        idleTimeoutMs: table.config.idleTimeoutMs,
        fields,
      })
    }
    return { id, columns, fields }
  }

  #watermarkExpression(table: CatalogTable): BoundExpression {
    return substitute(
      table.watermark!.expression,
      table.columns.map((c, i) => column(i, c.type)),
    )
  }

  #source(table: CatalogTable, expressions: readonly BoundExpression[]): Emitted {
    const base = baseColumns(table)
    const read = new Set<number>()
    for (const e of expressions) columnsOf(e, read)
    // A computed column over no column, such as PROCTIME(), still needs rows.
    if (read.size === 0) read.add(base.findIndex(c => c.kind === 'physical'))
    const indices = [...read].sort((a, b) => a - b)
    const fields = indices.map(i => {
      const c = base[i]!
      return toPlanField(c.name, c.kind === 'metadata' ? c.nativeType : c.type)
    })
    const columns = indices.map((i): SourceColumn => {
      const c = base[i]!
      return c.kind === 'metadata' ? { kind: 'metadata', key: c.key } : { kind: 'physical', name: c.name }
    })
    const { connector, options, format, bounded } = table.config
    const id = `source:${table.name}`
    this.#nodes.push({ id, type: 'source', table: table.name, connector, options, format, columns, bounded, fields })
    return { id, columns: new Map(indices.map((c, i) => [c, i])), fields }
  }
}

function convert(from: BoundExpression, to: SqlType): BoundExpression {
  try {
    return castTo(from, to)
  } catch (error) {
    if (error instanceof CastError) throw makeError('MARBLE_PLAN', error.message)
    throw error
  }
}

function allOf(node: PhysicalNode): Set<number> {
  return new Set(node.columns.map((_, i) => i))
}

/** As Flink does it: a second `a` becomes `a0`. */
export function uniqueNames(fields: readonly PlanField[]): PlanField[] {
  const taken = new Set<string>()
  return fields.map(f => {
    let name = f.name
    for (let n = 0; taken.has(name); n++) name = `${f.name}${n}`
    taken.add(name)
    return name === f.name ? f : { ...f, name }
  })
}
