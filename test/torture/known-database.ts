/** Databases with known rows, made once per run and copied for each round, and what reading a broken copy comes to. */
import { cpSync, existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DriverProcess } from './driver-process.js'
import type { Outcome, ReadRequest, Said } from './driver.js'
import { linesOf } from './oracle.js'
import { patienceMs, type Round } from './family.js'
import { commitsOf, compareKeys, digestOf, expectedDigests, type KnownKey } from './known-rows.js'

/** So many different ones are enough. */
const templates = 4

export type Ended = 'closed' | 'killed'
type Digests = ReadonlyMap<string, string | null>

export interface KnownDatabase {
  readonly directory: string
  readonly ended: Ended
  readonly expected: Digests
  /** What a log may be cut to whose end is gone: the states after each commit since the clean close. */
  readonly earlier: readonly Digests[]
}

/** A copy of its own for the round. The newest commits of a killed one are in its log only. */
export async function knownDatabase(round: Round, ended: Ended): Promise<KnownDatabase> {
  const seed = round.seed % templates
  const template = join(round.shared, `${ended}-${seed}`)
  if (!existsSync(template)) {
    const made = `${template}.made`
    const fill = async (phase: 1 | 2): Promise<void> => {
      const driver = round.start({ command: 'fill', directory: made, report: round.newReport(), seed, phase })
      if ((await driver.says('C', patienceMs)) === undefined) throw new Error(`The database cannot be made: ${(await driver.kill()).complaint}`)
      await (phase === 1 ? driver.endsWithin(patienceMs) : driver.kill())
    }
    await fill(1)
    if (ended === 'killed') await fill(2)
    renameSync(made, template)
  }
  const directory = round.path('data')
  cpSync(template, directory, { recursive: true })
  return { directory, ended, expected: expectedDigests(seed, ended === 'closed' ? 1 : 2), earlier: ended === 'closed' ? [] : earlierStates(seed) }
}

function earlierStates(seed: number): Digests[] {
  let state = expectedDigests(seed, 1)
  const states = [state]
  for (const writes of commitsOf(seed, 2)) {
    state = new Map(state)
    for (const [key, value] of writes) state.set(key.join(' '), value === undefined ? null : digestOf(value))
    states.push(state)
  }
  return states
}

/** Opens and reads everything. `endIsGone` says that the end of a log which was not closed was taken away: that cannot be told from a tail that was never synced. */
export async function readBroken(round: Round, { directory, expected, earlier }: KnownDatabase, what: string, endIsGone: boolean): Promise<void> {
  // Opening changes it, and who wants to see what was found needs it as it was.
  cpSync(directory, round.path('as-it-was-broken'), { recursive: true })
  const answer = await readAll(round, directory, what, true)
  if (answer === undefined) return
  const { opened, read, isSaidToBeSound } = answer
  const isLess = opened.code !== null || read.errors + read.wrongIn(expected) + read.missingIn(expected) > 0
  if (isSaidToBeSound && isLess && !endIsGone) round.found('silent', `${what}: a check found nothing, and ${opened.code === null ? 'reads do not give what was written' : `open came to ${opened.code}`}`)
  if (opened.untyped !== undefined) return round.found('crashes', `${what}: open threw ${opened.untyped}`)
  if (opened.code !== null) return round.count(`refused with ${opened.code}`)
  if (read.untyped !== undefined) round.found('crashes', `${what}: a read threw ${read.untyped}`)
  if (endIsGone && earlier.some(state => read.wrongIn(state) + read.missingIn(state) === 0)) return round.count('cut to an earlier commit')
  const [wrong, missing] = [read.wrongIn(expected), read.missingIn(expected)]
  if (wrong > 0) round.found('wrong', `${what}: ${wrong} reads gave something else than was written`)
  if (missing > 0 && read.errors === 0) round.found('silent', `${what}: ${missing} reads missed rows and none said anything`)
  if (missing > 0 && read.errors > 0) round.count('reported by reads, not by every one that missed a row')
  if (wrong + missing === 0) round.count(read.errors > 0 ? 'reported by reads' : 'harmless')
}

