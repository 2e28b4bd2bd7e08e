// Ranges of keys as the addon reads them.
import type { Bound } from '../../binding.js'
import { invalidArgument } from '../errors.js'
import { checkFields, rule, type Rules } from '../options.js'
import type { Range } from '../state/state-backend.js'

const rangeRules: Rules<Range<unknown>> = {
  gte: rule.anything, // `values` looks at them
  gt: rule.anything,
  lte: rule.anything,
  lt: rule.anything,
}

/** `values`: a key as the addon takes it. */
export function boundsOf<K>(
  where: string,
  range: Range<K> | undefined,
  values: (key: K) => unknown,
): { lower?: Bound | undefined; upper?: Bound | undefined } {
  if (range === undefined) return {}
  checkFields(`${where}: range`, range, rangeRules)
  const bound = (inclusive: 'gte' | 'lte', exclusive: 'gt' | 'lt'): Bound | undefined => {
    if (range[inclusive] !== undefined && range[exclusive] !== undefined)
      throw invalidArgument(`${where}: a range has ${inclusive} or ${exclusive}, not both`)
    const key = range[inclusive] ?? range[exclusive]
    return key === undefined ? undefined : { key: values(key), inclusive: range[inclusive] !== undefined }
  }
  return { lower: bound('gte', 'gt'), upper: bound('lte', 'lt') }
}
