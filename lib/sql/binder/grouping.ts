// Expressions above a GROUP BY: aggregates and grouping keys become columns of the aggregate, anything else is built from them.

import type { Expression, FunctionCall } from '../ast/expressions.js'
import { subexpressions } from '../ast/walk.js'
import { bindAggregate, kAggregateFunctions } from '../functions/aggregate-functions.js'
import { FunctionCallContext } from '../functions/function-call.js'
import { type BoundAggregate, type BoundExpression, column, identity } from '../logical/expressions.js'
import { foldConstants } from '../rules/constant-folding.js'
import type { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { ExpressionBinder } from './expression-binder.js'
import type { Parameters } from './parameters.js'
import type { Scope } from './scope.js'

export function isAggregateCall(e: Expression): e is FunctionCall {
  return e.kind === 'function' && e.over === undefined && Object.hasOwn(kAggregateFunctions, e.name.name.toUpperCase())
}

export function containsAggregate(e: Expression): boolean {
  return isAggregateCall(e) || subexpressions(e).some(containsAggregate)
}

export class GroupedBinder extends ExpressionBinder {
  readonly #keys: readonly BoundExpression[]
  readonly #keyIds: readonly string[]
  /** True when a key is more than a column: then every expression may be one. */
  readonly #complexKeys: boolean
  readonly #input: ExpressionBinder
  readonly #arguments: ExpressionBinder
  readonly #ids = new Map<string, number>()
  readonly aggregates: BoundAggregate[] = []

  constructor(source: SourceText, scope: Scope, params: Parameters | undefined, keys: readonly BoundExpression[]) {
    super(source, scope, params, 'SELECT')
    this.#keys = keys
    this.#keyIds = keys.map(identity)
    this.#complexKeys = keys.some(k => k.kind !== 'column')
    this.#input = new ExpressionBinder(source, scope, params, 'GROUP BY')
    this.#arguments = new ExpressionBinder(source, scope, params, 'the argument of another aggregate')
  }

  protected override intercept(e: Expression): BoundExpression | undefined {
    if (isAggregateCall(e)) return this.#aggregate(e)
    if (e.kind === 'columnRef') return this.#key(e) ?? this.#missing(e)
    if (this.#complexKeys && subexpressions(e).length > 0 && !containsAggregate(e)) return this.#key(e)
    return undefined
  }

  /** Column i of the input, which has to be a key. */
  bindIndex(i: number, span: Span): BoundExpression {
    const c = this.scope.columns[i]!
    const at = this.#keyIds.indexOf(identity(column(i, c.type)))
    if (at >= 0) return column(at, this.#keys[at]!.type)
    return this.#missing({ kind: 'columnRef', parts: [{ name: c.name, quoted: false, span }], span })
  }

  #key(e: Expression): BoundExpression | undefined {
    const at = this.#keyIds.indexOf(identity(foldConstants(this.#input.bind(e))))
    return at < 0 ? undefined : column(at, this.#keys[at]!.type)
  }

  #missing(e: Expression & { kind: 'columnRef' }): never {
    const name = e.parts.map(p => p.name).join('.')
    const hint =
      this.#keys.length === 0
        ? `add GROUP BY ${name}, or aggregate it: MAX(${name})`
        : `add ${name} to GROUP BY, or aggregate it: MAX(${name})`
    throw this.source.error(e.span, `the column ${name} must appear in GROUP BY or in an aggregate`, hint)
  }

  #aggregate(e: FunctionCall): BoundExpression {
    const name = e.name.name.toUpperCase()
    if (e.distinct) throw this.source.notSupported(e.span, `${name}(DISTINCT …)`)
    if (e.star && name !== 'COUNT') throw this.source.error(e.span, `${name}(*) has no meaning`, 'only COUNT takes *')
    const wanted = e.star ? 0 : 1
    if (e.args.length !== wanted)
      throw this.source.error(
        e.span,
        `${name} takes one argument, found ${e.args.length}`,
        name === 'COUNT' && e.args.length === 0 ? 'write COUNT(*)' : undefined,
      )
    const args = e.args.map(a => foldConstants(this.#arguments.bind(a)))
    const context = new FunctionCallContext(
      this.source,
      name,
      args,
      e.args.map(a => a.span),
      e.span,
    )
    const filter = e.filter === undefined ? undefined : foldConstants(this.#arguments.bindCondition(e.filter))
    const bound = bindAggregate(context, filter)
    const id = JSON.stringify([
      bound.function,
      bound.args.map(identity),
      filter === undefined ? null : identity(filter),
    ])
    let at = this.#ids.get(id)
    if (at === undefined) {
      at = this.aggregates.length
      this.aggregates.push(bound)
      this.#ids.set(id, at)
    }
    return column(this.#keys.length + at, bound.type)
  }
}
