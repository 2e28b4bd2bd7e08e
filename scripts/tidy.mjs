// The house rules that no linter knows. Each is a function that returns complaints.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter(path => path !== '' && existsSync(path))
const text = path => readFileSync(path, 'utf8')
const matching = pattern => files.filter(path => pattern.test(path))
const cpp = matching(/^native\/.*\.(cc|h)$/)
const layers = ['base', 'io', 'task', 'expr', 'lsm', 'table', 'state', 'format', 'stream', 'kafka', 'napi']

const rules = {
  'a layer includes only layers below it': () =>
    cpp.flatMap(path => {
      const own = layers.indexOf(path.split('/')[1])
      return [...text(path).matchAll(/^#include "([a-z]+)\//gm)]
        .filter(([, layer]) => layers.indexOf(layer) > own)
        .map(([line]) => `${path}: ${line}`)
    }),
  'only native/napi knows Node-API': () =>
    cpp.filter(
      path => !path.startsWith('native/napi/') && /#include [<"](node_api|napi|js_native_api)/.test(text(path)),
    ),
  'only native/kafka knows librdkafka': () =>
    cpp.filter(path => !path.startsWith('native/kafka/') && /#include <librdkafka/.test(text(path))),
  'every folder of native has a README': () =>
    readdirSync('native')
      .map(name => join('native', name))
      .filter(path => statSync(path).isDirectory() && readdirSync(path).some(name => /\.(cc|h)$/.test(name)))
      .filter(path => !existsSync(join(path, 'README.md'))),
  'headers begin with #pragma once behind a comment': () =>
    cpp.filter(path => path.endsWith('.h') && !/^\/\/[\s\S]*?\n#pragma once/.test(text(path))),
  'no instanceof on Arrow classes': () =>
    matching(/^lib\/.*\.ts$/).filter(path =>
      /instanceof (arrow\.)?(RecordBatch|Table|Schema|Vector|Data)\b/.test(text(path)),
    ),
  'the planner does not know the addon': () =>
    matching(/^lib\/sql\/.*\.ts$/).filter(path =>
      /from '(\.\.\/)+(binding|database|stream|arrow)|from 'apache-arrow'/.test(text(path)),
    ),
  'no word that says unfinished': () =>
    files
      .filter(path => /\.(cc|h|ts|mjs|md|cmake|sh)$/.test(path) && path !== 'scripts/tidy.mjs')
      .flatMap(path => [...text(path).matchAll(/\b(FIXME|TODO|XXX)\b.*/g)].map(([hit]) => `${path}: ${hit}`)),
  'no path of one machine, no registry host': () =>
    files
      .filter(path => path !== 'scripts/tidy.mjs')
      .flatMap(path =>
        [
          ...text(path).matchAll(
            /https?:\/\/[a-z0-9.-]*(registry|pypi|crates|maven|debian|npmjs)[a-z0-9.-]*\/|(?<![\w.$}])\/(work|root|home)\/[a-z]\S*/g,
          ),
        ].map(([hit]) => `${path}: ${hit}`),
      ),
  'no leftovers': () => matching(/\.(bak|orig|rej|log|tmp|node|so|a|o|whl|jar|tgz)$/),
  'a FORMAT.md names the version its code writes': () =>
    matching(/FORMAT\.md$/).flatMap(path => {
      const said = text(path).match(/[Vv]ersion:? \**(\d+)/)
      if (said === null) return [`${path}: names no version`]
      const sources = cpp
        .filter(source => dirname(source) === dirname(path))
        .map(text)
        .join('\n')
      const constants = [...sources.matchAll(/k\w*(?:Format|Encoding)?Version\w* = (\d+)/g)].map(([, value]) => value)
      return constants.length > 0 && !constants.includes(said[1])
        ? [`${path}: version ${said[1]}, code has ${constants}`]
        : []
    }),
}

let complaints = 0
for (const [rule, find] of Object.entries(rules)) {
  for (const hit of find()) {
    complaints++
    process.stdout.write(`${rule}: ${hit}\n`)
  }
}
process.stdout.write(`${Object.keys(rules).length} rules, ${complaints} complaints\n`)
process.exit(complaints > 0 ? 1 : 0)
