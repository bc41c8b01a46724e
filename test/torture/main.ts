/** `npm run torture`: what a database survives, tried from outside on the built package, as often as asked for. */
import { parseArgs } from 'node:util'
import { kinds, type Family, type Kind } from './family.js'
import { compound } from './families/compound.js'
import { damage } from './families/damage.js'
import { diskFull } from './families/disk-full.js'
import { ext4 } from './families/ext4.js'
import { freelist } from './families/freelist.js'
import { garbage } from './families/garbage.js'
import { indexBuild } from './families/index-build.js'
import { ioError } from './families/io-error.js'
import { kill } from './families/kill.js'
import { killEveryCall } from './families/kill-every-call.js'
import { powerCut } from './families/power-cut.js'
import { reopen } from './families/reopen.js'
import { secondOpener } from './families/second-opener.js'
import { shutdown } from './families/shutdown.js'
import { soak } from './families/soak.js'
import { playControl, playRounds, Results, type Played } from './run.js'
import { memoryFolder, newScratch, rerunInNamespace } from './scratch.js'

const families: readonly Family[] = [kill, killEveryCall, indexBuild, secondOpener, shutdown, reopen, garbage, damage, diskFull, ioError, powerCut, compound, ext4, freelist, soak]

const help = `What does a database survive? Processes that use it are killed, its files are broken, its disk is filled, from outside.

  npm run torture -- --family F [options]

  --family F        which torture:
${families.map(({ name, about }) => `                      ${name.padEnd(14)} ${about}`).join('\n')}
  --count N         how often (default 20)
  --seed S          which ones (default 1). Round i has the seed S + i: --seed 101 goes on where --seed 1 --count 100 ended
                    (a round of kill has ${kill.perRound} kills, one of reopen ${reopen.perRound} openings, one of power-cut ${powerCut.perRound} images, one of compound ${compound.perRound}, one of index-build ${indexBuild.perRound})
                    (a round of ext4 has ${ext4.perRound} cuts, one of freelist ${freelist.perRound} transactions, one of soak ${soak.perRound} seconds)
                    (kill-every-call and io-error have a list of positions, and play N of them from position S on. They end
                    with the list and say so: --seed 1 --count 1000000 plays all)
  --resume FILE     keeps the result of every round in FILE, and plays only rounds that are not in it
  --keep FOLDER     keeps there what a round leaves in which something was found; of damaged files also as they were before they were opened
  --json            print the result as JSON; progress and failures go to the error output
  --help            print this

What was acknowledged is kept outside the database and held against what later openings find. Counted are "lost" (acknowledged
and not there), "partial" (part of a transaction), "wrong" (something else than was written or promised, and no error),
"crashes" (the process ended by a signal or with an error that has no code), "hangs" (a wait reached its deadline), "silent"
(rows are missing and nothing says so). Every run has a control, in which something is broken on purpose and must be noticed:
"controlFailed" says that it was. docs/reliability.md says what is promised.

Exit code: 0 where nothing was found and the control failed as it must, 1 where not, 2 for a mistake in the command line.
`

interface Settings {
  readonly family: Family
  readonly count: number
  readonly seed: number
  readonly resume: string | undefined
  readonly keep: string | undefined
  readonly json: boolean
}

/** What `--json` prints. */
type TortureDocument = { readonly family: string; readonly count: number; readonly seed: number; readonly positions?: number } & Readonly<Record<Kind, number>> & {
    readonly controlFailed: boolean
    readonly pass: boolean
    readonly seconds: number
  }

const progressMs = 10_000

class CommandLineError extends Error {}

function settingsOf(args: readonly string[]): Settings | 'help' {
  const options = { family: { type: 'string' }, count: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } } as const
  const more = { resume: { type: 'string' }, keep: { type: 'string' }, json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } } as const
  const { values } = parseArgs({ args: [...args], options: { ...options, ...more }, strict: true })
  if (values.help) return 'help'
  const family = families.find(({ name }) => name === values.family)
  if (family === undefined) throw new CommandLineError(`--family must be one of ${families.map(({ name }) => name).join(', ')}, not "${values.family ?? ''}".`)
  return { family, count: integer('--count', values.count, 1), seed: integer('--seed', values.seed, family.positions ? 1 : 0), resume: values.resume, keep: values.keep, json: values.json }
}

