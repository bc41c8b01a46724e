/** Edges and bad reads as sentences that name transactions and rows. */
import type { Edge } from './graph.js'
import type { History } from './history.js'
import type { BadRead } from './observations.js'

/** A row's name: its key, with its table in front where the history has more than one. */
export function nameRow(history: History, table: string, key: string): string {
  const tables = new Set(history.initial.map(row => row.table))
  for (const { operations } of history.transactions) for (const operation of operations) tables.add(operation.table)
  return tables.size > 1 ? `${table}/${key}` : key
}

/** "T1 before T2, because T2 read what T1 wrote to x." */
export function sentenceFor(history: History, { from, to, kind, via, table, key, deletes }: Edge): string {
  const row = nameRow(history, table, key)
  const why = {
    ww: `${to} ${deletes ? 'deleted' : 'overwrote'} what ${from} had written to ${row}`,
    wr: deletes ? `${to} did not find ${row}, which ${from} deleted` : `${to} read what ${from} wrote to ${row}`,
    rw:
      via === 'range'
        ? `${from} searched the range that ${row} belongs to and did not find the row, which ${to} wrote`
        : `${from} read ${row} as it was before ${to} ${deletes ? 'deleted' : 'wrote'} it`,
  }[kind]
  return `${from} before ${to}, because ${why}.`
}

export function sentenceForRead(history: History, { phenomenon, reader, writer, table, key }: BadRead): string {
  const row = nameRow(history, table, key)
  switch (phenomenon) {
    case 'G1a':
      return `${reader.id} read what ${writer?.id ?? 'another transaction'} had done to ${row}, and committed; ${writer?.id ?? 'it'} aborted.`
    case 'G1b':
      return `${reader.id} read a version of ${row} that ${writer?.id ?? 'its writer'} replaced before committing.`
    case 'own-write-missed':
      return `${reader.id} read ${row} and did not see what it had written there itself.`
    default:
      return `${reader.id} read ${row} as nobody had written it, or a range out of its bounds or order.`
  }
}
