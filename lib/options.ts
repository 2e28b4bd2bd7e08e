// Checks of what callers pass: one table of rules for each options object. An unknown name is a TypeError with a suggestion, a
// value of another type a TypeError, a number out of bounds a RangeError, a known option that does nothing yet
// MARBLE_NOT_SUPPORTED. Every message names the option, what was given and what is allowed; nothing is ignored in silence.
import { invalidArgument, notSupported, outOfRange } from './errors.js'
import { nearest } from './sql/text/suggest.js'

/** What a value may be. */
export interface Rule {
  readonly allowed: string
  /** Is it of the right type? */
  is(value: unknown): boolean
  /** Asked of the right type: a number, but not too big. */
  fits?(value: unknown): boolean
  /** Which part of a value is wrong: "'A' is 5". */
  detail?(value: unknown): string | undefined
  /** For "did you mean". */
  readonly choices?: readonly string[]
  /** The option is known and does nothing yet; `today`: the one value that asks for nothing new. */
  readonly later?: { readonly today: unknown }
}
/** A rule for each option of T: the compiler asks for a missing one. */
export type Rules<T> = { readonly [K in keyof T]-?: Rule }

/** Node's timers, and waits of the addon, hold no more: 24 days. */
export const kMaxMs = 2 ** 31 - 1

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
/** What may hold options: no array, Map, Date or promise. */
const isPlain = (value: unknown): value is Record<string, unknown> =>
  isObject(value) && Object.prototype.toString.call(value) === '[object Object]'
const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed()
const hasFunctions = (value: unknown, names: readonly string[]): boolean =>
  isObject(value) && names.every(name => typeof value[name] === 'function')

function firstThatIsNoText(entries: [string, unknown][]): string | undefined {
  const wrong = entries.find(([, item]) => typeof item !== 'string')
  return wrong === undefined ? undefined : `'${wrong[0]}' is ${shown(wrong[1])}`
}

/** The rules that there are; classes have theirs beside them. */
export const rule = {
  flag: { allowed: 'true or false', is: value => typeof value === 'boolean' },
  text: { allowed: 'a string that is not empty', is: isText },
  /** Names cross as UTF-8: two that differ in a lone surrogate only would be one. */
  name: {
    allowed: 'a string that is not empty and has no lone surrogate',
    is: value => isText(value) && isWellFormed(value),
  },
  anyText: { allowed: 'a string', is: value => typeof value === 'string' },
  directory: {
    allowed: "the path of a directory (a string without NUL characters and lone surrogates) or ':memory:'",
    is: value => isText(value) && !value.includes('\0') && isWellFormed(value),
  },
  func: { allowed: 'a function', is: value => typeof value === 'function' },
  object: { allowed: 'an object', is: isPlain },
  list: { allowed: 'an array', is: value => Array.isArray(value) },
  texts: {
    allowed: 'an array of strings',
    is: value => Array.isArray(value) && value.every(item => typeof item === 'string'),
    detail: value => (Array.isArray(value) ? firstThatIsNoText(Object.entries(value)) : undefined),
  },
  textRecord: {
    allowed: 'an object whose values are strings',
    is: value => isPlain(value) && Object.values(value).every(item => typeof item === 'string'),
    detail: value => (isPlain(value) ? firstThatIsNoText(Object.entries(value)) : undefined),
  },
  bytes: {
    allowed: 'a string or a Uint8Array (Buffer)',
    is: value => typeof value === 'string' || value instanceof Uint8Array,
  },
  signal: {
    allowed: 'an AbortSignal',
    is: value => hasFunctions(value, ['addEventListener']) && typeof (value as AbortSignal).aborted === 'boolean',
  },
  logger: {
    allowed: 'an object with the functions debug, info, warn and error',
    is: value => hasFunctions(value, ['debug', 'info', 'warn', 'error']),
  },
  /** Whoever gets it looks at it. */
  anything: { allowed: 'anything', is: () => true },
} as const satisfies Record<string, Rule>

