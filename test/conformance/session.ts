/** One run: a database, the handles and iterators that are open on it, and the model beside it. Each command acts on both and compares. */
import { ConflictError, LimitError, type Database, type Explanation } from '../../engine/index.js'
import { actionText, call, foundOf, isRead, outcomeOf, resolve, type Action, type AnyTable, type Draft, type Target } from './actions.js'
import { awaited, called, expectIn, expectText, withoutUndefined } from './compare.js'
import type { CommandDraft, OptionsDraft, Setup } from './drafts.js'
import { blocked, blockedOrDoomed, handleAt, type Handle } from './handle.js'
import { Iterators } from './iterators.js'
import { Machine } from './machine.js'
import { misuse } from './misuse.js'
import { Mismatch, TransactionModel, type TransactionModelOptions } from './model.js'
import { Observer, watch, type Pending, type Tally } from './observer.js'
import { playTransaction } from './play.js'
import { declare, savepoint, type Nested } from './script.js'
import { idOf, shapes, type Shape } from './shapes.js'
import { listSource, source } from './source.js'

const handlesMax = 4
const savepointsMax = 3
/** Enough for a checkpoint of the few rows that there are. */
const checkpointTurns = 40

export class Session {
  readonly observer: Observer
  readonly tables: readonly Shape[]
  readonly setup: Setup
  readonly #machine: Machine
  db!: Database
  #handles = new Map<string, AnyTable>()
  /** A table of an earlier opening. */
  staleTable: AnyTable | undefined
  #open: Handle[] = []
  readonly #iterators = new Iterators(this)
  #names = 0
  /** The handle of a transaction that has ended. */
  leaked: Nested | undefined

