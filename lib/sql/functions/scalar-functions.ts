// The scalar functions that SQL can call, each bound to functions of the plan. What the plan lacks is not here, so it is an
// unknown function with a suggestion, or one of kNotYet with a reason.

import { type BoundExpression, call, literal } from '../logical/expressions.js'
import { arithmeticType } from '../types/coercion.js'
import {
  BOOLEAN,
  INT,
  isInteger,
  type SqlType,
  STRING,
  TIMESTAMP_3,
  TIMESTAMP_LTZ_3,
  withNullable,
} from '../types/sql-type.js'
import { type FunctionCallContext, stringLiteral } from './function-call.js'
import { numericCall, unifyForComparison } from './operators.js'
import { bindExtract, type kExtractUnits } from './time-functions.js'

export interface ScalarFunction {
  /** For messages: `SUBSTRING(text, from [, length])`. */
  readonly usage: string
  readonly minArgs: number
  readonly maxArgs: number
  bind(c: FunctionCallContext): BoundExpression
}

function fn(
  usage: string,
  minArgs: number,
  maxArgs: number,
  bind: (c: FunctionCallContext) => BoundExpression,
): ScalarFunction {
  return { usage, minArgs, maxArgs, bind }
}

const floorOrCeil =
  (name: 'floor' | 'ceil') =>
  (c: FunctionCallContext): BoundExpression => {
    const arg = c.numeric(0)
    if (isInteger(arg.type)) return arg
    if (arg.type.name === 'DECIMAL') return call(name, [arg], { ...arg.type, precision: arg.type.precision, scale: 0 })
    return call(name, [arg], arg.type)
  }

const upperCase =
  (name: 'upper' | 'lower' | 'trim') =>
  (c: FunctionCallContext): BoundExpression =>
    call(name, [c.string(0)], STRING)

const charLength = (c: FunctionCallContext): BoundExpression => call('charLength', [c.string(0)], INT)

const substring = (c: FunctionCallContext): BoundExpression =>
  call('substring', [c.string(0), c.int(1), ...(c.args.length > 2 ? [c.int(2)] : [])], STRING)

const coalesce = (c: FunctionCallContext): BoundExpression => {
  const { args, type } = c.unify(c.args.map((_, i) => i))
  return args.length === 1
    ? args[0]!
    : call(
        'coalesce',
        args,
        type,
        args.every(a => a.type.nullable),
      )
}

/** MOD has the type of its second argument, as in Flink. */
const mod = (c: FunctionCallContext): BoundExpression => {
  const [a, b] = [c.numeric(0), c.numeric(1)]
  const result = numericCall(c, '%')
  if (!isInteger(arithmeticType('%', a.type, b.type)) || b.type.name === result.type.name) return result
  return { kind: 'cast', arg: result, try: false, type: withNullable(b.type, result.type.nullable) }
}

const nullIf = (c: FunctionCallContext): BoundExpression => {
  const [a, b] = unifyForComparison(
    c.source,
    'NULLIF',
    { e: c.args[0]!, span: c.argSpans[0]! },
    { e: c.args[1]!, span: c.argSpans[1]! },
    c.span,
  )
  const value = c.args[0]!
  const type: SqlType = withNullable(value.type, true)
  return call('case', [call('equals', [a, b], BOOLEAN), literal(null, type), value], type, true)
}

const iff = (c: FunctionCallContext): BoundExpression => {
  const condition = c.boolean(0)
  const { args, type } = c.unify([1, 2])
  return call(
    'case',
    [condition, ...args],
    type,
    args.some(a => a.type.nullable),
  )
}

const toTimestamp = (c: FunctionCallContext): BoundExpression => {
  const pattern =
    c.args.length > 1
      ? c.constantString(1, 'a format')
      : (stringLiteral('yyyy-MM-dd HH:mm:ss') as BoundExpression & { kind: 'literal' })
  checkPattern(c, 1, String(pattern.value))
  return call('toTimestamp', [c.string(0), pattern], TIMESTAMP_3, true)
}

const dateFormat = (c: FunctionCallContext): BoundExpression => {
  const pattern = c.constantString(1, 'a format')
  checkPattern(c, 1, String(pattern.value))
  return call('dateFormat', [c.timestamp(0), pattern], STRING)
}

