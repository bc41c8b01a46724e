/**
 * What one attempt did, as operations of the history format. An answer is taken apart into looks at single rows, and a look that cannot be told in versions is left out. To
 * leave one out can hide a phenomenon and never make one. Left out are
 *
 *   - a value that several versions of the row have;
 *   - what only says that a row is there (`has`, `count`, an `insert` that fails), where it was put there more than once;
 *   - rows that the attempt itself has written, where the write came to nothing, or has deleted with a range: nothing says which rows that held;
 *   - entries that an index has for a row which the attempt itself has written.
 *
 * An index is a table of its own, whose rows are its entries: a commit that moves a row from one index key to another deletes an entry and puts one. Reading through an index
 * is reading a range of it, of which presence is what is seen, and after that each row that came of it. So a phantom in an index is one in that table.
 */
import type { Operation as Told, VersionId } from '../../../isolation/anomaly/index.js'
import { keyText, type IndexRange, type Key, type Range, type TableName, type Value } from '../model.js'
import { nameOf, type IndexQuery, type IndexRow, type KeyValue, type Operation } from '../records.js'
import { entryPlaceOf, nobodys, placeOf, present, tableOfIndex, type EntryPlace, type Place, type Versions, type Write } from './versions.js'

/** Looks at rows that somebody wrote: all, those told, of them the absences that can mean several, and those left out by the reason. */
export type Looks = Record<'all' | 'told' | 'vague' | 'shared' | 'presence' | 'own', number>

export const newLooks = (): Looks => ({ all: 0, told: 0, vague: 0, shared: 0, presence: 0, own: 0 })

/** What the attempt itself did to a row: a write, or perhaps a deletion of a range. */
type Own = Write | 'perhaps deleted'

export interface TellOptions {
  readonly versions: Versions
  readonly writes: ReadonlyMap<number, Write>
  /** Whether its writes took effect; else only its reads are told. */
  readonly isCommitted: boolean
  readonly looks: Looks
  /** Rows of which nothing is told. */
  readonly withheld: ReadonlySet<string>
}

interface Scan {
  readonly table: string
  readonly limit: number | undefined
  readonly reverse: boolean
  /** Not all that was found can be told. */
  readonly isPartly?: boolean
}

export function tell(operations: readonly Operation[], options: TellOptions): Told[] {
  const teller = new Teller(options)
  for (const [at, operation] of operations.entries()) teller.tell(operation, at, operations)
  return teller.told
}

class Teller {
  readonly told: Told[] = []
  readonly #options: TellOptions
  #own = new Map<string, Own>()
  readonly #marks: Map<string, Own>[] = []

  constructor(options: TellOptions) {
    this.#options = options
  }

  tell(operation: Operation, at: number, all: readonly Operation[]): void {
    switch (operation.op) {
      case 'savepoint':
        return void this.#marks.push(new Map(this.#own))
      case 'keep':
        return void this.#marks.pop()
      case 'undo':
        this.#own = this.#marks.pop()!
        return
      case 'get':
        return this.#look(placeOf(operation.table, operation.key), operation.result)
      case 'getMany':
        return operation.keys.forEach((key, i) => this.#look(placeOf(operation.table, key), operation.result[i]))
      case 'has':
        return this.#look(placeOf(operation.table, operation.key), operation.result ? present : undefined)
      case 'open':
        return this.#iteration(operation, all.slice(at + 1))
      case 'next':
      case 'index refused':
        return
      case 'index get':
        return this.#got(operation)
      case 'index open':
        return this.#indexIteration(operation, all.slice(at + 1))
      case 'index range':
        return this.#indexScan(operation, operation.range, operation.result)
      case 'index first':
      case 'index last': {
        const { limit = 1, reverse = false } = operation.range
        const range = { ...operation.range, limit: Math.min(1, limit), reverse: operation.op === 'index last' ? !reverse : reverse }
        return this.#indexScan(operation, range, operation.result === undefined ? [] : [operation.result])
      }
      case 'index count':
        return this.#indexCounted(operation)
      case 'range':
      case 'first':
      case 'last':
      case 'count':
        return this.#ranged(operation)
      case 'deleteRange':
        this.#counted(operation)
        for (const { id } of this.#options.versions.within(operation.table, operation.range)) this.#own.set(id, 'perhaps deleted')
        return
      default:
        return this.#write(operation, at)
    }
  }

  #ranged(operation: Extract<Operation, { op: 'range' | 'first' | 'last' | 'count' }>): void {
    if (operation.op === 'count') return this.#counted(operation)
    const { op, table, range, result } = operation
    if (op === 'range') return this.#scan(table, range, result)
    const { limit = 1, reverse = false } = range
    this.#scan(table, { ...range, limit: Math.min(1, limit), reverse: op === 'last' ? !reverse : reverse }, result === undefined ? [] : [result])
  }

  /** Of rows that were counted it is known which ones were there if all were, or none. */
  #counted({ table, range, result }: { readonly table: TableName; readonly range: Range; readonly result: number }): void {
    const inside = this.#options.versions.within(table, range)
    if (result === 0) this.#scan(table, range, [])
    else if (result === inside.length) this.#scan(table, range, (range.reverse ? inside.toReversed() : inside).map(({ key }) => [key, present]))
    else this.#hint(inside.length)
  }

