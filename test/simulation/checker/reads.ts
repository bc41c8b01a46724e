/**
 * What one attempt did, as operations of the history format. An answer is taken apart into looks at single rows, and a look that cannot be told in versions is left out. To
 * leave one out can hide a phenomenon and never make one. Left out are
 *
 *   - a value that several versions of the row have;
 *   - what only says that a row is there (`has`, `count`, an `insert` that fails), where it was put there more than once;
 *   - rows that the attempt itself has written, where the write came to nothing, or has deleted with a range: nothing says which rows that held.
 */
import type { Operation as Told, VersionId } from '../../../isolation/anomaly/index.js'
import { keyText, type Key, type Range, type TableName, type Value } from '../model.js'
import type { Operation } from '../records.js'
import { nobodys, placeId, placeOf, present, type Place, type Versions, type Write } from './versions.js'

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
        return
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
    const rows = steps.filter(row => row !== undefined)
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
    const last = limit !== undefined && rows.length >= limit ? keyText(rows.at(-1)![0]) : undefined
    const isConsumed = ({ text }: Place): boolean => last === undefined || (reverse ? text >= last : text <= last)
    const inside = versions.within(table, range)
    const found = new Map(rows.map(([key, value]) => [keyText(key), value]))
    const seen = inside.filter(isConsumed).map(place => ({ place, version: this.#versionSeen(place.id, found.get(place.text)) }))
    for (const text of found.keys()) if (!versions.isWritten(placeId(table, text))) this.told.push({ op: 'get', table, key: text, version: nobodys })
    if (seen.length === 0) return
    if (seen.some(({ version }) => version === undefined)) return this.#pieces(table, seen)
    const versionAt = new Map(seen.map(({ place, version }) => [place.text, version]))
    const told = rows.map(([key]) => ({ key: keyText(key), version: versionAt.get(keyText(key)) ?? nobodys }))
    this.told.push({ op: 'range', table, bounds: { gte: inside[0]!.text, lte: inside.at(-1)!.text }, ...(limit !== undefined && { limit }), reverse, rows: told })
  }

  /** What of a range can be told: its stretches between the rows that cannot. */
  #pieces(table: TableName, seen: readonly { readonly place: Place; readonly version: VersionId | null | undefined }[]): void {
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
