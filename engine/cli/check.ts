/** `premise check`: is everything on disk what it should be? */
import { parseArgs } from 'node:util'
import { check, PremiseError, type CheckFinding, type CheckReport } from '../index.js'
import { type Command, CommandLineError, type Output } from './command.js'

const help = `premise check: is everything in a database what it should be?

  premise check PATH [options]

  --json    print the report as JSON instead
  --help    print this

PATH is the directory of a database that nobody has open; db.check() does the same for one that is. Looks at the
pages of the row file, every row with its checksum, the count of rows and the catalog of tables, and the log.
Changes no row.

Exit code: 0 where all is sound, 1 where something was found, 2 where there is no database to check, or somebody
has it open.
`

const options = { json: { type: 'boolean', default: false } } as const

export const checkCommand: Command = {
  summary: 'is everything in a database what it should be?',
  help,
  async run(args, output) {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
    const [path, ...more] = positionals
    if (path === undefined || more.length > 0) throw new CommandLineError('check takes one directory.')
    const report = await checked(path, values.json ? undefined : output)
    output.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : describe(report))
    return report.sound ? 0 : 1
  },
}

async function checked(path: string, output: Output | undefined): Promise<CheckReport> {
  const showMs = 2_000
  let shownMs = Date.now()
  try {
    return await check(path, {
      onProgress({ part, done, total }) {
        if (output === undefined || Date.now() - shownMs < showMs) return
        shownMs = Date.now()
        output.write(`${part}: ${done} of ${total}\n`)
      },
    })
  } catch (error) {
    throw error instanceof PremiseError ? new CommandLineError(error.message) : error
  }
}

function describe({ sound, findings, problems, pages, freePages, rows, logCommits }: CheckReport): string {
  const looked = `${pages} pages (${freePages} free), ${rows} rows, ${logCommits} commits in the log`
  if (sound) return `Sound: ${looked}.\n`
  const unlisted = problems > findings.length ? [`and ${problems - findings.length} more`] : []
  return `${[...findings.map(inWords), ...unlisted, `Not sound: ${problems} problems in ${looked}.`].join('\n')}\n`
}

function inWords({ part, table, key, problem }: CheckFinding): string {
  const where = table === undefined ? '' : ` table ${JSON.stringify(table)}${key === undefined ? '' : `, row ${JSON.stringify(key, (_name, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))}`}:`
  return `${part}:${where} ${problem}`
}
