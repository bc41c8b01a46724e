/**
 * What the database is compared with: a list of states, one per commit, each a sorted array of rows. It shares nothing with the engine.
 *
 * A transaction is judged by what it was shown. Where the documents leave open which state it sees (a serializable transaction may move forward while
 * everything it relied on still holds; a one-shot read is at "the newest acknowledged commit") the model keeps every state that explains all results so
 * far, and an operation that leaves none is wrong.
 */
import type { Level } from '../../engine/index.js'
import { effectOf, isIn, isRange, isRead, limitOf, rowsIn, type Action, type Condition, type Row, type Write } from './actions.js'
import { compareKeys, idOf, type Shape } from './shapes.js'
import { listSource } from './source.js'

export class Mismatch extends Error {}

export interface Version {
  readonly rows: readonly Row[]
  /** Rows that the commit wrote, blindly or not, and of those the ones that are different now. */
  readonly wrote: ReadonlySet<string>
  readonly changed: ReadonlySet<string>
  readonly label: string | undefined
}

export class History {
  readonly versions: Version[] = [{ rows: [], wrote: new Set(), changed: new Set(), label: undefined }]
  readonly #shapes: ReadonlyMap<string, Shape>

  constructor(shapes: readonly Shape[]) {
    this.#shapes = new Map(shapes.map(shape => [shape.name, shape]))
  }

  /** Index of the newest state. */
  get present(): number {
    return this.versions.length - 1
  }

  rows(at: number): readonly Row[] {
    return this.versions[at]!.rows
  }

  commit(writes: Iterable<Write>, label: string | undefined): number {
    const before = this.rows(this.present)
    const list = [...writes]
    const rows = this.over(before, new Map(list.map(write => [idOf(write.table, write.key), write])))
    const textAt = (all: readonly Row[], id: string): string | undefined => all.find(row => idOf(row.table, row.key) === id)?.text
    const wrote = new Set(list.map(({ table, key }) => idOf(table, key)))
    const changed = new Set([...wrote].filter(id => textAt(before, id) !== textAt(rows, id)))
    return this.versions.push({ rows, wrote, changed, label }) - 1
  }

  /** Rows with writes laid over them, in order. */
  over(rows: readonly Row[], writes: ReadonlyMap<string, Write>): readonly Row[] {
    if (writes.size === 0) return rows
    const kept = rows.filter(({ table, key }) => !writes.has(idOf(table, key)))
    const written = [...writes.values()].filter((write): write is Row => write.text !== undefined)
    return [...kept, ...written].toSorted((a, b) =>
      a.table === b.table ? compareKeys(this.#shapes.get(a.table)!, a.key, b.key) : a.table < b.table ? -1 : 1,
    )
  }

  /** Everything is forgotten but one state. */
  restart(at: number): void {
    const { rows } = this.versions[at]!
    this.versions.length = 0
    this.versions.push({ rows, wrote: new Set(), changed: new Set(), label: undefined })
  }

  /** Whether some commit after `after` wrote a row, or (`how` is changed) made it different. */
  touched(id: string, after: number, how: 'wrote' | 'changed'): boolean {
    return this.versions.slice(after + 1).some(version => version[how].has(id))
  }
}

/** What a transaction has done so far. */
export interface Own {
  readonly writes: ReadonlyMap<string, Write>
  readonly conditions: readonly Condition[]
  readonly deletedRanges: readonly ((row: Row) => boolean)[]
  readonly hooks: readonly number[]
}

const nothing: Own = { writes: new Map(), conditions: [], deletedRanges: [], hooks: [] }
const isEmpty = ({ writes, deletedRanges }: Own): boolean => writes.size === 0 && deletedRanges.length === 0

/** An iteration, of which more may be seen as time goes on. */
export interface Iterated {
  readonly range: Action
  /** How often `next` was called, and what came out. */
  calls: number
  outcome: string
  /** The last key that came out; undefined where the range is exhausted. */
  last: unknown
}

type Step = { readonly action: Action; readonly outcome: string } | { readonly iterated: Iterated } | { readonly hook: number } | 'savepoint' | 'keep' | 'drop'

const isAction = (step: Step): step is { action: Action; outcome: string } => typeof step === 'object' && 'action' in step

/** What `calls` calls of `next` give. */
export function iteration(rows: readonly Row[], { range, calls }: Pick<Iterated, 'range' | 'calls'>): string {
  const found = rowsIn(rows, range)
  return listSource(Array.from({ length: calls }, (_, i) => (found[i] === undefined ? 'done' : { key: found[i].key, value: found[i].value })))
}

/** A state that explains everything so far, and what the transaction has done if that is the one it sees. */
interface Candidate {
  readonly own: Own
  readonly outer: readonly Own[]
}

export interface TransactionModelOptions {
  readonly level: Level
  readonly readOnly: boolean
  readonly durability: 'durable' | 'relaxed'
  readonly label: string | undefined
}

/** Whether a commit may succeed, and the codes it may fail with. */
export interface Verdict {
  readonly commit: boolean
  readonly codes: readonly string[]
}

const fresh: Candidate = { own: nothing, outer: [] }
/** Beyond so many rewritten rows a conflict may be declared without a second look. */
const secondLooksMax = 64

export class TransactionModel {
  readonly options: TransactionModelOptions
  readonly began: number
  /** A conflict that may have to do with rows that were written before they were read counts too: what was read may have been the old state. */
  loose: boolean
  doomed = false
  readonly #history: History
  readonly #acknowledged: () => readonly number[]
  readonly #steps: Step[] = []
  #alive: Map<number, Candidate>
  #judgedTo: number
  /** Rows relied on, each with the newest state at the time. */
  readonly #relied = new Map<string, number>()
  #seenFrom = 0

