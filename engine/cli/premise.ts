#!/usr/bin/env node
/** The `premise` command: picks the subcommand and turns its outcome into an exit code. */
import { checkCommand } from './check.js'
import { checkHistoryCommand } from './check-history.js'
import { type Command, CommandLineError, type Output } from './command.js'
import { compactCommand } from './compact.js'
import { matrix } from './matrix.js'
import { salvageCommand } from './salvage.js'

const commands: Readonly<Record<string, Command>> = { matrix, check: checkCommand, compact: compactCommand, salvage: salvageCommand, 'check-history': checkHistoryCommand }

const help = `premise: what PremiseDB promises, made visible

  premise COMMAND [options]

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(13)}  ${summary}`)
  .join('\n')}

premise COMMAND --help tells more.
`

/** Node's own complaints about options are mistakes of the caller too. */
const isCommandLineError = (error: unknown): error is Error =>
  error instanceof CommandLineError || (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))

async function main([name, ...args]: readonly string[], output: Output): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h') {
    output.write(help)
    return name === undefined ? 2 : 0
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!command) throw new CommandLineError(`There is no command "${name}"; see premise --help.`)
  if (args.includes('--help') || args.includes('-h')) {
    output.write(command.help)
    return 0
  }
  return await command.run(args, output)
}

const colour = process.stdout.isTTY && !process.env['NO_COLOR']
try {
  // The exit code is only set, so that a pipe that reads slowly gets everything.
  process.exitCode = await main(process.argv.slice(2), { colour, write: text => process.stdout.write(text) })
} catch (error) {
  process.exitCode = isCommandLineError(error) ? 2 : 3
  console.error(isCommandLineError(error) ? `premise: ${error.message}` : error)
}
