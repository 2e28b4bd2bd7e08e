// The options of the JSON format, `json.*` in WITH; in the plan they stand without the prefix.

import type { OptionDefinition, Options } from '../connector.js'

const kPrefix = 'json.'

export const kJsonOptions: Readonly<Record<string, OptionDefinition>> = {
  'json.ignore-parse-errors': { type: 'boolean' },
  'json.fail-on-missing-field': { type: 'boolean' },
  'json.timestamp-format.standard': { values: ['SQL', 'ISO-8601'] },
  'json.map-null-key.mode': { unsupported: 'it is an option of writing' },
  'json.map-null-key.literal': { unsupported: 'it is an option of writing' },
  'json.encode.decimal-as-plain-number': { unsupported: 'it is an option of writing' },
  'json.encode.ignore-null-fields': { unsupported: 'it is an option of writing' },
  'json.decode.json-parser.enabled': { unsupported: '' },
}

export function jsonFormat(options: Options): { name: 'json'; options: Record<string, string> } {
  const own = options.keys().filter(k => k.startsWith(kPrefix))
  if (options.get('json.ignore-parse-errors') === 'true' && options.get('json.fail-on-missing-field') === 'true') {
    throw options.source.error(
      options.keySpan('json.ignore-parse-errors'),
      "'json.ignore-parse-errors' and 'json.fail-on-missing-field' cannot both be 'true'",
    )
  }
  return { name: 'json', options: Object.fromEntries(own.map(k => [k.slice(kPrefix.length), options.get(k)!])) }
}