/** A whole number within bounds. */
export function count(least = 0, most = Number.MAX_SAFE_INTEGER): Rule {
  const open = most === Number.MAX_SAFE_INTEGER
  return {
    allowed: `a whole number ${open ? `of at least ${least}` : `from ${least} to ${most}`}`,
    is: value => typeof value === 'number',
    fits: value => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
  }
}

/** A number within bounds, fractions too. */
export function real(least: number, most: number): Rule {
  return {
    allowed: `a number from ${least} to ${most}`,
    is: value => typeof value === 'number',
    fits: value => (value as number) >= least && (value as number) <= most,
  }
}

export function oneOf(...choices: string[]): Rule {
  return {
    allowed: choices.map(choice => `'${choice}'`).join(' or '),
    is: value => choices.includes(value as string),
    choices,
  }
}

/** An array of what `each` allows. */
export function listOf(each: Rule): Rule {
  return {
    allowed: `an array of ${each.allowed}`,
    is: value => Array.isArray(value) && value.every(item => each.is(item)),
    detail: value => {
      if (!Array.isArray(value)) return undefined
      const wrong = value.findIndex(item => !each.is(item))
      return wrong < 0 ? undefined : `'${wrong}' is ${shown(value[wrong])}`
    },
  }
}

/** An option that is known and does nothing yet: any value of it but `today` is MARBLE_NOT_SUPPORTED. */
export function later(inner: Rule, today?: unknown): Rule {
  return { ...inner, later: { today } }
}

/** A value as messages show it. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
    case 'bigint':
      return `${value}n`
    case 'function':
      return 'a function'
    case 'object': {
      if (value === null) return 'null'
      const name = (value as { constructor?: { name?: unknown } }).constructor?.name
      if (typeof name !== 'string' || name === '' || name === 'Object') return 'an object'
      return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
    }
    default:
      return String(value)
  }
}

/** " (did you mean 'x'?)", or nothing when no name is near. */
export function didYouMean(name: string, names: Iterable<string>): string {
  const meant = nearest(name, names)
  return meant === undefined ? '' : ` (did you mean '${meant}'?)`
}

/** Check one value that must be there. */
export function checkValue(where: string, name: string, value: unknown, wanted: Rule): void {
  const right = wanted.is(value)
  if (right && wanted.fits?.(value) !== false) return
  const hint = typeof value === 'string' && wanted.choices !== undefined ? didYouMean(value, wanted.choices) : ''
  const detail = wanted.detail?.(value)
  const message = `${where}: ${name} must be ${wanted.allowed}${detail === undefined ? `, not ${shown(value)}` : `: ${detail}`}${hint}`
  throw right ? outOfRange(message) : invalidArgument(message)
}

type RuleTable = Readonly<Record<string, Rule>>

/** Check an options object: its names, and those values that are not undefined. */
export function checkOptions(where: string, options: unknown, rules: RuleTable): void {
  if (options === undefined) return
  if (!isPlain(options)) throw invalidArgument(`${where}: options must be an object, not ${shown(options)}`)
  checkNamed(where, 'option', options, rules)
}

/** The same for an object that is no options: a record, a range. `where` names it. */
export function checkFields(where: string, value: unknown, rules: RuleTable): void {
  if (!isPlain(value)) throw invalidArgument(`${where} must be an object, not ${shown(value)}`)
  checkNamed(where, 'field', value, rules)
}

function checkNamed(where: string, noun: string, given: Record<string, unknown>, rules: RuleTable): void {
  // Inherited ones too: they are read like the object's own.
  for (const name in given) {
    const value = given[name]
    if (value === undefined) continue
    const wanted = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (wanted === undefined) {
      const known = Object.keys(rules)
      const hint =
        didYouMean(name, known) || `; it takes ${known.filter(k => rules[k]!.later === undefined).join(', ')}`
      throw invalidArgument(`${where}: unknown ${noun} '${name}'${hint}`)
    }
    checkValue(where, name, value, wanted)
    if (wanted.later !== undefined && value !== wanted.later.today)
      throw notSupported(`${where}: option '${name}' (${shown(value)})`)
  }
}
