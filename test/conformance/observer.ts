/** What a run knows about its database besides single transactions: which commits were acknowledged, which are on disk, which promises wait, and the script so far. */
import { thrown, type Write } from './actions.js'
import type { Machine } from './machine.js'
import { History, Mismatch, type TransactionModel } from './model.js'
import type { Shape } from './shapes.js'
import { source } from './source.js'

/** Turns of the event loop after which something that is still waiting waits for a sync that is held, or hangs. */
const turnsWhileHeld = 30
const turnsMax = 3_000

/** How often things happened, over many runs: what has never happened has not been compared. */
export class Tally {
  readonly counts = new Map<string, number>()

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }
}

/** How a promise has ended, once it has. */
export interface Watched {
  outcome: string | undefined
  error: unknown
}

export function watch(promise: PromiseLike<unknown>): Watched {
  const watched: Watched = { outcome: undefined, error: undefined }
  promise.then(
    value => void (watched.outcome = source(value)),
    (error: unknown) => {
      watched.outcome = thrown(error)
      watched.error = error
    },
  )
  return watched
}

/** An operation whose promise may be waiting for the disk. */
export interface Pending {
  readonly line: number
  readonly watched: Watched
  expected: readonly string[]
  /** Its commit, and the oldest state behind which a crash must not go once the promise has settled. */
  readonly commit: number | undefined
  readonly shownFrom: number
  readonly relaxed: boolean
  readonly hooks: readonly number[]
  readonly deadlineMs: number | undefined
}

export class Observer {
  readonly history: History
  readonly script: string[] = []
  readonly machine: Machine
  readonly tally: Tally
  isOpen = false
  isHolding = false
  nowMs = 0
  /** The newest acknowledged commit is not below the one and not above the other. */
  acknowledgedFrom = 0
  acknowledgedTo = 0
  /** No crash goes back behind this state. */
  durable = 0
  #pending: Pending[] = []
  /** Hooks by number: how often each ran, and whether its transaction was acknowledged. */
  #ran: number[] = []
  #confirmed = new Set<number>()

  constructor(machine: Machine, shapes: readonly Shape[], tally: Tally) {
    this.machine = machine
    this.tally = tally
    this.history = new History(shapes)
  }

  /** Adds a line to the script; returns its number. */
  write(line: string): number {
    return this.script.push(line) - 1
  }

  /** Adds what a line came to. */
  note(line: number, outcome: string): void {
    const shown = outcome.replace(/^throws /, '')
    this.script[line] = `${this.script[line]} // ${shown.length > 400 ? `${shown.slice(0, 400)}…` : shown}`
  }

  readonly acknowledged = (): readonly number[] => {
    const states: number[] = []
    for (let at = this.acknowledgedFrom; at <= this.acknowledgedTo; at++) states.push(at)
    return states
  }

  newHook(): { readonly id: number; readonly hook: () => void } {
    const ran = this.#ran
    const id = ran.push(0) - 1
    return { id, hook: () => void ran[id]!++ }
  }

  /** A transaction is installed. */
  install(writes: readonly Write[], model: Pick<TransactionModel, 'options'>): number | undefined {
    if (writes.length === 0) return undefined
    const at = this.history.commit(writes, model.options.label)
    if (model.options.durability === 'relaxed') this.#acknowledge(at)
    return at
  }

  /** Everything that is visible has been synced. */
  flushed(): void {
    this.acknowledgedTo = this.history.present
  }

  /** Something is settled, or waits. Compares what came of whatever has settled by now. */
  async conclude(pending?: Pending): Promise<void> {
    if (pending !== undefined) this.#pending.push(pending)
    await this.turn(() => this.#pending.every(({ watched }) => watched.outcome !== undefined))
    for (const one of this.#pending) this.#settle(one)
    if (this.#pending.some(({ watched }) => watched.outcome === undefined)) this.tally.count('a promise waits for a sync')
    this.#pending = this.#pending.filter(({ watched }) => watched.outcome === undefined)
    if (!this.isHolding && this.isOpen) {
      const [waiting] = this.#pending
      if (waiting !== undefined) throw new Mismatch(`it hangs: ${this.script[waiting.line]}`)
      this.acknowledgedFrom = this.acknowledgedTo = this.history.present
    }
    for (const [id, times] of this.#ran.entries()) {
      const expected = this.#confirmed.has(id) ? 1 : 0
      if (times !== expected) throw new Mismatch(`hook ${id} ran ${times} times instead of ${expected}`)
    }
  }

  /** Lets the event loop turn until something is done, or only a sync that is held can help. */
  async turn(isDone: () => boolean, turns = this.isHolding ? turnsWhileHeld : turnsMax): Promise<void> {
    for (let turn = 0; turn < turns; turn++) {
      await new Promise(resolve => setImmediate(resolve))
      if (isDone()) return
    }
  }

  passTime(ms: number): void {
    this.nowMs += ms
    this.machine.passTime(ms)
    for (const pending of this.#pending) {
      // Installed, but not known to be on disk.
      if ((pending.deadlineMs ?? Infinity) <= this.nowMs) pending.expected = [pending.commit === undefined ? 'throws TIMEOUT' : 'throws COMMIT_UNKNOWN']
    }
  }

  /** Promises whose deadline has passed must have settled. */
  checkDeadlines(): void {
    const late = this.#pending.find(({ deadlineMs = Infinity, watched }) => deadlineMs <= this.nowMs && watched.outcome === undefined)
    if (late !== undefined) throw new Mismatch(`it waits beyond its deadline: ${this.script[late.line]}`)
  }

  /** What was not acknowledged may be gone; the state that was found is the first of a new history. */
  restart(at: number): void {
    this.history.restart(at)
    this.acknowledgedFrom = this.acknowledgedTo = this.durable = 0
    this.#pending = []
    this.#ran = []
    this.#confirmed = new Set()
    this.isHolding = false
  }

  #settle({ line, watched, expected, commit, shownFrom, relaxed, hooks }: Pending): void {
    const { outcome } = watched
    if (outcome === undefined) return
    this.note(line, outcome)
    if (outcome.startsWith('throws')) this.tally.count(outcome)
    if (!expected.includes(outcome)) throw new Mismatch(`expected ${expected.join(' or ')}, got ${outcome}${watched.error === undefined ? '' : `: ${String((watched.error as Error).stack)}`}`)
    // A relaxed one may have been shown more than what was acknowledged before, also where it failed.
    if (relaxed) this.acknowledgedTo = this.history.present
    if (!outcome.startsWith('throws ')) for (const id of hooks) this.#confirmed.add(id)
    // Nobody has been told what of it is on disk.
    if (relaxed || outcome === 'throws COMMIT_UNKNOWN' || outcome === 'throws TIMEOUT') return
    this.durable = Math.max(this.durable, shownFrom, commit ?? 0)
    if (commit !== undefined) {
      this.#acknowledge(commit)
      this.acknowledgedTo = this.history.present
    }
  }

  #acknowledge(at: number): void {
    this.acknowledgedFrom = Math.max(this.acknowledgedFrom, at)
    this.acknowledgedTo = Math.max(this.acknowledgedTo, at)
  }
}
