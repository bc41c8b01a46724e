/** Plays one history: several clients at once, each with a few transactions of every kind, on a store that others used before. */
import type { Engine } from '../../engine/attempt.js'
import type { Database, Level, Transaction, TransactionOptions } from '../../engine/index.js'
import { Actor, deeds, indexDeeds, oneShotIndexReads, oneShotReads, type Cast, type Deed } from './actor.js'
import type { Chance } from './chance.js'
import { someIndexes, type Declarations } from './declarations.js'
import type { Key, TableName } from './model.js'
import type { Plan } from './plan.js'
import type { Attempt, Commit, History, Interruption, TransactionRecord, Violation } from './records.js'
import { told } from './row-versions.js'
import type { World } from './world.js'

export interface Stage {
  readonly engine: Engine
  readonly db: Database
  readonly declarations: Declarations
  /** Whether its tables have indexes. */
  readonly isIndexed: boolean
  readonly world: World
  /** Who committed, told by the commit path as it installs. */
  readonly commits: Commit[]
  /** What each transaction that runs is at, by label. */
  readonly running: Map<string, Attempt>
}

/** Something that is no outcome came of a history: it hangs, or an error that nobody may meet. */
export class BrokenHistoryError extends Error {
  /** As far as it came. */
  readonly history: History

  constructor(history: History, cause: unknown) {
    super(String(cause), { cause })
    this.history = history
  }
}

/** An error of a body's own. */
class Own extends Error {
  readonly code: string = 'Own'
}

/** The owner of a handle leaves it without an outcome; what it read was never vouched for. */
class Abandoned extends Own {
  override readonly code = 'Abandoned'
}

const keyPool: readonly { readonly table: TableName; readonly key: Key }[] = [
  ...['a', 'ab', 'abc', 'b', 'ba', 'c'].map(key => ({ table: 'strings' as const, key })),
  ...['a', 'b', 'ab'].flatMap(word => [-1, 0, 2].map(number => ({ table: 'pairs' as const, key: [word, number] }))),
]

/** So many that a range is read from the row file in several chunks. */
const manyKeys = Array.from({ length: 40 }, (_, i) => ({ table: 'strings' as const, key: `k${i}` }))

export interface HistoryOptions {
  readonly name: string
  readonly levels: readonly Level[]
  readonly plan: Plan
  /** What the plan calls it. */
  readonly part: string
  /** After it the stage can only be struck. */
  readonly interruption?: Interruption
}

/** What the end shows is left to the caller where the history is cut short. */
export async function playHistory(stage: Stage, chance: Chance, options: HistoryOptions): Promise<History> {
  const { engine, db, declarations, isIndexed, world } = stage
  const { store } = engine
  const { interruption } = options
  if (isIndexed) {
    await declareAll(stage, chance, options)
    store.flushSync() // at once before the history, for the engine goes on with what it was asked
  }
  stage.commits.length = 0
  stage.running.clear()
  const baseTs = store.visibleTs
  declarations.beginAt(baseTs)
  const play = new Play(stage, chance, options)
  const clients = Array.from({ length: chance.between(2, 8) }, (_, i) => play.client(`${options.part}/${i}`))
  if (interruption) clients.push(interrupt(stage, chance.fork(), interruption))
  let ended = 0
  const end = (): void => void ended++
  for (const client of clients) client.then(end, end)
  // What a transaction that was ended early still had under way must let go too.
  try {
    await world.runUntil(() => ended === clients.length && store.epochs.tracked.oldest === undefined)
    await Promise.all(clients)
  } catch (error) {
    throw new BrokenHistoryError({ transactions: play.transactions, commits: [...stage.commits], baseTs, interruption, finally: [] }, error)
  }
  const history = (): Omit<History, 'finally'> => ({ transactions: play.transactions, commits: [...stage.commits], baseTs, interruption, catalogs: declarations.catalogs })
  if (interruption) return { ...history(), finally: [] }
  store.flushSync()
  const indexes = isIndexed ? await indexesOf(stage, chance.is(0.04)) : {}
  const played = { ...history(), ...indexes }
  const final = contentOf(stage)
  db.transactionSync(tx => tableNames.forEach(table => tx.deleteRange(declarations.tables[table])))
  return { ...played, finally: final }
}

/** Other indexes than the last history had, on tables without rows; most histories wait until they are built. */
async function declareAll({ declarations, world }: Stage, chance: Chance, { plan, part }: HistoryOptions): Promise<void> {
  for (const table of tableNames) {
    const own = chance.fork()
    declarations.declare(table, plan.plays(`${part}/${table}`) ? someIndexes(own).filter(name => plan.plays(`${part}/${table}/${name}`)) : [])
  }
  if (chance.is(0.8)) await world.runUntil(() => declarations.areSettled)
}

