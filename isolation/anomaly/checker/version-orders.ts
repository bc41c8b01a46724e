/**
 * The order of each item's versions. Adya's model needs one per item, which no client sees. It is known, in this order,
 *
 *   V-1  where the history lists it;
 *   V-2  where every writer has its place in the commit order, and the final state does not say otherwise (a store that writes
 *        in place does not install in commit order: there the final state is believed);
 *   V-3  where what clients saw leaves one order only: the initial version is the first; the one left at the end is the last;
 *        a transaction that read a version and then wrote the row installed a later one.
 *
 * Elsewhere it is unknown, and what V-3 says about pairs of versions is kept.
 *
 * The place of a version is its index in this order, the initial version or absence having place 0. Where the order is unknown
 * a place is only a name.
 */
import { isWrite, type VersionId } from './history.js'
import { initialCode, type Items } from './items.js'
import { group, groupAt, type Groups } from './numbers.js'

/** What V-3 says where it does not say everything. */
export interface PartialOrder {
  /** For a place those of the versions that its readers installed. */
  readonly after: ReadonlyMap<number, readonly number[]>
  /** The place of the version left at the end, or -1. */
  readonly last: number
}

export interface VersionOrders {
  /** Installed writes by item, in order. */
  readonly installed: Groups
  /** By write, 0 for one that was not installed. */
  readonly placeOf: Int32Array
  /** The items whose order is unknown. */
  readonly unknown: ReadonlyMap<number, PartialOrder>
  /** The places at which an item is absent, ascending. */
  readonly absences: (item: number) => readonly number[]
  /** Items whose final version cannot be the last. */
  readonly impossible: readonly number[]
}

/** The write at a place, -1 for the initial one and beyond the last. */
export function writeAt({ installed }: VersionOrders, item: number, place: number): number {
  const at = installed.starts[item]! + place - 1
  return place > 0 && at < installed.starts[item + 1]! ? installed.members[at]! : -1
}

export function orderVersions(items: Items): VersionOrders {
  const installed = installedWrites(items)
  const listed = listedOrders(items)
  const { final } = items.history
  const finals = final && new Map(final.map(({ table, key, version }) => [items.find(table, key), version]))
  const impossible: number[] = []
  const doubtful = new Map<number, number>()
  for (let item = 0; item < items.count; item++) {
    const writes = groupAt(installed, item)
    const list = listed.get(item)
    const isListed = list !== undefined && list.length === writes.length
    if (isListed) writes.set(list)
    const isKnown = isListed || isInCommitOrder(items, writes)
    const found = finals && (finals.get(item) ?? null)
    const last = found === undefined ? open : lastWrite(items, item, writes, found)
    const isContradicted = found !== undefined && writes.length > 0 && isOther(items, writes.at(-1)!, last)
    const isImpossible = last === impossibleLast || (isListed && isContradicted)
    if (isImpossible) impossible.push(item)
    if (!isKnown || (isContradicted && !isImpossible)) doubtful.set(item, Math.max(last, open))
  }
  const unknown = doubtful.size === 0 ? new Map<number, PartialOrder>() : inferOrders(items, installed, doubtful)
  const placeOf = new Int32Array(items.writes)
  for (let item = 0; item < items.count; item++) {
    for (let at = installed.starts[item]!; at < installed.starts[item + 1]!; at++) {
      placeOf[installed.members[at]!] = at - installed.starts[item]! + 1
    }
  }
  return { installed, placeOf, unknown, absences: absencesIn(items, installed), impossible }
}

function installedWrites(items: Items): Groups {
  const itemOf = new Int32Array(items.writes)
  for (let write = 0; write < itemOf.length; write++) itemOf[write] = items.isInstalled(write) ? items.itemOf(write) : -1
  return group(itemOf, items.count)
}

/** The lists of the history as writes, without what was not installed. */
function listedOrders(items: Items): Map<number, readonly number[]> {
  const lists = items.history.versionOrders ?? []
  return new Map(
    lists.map(({ table, key, versions }) => {
      const item = items.find(table, key)
      const writes = [...new Set(versions)].map(version => items.findVersion(version) ?? -1)
      return [item, writes.filter(write => write >= 0 && items.itemOf(write) === item && items.isInstalled(write))]
    }),
  )
}

/** Sorts writes by the commit order. False where not every writer has a place of its own in it. */
function isInCommitOrder(items: Items, writes: Int32Array): boolean {
  if (writes.length < 2) return true
  const commitOf = (write: number): number => items.transactions[items.writerOf(write)]?.commit ?? Number.NaN
  const isRising = (): boolean => writes.every((write, index) => index === 0 || commitOf(writes[index - 1]!) < commitOf(write))
  if (isRising()) return true
  if (writes.some(write => Number.isNaN(commitOf(write)))) return false
  writes.sort((a, b) => commitOf(a) - commitOf(b))
  return isRising()
}

const open = -1
const impossibleLast = -2

