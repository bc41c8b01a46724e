/** Bodies of `db.transaction` and `db.transactionSync`: steps that may pause, fail, nest in savepoints and act beside the transaction, run as often as the engine asks. */
import { actionText, call, outcomeOf, type Action, type Draft as ActionDraft } from './actions.js'
import { awaited, called, expectIn, withoutUndefined, type Given } from './compare.js'
import type { CommandDraft, OptionsDraft, StepDraft } from './drafts.js'
import { Mismatch, type TransactionModel, type Verdict } from './model.js'
import { watch, type Pending, type Watched } from './observer.js'
import type { Nested } from './script.js'
import type { Session } from './session.js'
import { source } from './source.js'

type Draft = CommandDraft & { is: 'transaction' }

/** A step held against the tables. */
type Step =
  | { readonly is: 'action'; readonly action: Action; readonly caught: boolean }
  | { readonly is: 'savepoint'; readonly steps: readonly Step[]; readonly drops: boolean }
  | { readonly is: 'outside'; readonly action: Action; readonly everyAttempt: boolean }
  | { readonly is: 'beside' | 'outer'; readonly action: Action }
  | { readonly is: 'pause' | 'throw' | 'hook' }

/** What a body asks of whoever runs it: to let the event loop turn, or to run a savepoint. */
type Request = 'pause' | { readonly savepoint: Step & { is: 'savepoint' } }

interface Attempt {
  readonly model: TransactionModel
  readonly number: number
  /** How the body ended. */
  ended: { readonly verdict: Verdict } | { readonly threw: unknown } | undefined
}

const thrownByBody = 'thrown by the body'
class Dropped extends Error {}

export async function playTransaction(session: Session, draft: Draft): Promise<void> {
  await new Play(session, draft).run()
}

class Play {
  readonly #session: Session
  readonly #how: Draft['how']
  readonly #options: Given<OptionsDraft> & { readonly maxAttempts?: number }
  readonly #steps: readonly Step[]
  readonly #attempts: Attempt[] = []
  readonly #besides: Pending[] = []
  #mismatch: unknown
  /** Whether the body has awaited something, after which the default guard no longer watches it. */
  #hasAwaited = false
  #line = 0

  constructor(session: Session, { how, steps, options, maxAttempts }: Draft) {
    this.#session = session
    this.#how = how
    this.#options = withoutUndefined({ ...options, maxAttempts })
    this.#steps = steps.map(step => this.#resolve(step))
  }

