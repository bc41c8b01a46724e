/** Does random things to a transaction and writes down what came of each. */
import { ConflictError, type Table, type Transaction } from '../../engine/index.js'
import type { Chance } from './chance.js'
import type { Key, Range, TableName, Value } from './model.js'
import type { Attempt, KeyValue, Operation } from './records.js'

/** Either of the two tables; which keys go with which, the actor knows. */
export type AnyTable = Table<Key, Value, Value, Key>
export type Tables = Readonly<Record<TableName, AnyTable>>

/** The reading half of a transaction, which a database has too. */
export type Reader = Pick<Transaction, 'get' | 'getMany' | 'has' | 'range' | 'count' | 'first' | 'last'>

/** What histories are made of. */
export interface Cast {
  readonly tables: Tables
  readonly keys: readonly { readonly table: TableName; readonly key: Key }[]
  readonly weights: Readonly<Record<Deed, number>>
  /** A new value: mostly one of few, so that values come back. */
  readonly value: (chance: Chance) => Value
}

const reads = ['get', 'has', 'getMany', 'range', 'count', 'first', 'last', 'open', 'next', 'next more'] as const
const writes = ['put', 'delete', 'insert', 'update', 'compareAndSet', 'deleteRange'] as const
export type Deed = (typeof reads)[number] | (typeof writes)[number]
export const deeds: readonly Deed[] = [...reads, ...writes]
const isRead = (deed: Deed): boolean => (reads as readonly string[]).includes(deed)

interface OpenIterator {
  readonly number: number
  readonly iterator: Iterator<{ readonly key: Key; readonly value: Value }>
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
  readonly #newestTs: () => number
  readonly #nextEvent: () => number
  readonly #readOnly: boolean
  #iterators: OpenIterator[] = []
  #opened = 0

  constructor(chance: Chance, cast: Cast, attempt: Attempt, options: ActorOptions) {
    this.#chance = chance
    this.#cast = cast
    this.#attempt = attempt
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
    const deed = this.#chance.weighted(this.#cast.weights)
    if (isRead(deed) || this.#readOnly) this.read(tx, deed)
    else this.#write(tx, deed)
  }

  read(reader: Reader, deed: Deed = this.#chance.of(reads)): void {
    const { table: name, key } = this.#chance.of(this.#cast.keys)
    const table = this.#cast.tables[name]
    const range = this.#range(name)
    switch (deed) {
      case 'has':
        return this.log({ op: 'has', table: name, key, result: reader.has(table, key) })
      case 'getMany': {
        const keys = this.#cast.keys.filter(other => other.table === name && this.#chance.is(0.5)).map(other => other.key)
        return this.log({ op: 'getMany', table: name, keys, result: reader.getMany(table, keys) })
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
        const iterator = reader.range(table, range)[Symbol.iterator]() as OpenIterator['iterator']
        this.#iterators.push({ number, iterator })
        return this.log({ op: 'open', table: name, range, iterator: number }, at)
      }
      case 'next':
      case 'next more':
        if (this.#iterators.length > 0) return this.next()
        return this.log({ op: 'get', table: name, key, result: reader.get(table, key) })
      default:
        return this.log({ op: 'get', table: name, key, result: reader.get(table, key) })
    }
  }

  put(tx: Transaction, table: AnyTable, name: TableName, key: Key, value: Value): void {
    tx.put(table, key, value)
    this.log({ op: 'put', table: name, key, value })
  }

  /** Takes a step of an iterator that is open, if one is; now and then closes it instead, or never comes back to it. */
  next(how: 'may stop' | 'goes on' = 'may stop'): void {
    if (this.#iterators.length === 0) return
    const at = this.#chance.below(this.#iterators.length)
    const { number, iterator } = this.#iterators[at]!
    const stops = how === 'may stop' && this.#chance.is(0.15)
    if (stops) this.#iterators.splice(at, 1)
    if (stops && this.#chance.is(0.5)) return void iterator.return?.()
    const { value: row } = iterator.next()
    this.log({ op: 'next', iterator: number, result: row && keyValue(row) })
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
    const table = this.#cast.tables[name]
    const value = this.#cast.value(this.#chance)
    switch (deed) {
      case 'put':
        return this.put(tx, table, name, key, value)
      case 'delete':
        tx.delete(table, key)
        return this.log({ op: 'delete', table: name, key })
      case 'insert':
        return this.log({ op: 'insert', table: name, key, value, result: constrained(() => (tx.insert(table, key, value), 'done')) as 'done' | 'ROW_EXISTS' })
      case 'update': {
        const change = (present: Value): Value => {
          if (this.#chance.is(0.2)) this.read(tx, 'get')
          seen = present
          return value
        }
        let seen: Value | undefined
        const at = this.#newestTs()
        const outcome = constrained(() => (tx.update(table, key, change), 'done'))
        return this.log({ op: 'update', table: name, key, value, result: outcome === 'done' ? seen! : (outcome as 'ROW_ABSENT') }, at)
      }
      case 'compareAndSet': {
        const expected = this.#chance.is(0.6) ? tx.get(table, key) : this.#cast.value(this.#chance)
        if (this.#chance.is(0.6)) this.log({ op: 'get', table: name, key, result: tx.get(table, key) })
        const next = this.#chance.is(0.8) ? value : undefined
        return this.log({ op: 'compareAndSet', table: name, key, expected, value: next, result: tx.compareAndSet(table, key, expected, next) })
      }
      default: {
        const range = this.#range(name)
        return this.log({ op: 'deleteRange', table: name, range, result: tx.deleteRange(table, range) })
      }
    }
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

const keyValue = ({ key, value }: { readonly key: Key; readonly value: Value }): KeyValue => [key, value]