  constructor(root: string, setup: Setup, tally: Tally, lies = false) {
    this.setup = setup
    this.tables = setup.tables.map(name => shapes.find(shape => shape.name === name)!)
    const { guard, durability, tight } = setup
    this.#machine = new Machine(root, { guard, durability, tight, lies })
    this.observer = new Observer(this.#machine, this.tables, tally)
    this.observer.write('// After every line: await turns(2), and every table is read, one-shot and in a transaction that begins then.')
    this.observer.write(`const machine = new Machine(scratchDirectory(), ${source({ guard, durability, tight, ...(lies && { lies }) })})`)
    this.observer.write('let db = machine.open()')
    this.db = this.#machine.open()
  }

  async begin(): Promise<void> {
    await this.#declare('let ')
    this.observer.isOpen = true
  }

  async dispose(): Promise<void> {
    await this.#machine.dispose()
  }

  get one(): Target {
    return this.db as unknown as Target
  }

  table(shape: Shape): AnyTable {
    return this.#handles.get(shape.name)!
  }

  resolve(draft: Draft): Action {
    const rows = this.observer.history.rows(this.observer.history.present)
    return resolve(draft, this.tables, (shape, key) => rows.find(row => idOf(row.table, row.key) === idOf(shape.name, key)))
  }

  /** What a command stands for: without a handle or a database there must first be one. Undefined where it makes no sense. */
  #meant(command: CommandDraft): CommandDraft | undefined {
    const { isOpen, isHolding } = this.observer
    const { is } = command
    const opens = is === 'open' || is === 'close' || is === 'crash' || is === 'pass' || is === 'hold' || is === 'begin' || is === 'iterate'
    if (!isOpen && opens) return { is: 'open' }
    if (!('handle' in command) || is === 'iterate') {
      const isImpossible =
        (is === 'open' && isOpen) ||
        (is === 'hold' && isHolding) ||
        (is === 'release' && !isHolding) ||
        (is === 'begin' && this.#open.length >= handlesMax) ||
        (is === 'iterate' && this.#iterators.isFull) ||
        ((is === 'next' || is === 'leave') && this.#iterators.isEmpty)
      return isImpossible ? undefined : command
    }
    if (this.#open.length === 0) return isOpen ? { is: 'begin', options: {}, timeoutMs: undefined, signal: is === 'cancel' } : undefined
    const { ended, isLost, savepoints, cancel } = this.#handle(command.handle)
    const isImpossible =
      (is === 'cancel' && cancel === undefined) ||
      (is === 'savepoint' && (ended !== undefined || isLost || savepoints.length >= savepointsMax)) ||
      (is === 'end savepoint' && (savepoints.length === 0 || isLost))
    return isImpossible ? undefined : command
  }

  /** Whether a command makes sense now. */
  can(command: CommandDraft): boolean {
    return this.#meant(command) !== undefined
  }

  async run(command: CommandDraft): Promise<void> {
    const meant = this.#meant(command)!
    this.observer.tally.count(meant.is)
    await this.#act(meant)
    if (meant.is !== 'open' && meant.is !== 'crash') await this.observer.conclude()
    if (this.observer.isOpen) this.#compareContent()
  }

  /** Closes or crashes, opens again and compares once more. */
  async finish(how: 'close' | 'crash'): Promise<void> {
    if (!this.observer.isOpen) return this.run({ is: 'open' })
    if (how === 'crash') return this.run({ is: 'crash', kept: 0 })
    await this.run({ is: 'close' })
    await this.run({ is: 'open' })
  }

  async #act(command: CommandDraft): Promise<void> {
    const { observer } = this
    switch (command.is) {
      case 'once':
        return this.#once(this.resolve(command.draft), command.options)
      case 'transaction':
        return playTransaction(this, command)
      case 'begin':
        return this.#begin(command)
      case 'on':
        return this.#on(this.#handle(command.handle), this.resolve(command.draft), command.outer)
      case 'hook':
        return this.#hook(this.#handle(command.handle))
      case 'commit':
        return this.#commit(this.#handle(command.handle), command.disposes)
      case 'abort':
        return this.#abort(this.#handle(command.handle))
      case 'cancel':
        return this.#cancel(this.#handle(command.handle))
      case 'savepoint':
        return this.#savepoint(this.#handle(command.handle))
      case 'end savepoint':
        return this.#endSavepoint(this.#handle(command.handle), command.keep)
      case 'iterate':
        return this.#iterators.iterate(this.#open.length === 0 || command.handle === 0 ? undefined : this.#handle(command.handle - 1), this.resolve(command.draft))
      case 'next':
        return this.#iterators.next(command.iterator)
      case 'leave':
        return this.#iterators.leave(command.iterator)
      case 'hold':
        observer.write('machine.holdSyncs()')
        observer.isHolding = true
        return this.#machine.holdSyncs()
      case 'release':
        return this.release()
      case 'pass':
        return this.#pass(command.ms)
      case 'close':
        return this.#close()
      case 'open':
        return this.#reopen()
      case 'crash':
        return this.#crash(command.kept)
      case 'misuse':
        return misuse(this, command.misuse, this.resolve(command.draft))
    }
  }

  // -- one-shot operations

  async #once(action: Action, options: OptionsDraft | undefined): Promise<void> {
    if (isRead(action)) return this.read(action)
    const some = withoutUndefined({ ...options, readOnly: undefined })
    const given = Object.keys(some).length === 0 ? undefined : some
    const { observer } = this
    const text = actionText('db', action, given)
    if (!observer.isOpen) {
      const line = observer.write(`await codeOf(${text})`)
      const watched = watch(Promise.resolve(call(this.one, this.table(action.shape), action, given)))
      return observer.conclude({ line, watched, expected: ['throws CLOSED'], commit: undefined, shownFrom: 0, relaxed: true, hooks: [], deadlineMs: undefined })
    }
    const line = observer.write(text)
    const pending = this.startWrite(action, given, line)
    await observer.turn(() => pending.watched.outcome !== undefined)
    observer.script[line] = awaited(text, pending.watched.outcome)
    await observer.conclude(pending)
  }

  /** A one-shot read, at the newest acknowledged commit. */
  read(action: Action, isWritten = true): void {
    const { observer } = this
    const outcome = outcomeOf(() => call(this.one, this.table(action.shape), action), action)
    const text = actionText('db', action)
    if (isWritten) observer.note(observer.write(called(text, outcome)), outcome)
    if (observer.isOpen) this.model({ readOnly: true }).perform(action, outcome)
    else expectIn(outcome, ['CLOSED'])
  }

  /** Begins a one-shot write. It is installed before the call returns; its promise may have to wait for the disk. */
  startWrite(action: Action, options: OptionsDraft | undefined, line: number, wrap: <T>(body: () => T) => T = body => body()): Pending {
    const model = this.model(options)
    const watched = watch(wrap(() => call(this.one, this.table(action.shape), action, options)) as Promise<unknown>)
    const outcome = model.expect(action)
    model.perform(action, outcome)
    const { shownFrom } = model
    const commit = outcome.startsWith('throws') ? undefined : this.observer.install(model.writes(), model)
    return { line, watched, expected: [outcome], commit, shownFrom, relaxed: model.options.durability === 'relaxed', hooks: [], deadlineMs: undefined }
  }

  model(options: OptionsDraft = {}): TransactionModel {
    const full: TransactionModelOptions = {
      level: options.level ?? 'serializable',
      readOnly: options.readOnly ?? false,
      durability: options.durability ?? this.setup.durability,
      label: options.label,
    }
    return new TransactionModel(this.observer.history, this.observer.acknowledged, full, this.setup.tight)
  }

  // -- handles

  #handle(at: number): Handle {
    return this.#open[at % this.#open.length]!
  }

  #begin({ options, timeoutMs, signal }: CommandDraft & { is: 'begin' }): void {
    const name = `t${++this.#names}`
    const controller = signal ? new AbortController() : undefined
    const given = withoutUndefined({ ...options, timeoutMs })
    if (controller) this.observer.write(`const cancel${this.#names} = new AbortController()`)
    const properties = [Object.keys(given).length === 0 ? '' : source(given).slice(2, -2), controller ? `signal: cancel${this.#names}.signal` : ''].filter(text => text !== '')
    this.observer.write(`const ${name} = db.begin(${properties.length === 0 ? '' : `{ ${properties.join(', ')} }`})`)
    const tx = this.db.begin({ ...given, ...(controller && { signal: controller.signal }) }) as unknown as Handle['tx']
    this.#open.push({
      name,
      tx,
      model: this.model(options),
      savepoints: [],
      cancel: controller && (() => controller.abort(new Error('enough'))),
      deadlineMs: timeoutMs === undefined ? undefined : this.observer.nowMs + timeoutMs,
      ended: undefined,
      isCommitting: false,
      isLost: false,
      cancelled: false,
      failing: undefined,
    })
  }

  #on(handle: Handle, action: Action, outer: boolean): void {
    const depth = outer ? 0 : handle.savepoints.length
    const { tx, name } = handleAt(handle, depth)
    this.act(handle.model, tx, name, action, blocked(handle, depth))
    if (handle.ended !== undefined) this.#open = this.#open.filter(one => one !== handle)
  }

  /** Acts on a transaction and compares. Returns what was thrown. */
  act(model: TransactionModel, target: Target, name: string, action: Action, codes?: readonly string[], writesLine = true): { readonly error: unknown } | undefined {
    let failure: { readonly error: unknown } | undefined
    const outcome = outcomeOf(() => {
      try {
        return call(target, this.table(action.shape), action)
      } catch (error) {
        failure = { error }
        throw error
      }
    }, action)
    if (writesLine) {
      const text = actionText(name, action)
      this.observer.note(this.observer.write(called(text, outcome)), outcome)
    }
    if (outcome.startsWith('throws')) this.observer.tally.count(outcome)
    if (codes) expectIn(outcome, codes)
    else {
      try {
        model.perform(action, outcome)
      } catch (error) {
        throw new Mismatch(`${actionText(name, action)} gave ${outcome}: ${(error as Error).message}`, { cause: error })
      }
      if (model.began < this.observer.history.present) this.observer.tally.count('an operation after somebody else has committed')
      if (model.hasMoved) this.observer.tally.count('a snapshot that moved')
      if (failure) this.checkExplanation(failure.error, model)
    }
    return failure
  }

  #hook(handle: Handle): void {
    const { id, hook } = this.observer.newHook()
    const depth = handle.savepoints.length
    const { tx, name } = handleAt(handle, depth)
    const outcome = outcomeOf(() => tx.onCommit(hook))
    this.observer.note(this.observer.write(called(`${name}.onCommit(() => console.log('hook ${id}'))`, outcome)), outcome)
    const codes = blockedOrDoomed(handle, depth)
    if (codes) return expectIn(outcome, codes)
    expectText(outcome, 'undefined')
    handle.model.hook(id)
  }

  #savepoint(handle: Handle): void {
    const depth = handle.savepoints.length
    const { tx, name } = handleAt(handle, depth)
    const outcome = outcomeOf(() => {
      handle.savepoints.push(savepoint(tx))
    })
    const text = `savepoint(${name})`
    this.observer.write(outcome.startsWith('throws') ? called(text, outcome) : `const ${handle.name}s${depth + 1} = ${text}`)
    if (handle.model.doomed) return expectIn(outcome, ['CONFLICT'])
    expectText(outcome, 'undefined')
    handle.model.savepoint()
  }

  async #endSavepoint(handle: Handle, keep: boolean): Promise<void> {
    const depth = handle.savepoints.length
    const ended = handle.savepoints.pop()!
    this.observer.write(`await ${handle.name}s${depth}.${keep ? 'keep' : 'drop'}()`)
    const watched = watch(keep ? ended.keep() : ended.drop())
    await this.observer.turn(() => watched.outcome !== undefined)
    if (watched.outcome !== 'undefined') throw new Mismatch(`ending a savepoint: ${watched.outcome ?? 'it hangs'}`)
    if (handle.ended !== undefined || handle.isLost) return
    handle.model.end(keep ? 'keep' : 'drop')
    // Its handle must not work any more.
    const shape = this.tables[0]!
    expectIn(outcomeOf(() => ended.tx.has(this.table(shape), shape.keys[0])), ['TRANSACTION_ENDED'])
  }

  /** `disposes`: and does not wait for it, as where `using` ends a scope. */
  async #commit(handle: Handle, disposes: boolean): Promise<void> {
    const { observer } = this
    const { model } = handle
    const codes = handle.isCommitting ? ['TRANSACTION_ENDED'] : blocked(handle, 0)
    const verdict = codes ? { commit: false, codes } : model.verdict()
    const isOpenQuestion = verdict.commit && verdict.codes.length > 0
    // Otherwise nobody could tell now which it is.
    if (isOpenQuestion && observer.isHolding) await this.release()
    const text = `${handle.name}.commit()`
    const line = observer.write(text)
    const watched = watch(handle.tx.commit())
    await observer.turn(() => watched.outcome !== undefined)
    observer.script[line] = awaited(text, watched.outcome)
    const isCommitted = isOpenQuestion ? watched.outcome === 'undefined' : verdict.commit
    const { shownFrom } = model
    if (codes === undefined) this.checkExplanation(watched.error, model)
    const commit = isCommitted ? observer.install(model.writes(), model) : undefined
    const expected = isCommitted ? ['undefined'] : verdict.codes.map(code => `throws ${code}`)
    const relaxed = model.options.durability === 'relaxed'
    // One that had ended before has no deadline any more.
    const deadlineMs = handle.ended === undefined ? handle.deadlineMs : undefined
    const pending = { line, watched, expected, commit, shownFrom: codes || model.doomed ? 0 : shownFrom, relaxed, hooks: isCommitted ? model.own.hooks : [], deadlineMs }
    if (!isCommitted) handle.failing = pending
    if (disposes) this.#abort(handle)
    await observer.conclude(pending)
    if (!handle.isCommitting) handle.ended = handle.ended === undefined || codes === undefined ? 'TRANSACTION_ENDED' : handle.ended
    handle.isCommitting = true
    if (handle.isLost) this.#open = this.#open.filter(one => one !== handle)
  }

  #abort(handle: Handle): void {
    this.observer.write(`${handle.name}.abort()`)
    handle.tx.abort()
    handle.ended ??= 'TRANSACTION_ENDED'
  }

  #cancel(handle: Handle): void {
    this.observer.write(`cancel${handle.name.slice(1)}.abort(new Error('enough'))`)
    handle.cancel!()
    handle.cancelled = true
    // It has failed, and its promise waits until what it failed for is on disk.
    if (handle.failing) handle.failing.expected = [...handle.failing.expected, 'throws CANCELLED']
    handle.ended ??= 'CANCELLED'
  }

  /** A conflict says who is to blame: somebody who did write that row, under the label that it had. */
  checkExplanation(error: unknown, model: TransactionModel): void {
    if (!(error instanceof ConflictError) && !(error instanceof LimitError && error.code === 'RETRIES_EXHAUSTED')) return
    const explain: Explanation = error.explain!
    const { table, overwrittenBy, level } = explain
    const id = idOf(table, overwrittenBy.key)
    const writers = this.observer.history.versions.slice(model.began + 1).filter(({ wrote }) => wrote.has(id))
    // Below the floor of the conflict index the label is no longer known.
    const isKnown = writers.some(({ label }) => label === overwrittenBy.label) || (model.loose && overwrittenBy.label === undefined)
    if (level !== model.options.level || writers.length === 0 || !isKnown) throw new Mismatch(`nobody did what the conflict says: ${source(explain)}`)
  }

  // -- the machine

  async release(): Promise<void> {
    this.observer.write('machine.releaseSyncs()')
    this.#machine.releaseSyncs()
    this.observer.isHolding = false
    await this.observer.conclude()
  }

  async #pass(ms: number): Promise<void> {
    const { observer } = this
    observer.write(`machine.passTime(${ms}); await turns(${checkpointTurns})`)
    observer.passTime(ms)
    for (const handle of this.#open) {
      if ((handle.deadlineMs ?? Infinity) <= observer.nowMs && !handle.isCommitting) handle.ended ??= 'TIMEOUT'
      handle.model.loose = true
    }
    await observer.conclude()
    // A checkpoint takes its steps one by one.
    await observer.turn(() => false, checkpointTurns)
    observer.checkDeadlines()
    if (!observer.isHolding && ms >= 50) observer.durable = observer.history.present
  }

  async #close(): Promise<void> {
    const { observer } = this
    if (observer.isHolding) await this.release()
    const line = observer.write('await db.close()')
    const watched = watch(this.db.close())
    await observer.turn(() => watched.outcome !== undefined)
    observer.isOpen = false
    for (const handle of this.#open) handle.isLost = true
    await observer.conclude({ line, watched, expected: ['undefined'], commit: undefined, shownFrom: 0, relaxed: true, hooks: [], deadlineMs: undefined })
    observer.durable = observer.acknowledgedFrom = observer.acknowledgedTo = observer.history.present
    expectText(source(await this.db.close()), 'undefined')
  }

  async #reopen(): Promise<void> {
    this.observer.write('db = machine.open()')
    this.#restarted()
    this.db = this.#machine.open()
    await this.#declare('')
    this.#found()
  }

  async #crash(kept: number): Promise<void> {
    this.observer.write(`db = await machine.crash(${kept}) // of what was not synced, ${kept === 0 ? 'nothing' : kept === 1 ? 'everything' : `the first ${kept * 100} % of the bytes`} had reached the disk`)
    for (const handle of this.#open) handle.isLost = true
    this.#restarted()
    this.db = await this.#machine.crash(kept)
    await this.#declare('')
    this.#found()
  }

  #restarted(): void {
    this.#open = []
    this.#iterators.clear()
    this.staleTable = this.#handles.get(this.tables[0]!.name)
  }

  async #declare(how: 'let ' | ''): Promise<void> {
    this.#handles = new Map(this.tables.map(shape => [shape.name, declare(this.db, shape.name)]))
    for (const [name, table] of this.#handles) {
      this.observer.write(`${how}${name} = declare(db, '${name}')${how === '' ? '' : ` // key: ${source(table.key)}`}`)
      await table.ready
    }
  }

  /** After an opening: exactly what was acknowledged, or a prefix that holds every commit that was acknowledged as durable. */
  #found(): void {
    const { observer } = this
    const found = this.#content(this.one)
    const { present } = observer.history
    let at = present
    while (at >= observer.durable && this.#expected(at) !== found) at--
    if (at < observer.durable) {
      const states = Array.from({ length: present - observer.durable + 1 }, (_, i) => this.#expected(observer.durable + i))
      throw new Mismatch(`after opening there is ${found}; expected ${[...new Set(states)].join(' or ')}`)
    }
    if (at < present) observer.tally.count('a crash lost a commit')
    observer.restart(at)
    observer.isOpen = true
  }

  // -- comparing everything

  #content(target: Target): string {
    return this.tables.map(shape => `${shape.name}: ${listSource(target.range(this.table(shape)).toArray())}`).join(', ')
  }

  #expected(at: number): string {
    const rows = this.observer.history.rows(at)
    return this.tables.map(({ name }) => `${name}: ${listSource(rows.filter(({ table }) => table === name).map(foundOf))}`).join(', ')
  }

  /** One-shot reads show the newest acknowledged commit, a transaction that begins now the newest of all, and an old snapshot still what it showed. */
  #compareContent(): void {
    const { observer } = this
    const shown = this.#content(this.one)
    const states = observer.acknowledged().filter(at => this.#expected(at) === shown)
    if (states.length === 0) throw new Mismatch(`one-shot reads show ${shown}; expected ${[...new Set(observer.acknowledged().map(at => this.#expected(at)))].join(' or ')}`)
    observer.acknowledgedFrom = states[0]!
    observer.acknowledgedTo = states.at(-1)!
    const probe = this.db.begin()
    const visible = this.#content(probe as unknown as Target)
    probe.abort()
    const { present } = observer.history
    if (visible !== this.#expected(present)) throw new Mismatch(`a transaction that begins now sees ${visible}; expected ${this.#expected(present)}`)
    for (const handle of this.#open) {
      if (!handle.model.options.readOnly || handle.savepoints.length > 0 || blocked(handle, 0)) continue
      for (const shape of this.tables) this.act(handle.model, handle.tx, handle.name, wholeOf(shape), undefined, false)
    }
  }
}

const wholeOf = (shape: Shape): Action => ({ name: 'range', shape, keys: [], range: undefined, sample: 0, expected: undefined, change: 0, count: 1 })
