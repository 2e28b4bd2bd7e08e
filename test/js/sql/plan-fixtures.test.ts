import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { JobPlan, RegisteredSource } from '../../../lib/sql/index.js'
import { Session } from './helpers.js'

const directory = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../fixtures/plans')

/** Objects that fit into a line stand on one. */
function pretty(value: unknown, indent = ''): string {
  const line = JSON.stringify(value, null, 1).replace(/\n\s*/g, ' ')
  if (value === null || typeof value !== 'object' || line.length + indent.length <= 150) return line
  const inner = `${indent}  `
  if (Array.isArray(value)) return `[\n${value.map(v => inner + pretty(v, inner)).join(',\n')}\n${indent}]`
  return `{\n${Object.entries(value)
    .map(([k, v]) => `${inner}${JSON.stringify(k)}: ${pretty(v, inner)}`)
    .join(',\n')}\n${indent}}`
}

function planFile(file: string): JobPlan {
  const sql = fs.readFileSync(file, 'utf8')
  const session = new Session()
  for (const [, json] of sql.matchAll(/^-- registerSource: (.*)$/gm))
    session.catalog.registerSource(JSON.parse(json!) as RegisteredSource)
  const plans = session.run(sql).flatMap(p => ('plan' in p && p.plan !== undefined ? [p.plan] : []))
  assert.equal(plans.length, 1, 'a fixture has one job')
  return plans[0]!
}

describe('plan fixtures', () => {
  for (const name of fs.readdirSync(directory).filter(f => f.endsWith('.sql'))) {
    it(`${name} gives the plan beside it`, () => {
      const file = path.join(directory, name)
      const plan = planFile(file)
      const json = file.replace(/\.sql$/, '.json')
      if (process.env.UPDATE_FIXTURES === '1') fs.writeFileSync(json, `${pretty(plan)}\n`)
      assert.deepEqual(JSON.parse(JSON.stringify(plan)), JSON.parse(fs.readFileSync(json, 'utf8')))
    })

    it(`${name} gives a plan whose nodes and indices hang together`, () => {
      checkPlan(planFile(path.join(directory, name)))
    })
  }
})

/** Every input exists and comes before, every column index is in range and has the type of its field. */
function checkPlan(plan: JobPlan): void {
  const seen = new Map<string, JobPlan['nodes'][number]>()
  for (const node of plan.nodes) {
    assert.ok(!seen.has(node.id), `${node.id} appears twice`)
    assert.equal(new Set(node.fields.map(f => f.name)).size, node.fields.length, `${node.id}: field names are unique`)
    if (node.type === 'source') {
      assert.equal(node.columns.length, node.fields.length)
    } else {
      const input = seen.get(node.input)
      assert.ok(input, `${node.id}: its input ${node.input} comes before it`)
      const check = (e: unknown): void => {
        if (e === null || typeof e !== 'object') return
        if ('kind' in e && e.kind === 'column' && 'index' in e && 'type' in e)
          assert.deepEqual(e.type, input.fields[e.index as number]?.type, `${node.id}: column ${String(e.index)}`)
        for (const child of Object.values(e)) check(child)
      }
      check(
        node.type === 'calc'
          ? [node.projections, node.filter]
          : node.type === 'watermark'
            ? node.expr
            : 'aggregates' in node
              ? node.aggregates
              : [],
      )
      if (node.type === 'watermark') assert.deepEqual(node.fields, input.fields, `${node.id} passes rows through`)
      if (node.type === 'calc')
        assert.deepEqual(
          node.projections.map(p => p.type),
          node.fields.map(f => f.type),
        )
      if (node.type === 'sink')
        assert.deepEqual(
          input.fields.map(f => f.type),
          node.fields.map(f => f.type),
        )
      if (node.type === 'windowAggregate') {
        assert.equal(node.fields.length, node.keys.length + node.aggregates.length + node.windowColumns.length)
        assert.equal(input.fields[node.window.timeColumn]?.type.name, 'timestamp')
      }
      if (node.type === 'groupAggregate') assert.equal(node.fields.length, node.keys.length + node.aggregates.length)
    }
    seen.set(node.id, node)
  }
}
