// Durations as Flink's options write them: '10 s', '500ms', '1 min', '2 h'; a number alone is milliseconds.

const kUnits: readonly (readonly [RegExp, number])[] = [
  [/^(ms|milli|millis|millisecond|milliseconds)?$/, 1],
  [/^(s|sec|secs|second|seconds)$/, 1000],
  [/^(m|min|mins|minute|minutes)$/, 60_000],
  [/^(h|hour|hours)$/, 3_600_000],
  [/^(d|day|days)$/, 86_400_000],
]

/** Milliseconds, or undefined. */
export function parseDuration(text: string): number | undefined {
  const m = /^(\d{1,15})\s*([a-zA-Z]*)$/.exec(text.trim())
  if (m === null) return undefined
  const factor = kUnits.find(([pattern]) => pattern.test(m[2]!.toLowerCase()))?.[1]
  const ms = factor === undefined ? undefined : Number(m[1]) * factor
  return ms !== undefined && Number.isSafeInteger(ms) ? ms : undefined
}
