// Every error of MarbleDB has one of these codes. The list equals the engine's (native/base/status.h), a test compares
// them, plus what only TypeScript can find: MARBLE_SQL and MARBLE_BINDING.

export const errorCodes = [
  'MARBLE_INTERNAL',
  'MARBLE_INVALID_ARGUMENT',
  'MARBLE_CORRUPTION',
  'MARBLE_IO',
  'MARBLE_NO_SPACE',
  'MARBLE_BUSY',
  'MARBLE_LOCKED',
  'MARBLE_READ_ONLY',
  'MARBLE_ABORTED',
  'MARBLE_TIMED_OUT',
  'MARBLE_FENCED',
  'MARBLE_CLOSED',
  'MARBLE_INCOMPATIBLE',
  'MARBLE_INCOMPATIBLE_STATE',
  'MARBLE_SCHEMA',
  'MARBLE_SCHEMA_CHANGED',
  'MARBLE_TABLE_NOT_FOUND',
  'MARBLE_TABLE_EXISTS',
  'MARBLE_COLUMN_NOT_FOUND',
  'MARBLE_NOT_FOUND',
  'MARBLE_NOT_SUPPORTED',
  'MARBLE_TOO_LARGE',
  'MARBLE_TOO_FAR_BEHIND',
  'MARBLE_KAFKA',
  'MARBLE_BAD_RECORD',
  'MARBLE_PLAN',
] as const
export const typeScriptOnlyCodes = ['MARBLE_SQL', 'MARBLE_BINDING'] as const

export type ErrorCode = (typeof errorCodes)[number] | (typeof typeScriptOnlyCodes)[number]

export interface ErrorExtras {
  cause?: unknown
  details?: Record<string, unknown>
}

const retriableCodes: ReadonlySet<string> = new Set(['MARBLE_BUSY', 'MARBLE_TIMED_OUT'])

// Two copies of the package may share one addon: instanceof goes by this brand, not by the prototype.
const brand = Symbol.for('marbledb.error')

export class MarbleError extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    const kind = (value as { [brand]?: string } | null | undefined)?.[brand]
    // biome-ignore lint/complexity/noThisInStatic: the class that is asked for, which may be a subclass
    const { name } = this
    return kind !== undefined && (name === 'MarbleError' || name === kind)
  }

  readonly code: ErrorCode
  /** The same call may succeed later. */
  readonly retriable: boolean
  readonly details: Record<string, unknown> | undefined

  constructor(code: ErrorCode, message: string, extras: ErrorExtras = {}) {
    super(message, extras.cause === undefined ? undefined : { cause: extras.cause })
    this.name = new.target.name
    Object.defineProperty(this, brand, { value: new.target.name })
    this.code = code
    this.retriable = retriableCodes.has(code)
    this.details = extras.details
  }
}

/** A file is damaged: the message names the file and the offset. */
export class CorruptionError extends MarbleError {}
/** Another process has the database open: the message names its pid. */
export class LockedError extends MarbleError {}
export class ClosedError extends MarbleError {}
export class KafkaError extends MarbleError {}
/** A job's state does not fit its plan. */
export class IncompatibleStateError extends MarbleError {}
/** A state or table exists with other options. */
export class IncompatibleError extends MarbleError {}
/** Rows, a batch or a key do not fit a table's schema. */
export class SchemaError extends MarbleError {}
export class NotSupportedError extends MarbleError {}
/** name is 'AbortError', as everywhere on the web platform. */
export class AbortedError extends MarbleError {
  constructor(code: ErrorCode, message: string, extras: ErrorExtras = {}) {
    super(code, message, extras)
    this.name = 'AbortError'
  }
}

const classes: Partial<Record<ErrorCode, typeof MarbleError>> = {
  MARBLE_CORRUPTION: CorruptionError,
  MARBLE_LOCKED: LockedError,
  MARBLE_CLOSED: ClosedError,
  MARBLE_KAFKA: KafkaError,
  MARBLE_INCOMPATIBLE_STATE: IncompatibleStateError,
  MARBLE_INCOMPATIBLE: IncompatibleError,
  MARBLE_SCHEMA: SchemaError,
  MARBLE_NOT_SUPPORTED: NotSupportedError,
  MARBLE_ABORTED: AbortedError,
}

/** Make the error of a code, as its class. */
export function makeError(code: ErrorCode, message: string, extras?: ErrorExtras): MarbleError {
  // What the addon finds wrong with an argument is the TypeError that it is here, too.
  if (code === 'MARBLE_INVALID_ARGUMENT') return invalidArgument(message, extras) as unknown as MarbleError
  return new (classes[code] ?? MarbleError)(code, message, extras)
}

export function notSupported(what: string, remedy = ''): MarbleError {
  return makeError('MARBLE_NOT_SUPPORTED', `${what} is not supported yet${remedy === '' ? '' : `: ${remedy}`}`)
}

export function abortError(signal?: AbortSignal): MarbleError {
  return makeError('MARBLE_ABORTED', 'the operation was aborted', { cause: signal?.reason })
}

/** An argument of the wrong type, or that does not fit the others: TypeError with a code. */
export function invalidArgument(message: string, extras: ErrorExtras = {}): TypeError {
  return branded(new TypeError(message, extras.cause === undefined ? undefined : { cause: extras.cause }))
}

/** An argument of the right type that is too small or too big: RangeError with the same code. */
export function outOfRange(message: string): RangeError {
  return branded(new RangeError(message))
}

/** `instanceof MarbleError` holds for bad arguments as well. */
function branded<E extends Error>(error: E): E {
  Object.defineProperty(error, brand, { value: error.name })
  return Object.assign(error, { code: 'MARBLE_INVALID_ARGUMENT', retriable: false })
}
