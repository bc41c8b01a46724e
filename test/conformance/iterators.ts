/** Iterators that stay open while other things happen. */
import { outcomeOf, type Action, type Found, type Row } from './actions.js'
import { called, expectIn, expectText } from './compare.js'
import { blocked, blockedOrDoomed, handleAt, type Handle } from './handle.js'
import { iteration, Mismatch, type Iterated, type Own } from './model.js'
import type { Session } from './session.js'
import { listSource, source } from './source.js'

interface OpenIterator {
  readonly name: string
  readonly iterator: Iterator<Found>
  /** Of a handle: the one that its transaction had when it began, by depth and savepoint. */
  readonly of: { readonly handle: Handle; readonly depth: number; readonly savepoint: unknown } | undefined
  readonly iterated: Iterated
  /** Where it stays at the state at which it began. */
  states: readonly { readonly at: number; readonly rows: readonly Row[] }[] | undefined
  readonly rows: Found[]
}

const iteratorsMax = 4

export class Iterators {
  readonly #session: Session
  #open: OpenIterator[] = []
  #names = 0

  constructor(session: Session) {
    this.#session = session
  }

  get isEmpty(): boolean {
    return this.#open.length === 0
  }

  get isFull(): boolean {
    return this.#open.length >= iteratorsMax
  }

  clear(): void {
    this.#open = []
  }

  /** Begins to iterate over a range of a transaction, or of the database. */
  iterate(handle: Handle | undefined, range: Action): void {
    const { observer } = this.#session
    const depth = handle?.savepoints.length ?? 0
    const codes = handle && blockedOrDoomed(handle, depth)
    const { tx, name } = handle === undefined ? { tx: this.#session.one, name: 'db' } : handleAt(handle, depth)
    const text = `${name}.range(${range.shape.name}${range.range === undefined ? '' : `, ${source(range.range)}`})[Symbol.iterator]()`
    let iterator: Iterator<Found> | undefined
    const outcome = outcomeOf(() => void (iterator = tx.range(this.#session.table(range.shape), range.range)[Symbol.iterator]()))
    if (codes) return expectIn(outcome, codes)
    const invalid = this.#session.model({ readOnly: true }).expect(range) === 'throws INVALID_ARGUMENT'
    if (invalid) return expectIn(outcome, ['INVALID_ARGUMENT'])
    if (iterator === undefined) throw new Mismatch(`an iteration cannot begin: ${outcome}`)
    const iteratorName = `i${++this.#names}`
    observer.write(`const ${iteratorName} = ${text}`)
    const stays = handle === undefined || handle.model.options.level === 'read-committed'
    const iterated = stays ? { range, calls: 0, outcome: '[]', last: undefined } : handle.model.iterate(range)
    const { history } = observer
    const own = (handle?.model.own ?? ({ writes: new Map() } as Pick<Own, 'writes'>)).writes
    const states = handle === undefined || handle.model.options.readOnly ? observer.acknowledged() : [history.present]
    this.#open.push({
      name: iteratorName,
      iterator,
      of: handle && { handle, depth, savepoint: handle.savepoints.at(-1) },
      iterated,
      states: stays ? states.map(state => ({ at: state, rows: history.over(history.rows(state), own) })) : undefined,
      rows: [],
    })
  }

  next(which: number): void {
    const { observer } = this.#session
    const open = this.#at(which)
    const { iterated, iterator, of, rows } = open
    let failure: unknown
    let step: IteratorResult<Found> | undefined
    const outcome = outcomeOf(() => {
      try {
        step = iterator.next()
        return step.done ? 'done' : step.value
      } catch (error) {
        failure = error
        throw error
      }
    })
    observer.note(observer.write(called(`${open.name}.next()`, outcome)), outcome)
    const codes = of ? iteratorBlocked(of) : observer.isOpen ? undefined : ['CLOSED']
    if (codes) return expectIn(outcome, codes)
    if (step === undefined) {
      if (of === undefined) throw new Mismatch(`a one-shot iteration: ${outcome}`)
      of.handle.model.perform(iterated.range, outcome)
      return this.#session.checkExplanation(failure, of.handle.model)
    }
    iterated.calls++
    if (!step.done) rows.push(step.value)
    const results: unknown[] = [...rows]
    while (results.length < iterated.calls) results.push('done')
    iterated.outcome = listSource(results)
    const limit = iterated.range.range?.limit ?? Infinity
    iterated.last = step.done && rows.length < limit ? undefined : rows.at(-1)?.key
    if (open.states === undefined) return of!.handle.model.see(iterated)
    const explained = open.states.filter(state => iteration(state.rows, iterated) === iterated.outcome)
    if (explained.length === 0) throw new Mismatch(`the iteration has given ${iterated.outcome}; expected ${open.states.map(state => iteration(state.rows, iterated)).join(' or ')}`)
    open.states = explained
  }

  leave(which: number): void {
    const open = this.#at(which)
    this.#session.observer.write(`${open.name}.return()`)
    expectText(outcomeOf(() => open.iterator.return!().done), 'true')
    this.#open = this.#open.filter(one => one !== open)
  }
  #at(which: number): OpenIterator {
    return this.#open[which % this.#open.length]!
  }
}

function iteratorBlocked({ handle, depth, savepoint: within }: NonNullable<OpenIterator['of']>): readonly string[] | undefined {
  if (handle.ended !== undefined || handle.isLost) return [...blocked(handle, depth)!, 'TRANSACTION_ENDED']
  if (depth > 0 && handle.savepoints[depth - 1] !== within) return ['TRANSACTION_ENDED']
  return blockedOrDoomed(handle, depth)
}
