// Checks of options objects: an unknown name is a TypeError with a suggestion, a known one that does nothing yet is
// MARBLE_NOT_SUPPORTED. Nothing is ignored in silence.
import { invalidArgument, notSupported } from './errors.js'

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1]!.toLowerCase() === b[j - 1]!.toLowerCase() ? 0 : 1)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, change))
    }
    row = next
  }
  return row[b.length]!
}

/** " (did you mean 'x'?)", or nothing when no name is near. */
export function didYouMean(name: string, names: readonly string[]): string {
  const [best] = names.map(known => ({ known, far: distance(name, known) })).sort((a, b) => a.far - b.far)
  return best !== undefined && best.far <= Math.max(2, Math.floor(name.length / 3))
    ? ` (did you mean '${best.known}'?)`
    : ''
}

/** Check the names in `options`. Those in `later` are known but do nothing yet. */
export function checkOptions(
  where: string,
  options: object | undefined,
  known: readonly string[],
  later: readonly string[] = [],
): void {
  if (options === undefined || options === null) return
  if (typeof options !== 'object') throw invalidArgument(`${where}: options must be an object`)
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue
    if (later.includes(name)) throw notSupported(`${where}: option '${name}'`)
    throw invalidArgument(`${where}: unknown option '${name}'${didYouMean(name, [...known, ...later])}`)
  }
}

/** Check that a value is one of a list. */
export function checkChoice(where: string, name: string, value: unknown, choices: readonly string[]): void {
  if (value !== undefined && !choices.includes(value as string)) {
    throw invalidArgument(
      `${where}: ${name} must be ${choices.map(c => `'${c}'`).join(' or ')}, not ${JSON.stringify(value)}`,
    )
  }
}

/** Check that a value is a whole number of at least `least`. */
export function checkCount(where: string, name: string, value: unknown, least = 0): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && (value as number) >= least)) {
    throw Object.assign(
      new RangeError(`${where}: ${name} must be a whole number of at least ${least}, not ${String(value)}`),
      { code: 'MARBLE_INVALID_ARGUMENT' },
    )
  }
}

export function checkAborted(signal: AbortSignal | undefined, make: (signal: AbortSignal) => Error): void {
  if (signal?.aborted) throw make(signal)
}
