/** What both kinds of events need to know about reads. */
import { isWrite, type ItemRead, type VersionId, type Write } from '../checker/history.js'
import type { Items } from '../checker/items.js'
import { type VersionOrders, writeAt } from '../checker/version-orders.js'

/** The writes that a transaction has made so far, for one transaction at a time. */
export class OwnWrites {
  #transaction = -1
  #writes: Write[] = []

  add(transaction: number, write: Write): void {
    if (this.#transaction !== transaction) this.#writes = []
    this.#transaction = transaction
    this.#writes.push(write)
  }

  /** Those of the row that is read, in program order. */
  of(transaction: number, { table, key }: ItemRead): readonly Write[] {
    return this.#transaction === transaction ? this.#writes.filter(write => write.table === table && write.key === key) : []
  }
}

/** Where a row was absent. */
export class Absences {
  readonly #items: Items
  readonly #orders: VersionOrders
  readonly #versions: readonly VersionId[]

  constructor(items: Items, orders: VersionOrders) {
    this.#items = items
    this.#orders = orders
    this.#versions = versionsOf(items)
  }

  /** The only absence that a read can show, with the id of its delete (null for a row that was not there yet); null for none. */
  placeFor(reader: number, { table, key }: ItemRead): { place: number; version: VersionId | null } | 'several' | null {
    const item = this.#items.find(table, key)
    if (item < 0) return { place: 0, version: null }
    const others = this.#orders.absences(item).filter(place => {
      const write = writeAt(this.#orders, item, place)
      return write < 0 || this.#items.writerOf(write) !== reader
    })
    const [place] = others
    if (place === undefined) return null
    if (others.length > 1) return 'several'
    const write = writeAt(this.#orders, item, place)
    return { place, version: write < 0 ? null : this.#versions[write]! }
  }
}

/** By write its version id. */
export const versionsOf = ({ transactions }: Items): readonly VersionId[] =>
  transactions.flatMap(({ operations }) => operations.filter(isWrite).map(({ version }) => version))
