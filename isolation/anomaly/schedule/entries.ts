/**
 * Indexes in a history. The checker knows rows only, so an index goes into the history as a table of its own, `table.index`,
 * whose rows are the entries: their keys are those of the index, followed by the row's own, their versions those of the rows.
 *
 *   I-1  A read through an index is a range read of that table. It returns values, so an entry has a new version whenever its
 *        row has: the read depends on the row as well as on where the row stands.
 *   I-2  A write of a row writes every entry that the row ever has in the schedule: those it has now are put, the others
 *        deleted. So nobody has to know which version it replaced, which differs from order to order.
 *   I-3  A commit under a unique key is a read, as its last act: nobody else has that key. An engine that lets two rows have
 *        one, has let both transactions miss the other.
 *   I-4  A refusal is an answer: somebody has that key. It goes into the history with what the session had read until it wrote, as
 *        a transaction that only reads.
 *
 * Where an entry was deleted twice in a row the checker sees two absences that nobody can tell apart, and gives the history the
 * benefit of the doubt, so I-2 makes no dependency that there is not.
 */
import { type History, isWrite, type Operation, type RangeRead, type RowVersion, type TransactionRecord, type VersionId, type Write } from '../checker/history.js'
import type { IndexDefinition, IndexedValue, IndexInterval, IndexKey, IndexRangeOptions, KeyInterval, Scenario } from '../scenario.js'
import type { SubjectSpace } from '../subject.js'
import { unwrap, type Versioned } from './seen.js'

/** The keys that a row has in an index, as the runner has it stored. */
export const indexKeysOf = (index: IndexDefinition, stored: unknown): readonly IndexKey[] => keysOf(index, unwrap(stored).value)

/** Without a field that the key is taken from, a row has no entry. */
function keysOf({ on, many }: IndexDefinition, value: unknown): readonly IndexKey[] {
  const fields = (typeof value === 'object' ? value : null) as Readonly<Record<string, unknown>> | null
  const elements = [on].flat().map(name => fields?.[name])
  if (many && Array.isArray(elements[0])) return [...new Set(elements[0] as readonly string[])].map(element => [element])
  return elements.every(element => typeof element === 'string') ? [elements] : []
}

interface Place {
  readonly table: string
  readonly key: string
}

const tableOf = (table: string, index: string): string => `${table}.${index}`

/** Elements end with a space, which comes before all that they hold themselves: so the names are in the order of the entries. */
function nameOf(indexKey: IndexKey, key: string): string {
  for (const part of [...indexKey, key]) if (part.includes(' ')) throw new TypeError(`A key of a scenario with indexes has a space: "${part}".`)
  return [...indexKey, key].join(' ')
}

/** Whether a row of the history is an entry that a row of the store has. */
export const isEntryOf = (table: string, name: string, row: Place): boolean => table.startsWith(`${row.table}.`) && name.endsWith(` ${row.key}`)

const afterSpace = '!'

/** The names of the entries in a stretch of an index. */
function namesIn({ prefix = [], gte, lt }: IndexInterval): KeyInterval {
  const start = prefix.map(element => `${element} `).join('')
  const end = start && start.slice(0, -1) + afterSpace
  const from = start + (gte ?? '')
  const to = lt === undefined ? end : start + lt
  return { ...(from && { gte: from }), ...(to && { lt: to }) }
}

/** The entries that the rows of one schedule have. */
export class Entries {
  readonly #indexes: ReadonlyMap<string, readonly IndexDefinition[]>
  readonly #values = new Map<VersionId, unknown>()
  /** The committed rows. */
  readonly #present = new Map<string, RowVersion>()
  /** Entries, by version, that a row had before that version as well. */
  readonly #kept = new Set<VersionId>()
  /** By table of entries and row: every entry that a version of the row has. */
  readonly #names = new Map<string, Map<string, Set<string>>>()

  constructor({ initial, tables = [] }: Scenario, versions: readonly RowVersion[]) {
    this.#indexes = new Map(tables.map(({ table, indexes }) => [table, indexes]))
    for (const [at, version] of versions.entries()) {
      this.wrote(version, initial[at]!.value)
      this.#present.set(idOf(version), version)
    }
  }

  wrote(row: RowVersion, value: unknown): void {
    this.#values.set(row.version, value)
    for (const { table, key } of this.#entriesOf(row)) {
      const byRow = this.#names.get(table) ?? new Map<string, Set<string>>()
      this.#names.set(table, byRow)
      byRow.set(row.key, (byRow.get(row.key) ?? new Set()).add(key))
    }
  }

