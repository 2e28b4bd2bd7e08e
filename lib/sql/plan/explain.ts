// A plan as a tree, each node with its changelog mode: [I] rows are only added, [I,UA] a row replaces the one of its key.

import type { JobPlan, PlanAggregate, PlanExpression, PlanField, PlanNode } from './plan.js'

const kSymbols: Readonly<Record<string, string>> = {
  plus: '+',
  minus: '-',
  times: '*',
  divide: '/',
  mod: '%',
  equals: '=',
  notEquals: '<>',
  lessThan: '<',
  lessThanOrEqual: '<=',
  greaterThan: '>',
  greaterThanOrEqual: '>=',
  and: 'AND',
  or: 'OR',
}

export function explainPlan(plan: JobPlan): string {
  const byId = new Map(plan.nodes.map(n => [n.id, n]))
  const shown = new Set<string>()
  const lines = [`job ${plan.job.name}`]
  for (const sink of plan.nodes.filter(n => n.type === 'sink')) {
    let depth = 0
    for (let node: PlanNode | undefined = sink; node !== undefined; depth++) {
      const input: PlanNode | undefined = node.type === 'source' ? undefined : byId.get(node.input)
      const prefix = depth === 0 ? '' : `${'   '.repeat(depth - 1)}+- `
      const again = shown.has(node.id)
      lines.push(`${prefix}${again ? `${node.id} (shared, see above)` : describe(node, input)} ${mode(node, byId)}`)
      if (again) break
      shown.add(node.id)
      node = input
    }
  }
  return lines.join('\n')
}

function mode(node: PlanNode, byId: ReadonlyMap<string, PlanNode>): string {
  for (let n: PlanNode | undefined = node; n !== undefined; n = n.type === 'source' ? undefined : byId.get(n.input)) {
    if (n.type === 'groupAggregate') return '[I,UA]'
  }
  return '[I]'
}

function describe(node: PlanNode, input: PlanNode | undefined): string {
  const fields = input?.fields ?? []
  const names = (indices: readonly number[]): string => indices.map(i => fields[i]!.name).join(', ')
  switch (node.type) {
    case 'source':
      return `${node.id} (${node.connector}${node.format === null ? '' : `, ${node.format.name}`}, ${node.bounded ? 'bounded' : 'unbounded'}) columns [${node.fields.map(f => f.name).join(', ')}]`
    case 'watermark':
      return `${node.id} on ${fields[node.column]!.name} as ${show(node.expr, fields)}${node.idleTimeoutMs === null ? '' : `, idle after ${node.idleTimeoutMs} ms`}`
    case 'calc': {
      const columns = node.projections.map((p, i) => {
        const text = show(p, fields)
        return text === node.fields[i]!.name ? text : `${text} AS ${node.fields[i]!.name}`
      })
      return `${node.id} [${columns.join(', ')}]${node.filter === null ? '' : ` where ${show(node.filter, fields)}`}`
    }
    case 'windowAggregate': {
      const { window } = node
      const size = `${window.sizeMs} ms${window.offsetMs === 0 ? '' : `, offset ${window.offsetMs} ms`}`
      return `${node.id} tumble(${fields[window.timeColumn]!.name}, ${size}) by [${names(node.keys)}] [${node.aggregates.map(a => showAggregate(a, fields)).join(', ')}] window [${node.windowColumns.join(', ')}]`
    }
    case 'groupAggregate':
      return `${node.id} by [${names(node.keys)}] [${node.aggregates.map(a => showAggregate(a, fields)).join(', ')}]`
    case 'sink':
      return `${node.id} (${node.connector}, ${node.mode}${node.primaryKey.length === 0 ? '' : ` by ${node.primaryKey.join(', ')}`}) columns [${node.fields.map(f => f.name).join(', ')}]`
  }
}

function showAggregate(a: PlanAggregate, fields: readonly PlanField[]): string {
  const args = a.function === 'count' && a.args.length === 0 ? '*' : a.args.map(x => show(x, fields)).join(', ')
  return `${a.function.toUpperCase()}(${args})${a.filter === null ? '' : ` FILTER (WHERE ${show(a.filter, fields)})`}`
}

function show(e: PlanExpression, fields: readonly PlanField[]): string {
  switch (e.kind) {
    case 'column':
      return fields[e.index]?.name ?? `#${e.index}`
    case 'literal':
      if (e.value === null) return 'NULL'
      if (e.type.name === 'utf8') return `'${String(e.value).replaceAll("'", "''")}'`
      return e.type.name === 'duration' ? `${e.value} ms` : String(e.value)
    case 'cast':
      return `${e.try ? 'TRY_CAST' : 'CAST'}(${show(e.arg, fields)} AS ${typeText(e)})`
    case 'call': {
      const symbol = kSymbols[e.function]
      if (symbol !== undefined && e.args.length === 2)
        return `(${show(e.args[0]!, fields)} ${symbol} ${show(e.args[1]!, fields)})`
      return `${e.function}(${e.args.map(a => show(a, fields)).join(', ')})`
    }
  }
}

function typeText(e: PlanExpression): string {
  const parameters = Object.entries(e.type).flatMap(([k, v]) => (k === 'name' || k === 'isSigned' ? [] : [String(v)]))
  return parameters.length === 0 ? e.type.name : `${e.type.name}(${parameters.join(', ')})`
}
