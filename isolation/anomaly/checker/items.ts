/**
 * Everything that a history names, numbered: transactions, items (rows, present or not) and writes. From here on the checker
 * works on numbers; names come back in sentences.
 */
import { contains, type History, isWrite, type TransactionRecord, type VersionId } from './history.js'
import type { KeyInterval } from '../scenario.js'
import { Integers } from './numbers.js'

/** The items of one table in the order of their keys. */
export interface SortedItems {
  readonly keys: readonly string[]
  readonly items: readonly number[]
}

const noItems: SortedItems = { keys: [], items: [] }

export class Items {
  readonly history: History
  /** By item. */
  readonly tables: string[] = []
  readonly keys: string[] = []
  readonly initial: (VersionId | null)[] = []
  /** The writes of transaction t are `firstWrite[t]` to `firstWrite[t + 1]` - 1, in program order. */
  readonly firstWrite: Int32Array
  readonly #committed: Uint8Array
  readonly #writers = new Integers()
  readonly #written = new Integers()
  readonly #deletes = new Integers()
  /** By write: 1 deletes, 2 is not the last one. */
  readonly #flags: Uint8Array
  /** Number of the write, or `initialCode` of the item whose initial version it is. */
  readonly #byVersion = new Map<VersionId, number>()
  readonly #byTable = new Map<string, Map<string, number>>()
  readonly #sorted = new Map<string, SortedItems>()
  #big: { readonly transaction: number; readonly lastWrites: ReadonlyMap<number, number> } = { transaction: -1, lastWrites: new Map() }

  constructor(history: History) {
    this.history = history
    this.firstWrite = new Int32Array(history.transactions.length + 1)
    this.#committed = Uint8Array.from(history.transactions, ({ outcome }) => (outcome === 'committed' ? 1 : 0))
    for (const { table, key, version } of history.initial) {
      const item = this.#note(table, key)
      this.initial[item] = version
      this.#byVersion.set(version, initialCode(item))
    }
    for (let transaction = 0; transaction < history.transactions.length; transaction++) {
      for (const operation of history.transactions[transaction]!.operations) {
        if (!isWrite(operation)) continue
        this.#byVersion.set(operation.version, this.#written.length)
        this.#writers.push(transaction)
        this.#written.push(this.#note(operation.table, operation.key))
        if (operation.op === 'delete') this.#deletes.push(this.#written.length - 1)
      }
      this.firstWrite[transaction + 1] = this.#written.length
    }
    for (const { table, key } of history.final ?? []) this.#note(table, key)
    this.#flags = this.#flagWrites()
  }

  #flagWrites(): Uint8Array {
    const flags = new Uint8Array(this.writes)
    for (const write of this.#deletes.values()) flags[write] = 1
    const latest = new Int32Array(this.count).fill(-1)
    for (let write = 0; write < this.writes; write++) {
      const before = latest[this.itemOf(write)]!
      if (before >= 0 && this.writerOf(before) === this.writerOf(write)) flags[before]! |= 2
      latest[this.itemOf(write)] = write
    }
    return flags
  }

  get writes(): number {
    return this.#written.length
  }

  /** About as many as there are reads of single rows. */
  get expectedReads(): number {
    let reads = 0
    for (const { operations } of this.transactions) {
      for (const operation of operations) reads += operation.op === 'range' ? operation.rows.length : operation.op === 'get' ? 1 : 0
    }
    return reads
  }

  get count(): number {
    return this.keys.length
  }

  get transactions(): readonly TransactionRecord[] {
    return this.history.transactions
  }

  isCommitted(transaction: number): boolean {
    return this.#committed[transaction] === 1
  }

  /** -1 where the history neither writes the row nor has it at the beginning or the end. */
  find(table: string, key: string): number {
    return this.#byTable.get(table)?.get(key) ?? -1
  }

  /** The number of a write, the `initialCode` of an item, or undefined where the history does not hold the version. */
  findVersion(version: VersionId): number | undefined {
    return this.#byVersion.get(version)
  }

  writerOf(write: number): number {
    return this.#writers.at(write)
  }

  itemOf(write: number): number {
    return this.#written.at(write)
  }

  isDelete(write: number): boolean {
    return (this.#flags[write]! & 1) !== 0
  }

  /** Whether it is its transaction's last write of the item: the only one that a commit installs. */
  isLast(write: number): boolean {
    return (this.#flags[write]! & 2) === 0
  }

  /** Whether a commit installed it. */
  isInstalled(write: number): boolean {
    return this.isLast(write) && this.isCommitted(this.writerOf(write))
  }

  /** The last write of an item by a transaction, or -1. */
  lastWriteOf(transaction: number, item: number): number {
    const first = this.firstWrite[transaction]!
    const end = this.firstWrite[transaction + 1]!
    if (end - first > 16) return this.#lastWritesOf(transaction).get(item) ?? -1
    for (let write = end - 1; write >= first; write--) if (this.itemOf(write) === item) return write
    return -1
  }

  /** For one big transaction at a time: they come up one after the other. */
  #lastWritesOf(transaction: number): ReadonlyMap<number, number> {
    if (this.#big.transaction !== transaction) {
      const lastWrites = new Map<number, number>()
      for (let write = this.firstWrite[transaction]!; write < this.firstWrite[transaction + 1]!; write++) {
        lastWrites.set(this.itemOf(write), write)
      }
      this.#big = { transaction, lastWrites }
    }
    return this.#big.lastWrites
  }

  /** Calls back for every item of a table whose key lies within an interval, by key. */
  within(table: string, interval: KeyInterval, visit: (item: number, key: string) => void): void {
    const { keys, items } = this.#sortedItems(table)
    const { gt = '', gte = '' } = interval
    for (let at = lowerBound(keys, gt > gte ? gt : gte); at < keys.length; at++) {
      const key = keys[at]!
      if (contains(interval, key)) visit(items[at]!, key)
      else if (key !== interval.gt) return
    }
  }

  #sortedItems(table: string): SortedItems {
    const known = this.#sorted.get(table)
    if (known) return known
    const byKey = this.#byTable.get(table)
    if (!byKey) return noItems
    const keys = [...byKey.keys()].sort()
    const sorted = { keys, items: keys.map(key => byKey.get(key)!) }
    this.#sorted.set(table, sorted)
    return sorted
  }

  #note(table: string, key: string): number {
    let byKey = this.#byTable.get(table)
    if (!byKey) this.#byTable.set(table, (byKey = new Map()))
    const known = byKey.get(key)
    if (known !== undefined) return known
    const item = this.keys.length
    byKey.set(key, item)
    this.tables.push(table)
    this.keys.push(key)
    this.initial.push(null)
    return item
  }
}

/** Initial versions share their numbers with the writes, from -1 downwards. */
export const initialCode = (item: number): number => -1 - item

/** The first place whose key is not less. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keys[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}