  get #isSync(): boolean {
    return this.#how === 'transactionSync'
  }

  async run(): Promise<void> {
    const { observer, db } = this.#session
    const text = this.#text()
    this.#line = observer.write(text)
    const wasOpen = observer.isOpen
    const watched = this.#isSync ? this.#callSync() : watch(db.transaction(tx => this.#body(tx as unknown as Nested), this.#options))
    await observer.turn(() => watched.outcome !== undefined)
    if (this.#mismatch !== undefined) throw this.#mismatch
    observer.script[this.#line] = this.#isSync ? called(text, watched.outcome!) : awaited(text, watched.outcome)
    const nothing = { line: this.#line, watched, commit: undefined, shownFrom: 0, relaxed: true, hooks: [], deadlineMs: undefined }
    if (!wasOpen) return observer.conclude({ ...nothing, expected: ['throws CLOSED'] })
    await observer.conclude(this.#judge(watched))
    for (const beside of this.#besides) await observer.conclude(beside)
  }

  #callSync(): Watched {
    let error: unknown
    const outcome = outcomeOf(() => {
      try {
        return this.#session.db.transactionSync(tx => this.#body(tx as unknown as Nested), this.#options)
      } catch (thrown) {
        error = thrown
        throw thrown
      }
    })
    return { outcome, error }
  }

  /** What must have come of it. A transaction that is installed but waits for the disk enters the history here. */
  #judge(watched: Watched): Pending {
    const { observer } = this.#session
    const last = this.#attempts.at(-1)
    if (last?.ended === undefined) throw new Mismatch('the body was not run, or hangs')
    const { model } = last
    const isLast = last.number === (this.#options.maxAttempts ?? 10)
    this.#session.checkExplanation(watched.error, model)
    const relaxed = model.options.durability === 'relaxed'
    const rest = { line: this.#line, watched, relaxed, deadlineMs: undefined }
    if ('threw' in last.ended) {
      const code = last.ended.threw instanceof Error && 'code' in last.ended.threw ? String(last.ended.threw.code) : (last.ended.threw as Error).message
      const expected = model.doomed ? (isLast ? ['throws RETRIES_EXHAUSTED'] : ['another attempt']) : [`throws ${code}`]
      return { ...rest, expected, commit: undefined, shownFrom: model.doomed ? 0 : model.shownFrom, hooks: [] }
    }
    const { verdict } = last.ended
    const codes = verdict.codes.map(code => (code === 'CONFLICT' ? (isLast ? 'throws RETRIES_EXHAUSTED' : 'another attempt') : `throws ${code}`))
    const isCommitted = verdict.commit && (watched.outcome === undefined || watched.outcome === "'done'" || codes.length === 0)
    const shownFrom = model.doomed ? 0 : model.shownFrom
    const commit = isCommitted ? observer.install(model.writes(), model) : undefined
    if (this.#isSync && !relaxed) observer.flushed()
    return { ...rest, expected: isCommitted ? ["'done'"] : codes, commit, shownFrom, hooks: isCommitted ? model.own.hooks : [] }
  }

  // -- the body

  #body(tx: Nested): string | Promise<string> {
    const attempt = this.#beginAttempt(tx)
    this.#hasAwaited = false
    const steps = this.#play(this.#steps, [tx], attempt)
    if (this.#how !== 'async body') {
      try {
        this.#driveSync(steps, [tx], attempt)
      } catch (error) {
        return this.#threw(error, attempt)
      }
      return this.#returned(attempt)
    }
    return this.#drive(steps, [tx], attempt).then(
      () => this.#returned(attempt),
      (error: unknown) => this.#threw(error, attempt),
    )
  }

  #beginAttempt(tx: Nested): Attempt {
    const last = this.#attempts.at(-1)
    const { ended } = last ?? {}
    if (last !== undefined) {
      this.#session.observer.tally.count('another attempt')
      // What was written beside the attempts before may have been synced between them.
      if (!this.#session.observer.isHolding) this.#session.observer.flushed()
    }
    if (last !== undefined) {
      const mayConflict = last.model.doomed || (ended !== undefined && 'verdict' in ended && ended.verdict.codes.includes('CONFLICT'))
      if (!mayConflict) this.#mismatch ??= new Mismatch('the body was run again, though nothing it relied on has changed')
    }
    const attempt: Attempt = { model: this.#session.model(this.#options), number: this.#attempts.length + 1, ended: undefined }
    if (tx.attempt !== attempt.number) this.#mismatch ??= new Mismatch(`attempt ${attempt.number} says it is ${tx.attempt}`)
    this.#attempts.push(attempt)
    this.#session.leaked = tx
    return attempt
  }

  #returned(attempt: Attempt): string {
    const verdict = attempt.model.verdict()
    const { observer, machine } = { observer: this.#session.observer, machine: this.#session.observer.machine }
    if (verdict.commit && verdict.codes.length > 0 && observer.isHolding) {
      // Otherwise nobody could tell now which it is.
      observer.write('machine.releaseSyncs() // at the end of this body')
      machine.releaseSyncs()
      observer.isHolding = false
    }
    attempt.ended = { verdict }
    return 'done'
  }

  #threw(error: unknown, attempt: Attempt): never {
    if (error instanceof Mismatch || !(error instanceof Error) || (!('code' in error) && !(error instanceof Dropped) && error.message !== thrownByBody && error.message !== 'thrown by change')) this.#mismatch ??= error
    attempt.ended = { threw: error }
    throw error
  }

  *#play(steps: readonly Step[], handles: readonly Nested[], attempt: Attempt): Generator<Request, void, void> {
    const tx = handles.at(-1)!
    const { model } = attempt
    for (const step of steps) {
      switch (step.is) {
        case 'pause':
          if (this.#how === 'async body') yield 'pause'
          break
        case 'throw':
          throw new Error(thrownByBody)
        case 'hook':
          this.#hook(tx, model)
          break
        case 'outside':
          if (step.everyAttempt || attempt.number === 1) this.#outside(step.action)
          break
        case 'beside':
          this.#beside(step.action)
          break
        case 'outer':
          if (handles.length > 1) expectIn(this.#outcome(handles.at(-2)!, step.action), ['SAVEPOINT_ACTIVE'])
          break
        case 'savepoint':
          yield { savepoint: step }
          break
        case 'action': {
          const failure = this.#session.act(model, tx, `tx${'_'.repeat(handles.length - 1)}`, step.action, undefined, false)
          if (failure && !step.caught) throw failure.error
        }
      }
    }
  }

  #outcome(tx: Nested, action: Action): string {
    return outcomeOf(() => call(tx, this.#session.table(action.shape), action))
  }

  #hook(tx: Nested, model: TransactionModel): void {
    const { id, hook } = this.#session.observer.newHook()
    try {
      tx.onCommit(hook)
    } catch (error) {
      if (!model.doomed) throw new Mismatch(`onCommit: ${String(error)}`)
      throw error
    }
    if (model.doomed) throw new Mismatch('it is doomed by a conflict, and took a hook')
    model.hook(id)
  }

  #outside(action: Action): void {
    this.#besides.push(this.#session.startWrite(action, undefined, this.#line, body => this.#session.db.outside(body)))
  }

  /** A one-shot read in a body is refused where the guard reaches. */
  #beside(action: Action): void {
    const { db, setup, one } = this.#session
    if (this.#hasAwaited && setup.guard === 'sync') this.#session.read(action, false)
    else expectIn(outcomeOf(() => call(one, this.#session.table(action.shape), action)), ['OUTSIDE_TRANSACTION'])
    db.outside(() => this.#session.read(action, false))
  }

  /** The savepoint's body ran, and ended in `error` or well. Returns whether the error goes on outwards. */
  #endSavepoint(inner: Nested | undefined, { drops }: Step & { is: 'savepoint' }, attempt: Attempt, failure: { readonly error: unknown } | undefined): void {
    const { model } = attempt
    if (inner === undefined) {
      if (!model.doomed) throw new Mismatch(`a savepoint did not begin: ${String(failure?.error)}`)
      throw failure?.error
    }
    model.end(failure ? 'drop' : 'keep')
    this.#session.observer.tally.count(failure ? 'a savepoint dropped' : 'a savepoint kept')
    if (drops && failure === undefined) throw new Mismatch('the error of a savepoint was swallowed')
    const [shape] = this.#session.tables
    expectIn(outcomeOf(() => inner.has(this.#session.table(shape!), shape!.keys[0])), ['TRANSACTION_ENDED'])
    if (failure && !(failure.error instanceof Dropped)) throw failure.error
  }

  #driveSync(steps: Generator<Request, void, void>, handles: readonly Nested[], attempt: Attempt): void {
    for (let next = steps.next(); !next.done; next = steps.next()) {
      if (next.value === 'pause') continue
      const { savepoint } = next.value
      let inner: Nested | undefined
      let failure: { readonly error: unknown } | undefined
      try {
        handles.at(-1)!.transaction(child => {
          inner = child
          attempt.model.savepoint()
          this.#driveSync(this.#play(savepoint.steps, [...handles, child], attempt), [...handles, child], attempt)
          if (savepoint.drops) throw new Dropped('dropped')
        })
      } catch (error) {
        failure = { error }
        if (error instanceof Mismatch) throw error
      }
      this.#endSavepoint(inner, savepoint, attempt, failure)
    }
  }

  async #drive(steps: Generator<Request, void, void>, handles: readonly Nested[], attempt: Attempt): Promise<void> {
    for (let next = steps.next(); !next.done; next = steps.next()) {
      if (next.value === 'pause') {
        await Promise.resolve()
        this.#hasAwaited = true
        continue
      }
      const { savepoint } = next.value
      let inner: Nested | undefined
      let failure: { readonly error: unknown } | undefined
      try {
        await handles.at(-1)!.transaction(async child => {
          inner = child
          this.#hasAwaited = false
          attempt.model.savepoint()
          await this.#drive(this.#play(savepoint.steps, [...handles, child], attempt), [...handles, child], attempt)
          if (savepoint.drops) throw new Dropped('dropped')
        })
      } catch (error) {
        failure = { error }
        if (error instanceof Mismatch) throw error
      }
      this.#hasAwaited = true
      this.#endSavepoint(inner, savepoint, attempt, failure)
    }
  }

  // -- as text

  #resolve(step: StepDraft): Step {
    if (step.is === 'savepoint') return { ...step, steps: step.steps.map(inner => this.#resolve(inner)) }
    if (step.is === 'pause' || step.is === 'throw' || step.is === 'hook') return step
    const { draft, ...rest } = step as StepDraft & { draft: ActionDraft }
    return { ...rest, action: this.#session.resolve(draft) } as Step
  }

  #text(): string {
    const isAsync = this.#how === 'async body'
    const options = Object.keys(this.#options).length === 0 ? '' : `, ${source(this.#options)}`
    const body = lines(this.#steps, 'tx', '  ', isAsync, this.#session.setup.guard)
    return `db.${this.#isSync ? 'transactionSync' : 'transaction'}(${isAsync ? 'async ' : ''}tx => {\n${body}  return 'done'\n}${options})`
  }
}

/** The steps of a body as a person would write them. */
function lines(steps: readonly Step[], tx: string, indent: string, isAsync: boolean, guard: string): string {
  return steps
    .map(step => {
      switch (step.is) {
        case 'pause':
          return isAsync ? `${indent}await null\n` : ''
        case 'throw':
          return `${indent}throw new Error('${thrownByBody}')\n`
        case 'hook':
          return `${indent}${tx}.onCommit(() => console.log('a hook'))\n`
        case 'outside': {
          const write = `db.outside(() => void codeOf(${actionText('db', step.action)}))`
          return `${indent}${step.everyAttempt ? write : `if (tx.attempt === 1) ${write}`}\n`
        }
        case 'beside':
          return `${indent}try { db.outside(() => ${actionText('db', step.action)}) } catch {} // and without outside: refused, if the guard (${guard}) sees it\n`
        case 'outer':
          return tx === 'tx' ? '' : `${indent}try { ${actionText(tx.slice(0, -1), step.action)} } catch {} // SAVEPOINT_ACTIVE\n`
        case 'savepoint': {
          const child = `${tx}_`
          const inner = lines(step.steps, child, `${indent}  `, isAsync, guard)
          const drop = step.drops ? `${indent}  throw new Error('dropped')\n` : ''
          const nested = `${isAsync ? 'await ' : ''}${tx}.transaction(${isAsync ? 'async ' : ''}${child} => {\n${inner}${drop}${indent}})`
          return step.drops ? `${indent}try { ${nested} } catch (error) { if (error.message !== 'dropped') throw error }\n` : `${indent}${nested}\n`
        }
        default:
          return `${indent}${step.caught ? `try { ${actionText(tx, step.action)} } catch {}` : actionText(tx, step.action)}\n`
      }
    })
    .join('')
}
