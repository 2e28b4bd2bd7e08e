// scripts/bench scheduler: tasks that do next to nothing through the engine's scheduler, beside a plain pool with one
// mutex and one condition variable, in one process and in turn. The program checks that every task ran;
// its figures are void when the sums differ.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '1000000' },
    runs: { type: 'string', default: '15' },
    threads: { type: 'string' },
  },
})
const numbers = [values.tasks, values.runs, ...(values.threads === undefined ? [] : [values.threads])]
if (!numbers.every(text => Number.isSafeInteger(Number(text)) && Number(text) > 0)) {
  process.stderr.write('error: --tasks, --runs and --threads take positive whole numbers\n')
  process.exit(2)
}
const print = text => process.stdout.write(`${text}\n`)
const load = () => loadavg()[0].toFixed(1)
print(
  `machine: ${cpus().length} x ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB; load ${load()} before; ${new Date().toISOString().slice(0, 10)}`,
)
const root = fileURLToPath(new URL('../../..', import.meta.url))
const bench = spawn(join(root, 'build/native/task/scheduler_bench'), numbers, { stdio: 'inherit' })
const [code] = await once(bench, 'exit')
print(`load ${load()} after`)
process.exit(code ?? 1)
