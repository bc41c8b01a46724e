/** Edges and bad reads as sentences that name transactions and rows. */
import type { LostUpdate } from './dependencies.js'
import type { Edge } from './graph.js'
import type { Items } from './items.js'
import type { BadRead } from './observations.js'

/** A row's name: its key, with its table in front where the history has more than one. */
export type NameRow = (table: string, key: string) => string

export function rowNames({ history }: Items): NameRow {
  const tables = new Set<string>()
  for (const { table } of history.initial) tables.add(table)
  for (const { operations } of history.transactions) for (const { table } of operations) tables.add(table)
  return (table, key) => (tables.size > 1 ? `${table}/${key}` : key)
}

/** "T1 before T2, because T2 read what T1 wrote to x." */
export function sentenceFor(nameRow: NameRow, edge: Edge): string {
  const { from, to } = edge
  if (edge.kind === 'rt') return `${from} before ${to}, because ${from} was acknowledged before ${to} began.`
  const row = nameRow(edge.table, edge.key)
  const { deletes } = edge
  const why = {
    ww: `${to} ${deletes ? 'deleted' : 'overwrote'} what ${from} had written to ${row}`,
    wr: deletes ? `${to} did not find ${row}, which ${from} deleted` : `${to} read what ${from} wrote to ${row}`,
    rw:
      edge.via === 'range'
        ? `${from} searched the range that ${row} belongs to and did not find the row, which ${to} wrote`
        : `${from} read ${row} as it was before ${to} ${deletes ? 'deleted' : 'wrote'} it`,
  }[edge.kind]
  return `${from} before ${to}, because ${why}.`
}

export function sentenceForRead({ transactions }: Items, nameRow: NameRow, { phenomenon, reader, writer, table, key }: BadRead): string {
  const row = nameRow(table, key)
  const read = transactions[reader]!.id
  const wrote = transactions[writer]?.id ?? 'another transaction'
  switch (phenomenon) {
    case 'G1a':
      return `${read} read what ${wrote} had done to ${row}, and committed; ${wrote} aborted.`
    case 'G1b':
      return `${read} read a version of ${row} that ${wrote} replaced before committing.`
    case 'own-write-missed':
      return `${read} read ${row} and did not see what it had written there itself.`
    default:
      return `${read} read ${row} as nobody had written it, or a range out of its bounds or order.`
  }
}

/** P4 where nothing says who was first. */
export function sentenceForLost({ transactions }: Items, row: string, { reader, other }: LostUpdate): string {
  const [one, two] = [transactions[other]!.id, transactions[reader]!.id]
  return `${one} and ${two} read the same version of ${row} and both wrote it: whichever was second overwrote the other unseen.`
}
