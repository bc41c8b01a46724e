/** Does random things to a transaction and writes down what came of each. */
import { ConflictError, type Table, type Transaction } from '../../engine/index.js'
import type { Chance } from './chance.js'
import { indexRowOf, type GivenRow, type IndexHandle, type IndexReader } from './declarations.js'
import { elementOf, functionOf, givenKey, type IndexName } from './index-functions.js'
import type { Element, IndexKey, IndexRange, Key, Range, TableName, Value } from './model.js'
import type { Attempt, IndexRow, KeyValue, Operation } from './records.js'
import { given, told } from './row-versions.js'

/** Either of the two tables; which keys go with which, the actor knows. */
export type AnyTable = Table<Key, Value, Value, Key>
export type Tables = Readonly<Record<TableName, AnyTable>>

/** The reading half of a transaction, which a database has too. */
export type Reader = Pick<Transaction, 'get' | 'getMany' | 'has' | 'range' | 'count' | 'first' | 'last'>

/** What histories are made of. */
export interface Cast {
  /** The newest handles of the tables, and the versions of the rows that they give. */
  readonly tables: Tables
  readonly versions: Readonly<Record<TableName, number>>
  readonly keys: readonly { readonly table: TableName; readonly key: Key }[]
  readonly weights: Readonly<Partial<Record<Deed, number>>>
  /** An index to read through, where the history has any. */
  readonly index: (chance: Chance) => IndexHandle | undefined
  /** A new value: mostly one of few, so that values come back. */
  readonly value: (chance: Chance) => Value
}

const reads = ['get', 'has', 'getMany', 'range', 'count', 'first', 'last', 'open', 'next', 'next more'] as const
const writes = ['put', 'delete', 'insert', 'update', 'compareAndSet', 'deleteRange'] as const
const indexReads = ['index get', 'index range', 'index count', 'index first', 'index last', 'index open'] as const
/** What moves index keys from row to row, or leaves them where they are. */
const moves = ['swap', 'move', 'claim', 'take over', 'again'] as const
type IndexRead = (typeof indexReads)[number]
type Move = (typeof moves)[number]
export type Deed = (typeof reads)[number] | (typeof writes)[number] | IndexRead | Move
export const deeds: readonly Deed[] = [...reads, ...writes]
/** Those of histories with indexes. */
export const indexDeeds: readonly Deed[] = [...indexReads, ...moves]
/** Those that a reader outside of transactions may do. */
export const oneShotReads: readonly Deed[] = ['get', 'has', 'getMany', 'range', 'count', 'first', 'last']
export const oneShotIndexReads: readonly Deed[] = ['index get', 'index range', 'index count', 'index first', 'index last']
const isAmong = <T extends Deed>(some: readonly T[], deed: Deed): deed is T => (some as readonly Deed[]).includes(deed)
const isRead = (deed: Deed): boolean => isAmong(reads, deed) || isAmong(indexReads, deed)

interface OpenIterator {
  readonly number: number
  readonly iterator: Iterator<unknown>
  /** What a step gave, as it is written down. */
  readonly told: (row: never) => KeyValue | IndexRow
  /** The index that it goes through, if it does. */
  readonly index: IndexHandle | undefined
}

type Logged = Operation extends infer O ? (O extends unknown ? Omit<O, 'at' | 'event'> : never) : never

export interface ActorOptions {
  readonly newestTs: () => number
  readonly nextEvent: () => number
  readonly readOnly: boolean
}

export class Actor {
  #chance: Chance
  readonly #cast: Cast
  readonly #attempt: Attempt
  /** The handles that it began with; those of a table whose rows get another version meanwhile are refused. */
  readonly #tables: Tables
  readonly #versions: Cast['versions']
  readonly #newestTs: () => number
  readonly #nextEvent: () => number
  readonly #readOnly: boolean
  #iterators: OpenIterator[] = []
  #opened = 0

  constructor(chance: Chance, cast: Cast, attempt: Attempt, options: ActorOptions) {
    this.#chance = chance
    this.#cast = cast
    this.#attempt = attempt
    this.#tables = { ...cast.tables }
    this.#versions = { ...cast.versions }
    this.#newestTs = options.newestTs
    this.#nextEvent = options.nextEvent
    this.#readOnly = options.readOnly
  }

  /** One operation, as `chance` decides. A violated constraint is a result; any other error is thrown on. */
  act(tx: Transaction, chance: Chance): void {
    this.#chance = chance
    try {
      this.#do(tx)
    } catch (error) {
      if (error instanceof ConflictError) this.#attempt.conflictTs ??= this.#newestTs()
      throw error
    }
  }

