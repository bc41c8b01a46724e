/** `npm run mutants`: breaks one rule of the engine after the other, and sees whether a check notices. */
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import type { Level } from '../../engine/index.js'
import { playUntilCaught, testUntilCaught, type Caught } from './catching.js'
import { checkPatches } from './copies.js'
import type { Mutant } from './mutant.js'
import { files } from './files.js'
import { indexes } from './indexes.js'
import { outcomes } from './outcomes.js'
import { reads } from './reads.js'
import { versions } from './versions.js'

const groups: readonly { readonly title: string; readonly mutants: readonly Mutant[] }[] = [
  { title: 'What counts as a read, and that it is validated', mutants: reads },
  { title: 'That a snapshot is one state', mutants: versions },
  { title: 'What counts of damaged files', mutants: files },
  { title: 'Writes, levels, and when somebody may be told', mutants: outcomes },
  { title: 'Indexes and unique keys', mutants: indexes },
]
const all = groups.flatMap(({ mutants }) => mutants)

const help = `Is a broken rule noticed?

  npm run mutants -- [options]

  --only NAME       only this mutant, or those whose names begin with it; may be repeated
  --max N           histories in which one must be caught (default 50000)
  --seed S          which histories (default 1)
  --workers W       how many run at once (default 2 where there are as many cores)
  --markdown FILE   also write the result as Markdown
  --help            print this

Each mutant is a copy of the engine with one rule broken, played as npm run fuzz plays, or tested by the file it names, until it is caught. The same is
done with an unbroken copy, which must not be.

Exit code: 0 where every mutant was caught and the unbroken copy was not, else 1; 2 for a mistake in the command line.
`

interface Result {
  readonly mutant: Mutant
  readonly caught: Caught
}

interface Settings {
  readonly chosen: readonly Mutant[]
  readonly max: number
  readonly seed: number
  readonly workers: number
  readonly markdown: string | undefined
}

class CommandLineError extends Error {}

