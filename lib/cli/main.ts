#!/usr/bin/env node
// The command line. Exit 0; 1 a statement or job failed; 2 usage; 130 SIGINT after a clean stop.
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { errorText, formats, say } from './output.js'
import { type Input, runSql, type SqlCommandOptions } from './sql-command.js'

const kFailed = 1
const kUsage = 2

function addVariable(text: string, variables: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=')
  if (at <= 0) throw new InvalidArgumentError('write NAME=VALUE')
  return { ...variables, [text.slice(0, at)]: text.slice(at + 1) }
}

/** -e and -f in the order in which they stand. */
const inputs: Input[] = []
const program = new Command('marbledb').description('An embedded streaming SQL database').exitOverride()
let exitCode = 0

program
  .command('sql')
  .description('Run SQL statements in order; rows go to stdout, everything else to stderr')
  .option('-f, --file <file>', "read statements from a file ('-': stdin, the default); repeatable", file => {
    inputs.push({ file })
  })
  .option('-e, --execute <text>', 'the statements; repeatable, in order with -f', text => {
    inputs.push({ text })
  })
  .option('--state-path <dir>', "where state is kept (':memory:': nowhere); without it a temporary directory")
  .addOption(new Option('--format <format>', 'how rows look').choices([...formats]).default('table'))
  .option('--changelog', "queries are continuous, with a first column 'op'")
  .option('--var <name=value>', 'value of a variable in the statements; repeatable', addVariable, {})
  .option('--stats <file>', 'write statistics of statements and jobs as JSON')
  .allowExcessArguments(false)
  .exitOverride()
  .action(async (options: SqlCommandOptions) => {
    exitCode = await runSql(inputs, options)
  })

// Whoever reads what we say may stop reading.
process.stderr.on('error', () => {})
try {
  await program.parseAsync()
  process.exitCode = exitCode
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : kUsage
  else {
    say(errorText(error))
    process.exitCode = kFailed
  }
}