  /** An iterator shows what was there when it was opened, own writes included: a range, with the rows that it was asked for. */
  #iteration({ table, range, iterator }: Extract<Operation, { op: 'open' }>, later: readonly Operation[]): void {
    const steps = later.flatMap(operation => (operation.op === 'next' && operation.iterator === iterator ? [operation.result] : []))
    const rows = steps.filter(row => row !== undefined) as KeyValue[]
    this.#scan(table, rows.length < steps.length ? range : { ...range, limit: rows.length }, rows)
  }

  #write(operation: Extract<Operation, { op: 'put' | 'delete' | 'insert' | 'update' | 'compareAndSet' }>, at: number): void {
    const place = placeOf(operation.table, operation.key)
    if (operation.op === 'insert') this.#look(place, operation.result === 'done' ? undefined : present)
    else if (operation.op === 'update') this.#look(place, operation.result === 'ROW_ABSENT' ? undefined : operation.result)
    else if (operation.op === 'compareAndSet') {
      if (operation.result) this.#look(place, operation.expected)
      else if (operation.expected === undefined) this.#look(place, present)
      else this.#hint(1)
    }
    const write = this.#options.writes.get(at)
    if (write === undefined) return
    this.#own.set(place.id, write)
    if (!this.#options.isCommitted || write.isUndone || this.#options.withheld.has(place.id)) return
    this.told.push({ op: write.value === undefined ? 'delete' : 'put', table: place.table, key: place.text, version: write.version })
  }

  #look(place: Place, seen: Value | typeof present | undefined): void {
    if (seen === undefined && !this.#options.versions.isWritten(place.id)) return
    const version = this.#versionSeen(place.id, seen)
    if (version !== undefined) this.told.push({ op: 'get', table: place.table, key: place.text, version })
  }

  /** Null for an absence; undefined where it cannot be told. */
  #versionSeen(id: string, seen: Value | typeof present | undefined): VersionId | null | undefined {
    const { versions, isCommitted, looks, withheld } = this.#options
    const own = this.#own.get(id)
    looks.all++
    if (withheld.has(id) || own === 'perhaps deleted' || (own !== undefined && (!isCommitted || own.isUndone))) {
      looks.own++
      return undefined
    }
    const isOwn = own !== undefined && (own.value === seen || (own.value !== undefined && seen === present))
    const version = seen === undefined ? null : isOwn ? own.version : versions.versionOf(id, seen)
    if (version === undefined) looks[seen === present ? 'presence' : 'shared']++
    else looks.told++
    if (version === null && own === undefined && versions.wasDeleted(id)) looks.vague++
    return version
  }

  #hint(looks: number): void {
    this.#options.looks.all += looks
    this.#options.looks.presence += looks
  }

  #scan(table: TableName, range: Range, rows: readonly (readonly [Key, Value | typeof present])[]): void {
    const { limit, reverse = false } = range
    if (limit === 0) return
    const { versions } = this.#options
    const found = new Map(rows.map(([key, value]) => [keyText(key), value]))
    for (const [key] of rows) if (!versions.isWritten(placeOf(table, key).id)) this.told.push({ op: 'get', table, key: keyText(key), version: nobodys })
    this.#tellRange({ table, limit, reverse }, versions.within(table, range), [...found.keys()], ({ id, text }) => this.#versionSeen(id, found.get(text)))
  }

  /** A range over `inside`, in which `found` was found, in that order. */
  #tellRange<P extends Place>({ table, limit, reverse, isPartly = false }: Scan, inside: readonly P[], found: readonly string[], versionSeen: (place: P) => VersionId | null | undefined): void {
    const last = limit !== undefined && found.length >= limit ? found.at(-1) : undefined
    const isConsumed = ({ text }: Place): boolean => last === undefined || (reverse ? text >= last : text <= last)
    const seen = inside.filter(isConsumed).map(place => ({ place, version: versionSeen(place) }))
    if (seen.length === 0) return
    if (isPartly || seen.some(({ version }) => version === undefined)) return this.#pieces(table, seen)
    const versionAt = new Map(seen.map(({ place, version }) => [place.text, version]))
    const rows = found.map(key => ({ key, version: versionAt.get(key) ?? nobodys }))
    this.told.push({ op: 'range', table, bounds: { gte: inside[0]!.text, lte: inside.at(-1)!.text }, ...(limit !== undefined && { limit }), reverse, rows })
  }

  #got({ table, index, indexKey, result }: Extract<Operation, { op: 'index get' }>): void {
    const rows = result === undefined ? [] : [result]
    // Another row that has the key too is one that the attempt wrote, or else this one is.
    if (result === undefined || !this.#own.has(placeOf(table, result[1]).id)) this.#indexScan({ table, index }, { gte: indexKey, lte: indexKey }, rows)
  }

  #indexIteration({ table, index, range, iterator }: Extract<Operation, { op: 'index open' }>, later: readonly Operation[]): void {
    const steps = later.flatMap(operation => (operation.op === 'next' && operation.iterator === iterator ? [operation.result] : []))
    const rows = steps.filter(row => row !== undefined) as IndexRow[]
    this.#indexScan({ table, index }, rows.length < steps.length ? range : { ...range, limit: rows.length }, rows)
  }

  #indexCounted({ table, index, range, result }: Extract<Operation, { op: 'index count' }>): void {
    const inside = this.#options.versions.entriesWithin(table, nameOf(index), range)
    const isOwn = [...this.#own.keys()].some(id => id.startsWith(`${table} `))
    if (result === 0) this.#indexScan({ table, index }, range, [])
    else if (result === inside.length && !isOwn) this.#indexScan({ table, index }, range, (range.reverse ? inside.toReversed() : inside).map(({ indexKey, key }) => [indexKey, key]))
    else this.#hint(inside.length)
  }

  /** The entries, and the rows that came of them. */
  #indexScan({ table, index }: Pick<IndexQuery, 'table' | 'index'>, { limit, reverse = false, ...bounds }: IndexRange, rows: readonly IndexRow[]): void {
    if (limit === 0) return
    const { versions } = this.#options
    const name = nameOf(index)
    const places = rows.map(([indexKey, key]) => entryPlaceOf(table, name, indexKey, key))
    const found = new Set(places.map(({ text }) => text))
    for (const { id, text, table: indexTable, rowId } of places) {
      if (!versions.isWritten(id) && !this.#own.has(rowId)) this.told.push({ op: 'get', table: indexTable, key: text, version: nobodys })
    }
    const scan = { table: tableOfIndex(table, name), limit, reverse, isPartly: places.some(({ rowId }) => this.#own.has(rowId)) }
    this.#tellRange(scan, versions.entriesWithin(table, name, bounds), [...found], place => this.#entrySeen(place, found.has(place.text)))
    for (const [, key, value] of rows) if (value !== undefined) this.#look(placeOf(table, key), value)
  }

  /** As `#versionSeen`. */
  #entrySeen({ id, rowId }: EntryPlace, isThere: boolean): VersionId | null | undefined {
    const { versions, looks, withheld } = this.#options
    looks.all++
    if (withheld.has(rowId) || this.#own.has(rowId)) {
      looks.own++
      return undefined
    }
    const version = isThere ? versions.versionOf(id, present) : null
    if (version === undefined) looks.presence++
    else looks.told++
    if (version === null && versions.wasDeleted(id)) looks.vague++
    return version
  }

  /** What of a range can be told: its stretches between the rows that cannot. */
  #pieces(table: string, seen: readonly { readonly place: Place; readonly version: VersionId | null | undefined }[]): void {
    let piece: { readonly key: string; readonly version: VersionId | null }[] = []
    const end = (): void => {
      const rows = piece.flatMap(({ key, version }) => (version === null ? [] : [{ key, version }]))
      if (piece.length > 0) this.told.push({ op: 'range', table, bounds: { gte: piece[0]!.key, lte: piece.at(-1)!.key }, rows })
      piece = []
    }
    for (const { place, version } of seen) {
      if (version === undefined) end()
      else piece.push({ key: place.text, version })
    }
    end()
  }
}
