/** `premise matrix`: plays the anomaly matrix against PremiseDB and reports it. */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import {
  exitCode,
  matrixDocument,
  renderHtml,
  renderTable,
  renderTraces,
  runMatrix,
  scenarios,
  timedScheduler,
} from '../../isolation/anomaly/index.js'
import { premiseSubjects } from './subject.js'
import { type Command, CommandLineError } from './command.js'

const help = `premise matrix: which anomalies does each isolation level let through?

Plays small transactions against the engine in every order in which their steps can meet, checks every
history that results, and compares what it finds with what the level promises.

  premise matrix [options]

  --only ANOMALY    only this anomaly, or those whose names begin with it (G2: G2-item, G2-range ...); may be repeated
  --subject NAME    only this subject; may be repeated
  --trace           show for each cell the schedule that is easiest to follow, and why it is wrong
  --html FILE       also write the report, with all traces, as a page
  --json            print the result as JSON instead
  --seed N          choose the sample of schedules where there are too many to play all (default 1)
  --help            print this

Anomalies: ${scenarios.map(({ id }) => id).join(', ')}
Subjects:  ${premiseSubjects.map(({ name }) => name).join(', ')}

Exit code: 0 where every cell is as its level promises, 1 where one differs, 2 for a mistake in the command
line, 3 where the run itself failed.
`

const options = {
  only: { type: 'string', multiple: true },
  subject: { type: 'string', multiple: true },
  trace: { type: 'boolean', default: false },
  html: { type: 'string' },
  json: { type: 'boolean', default: false },
  seed: { type: 'string', default: '1' },
} as const

export const matrix: Command = {
  summary: 'which anomalies does each isolation level let through?',
  help,
  async run(args, output) {
    const { values } = parseArgs({ args: [...args], options, strict: true })
    if (values.json && values.trace) throw new CommandLineError('--json and --trace exclude each other; --html FILE holds the traces too.')
    const seed = Number(values.seed)
    if (!Number.isSafeInteger(seed)) throw new CommandLineError(`--seed must be an integer, not "${values.seed}".`)
    const subjects = choose(premiseSubjects, values.subject, '--subject', ({ name }, wanted) => name === wanted)
    const chosen = choose(scenarios, values.only, '--only', ({ id }, wanted) => id === wanted || id.startsWith(`${wanted}-`))
    // The engine never blocks, so no step is given up on before it must be stuck.
    const scheduler = timedScheduler({ timers: { setTimeout, clearTimeout } })
    const result = await runMatrix(subjects, chosen, { seed, scheduler: () => scheduler })
    if (values.html !== undefined) await writeFile(values.html, renderHtml(result))
    if (values.json) output.write(`${JSON.stringify(matrixDocument(result), null, 2)}\n`)
    else output.write((values.trace ? `${renderTraces(result, output)}\n` : '') + renderTable(result, output))
    return exitCode(result)
  },
}

/** Those that any of the wanted names fits, all where nothing was wanted. A name that fits none is a mistake. */
function choose<T>(all: readonly T[], wanted: readonly string[] = [], option: string, fits: (one: T, wanted: string) => boolean): T[] {
  for (const name of wanted) {
    if (!all.some(one => fits(one, name))) throw new CommandLineError(`${option} ${name}: there is none of that name; see premise matrix --help.`)
  }
  return all.filter(one => wanted.length === 0 || wanted.some(name => fits(one, name)))
}
