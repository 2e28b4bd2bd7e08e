// clang-tidy.mjs BUILD_DIR FULL: run clang-tidy over the engine's sources, one process a core. A file that is,
// with the headers of ours that it includes, as it was when it was last found clean is not
// checked again (results live in the user cache). Without FULL only the checks that find crashes
// run (all of .clang-tidy take 20 s a file, most of it on Arrow's headers), and the analyzer follows
// fewer paths through one function: a quarter of its usual bound is half of the time.
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, homedir } from 'node:os'
import { join } from 'node:path'

const [buildDir, full] = process.argv.slice(2)
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'marbledb', 'clang-tidy')
mkdirSync(cache, { recursive: true })
const list = pattern =>
  execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', pattern], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean)
const read = path => (existsSync(path) ? readFileSync(path) : '')
const quick = [
  '-*',
  'bugprone-use-after-move',
  'bugprone-dangling-handle',
  'bugprone-unused-raii',
  'bugprone-infinite-loop',
  'clang-analyzer-core.*',
  'clang-analyzer-cplusplus.*',
].join()
const analyzer = ['-Xclang', '-analyzer-config', '-Xclang', 'max-nodes=50000'].map(arg => `--extra-arg=${arg}`)
const checks = full === 'yes' ? [] : [`--checks=${quick}`, ...analyzer]
const common = createHash('sha256').update(checks.join()).update(read('.clang-tidy'))
const base = common.digest('hex')
const includes = new Map()
/** A file and all headers of ours that it sees. */
function closure(path, seen = new Set()) {
  if (seen.has(path)) return seen
  seen.add(path)
  if (!includes.has(path)) {
    const names = [...String(read(path)).matchAll(/^#include "(.+)"/gm)].map(([, name]) => `native/${name}`)
    includes.set(path, names)
  }
  for (const header of includes.get(path)) closure(header, seen)
  return seen
}
const key = path => {
  const hash = createHash('sha256').update(base)
  for (const name of [...closure(path)].sort()) hash.update(name).update(read(name))
  return hash.digest('hex')
}

// The addon's folder is not in a database made without Node.
const files = list('native/*.cc').filter(path => existsSync(path) && !path.startsWith('native/napi/'))
const stale = files.filter(path => full === 'yes' || !existsSync(join(cache, key(path))))
let failed = 0
const queue = [...stale]
const worker = async () => {
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    await new Promise(resolve => {
      execFile(
        'clang-tidy-19',
        ['--quiet', '-p', buildDir, ...checks, path],
        { maxBuffer: 64 << 20 },
        (error, stdout) => {
          if (error) {
            failed++
            process.stdout.write(stdout)
          } else writeFileSync(join(cache, key(path)), '')
          resolve()
        },
      )
    })
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, worker))
process.stdout.write(`clang-tidy: ${stale.length} of ${files.length} files checked, ${failed} with findings\n`)
process.exit(failed > 0 ? 1 : 0)
