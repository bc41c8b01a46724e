/**
 * What each committed transaction observed, one item at a time: a `get` observes its row, a range observes every known row of
 * its consumed interval, absent ones included. Each observation is matched with a place in the item's version order, or named
 * as something that should not have been seen.
 */
import { consumedBy, contains, type History, type RangeRead, type TransactionRecord, type VersionId } from './history.js'
import { isWrite, type Item, itemId, type Items } from './items.js'
import type { Phenomenon } from './phenomena.js'

export interface Observation {
  readonly reader: TransactionRecord
  readonly item: Item
  readonly seen: VersionId | null
  /** `range` where the row was missing from a range; a row that a range returned was seen like any other. */
  readonly via: 'item' | 'range'
  /** Places in the item's version order that the observation can mean, likeliest first: several for a row absent more than once. */
  readonly places: readonly number[]
}

export interface BadRead {
  readonly phenomenon: Phenomenon
  readonly reader: TransactionRecord
  /** Null where nobody in this history wrote it. */
  readonly writer: TransactionRecord | null
  readonly table: string
  readonly key: string
}

export interface Observations {
  readonly good: readonly Observation[]
  readonly bad: readonly BadRead[]
}

type Sink = { good: Observation[]; bad: BadRead[] }

export function observe(history: History, items: Items): Observations {
  const sink: Sink = { good: [], bad: [] }
  for (const transaction of history.transactions) {
    if (transaction.outcome === 'committed') observeTransaction(transaction, items, sink)
  }
  return sink
}

function observeTransaction(reader: TransactionRecord, items: Items, sink: Sink): void {
  const own = new Map<string, VersionId | null>()
  const look = (table: string, key: string, seen: VersionId | null, inRange: boolean): void => {
    const id = itemId(table, key)
    const via = inRange && seen === null ? 'range' : 'item'
    match({ reader, item: items.byId.get(id), table, key, seen, via, mine: own.get(id) }, items, sink)
  }
  for (const operation of reader.operations) {
    if (isWrite(operation)) {
      own.set(itemId(operation.table, operation.key), operation.op === 'delete' ? null : operation.version)
    } else if (operation.op === 'get') {
      look(operation.table, operation.key, operation.version, false)
    } else {
      if (!isWellFormed(operation)) sink.bad.push(badRead('impossible-read', reader, null, operation.table, operation.rows[0]?.key ?? ''))
      const consumed = consumedBy(operation)
      const found = new Map(operation.rows.map(row => [row.key, row.version]))
      for (const [key, version] of found) look(operation.table, key, version, true)
      for (const { key } of items.byTable.get(operation.table) ?? []) {
        if (!found.has(key) && contains(consumed, key)) look(operation.table, key, null, true)
      }
    }
  }
}

interface Look {
  readonly reader: TransactionRecord
  readonly item: Item | undefined
  readonly table: string
  readonly key: string
  readonly seen: VersionId | null
  readonly via: 'item' | 'range'
  /** What the reader itself wrote last, null for a delete, undefined where it wrote nothing yet. */
  readonly mine: VersionId | null | undefined
}

function match(look: Look, items: Items, sink: Sink): void {
  const { reader, item, table, key, seen, via, mine } = look
  const report = (phenomenon: Phenomenon, writer: TransactionRecord | null): unknown =>
    sink.bad.push(badRead(phenomenon, reader, writer, table, key))
  if (mine !== undefined && mine === seen) return
  if (mine !== undefined) report('own-write-missed', reader)
  if (!item) {
    // No write, no initial row: absence is the only thing to see, and nothing can depend on it.
    if (seen !== null) report('impossible-read', null)
    return
  }
  if (seen === null) {
    const places = absences(item, reader)
    if (places.length > 0) sink.good.push({ reader, item, seen, via, places })
    else reportAbsence(item, reader, report)
    return
  }
  if (items.initialVersions.get(seen) === itemId(table, key)) {
    sink.good.push({ reader, item, seen, via, places: [item.order.findIndex(installed => installed.version === seen)] })
    return
  }
  const source = items.byVersion.get(seen)
  if (!source || source.write.table !== table || source.write.key !== key || source.write.op === 'delete') {
    report('impossible-read', null)
  } else if (source.transaction === reader) {
    // Its own, but not its latest: an earlier one is reported above, a later one is a read from the future.
    if (mine === undefined) report('impossible-read', reader)
  } else if (source.transaction.outcome === 'aborted') {
    report('G1a', source.transaction)
  } else {
    if (!source.last) report('G1b', source.transaction)
    const place = item.order.findIndex(installed => installed.writer === source.transaction)
    sink.good.push({ reader, item, seen, via, places: [place] })
  }
}

/**
 * The places where the row is absent, likeliest first: the newest that was committed when the reader began, then older ones,
 * then newer ones. What the reader itself deletes is not what it saw: either it had not yet, or it saw its own.
 */
function absences({ order }: Item, reader: TransactionRecord): number[] {
  const places = [...order.keys()].filter(place => order[place]?.absent && order[place].writer !== reader)
  const committed = places.filter(place => (order[place]?.writer?.end ?? -1) < reader.begin)
  return [...committed.toReversed(), ...places.filter(place => !committed.includes(place))]
}

/** No committed transaction left the row absent: it was a delete that aborted or was replaced, or nobody's. */
function reportAbsence(
  item: Item,
  reader: TransactionRecord,
  report: (phenomenon: Phenomenon, writer: TransactionRecord | null) => unknown,
): void {
  const source = item.writes.find(({ write, transaction }) => write.op === 'delete' && transaction !== reader)
  if (!source) report('impossible-read', null)
  else report(source.transaction.outcome === 'aborted' ? 'G1a' : 'G1b', source.transaction)
}

function badRead(
  phenomenon: Phenomenon,
  reader: TransactionRecord,
  writer: TransactionRecord | null,
  table: string,
  key: string,
): BadRead {
  return { phenomenon, reader, writer, table, key }
}

function isWellFormed({ rows, bounds, limit, reverse }: RangeRead): boolean {
  if (limit !== undefined && rows.length > limit) return false
  return rows.every(({ key }, i) => {
    const before = rows[i - 1]
    return contains(bounds, key) && (before === undefined || (reverse ? before.key > key : before.key < key))
  })
}