const tableNames: readonly TableName[] = ['pairs', 'strings']

export function contentOf({ db, declarations }: Pick<Stage, 'db' | 'declarations'>): History['finally'] {
  return tableNames.flatMap(table => Array.from(db.range(declarations.tables[table]), ({ key, value }) => ({ table, key, value: told(value, declarations.versions[table]) })))
}

/** What of the end is about indexes, once those that were declared last are built or could not be. Where it `isChecked`, the database compares rows and indexes itself as well. */
export async function indexesOf({ db, declarations, world, engine }: Stage, isChecked: boolean): Promise<Pick<History, 'contents' | 'buildings' | 'catalogs'>> {
  await world.runUntil(() => declarations.areSettled)
  if (isChecked) await check(db, world)
  engine.store.flushSync()
  return { contents: declarations.contents, buildings: declarations.buildings, catalogs: declarations.catalogs }
}

async function check(db: Database, world: World): Promise<void> {
  let isDone = false
  const checking = db.check().finally(() => (isDone = true))
  checking.catch(() => {})
  await world.runUntil(() => isDone)
  const { sound, findings } = await checking
  if (!sound) throw new Error(`the check of the database found ${JSON.stringify(findings)}`)
}

async function interrupt({ db, world }: Stage, chance: Chance, interruption: Interruption): Promise<void> {
  for (let left = chance.below(40); left > 0; left--) await world.pause(chance)
  if (interruption === 'close') db.close().catch(() => {})
  else world.syncsFail = true
}

class Play {
  readonly transactions: TransactionRecord[] = []
  readonly #stage: Stage
  readonly #chance: Chance
  readonly #name: string
  readonly #levels: readonly Level[]
  readonly #plan: Plan
  readonly #cast: Cast
  readonly #pauses: number
  readonly #nextEvent: () => number

