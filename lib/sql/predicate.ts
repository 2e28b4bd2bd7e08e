// A condition over the columns of a table (the `where` of a scan) as the expression that the engine reads.

import { ExpressionBinder } from './binder/expression-binder.js'
import { checkParameters, type Parameters } from './binder/parameters.js'
import { Scope } from './binder/scope.js'
import type { Expression } from './ast/expressions.js'
import { type BoundExpression, call, column } from './logical/expressions.js'
import { parseExpression } from './parser/parse.js'
import type { PlanExpression, PlanField, PlanType } from './plan/plan.js'
import { toPlanExpression } from './plan/plan-expression.js'
import { foldConstants } from './rules/constant-folding.js'
import type { SourceText } from './text/source-text.js'
import { fromPlanField, toPlanType } from './types/arrow.js'
import { BIGINT, BOOLEAN, BYTES, decimal, NULL_TYPE, type SqlType, STRING, withNullable } from './types/sql-type.js'

/**
 * Read `text` over columns given as fields; `index` of a column in the result is its place in `fields`. Throw SqlError, with the place in
 * the text, for what cannot be read or has no meaning; TypeError or RangeError for params that the text does not take. `where` is the
 * call that messages name.
 */
export function planPredicate(
  text: string,
  fields: readonly PlanField[],
  params?: Parameters,
  where = 'where',
): PlanExpression {
  const { expression, source, parameters } = parseExpression(text)
  checkParameters(where, [{ source, parameters }], params)
  const types = fields.map(sqlTypeOf)
  const columns = fields.map((f, i) => ({ name: f.name, type: types[i] ?? NULL_TYPE }))
  const binder = new ConditionBinder(source, new Scope(columns, undefined), params, fields, types)
  const bound = foldConstants(binder.bindCondition(expression))
  return restoreTypes(toPlanExpression(bound, new Map(fields.map((_, i) => [i, i]))), fields)
}

class ConditionBinder extends ExpressionBinder {
  readonly #fields: readonly PlanField[]
  readonly #types: readonly (SqlType | undefined)[]

  constructor(
    source: SourceText,
    scope: Scope,
    params: Parameters | undefined,
    fields: readonly PlanField[],
    types: readonly (SqlType | undefined)[],
  ) {
    super(source, scope, params, 'a condition')
    this.#fields = fields
    this.#types = types
  }

  /** Whether a value is there can be asked of any column. */
  protected override intercept(e: Expression): BoundExpression | undefined {
    if (e.kind !== 'is' || e.test !== 'NULL' || e.operand.kind !== 'columnRef') return undefined
    const index = this.scope.resolve(e.operand.parts, this.source)
    return call(e.negated ? 'isNotNull' : 'isNull', [column(index, this.scope.columns[index]!.type)], BOOLEAN, false)
  }

  protected override bindColumn(e: Expression & { kind: 'columnRef' }): BoundExpression {
    const bound = super.bindColumn(e)
    if (bound.kind !== 'column' || this.#types[bound.index] !== undefined) return bound
    const { name, type } = this.#fields[bound.index]!
    throw this.source.notSupported(e.span, `the column ${name} of Arrow type ${typeName(type)} in a condition`)
  }
}

function typeName(type: PlanType): string {
  const details = Object.entries(type).flatMap(([key, value]) => (key === 'name' ? [] : [`${key} ${String(value)}`]))
  return details.length === 0 ? type.name : `${type.name} (${details.join(', ')})`
}

/** The SQL type that holds all values of a field; undefined when there is none. */
function sqlTypeOf(field: PlanField): SqlType | undefined {
  const { type, nullable } = field
  switch (type.name) {
    case 'int':
      if (type.isSigned !== false) break
      if (type.bitWidth === 64) return decimal(20, 0, nullable)
      if (type.bitWidth === 32) return withNullable(BIGINT, nullable)
      return { name: type.bitWidth === 16 ? 'INT' : 'SMALLINT', nullable }
    case 'largeutf8':
      return withNullable(STRING, nullable)
    case 'largebinary':
      return withNullable(BYTES, nullable)
    case 'decimal':
      if (type.bitWidth !== undefined && type.bitWidth !== 128) return undefined
      break
    case 'timestamp':
      if (type.unit === 'SECOND') return { name: type.timezone ? 'TIMESTAMP_LTZ' : 'TIMESTAMP', precision: 0, nullable }
      break
    default:
  }
  return fromPlanField(field)
}

/** A column whose Arrow type is not the one that SQL's type has is cast to that; the engine takes such casts off again where it can. */
function restoreTypes(e: PlanExpression, fields: readonly PlanField[]): PlanExpression {
  switch (e.kind) {
    case 'column': {
      const field = fields[e.index]!
      const type = sqlTypeOf(field)
      if (type === undefined) return { ...e, type: field.type, children: field.children }
      const plan = toPlanType(type)
      if (plan.children.length > 0) return { ...e, type: field.type, children: field.children }
      if (sameType(plan.type, field.type)) return e
      return { kind: 'cast', arg: { ...e, type: field.type }, try: false, type: e.type, nullable: e.nullable }
    }
    case 'literal':
      return e
    case 'call':
      return { ...e, args: e.args.map(a => restoreTypes(a, fields)) }
    case 'cast':
      return { ...e, arg: restoreTypes(e.arg, fields) }
  }
}

function sameType(a: PlanType, b: PlanType): boolean {
  const [x, y] = [a, b] as unknown as Record<string, unknown>[]
  return [...new Set([...Object.keys(x!), ...Object.keys(y!)])].every(
    key => String(x![key] ?? '') === String(y![key] ?? ''),
  )
}
