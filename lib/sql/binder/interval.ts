// Interval literals: '10' SECOND, '1 02:03:04.5' DAY TO SECOND, '1-6' YEAR TO MONTH.

import type { TimeUnit } from '../ast/expressions.js'
import { type BoundLiteral, literal } from '../logical/expressions.js'
import type { SourceText } from '../text/source-text.js'
import type { Span } from '../text/span.js'
import { INTERVAL_DAY, INTERVAL_YEAR, withNullable } from '../types/sql-type.js'

const kMonths: Partial<Record<TimeUnit, number>> = { YEAR: 12, QUARTER: 3, MONTH: 1 }
const kMs: Partial<Record<TimeUnit, number>> = {
  WEEK: 604_800_000,
  DAY: 86_400_000,
  HOUR: 3_600_000,
  MINUTE: 60_000,
  SECOND: 1000,
  MILLISECOND: 1,
}
const kChain: readonly TimeUnit[] = ['DAY', 'HOUR', 'MINUTE', 'SECOND']

export function bindInterval(
  source: SourceText,
  node: { value: string; negative: boolean; from: TimeUnit; to: TimeUnit | undefined; span: Span },
): BoundLiteral {
  const text = node.value.trim()
  const negative = node.negative !== text.startsWith('-')
  const digits = text.replace(/^[+-]/, '')
  const amount = node.to === undefined ? single(digits, node.from) : range(digits, node.from, node.to)
  if (amount === undefined) {
    const unit = node.to === undefined ? node.from : `${node.from} TO ${node.to}`
    throw source.error(
      node.span,
      `'${node.value}' is not an interval of ${unit}`,
      `such as ${example(node.from, node.to)}`,
    )
  }
  if (!Number.isSafeInteger(amount))
    throw source.error(node.span, `the interval '${node.value}' ${node.from} is too long`)
  const value = BigInt(negative ? -amount : amount)
  return literal(value, withNullable(node.from in kMonths ? INTERVAL_YEAR : INTERVAL_DAY, false))
}

function single(text: string, unit: TimeUnit): number | undefined {
  if (unit === 'SECOND') {
    const m = /^(\d+)(?:\.(\d{1,9}))?$/.exec(text)
    return m === null ? undefined : Number(m[1]) * 1000 + Number((m[2] ?? '').padEnd(3, '0').slice(0, 3))
  }
  return /^\d+$/.test(text) ? Number(text) * (kMonths[unit] ?? kMs[unit]!) : undefined
}

function range(text: string, from: TimeUnit, to: TimeUnit): number | undefined {
  if (from === 'YEAR' && to === 'MONTH') {
    const m = /^(\d+)-(\d{1,2})$/.exec(text)
    return m === null || Number(m[2]) > 11 ? undefined : Number(m[1]) * 12 + Number(m[2])
  }
  const [first, last] = [kChain.indexOf(from), kChain.indexOf(to)]
  if (first < 0 || last <= first) return undefined
  const separators = [' ', ':', ':']
  let pattern = '^(\\d+)'
  for (let i = first; i < last; i++) pattern += `${separators[i]}(\\d{1,2}${i + 1 === 3 ? '(?:\\.\\d{1,9})?' : ''})`
  const m = new RegExp(`${pattern}$`).exec(text)
  if (m === null) return undefined
  let total = 0
  for (let i = first; i <= last; i++) {
    const part = m[i - first + 1]!
    if (i > first && Number(part) >= (i === 1 ? 24 : 60)) return undefined
    total += i === 3 ? single(part, 'SECOND')! : Number(part) * kMs[kChain[i]!]!
  }
  return total
}

function example(from: TimeUnit, to: TimeUnit | undefined): string {
  if (to === undefined) return `INTERVAL '10' ${from}`
  if (from === 'YEAR') return "INTERVAL '1-6' YEAR TO MONTH"
  const [first, last] = [kChain.indexOf(from), kChain.indexOf(to)]
  if (first < 0 || last <= first) return "INTERVAL '1 02:03:04' DAY TO SECOND"
  return `INTERVAL '${['1', ' 02', ':03', ':04']
    .slice(first, last + 1)
    .join('')
    .replace(/^[ :]/, '')}' ${from} TO ${to}`
}
