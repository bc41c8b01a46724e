/**
 * Judges a history by what its levels promise. Committed transactions are run again one after the other in commit order on a model that shares nothing with the
 * engine; every result must come out the same. Whoever ended without a commit, and every attempt that was given up, must have seen one state.
 */
import { idOf, valueAt, withWrites, type State } from './model.js'
import type { Attempt, History, TransactionRecord } from './records.js'
import { effectOn, replay, type Replayed } from './replay.js'
import { hasSerialOrder } from './serial.js'

export interface Verdict {
  /** What no level allows, or the transaction's own level does not. */
  readonly violations: readonly string[]
  /** No order is known in which those that committed would have come out the same one after the other: possible at weaker levels only. */
  readonly notSerial: boolean
  /** Attempts that ended in a conflict. */
  readonly conflicts: number
  /** Those of them that could have been committed where they stood: after all commits so far every result would have been the same. */
  readonly falseConflicts: number
}

/** Outcomes that tell their caller something of the rows. */
const telling: ReadonlySet<string> = new Set(['done', 'Own', 'ROW_EXISTS', 'ROW_ABSENT'])

export function judge(history: History): Verdict {
  const court = new Court(history)
  court.hear()
  const { violations, notSerial, conflicts, falseConflicts } = court
  return { violations, notSerial, conflicts, falseConflicts }
}

class Court {
  readonly violations: string[] = []
  notSerial = false
  conflicts = 0
  falseConflicts = 0
  readonly #history: History
  readonly #states: State[] = [[]]
  /** Keys that each commit wrote. */
  readonly #written: ReadonlySet<string>[] = [new Set()]
  readonly #committed = new Map<string, number>()
  #inCommitOrder = true

  constructor(history: History) {
    this.#history = history
  }

  hear(): void {
    const { transactions, commits, baseTs } = this.#history
    const byLabel = new Map(transactions.map(transaction => [transaction.label, transaction]))
    for (const [i, { ts, label }] of commits.entries()) {
      const transaction = byLabel.get(label ?? '')
      if (ts !== baseTs + i + 1) return this.#accuse(undefined, `commit ${ts} does not follow commit ${baseTs + i}`)
      if (transaction === undefined) return this.#accuse(undefined, `nobody made commit ${ts} (${label})`)
      if (this.#committed.has(transaction.label)) return this.#accuse(transaction, 'was committed twice')
      this.#committed.set(transaction.label, ts)
      this.#hearCommitted(transaction, ts)
      if (this.violations.length > 0) return
    }
    this.#hearEnd()
    this.#hearOrder()
    for (const transaction of transactions) this.#hearOutcome(transaction)
    this.#hearRealTime()
  }

  #state(ts: number): State {
    const state = this.#states[ts - this.#history.baseTs]
    if (state === undefined) throw new Error(`somebody read at ${ts}, and there are the states from ${this.#history.baseTs} to ${this.#lastTs}`)
    return state
  }

