/**
 * One session being played: its transaction in the engine, what it has read, and the record of it that goes into the history.
 */
import type { Operation, TransactionRecord } from '../checker/history.js'
import type { IndexedValue, IndexRangeOptions, KeyedValue, RangeOptions, Session, Step } from '../scenario.js'
import { type SubjectSpace, type SubjectTransaction, UnsupportedError } from '../subject.js'
import { describeRows, describeStep, describeValue } from './describe.js'
import type { Entries } from './entries.js'
import { Recorder, type Rows } from './recorder.js'
import { SeenValues, unwrap } from './seen.js'

/** How a session ended; `text` is its reason to give up, or the engine's explanation. `refused`: a unique key was taken. */
export type Ending =
  | { readonly kind: 'committed' }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'gave-up'; readonly text: string }
  | { readonly kind: 'refused'; readonly text: string }
  | { readonly kind: 'aborted-by-engine'; readonly text: string }

/** Numbers the events of one schedule. */
export interface EventCounter {
  next: number
}

/** What the players of one schedule share. */
export interface Shared {
  readonly space: SubjectSpace
  readonly events: EventCounter
  readonly rows: Rows
  readonly entries: Entries
}

export class Player {
  readonly id: string
  readonly session: Session
  ending: Ending | null = null
  /** Turns that came while the session was blocked, and are made up for when it is released. */
  owedTurns = 0
  readonly #shared: Shared
  readonly #seen = new SeenValues()
  readonly #recorder: Recorder
  #transaction: SubjectTransaction | null = null
  #position = 0
  #begin = 0
  #end = 0
  /** What it was told where it was refused a unique key. */
  #told: readonly Operation[] = []
  /** What it did, once it has ended. */
  #operations: readonly Operation[] = []

  constructor(id: string, session: Session, shared: Shared) {
    this.id = id
    this.session = session
    this.#shared = shared
    this.#recorder = new Recorder(id, shared.rows, shared.entries)
  }