  /** `acknowledged` gives the states that the newest acknowledged commit may be at. */
  constructor(history: History, acknowledged: () => readonly number[], options: TransactionModelOptions, loose: boolean) {
    this.options = options
    this.loose = loose
    this.#history = history
    this.#acknowledged = acknowledged
    this.began = history.present
    this.#judgedTo = history.present
    this.#alive = new Map((options.readOnly ? acknowledged() : [history.present]).map(at => [at, fresh]))
  }

  get #isNewest(): boolean {
    return this.options.level === 'read-committed'
  }

  get #moves(): boolean {
    return this.options.level === 'serializable' && !this.options.readOnly
  }

  /** What the transaction does if it sees the oldest state that explains its results. At `read-committed` there is only one. */
  get own(): Own {
    return [...this.#alive.values()][0]!.own
  }

  /** What an action comes to if the transaction sees the oldest of those states. */
  expect(action: Action): string {
    if (this.options.readOnly && !isRead(action)) return 'throws READ_ONLY'
    const [at, candidate] = [...this.#alive][0]!
    return effectOf(action, this.#merged(at, candidate)).outcome
  }

  /** Takes note of how an action ended. Throws `Mismatch` where no state explains it. */
  perform(action: Action, outcome: string): void {
    if (outcome === 'throws CONFLICT') return this.#conflict(action)
    if (this.doomed) throw new Mismatch(`it is doomed by a conflict, and gave ${outcome}`)
    this.#take({ action, outcome }, action)
  }

  /** Begins an iteration; `see` tells of each step of it. */
  iterate(range: Action): Iterated {
    const iterated: Iterated = { range, calls: 0, outcome: '[]', last: undefined }
    this.#take({ iterated }, range)
    return iterated
  }

  /** The iteration has gone on. */
  see(iterated: Iterated): void {
    const before = this.#describe(iterated.range)
    this.#update()
    this.#alive = new Map([...this.#alive].flatMap(([at]) => this.#replay(at)))
    if (this.#alive.size === 0) throw new Mismatch(`the iteration has given ${iterated.outcome}, which no state explains; ${before}`)
    if (this.#moves) this.#relyUpTo(iterated.range, iterated.last)
  }

  savepoint(): void {
    this.#take('savepoint')
  }

  /** Ends the innermost savepoint. */
  end(how: 'keep' | 'drop'): void {
    this.#take(how)
  }

  hook(id: number): void {
    this.#take({ hook: id })
  }

  /** Whether it may write: reading only, it never conflicts. */
  get hasWritten(): boolean {
    return [...this.#alive.values()].some(({ own }) => !isEmpty(own))
  }

  /** What it was shown cannot have been the state at which it began. */
  get hasMoved(): boolean {
    return this.#moves && !this.doomed && this.#alive.size > 0 && !this.#alive.has(this.began)
  }

  /** How a commit may end now. */
  verdict(): Verdict {
    if (this.doomed) return { commit: false, codes: ['CONFLICT'] }
    if (!this.hasWritten) return { commit: true, codes: [] }
    if (this.#isNewest) return this.#conditionsVerdict()
    if (!this.#moves) return this.#firstCommitterVerdict()
    this.#update()
    const holds = this.#alive.has(this.#history.present)
    const onlyDeletedNothing = [...this.#alive.values()].some(({ own }) => own.writes.size === 0)
    return { commit: holds || onlyDeletedNothing, codes: this.#isConflictJustified() ? ['CONFLICT'] : [] }
  }

  /** The rows that a commit writes now. */
  writes(): readonly Write[] {
    const at = this.#isNewest ? undefined : this.#history.present
    const { writes, deletedRanges } = (at !== undefined && this.#alive.get(at)?.own) || this.own
    const others = this.#moves ? [] : this.#addedToDeleted({ writes, deletedRanges })
    return [...writes.values(), ...others.map(({ table, key }) => ({ table, key }))]
  }

  /** Rows that are there now, in a range that was deleted as such, and that it did not find there. */
  #addedToDeleted({ writes, deletedRanges }: Pick<Own, 'writes' | 'deletedRanges'>): readonly Row[] {
    return this.#history.rows(this.#history.present).filter(row => !writes.has(idOf(row.table, row.key)) && deletedRanges.some(holds => holds(row)))
  }

  /** The oldest state from which on everything that it was shown has been so: a crash must not go back behind that once its result has been told. */
  get shownFrom(): number {
    if (this.#isNewest) return this.#seenFrom
    this.#update()
    let from = Math.min(...this.#alive.keys())
    while (from > 0 && this.#replay(from - 1).length > 0) from--
    return from
  }

  #take(step: Step, relies?: Action): void {
    if (this.#isNewest) this.#takeAtNewest(step)
    else {
      this.#update()
      const before = relies && this.#describe(relies)
      const alive = new Map([...this.#alive].flatMap(([at, candidate]) => this.#advance(at, candidate, step)))
      if (alive.size === 0) throw new Mismatch(`no state explains it; ${before}`)
      const [at] = [...alive.keys()] as [number]
      if (relies && isAction(step)) this.#rely(relies, at, this.#alive.get(at)!)
      this.#alive = alive
      this.#steps.push(step)
    }
  }

  /** Each operation sees the newest commit; a read-only one the newest acknowledged. */
  #takeAtNewest(step: Step): void {
    const [, candidate] = [...this.#alive][0]!
    const states = this.options.readOnly ? this.#acknowledged() : [this.#history.present]
    const explained = states.flatMap(at => this.#advance(at, candidate, step))
    if (explained.length === 0) {
      throw new Mismatch(`no state explains it; expected ${states.map(at => effectOf((step as { action: Action }).action, this.#merged(at, candidate)).outcome).join(' or ')}`)
    }
    if (isAction(step)) {
      let from = explained[0]![0]
      while (from > 0 && this.#advance(from - 1, candidate, step).length > 0) from--
      this.#seenFrom = Math.max(this.#seenFrom, from)
    }
    this.#alive = new Map([explained[0]!])
  }

  /** New commits: those that would have shown the same are states it may have moved to. */
  #update(): void {
    if (!this.#moves || this.doomed) return
    while (this.#judgedTo < this.#history.present) {
      for (const [at, candidate] of this.#replay(++this.#judgedTo)) this.#alive.set(at, candidate)
    }
  }

  #replay(at: number): [number, Candidate][] {
    let candidate = fresh
    for (const step of this.#steps) {
      const after = this.#advance(at, candidate, step)[0]
      if (after === undefined) return []
      candidate = after[1]
    }
    return [[at, candidate]]
  }

  #merged(at: number, { own }: Candidate): readonly Row[] {
    return this.#history.over(this.#history.rows(at), own.writes)
  }

  #advance(at: number, candidate: Candidate, step: Step): [number, Candidate][] {
    const { own, outer } = candidate
    if (step === 'savepoint') return [[at, { own, outer: [...outer, own] }]]
    if (step === 'keep') return [[at, { own, outer: outer.slice(0, -1) }]]
    if (step === 'drop') return [[at, { own: outer.at(-1)!, outer: outer.slice(0, -1) }]]
    if ('hook' in step) return [[at, { own: { ...own, hooks: [...own.hooks, step.hook] }, outer }]]
    const rows = this.#merged(at, candidate)
    if ('iterated' in step) return iteration(rows, step.iterated) === step.iterated.outcome ? [[at, candidate]] : []
    if (this.options.readOnly && !isRead(step.action)) return step.outcome === 'throws READ_ONLY' ? [[at, candidate]] : []
    const effect = effectOf(step.action, rows)
    if (effect.outcome !== step.outcome) return []
    const writes = new Map(own.writes)
    const conditions = effect.condition !== undefined && !own.writes.has(effect.condition.id) ? [...own.conditions, effect.condition] : own.conditions
    for (const write of effect.writes) writes.set(idOf(write.table, write.key), write)
    const deletedRanges = effect.deletedRange === undefined ? own.deletedRanges : [...own.deletedRanges, effect.deletedRange]
    return [[at, { own: { ...own, writes, conditions, deletedRanges }, outer }]]
  }

  #describe(action: Action): string {
    const expected = [...this.#alive].map(([at, candidate]) => `state ${at} gives ${effectOf(action, this.#merged(at, candidate)).outcome}`)
    return `${expected.join('; ')} (the newest is ${this.#history.present})`
  }

  // -- conflicts

  #conflict(action: Action): void {
    if (this.doomed) return
    this.#update()
    if (!this.#moves) throw new Mismatch('only a serializable transaction that may write meets a conflict in an operation')
    if (isRead(action) && !this.hasWritten) throw new Mismatch('it has only read so far, and readers do not conflict')
    // The operation itself may have passed over an old state of what it is asking for, and then have met something new.
    if (this.loose) {
      if (isRange(action)) this.#relyUpTo(action, undefined)
      else this.#note(action.keys.map(key => idOf(action.shape.name, key)))
    }
    if (!this.#isConflictJustified()) throw new Mismatch('a conflict, though everything it relied on still holds')
    this.doomed = true
  }

  #isConflictJustified(): boolean {
    const { present, versions } = this.#history
    if (!this.#alive.has(present)) return true
    const rewritten = versions.slice(this.began + 1).reduce((sum, { wrote }) => sum + wrote.size, 0)
    return rewritten > secondLooksMax || [...this.#relied].some(([id, since]) => this.#history.touched(id, this.loose ? this.began : since, 'changed'))
  }

  /** What has been handed out is relied on, present or absent, unless it is the transaction's own. */
  #rely(action: Action, at: number, { own }: Candidate): void {
    if (!this.#moves) return
    const { shape, keys } = action
    if (isRange(action)) {
      const limit = Math.min(limitOf(action), action.name === 'take' ? action.count : Infinity)
      const found = rowsIn(this.#history.over(this.#history.rows(at), own.writes), action)
      if (limit > 0) this.#relyUpTo(action, found.length >= limit ? found[limit - 1]!.key : undefined)
    } else if (action.name !== 'put' && action.name !== 'delete') {
      this.#note(keys.map(key => idOf(shape.name, key)).filter(id => !own.writes.has(id)))
    }
  }

  /** A range was looked at up to a key, or all of it; its gaps too. */
  #relyUpTo({ shape, range = {}, name }: Action, last: unknown): void {
    const keys = shape.keys.filter(key => isIn(shape, key, range)).toSorted((a, b) => compareKeys(shape, a, b))
    if ((range.reverse ?? false) !== (name === 'last')) keys.reverse()
    const end = last === undefined ? keys.length : keys.findIndex(key => compareKeys(shape, key, last) === 0) + 1
    this.#note(keys.slice(0, end).map(key => idOf(shape.name, key)))
  }

  #note(ids: readonly string[]): void {
    for (const id of ids) if (!this.#relied.has(id)) this.#relied.set(id, this.#history.present)
  }

  #firstCommitterVerdict(): Verdict {
    const { own } = this
    const written = [...own.writes.keys()]
    const there = (at: number, id: string): boolean => this.#history.rows(at).some(row => idOf(row.table, row.key) === id)
    const wroteSince = (id: string): boolean => this.#history.touched(id, this.began, 'wrote')
    const isLost = (id: string): boolean => wroteSince(id) && (there(this.#history.present, id) || there(this.began, id))
    const mustFail = written.some(isLost) || this.#addedToDeleted(own).some(row => wroteSince(idOf(row.table, row.key)))
    return { commit: !mustFail, codes: mustFail || written.some(wroteSince) ? ['CONFLICT'] : [] }
  }

  #conditionsVerdict(): Verdict {
    const rows = this.#history.rows(this.#history.present)
    for (const { id, holds } of this.own.conditions) {
      const text = rows.find(row => idOf(row.table, row.key) === id)?.text
      if (holds === 'ROW_EXISTS' || holds === 'ROW_ABSENT') {
        if ((text === undefined) === (holds === 'ROW_ABSENT')) return { commit: false, codes: [holds] }
      } else if (holds.text !== text) return { commit: false, codes: ['CONFLICT'] }
    }
    return { commit: true, codes: [] }
  }
}
