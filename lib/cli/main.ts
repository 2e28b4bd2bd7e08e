#!/usr/bin/env node
// The command line. Exit 0; 1 a statement or job failed; 2 usage; 130 SIGINT after a clean stop.
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import {
  type BackupCommandOptions,
  type InspectCommandOptions,
  type RestoreCommandOptions,
  runBackup,
  runBackups,
  runInspect,
  runRestore,
  runVerify,
  type VerifyCommandOptions,
} from './copies-commands.js'
import { errorText, formats, say } from './output.js'
import { type Input, runSql, type SqlCommandOptions } from './sql-command.js'

const kFailed = 1
const kUsage = 2

function addVariable(text: string, variables: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=')
  if (at <= 0) throw new InvalidArgumentError('write NAME=VALUE')
  return { ...variables, [text.slice(0, at)]: text.slice(at + 1) }
}

function wholeNumber(text: string): number {
  if (!/^[1-9][0-9]{0,14}$/.test(text)) throw new InvalidArgumentError('write a whole number of at least 1')
  return Number(text)
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

program
  .command('inspect')
  .description('What the folder of a database holds, without opening it: tables, files by level, the log')
  .argument('<dir>', 'the database')
  .option('--json', 'all of it as one JSON object')
  .option('--zone-maps', 'with the bounds of every column in every batch (with --json)')
  .allowExcessArguments(false)
  .exitOverride()
  .action(async (dir: string, options: InspectCommandOptions) => {
    exitCode = await runInspect(dir, options)
  })

program
  .command('verify')
  .description('Check every checksum and invariant of a closed database, or of a backup; findings go to stdout')
  .argument('<dir>', 'the database, or with --backup the folder of backups')
  .option('--backup [id]', 'check a backup: this one, or the newest', text => wholeNumber(text))
  .option('--json', 'the report as one JSON object')
  .allowExcessArguments(false)
  .exitOverride()
  .action(async (dir: string, options: VerifyCommandOptions) => {
    exitCode = await runVerify(dir, options)
  })

program
  .command('backup')
  .description('Add a backup of a database to a folder of backups, copying only what that lacks')
  .argument('<dir>', 'the database; no other process may have it open')
  .argument('<backups>', 'the folder of backups')
  .option('--keep <n>', 'then remove all backups but the newest n', wholeNumber)
  .allowExcessArguments(false)
  .exitOverride()
  .action(async (dir: string, target: string, options: BackupCommandOptions) => {
    exitCode = await runBackup(dir, target, options)
  })

program
  .command('backups')
  .description('List the backups in a folder')
  .argument('<backups>', 'the folder of backups')
  .option('--json', 'one JSON object a line')
  .allowExcessArguments(false)
  .exitOverride()
  .action(async (dir: string, options: { json?: boolean }) => {
    exitCode = await runBackups(dir, options)
  })

program
  .command('restore')
  .description('Write a backup to a new or empty folder, which is a database then')
  .argument('<backups>', 'the folder of backups')
  .argument('<dir>', 'the new database')
  .option('--id <id>', 'which backup; without it the newest', wholeNumber)
  .allowExcessArguments(false)
  .exitOverride()
  .action(async (dir: string, target: string, options: RestoreCommandOptions) => {
    exitCode = await runRestore(dir, target, options)
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
