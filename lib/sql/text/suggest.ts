// "Did you mean": the candidate that is nearest to a misspelt name, when it is near enough to be meant.

/** Edit distance with transpositions (optimal string alignment), cut off above `limit`. */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let beforePrevious: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    let best = i
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let d = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) d = Math.min(d, beforePrevious[j - 2]! + 1)
      row.push(d)
      best = Math.min(best, d)
    }
    if (best > limit) return limit + 1
    beforePrevious = previous
    previous = row
  }
  return previous[b.length]!
}

/** The candidate within distance 1 (short names) or 2, compared without regard to case. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = name.toLowerCase()
  const limit = wanted.length <= 2 ? 0 : wanted.length <= 4 ? 1 : wanted.length <= 12 ? 2 : 3
  let best: string | undefined
  let bestDistance = limit + 1
  for (const candidate of candidates) {
    // A transposition counts one, but in short words it is still the likeliest slip: FORM for FROM.
    const d = editDistance(wanted, candidate.toLowerCase(), limit)
    if (d < bestDistance) {
      best = candidate
      bestDistance = d
    }
  }
  return best
}

/** `did you mean X?` or undefined. */
export function didYouMean(name: string, candidates: Iterable<string>): string | undefined {
  const found = nearest(name, candidates)
  return found === undefined ? undefined : `did you mean ${found}?`
}

/** `did you mean X? <label>: a, b, c`; the list is cut after 20 names. */
export function didYouMeanOrList(name: string, candidates: Iterable<string>, label: string): string {
  const all = [...candidates]
  const meant = didYouMean(name, all)
  const list =
    all.length === 0 ? `${label}: none` : `${label}: ${all.slice(0, 20).join(', ')}${all.length > 20 ? ', …' : ''}`
  return meant === undefined ? list : `${meant} ${list}`
}