/** The write that was left at the end; `open` where it is none or could be several, `impossibleLast` where none can be. */
function lastWrite(items: Items, item: number, writes: Int32Array, found: VersionId | null): number {
  if (writes.length === 0) return found === items.initial[item] ? open : impossibleLast
  if (found === null) {
    const deletes = writes.filter(write => items.isDelete(write))
    if (deletes.length === 0) return impossibleLast
    return deletes.length === 1 ? deletes[0]! : open
  }
  const write = items.findVersion(found) ?? -1
  return write >= 0 && writes.includes(write) && !items.isDelete(write) ? write : impossibleLast
}

/** Whether the write that is said to be the last is another than the one left at the end, or than any of several deletes. */
const isOther = (items: Items, write: number, last: number): boolean => (last === open ? !items.isDelete(write) : last >= 0 && last !== write)

/** V-3: puts the installed writes of the items into order where only one is left, and returns the others. */
function inferOrders(items: Items, installed: Groups, doubtful: ReadonlyMap<number, number>): Map<number, PartialOrder> {
  const followed = readsBeforeWrites(items, doubtful)
  const unknown = new Map<number, PartialOrder>()
  for (const [item, last] of doubtful) {
    const writes = groupAt(installed, item)
    const placeOf = new Map([...writes].map((write, index) => [write, index + 1]))
    placeOf.set(initialCode(item), 0)
    const after = new Map<number, number[]>()
    for (const [earlier, later] of followed.get(item) ?? []) {
      const place = placeOf.get(earlier)
      const next = placeOf.get(later)
      if (place === undefined || next === undefined) continue
      const known = after.get(place)
      if (!known) after.set(place, [next])
      else if (!known.includes(next)) known.push(next)
    }
    const lastPlace = last < 0 ? -1 : placeOf.get(last)!
    // What was read may contradict itself or the final state: then only the final state counts.
    if (onlyOrder(writes.length, after, lastPlace) === 'contradiction') after.clear()
    const order = onlyOrder(writes.length, after, lastPlace)
    if (typeof order === 'string') unknown.set(item, { after, last: lastPlace })
    else writes.set(order.map(place => writes[place - 1]!))
  }
  return unknown
}

/** By item: the versions that transactions read, each with the version that the same transaction then installed. */
function readsBeforeWrites(items: Items, doubtful: ReadonlyMap<number, number>): Map<number, (readonly [number, number])[]> {
  const found = new Map<number, (readonly [number, number])[]>([...doubtful.keys()].map(item => [item, []]))
  for (const [transaction, { operations }] of items.transactions.entries()) {
    if (!items.isCommitted(transaction) || items.firstWrite[transaction] === items.firstWrite[transaction + 1]) continue
    const written = new Set<number>()
    const note = (table: string, key: string, version: VersionId | null): void => {
      const item = items.find(table, key)
      const later = doubtful.has(item) && !written.has(item) ? items.lastWriteOf(transaction, item) : -1
      const earlier = version === null || later < 0 ? undefined : items.findVersion(version)
      if (earlier === undefined) return
      if (earlier >= 0 && items.writerOf(earlier) === transaction) return
      // What a writer replaced before it committed stands for what it left.
      const left = earlier >= 0 ? items.lastWriteOf(items.writerOf(earlier), item) : earlier
      found.get(item)?.push([left, later])
    }
    for (const operation of operations) {
      if (isWrite(operation)) written.add(items.find(operation.table, operation.key))
      else if (operation.op === 'get') note(operation.table, operation.key, operation.version)
      else for (const { key, version } of operation.rows) note(operation.table, key, version)
    }
  }
  return found
}

/** The only order of places 1 to `count` that goes with `after` and ends with `last`. */
function onlyOrder(count: number, after: PartialOrder['after'], last: number): readonly number[] | 'several' | 'contradiction' {
  const waitsFor = new Int32Array(count + 1)
  for (const [place, later] of after) if (place > 0) for (const next of later) waitsFor[next]!++
  const order: number[] = []
  const free = Array.from({ length: count }, (_, index) => index + 1).filter(place => waitsFor[place] === 0 && place !== last)
  let isOnly = true
  for (let place = free.pop(); place !== undefined; place = free.pop()) {
    isOnly &&= free.length === 0
    order.push(place)
    for (const next of after.get(place) ?? []) if (--waitsFor[next]! === 0 && next !== last) free.push(next)
    if (free.length === 0 && order.length === count - 1 && last > 0 && waitsFor[last] === 0) free.push(last)
  }
  if (order.length < count) return 'contradiction'
  return isOnly ? order : 'several'
}

function absencesIn(items: Items, installed: Groups): VersionOrders['absences'] {
  const known = new Map<number, readonly number[]>()
  return item => {
    let places = known.get(item)
    if (!places) {
      const writes = groupAt(installed, item)
      const deleted = Array.from(writes.keys()).filter(index => items.isDelete(writes[index]!))
      places = [...(items.initial[item] === null ? [0] : []), ...deleted.map(index => index + 1)]
      known.set(item, places)
    }
    return places
  }
}