  get #lastTs(): number {
    return this.#history.baseTs + this.#states.length - 1
  }

  #hearCommitted(transaction: TransactionRecord, ts: number): void {
    const attempt = transaction.attempts.at(-1)!
    const before = this.#state(ts - 1)
    const serially = replay(attempt.operations, () => before)
    if (serially.difference !== undefined) this.#inCommitOrder = false
    const replayed = transaction.level === 'serializable' ? serially : this.#replay(transaction, attempt)
    if (replayed.difference !== undefined) return this.#accuse(transaction, `commit ${ts} at ${transaction.level}: ${replayed.difference}`)
    const effect = effectOn(before, replayed)
    const keys = new Set(effect.keys())
    if (transaction.level !== 'read-committed' && effect.size > replayed.own.size) return this.#accuse(transaction, `commit ${ts} deletes rows it had not seen`)
    if (transaction.level === 'snapshot') this.#hearFirstCommitter(transaction, attempt, ts, keys)
    if (transaction.level === 'read-committed' && this.#failsAt(replayed, before)) this.#accuse(transaction, `commit ${ts}: a condition did not hold`)
    this.#states.push(withWrites(before, effect))
    this.#written.push(keys)
    if (transaction.readOnly) this.#accuse(transaction, 'committed writes although it was read-only')
  }

  /** At the level's own view: one snapshot, or for each operation the newest commit. */
  #replay({ level, readOnly, oneShot }: TransactionRecord, { beganTs, operations }: Attempt, ts = beganTs): Replayed {
    const oneState = level !== 'read-committed' || (readOnly && oneShot)
    return replay(operations, at => this.#state(oneState ? ts : at))
  }

  /** Whom somebody else came before: any key written since the snapshot, but for one that was absent then and is again. */
  #hearFirstCommitter(transaction: TransactionRecord, { beganTs }: Attempt, ts: number, keys: ReadonlySet<string>): void {
    for (let other = beganTs + 1; other < ts; other++) {
      for (const key of keys) {
        if (!this.#written[other - this.#history.baseTs]!.has(key)) continue
        const was = this.#state(beganTs).find(row => idOf(row.table, row.key) === key)
        const is = this.#state(ts - 1).find(row => idOf(row.table, row.key) === key)
        if (was !== undefined || is !== undefined) return this.#accuse(transaction, `commit ${ts} wrote ${key}, which commit ${other} had won`)
      }
    }
  }

  #failsAt({ conditions }: Replayed, state: State): boolean {
    return conditions.some(({ table, key, holds }) => !holds(valueAt(state, table, key)))
  }

  #hearOutcome(transaction: TransactionRecord): void {
    const { outcome, attempts, durability, durableTs } = transaction
    const ts = this.#committed.get(transaction.label)
    if (ts !== undefined) {
      // COMMIT_UNKNOWN: its deadline came before the sync.
      const inDoubt = outcome === 'COMMIT_UNKNOWN' || (outcome === 'POISONED' && this.#history.interruption === 'failure')
      if (outcome !== 'done' && !inDoubt) this.#accuse(transaction, `ended with ${outcome}, but commit ${ts} is its`)
      else if (outcome === 'done' && durability === 'durable' && ts > durableTs) this.#accuse(transaction, `was told of commit ${ts} when ${durableTs} was the newest on disk`)
    }
    const givenUp = ts === undefined ? attempts : attempts.slice(0, -1)
    for (const attempt of givenUp) this.#hearAttempt(transaction, attempt)
    const last = attempts.at(-1)
    if (ts !== undefined || last === undefined || transaction.level === 'read-committed') return
    if (telling.has(outcome) && durability === 'durable' && this.#firstAt(last, this.#history.baseTs, durableTs) === undefined) {
      this.#accuse(transaction, `was told ${outcome} of what is newer than ${durableTs}, the newest on disk`)
    }
  }

  /** The end is the state of all commits; after a failure of the disk of some of the first, with every one that was acknowledged and none that was denied. */
  #hearEnd(): void {
    const { interruption, transactions, baseTs } = this.#history
    const tsOf = ({ label }: TransactionRecord): number => this.#committed.get(label) ?? baseTs
    const isAcknowledged = ({ outcome, durability }: TransactionRecord): boolean => outcome === 'done' && durability === 'durable'
    const failed = interruption === 'failure'
    const from = failed ? Math.max(baseTs, ...transactions.filter(isAcknowledged).map(tsOf)) : this.#lastTs
    const denied = transactions.filter(({ label, outcome }) => outcome === 'POISONED' && this.#committed.has(label)).map(tsOf)
    const to = Math.min(this.#lastTs, ...denied.map(ts => ts - 1))
    for (let ts = from; ts <= to; ts++) if (JSON.stringify(this.#state(ts)) === JSON.stringify(this.#history.finally)) return
    this.#accuse(undefined, `the end should be the state at one of ${from} to ${to}, the last of them ${JSON.stringify(this.#state(to))}, and is ${JSON.stringify(this.#history.finally)}`)
  }

  /** An attempt that installed nothing saw one state between its beginning and its end. */
  #hearAttempt(transaction: TransactionRecord, attempt: Attempt): void {
    if (attempt.conflictTs !== undefined) this.#hearConflict(attempt, attempt.conflictTs)
    const { level, readOnly, outcome, visibleTs } = transaction
    const isFixed = level !== 'serializable' || readOnly
    const ts = isFixed ? attempt.beganTs : (this.#firstAt(attempt, attempt.beganTs, visibleTs) ?? attempt.beganTs)
    const replayed = this.#replay(transaction, attempt, ts)
    const isLast = attempt === transaction.attempts.at(-1)
    if (replayed.difference !== undefined) {
      return this.#accuse(transaction, `ended with ${isLast ? outcome : 'a conflict'} and saw no single state: ${replayed.difference}`)
    }
    if (!isLast) return
    if (outcome === 'COMMIT_UNKNOWN') this.#accuse(transaction, 'was told that it may have committed, and did not')
    if (outcome === 'done' && (replayed.own.size > 0 || replayed.deletedRanges.length > 0)) this.#accuse(transaction, 'ended well, but its writes were not committed')
    if (outcome.startsWith('ROW_')) {
      // Which one it met must be on disk when that is told.
      const newestTs = transaction.durability === 'durable' ? Math.min(visibleTs, transaction.durableTs) : visibleTs
      const later = this.#states.slice(attempt.beganTs - this.#history.baseTs, newestTs - this.#history.baseTs + 1)
      if (!later.some(state => this.#failsAt(replayed, state))) this.#accuse(transaction, `ended with ${outcome}, though every condition held as far as it may be told`)
    }
  }

  /** Those that do not come out the same in commit order might in another one. */
  #hearOrder(): void {
    if (this.#inCommitOrder) return
    const committed = this.#history.transactions.filter(({ label }) => this.#committed.has(label))
    this.notSerial = hasSerialOrder(committed.map(({ attempts }) => attempts.at(-1)!.operations), this.#state(this.#lastTs)) === false
  }

  #hearConflict({ operations }: Attempt, conflictTs: number): void {
    this.conflicts++
    const state = this.#state(conflictTs)
    if (replay(operations, () => state).difference === undefined) this.falseConflicts++
  }

  /** The first timestamp in [from, to] at which the attempt's reads hold. */
  #firstAt({ operations }: Attempt, from: number, to: number): number | undefined {
    for (let ts = from; ts <= Math.min(to, this.#lastTs); ts++) if (replay(operations, () => this.#state(ts)).difference === undefined) return ts
    return undefined
  }

  /** Whoever began after another was told its outcome stands behind it. */
  #hearRealTime(): void {
    const { transactions, baseTs } = this.#history
    const places: { readonly endedAt: number; readonly ts: number }[] = []
    for (const transaction of transactions.toSorted((a, b) => a.endedAt - b.endedAt)) {
      const attempt = transaction.attempts.at(-1)
      const committedTs = this.#committed.get(transaction.label)
      if (attempt === undefined || (committedTs === undefined && (transaction.level === 'read-committed' || !telling.has(transaction.outcome)))) continue
      const earliestTs = places.reduce((latest, place) => (place.endedAt < transaction.startedAt ? Math.max(latest, place.ts) : latest), baseTs)
      const ts = committedTs ?? this.#firstAt(attempt, earliestTs, transaction.visibleTs)
      if (ts === undefined || ts < earliestTs) this.#accuse(transaction, `began when ${earliestTs} was known, and stands before it`)
      else if (transaction.outcome === 'done' || telling.has(transaction.outcome)) places.push({ endedAt: transaction.endedAt, ts })
    }
  }

  #accuse(transaction: TransactionRecord | undefined, what: string): void {
    const who = transaction === undefined ? 'the history:' : `${transaction.label} (${transaction.level}${transaction.readOnly ? ', read-only' : ''})`
    this.violations.push(`${who} ${what}`)
  }
}
