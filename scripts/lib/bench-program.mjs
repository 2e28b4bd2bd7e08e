// What the suites that are one C++ program share: the machine's facts, and running it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const print = text => process.stdout.write(`${text}\n`)
const load = () => loadavg()[0].toFixed(1)

/** Whole numbers above 0, or exit 2 with a message that names the options. */
export function positiveNumbers(values) {
  for (const [name, text] of Object.entries(values)) {
    if (!Number.isSafeInteger(Number(text)) || Number(text) <= 0) {
      process.stderr.write(`error: --${name} ${text}: a whole number above 0 is needed\n`)
      process.exit(2)
    }
  }
}

/** Run a program of the build directory between two lines about the machine; its exit code. */
export async function runProgram(path, args) {
  print(
    `machine: ${cpus().length} x ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB; load ${load()} before; ${new Date().toISOString().slice(0, 10)}`,
  )
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const program = spawn(join(root, 'build', path), args, { stdio: 'inherit' })
  const [code] = await once(program, 'exit')
  print(`load ${load()} after`)
  return code ?? 1
}