  #do(tx: Transaction): void {
    const deed = this.#chance.weighted(this.#cast.weights as Record<Deed, number>)
    if (isRead(deed) || this.#readOnly) this.read(tx, deed)
    else if (isAmong(moves, deed)) this.#move(tx, deed)
    else this.#write(tx, deed)
  }

  read(reader: Reader, deed: Deed = this.#chance.of(reads)): void {
    const index = isAmong(indexReads, deed) ? this.#cast.index(this.#chance) : undefined
    if (index?.version === this.#versions[index?.table ?? 'strings'] && index && isAmong(indexReads, deed)) return this.#refusable(index, () => this.#readIndex(reader as unknown as IndexReader, index, deed))
    const { table: name, key } = this.#chance.of(this.#cast.keys)
    const table = this.#tables[name]
    const range = this.#range(name)
    const keyValue = this.#keyValueOf(name)
    switch (deed) {
      case 'has':
        return this.log({ op: 'has', table: name, key, result: reader.has(table, key) })
      case 'getMany': {
        const keys = this.#cast.keys.filter(other => other.table === name && this.#chance.is(0.5)).map(other => other.key)
        return this.log({ op: 'getMany', table: name, keys, result: reader.getMany(table, keys).map(row => this.#told(name, row)) })
      }
      case 'range':
        return this.log({ op: 'range', table: name, range, result: Array.from(reader.range(table, range), keyValue) })
      case 'count':
        return this.log({ op: 'count', table: name, range, result: reader.count(table, range) })
      case 'first':
      case 'last': {
        const row = reader[deed](table, range)
        return this.log({ op: deed, table: name, range, result: row && keyValue(row) })
      }
      case 'open': {
        const number = this.#opened++
        const at = this.#newestTs()
        const iterator = reader.range(table, range)[Symbol.iterator]()
        this.#iterators.push({ number, iterator, told: this.#keyValueOf(name, 'or newer'), index: undefined })
        return this.log({ op: 'open', table: name, range, iterator: number }, at)
      }
      case 'next':
      case 'next more':
        if (this.#iterators.length > 0) return this.next()
        return this.log({ op: 'get', table: name, key, result: this.#told(name, reader.get(table, key)) })
      default:
        return this.log({ op: 'get', table: name, key, result: this.#told(name, reader.get(table, key)) })
    }
  }

  put(tx: Transaction, table: AnyTable, name: TableName, key: Key, value: Value): void {
    tx.put(table, key, given(value, this.#versions[name]))
    this.log({ op: 'put', table: name, key, value })
  }

  /** Takes a step of an iterator that is open, if one is; now and then closes it instead, or never comes back to it. */
  next(how: 'may stop' | 'goes on' = 'may stop'): void {
    if (this.#iterators.length === 0) return
    const at = this.#chance.below(this.#iterators.length)
    const { number, iterator, told: tell, index } = this.#iterators[at]!
    const stops = how === 'may stop' && this.#chance.is(0.15)
    if (stops) this.#iterators.splice(at, 1)
    if (stops && this.#chance.is(0.5)) return void iterator.return?.()
    const step = (): void => {
      const { value: row } = iterator.next() as IteratorResult<never, undefined>
      this.log({ op: 'next', iterator: number, result: row && tell(row) })
    }
    if (index) this.#refusable(index, step)
    else step()
  }

  /** Iterators belong to the handle that opened them: those of a savepoint end with it, and meanwhile those around it rest. */
  async within<T>(body: () => T | Promise<T>): Promise<T> {
    const outer = this.#iterators
    this.#iterators = []
    try {
      return await body()
    } finally {
      this.#iterators = outer
    }
  }

  withinSync<T>(body: () => T): T {
    const outer = this.#iterators
    this.#iterators = []
    try {
      return body()
    } finally {
      this.#iterators = outer
    }
  }

  /** Lets go of the iterators that are still open, as a loop that is left does. */
  closeIterators(): void {
    for (const { iterator } of this.#iterators.splice(0)) iterator.return?.()
  }

  log(operation: Logged, at: number = this.#newestTs()): void {
    this.#attempt.operations.push({ ...operation, at, event: this.#nextEvent() } as Operation)
  }

  #write(tx: Transaction, deed: Deed): void {
    const { table: name, key } = this.#chance.of(this.#cast.keys)
    const table = this.#tables[name]
    const value = this.#cast.value(this.#chance)
    const version = this.#versions[name]
    switch (deed) {
      case 'put':
        return this.put(tx, table, name, key, value)
      case 'delete':
        tx.delete(table, key)
        return this.log({ op: 'delete', table: name, key })
      case 'insert':
        return this.log({ op: 'insert', table: name, key, value, result: constrained(() => (tx.insert(table, key, given(value, version)), 'done')) as 'done' | 'ROW_EXISTS' })
      case 'update': {
        const change = (present: Value): Value => {
          if (this.#chance.is(0.2)) this.read(tx, 'get')
          seen = told(present, version)
          return given(value, version)
        }
        let seen: Value | undefined
        const at = this.#newestTs()
        const outcome = constrained(() => (tx.update(table, key, change), 'done'))
        return this.log({ op: 'update', table: name, key, value, result: outcome === 'done' ? seen! : (outcome as 'ROW_ABSENT') }, at)
      }
      case 'compareAndSet': {
        const expected = this.#chance.is(0.6) ? this.#told(name, tx.get(table, key)) : this.#cast.value(this.#chance)
        if (this.#chance.is(0.6)) this.log({ op: 'get', table: name, key, result: this.#told(name, tx.get(table, key)) })
        const next = this.#chance.is(0.8) ? value : undefined
        return this.log({ op: 'compareAndSet', table: name, key, expected, value: next, result: tx.compareAndSet(table, key, expected === undefined ? undefined : given(expected, version), next === undefined ? undefined : given(next, version)) })
      }
      default: {
        const range = this.#range(name)
        return this.log({ op: 'deleteRange', table: name, range, result: tx.deleteRange(table, range) })
      }
    }
  }

  #readIndex(reader: IndexReader, index: IndexHandle, deed: IndexRead): void {
    const { id, table, name, handle } = index
    const chance = this.#chance
    const valueOf = (row: number): Value => told(row, index.version)
    if (deed === 'index get') {
      const indexKey = index.unique ? this.#indexKey(name) : undefined
      if (indexKey) {
        const result = reader.get(handle, givenKey(indexKey))
        return this.log({ op: deed, table, index: id, indexKey, result: result && indexRowOf(result, false, valueOf) })
      }
    }
    const keysOnly = deed !== 'index count' && chance.is(0.3)
    const range = this.#indexRange(name)
    const query = { table, index: id, range, keysOnly }
    const options = { ...givenRange(range, chance), ...(keysOnly && { keysOnly }) }
    switch (deed) {
      case 'index count':
        return this.log({ op: deed, ...query, result: reader.count(handle, options) })
      case 'index first':
      case 'index last': {
        const found = reader[deed === 'index first' ? 'first' : 'last'](handle, options)
        return this.log({ op: deed, ...query, result: found && indexRowOf(found, keysOnly, valueOf) })
      }
      case 'index open': {
        const number = this.#opened++
        const at = this.#newestTs()
        const iterator = reader.range(handle, options)[Symbol.iterator]()
        this.#iterators.push({ number, iterator, told: (row: GivenRow) => indexRowOf(row, keysOnly, value => told(value, index.version, this.#cast.versions[table])), index })
        return this.log({ op: deed, ...query, iterator: number }, at)
      }
      default:
        return this.log({ op: 'index range', ...query, result: Array.from(reader.range(handle, options), row => indexRowOf(row, keysOnly, valueOf)) })
    }
  }

  /** That an index is not ready, or gone, is a result too; what comes of it, the body decides. */
  #refusable(index: IndexHandle, read: () => void): void {
    try {
      read()
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== 'INDEX_BUILDING' && code !== 'TABLE_DROPPED') throw error
      this.log({ op: 'index refused', table: index.table, index: index.id, result: code })
      if (this.#chance.is(0.5)) throw error
    }
  }

  #move(tx: Transaction, deed: Move): void {
    const chance = this.#chance
    const { table: name, key } = chance.of(this.#cast.keys)
    const table = this.#tables[name]
    const others = this.#cast.keys.filter(other => other.table === name && other.key !== key)
    const other = others.length > 0 ? chance.of(others).key : key
    const value = this.#cast.value(chance)
    const get = (of: Key): Value | undefined => {
      const result = this.#told(name, tx.get(table, of))
      this.log({ op: 'get', table: name, key: of, result })
      return result
    }
    const remove = (of: Key): void => {
      tx.delete(table, of)
      this.log({ op: 'delete', table: name, key: of })
    }
    if (deed === 'again') {
      for (const { key: one } of chance.is(0.5) ? others : others.toReversed()) {
        const present = chance.is(0.7) ? get(one) : undefined
        if (present !== undefined) this.put(tx, table, name, one, present)
      }
      return
    }
    const mine = get(other)
    if (mine === undefined) return this.put(tx, table, name, other, value)
    if (deed === 'claim') return this.put(tx, table, name, key, mine)
    if (deed === 'swap') {
      const theirs = get(key)
      this.put(tx, table, name, key, mine)
      return theirs === undefined ? remove(other) : this.put(tx, table, name, other, theirs)
    }
    // The one that has it gives it up first, or afterwards.
    const isFirst = chance.is(0.5)
    const giveUp = (): void => (deed === 'move' ? remove(other) : this.put(tx, table, name, other, value))
    if (isFirst && other !== key) giveUp()
    this.put(tx, table, name, key, mine)
    if (!isFirst && other !== key) giveUp()
  }

  /** A key that some row could have in the index. */
  #indexKey(name: IndexName): IndexKey | undefined {
    const { keysOf } = functionOf(name)
    for (let tries = 0; tries < 3; tries++) {
      const keys = keysOf(this.#chance.is(0.5) ? this.#chance.below(12) : this.#cast.value(this.#chance))
      if (keys.length > 0) return this.#chance.of(keys)
    }
    return undefined
  }

  #indexRange(name: IndexName): IndexRange {
    const chance = this.#chance
    const how: IndexRange = { ...(chance.is(0.4) && { reverse: chance.is(0.8) }), ...(chance.is(0.35) && { limit: chance.below(4) }) }
    const bound = (): IndexKey => {
      const key = this.#indexKey(name) ?? [0]
      return chance.is(0.6) ? key : key.slice(0, 1)
    }
    if (chance.is(0.3)) {
      const prefix = bound()
      const [first] = prefix
      if (chance.is(0.5)) return { prefix, ...how }
      if (typeof first === 'string') return { beginning: first.slice(0, chance.between(1, first.length)), ...how }
      if (typeof first === 'object' && first !== null && 'bytes' in first) return { beginning: { bytes: first.bytes.slice(0, 2) }, ...how }
      return { prefix, ...how }
    }
    return {
      ...(chance.is(0.5) && (chance.is(0.5) ? { gt: bound() } : { gte: bound() })),
      ...(chance.is(0.5) && (chance.is(0.5) ? { lt: bound() } : { lte: bound() })),
      ...how,
    }
  }

  #told(table: TableName, row: Value | undefined): Value | undefined {
    return row === undefined ? undefined : told(row, this.#versions[table])
  }

  /** Of what a row given out says. An iterator that was begun before the version was raised may give rows of the newer one. */
  #keyValueOf(table: TableName, version: 'as declared' | 'or newer' = 'as declared'): (row: { readonly key: Key; readonly value: Value }) => KeyValue {
    return ({ key, value }) => [key, told(value, this.#versions[table], version === 'or newer' ? this.#cast.versions[table] : undefined)]
  }

  #range(table: TableName): Range {
    const chance = this.#chance
    const how: Range = { ...(chance.is(0.4) && { reverse: chance.is(0.8) }), ...(chance.is(0.35) && { limit: chance.below(4) }) }
    const keys = this.#cast.keys.filter(other => other.table === table).map(({ key }) => key)
    if (keys.length === 0) return how
    const bound = (): Key => shortened(chance.of(keys), chance)
    if (chance.is(0.2)) return { prefix: bound(), ...how }
    return {
      ...(chance.is(0.5) && (chance.is(0.5) ? { gt: bound() } : { gte: bound() })),
      ...(chance.is(0.5) && (chance.is(0.5) ? { lt: bound() } : { lte: bound() })),
      ...how,
    }
  }
}

function shortened(key: Key, chance: Chance): Key {
  if (chance.is(0.6)) return key
  return typeof key === 'string' ? key.slice(0, chance.between(1, key.length)) : key.slice(0, 1)
}

function constrained(write: () => 'done'): 'done' | 'ROW_EXISTS' | 'ROW_ABSENT' {
  try {
    return write()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? (error.code as string) : ''
    if (code !== 'ROW_EXISTS' && code !== 'ROW_ABSENT') throw error
    return code
  }
}

/** The range as the engine takes it. A bound of one element may be bare; a prefix that is an array means whole elements. */
function givenRange({ gt, gte, lt, lte, prefix, beginning, ...how }: IndexRange, chance: Chance): object {
  const isBare = chance.is(0.5)
  const bound = (key: IndexKey): unknown => (isBare ? givenKey(key) : key.map(elementOf))
  return {
    ...(gt && { gt: bound(gt) }),
    ...(gte && { gte: bound(gte) }),
    ...(lt && { lt: bound(lt) }),
    ...(lte && { lte: bound(lte) }),
    ...(prefix && { prefix: isBare && prefix.length === 1 && isWhole(prefix[0]!) ? givenKey(prefix) : prefix.map(elementOf) }),
    ...(beginning !== undefined && { prefix: elementOf(beginning) }),
    ...how,
  }
}

/** Whether a bare prefix means the whole element. */
const isWhole = (element: Element): boolean => typeof element !== 'string' && !(typeof element === 'object' && element !== null && 'bytes' in element)