function integer(option: string, text: string, min: number): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < min || text.trim() === '') throw new CommandLineError(`${option} must be an integer of at least ${min}, not "${text}".`)
  return value
}

async function run({ family, count, seed, resume, keep, json }: Settings): Promise<number> {
  const startedMs = Date.now()
  const scratch = newScratch(family.inMemory && memoryFolder())
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  let toldMs = startedMs
  const onRound = (played: Played, done: number): void => {
    for (const { kind, sentence } of played.tally.failures) process.stderr.write(`${kind}: ${sentence}\n  To play it again: ${commandOf(played)}\n`)
    if (Date.now() - toldMs < progressMs) return
    toldMs = Date.now()
    process.stderr.write(`${done} of ${count}, ${Math.round((toldMs - startedMs) / 1_000)} s\n`)
  }
  try {
    const noticedIn = await playControl(family, seed, scratch.folder)
    const { rounds, positions } = await playRounds({ family, count, seed, results: new Results(resume), scratch: scratch.folder, keep, onRound })
    const counted = Object.fromEntries(kinds.map(kind => [kind, rounds.flatMap(({ tally }) => tally.failures).filter(failure => failure.kind === kind).length])) as Record<Kind, number>
    const controlFailed = noticedIn !== undefined
    const pass = controlFailed && rounds.length > 0 && kinds.every(kind => counted[kind] === 0)
    const played = rounds.reduce((sum, { events }) => sum + events, 0)
    const document: TortureDocument = { family: family.name, count: played, seed, ...(positions !== undefined && { positions }), ...counted, controlFailed, pass, seconds: Math.round((Date.now() - startedMs) / 100) / 10 }
    if (json) process.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
    ;(json ? process.stderr : process.stdout).write(summaryOf(document, family, rounds, noticedIn))
    return pass ? 0 : 1
  } finally {
    scratch.remove()
  }
}

const commandOf = ({ family, seed, events }: Played): string => `npm run torture -- --family ${family} --seed ${seed} --count ${events}`

/** Whether all of a list of places were played is said, and how many there are. */
function placesOf({ count, seed, positions }: TortureDocument): string {
  if (positions === undefined) return `${count} from seed ${seed} on`
  return seed === 1 ? `all ${positions} positions` : `${count} from seed ${seed} on, up to the last of ${positions} positions`
}

function summaryOf(document: TortureDocument, { name, control }: Family, rounds: readonly Played[], noticedIn: number | undefined): string {
  const figures = new Map<string, number>()
  for (const { tally } of rounds) for (const [figure, by] of Object.entries(tally.figures)) figures.set(figure, (figures.get(figure) ?? 0) + by)
  const found = kinds.filter(kind => document[kind] > 0).map(kind => `${kind} ${document[kind]}`)
  return [
    `${name}, ${placesOf(document)}, in ${document.seconds} s: ${found.length > 0 ? found.join(', ') : 'nothing found'}.`,
    ...[...figures].map(([figure, count]) => `  ${figure}: ${count}`),
    `Control (${control.broken}): ${noticedIn === undefined ? 'NOT noticed, so this run shows nothing' : `noticed in round ${noticedIn}`}.`,
    '',
  ].join('\n')
}

try {
  const settings = settingsOf(process.argv.slice(2))
  if (settings === 'help') process.stdout.write(help)
  else process.exitCode = (settings.family.mounts && (await rerunInNamespace())) ?? (await run(settings))
} catch (error) {
  const isMistake = error instanceof CommandLineError || (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
  if (!isMistake) throw error
  process.stderr.write(`torture: ${error.message}\n`)
  process.exitCode = 2
}
