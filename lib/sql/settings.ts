// What SET knows. An unknown key is refused: nothing is ignored in silence.

import type { JobPlan } from './plan/plan.js'
import type { SourceText } from './text/source-text.js'
import type { Span } from './text/span.js'
import { didYouMean } from './text/suggest.js'

export type Settings = Readonly<Record<string, string>>

interface SettingDefinition {
  readonly description: string
  /** What is wrong with a value, or undefined. */
  check(value: string): string | undefined
}

const positive =
  (limit: number) =>
  (value: string): string | undefined =>
    /^\d{1,9}$/.test(value) && Number(value) >= 1 && Number(value) <= limit
      ? undefined
      : `a whole number from 1 to ${limit}`

const oneOf =
  (...values: string[]) =>
  (value: string): string | undefined =>
    values.includes(value) ? undefined : values.map(v => `'${v}'`).join(' or ')

export const kSettings: Readonly<Record<string, SettingDefinition>> = {
  'pipeline.name': { description: 'the name of the next jobs', check: v => (v.trim() === '' ? 'a name' : undefined) },
  'pipeline.max-parallelism': {
    description: 'key groups of the next jobs: fixed once a job has state',
    check: positive(32768),
  },
  'parallelism.default': { description: 'threads of the next jobs', check: positive(1024) },
  'execution.restart': {
    description: "'resume' a job that has state, or start 'fresh': drop its state and rows",
    check: oneOf('resume', 'fresh'),
  },
  'execution.runtime-mode': {
    description: 'jobs are streaming jobs, also over bounded input',
    check: oneOf('streaming'),
  },
  'table.local-time-zone': { description: 'the time zone of the session', check: oneOf('UTC') },
  'marble.epoch-ms': { description: 'milliseconds between commits', check: positive(2_000) },
}

export function checkSetting(source: SourceText, key: string, keySpan: Span, value: string, valueSpan: Span): void {
  const definition = Object.hasOwn(kSettings, key) ? kSettings[key] : undefined
  if (definition === undefined) throw unknownSetting(source, key, keySpan)
  const wanted = definition.check(value)
  if (wanted !== undefined) throw source.error(valueSpan, `'${value}' is not a value of '${key}'`, `it takes ${wanted}`)
}

export function unknownSetting(source: SourceText, key: string, span: Span): Error {
  return source.error(
    span,
    `unknown setting '${key}'`,
    didYouMean(key, Object.keys(kSettings)) ?? `settings: ${Object.keys(kSettings).join(', ')}`,
  )
}

/** What settings mean for one job. */
export interface JobSettings {
  readonly name: string | undefined
  readonly restart: 'resume' | 'fresh'
  readonly parallelism: number | undefined
  readonly plan: JobPlan['settings']
}

export function jobSettings(settings: Settings): JobSettings {
  const number = (key: string): number | undefined => (settings[key] === undefined ? undefined : Number(settings[key]))
  const [epochMs, maxParallelism] = [number('marble.epoch-ms'), number('pipeline.max-parallelism')]
  return {
    name: settings['pipeline.name'],
    restart: settings['execution.restart'] === 'fresh' ? 'fresh' : 'resume',
    parallelism: number('parallelism.default'),
    plan: {
      ...(epochMs === undefined ? {} : { epochMs }),
      ...(maxParallelism === undefined ? {} : { maxParallelism }),
    },
  }
}
