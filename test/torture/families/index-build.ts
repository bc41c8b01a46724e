/** kill -9 while indexes are built over a table that eight clients write to: the next process goes on, and in the end every index holds exactly what the rows say. */
import { setTimeout as sleep } from 'node:timers/promises'
import { check } from '../../../engine/index.js'
import type { DriverProcess } from '../driver-process.js'
import { patienceMs, type Family, type Round } from '../family.js'
import type { Found, IndexTask } from '../index-driver.js'

/** Rows of a whole round; one that is cut short has some for each of its kills. */
const wholeRows = 1_000_000
const rowsPerKill = 6_000
const longPatienceMs = 20 * patienceMs

export const indexBuild: Family = {
  name: 'index-build',
  about: 'kill -9 while three indexes are built over rows that eight clients write; counts kills, ten over a million rows',
  perRound: 10,
  control: {
    broken: 'indexes are not maintained while they are built',
    noticedAs: ['wrong'],
    patch: { file: 'engine/derive', patch: ['if (table === undefined || table.indexes.length === 0)', 'if (table === undefined || table.indexes.some(index => index.readyTs === undefined))'] },
  },
  async play(round) {
    const isWhole = round.events >= indexBuild.perRound
    const rows = isWhole ? wholeRows : rowsPerKill * round.events
    const directory = round.path('data')
    const tasks = new Tasks(round, directory, rows)
    const filler = tasks.start('fill')
    if (!round.endedWell(await filler.endsWithin(longPatienceMs), 'filling the table')) return
    const expected = new Expected()
    for (let i = 0; i < round.events; i++) await killOne(round, tasks, expected, isWhole)
    await finish(round, tasks, expected)
    const report = await check(directory)
    if (!report.sound) round.found('wrong', `the closed database is not sound: ${JSON.stringify(report.findings[0])}`)
  },
}

class Tasks {
  readonly #round: Round
  readonly #directory: string
  readonly #rows: number
  #started = 0

  constructor(round: Round, directory: string, rows: number) {
    this.#round = round
    this.#directory = directory
    this.#rows = rows
  }

  start(command: IndexTask['command']): DriverProcess {
    const from = 1_000_000 * ++this.#started
    const { chance } = this.#round
    return this.#round.startIndex({ command, directory: this.#directory, report: this.#round.newReport(), rows: this.#rows, seed: chance.below(2 ** 31), from })
  }
}

/** At a moment while it builds, where it has not ended before. */
async function killOne(round: Round, tasks: Tasks, expected: Expected, isWhole: boolean): Promise<void> {
  const builder = tasks.start('build')
  if ((await builder.says('I', longPatienceMs)) === undefined && !builder.hasEnded) round.found('hangs', 'the indexes were not declared')
  await sleep(round.chance.next() * (isWhole ? 4_000 : 150))
  const { code, signal, complaint } = await builder.kill()
  if (signal === 'SIGKILL') round.count(builder.lines.some(line => line.startsWith('R ')) ? 'kills after the build' : 'kills during the build')
  else if (code !== 0) round.found('crashes', `a builder ended by itself with ${signal ?? `exit code ${code}`}: ${complaint.slice(0, 500)}`)
  expected.take(builder.lines)
}

async function finish(round: Round, tasks: Tasks, expected: Expected): Promise<void> {
  const builder = tasks.start('build')
  if (!round.endedWell(await builder.endsWithin(longPatienceMs), 'the last build')) return
  expected.take(builder.lines)
  const looker = tasks.start('look')
  if (!round.endedWell(await looker.endsWithin(longPatienceMs), 'the look at the end')) return
  const line = looker.lines.find(one => one.startsWith('S '))
  const found = JSON.parse(line!.slice(2)) as Found
  for (const sentence of found.wrong) round.found('wrong', sentence)
  for (const sentence of expected.lostIn(found.versions)) round.found('lost', sentence)
  round.count('rows', found.rows)
  round.count('acknowledged writes', expected.acknowledged)
}

/** What clients were told, and what they had begun when they were killed: each key has one client, and one write at a time. */
class Expected {
  acknowledged = 0
  readonly #told = new Map<string, number>()
  readonly #begun = new Map<string, Set<number>>()

  take(lines: readonly string[]): void {
    for (const line of lines) {
      const [letter, key, version] = line.split(' ')
      if (letter === 'B') {
        const begun = this.#begun.get(key!) ?? new Set()
        begun.add(Number(version))
        this.#begun.set(key!, begun)
      } else if (letter === 'A') {
        this.acknowledged++
        this.#told.set(key!, Number(version))
        this.#begun.delete(key!)
      }
    }
  }

  lostIn(versions: Found['versions']): string[] {
    const lost: string[] = []
    for (const [key, told] of this.#told) {
      const found = versions[key] ?? -1
      if (found !== told && !(this.#begun.get(key)?.has(found) ?? false)) lost.push(`row ${key} was told to be of version ${told}, and is of ${found}`)
    }
    return lost.slice(0, 20)
  }
}