  /** The next step as a reader of a timeline wants to see it, without its result. */
  get upcoming(): string {
    const step = this.session.steps[this.#position]
    if (!step) throw new RangeError(`${this.id} has no step left.`)
    return describeStep(step)
  }

  /**
   * Takes the next step and returns what came of it. An abort by the engine is an outcome, and so is a unique key that is taken;
   * every other rejection is passed on.
   */
  async takeStep(): Promise<string> {
    const step = this.session.steps[this.#position++]
    if (!step) throw new RangeError(`${this.id} has no step left.`)
    try {
      return await this.#perform(step)
    } catch (error) {
      if (isViolation(error)) {
        const told = this.#recorder.refused()
        if (!told) throw new Error(`a unique key was refused that no other row has: ${error.message}`, { cause: error })
        this.#told = told
        this.#finish({ kind: 'refused', text: error.message })
        return '✗ refused: the key is taken'
      }
      if (!isRetryable(error)) throw error
      this.#finish({ kind: 'aborted-by-engine', text: error.message })
      return '✗ aborted by the engine'
    }
  }

  record(): TransactionRecord {
    const outcome = this.ending?.kind === 'committed' ? 'committed' : 'aborted'
    // The runner takes one step at a time, so the order in which commits were acknowledged is the order in which they were made.
    const commit = outcome === 'committed' && { commit: this.#end }
    return { id: this.id, label: this.session.label, outcome, begin: this.#begin, end: this.#end, ...commit, operations: this.#operations }
  }

  /** The writes that a savepoint dropped, as a transaction of their own that aborted: null where there are none. */
  undone(): TransactionRecord | null {
    const operations = this.#recorder.undone()
    return operations.length === 0 ? null : { id: `${this.id}.undone`, outcome: 'aborted', begin: this.#begin, end: this.#end, operations }
  }

  /** What a session that was refused a unique key was told, as a transaction that only reads: null where it was none. */
  told(): TransactionRecord | null {
    if (this.ending?.kind !== 'refused') return null
    return { id: `${this.id}.refused`, outcome: 'committed', begin: this.#begin, end: this.#end, operations: this.#told }
  }

  /** Lets go of the transaction when the schedule has failed; its own failure would hide the first. */
  async abandon(): Promise<void> {
    if (this.ending) return
    try {
      await this.#transaction?.abort()
    } catch {
      // The schedule reports what went wrong first.
    }
  }

  async #perform(step: Step): Promise<string> {
    if (!this.#transaction) {
      const { space, events } = this.#shared
      this.#begin = events.next++
      this.#transaction = await space.begin({ label: this.session.label, readOnly: this.session.readOnly ?? false })
    }
    const transaction = this.#transaction
    if ('onlyIf' in step && step.onlyIf && !step.onlyIf.holds(this.#seen)) return await this.#giveUp(transaction, step.onlyIf.otherwise)
    switch (step.kind) {
      case 'begin':
        return ''
      case 'get':
        return this.#get(step.table, step.key, step.as, await transaction.get(step.table, step.key))
      case 'range':
        return this.#range(step.range, step.as, await transaction.range(step.range))
      case 'first':
      case 'last': {
        const found = await offered(transaction, step.kind)(step.range)
        return this.#range({ ...step.range, limit: 1, reverse: step.kind === 'last' }, step.as, found ? [found] : [])
      }
      case 'count':
        return await this.#count(transaction, step)
      case 'indexRange':
        return this.#indexRange(step.range, step.as, await offered(transaction, 'indexRange')(step.range))
      case 'indexCount':
        return await this.#indexCount(transaction, step)
      case 'indexGet': {
        const { table, index, at } = step
        const found = await offered(transaction, 'indexGet')(table, index, at)
        const text = this.#indexRange({ table, index, prefix: at, limit: 1 }, step.as, found ? [found] : [])
        return found ? text : '→ no row'
      }
      case 'put': {
        const value = step.value(this.#seen)
        const version = this.#recorder.put(step, value)
        await transaction.put(step.table, step.key, { v: version, value })
        return `= ${describeValue(value)}`
      }
      case 'delete':
        this.#recorder.delete(step)
        await transaction.delete(step.table, step.key)
        return ''
      case 'deleteRange':
        this.#recorder.deleteRange(step.range)
        await offered(transaction, 'deleteRange')(step.range)
        return ''
      case 'savepoint':
        this.#recorder.savepoint()
        await offered(transaction, 'savepoint')()
        return ''
      case 'undo':
        await offered(transaction, 'undo')()
        this.#recorder.undo()
        return ''
      case 'commit':
        await transaction.commit()
        this.#finish({ kind: 'committed' })
        return ''
      case 'abort':
        await transaction.abort()
        this.#finish({ kind: 'aborted' })
        return ''
    }
  }

  #get(table: string, key: string, as: string, stored: unknown): string {
    const found = stored === undefined ? null : unwrap(stored)
    this.#recorder.get({ table, key }, found?.v ?? null)
    this.#seen.remember(as, found?.value)
    return found ? `→ ${describeValue(found.value)}` : '→ no row'
  }

  #range(range: RangeOptions, as: string, stored: readonly KeyedValue[]): string {
    const found = stored.map(({ key, value }) => ({ key, ...unwrap(value) }))
    this.#recorder.range(range, found)
    this.#seen.remember(as, found.map(({ key, value }) => ({ key, value })))
    return `→ ${describeRows(found)}`
  }

  #indexRange(range: IndexRangeOptions, as: string, stored: readonly IndexedValue[]): string {
    const found = stored.map(({ indexKey, key, value }) => ({ indexKey, key, ...unwrap(value) }))
    this.#recorder.indexRange(range, found)
    this.#seen.remember(as, found.map(({ key, value }) => ({ key, value })))
    return `→ ${describeRows(found)}`
  }

  async #count(transaction: SubjectTransaction, { range, otherwise }: Step & { kind: 'count' }): Promise<string> {
    const count = await offered(transaction, 'count')(range)
    if (count > 0) return `→ ${count} ${await this.#giveUp(transaction, otherwise)}`
    this.#recorder.range(range, [])
    return '→ 0'
  }

  async #indexCount(transaction: SubjectTransaction, { range, otherwise }: Step & { kind: 'indexCount' }): Promise<string> {
    const count = await offered(transaction, 'indexCount')(range)
    if (count > 0) return `→ ${count} ${await this.#giveUp(transaction, otherwise)}`
    this.#recorder.indexRange(range, [])
    return '→ 0'
  }

  async #giveUp(transaction: SubjectTransaction, text: string): Promise<string> {
    await transaction.abort()
    this.#finish({ kind: 'gave-up', text })
    return `✗ gives up: ${text}`
  }

  #finish(ending: Ending): void {
    this.ending = ending
    this.#end = this.#shared.events.next++
    this.#operations = ending.kind === 'committed' ? this.#recorder.committed() : this.#recorder.aborted()
  }
}

type Optional = 'first' | 'last' | 'count' | 'deleteRange' | 'savepoint' | 'undo' | 'indexRange' | 'indexCount' | 'indexGet'

/** An operation that the engine need not have. */
function offered<N extends Optional>(transaction: SubjectTransaction, name: N): NonNullable<SubjectTransaction[N]> {
  const operation = transaction[name]
  if (!operation) throw new UnsupportedError(`The engine has no ${name}.`)
  return operation
}

function isViolation(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && error.code === 'UNIQUE_VIOLATION'
}

function isRetryable(error: unknown): error is Error {
  return error instanceof Error && 'retryable' in error && error.retryable === true
}