/** Opens what nobody has broken. Returns whether all is well. */
export async function readSound(round: Round, directory: string, expected: Digests, what: string): Promise<boolean> {
  const answer = await readAll(round, directory, what, false)
  if (answer === undefined) return false
  const { opened, read } = answer
  const [lost, wrong] = [read.missingIn(expected), read.wrongIn(expected)]
  if (opened.code !== null || opened.untyped !== undefined) round.found('lost', `${what} cannot be opened: ${opened.untyped ?? opened.code}`)
  else if (read.errors > 0) round.found('wrong', `${what}: ${read.errors} reads came to an error`)
  if (lost > 0) round.found('lost', `${what}: ${lost} reads missed rows`)
  if (wrong > 0) round.found('wrong', `${what}: ${wrong} reads gave something else than was written`)
  return opened.code === null && opened.untyped === undefined && read.errors + lost + wrong === 0
}

interface Answer {
  readonly opened: Outcome
  readonly read: Reading
  /** A check before the opening found nothing. */
  readonly isSaidToBeSound: boolean
}

/** Undefined where nobody said what opening came to; that is counted. */
async function readAll(round: Round, directory: string, what: string, checksFirst: boolean): Promise<Answer | undefined> {
  const lines = await answerOf(round, { directory, report: round.newReport(), checksFirst }, what)
  const [checked, opened] = checksFirst ? lines : [undefined, lines[0]]
  if (checked?.startsWith('L ')) {
    const { untyped } = JSON.parse(checked.slice(2)) as Outcome
    if (untyped !== undefined) round.found('crashes', `a check of ${what} threw ${untyped}`)
  }
  const isSaidToBeSound = checked?.startsWith('K ') === true && (JSON.parse(checked.slice(2)) as { readonly sound: boolean }).sound
  const said = lines.filter(line => line.startsWith('V ')).flatMap(line => JSON.parse(line.slice(2)) as Said[])
  return opened === undefined ? undefined : { opened: JSON.parse(opened.slice(2)) as Outcome, read: new Reading(said), isSaidToBeSound }
}

/** Readers that live from round to round, by what they were built from. */
const readers = new Map<string, DriverProcess>()
const pollMs = 5

/** What a reader says to the request, before the `C`. One that dies of it, or never comes to its end, is counted. */
async function answerOf(round: Round, request: ReadRequest, what: string): Promise<string[]> {
  let reader = readers.get(round.built)
  if (reader === undefined || reader.hasEnded) {
    reader = round.start({ command: 'read on request', report: round.newReport() })
    reader.unref()
    readers.set(round.built, reader)
  }
  reader.send(request)
  for (const until = performance.now() + patienceMs; ; await sleep(pollMs)) {
    const { hasEnded } = reader
    const lines = linesOf(request.report)
    if (lines.at(-1) === 'C') return lines.slice(0, -1)
    if (!hasEnded && performance.now() < until) continue
    if (!hasEnded) round.found('hangs', `${what} was not read in time`)
    const ending = await reader.kill()
    if (hasEnded) round.endedWell(ending, what)
    return lines
  }
}

/** What reads gave. */
export class Reading {
  readonly #gets = new Map<string, string | null>()
  readonly #ranged = new Map<string, string>()
  #rangeIsComplete = false
  errors = 0
  untyped: string | undefined
  #disorder = 0

  constructor(said: readonly Said[]) {
    let last: KnownKey | undefined
    for (const [name, found] of said) {
      const [how, ...key] = name.split(' ')
      if (typeof found === 'object' && found !== null) {
        this.errors++
        this.untyped ??= found.untyped
      } else if (how === 'get') this.#gets.set(key.join(' '), found)
      else if (how === 'range' && found === null) this.#rangeIsComplete = true
      else if (how === 'range') {
        const at: KnownKey = [key[0]!, Number(key[1])]
        if (last && compareKeys(last, at) >= 0) this.#disorder++
        last = at
        this.#ranged.set(key.join(' '), found!)
      }
    }
  }

  /** Reads that gave a value which is not the row's, or a row that should be absent, or one at the wrong place of a range. */
  wrongIn(expected: Digests): number {
    const isWrong = ([key, digest]: [string, string | null]): boolean => digest !== null && expected.get(key) !== digest
    return [...this.#gets].filter(isWrong).length + [...this.#ranged].filter(isWrong).length + this.#disorder
  }

  /** Rows that a read without an error left out. */
  missingIn(expected: Digests): number {
    const present = [...expected].filter(([, digest]) => digest !== null).map(([key]) => key)
    const notGot = present.filter(key => this.#gets.get(key) === null).length
    return notGot + (this.#rangeIsComplete ? present.filter(key => !this.#ranged.has(key)).length : 0)
  }
}
