/** Histories as events on registers: `["w", key, version]` and `["r", key, version]`, a version being the id of its write. */
import { type History, isWrite, type VersionId } from '../checker/history.js'
import { Items } from '../checker/items.js'
import { settleOutcomes } from '../checker/outcomes.js'
import { orderVersions } from '../checker/version-orders.js'
import { type EventFile, eventsOf, keyNames, rangeReason } from './events.js'
import { Absences, OwnWrites } from './reads.js'

export type RegisterOperation = readonly ['w', key: string, version: VersionId] | readonly ['r', key: string, version: VersionId | null]

/**
 * Loses nothing of item reads and writes but which delete an absence shows: a delete writes its version id as a value, and who
 * misses the row reads that id. Null is a row that was never there. Range reads are left out and listed, and so are absences
 * that several deletes explain.
 */
export function toRegisterEvents(history: History): EventFile<RegisterOperation> {
  const items = new Items(settleOutcomes(history))
  const absences = new Absences(items, orderVersions(items))
  const own = new OwnWrites()
  const nameOf = keyNames(history)
  return eventsOf<RegisterOperation>(history, {
    initial: history.initial.map(({ table, key, version }) => ['w', nameOf(table, key), version]),
    asked: operation => (operation[0] === 'r' ? ['r', operation[1], null] : operation),
    express(transaction, operation, leaveOut) {
      if (operation.op === 'range') return leaveOut(rangeReason)
      const key = nameOf(operation.table, operation.key)
      if (isWrite(operation)) {
        own.add(transaction, operation)
        return ['w', key, operation.version]
      }
      if (operation.version !== null) return ['r', key, operation.version]
      const mine = own.of(transaction, operation).at(-1)
      if (mine?.op === 'delete') return ['r', key, mine.version]
      const place = absences.placeFor(transaction, operation)
      return place === 'several' ? leaveOut('an absence that several deletes explain') : ['r', key, place?.version ?? null]
    },
  })
}
