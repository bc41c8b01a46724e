/** Turns a conflict between keys into an explanation that a person can act on: decoded keys, labels, one sentence, a remedy. */
import { indexKeyOf, readBound, type ReadBound } from './encoding/index-entries.js'
import { decodeKey } from './encoding/keys.js'
import type { Explanation, RangeDescription, ReadDescription } from './errors.js'
import { keyText } from './table/codec.js'
import type { IgnoredWrite } from './view.js'
import type { Conflict, Read } from '../isolation/validate.js'
import { asKey, type CommitTs, type Key, type KeyRange, type Level } from '../isolation/types.js'

/** What of a transaction an explanation needs. */
export interface Explained {
  readonly level: Level
  readonly label: string | undefined
  readonly snapshotTs: CommitTs
  /** Writes its reads passed over, by key. */
  readonly ignored: ReadonlyMap<Key, IgnoredWrite> | undefined
  /** Whether a row was there at the snapshot. */
  readonly wasPresent: (key: Key) => boolean
}

/** A table, or the table of an index; how its keys come out (bare where they have one element). */
export interface NamedTable {
  readonly name: string
  readonly bare: boolean
  readonly index?: { readonly name: string; readonly prefix: string }
}

/** Names what has an id. */
export type NameTable = (id: number) => NamedTable

export function explain(conflict: Conflict, transaction: Explained, nameTable: NameTable): Explanation {
  const { overwrite } = conflict
  const { tableId, tuple } = decodeKey(overwrite.key)
  const { name: table, bare, index } = nameTable(tableId)
  const show = (elements: readonly unknown[]): unknown => (bare && elements.length === 1 ? elements[0] : elements)
  const kind = kindOf(conflict, transaction)
  const read = index === undefined ? describeRead(conflict.read, show) : describeIndexRead(conflict.read, index.prefix)
  const by = {
    commitTs: overwrite.commitTs,
    ...(overwrite.label === undefined ? {} : { label: overwrite.label }),
    write: overwrite.write,
    key: index === undefined ? show(tuple) : indexKeyOf(overwrite.key, index.prefix),
  }
  const who = transaction.label === undefined ? 'The transaction' : `The transaction ${JSON.stringify(transaction.label)}`
  const did = kind === 'write-write' ? 'wrote' : 'read'
  const row = index === undefined ? 'row' : 'key'
  const what = 'key' in read ? `${row} ${keyText(read.key)}` : rangeText(read.range)
  const of = index === undefined ? `table ${JSON.stringify(table)}` : `index ${JSON.stringify(index.name)} of table ${JSON.stringify(table)}`
  const other = `commit ${by.commitTs}${by.label === undefined ? '' : ` (${JSON.stringify(by.label)})`}`
  const verb = index === undefined ? { put: 'had put', insert: 'had inserted', delete: 'had deleted' }[by.write] : by.write === 'delete' ? 'had taken a row from' : 'had brought a row under'
  const outdated = {
    'stale-read': 'when it read this, that commit was already there, newer than its snapshot',
    overwritten: 'what it had read is no longer so',
    phantom: 'the range it had read no longer holds the same rows',
    'write-write': 'the first to commit a row keeps it at this level',
  }[kind]
  return {
    kind,
    level: transaction.level,
    table,
    ...(index && { index: index.name }),
    read,
    snapshotTs: transaction.snapshotTs,
    overwrittenBy: by,
    sentence: `${who} ${did} ${what} of ${of} at snapshot ${transaction.snapshotTs}, but before it could commit, ${other} ${verb} ${row} ${keyText(by.key)}: ${outdated}.`,
    remedy: 'Nothing was changed. Run it again on a new snapshot; db.transaction does so by itself, up to maxAttempts times.',
  }
}

function kindOf({ read, overwrite }: Conflict, { level, ignored, wasPresent }: Explained): Explanation['kind'] {
  if (level === 'snapshot') return 'write-write'
  const passedOver = ignored?.get(overwrite.key)
  if (passedOver !== undefined && passedOver.by === ('range' in read ? read.range : undefined)) return 'stale-read'
  if ('key' in read) return 'overwritten'
  return overwrite.write !== 'delete' && !wasPresent(overwrite.key) ? 'phantom' : 'overwritten'
}

function describeRead(read: Read, show: (tuple: readonly unknown[]) => unknown): ReadDescription {
  return 'key' in read ? { key: show(decodeKey(read.key).tuple) } : { range: describeRange(read.range, show) }
}

function describeIndexRead(read: Read, prefix: string): ReadDescription {
  return 'key' in read ? { key: indexKeyOf(read.key, prefix) } : { range: describeIndexRange(read.range, prefix) }
}

/** The bounds of an index range as index keys. */
function describeIndexRange({ lo, hi }: KeyRange, prefix: string): RangeDescription {
  const from = readBound(lo, prefix)
  const to = readBound(hi, prefix)
  const key = ({ elements }: ReadBound): unknown => (elements.length === 1 ? elements[0] : elements)
  const beginning = from?.end === 'open' ? from : to?.end === 'open' ? to : undefined
  return {
    ...(beginning && { prefix: beginning.elements }),
    ...(from && from.end !== 'open' && { [from.end === 'after' ? 'gt' : 'gte']: key(from) }),
    ...(to && to.end !== 'open' && { [to.end === 'key' ? 'lt' : 'lte']: key(to) }),
  }
}

/** The bounds in the caller's terms. A bound that is the edge of its table is left out; one that is the edge of a prefix range is told as that prefix. */
export function describeRange({ lo, hi }: KeyRange, show: (tuple: readonly unknown[]) => unknown): RangeDescription {
  const from = tupleOf(lo)
  const after = from === undefined && lo.endsWith('\0') ? tupleOf(lo.slice(0, -1)) : undefined
  const to = tupleOf(hi)
  const upTo = to === undefined && hi.endsWith('\0') ? tupleOf(hi.slice(0, -1)) : undefined
  const last = hi.endsWith('\xff') ? hi.slice(0, -1) : hi.slice(0, -1) + String.fromCharCode(hi.charCodeAt(hi.length - 1) - 1)
  const prefix = (from ?? after ? undefined : prefixOf(lo)) ?? (to ?? upTo ? undefined : prefixOf(last))
  return {
    ...(prefix ? { prefix: show(prefix) } : {}),
    ...(from ? { gte: show(from) } : {}),
    ...(after ? { gt: show(after) } : {}),
    ...(to ? { lt: show(to) } : {}),
    ...(upTo ? { lte: show(upTo) } : {}),
  }
}

/** The elements, or the beginning of one string or byte array, that a prefix range's keys begin with; undefined for a whole table. */
function prefixOf(bytes: string): readonly unknown[] | undefined {
  const prefix = tupleOf(`${bytes}\0`) ?? tupleOf(`${bytes}\0\0`)
  return prefix !== undefined && prefix.length > 0 ? prefix : undefined
}

function tupleOf(bytes: string): readonly unknown[] | undefined {
  try {
    return decodeKey(asKey(bytes)).tuple
  } catch {
    return undefined // not a whole key: a prefix, or the edge of a table
  }
}

function rangeText(range: RangeDescription): string {
  const bounds = Object.entries(range).map(([bound, key]) => `${bound} ${keyText(key)}`)
  return bounds.length === 0 ? 'the whole range' : `the range (${bounds.join(', ')})`
}
