/** Plays the rounds of a family and its control. Each round follows from a seed of its own, so that it can be played alone. */
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { compiledCopy, type Copy } from '../mutants/copies.js'
import type { Mutant } from '../mutants/mutant.js'
import { Chance } from '../simulation/chance.js'
import { Round, type Family, type Tally } from './family.js'

/** A control round that notices nothing may have been unlucky. */
const controlRounds = 12
/** Of a round that counts several. */
const controlEvents = 2

export interface Played {
  readonly family: string
  readonly seed: number
  readonly events: number
  readonly seconds: number
  readonly tally: Tally
}

/** Results of earlier runs, a line of JSON per round. Files can be joined by writing one behind the other. */
export class Results {
  readonly #path: string | undefined
  readonly #rounds = new Map<string, Played>()

  constructor(path: string | undefined) {
    this.#path = path
    if (path === undefined || !existsSync(path)) return
    for (const line of readFileSync(path, 'utf8').split('\n')) if (line !== '') this.#take(JSON.parse(line) as Played)
  }

  #take(played: Played): void {
    this.#rounds.set(nameOf(played), played)
  }

  find(family: string, seed: number, events: number): Played | undefined {
    return this.#rounds.get(nameOf({ family, seed, events }))
  }

  add(played: Played): void {
    this.#take(played)
    if (this.#path !== undefined) appendFileSync(this.#path, `${JSON.stringify(played)}\n`)
  }
}

const nameOf = ({ family, seed, events }: Pick<Played, 'family' | 'seed' | 'events'>): string => `${family} ${seed} ${events}`

export interface Run {
  readonly family: Family
  readonly count: number
  readonly seed: number
  readonly results: Results
  readonly scratch: string
  /** Where the folders of rounds go in which something was found. */
  readonly keep: string | undefined
  readonly onRound: (played: Played, done: number) => void
}

/** So that a build meanwhile changes nothing. Gone at the end of the process too. */
function copyOf(mutant: Mutant | undefined): Copy {
  const copy = compiledCopy(mutant)
  process.once('exit', () => copy[Symbol.dispose]())
  return copy
}

/** Round i has the seed `seed + i`; the last may be shorter. A family that has a list of positions ends with it: `positions` says how many those are, where their end was reached. */
export async function playRounds(run: Run): Promise<{ readonly rounds: readonly Played[]; readonly positions: number | undefined }> {
  using copy = copyOf(undefined)
  const { family, seed, results, scratch, keep, onRound } = run
  const positions = await endOfPositions(run, copy)
  const count = Math.min(run.count, (positions ?? Infinity) - seed + 1)
  const rounds: Played[] = []
  for (let done = 0, i = 0; done < count; i++) {
    const events = Math.min(family.perRound, count - done)
    let round = results.find(family.name, seed + i, events)
    if (round === undefined) {
      round = await playRound({ family, seed: seed + i, events, isControl: false, copy, scratch, keep })
      results.add(round)
    }
    rounds.push(round)
    done += events
    onRound(round, done)
  }
  return { rounds, positions }
}

/** Undefined where there is no list, or where it is longer than what is asked for. */
async function endOfPositions({ family, count, seed, scratch }: Run, copy: Copy): Promise<number | undefined> {
  if (family.positions === undefined) return undefined
  const last = seed + count - 1
  const length = await family.positions(roundOf({ family, seed, events: 1, isControl: false, copy, scratch, keep: undefined }), last + 1)
  return length <= last ? length : undefined
}

/** Plays with something broken until that is noticed, as what it should be. Returns the round, counted from 1, or undefined where it never was. */
export async function playControl(family: Family, seed: number, scratch: string): Promise<number | undefined> {
  const { broken, noticedAs, patch } = family.control
  const caughtBy = { test: 'test/torture/torture.test.ts', because: 'it is the control of a family of torture' }
  using copy = copyOf(patch && { name: `the control of ${family.name}`, broken, file: patch.file, patches: [patch.patch], caughtBy })
  for (let i = 0; i < controlRounds; i++) {
    const { tally } = await playRound({ family, seed: seed + i, events: Math.min(family.perRound, controlEvents), isControl: true, copy, scratch, keep: undefined })
    if (tally.failures.some(({ kind }) => noticedAs.includes(kind))) return i + 1
  }
  return undefined
}

interface Playing {
  readonly family: Family
  readonly seed: number
  readonly events: number
  readonly isControl: boolean
  readonly copy: Copy
  readonly scratch: string
  readonly keep: string | undefined
}

function roundOf({ seed, events, isControl, copy, scratch }: Playing): Round {
  const folder = join(scratch, `round-${seed}`)
  const shared = join(scratch, isControl ? 'shared-of-controls' : 'shared')
  for (const needed of [folder, shared]) mkdirSync(needed, { recursive: true })
  return new Round({ seed, events, isControl, chance: new Chance(seed), folder, shared, built: copy.folder })
}

async function playRound(playing: Playing): Promise<Played> {
  const { family, seed, events, keep } = playing
  const startedMs = performance.now()
  const round = roundOf(playing)
  const { folder } = round
  try {
    await family.play(round)
    if (keep !== undefined && round.tally.failures.length > 0) cpSync(folder, join(keep, `${family.name}-${seed}`), { recursive: true })
    return { family: family.name, seed, events, seconds: Math.round(performance.now() - startedMs) / 1_000, tally: round.tally }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