  commit(operations: readonly Operation[]): void {
    for (const write of lastOf(operations)) {
      const before = this.#present.get(idOf(write))
      const had = new Set(before && this.#entriesOf(before).map(idOf))
      for (const written of this.#entriesOf(write)) if (had.has(idOf(written))) this.#kept.add(written.version)
      apply(write, this.#present)
    }
  }

  /**
   * What tells that these writes cannot be committed now, as the read of the one key that another row has. Nothing where that does
   * not say which version of which row is meant: there are several such keys, a key is claimed for two rows, or the other row had
   * it in an earlier version already. Null where there is no reason at all.
   */
  refusalOf(writes: readonly Write[]): readonly RangeRead[] | null {
    const after = new Map(this.#present)
    for (const write of writes) apply(write, after)
    const shared = [...this.#indexes].flatMap(([table, indexes]) => indexes.flatMap(index => (index.unique ? this.#sharedKeys(table, index, after) : [])))
    const [first] = shared
    if (!first) return null
    const other = first.rows.find(row => this.#present.get(idOf(row)) === row)
    if (shared.length > 1 || !other) return []
    const { indexKey, index } = first
    const read = this.readOf({ table: other.table, index: index.name, prefix: indexKey }, [{ indexKey, key: other.key, v: other.version, value: null }])
    return read.rows.some(({ version }) => this.#kept.has(version)) ? [] : [read]
  }

  #sharedKeys(table: string, index: IndexDefinition, rows: ReadonlyMap<string, RowVersion>) {
    const byKey = new Map<string, { readonly index: IndexDefinition; readonly indexKey: IndexKey; readonly rows: RowVersion[] }>()
    for (const row of rows.values()) {
      if (row.table !== table) continue
      for (const indexKey of keysOf(index, this.#values.get(row.version))) {
        const name = indexKey.join(' ')
        const holders = byKey.get(name) ?? { index, indexKey, rows: [] }
        byKey.set(name, holders)
        holders.rows.push(row)
      }
    }
    return [...byKey.values()].filter(holders => holders.rows.length > 1)
  }

  readOf(range: IndexRangeOptions, found: readonly (IndexedValue & Versioned)[]): RangeRead {
    const { limit, reverse } = range
    const how = { ...(limit !== undefined && { limit }), ...(reverse !== undefined && { reverse }) }
    const table = tableOf(range.table, range.index)
    const rows = found.map(({ indexKey, key, v }) => entry(table, nameOf(indexKey, key), v)).map(({ key, version }) => ({ key, version }))
    return { op: 'range', table, bounds: namesIn(range), ...how, rows }
  }

  /** The history with the entries of all rows. Those at the end are as the engine has them, where it tells. */
  async addTo(history: History, space: SubjectSpace): Promise<History> {
    if (this.#indexes.size === 0) return history
    const { initial, transactions, final = [] } = history
    const isInOrder = this.#leavesLast(history)
    return {
      initial: [...initial, ...initial.flatMap(row => this.#entriesOf(row))],
      transactions: transactions.map(({ commit, ...transaction }) => ({
        ...transaction,
        // The order in which nothing was installed would still seem to be that of deleted entries, of which one is like the other.
        ...(isInOrder && commit !== undefined && { commit }),
        operations: [...transaction.operations.flatMap(operation => this.#withEntries(operation)), ...this.#claimsOf(transaction)],
      })),
      final: [...final, ...(await this.#finalEntries(final, space))],
    }
  }

  async #finalEntries(final: readonly RowVersion[], { finalEntries }: SubjectSpace): Promise<RowVersion[]> {
    if (!finalEntries) return final.flatMap(row => this.#entriesOf(row))
    const names = [...this.#indexes].flatMap(([table, indexes]) => indexes.map(({ name }) => [table, name] as const))
    const all = names.map(async ([table, index]) =>
      (await finalEntries(table, index)).map(({ indexKey, key, value }) => entry(tableOf(table, index), nameOf(indexKey, key), unwrap(value).v)),
    )
    return (await Promise.all(all)).flat()
  }

  /** Whether the rows with indexes are at the end as the last to commit left them. A store that writes in place can do otherwise. */
  #leavesLast({ transactions, final = [] }: History): boolean {
    const committed = transactions.filter(({ commit }) => commit !== undefined).sort((a, b) => a.commit! - b.commit!)
    const versions = new Map(final.map(row => [idOf(row), row.version]))
    return lastOf(committed.flatMap(({ operations }) => operations)).every(write => !this.#indexes.has(write.table) || versions.get(idOf(write)) === (write.op === 'put' ? write.version : undefined))
  }

  #withEntries(operation: Operation): Operation[] {
    if (!isWrite(operation)) return [operation]
    const { table, key, version } = operation
    const now = new Set(this.#entriesOf(operation).map(idOf))
    const tables = (this.#indexes.get(table) ?? []).map(({ name }) => tableOf(table, name))
    const ever = tables.flatMap(entries => [...(this.#names.get(entries)?.get(key) ?? [])].map(name => entry(entries, name, version)))
    return [operation, ...ever.map((written): Write => ({ op: now.has(idOf(written)) ? 'put' : 'delete', ...written }))]
  }

  #claimsOf({ outcome, operations }: Pick<TransactionRecord, 'outcome' | 'operations'>): RangeRead[] {
    if (outcome !== 'committed') return []
    return lastOf(operations).flatMap(({ table, key, version }) =>
      (this.#indexes.get(table) ?? []).flatMap(index =>
        (index.unique ? keysOf(index, this.#values.get(version)) : []).map(
          (indexKey): RangeRead => this.readOf({ table, index: index.name, prefix: indexKey }, [{ indexKey, key, v: version, value: null }]),
        ),
      ),
    )
  }

  /** Those that a version of a row has; none for a delete. */
  #entriesOf({ table, key, version }: RowVersion): RowVersion[] {
    const value = this.#values.get(version)
    return (this.#indexes.get(table) ?? []).flatMap(index =>
      keysOf(index, value).map(indexKey => entry(tableOf(table, index.name), nameOf(indexKey, key), version)),
    )
  }
}

/** Of each row the last write. */
const lastOf = (operations: readonly Operation[]): Write[] => [...new Map(operations.filter(isWrite).map(write => [idOf(write), write])).values()]

function apply(write: Write, rows: Map<string, RowVersion>): void {
  if (write.op === 'put') rows.set(idOf(write), write)
  else rows.delete(idOf(write))
}

const idOf = ({ table, key }: Place): string => `${table}\0${key}`

const entry = (table: string, key: string, version: VersionId): RowVersion => ({ table, key, version: `${version} in ${table}: ${key}` })
