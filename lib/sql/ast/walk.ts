// The direct subexpressions of an expression.

import type { Expression } from './expressions.js'

export function subexpressions(e: Expression): readonly Expression[] {
  switch (e.kind) {
    case 'unary':
    case 'cast':
    case 'extract':
    case 'roundTo':
    case 'is':
      return [e.operand]
    case 'binary':
    case 'distinctFrom':
      return [e.left, e.right]
    case 'between':
      return [e.operand, e.low, e.high]
    case 'in':
      return [e.operand, ...e.list]
    case 'like':
      return e.escape === undefined ? [e.operand, e.pattern] : [e.operand, e.pattern, e.escape]
    case 'case':
      return [
        ...(e.operand === undefined ? [] : [e.operand]),
        ...e.branches.flatMap(b => [b.when, b.result]),
        ...(e.otherwise === undefined ? [] : [e.otherwise]),
      ]
    case 'function':
      return e.filter === undefined ? e.args : [...e.args, e.filter]
    default:
      return []
  }
}
