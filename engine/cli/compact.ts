/** `premise compact`: gives back the space that deleted and replaced rows have left in the row file. */
import { parseArgs } from 'node:util'
import { compact, PremiseError } from '../index.js'
import { type Command, CommandLineError } from './command.js'

const help = `premise compact: write the row file of a database anew, without the space that nothing uses

  premise compact PATH [options]

  --json    print the sizes as JSON instead
  --help    print this

PATH is the directory of a database that nobody has open; db.compact() does the same for one that is, and closes
it. Needs free space for the new file beside the old one, which is removed only when the new one is on disk and
in its place. May be interrupted at any moment.

Exit code: 0 where it is done, 2 where there is no database to compact, somebody has it open, it is damaged, or
the disk is full; nothing was changed then.
`

const options = { json: { type: 'boolean', default: false } } as const

export const compactCommand: Command = {
  summary: 'write the row file of a database anew, without the space that nothing uses',
  help,
  async run(args, output) {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
    const [path, ...more] = positionals
    if (path === undefined || more.length > 0) throw new CommandLineError('compact takes one directory.')
    const report = await compact(path).catch((error: unknown) => {
      throw error instanceof PremiseError ? new CommandLineError(error.message) : error
    })
    const { rows, beforeSizeBytes, afterSizeBytes } = report
    const MB = (sizeBytes: number): string => `${(sizeBytes / 1_048_576).toFixed(1)} MB`
    output.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : `${rows} rows: ${MB(beforeSizeBytes)} before, ${MB(afterSizeBytes)} now.\n`)
    return 0
  },
}