/** The letters that the runtime knows: y M d H m s S; anything else that is a letter has to be quoted. */
function checkPattern(c: FunctionCallContext, i: number, pattern: string): void {
  const bad = /[A-Za-z]/.exec(pattern.replace(/'[^']*'/g, '').replace(/[yMdHmsS]/g, ''))
  if (bad === null) return
  const hint = { Y: 'the year is yyyy', D: 'the day of the month is dd', h: 'the hour of the day is HH' }[bad[0]]
  throw c.error(
    i,
    `not supported: '${bad[0]}' in the format '${pattern}'`,
    `${hint === undefined ? '' : `${hint}; `}formats consist of y M d H m s S; other letters stand in quotes, such as ''T''`,
  )
}

const part = (unit: keyof typeof kExtractUnits) => fn(`${unit}(timestamp)`, 1, 1, c => bindExtract(c, unit))

export const kScalarFunctions: Readonly<Record<string, ScalarFunction>> = {
  ABS: fn('ABS(number)', 1, 1, c => call('abs', [c.numeric(0)], c.numeric(0).type)),
  FLOOR: fn('FLOOR(number) or FLOOR(timestamp TO unit)', 1, 1, floorOrCeil('floor')),
  CEIL: fn('CEIL(number) or CEIL(timestamp TO unit)', 1, 1, floorOrCeil('ceil')),
  CEILING: fn('CEILING(number)', 1, 1, floorOrCeil('ceil')),
  MOD: fn('MOD(number, number)', 2, 2, mod),
  UPPER: fn('UPPER(text)', 1, 1, upperCase('upper')),
  LOWER: fn('LOWER(text)', 1, 1, upperCase('lower')),
  TRIM: fn('TRIM(text)', 1, 1, upperCase('trim')),
  CHAR_LENGTH: fn('CHAR_LENGTH(text)', 1, 1, charLength),
  CHARACTER_LENGTH: fn('CHARACTER_LENGTH(text)', 1, 1, charLength),
  CONCAT: fn('CONCAT(text, …)', 1, 1000, c =>
    call(
      'concat',
      c.args.map((_, i) => c.string(i)),
      STRING,
    ),
  ),
  SUBSTRING: fn('SUBSTRING(text, from [, length])', 2, 3, substring),
  SUBSTR: fn('SUBSTR(text, from [, length])', 2, 3, substring),
  COALESCE: fn('COALESCE(value, …)', 1, 1000, coalesce),
  IFNULL: fn('IFNULL(value, replacement)', 2, 2, coalesce),
  NULLIF: fn('NULLIF(value, value)', 2, 2, nullIf),
  IF: fn('IF(condition, value, value)', 3, 3, iff),
  TO_TIMESTAMP: fn('TO_TIMESTAMP(text [, format])', 1, 2, toTimestamp),
  DATE_FORMAT: fn('DATE_FORMAT(timestamp, format)', 2, 2, dateFormat),
  YEAR: part('YEAR'),
  MONTH: part('MONTH'),
  DAYOFMONTH: fn('DAYOFMONTH(timestamp)', 1, 1, c => bindExtract(c, 'DAY')),
  HOUR: part('HOUR'),
  MINUTE: part('MINUTE'),
  SECOND: part('SECOND'),
  PROCTIME: fn('PROCTIME()', 0, 0, () => call('procTime', [], TIMESTAMP_LTZ_3, false)),
}

/** Functions of Flink that are known by name, with what to use instead where there is something. */
export const kNotYet: Readonly<Record<string, string | undefined>> = {
  CURRENT_WATERMARK: undefined,
  CURRENT_TIMESTAMP: 'use PROCTIME()',
  CURRENT_ROW_TIMESTAMP: 'use PROCTIME()',
  NOW: 'use PROCTIME()',
  LOCALTIMESTAMP: 'use CAST(PROCTIME() AS TIMESTAMP(3))',
  CURRENT_DATE: 'use CAST(PROCTIME() AS DATE)',
  CURRENT_TIME: undefined,
  LOCALTIME: undefined,
  TO_DATE: "use CAST(TO_TIMESTAMP(text, 'yyyy-MM-dd') AS DATE)",
  TO_TIMESTAMP_LTZ: undefined,
  FROM_UNIXTIME: undefined,
  UNIX_TIMESTAMP: undefined,
  TIMESTAMPDIFF: 'subtract the timestamps and compare with an INTERVAL',
  TIMESTAMPADD: 'add an INTERVAL',
  REGEXP_EXTRACT: undefined,
  REGEXP_REPLACE: undefined,
  REGEXP: undefined,
  SPLIT_INDEX: undefined,
  REPLACE: undefined,
  LTRIM: 'use TRIM(text)',
  RTRIM: 'use TRIM(text)',
  LPAD: undefined,
  RPAD: undefined,
  CONCAT_WS: 'use ||',
  LENGTH: 'Flink calls it CHAR_LENGTH',
  LEN: 'Flink calls it CHAR_LENGTH',
  ROUND: undefined,
  POWER: undefined,
  SQRT: undefined,
  LN: undefined,
  EXP: undefined,
  LOG10: undefined,
  SIGN: undefined,
  RAND: undefined,
  UUID: undefined,
  MD5: undefined,
  GREATEST: 'use CASE',
  LEAST: 'use CASE',
  QUARTER: undefined,
  WEEK: undefined,
  DAYOFWEEK: undefined,
  DAYOFYEAR: undefined,
  JSON_VALUE: undefined,
  JSON_QUERY: undefined,
  CARDINALITY: undefined,
  LEFT: 'use SUBSTRING(text, 1, n)',
  RIGHT: undefined,
  GROUPING: undefined,
  ROW_NUMBER: undefined,
  RANK: undefined,
  LAG: undefined,
  LEAD: undefined,
  FIRST_VALUE: undefined,
  LAST_VALUE: undefined,
  LISTAGG: undefined,
  COLLECT: undefined,
  STDDEV_POP: undefined,
  STDDEV_SAMP: undefined,
  VAR_POP: undefined,
  VAR_SAMP: undefined,
  TUMBLE: 'use TABLE(TUMBLE(TABLE t, DESCRIPTOR(c), INTERVAL …)) in FROM and group by window_start, window_end',
  TUMBLE_START: 'use TABLE(TUMBLE(…)) in FROM and window_start',
  TUMBLE_END: 'use TABLE(TUMBLE(…)) in FROM and window_end',
  HOP: undefined,
  SESSION: undefined,
}
