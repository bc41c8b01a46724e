/** `premise check-history`: what went wrong in a history that somebody recorded. */
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { type Level, levels } from '../index.js'
import { allPhenomena, checkHistory, forbiddenAt, type History, HistoryError, parseHistory, phenomena } from '../../isolation/anomaly/index.js'
import { type Command, CommandLineError } from './command.js'

const help = `premise check-history: which phenomena does a recorded history show?

  premise check-history FILE [options]

  --level LEVEL   the level that the history should have: ${levels.join(', ')} (default serializable)
  --json          print the verdict as JSON instead
  --help          print this

FILE is JSON as docs/history-format.md describes it.

Exit code: 0 where nothing occurred that the level rules out, 1 where something did, 2 for a mistake in the
command line or in the file.
`

const options = { level: { type: 'string', default: 'serializable' }, json: { type: 'boolean', default: false } } as const

export const checkHistoryCommand: Command = {
  summary: 'which phenomena does a recorded history show?',
  help,
  async run(args, output) {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
    const [file, ...more] = positionals
    if (file === undefined || more.length > 0) throw new CommandLineError('check-history takes one file.')
    const level = levels.find(name => name === values.level)
    if (!level) throw new CommandLineError(`--level must be one of ${levels.join(', ')}, not "${values.level}".`)
    const verdict = checkHistory(await readHistory(file))
    if (values.json) output.write(`${JSON.stringify({ level, ...verdict }, null, 2)}\n`)
    else for (const phenomenon of allPhenomena) output.write(describe(phenomenon, verdict, level))
    return verdict.findings.some(({ phenomenon }) => forbiddenAt[level].has(phenomenon)) ? 1 : 0
  },
}

async function readHistory(file: string): Promise<History> {
  try {
    return parseHistory(JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    const isMistake = error instanceof HistoryError || error instanceof SyntaxError || (error instanceof Error && 'code' in error)
    throw isMistake ? new CommandLineError(`${file}: ${error.message}`) : error
  }
}

function describe(phenomenon: (typeof allPhenomena)[number], verdict: ReturnType<typeof checkHistory>, level: Level): string {
  const finding = verdict.findings.find(found => found.phenomenon === phenomenon)
  const doubt = verdict.doubts.find(found => found.phenomenon === phenomenon)
  const verb = finding && forbiddenAt[level].has(phenomenon) ? `OCCURRED, ruled out at ${level}` : verdict.status[phenomenon]
  const sentences = finding?.sentences ?? (doubt ? [doubt.sentence] : [])
  return [`${phenomenon.padEnd(16)}  ${verb}${finding ? `: ${phenomena[phenomenon].summary}` : ''}`, ...sentences.map(text => `    ${text}`), ''].join('\n')
}