  constructor(stage: Stage, chance: Chance, { name, levels, plan, part }: HistoryOptions) {
    this.#stage = stage
    this.#chance = chance
    this.#name = name
    this.#levels = levels
    this.#plan = plan
    let events = 0
    this.#nextEvent = () => events++
    this.#pauses = chance.of([0.2, 0.5, 0.8])
    const isWide = chance.is(0.1)
    const keys = isWide ? manyKeys : shuffled(keyPool, chance).slice(0, chance.between(2, chance.of([3, 6, 10])))
    const { declarations, isIndexed } = stage
    const fewValues = chance.between(2, 4)
    let unique = 100
    const weigh = (some: readonly Deed[]): [Deed, number][] => some.map(deed => [deed, chance.is(0.3) ? 0.2 : chance.next()])
    const weights = Object.fromEntries(weigh(deeds))
    const some = isIndexed ? { weights: { ...weights, ...Object.fromEntries(weigh(indexDeeds)) }, values: fewValues * chance.of([1, 3, 10]) } : { weights, values: fewValues }
    this.#cast = {
      tables: declarations.tables,
      versions: declarations.versions,
      keys,
      weights: some.weights,
      index: from => (isIndexed ? declarations.handle(from) : undefined),
      value: from => (from.is(0.5) ? from.below(some.values) : unique++),
    }
    const filling = isWide ? chance.fork() : undefined
    if (filling && plan.plays(`${part}/fill`)) this.#populate(filling, `${part}/fill`)
  }

  /** `place` names the client in the plan, and its transactions after it. */
  async client(place: string): Promise<void> {
    const chance = this.#chance.fork()
    for (let left = chance.between(1, 4); left > 0; left--) {
      if (chance.is(0.7)) await this.#stage.world.pause(chance)
      const kind = chance.weighted({ transaction: 8, sync: 1, begin: 2, oneShot: 2, oneShotIterator: 0.5, declare: this.#stage.isIndexed ? 0.6 : 0 })
      const own = chance.fork()
      const part = `${place}.${left}`
      if (!this.#plan.plays(part)) continue
      if (kind === 'declare') this.#declare(own, part)
      else if (kind === 'oneShot' || kind === 'oneShotIterator') await this.#oneShot(own, kind === 'oneShotIterator')
      else await this.#transaction(own, kind, part)
    }
  }

  /** Some indexes stay, some go and some come. */
  #declare(chance: Chance, part: string): void {
    const { declarations } = this.#stage
    const table = chance.of(tableNames)
    const kept = declarations.declared[table].filter(() => chance.is(0.6))
    const names = new Set([...kept, ...someIndexes(chance)])
    const [leavesThem, raises] = [chance.is(0.1), chance.is(0.2)]
    try {
      if (leavesThem) declarations.declare(table, undefined)
      else declarations.declare(table, [...names].filter(name => this.#plan.plays(`${part}/${name}`)), raises && this.#plan.plays(`${part}/version`))
    } catch (error) {
      codeOf(error)
    }
  }

  async #transaction(chance: Chance, kind: 'transaction' | 'sync' | 'begin', part: string): Promise<void> {
    const { db } = this.#stage
    const stop = new AbortController()
    const record = this.#record(chance)
    const options: TransactionOptions = {
      level: record.level,
      readOnly: record.readOnly,
      durability: record.durability,
      label: record.label,
      ...(chance.is(0.05) && { timeoutMs: chance.between(1, 60) }),
      ...(chance.is(0.1) && { signal: stop.signal }),
    }
    if (options.signal) void this.#stage.world.pause(chance).then(() => stop.abort())
    try {
      if (kind === 'begin') await this.#begin(record, options, chance, part)
      else {
        const repeated = { ...options, maxAttempts: chance.between(1, 10) }
        const isSync = kind === 'sync' || chance.is(0.15)
        const body = this.#body(record, isSync, chance, part)
        if (kind === 'sync') db.transactionSync(body as (tx: Transaction) => void, repeated)
        else await db.transaction(body, repeated)
      }
      this.#ended(record, 'done')
    } catch (error) {
      this.#ended(record, codeOf(error), error)
    }
  }

  #body(record: TransactionRecord, isSync: boolean, chance: Chance, part: string): (tx: Transaction) => void | Promise<void> {
    return tx => {
      const script = chance.fork()
      const actor = this.#actor(record, script)
      const place = `${part}/${tx.attempt}`
      return isSync ? this.#actSync(tx, actor, script, place) : this.#act(tx, actor, script, place)
    }
  }

  async #begin(record: TransactionRecord, options: TransactionOptions, chance: Chance, part: string): Promise<void> {
    using tx = this.#stage.db.begin(options)
    const actor = this.#actor(record, chance)
    await this.#act(tx, actor, chance, `${part}/1`).catch((error: unknown) => {
      throw error instanceof Own ? new Abandoned(error.message) : error
    })
    if (chance.is(0.1)) throw new Abandoned('given up')
    const committing = tx.commit()
    if (chance.is(0.05)) {
      committing.catch(() => {})
      await this.#stage.world.pause(chance)
      tx.abort()
    }
    await committing
  }

  /** A body that pauses, and has savepoints that pause. `place` names it in the plan, and its steps after it. */
  async #act(tx: Transaction, actor: Actor, chance: Chance, place: string): Promise<void> {
    for (let left = chance.between(0, 7); left > 0; left--) {
      const own = chance.fork()
      const step = `${place}.${left}`
      if (own.is(this.#pauses)) await this.#stage.world.pause(own)
      if (!this.#plan.plays(step)) continue
      if (mayNest(step) && own.is(0.1)) {
        if (own.is(0.4)) this.#savepointSync(tx, actor, own, step)
        else await this.#savepoint(tx, actor, own, step)
      } else this.#try(tx, actor, own)
    }
    if (chance.is(0.5)) actor.closeIterators()
    if (chance.is(this.#pauses)) await this.#stage.world.pause(chance)
    if (chance.is(0.07)) throw new Own('changed its mind')
  }

  #actSync(tx: Transaction, actor: Actor, chance: Chance, place: string): void {
    for (let left = chance.between(0, 7); left > 0; left--) {
      const own = chance.fork()
      const step = `${place}.${left}`
      if (!this.#plan.plays(step)) continue
      if (mayNest(step) && own.is(0.1)) this.#savepointSync(tx, actor, own, step)
      else this.#try(tx, actor, own)
    }
    if (chance.is(0.07)) throw new Own('changed its mind')
  }

  /** A body that swallows the error which ended its transaction gains nothing by it. */
  #try(tx: Transaction, actor: Actor, chance: Chance): void {
    try {
      actor.act(tx, chance)
    } catch (error) {
      if (!chance.is(0.1)) throw error
    }
  }

  async #savepoint(tx: Transaction, actor: Actor, chance: Chance, place: string): Promise<void> {
    actor.log({ op: 'savepoint' })
    try {
      await tx.transaction(child => actor.within(() => this.#act(child, actor, chance, place)))
      actor.log({ op: 'keep' })
    } catch (error) {
      actor.log({ op: 'undo' })
      if (!(error instanceof Own) || chance.is(0.2)) throw error
    }
  }

  #savepointSync(tx: Transaction, actor: Actor, chance: Chance, place: string): void {
    actor.log({ op: 'savepoint' })
    try {
      tx.transaction(child => actor.withinSync(() => this.#actSync(child, actor, chance, place)))
      actor.log({ op: 'keep' })
    } catch (error) {
      actor.log({ op: 'undo' })
      if (!(error instanceof Own) || chance.is(0.2)) throw error
    }
  }

  /** Most rows are there from the start. */
  #populate(chance: Chance, part: string): void {
    const { tables, keys, value } = this.#cast
    const record = this.#record(chance, { level: 'serializable', readOnly: false, durability: 'durable' })
    const actor = this.#actor(record, chance)
    const fill = (tx: Transaction): void => {
      for (const { table, key } of keys) {
        const own = chance.fork()
        if (own.is(0.8) && this.#plan.plays(`${part}/${JSON.stringify(key)}`)) actor.put(tx, tables[table], table, key, value(own))
      }
    }
    try {
      this.#stage.db.transactionSync(fill, { label: record.label })
      this.#ended(record, 'done')
    } catch (error) {
      this.#ended(record, codeOf(error), error)
    }
  }

  async #oneShot(chance: Chance, iterates: boolean): Promise<void> {
    const { db, engine } = this.#stage
    const record = this.#record(chance, { level: 'snapshot', readOnly: true, durability: 'durable', oneShot: true })
    const attempt: Attempt = { beganTs: engine.store.acknowledgedTs, operations: [] }
    record.attempts.push(attempt)
    const actor = new Actor(chance, this.#cast, attempt, { newestTs: () => attempt.beganTs, nextEvent: this.#nextEvent, readOnly: true })
    try {
      if (!iterates) actor.read(db, chance.of(this.#stage.isIndexed && chance.is(0.5) ? oneShotIndexReads : oneShotReads))
      else await this.#iterate(actor, chance)
      this.#ended(record, 'done')
    } catch (error) {
      this.#ended(record, codeOf(error))
      if (record.outcome !== 'SNAPSHOT_TOO_OLD') actor.closeIterators()
    }
  }

  async #iterate(actor: Actor, chance: Chance): Promise<void> {
    actor.read(this.#stage.db, this.#stage.isIndexed && chance.is(0.5) ? 'index open' : 'open')
    for (let left = chance.below(5); left > 0; left--) {
      await this.#stage.world.pause(chance)
      actor.next('goes on')
    }
    actor.closeIterators()
  }

  #record(chance: Chance, fixed: Partial<TransactionRecord> = {}): TransactionRecord {
    const record: TransactionRecord = {
      label: `${this.#name}/${this.transactions.length}`,
      level: chance.of(this.#levels),
      readOnly: chance.is(0.15),
      durability: chance.is(0.15) ? 'relaxed' : 'durable',
      oneShot: false,
      startedAt: this.#nextEvent(),
      endedAt: 0,
      attempts: [],
      outcome: '',
      visibleTs: 0,
      durableTs: 0,
      ...fixed,
    }
    this.transactions.push(record)
    return record
  }

  #actor(record: TransactionRecord, chance: Chance): Actor {
    const { store } = this.#stage.engine
    const newestTs = (): number => (record.readOnly ? store.acknowledgedTs : store.visibleTs)
    const attempt: Attempt = { beganTs: newestTs(), operations: [] }
    record.attempts.push(attempt)
    this.#stage.running.set(record.label, attempt)
    return new Actor(chance, this.#cast, attempt, { newestTs, nextEvent: this.#nextEvent, readOnly: record.readOnly })
  }

  #ended(record: TransactionRecord, outcome: string, error?: unknown): void {
    const { store } = this.#stage.engine
    record.outcome = outcome
    if (outcome === 'UNIQUE_VIOLATION') {
      const { table, index, key, holder } = error as Violation
      record.violation = { table, index, key, holder }
    }
    record.endedAt = this.#nextEvent()
    record.visibleTs = store.visibleTs
    record.durableTs = record.readOnly || record.oneShot ? store.acknowledgedTs : store.durableTs
  }
}

/** Savepoints stand in savepoints, but not in those. */
const mayNest = (step: string): boolean => step.slice(step.lastIndexOf('/')).split('.').length < 4

function shuffled<T>(all: readonly T[], chance: Chance): T[] {
  const placed = all.map(item => ({ item, place: chance.next() }))
  return placed.sort((a, b) => a.place - b.place).map(({ item }) => item)
}

function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && expected.has(error.code as string)) return error.code as string
  throw error
}

const expected: ReadonlySet<string> = new Set([
  'Own', 'Abandoned', 'ROW_EXISTS', 'ROW_ABSENT', 'CONFLICT', 'RETRIES_EXHAUSTED', 'TIMEOUT', 'CANCELLED', 'SNAPSHOT_TOO_OLD', 'TRANSACTION_ENDED',
  'COMMIT_UNKNOWN', 'POISONED', 'CLOSED', 'UNIQUE_VIOLATION', 'INDEX_BUILDING', 'TABLE_DROPPED', 'TABLE_MISMATCH',
])
