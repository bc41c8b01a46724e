/**
 * What one session did, as it goes into the history.
 *
 * An engine does not say which rows a deletion of a range found. They are worked out from what has been committed: a row that
 * is there when the transaction takes effect is deleted, at the place of the deletion or, where the session then still saw what
 * somebody had added meanwhile, at the end; a row that is not there was seen to be absent. (Adya's predicate-based
 * modification: a read of the predicate, and a write of each row that matches.)
 */
import { contains, isWrite, type Operation, type Write } from '../checker/history.js'
import type { IndexedValue, IndexRangeOptions, KeyedValue, RangeOptions, Scenario, TableInterval } from '../scenario.js'
import { type Entries, isEntryOf } from './entries.js'
import type { Versioned } from './seen.js'

interface Place {
  readonly table: string
  readonly key: string
}

const idOf = ({ table, key }: Place): string => `${table}\0${key}`

/** The rows that there can be in a scenario, and those that are committed. One for all sessions of a schedule. */
export class Rows {
  readonly #places: readonly Place[]
  readonly #present: Set<string>

  constructor({ initial, sessions }: Scenario) {
    const named = sessions.flatMap(({ steps }) => steps.flatMap(step => (step.kind === 'put' || step.kind === 'delete' ? [step] : [])))
    this.#places = [...new Map([...initial, ...named].map(place => [idOf(place), place])).values()]
    this.#present = new Set(initial.map(idOf))
  }

  within(interval: TableInterval): Place[] {
    return this.#places.filter(({ table, key }) => table === interval.table && contains(interval, key))
  }

  has(place: Place): boolean {
    return this.#present.has(idOf(place))
  }

  commit(operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.op === 'put') this.#present.add(idOf(operation))
      else if (operation.op === 'delete') this.#present.delete(idOf(operation))
    }
  }
}

/** A deletion of a range, with the rows that were committed when it was asked for. */
interface RangeDeletion {
  readonly op: 'deleteRange'
  readonly interval: TableInterval
  readonly before: readonly Place[]
}

export class Recorder {
  readonly #id: string
  readonly #rows: Rows
  readonly #entries: Entries
  #steps: (Operation | RangeDeletion)[] = []
  #undone: (Operation | RangeDeletion)[] = []
  #savepoint = 0
  #writes = 0

  constructor(id: string, rows: Rows, entries: Entries) {
    this.#id = id
    this.#rows = rows
    this.#entries = entries
  }

  get({ table, key }: Place, version: string | null): void {
    this.#steps.push({ op: 'get', table, key, version })
  }

  range({ table, limit, reverse, ...bounds }: RangeOptions, found: readonly (KeyedValue & Versioned)[]): void {
    const how = { ...(limit !== undefined && { limit }), ...(reverse !== undefined && { reverse }) }
    this.#steps.push({ op: 'range', table, bounds, ...how, rows: found.map(({ key, v }) => ({ key, version: v })) })
  }

  indexRange(range: IndexRangeOptions, found: readonly (IndexedValue & Versioned)[]): void {
    this.#steps.push(this.#entries.readOf(range, found))
  }

  /** To be called before the write is made: others may see it even if the engine then refuses it. Returns the version's id. */
  put(place: Place, value: unknown): string {
    const write = this.#newWrite('put', place)
    this.#steps.push(write)
    this.#entries.wrote(write, value)
    return write.version
  }

  /** To be called before the row is deleted, as for `put`. */
  delete(place: Place): void {
    this.#steps.push(this.#newWrite('delete', place))
  }

  deleteRange(interval: TableInterval): void {
    this.#steps.push({ op: 'deleteRange', interval, before: this.#rows.within(interval).filter(place => this.#rows.has(place)) })
  }

  savepoint(): void {
    this.#savepoint = this.#steps.length
  }

  /** What was written since the savepoint never happened; what was read did. */
  undo(): void {
    for (const step of this.#steps.splice(this.#savepoint)) {
      const isRead = step.op === 'get' || step.op === 'range'
      ;(isRead ? this.#steps : this.#undone).push(step)
    }
  }

  /** Writes that a savepoint dropped. */
  undone(): readonly Operation[] {
    return this.#everythingIn(this.#undone)
  }

  /** Of a transaction that did not take effect: a deletion of a range may have deleted whatever is ever there. */
  aborted(): readonly Operation[] {
    return this.#everythingIn(this.#steps)
  }

  /** What a transaction was told that is refused a unique key now: what it read until it wrote, and that. Null where it is not true. */
  refused(): readonly Operation[] | null {
    const writes = this.#steps.flatMap((step): Write[] => {
      if (step.op === 'deleteRange') return this.#rows.within(step.interval).map(({ table, key }) => ({ op: 'delete', table, key, version: '' }))
      return isWrite(step) ? [step] : []
    })
    const why = this.#entries.refusalOf(writes)
    const firstWrite = this.#steps.findIndex(step => step.op === 'deleteRange' || isWrite(step))
    return why && [...this.#everythingIn(this.#steps.slice(0, Math.max(0, firstWrite))), ...why]
  }

  /** Of a transaction that takes effect now, after all that committed before it. */
  committed(): readonly Operation[] {
    const operations: Operation[] = []
    const own = new Map<string, 'put' | 'delete'>()
    const added = new Map<string, Place>()
    const add = (operation: Operation): void => {
      operations.push(operation)
      if (operation.op === 'put' || operation.op === 'delete') own.set(idOf(operation), operation.op)
    }
    for (const [at, step] of this.#steps.entries()) {
      if (step.op !== 'deleteRange') {
        add(step)
        continue
      }
      const before = new Set(step.before.map(idOf))
      for (const place of this.#rows.within(step.interval)) {
        const id = idOf(place)
        const mine = own.get(id)
        if (mine === 'delete') continue
        const { table, key } = place
        // A session that reads a snapshot deletes what that holds, be it gone meanwhile and added anew.
        const isSeenAgain = !before.has(id) && sees(this.#steps.slice(at + 1), place)
        if (mine === 'put' || (this.#rows.has(place) && !isSeenAgain)) add(this.#newWrite('delete', place))
        else if (this.#rows.has(place)) added.set(id, place)
        else add({ op: 'range', table, bounds: { gte: key, lte: key }, rows: [] })
      }
    }
    for (const [id, place] of added) if (!own.has(id)) add(this.#newWrite('delete', place))
    this.#rows.commit(operations)
    this.#entries.commit(operations)
    return operations
  }

  #everythingIn(steps: readonly (Operation | RangeDeletion)[]): Operation[] {
    return steps.flatMap(step =>
      step.op === 'deleteRange' ? this.#rows.within(step.interval).map(place => this.#newWrite('delete', place)) : [step],
    )
  }

  #newWrite<O extends 'put' | 'delete'>(op: O, { table, key }: Place) {
    return { op, table, key, version: `${this.#id}.${++this.#writes}` }
  }
}

/** Whether a row is found before the session writes it itself. */
function sees(steps: readonly (Operation | RangeDeletion)[], place: Place): boolean {
  const isPlace = (other: Place): boolean => idOf(other) === idOf(place)
  for (const step of steps) {
    if ((step.op === 'put' || step.op === 'delete') && isPlace(step)) return false
    if (step.op === 'get' && step.version !== null && isPlace(step)) return true
    if (step.op === 'range' && step.rows.some(({ key }) => isPlace({ table: step.table, key }) || isEntryOf(step.table, key, place))) return true
  }
  return false
}
