/**
 * Versions in place of values. The checker of histories wants to know whose write a read saw, and what a read tells is a value:
 *
 *   - the version that was installed with this value, where one was;
 *   - none that can be named, where several were: such a read is left out;
 *   - where none was, one that an attempt wrote in vain or replaced itself: a dirty read, for the checker to say so;
 *   - else one that nobody wrote.
 *
 * Where a value was both installed and written in vain the installed one is taken. That accuses nobody wrongly: a phenomenon which follows from it either occurred, or in its
 * place a dirty read did, which no level allows.
 */
import type { VersionId } from '../../../isolation/anomaly/index.js'
import { functionOf, type IndexName } from '../index-functions.js'
import { entryText, isIn, isInIndex, keyText, type IndexKey, type IndexRange, type Key, type Range, type TableName, type Value } from '../model.js'
import type { Operation } from '../records.js'

/** A row or an entry of an index, present or not. */
export interface Place {
  readonly id: string
  /** An index is a table of its own, whose rows are its entries. */
  readonly table: string
  readonly key: Key
  /** The key as the checker compares it. */
  readonly text: string
}

/** An entry of an index. */
export interface EntryPlace extends Place {
  readonly indexKey: IndexKey
  readonly rowId: string
}

export const tableOfIndex = (table: TableName, index: IndexName): string => `${table}.${index}`

export function entryPlaceOf(table: TableName, index: IndexName, indexKey: IndexKey, key: Key): EntryPlace {
  const text = entryText(indexKey, key)
  return { id: `${tableOfIndex(table, index)} ${text}`, table: tableOfIndex(table, index), key, text, indexKey, rowId: placeId(table, keyText(key)) }
}

/** The entries that a row has in an index, by their ids. */
export function entryPlaces(table: TableName, index: IndexName, key: Key, value: Value | undefined): ReadonlyMap<string, EntryPlace> {
  const keys = value === undefined ? [] : functionOf(index).keysOf(value)
  return new Map(keys.map(indexKey => entryPlaceOf(table, index, indexKey, key)).map(place => [place.id, place]))
}

export const placeId = (table: TableName, text: string): string => `${table} ${text}`

export function placeOf(table: TableName, key: Key): Place {
  const text = keyText(key)
  return { id: placeId(table, text), table, key, text }
}

/** An undefined value deletes. */
export interface Write {
  readonly place: Place
  readonly value: Value | undefined
  readonly version: VersionId
  /** A savepoint that failed took it back. */
  isUndone: boolean
}

/** The writes of an attempt by the place of their operations; deletions of ranges are none, for they do not say what they delete. */
export function writesOf(operations: readonly Operation[], newVersion: () => VersionId): ReadonlyMap<number, Write> {
  const writes = new Map<number, Write>()
  const marks: number[] = []
  for (const [at, operation] of operations.entries()) {
    if (operation.op === 'savepoint') marks.push(at)
    else if (operation.op === 'keep') marks.pop()
    else if (operation.op === 'undo') {
      const mark = marks.pop()!
      for (const [other, write] of writes) if (other > mark) write.isUndone = true
    } else if (isWrite(operation)) {
      const value = operation.op === 'delete' ? undefined : operation.value
      writes.set(at, { place: placeOf(operation.table, operation.key), value, version: newVersion(), isUndone: false })
    }
  }
  return writes
}

type WriteOperation = Extract<Operation, { readonly op: 'put' | 'delete' | 'insert' | 'update' | 'compareAndSet' }>

/** Whether it wrote: conditions can fail. */
function isWrite(operation: Operation): operation is WriteOperation {
  switch (operation.op) {
    case 'put':
    case 'delete':
      return true
    case 'insert':
      return operation.result === 'done'
    case 'update':
      return operation.result !== 'ROW_ABSENT'
    case 'compareAndSet':
      return operation.result
    default:
      return false
  }
}

/** Stands for whatever nobody wrote. */
export const nobodys: VersionId = 'nobody'

/** Said of a row of which only that is known. */
export const present = 'present'

export class Versions {
  readonly #places = new Map<string, Place>()
  /** By row and value, or whatever the value; null for several. */
  readonly #installed = new Map<string, Map<Value | typeof present, VersionId | null>>()
  readonly #inVain = new Map<string, Map<Value | typeof present, VersionId>>()
  readonly #deleted = new Set<string>()
  readonly #entries = new Map<string, Map<string, EntryPlace>>()
  #inOrder: Readonly<Record<TableName, readonly Place[]>> | undefined

  /** Takes a write that was made, installed or not. */
  add({ place, value, version }: Write): void {
    this.#places.set(place.id, place)
    if (value !== undefined) nested(this.#inVain, place.id).set(value, version).set(present, version)
  }

  /** Takes an entry that a commit made or took away. */
  addEntry(write: Write & { readonly place: EntryPlace }): void {
    const { place } = write
    nested(this.#entries, place.table).set(place.id, place)
    this.#places.set(place.id, place)
    this.install(write)
  }

  install({ place, value, version }: Write): void {
    if (value === undefined) return void this.#deleted.add(place.id)
    const byValue = nested(this.#installed, place.id)
    for (const seen of [value, present] as const) byValue.set(seen, byValue.has(seen) ? null : version)
  }

  /** A row that nobody wrote can only be absent, and nothing depends on that. */
  isWritten(id: string): boolean {
    return this.#places.has(id)
  }

  /** Whether a commit deleted it: an absence may then be older or younger than that. */
  wasDeleted(id: string): boolean {
    return this.#deleted.has(id)
  }

  /** Undefined where several versions have the value, or any where no value is known. */
  versionOf(id: string, seen: Value | typeof present): VersionId | undefined {
    const installed = this.#installed.get(id)?.get(seen)
    if (installed !== undefined) return installed ?? undefined
    return this.#inVain.get(id)?.get(seen) ?? nobodys
  }

  /** The rows in a range that somebody wrote, by key. */
  within(table: TableName, range: Range): readonly Place[] {
    this.#inOrder ??= { strings: this.#sorted('strings'), pairs: this.#sorted('pairs') }
    return this.#inOrder[table].filter(({ key }) => isIn(key, range))
  }

  /** The entries of an index in a range that some commit made, in order. */
  entriesWithin(table: TableName, index: IndexName, range: IndexRange): readonly EntryPlace[] {
    const entries = [...(this.#entries.get(tableOfIndex(table, index))?.values() ?? [])].filter(({ indexKey }) => isInIndex(indexKey, range))
    return entries.sort((a, b) => (a.text < b.text ? -1 : 1))
  }

  #sorted(table: TableName): Place[] {
    return [...this.#places.values()].filter(place => place.table === table).sort((a, b) => (a.text < b.text ? -1 : 1))
  }
}

function nested<K, V>(outer: Map<string, Map<K, V>>, id: string): Map<K, V> {
  let inner = outer.get(id)
  if (!inner) outer.set(id, (inner = new Map<K, V>()))
  return inner
}
