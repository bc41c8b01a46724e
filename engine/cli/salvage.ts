/** `premise salvage`: what can still be read of a damaged database, as a new one. */
import { parseArgs } from 'node:util'
import { PremiseError, salvage, type SalvageBound, type SalvageFinding, type SalvageReport } from '../index.js'
import { type Command, CommandLineError, type Output } from './command.js'

const help = `premise salvage: copy what is readable of a damaged database to a new one

  premise salvage PATH OUT [options]

  --json    print the report as JSON instead
  --help    print this

PATH is the directory of a database that nobody has open, in whatever state; nothing in it is changed. OUT is an
empty directory, or a path that does not exist yet. Every row whose checksum holds is copied, with every commit
of the log that can be read. What is not readable is listed: single rows, the keys between which rows may be
missing, tables whose count does not come out, commits. Rows are never taken from pages that are free, so what
was deleted stays deleted. Where commits are missing, later ones are there all the same.

Exit code: 0 where everything was readable, 1 where something was not (OUT was written all the same), 2 where
there is nothing to read, OUT is not empty, somebody has PATH open, or the disk is full.
`

const options = { json: { type: 'boolean', default: false } } as const

export const salvageCommand: Command = {
  summary: 'copy what is readable of a damaged database to a new one',
  help,
  async run(args, output) {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
    const [path, out, ...more] = positionals
    if (path === undefined || out === undefined || more.length > 0) throw new CommandLineError('salvage takes two directories: that of the database, and one for what is readable of it.')
    const report = await salvaged(path, out, values.json ? undefined : output)
    output.write(values.json ? `${JSON.stringify(report, (_name, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value), 2)}\n` : describe(report, out))
    return report.complete ? 0 : 1
  },
}

async function salvaged(path: string, out: string, output: Output | undefined): Promise<SalvageReport> {
  const showMs = 2_000
  let shownMs = Date.now()
  try {
    return await salvage(path, out, {
      onProgress({ part, done, total }) {
        if (output === undefined || Date.now() - shownMs < showMs) return
        shownMs = Date.now()
        output.write(`${part}: ${done} of ${total}\n`)
      },
    })
  } catch (error) {
    const isTold = error instanceof PremiseError || (error instanceof Error && 'code' in error && error.code === 'INVALID_ARGUMENT')
    throw isTold ? new CommandLineError(error.message) : error
  }
}

function describe({ complete, rows, tables, findings, problems, logCommits, lostCommits, droppedTail }: SalvageReport, out: string): string {
  const lines = findings.map(inWords)
  if (problems > findings.length) lines.push(`and ${problems - findings.length} more`)
  for (const { from, to } of lostCommits) lines.push(to === undefined ? `log: commits from ${from} on are missing, if there were any` : `log: commits ${from} to ${to} are missing`)
  if (lostCommits.length > 0) lines.push('Rows that these commits wrote are missing, or have an earlier value, or are there though they were deleted.')
  if (droppedTail) lines.push(`The log ends with ${droppedTail.sizeBytes} bytes of commits that nobody was told are durable; they were dropped.`)
  for (const { name, rows: own, renamed } of tables) lines.push(`table ${JSON.stringify(name)}: ${own} rows${renamed ? ', under a new name' : ''}`)
  lines.push(`${complete ? 'Everything was readable' : `Not everything was readable (${problems} problems)`}: ${rows} rows are in ${out}, with ${logCommits} commits from the log.`)
  return `${lines.join('\n')}\n`
}

function inWords({ part, table, key, range, problem }: SalvageFinding): string {
  const where = range ? ` from ${place(range.from, 'the first row')} to ${place(range.to, 'the last row')}:` : table === undefined ? '' : ` ${place({ table, key }, '')}:`
  return `${part}:${where} ${problem}`
}

function place(bound: SalvageBound | undefined, otherwise: string): string {
  if (bound?.table === undefined) return bound === undefined ? otherwise : 'a key that cannot be read'
  return `table ${JSON.stringify(bound.table)}${bound.key === undefined ? '' : `, row ${JSON.stringify(bound.key, (_name, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))}`}`
}
