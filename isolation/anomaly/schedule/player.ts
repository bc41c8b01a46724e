/**
 * One session being played: its transaction in the engine, what it has read, and the record of it that goes into the history.
 */
import type { Operation, TransactionRecord } from '../checker/history.js'
import type { Session, Step } from '../scenario.js'
import type { SubjectSpace, SubjectTransaction } from '../subject.js'
import { describeRange, describeRows, describeValue } from './describe.js'
import { SeenValues, unwrap } from './seen.js'

/** How a session ended; `text` is its reason to give up, or the engine's explanation. */
export type Ending =
  | { readonly kind: 'committed' }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'gave-up'; readonly text: string }
  | { readonly kind: 'aborted-by-engine'; readonly text: string }

/** Numbers the events of one schedule. */
export interface EventCounter {
  next: number
}

export class Player {
  readonly id: string
  readonly session: Session
  ending: Ending | null = null
  /** Turns that came while the session was blocked, and are made up for when it is released. */
  owedTurns = 0
  readonly #space: SubjectSpace
  readonly #events: EventCounter
  readonly #seen = new SeenValues()
  readonly #operations: Operation[] = []
  #transaction: SubjectTransaction | null = null
  #position = 0
  #begin = 0
  #end = 0
  #writes = 0

  constructor(id: string, session: Session, space: SubjectSpace, events: EventCounter) {
    this.id = id
    this.session = session
    this.#space = space
    this.#events = events
  }

  /** The next step as a reader of a timeline wants to see it, without its result. */
  get upcoming(): string {
    const step = this.session.steps[this.#position]
    if (!step) throw new RangeError(`${this.id} has no step left.`)
    if (step.kind === 'range') return describeRange(step.range)
    return 'key' in step ? `${step.kind} ${step.key}` : step.kind
  }

  /**
   * Takes the next step and returns what came of it. An abort by the engine is an outcome; every other rejection is passed on.
   */
  async takeStep(): Promise<string> {
    const step = this.session.steps[this.#position++]
    if (!step) throw new RangeError(`${this.id} has no step left.`)
    try {
      return await this.#perform(step)
    } catch (error) {
      if (!isRetryable(error)) throw error
      this.#finish({ kind: 'aborted-by-engine', text: error.message })
      return '✗ aborted by the engine'
    }
  }

  record(): TransactionRecord {
    const outcome = this.ending?.kind === 'committed' ? 'committed' : 'aborted'
    return { id: this.id, label: this.session.label, outcome, begin: this.#begin, end: this.#end, operations: this.#operations }
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
      this.#begin = this.#events.next++
      this.#transaction = await this.#space.begin({ label: this.session.label, readOnly: this.session.readOnly ?? false })
    }
    const transaction = this.#transaction
    switch (step.kind) {
      case 'begin':
        return ''
      case 'get':
        return this.#get(step.table, step.key, step.as, await transaction.get(step.table, step.key))
      case 'range':
        return await this.#range(transaction, step)
      case 'put': {
        if (step.onlyIf && !step.onlyIf.holds(this.#seen)) return await this.#giveUp(transaction, step.onlyIf.otherwise)
        const value = step.value(this.#seen)
        const version = this.#recordWrite('put', step.table, step.key)
        await transaction.put(step.table, step.key, { v: version, value })
        return `= ${describeValue(value)}`
      }
      case 'delete':
        if (step.onlyIf && !step.onlyIf.holds(this.#seen)) return await this.#giveUp(transaction, step.onlyIf.otherwise)
        this.#recordWrite('delete', step.table, step.key)
        await transaction.delete(step.table, step.key)
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
    this.#operations.push({ op: 'get', table, key, version: found?.v ?? null })
    this.#seen.remember(as, found?.value)
    return found ? `→ ${describeValue(found.value)}` : '→ no row'
  }

  async #range(transaction: SubjectTransaction, { range, as }: Step & { kind: 'range' }): Promise<string> {
    const { table, limit, reverse, ...bounds } = range
    const found = (await transaction.range(range)).map(({ key, value }) => ({ key, ...unwrap(value) }))
    this.#operations.push({
      op: 'range',
      table,
      bounds,
      ...(limit !== undefined && { limit }),
      ...(reverse !== undefined && { reverse }),
      rows: found.map(({ key, v }) => ({ key, version: v })),
    })
    this.#seen.remember(as, found.map(({ key, value }) => ({ key, value })))
    return `→ ${describeRows(found)}`
  }

  async #giveUp(transaction: SubjectTransaction, text: string): Promise<string> {
    await transaction.abort()
    this.#finish({ kind: 'gave-up', text })
    return `✗ gives up: ${text}`
  }

  #finish(ending: Ending): void {
    this.ending = ending
    this.#end = this.#events.next++
  }

  /** Before the write is made: others may see it even if the engine then refuses it. */
  #recordWrite(op: 'put' | 'delete', table: string, key: string): string {
    const version = `${this.id}.${++this.#writes}`
    this.#operations.push({ op, table, key, version })
    return version
  }
}

function isRetryable(error: unknown): error is Error {
  return error instanceof Error && 'retryable' in error && error.retryable === true
}
