// Runs a script of a test in a process of its own.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Outcome {
  code: number | null
  signal: string | null
  stdout: string
  stderr: string
}

/** Run an ES module's text; killed, with signal SIGKILL in the outcome, when it does not end in time. */
export function runScript(
  script: string,
  options: { args?: string[]; nodeArgs?: string[]; timeoutMs?: number } = {},
): Promise<Outcome> {
  const child = spawn(
    process.execPath,
    [...(options.nodeArgs ?? []), '--input-type=module', '-e', script, '--', ...(options.args ?? [])],
    { cwd: root },
  )
  const outcome: Outcome = { code: null, signal: null, stdout: '', stderr: '' }
  child.stdout.on('data', chunk => {
    outcome.stdout += String(chunk)
  })
  child.stderr.on('data', chunk => {
    outcome.stderr += String(chunk)
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 20_000)
  return new Promise(resolve => {
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ ...outcome, code, signal })
    })
  })
}
