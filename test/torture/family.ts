/** What a family of torture is, and what a round of it comes to. */
import { join } from 'node:path'
import type { Patch } from '../mutants/mutant.js'
import type { Chance } from '../simulation/chance.js'
import type { Outcome, Task } from './driver.js'
import { DriverProcess, type Ending } from './driver-process.js'
import type { IndexTask } from './index-driver.js'
import type { Oracle } from './oracle.js'
import type { SmallTask } from './small-driver.js'

/**
 * `lost`: an acknowledged commit is not there. `partial`: part of a transaction is. `wrong`: something else than was written, or than was promised, without an error. `crashes`: the process ended by
 * a signal or with an error that has no code. `hangs`: a wait reached its deadline. `silent`: rows are missing and nothing says so.
 */
export const kinds = ['lost', 'partial', 'wrong', 'crashes', 'hangs', 'silent'] as const
export type Kind = (typeof kinds)[number]

/** What was found, with what it was found in, and how much was done. */
export interface Tally {
  readonly failures: readonly { readonly kind: Kind; readonly sentence: string }[]
  readonly figures: Readonly<Record<string, number>>
}

export interface Family {
  readonly name: string
  readonly about: string
  /** Rounds are counted by what they do: a round of five kills is five of `--count`. */
  readonly perRound: number
  /** Whether file systems are mounted, which is done in a mount namespace of the run's own. */
  readonly mounts?: true
  /** What is broken for the control (in the harness by `Round.isControl`, or in the engine by a patch), and as what it must be noticed. */
  readonly control: { readonly broken: string; readonly noticedAs: readonly Kind[]; readonly patch?: { readonly file: string; readonly patch: Patch } }
  /** Of a family whose rounds are places in one list, each with the number of its place as seed: how long the list is, where it is no longer than `upTo`. */
  readonly positions?: (round: Round, upTo: number) => Promise<number>
  /** Whether files are kept in memory where the system has a place for that. */
  readonly inMemory?: true
  play(round: Round): Promise<void>
}

/** For a driver to say what it has found, or to end after its work; far longer than it takes. */
export const patienceMs = 30_000

interface Setting {
  readonly seed: number
  readonly events: number
  readonly isControl: boolean
  readonly chance: Chance
  /** Where everything of the round lies. */
  readonly folder: string
  /** Where rounds keep what later ones can use; it must not depend on who made it. */
  readonly shared: string
  /** Where what was built lies. */
  readonly built: string
}

export class Round {
  readonly seed: number
  readonly events: number
  readonly isControl: boolean
  readonly chance: Chance
  readonly folder: string
  readonly shared: string
  /** Where what was built lies. */
  readonly built: string
  readonly #failures: { kind: Kind; sentence: string }[] = []
  readonly #figures: Record<string, number> = {}
  #reports = 0

  constructor({ seed, events, isControl, chance, folder, shared, built }: Setting) {
    this.seed = seed
    this.events = events
    this.isControl = isControl
    this.chance = chance
    this.folder = folder
    this.shared = shared
    this.built = built
  }

  get tally(): Tally {
    return { failures: this.#failures, figures: this.#figures }
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  found(kind: Kind, sentence: string): void {
    this.#failures.push({ kind, sentence })
  }

  /** Adds to a figure that is told beside the result. */
  count(figure: string, by = 1): void {
    this.#figures[figure] = (this.#figures[figure] ?? 0) + by
  }

  newReport(): string {
    return this.path(`report-${++this.#reports}`)
  }

  start(task: Task, wrapper?: readonly string[]): DriverProcess {
    return new DriverProcess(this.built, task, wrapper)
  }

  startSmall(task: SmallTask, wrapper?: readonly string[]): DriverProcess {
    return new DriverProcess(this.built, task, wrapper, 'small-driver.js')
  }

  startIndex(task: IndexTask): DriverProcess {
    return new DriverProcess(this.built, task, [], 'index-driver.js')
  }

  /** Judges an end that should have come by itself, without a complaint. Returns whether it did. */
  endedWell(ending: Ending | undefined, what: string): boolean {
    if (ending === undefined) this.found('hangs', `${what} did not end`)
    else if (ending.signal !== null || ending.code !== 0) this.found('crashes', `${what} ended with ${ending.signal ?? `exit code ${ending.code}`}: ${firstLine(ending.complaint)}`)
    return ending?.code === 0
  }

  /** Opens a database and asks whether the lock is held. Undefined where nobody answered, which is counted. */
  async look(directory: string, what: string, wrapper?: readonly string[]): Promise<Outcome | undefined> {
    const looker = this.start({ command: 'look', directory, report: this.newReport() }, wrapper)
    const line = await looker.says('L ', patienceMs)
    this.endedWell(await looker.endsWithin(patienceMs), what)
    return line === undefined ? undefined : (JSON.parse(line.slice(2)) as Outcome)
  }

  /** Opens a database that nobody has and holds what is there against the oracle. */
  async judge(directory: string, oracle: Oracle, what: string): Promise<void> {
    const reader = this.start({ command: 'state', directory, report: this.newReport() })
    if (!this.endedWell(await reader.endsWithin(patienceMs), `the opening after ${what}`)) return
    oracle.take(reader.task.report)
  }

  /** What the oracle has found is the round's. */
  close(oracle: Oracle): void {
    this.count('acknowledged commits', oracle.acknowledged)
    for (const kind of ['lost', 'partial', 'wrong'] as const) for (const sentence of oracle[kind]) this.found(kind, sentence)
  }
}

/** Of what a process complained: the error, or what an assertion of native code said. */
export const firstLine = (text: string): string => {
  const lines = text.split('\n')
  return lines.find(line => /^\w*Error\b/.test(line)) ?? lines.find(line => /assert/i.test(line)) ?? lines[0] ?? ''
}
