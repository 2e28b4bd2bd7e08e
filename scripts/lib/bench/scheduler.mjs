// scripts/bench scheduler: tasks that do next to nothing through the engine's scheduler, beside a plain pool with one
// mutex and one condition variable, in one process and in turn. The program checks that every task ran;
// its figures are void when the sums differ.
import { parseArgs } from 'node:util'
import { positiveNumbers, runProgram } from '../bench-program.mjs'

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '1000000' },
    runs: { type: 'string', default: '15' },
    threads: { type: 'string' },
  },
})
positiveNumbers(values)
const numbers = [values.tasks, values.runs, ...(values.threads === undefined ? [] : [values.threads])]
process.exit(await runProgram('native/task/scheduler_bench', numbers))
