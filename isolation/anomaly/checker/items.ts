/**
 * The items of a history and the order of their versions.
 *
 * Adya's model needs a version order per item, which no client sees. It is taken from the commit order, and cross-checked with
 * the final state: where the row that is left at the end is not the one that committed last, the final state is believed and
 * that version goes to the end of the order. (A write cycle is visible only this way.) A final row that no committed
 * transaction left is not an order at all and is reported as `impossible-state`.
 */
import type { History, RowVersion, TransactionRecord, VersionId, Write } from './history.js'

/** One write, with where it stands. */
export interface WriteRecord {
  readonly transaction: TransactionRecord
  readonly write: Write
  /** Index among the transaction's operations. */
  readonly position: number
  /** Whether it is its transaction's last write of the item: the only one that a commit installs. */
  readonly last: boolean
}

/** A version that committed transactions left behind; the first of an order is the initial one and has no writer. */
export interface Installed {
  readonly version: VersionId | null
  readonly absent: boolean
  readonly writer: TransactionRecord | null
}

export interface Item {
  readonly table: string
  readonly key: string
  readonly writes: readonly WriteRecord[]
  readonly order: readonly Installed[]
}

export interface Items {
  readonly byId: ReadonlyMap<string, Item>
  readonly byTable: ReadonlyMap<string, readonly Item[]>
  readonly byVersion: ReadonlyMap<VersionId, WriteRecord>
  readonly initialVersions: ReadonlyMap<VersionId, string>
  /** Final rows that no version order explains. */
  readonly impossible: readonly { readonly item: Item; readonly found: VersionId | null }[]
}

export const itemId = (table: string, key: string): string => `${table}\0${key}`

export function indexItems(history: History): Items {
  const writes = collectWrites(history.transactions)
  const initial = new Map(history.initial.map(row => [itemId(row.table, row.key), row]))
  const final = history.final && new Map(history.final.map(row => [itemId(row.table, row.key), row.version]))
  const names = new Map<string, { table: string; key: string }>()
  const note = (row: { table: string; key: string }): unknown => names.set(itemId(row.table, row.key), row)
  history.initial.forEach(note)
  for (const records of writes.values()) for (const { write } of records) note(write)
  history.final?.forEach(note)

  const byId = new Map<string, Item>()
  const byTable = new Map<string, Item[]>()
  const impossible: { item: Item; found: VersionId | null }[] = []
  for (const [id, { table, key }] of names) {
    const records = writes.get(id) ?? []
    const order = commitOrder(initial.get(id), records)
    const believable = final === undefined || moveToEnd(order, final.get(id) ?? null)
    const item: Item = { table, key, writes: records, order }
    byId.set(id, item)
    const siblings = byTable.get(table)
    if (siblings) siblings.push(item)
    else byTable.set(table, [item])
    if (!believable) impossible.push({ item, found: final?.get(id) ?? null })
  }
  const byVersion = new Map([...writes.values()].flat().map(record => [record.write.version, record]))
  const initialVersions = new Map(history.initial.map(row => [row.version, itemId(row.table, row.key)]))
  return { byId, byTable, byVersion, initialVersions, impossible }
}

function collectWrites(transactions: readonly TransactionRecord[]): Map<string, WriteRecord[]> {
  const byItem = new Map<string, WriteRecord[]>()
  for (const transaction of transactions) {
    const lastPosition = new Map<string, number>()
    transaction.operations.forEach((operation, position) => {
      if (isWrite(operation)) lastPosition.set(itemId(operation.table, operation.key), position)
    })
    transaction.operations.forEach((operation, position) => {
      if (!isWrite(operation)) return
      const id = itemId(operation.table, operation.key)
      const record: WriteRecord = { transaction, write: operation, position, last: lastPosition.get(id) === position }
      const records = byItem.get(id)
      if (records) records.push(record)
      else byItem.set(id, [record])
    })
  }
  return byItem
}

export const isWrite = (operation: { readonly op: string }): operation is Write => operation.op === 'put' || operation.op === 'delete'

function commitOrder(initial: RowVersion | undefined, records: readonly WriteRecord[]): Installed[] {
  const installed = records.filter(record => record.last && record.transaction.outcome === 'committed')
  installed.sort((a, b) => a.transaction.end - b.transaction.end)
  return [
    { version: initial?.version ?? null, absent: initial === undefined, writer: null },
    ...installed.map(({ write, transaction }) => ({ version: write.version, absent: write.op === 'delete', writer: transaction })),
  ]
}

/** Makes the version that is left at the end the last of the order. False where the order does not have it. */
function moveToEnd(order: Installed[], found: VersionId | null): boolean {
  const index = order.findLastIndex(({ version, absent }) => (found === null ? absent : version === found))
  if (index === -1 || (index === 0 && order.length > 1)) return false
  order.push(...order.splice(index, 1))
  return true
}