function settingsOf(args: readonly string[]): Settings | 'help' {
  const options = {
    only: { type: 'string', multiple: true },
    max: { type: 'string', default: '50000' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: `${Math.min(2, availableParallelism())}` },
    markdown: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  const { values } = parseArgs({ args: [...args], options, strict: true })
  if (values.help) return 'help'
  const only = values.only ?? ['']
  for (const name of only) if (!all.some(mutant => mutant.name.startsWith(name))) throw new CommandLineError(`There is no mutant "${name}"; there are ${all.map(mutant => mutant.name).join(', ')}.`)
  const chosen = all.filter(({ name }) => only.some(start => name.startsWith(start)))
  return { chosen, max: integer('--max', values.max), seed: integer('--seed', values.seed), workers: integer('--workers', values.workers), markdown: values.markdown }
}

function integer(option: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new CommandLineError(`${option} must be an integer of at least 1, not "${text}".`)
  return value
}

async function run(settings: Settings): Promise<number> {
  const startedMs = Date.now()
  checkPatches(settings.chosen)
  const results = await inParallel(settings.chosen, settings.workers, async mutant => {
    const caught = await catchMutant(mutant, settings)
    print(`${mutant.name.padEnd(34)} ${placeOf({ mutant, caught }).padEnd(32)} ${caught.how.slice(0, 150)}`)
    return { mutant, caught }
  })
  const controls = await playControls(results, settings)
  const missed = results.filter(({ caught }) => !caught.caught)
  const alarms = controls.filter(({ caught }) => caught.caught)
  const minutes = ((Date.now() - startedMs) / 60_000).toFixed(1)
  print(`\n${results.length - missed.length} of ${results.length} mutants were caught, in ${minutes} minutes (seed ${settings.seed}).`)
  for (const { mutant } of missed) print(`NOT CAUGHT: ${mutant.name}: ${mutant.broken}.`)
  for (const { what, caught } of alarms) print(`THE UNBROKEN COPY IS ACCUSED: ${what}: ${caught.how}`)
  if (settings.markdown !== undefined) writeFileSync(settings.markdown, markdownOf(results, controls, settings))
  return missed.length + alarms.length > 0 ? 1 : 0
}

function catchMutant(mutant: Mutant, { seed, max }: Settings): Promise<Caught> {
  const { caughtBy } = mutant
  return 'test' in caughtBy ? testUntilCaught(mutant, caughtBy.test) : playUntilCaught(mutant, caughtBy.levels, seed, max)
}

interface Control {
  readonly what: string
  readonly caught: Caught
}

/** The unbroken copy, in everything that was asked to catch a mutant; of histories it plays as many as the mutant that took most. */
async function playControls(results: readonly Result[], { seed, workers }: Settings): Promise<Control[]> {
  const histories = new Map<string, number>()
  const tests = new Set<string>()
  for (const { mutant, caught } of results) {
    if ('test' in mutant.caughtBy) tests.add(mutant.caughtBy.test)
    else histories.set(mutant.caughtBy.levels.join(), Math.max(histories.get(mutant.caughtBy.levels.join()) ?? 1_000, caught.histories ?? 0))
  }
  const played = [...histories].map(([levels, count]) => ({
    what: `${count} histories at ${levels.replaceAll(',', ', ')}`,
    run: () => playUntilCaught(undefined, levels.split(',') as Level[], seed, count),
  }))
  const tested = [...tests].map(test => ({ what: test, run: () => testUntilCaught(undefined, test) }))
  return await inParallel([...played, ...tested], workers, async ({ what, run: runIt }) => {
    const caught = await runIt()
    print(`${'(unbroken)'.padEnd(34)} ${what}: ${caught.caught ? caught.how : 'clean'}`)
    return { what, caught }
  })
}

const placeOf = ({ mutant, caught }: Result): string => {
  if (!caught.caught) return `NOT CAUGHT${caught.histories === undefined ? '' : ` in ${caught.histories}`}`
  return 'test' in mutant.caughtBy ? mutant.caughtBy.test : `history ${caught.histories}`
}

function markdownOf(results: readonly Result[], controls: readonly Control[], { seed, max }: Settings): string {
  const rowOf = (result: Result): string => {
    const { mutant } = result
    const levels = 'test' in mutant.caughtBy ? `a test, for ${mutant.caughtBy.because}` : mutant.caughtBy.levels.join(', ')
    return `| ${mutant.name} | ${mutant.broken} | \`${mutant.file}\` | ${levels} | ${placeOf(result)} |`
  }
  const tables = groups.flatMap(({ title, mutants }) => {
    const rows = results.filter(({ mutant }) => mutants.includes(mutant)).map(rowOf)
    return rows.length === 0 ? [] : [`## ${title}`, '', '| mutant | what is broken | where | caught at | by |', '| --- | --- | --- | --- | --- |', ...rows, '']
  })
  const caught = results.filter(result => result.caught.caught).length
  return [
    '# Mutants',
    '',
    'The engine with one rule broken on purpose, to see that a check notices. [testing.md](testing.md) says how they are made. This page is written by',
    '`npm run mutants -- --markdown docs/mutants.md`.',
    '',
    `${caught} of ${results.length} are caught; those that random histories must catch, each within ${max} histories (seed ${seed}). *History n* means that n - 1 were clean before.`,
    '',
    ...tables,
    '## The unbroken copy',
    '',
    ...controls.map(control => `- ${control.what}: ${control.caught.caught ? `**accused**: ${control.caught.how}` : 'clean'}`),
    '',
  ].join('\n')
}

async function inParallel<T, R>(items: readonly T[], workers: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Map<number, R>()
  let next = 0
  const lane = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) results.set(at, await work(items[at]!))
  }
  await Promise.all(Array.from({ length: workers }, lane))
  return items.map((_, at) => results.get(at)!)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

try {
  const settings = settingsOf(process.argv.slice(2))
  if (settings === 'help') process.stdout.write(help)
  else process.exitCode = await run(settings)
} catch (error) {
  const isMistake = error instanceof CommandLineError || (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
  if (!isMistake) throw error
  process.stderr.write(`mutants: ${error.message}\n`)
  process.exitCode = 2
}
