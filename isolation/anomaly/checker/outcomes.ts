/** Decides the outcomes that no client was told, by what became of the writes. */
import { type History, isWrite, type TransactionRecord, type VersionId } from './history.js'

/** The same history in which every transaction has committed or aborted. */
export function settleOutcomes(history: History): History {
  const open = new Map<VersionId, TransactionRecord>()
  for (const transaction of history.transactions) {
    if (transaction.outcome !== 'unknown') continue
    for (const operation of transaction.operations) if (isWrite(operation)) open.set(operation.version, transaction)
  }
  const lasted = new Set<TransactionRecord>()
  // A transaction that turns out to have committed vouches for what it read in turn.
  const vouching = history.transactions.filter(({ outcome }) => outcome === 'committed')
  const show = (version: VersionId | null): void => {
    const writer = version === null ? undefined : open.get(version)
    if (!writer || lasted.has(writer)) return
    lasted.add(writer)
    vouching.push(writer)
  }
  if (open.size > 0) {
    for (const { version } of history.final ?? []) show(version)
    for (const { versions } of history.versionOrders ?? []) versions.forEach(show)
    for (const { operations } of vouching) {
      for (const operation of operations) {
        if (operation.op === 'get') show(operation.version)
        else if (operation.op === 'range') for (const row of operation.rows) show(row.version)
      }
    }
  }
  const settle = (transaction: TransactionRecord): TransactionRecord =>
    transaction.outcome === 'unknown' ? { ...transaction, outcome: lasted.has(transaction) ? 'committed' : 'aborted' } : transaction
  return history.transactions.some(({ outcome }) => outcome === 'unknown')
    ? { ...history, transactions: history.transactions.map(settle) }
    : history
}
