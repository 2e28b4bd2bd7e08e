// A bound query, with what is known about its changes: whether rows are only added, or replaced by a key.

import type { LogicalNode } from '../logical/nodes.js'
import { Scope } from './scope.js'

export interface Relation {
  readonly node: LogicalNode
  readonly scope: Scope
  /** Undefined: append only. Else rows replace earlier ones; `key` are the columns that identify a row, undefined when one is lost. */
  readonly updating: { readonly key: readonly number[] | undefined; readonly keyNames: readonly string[] } | undefined
}

export function relation(
  node: LogicalNode,
  qualifier: string | undefined,
  updating: Relation['updating'] = undefined,
): Relation {
  return { node, scope: new Scope(node.columns, qualifier), updating }
}
