// scripts/bench reads: a table's scan in C++ beside pread and beside plain arrays in memory, and values of random
// keys by mapping and by pread, in one process and in turn. The program compares all sums; its figures are void
// when they differ.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { positiveNumbers, runProgram } from '../bench-program.mjs'

const { values } = parseArgs({
  options: { millions: { type: 'string', default: '10' }, runs: { type: 'string', default: '15' } },
})
positiveNumbers(values)
const directory = mkdtempSync(join(tmpdir(), 'marbledb-reads-'))
try {
  process.exitCode = await runProgram('native/table/read_bench', [directory, values.millions, values.runs])
} finally {
  rmSync(directory, { recursive: true })
}
