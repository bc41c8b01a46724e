/**
 * Judges a history by what its levels promise. Committed transactions are run again one after the other in commit order on a model that shares nothing with the
 * engine; every result must come out the same. Whoever ended without a commit, and every attempt that was given up, must have seen one state.
 */
import { functionOf, type IndexName } from './index-functions.js'
import { entriesIn, entryText, idOf, indexText, sharedKeys, valueAt, withWrites, type State, type TableName } from './model.js'
import { nameOf, type Attempt, type Building, type Catalog, type History, type IndexContent, type IndexState, type TransactionRecord, type Violation } from './records.js'
import { clashes, effectOn, indexRow, newKeys, replay, type Claim, type Replayed } from './replay.js'
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
  /** Entries of all indexes that were ready at the end. */
  readonly indexEntries: number
  /** Entries that no row has, those that a row should have and has not, and keys of unique indexes that several entries have, at the end. */
  readonly danglingEntries: number
  readonly missingEntries: number
  readonly duplicateUniqueKeys: number
}

/** Outcomes that tell their caller something of the rows. */
const telling: ReadonlySet<string> = new Set(['done', 'Own', 'ROW_EXISTS', 'ROW_ABSENT', 'UNIQUE_VIOLATION'])

export function judge(history: History): Verdict {
  const court = new Court(history)
  court.hear()
  const { violations, notSerial, conflicts, falseConflicts, indexEntries, danglingEntries, missingEntries, duplicateUniqueKeys } = court
  return { violations, notSerial, conflicts, falseConflicts, indexEntries, danglingEntries, missingEntries, duplicateUniqueKeys }
}

interface NamedIndex {
  readonly table: TableName
  readonly index: IndexName
  readonly isReady: boolean
}

const noCatalog: Catalog['states'] = new Map()

class Court {
  readonly violations: string[] = []
  notSerial = false
  conflicts = 0
  falseConflicts = 0
  indexEntries = 0
  danglingEntries = 0
  missingEntries = 0
  duplicateUniqueKeys = 0
  readonly #history: History
  readonly #states: State[] = [[]]
  /** Keys that each commit wrote; of unique indexes, those that came to another row. */
  readonly #written: ReadonlySet<string>[] = [new Set()]
  /** Indexes from each commit on. */
  readonly #catalogs: Catalog['states'][]
  readonly #committed = new Map<string, number>()
  #inCommitOrder = true

