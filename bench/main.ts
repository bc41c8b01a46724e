/** `npm run bench`: chooses workloads and subjects, runs them one after the other, and reports. */
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative, sep } from 'node:path'
import { parseArgs } from 'node:util'
import { describeMachine, type Machine } from './machine.js'
import { installCharts, installPeers, loadCharts } from './peers.js'
import { drawable, picturesOf, type Charts } from './plots.js'
import { blocksOf, type Picture } from './report/blocks.js'
import { benchDocument, type BenchResult } from './report/document.js'
import { renderHtml } from './report/html.js'
import { renderMarkdown } from './report/markdown.js'
import { renderTerminal } from './report/terminal.js'
import { runWorkload, type WorkloadResult } from './runner.js'
import { peers, type Peer, type Workload } from './workload.js'
import { workloads } from './workloads/index.js'

const help = `How fast is PremiseDB, and compared with what?

  npm run bench -- [options]

  --only NAME       only this workload, or those whose names begin with it (durable: durable-1 ...); may be repeated
  --quick           shorter rounds, and fewer: ends within ten minutes, too short to judge by
  --peers A,B       only these other stores; none: PremiseDB alone
  --html FILE       also write the report as a page
  --markdown FILE   also write the report as Markdown
  --plots DIRECTORY also draw what can be drawn (${drawable.join(', ')}), as SVG
  --json            print the result as JSON instead
  --seed N          choose the rows and transfers (default 1)
  --help            print this

Workloads: ${workloads.map(({ name }) => name).join(', ')}
Peers:     ${peers.join(', ')}

Files are made in the directory for temporary files (TMPDIR) and removed. Progress goes to standard error.
Exit code: 0 where all ran, 1 where one failed or two did not do the same work, 2 for a mistake in the command
line. A target that is missed is no failure: machines differ.
`

const options = {
  only: { type: 'string', multiple: true },
  quick: { type: 'boolean', default: false },
  peers: { type: 'string' },
  html: { type: 'string' },
  markdown: { type: 'string' },
  plots: { type: 'string' },
  json: { type: 'boolean', default: false },
  seed: { type: 'string', default: '1' },
  help: { type: 'boolean', default: false },
} as const

/** A mistake of whoever typed the command. */
class CommandLineError extends Error {
  override readonly name = 'CommandLineError'
}

async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options, strict: true })
  if (values.help) {
    process.stdout.write(help)
    return
  }
  const seed = Number(values.seed)
  if (!Number.isSafeInteger(seed)) throw new CommandLineError(`--seed must be an integer, not "${values.seed}".`)
  const wanted = wantedPeers(values.peers)
  const chosen = withPeers(chooseWorkloads(values.only), wanted)
  if (values.plots !== undefined && !chosen.some(({ name }) => drawable.includes(name))) {
    throw new CommandLineError(`--plots: none of the chosen workloads can be drawn; those that can are ${drawable.join(', ')}.`)
  }
  const tell = (text: string): void => void process.stderr.write(`${text}\n`)
  installPeers([...new Set(chosen.flatMap(({ entries }) => entries.flatMap(({ peer }) => peer ?? [])))], tell)
  if (values.plots !== undefined) installCharts(tell)

  const machine = inTemporaryDirectory(describeMachine)
  tell(`${machine.cpu}, ${machine.cores} cores, load ${machine.load}; ${machine.syncsPerSecond} syncs/s on ${machine.fileSystem}`)
  const done: WorkloadResult[] = []
  for (const workload of chosen) done.push(await runWorkload(workload, { quick: values.quick, seed, syncsPerSecond: machine.syncsPerSecond, tell }))

  const result: BenchResult = { machine, quick: values.quick, seed, workloads: done }
  const pictures = values.plots === undefined ? new Map<string, Picture>() : picturesOf(done, loadCharts() as Charts)
  if (values.plots !== undefined) await mkdir(values.plots, { recursive: true })
  for (const { file, svg } of pictures.values()) await writeFile(join(values.plots ?? '', file), svg)
  const blocks = blocksOf(result, commandOf(values), pictures)
  if (values.html !== undefined) await writeFile(values.html, renderHtml(blocks))
  if (values.markdown !== undefined) await writeFile(values.markdown, renderMarkdown(blocks, pathBetween(values.markdown, values.plots)))
  process.stdout.write(values.json ? `${JSON.stringify(benchDocument(result), null, 2)}\n` : `\n${renderTerminal(blocks)}`)
}

/** From the folder of a report to the folder of its pictures, as links are written. */
const pathBetween = (file: string, folder = ''): string => relative(dirname(file), folder).replaceAll(sep, '/')

/** What repeats the run; where its reports go does not matter for that. */
function commandOf({ only = [], quick, peers: list, seed }: { only?: string[] | undefined; quick: boolean; peers?: string | undefined; seed: string }): string {
  const chosen = [
    ...only.map(name => `--only ${name}`),
    ...(quick ? ['--quick'] : []),
    ...(list === undefined ? [] : [`--peers ${list}`]),
    ...(seed === options.seed.default ? [] : [`--seed ${seed}`]),
  ]
  return ['npm run bench', ...(chosen.length > 0 ? ['--', ...chosen] : [])].join(' ')
}

function inTemporaryDirectory(describe: (directory: string) => Machine): Machine {
  const directory = mkdtempSync(join(tmpdir(), 'premise-bench-'))
  try {
    return describe(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function wantedPeers(list: string | undefined): readonly Peer[] {
  if (list === undefined) return peers
  if (list === 'none') return []
  return list.split(',').map(name => {
    const peer = peers.find(known => known === name.trim())
    if (peer === undefined) throw new CommandLineError(`--peers ${list}: there is no "${name}"; there are ${peers.join(', ')}, and none.`)
    return peer
  })
}

function chooseWorkloads(only: readonly string[] = []): Workload[] {
  const fits = ({ name }: Workload, wanted: string): boolean => name === wanted || name.startsWith(`${wanted}-`)
  for (const wanted of only) {
    if (!workloads.some(workload => fits(workload, wanted))) throw new CommandLineError(`--only ${wanted}: there is no such workload; see --help.`)
  }
  return workloads.filter(workload => only.length === 0 || only.some(wanted => fits(workload, wanted)))
}

/** Without the subjects whose peer is not wanted. */
function withPeers(chosen: readonly Workload[], wanted: readonly Peer[]): Workload[] {
  return chosen.map(workload => ({ ...workload, entries: workload.entries.filter(({ peer }) => peer === undefined || wanted.includes(peer)) }))
}

/** Node's own complaints about options are mistakes of the caller too. */
const isCommandLineError = (error: unknown): error is Error =>
  error instanceof CommandLineError || (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))

try {
  await main(process.argv.slice(2))
} catch (error) {
  process.exitCode = isCommandLineError(error) ? 2 : 1
  console.error(isCommandLineError(error) ? `bench: ${error.message}` : error)
}
