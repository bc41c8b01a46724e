/** Histories as events on lists: a write appends its version id, a read returns all version ids up to the one it saw. */
import { type History, isWrite, type ItemRead, type VersionId } from '../checker/history.js'
import { Items } from '../checker/items.js'
import { settleOutcomes } from '../checker/outcomes.js'
import { orderVersions, type VersionOrders, writeAt } from '../checker/version-orders.js'
import { type EventFile, eventsOf, keyNames, rangeReason } from './events.js'
import { Absences, OwnWrites, versionsOf } from './reads.js'

export type ListOperation =
  | readonly ['append', key: string, version: VersionId]
  | readonly ['r', key: string, versions: readonly VersionId[] | null]

type Unlisted = 'unknown order' | 'aborted' | 'impossible' | 'several'

const reasons: Readonly<Record<Unlisted, string>> = {
  'unknown order': 'a read of a row whose version order is not known: nothing shows the list before what was seen',
  'aborted': 'a read of what an aborted transaction wrote: it has no place in the version order',
  'impossible': 'a read of a version that nobody wrote, or of an absence that nobody left',
  'several': 'an absence that several deletes explain',
}

/**
 * Loses nothing of item reads and writes where version orders are known: the last element of a list is the version that was
 * seen; a delete appends its version id too, so a list that ends with one, or is empty, is an absence. Range reads are left out
 * and listed, and so are reads that no list expresses. Lists grow with the versions of a row, and the file with their square.
 */
export function toListAppendEvents(history: History): EventFile<ListOperation> {
  const items = new Items(settleOutcomes(history))
  const lists = new Lists(items, orderVersions(items))
  const nameOf = keyNames(history)
  return eventsOf<ListOperation>(history, {
    initial: history.initial.map(({ table, key, version }) => ['append', nameOf(table, key), version]),
    asked: operation => (operation[0] === 'r' ? ['r', operation[1], null] : operation),
    express(transaction, operation, leaveOut) {
      if (operation.op === 'range') return leaveOut(rangeReason)
      const key = nameOf(operation.table, operation.key)
      if (isWrite(operation)) {
        lists.own.add(transaction, operation)
        return ['append', key, operation.version]
      }
      const list = lists.seenBy(transaction, operation)
      return typeof list === 'string' ? leaveOut(reasons[list]) : ['r', key, list]
    },
  })
}

class Lists {
  readonly own = new OwnWrites()
  readonly #items: Items
  readonly #orders: VersionOrders
  readonly #absences: Absences
  readonly #versions: readonly VersionId[]
  /** What the transaction at hand saw of an item before it wrote it itself. */
  readonly #before = new Map<number, readonly VersionId[]>()
  #transaction = -1

  constructor(items: Items, orders: VersionOrders) {
    this.#items = items
    this.#orders = orders
    this.#absences = new Absences(items, orders)
    this.#versions = versionsOf(items)
  }

  seenBy(transaction: number, read: ItemRead): readonly VersionId[] | Unlisted {
    const item = this.#items.find(read.table, read.key)
    if (item < 0) return read.version === null ? [] : 'impossible'
    if (this.#transaction !== transaction) this.#before.clear()
    this.#transaction = transaction
    const own = this.own.of(transaction, read)
    const at = own.findLastIndex(({ op, version }) => (read.version === null ? op === 'delete' : version === read.version))
    if (at >= 0) {
      const before = this.#before.get(item) ?? this.#beforeOwn(transaction, item)
      return typeof before === 'string' ? before : [...before, ...own.slice(0, at + 1).map(({ version }) => version)]
    }
    const list = this.#foreign(transaction, item, read)
    if (typeof list !== 'string') this.#before.set(item, list)
    return list
  }

  #foreign(transaction: number, item: number, read: ItemRead): readonly VersionId[] | Unlisted {
    if (read.version === null) {
      const place = this.#absences.placeFor(transaction, read)
      if (place === 'several' || place === null) return place ?? 'impossible'
      return this.#upTo(item, place.place, Number.POSITIVE_INFINITY)
    }
    const write = this.#items.findVersion(read.version)
    if (write === undefined || (write >= 0 && (this.#items.itemOf(write) !== item || this.#items.isDelete(write)))) return 'impossible'
    if (write < 0) return read.version === this.#items.initial[item] ? [read.version] : 'impossible'
    if (!this.#items.isCommitted(this.#items.writerOf(write))) return 'aborted'
    return this.#upTo(item, this.#orders.placeOf[this.#items.lastWriteOf(this.#items.writerOf(write), item)]!, write)
  }

  /** What a transaction that had not read the item appended to: all that was installed before its own. */
  #beforeOwn(transaction: number, item: number): readonly VersionId[] | Unlisted {
    if (!this.#items.isCommitted(transaction)) return 'aborted'
    return this.#upTo(item, this.#orders.placeOf[this.#items.lastWriteOf(transaction, item)]! - 1, Number.POSITIVE_INFINITY)
  }

  /** All that was appended up to a place; of the writer at that place, no write after `last`. */
  #upTo(item: number, place: number, last: number): readonly VersionId[] | Unlisted {
    if (this.#orders.unknown.has(item) && place > 0) return 'unknown order'
    const initial = this.#items.initial[item]
    const list = initial === null || initial === undefined ? [] : [initial]
    for (let at = 1; at <= place; at++) {
      const writer = this.#items.writerOf(writeAt(this.#orders, item, at))
      for (let write = this.#items.firstWrite[writer]!; write < this.#items.firstWrite[writer + 1]!; write++) {
        if (this.#items.itemOf(write) === item && (at < place || write <= last)) list.push(this.#versions[write]!)
      }
    }
    return list
  }
}