  constructor(history: History) {
    this.#history = history
    const { baseTs, catalogs = [], commits } = history
    let at = 0
    this.#catalogs = Array.from({ length: commits.length + 1 }, (_, i) => {
      while (at + 1 < catalogs.length && catalogs[at + 1]!.ts <= baseTs + i) at++
      return catalogs[at]?.states ?? noCatalog
    })
  }

  hear(): void {
    const { transactions, commits, baseTs } = this.#history
    const byLabel = new Map(transactions.map(transaction => [transaction.label, transaction]))
    for (const [i, { ts, label, isOwn }] of commits.entries()) {
      const transaction = byLabel.get(label ?? '')
      if (ts !== baseTs + i + 1) return this.#accuse(undefined, `commit ${ts} does not follow commit ${baseTs + i}`)
      if (isOwn) {
        this.#states.push(this.#state(ts - 1))
        this.#written.push(new Set())
        this.#hearUnique(`commit ${ts}, of the engine`, ts)
        if (this.violations.length > 0) return
        continue
      }
      if (transaction === undefined) return this.#accuse(undefined, `nobody made commit ${ts} (${label})`)
      if (this.#committed.has(transaction.label)) return this.#accuse(transaction, 'was committed twice')
      this.#committed.set(transaction.label, ts)
      this.#hearCommitted(transaction, ts)
      if (this.violations.length === 0) this.#hearUnique(`commit ${ts}`, ts)
      if (this.violations.length > 0) return
    }
    this.#hearEnd()
    this.#hearIndexes()
    this.#hearOrder()
    for (const transaction of transactions) this.#hearOutcome(transaction)
    this.#hearRealTime()
  }

  #state(ts: number): State {
    const state = this.#states[ts - this.#history.baseTs]
    if (state === undefined) throw new Error(`somebody read at ${ts}, and there are the states from ${this.#history.baseTs} to ${this.#lastTs}`)
    return state
  }

  /** The indexes at a commit. Whoever asks for one that was not made asks for the state as well, and is told so there. */
  #catalog(ts: number): Catalog['states'] {
    return this.#catalogs[ts - this.#history.baseTs] ?? noCatalog
  }

  /** Unique indexes that are declared at a commit, or of them those that are ready. */
  #uniqueAt(ts: number, is: (state: IndexState) => boolean = state => state !== 'dropped'): NamedIndex[] {
    const catalog = this.#catalog(ts)
    if (catalog.size === 0) return []
    return [...catalog].flatMap(([id, { table, state }]) => (is(state) && functionOf(nameOf(id)).unique ? [{ table, index: nameOf(id), isReady: state === 'ready' }] : []))
  }

  get #lastTs(): number {
    return this.#history.baseTs + this.#states.length - 1
  }

  #hearCommitted(transaction: TransactionRecord, ts: number): void {
    const attempt = transaction.attempts.at(-1)!
    const before = this.#state(ts - 1)
    const serially = replay(attempt.operations, () => before, () => this.#catalog(ts - 1))
    if (serially.difference !== undefined) this.#inCommitOrder = false
    const replayed = transaction.level === 'serializable' ? serially : this.#replay(transaction, attempt)
    if (replayed.difference !== undefined) return this.#accuse(transaction, `commit ${ts} at ${transaction.level}: ${replayed.difference}`)
    const effect = effectOn(before, replayed)
    const keys = new Set(effect.keys())
    const after = withWrites(before, effect)
    if (transaction.level !== 'read-committed' && effect.size > replayed.own.size) return this.#accuse(transaction, `commit ${ts} deletes rows it had not seen`)
    if (transaction.level === 'snapshot') {
      this.#hearFirstCommitter(transaction, attempt, ts, keys)
      this.#hearFirstClaimant(transaction, attempt, ts, replayed)
    }
    if (transaction.level === 'read-committed' && this.#failsAt(replayed, before)) this.#accuse(transaction, `commit ${ts}: a condition did not hold`)
    this.#states.push(after)
    for (const key of this.#movedUnique(ts, before, after)) keys.add(key)
    this.#written.push(keys)
    if (transaction.readOnly) this.#accuse(transaction, 'committed writes although it was read-only')
  }

  /** At the level's own view: one snapshot, or for each operation the newest commit. */
  #replay({ level, readOnly, oneShot }: TransactionRecord, { beganTs, operations }: Attempt, ts = beganTs): Replayed {
    const oneState = level !== 'read-committed' || (readOnly && oneShot)
    return replay(operations, at => this.#state(oneState ? ts : at), at => this.#catalog(oneState ? ts : at))
  }

  /** No two rows have one key of a unique index that is ready. */
  #hearUnique(who: string, ts: number): void {
    for (const { table, index } of this.#uniqueAt(ts, state => state === 'ready')) {
      const [shared] = sharedKeys(this.#state(ts), table, index).values()
      if (shared) return this.#accuse(undefined, `after ${who}, rows ${shared.map(({ key }) => JSON.stringify(key)).join(' and ')} of ${table} have one key in the unique index ${index}`)
    }
  }

  /** Keys of unique indexes that have another holder after a commit, or none any more. */
  #movedUnique(ts: number, before: State, after: State): string[] {
    return this.#uniqueAt(ts).flatMap(({ table, index }) => {
      const holders = (state: State): Map<string, string> => new Map(entriesIn(state, table, index, {}).map(({ indexKey, row }) => [indexText(indexKey), idOf(table, row.key)]))
      const were = holders(before)
      const are = holders(after)
      return [...new Set([...were.keys(), ...are.keys()])].filter(text => were.get(text) !== are.get(text)).map(text => uniqueId(table, index, text))
    })
  }

  /** At `snapshot` a claimed key of a unique index counts as one that was written: whoever claims it must not have been beaten to it, or to giving it up. */
  #hearFirstClaimant(transaction: TransactionRecord, { beganTs }: Attempt, ts: number, { own }: Replayed): void {
    const before = this.#state(ts - 1)
    const ready = new Set(this.#uniqueAt(beganTs, state => state === 'ready').map(({ table, index }) => `${table} ${index}`))
    for (const { table, index } of this.#uniqueAt(ts - 1, state => state === 'ready')) {
      if (!ready.has(`${table} ${index}`)) continue
      for (const { text } of newKeys(before, own, table, index)) {
        const isHeld = (state: State): boolean => entriesIn(state, table, index, {}).some(({ indexKey }) => indexText(indexKey) === text)
        for (let other = beganTs + 1; other < ts; other++) {
          if (!this.#written[other - this.#history.baseTs]!.has(uniqueId(table, index, text))) continue
          if (isHeld(this.#state(beganTs)) || isHeld(before)) return this.#accuse(transaction, `commit ${ts} claimed ${JSON.stringify(text)} of ${table}.${index}, which commit ${other} had won`)
        }
      }
    }
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
    if (telling.has(outcome) && durability === 'durable' && this.#firstAt(transaction, last, this.#history.baseTs, durableTs) === undefined) {
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
    const ts = isFixed ? attempt.beganTs : (this.#firstAt(transaction, attempt, attempt.beganTs, visibleTs) ?? this.#firstRead(attempt, attempt.beganTs, visibleTs) ?? attempt.beganTs)
    const replayed = this.#replay(transaction, attempt, ts)
    const isLast = attempt === transaction.attempts.at(-1)
    if (replayed.difference !== undefined) {
      return this.#accuse(transaction, `ended with ${isLast ? outcome : 'a conflict'} and saw no single state: ${replayed.difference}`)
    }
    if (!isLast) return
    if (outcome === 'COMMIT_UNKNOWN') this.#accuse(transaction, 'was told that it may have committed, and did not')
    if (outcome === 'done' && (replayed.own.size > 0 || replayed.deletedRanges.length > 0)) this.#accuse(transaction, 'ended well, but its writes were not committed')
    // Which one it met must be on disk when that is told. What it began at need not be, where the engine itself has committed since.
    const newestTs = transaction.durability === 'durable' ? Math.min(visibleTs, transaction.durableTs) : visibleTs
    if (outcome === 'UNIQUE_VIOLATION') this.#hearViolation(transaction, attempt, replayed, newestTs)
    if (outcome.startsWith('ROW_')) {
      const later = this.#states.slice(Math.min(attempt.beganTs, newestTs) - this.#history.baseTs, newestTs - this.#history.baseTs + 1)
      if (!later.some(state => this.#failsAt(replayed, state))) this.#accuse(transaction, `ended with ${outcome}, though every condition held as far as it may be told`)
    }
  }

  /**
   * Another row had the key that it claimed, at a moment when the transaction may have been about to commit: where reads are validated, one at which its reads held too; at `snapshot`
   * from the snapshot on, for whoever claimed it since would have been a conflict.
   */
  #hearViolation(transaction: TransactionRecord, attempt: Attempt, replayed: Replayed, newestTs: number): void {
    const { level, violation } = transaction
    const named = (ts: number, seen: Replayed, names: Violation | undefined): boolean => seen.difference === undefined && this.#clashesAt(ts, seen, names, transaction.visibleTs)
    // Of two rows that it wrote itself, which one had the key may follow from what is not on disk yet; that they clash must not.
    const swapped = violation && { ...violation, key: violation.holder, holder: violation.key }
    const isOwn = [...replayed.own.values()].some(({ table, key }) => table === violation?.table && JSON.stringify(key) === JSON.stringify(violation.holder))
    const isAt = (ts: number, seen: Replayed = replayed): boolean => named(ts, seen, violation) || (isOwn && named(ts, seen, swapped))
    const serially = (ts: number): Replayed => replay(attempt.operations, () => this.#state(ts))
    const earliestTs = Math.min(attempt.beganTs, newestTs)
    const times = Array.from({ length: newestTs - earliestTs + 1 }, (_, i) => earliestTs + i)
    const told = `was told UNIQUE_VIOLATION (${JSON.stringify(violation)})`
    if (!times.some(ts => (level === 'serializable' ? isAt(ts, serially(ts)) : isAt(ts)))) {
      const clashing = times.filter(ts => isAt(ts))
      return this.#accuse(transaction, clashing.length > 0 ? `${told}, which is so at ${clashing.join(', ')}, where its reads do not hold` : `${told}, and no state from ${earliestTs} to ${newestTs} says so`)
    }
    const visible = Array.from({ length: Math.min(transaction.visibleTs, this.#lastTs) - earliestTs + 1 }, (_, i) => earliestTs + i)
    if (isOwn && !visible.some(ts => named(ts, replayed, violation))) this.#accuse(transaction, `${told}, which names the holder as the one who claims`)
    const wasReady = this.#uniqueAt(attempt.beganTs, state => state === 'ready').some(({ table, index }) => table === violation?.table && functionOf(index).declaredAs === violation.index)
    if (level === 'snapshot' && wasReady && !isAt(attempt.beganTs)) this.#accuse(transaction, `${told} for a key that was claimed after its snapshot, which is a conflict`)
  }

  /** Whether a claim cannot be met at a commit; where the error is known, the one that it names. The index must have been declared at that commit, or until `knownTs`. */
  #clashesAt(ts: number, replayed: Replayed, violation?: Violation, knownTs: number = ts): boolean {
    const isNamed = ({ table, index, key, holder }: Claim): boolean => JSON.stringify([table, functionOf(index).declaredAs, key, holder]) === JSON.stringify([violation?.table, violation?.index, violation?.key, violation?.holder])
    const claims = clashes(this.#state(ts), replayed, [...this.#uniqueAt(ts), ...(knownTs > ts ? this.#uniqueAt(Math.min(knownTs, this.#lastTs)) : [])])
    return violation === undefined ? claims.length > 0 : claims.some(isNamed)
  }

  /** At the end every index that is ready holds what the rows say, no more and no less; one that could not be built had rows that share a key. */
  #hearIndexes(): void {
    const { contents = [], buildings = [] } = this.#history
    for (const content of contents) this.#hearContent(content)
    for (const building of buildings) this.#hearBuilding(building)
  }

  #hearContent({ table, index, keysOnly, rows }: IndexContent): void {
    const wanted = entriesIn(this.#history.finally, table, index, {})
    const texts = new Set(wanted.map(({ indexKey, row }) => entryText(indexKey, row.key)))
    const found = keysOnly.map(([indexKey, key]) => entryText(indexKey, key))
    const dangling = found.filter(text => !texts.has(text))
    const missing = [...texts].filter(text => !found.includes(text))
    const held = keysOnly.map(([indexKey]) => indexText(indexKey))
    const doubled = functionOf(index).unique ? [...new Set(held.filter((text, i) => held.indexOf(text) !== i))] : []
    this.indexEntries += found.length
    this.danglingEntries += dangling.length
    this.missingEntries += missing.length
    this.duplicateUniqueKeys += doubled.length
    const where = `index ${index} of ${table}`
    if (dangling.length > 0) this.#accuse(undefined, `at the end ${where} has entries that no row has: ${JSON.stringify(dangling)}`)
    if (missing.length > 0) this.#accuse(undefined, `at the end ${where} lacks entries that rows should have: ${JSON.stringify(missing)}`)
    if (doubled.length > 0) this.#accuse(undefined, `at the end the unique ${where} has keys more than once: ${JSON.stringify(doubled)}`)
    const inFull = JSON.stringify(wanted.map(entry => indexRow(entry, false)))
    if (JSON.stringify(rows) !== inFull) this.#accuse(undefined, `at the end ${where} should give ${inFull}, and gives ${JSON.stringify(rows)}`)
  }

  #hearBuilding({ table, outcome, unready }: Building): void {
    if (outcome === 'done') {
      if (unready.length > 0) this.#accuse(undefined, `${unready.join(', ')} of ${table} should be ready and are not`)
      return
    }
    const ended = this.#history.interruption === undefined ? [] : [this.#history.finally]
    const mayFail = (index: IndexName): boolean => functionOf(index).unique && [...this.#states, ...ended].some(state => sharedKeys(state, table, index).size > 0)
    if (outcome !== 'UNIQUE_VIOLATION' || !unready.some(mayFail)) this.#accuse(undefined, `building the indexes of ${table} ended with ${outcome}; not ready: ${unready.join(', ')}`)
    const others = unready.filter(index => !mayFail(index))
    if (others.length > 0) this.#accuse(undefined, `${others.join(', ')} of ${table} should be ready and are not, though no two rows ever had one key`)
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
    const replayed = replay(operations, () => state, () => this.#catalog(conflictTs))
    if (replayed.difference === undefined && !this.#clashesAt(conflictTs, replayed)) this.falseConflicts++
  }

  /** The first timestamp in [from, to] at which the attempt's reads hold, and where it was told that a claim cannot be met, that this is so. */
  #firstAt({ level, outcome, attempts, visibleTs }: TransactionRecord, attempt: Attempt, from: number, to: number): number | undefined {
    const isTold = outcome === 'UNIQUE_VIOLATION' && level === 'serializable' && attempt === attempts.at(-1)
    for (let ts = from; ts <= Math.min(to, this.#lastTs); ts++) {
      const replayed = replay(attempt.operations, () => this.#state(ts), () => this.#catalog(ts))
      if (replayed.difference === undefined && (!isTold || this.#clashesAt(ts, replayed, undefined, visibleTs))) return ts
    }
    return undefined
  }

  #firstRead({ operations }: Attempt, from: number, to: number): number | undefined {
    for (let ts = from; ts <= Math.min(to, this.#lastTs); ts++) if (replay(operations, () => this.#state(ts), () => this.#catalog(ts)).difference === undefined) return ts
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
      const ts = committedTs ?? this.#firstAt(transaction, attempt, earliestTs, transaction.visibleTs)
      if (ts === undefined || ts < earliestTs) this.#accuse(transaction, `began when ${earliestTs} was known, and stands before it`)
      else if (transaction.outcome === 'done' || telling.has(transaction.outcome)) places.push({ endedAt: transaction.endedAt, ts })
    }
  }

  #accuse(transaction: TransactionRecord | undefined, what: string): void {
    const who = transaction === undefined ? 'the history:' : `${transaction.label} (${transaction.level}${transaction.readOnly ? ', read-only' : ''})`
    this.violations.push(`${who} ${what}`)
  }
}

const uniqueId = (table: TableName, index: IndexName, text: string): string => `${table}.${index} ${text}`
