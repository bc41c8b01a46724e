/** A history of the simulation as one of the history format, for the checker that judges the histories of any store (`isolation/anomaly/checker`). */
import type { History as Told, RowVersion, TransactionRecord as ToldTransaction } from '../../../isolation/anomaly/index.js'
import type { IndexName } from '../index-functions.js'
import type { TableName } from '../model.js'
import { nameOf, type Attempt, type History, type TransactionRecord } from '../records.js'
import { newLooks, tell, type Looks } from './reads.js'
import { entryPlaces, nobodys, placeOf, Versions, writesOf, type EntryPlace, type Write } from './versions.js'

export interface ToldHistory {
  readonly history: Told
  readonly looks: Looks
}

/** After all events: nobody was told of it, so nobody can have begun later. */
const never = Number.MAX_SAFE_INTEGER

/** Outcomes that tell their caller something of the rows. */
const telling: ReadonlySet<string> = new Set(['done', 'Own', 'ROW_EXISTS', 'ROW_ABSENT', 'UNIQUE_VIOLATION'])

/** An entry of an index that a commit made or took away. */
type EntryWrite = Write & { readonly place: EntryPlace }

export function toldHistory(history: History): ToldHistory {
  return new Teller(history).tell()
}

/** One run of a body, with what it wrote. */
interface Run {
  readonly transaction: TransactionRecord
  readonly attempt: Attempt
  readonly id: string
  /** Its place in the order of commits. */
  readonly commitTs: number | undefined
  readonly writes: ReadonlyMap<number, Write>
  /** What its commit deleted beyond what its operations name. */
  readonly deletes: readonly Write[]
  /** What its commit did to the indexes that are read. */
  readonly entries: EntryWrite[]
}

/** What a commit left of a row. */
interface Installed {
  readonly ts: number
  readonly write: Write
}

class Teller {
  readonly #history: History
  readonly #versions = new Versions()
  readonly #looks = newLooks()
  readonly #runs: readonly Run[]
  /** By row, in the order of commits. */
  readonly #installed = new Map<string, Installed[]>()
  readonly #installedEntries = new Map<string, EntryWrite>()
  /** The indexes that are read, by table. Whether one was built already makes no difference: it is a view of the rows. */
  readonly #indexes = new Map<TableName, Set<IndexName>>()
  #lastVersion = 0

  constructor(history: History) {
    this.#history = history
    for (const { attempts } of history.transactions) for (const { operations } of attempts) for (const operation of operations) if ('index' in operation) this.#isRead(operation.table, nameOf(operation.index))
    const commitOf = new Map(history.commits.map(commit => [commit.label, commit]))
    this.#runs = history.transactions.flatMap(transaction =>
      transaction.attempts.map((attempt, i): Run => {
        const commit = attempt === transaction.attempts.at(-1) ? commitOf.get(transaction.label) : undefined
        const id = attempt === transaction.attempts.at(-1) ? transaction.label : `${transaction.label} attempt ${i + 1}`
        const writes = writesOf(attempt.operations, this.#newVersion)
        for (const write of writes.values()) this.#versions.add(write)
        return { transaction, attempt, id, commitTs: commit?.ts, writes, deletes: commit ? this.#rangeDeletes(writes, commit.deleted) : [], entries: [] }
      }),
    )
    for (const run of this.#runs.filter(({ commitTs }) => commitTs !== undefined).sort((a, b) => a.commitTs! - b.commitTs!)) this.#install(run)
  }

  readonly #newVersion = (): string => `${++this.#lastVersion}`

  /** Rows that the commit deleted and that no operation of it deleted last. */
  #rangeDeletes(writes: Run['writes'], deleted: History['commits'][number]['deleted']): Write[] {
    const last = lastWrites([...writes.values()])
    return deleted
      .map(({ table, key }) => placeOf(table, key))
      .filter(({ id }) => !last.has(id) || last.get(id)!.value !== undefined)
      .map(place => ({ place, value: undefined, version: this.#newVersion(), isUndone: false }))
  }

  #isRead(table: TableName, index: IndexName): void {
    const known = this.#indexes.get(table)
    if (known) known.add(index)
    else this.#indexes.set(table, new Set([index]))
  }

  #install({ writes, deletes, entries, commitTs }: Run): void {
    for (const [id, write] of lastWrites([...writes.values(), ...deletes])) {
      if (this.#indexes.size > 0) entries.push(...this.#entryWrites(write, this.#installed.get(id)?.at(-1)?.write.value))
      this.#versions.add(write)
      this.#versions.install(write)
      const before = this.#installed.get(id)
      if (before) before.push({ ts: commitTs!, write })
      else this.#installed.set(id, [{ ts: commitTs!, write }])
    }
  }

  /** What becomes of the indexes when a row is written over one with the value `before`. */
  #entryWrites({ place: { table, key }, value }: Write, before: Write['value']): EntryWrite[] {
    return [...(this.#indexes.get(table as TableName) ?? [])].flatMap(index => {
      const were = entryPlaces(table as TableName, index, key, before)
      const are = entryPlaces(table as TableName, index, key, value)
      const gone = [...were.values()].filter(({ id }) => !are.has(id)).map(place => ({ place, value: undefined, version: this.#newVersion(), isUndone: false }))
      const come = [...are.values()].filter(({ id }) => !were.has(id)).map(place => ({ place, value: 1, version: this.#newVersion(), isUndone: false }))
      for (const write of [...gone, ...come]) {
        this.#versions.addEntry(write)
        this.#installedEntries.set(write.place.id, write)
      }
      return [...gone, ...come]
    })
  }

  tell(): ToldHistory {
    const withheld = new Set(this.#runs.flatMap(run => this.#lostOnAbsence(run)))
    const transactions = this.#runs.flatMap(run => this.#transactions(run, withheld))
    const final = this.#final(withheld)
    return { history: { initial: [], transactions, ...final }, looks: this.#looks }
  }

  /**
   * Rows that a transaction at `snapshot` wrote although others had, since its snapshot: allowed where the row was absent then and is again, for nobody lost anything by it.
   * The order of versions would call it a lost race.
   */
  #lostOnAbsence({ transaction, attempt, writes, commitTs }: Run): string[] {
    if (transaction.level !== 'snapshot' || commitTs === undefined) return []
    return [...lastWrites([...writes.values()]).keys()].filter(id => {
      const installed = this.#installed.get(id)!
      const then = installed.findLast(({ ts }) => ts <= attempt.beganTs)
      const now = installed.findLast(({ ts }) => ts < commitTs)
      return then !== now && then?.write.value === undefined && now?.write.value === undefined
    })
  }

  #transactions(run: Run, withheld: ReadonlySet<string>): ToldTransaction[] {
    const { transaction, attempt, id, commitTs, writes, deletes, entries } = run
    const isCommitted = commitTs !== undefined
    const isLast = attempt === transaction.attempts.at(-1)
    const isTold = isLast && (isCommitted ? transaction.outcome === 'done' : telling.has(transaction.outcome))
    const times = { begin: transaction.startedAt, end: isTold ? transaction.endedAt : never }
    const operations = tell(attempt.operations, { versions: this.#versions, writes, isCommitted, looks: this.#looks, withheld })
    const kept = [...deletes.filter(({ place }) => !withheld.has(place.id)), ...entries.filter(({ place }) => !withheld.has(place.rowId))].map(operationOf)
    const inVain = [...writes.values()].filter(({ place, isUndone }) => (isUndone || !isCommitted) && !withheld.has(place.id)).map(operationOf)
    return [
      // Also who gave up has seen one state: what it read is a transaction that only reads.
      ...(isCommitted || operations.length > 0 ? [{ id, outcome: 'committed', ...times, ...(isCommitted && { commit: commitTs }), operations: [...operations, ...kept] } as const] : []),
      ...(inVain.length > 0 ? [{ id: `${id} in vain`, outcome: 'aborted', ...times, operations: inVain } as const] : []),
    ]
  }

  /** The end, where every commit is still there: after a failure of the disk the last ones may be gone. */
  #final(withheld: ReadonlySet<string>): Pick<Told, 'final' | 'versionOrders'> {
    if (this.#history.interruption === 'failure') return {}
    const left = this.#history.finally.map(({ table, key, value }) => ({ ...placeOf(table, key), value })).filter(({ id }) => !withheld.has(id))
    const final = left.map(({ id, table, text, value }): RowVersion => {
      const last = this.#installed.get(id)?.at(-1)?.write
      return { table, key: text, version: last?.value === value ? last.version : `${nobodys} ${id}` }
    })
    // What the indexes hold at the end is compared with the rows elsewhere; here they are a view of the commits.
    for (const { place, value, version } of this.#installedEntries.values()) if (value !== undefined && !withheld.has(place.rowId)) final.push({ table: place.table, key: place.text, version })
    // The order of commits is certain here, also where the end contradicts it; the checker would believe the end.
    const present = new Set(left.map(({ id }) => id))
    const lost = [...this.#installed].filter(([id, installed]) => !withheld.has(id) && !present.has(id) && installed.at(-1)!.write.value !== undefined)
    if (lost.length === 0) return { final }
    return { final, versionOrders: lost.map(([, installed]) => ({ table: installed[0]!.write.place.table, key: installed[0]!.write.place.text, versions: installed.map(({ write }) => write.version) })) }
  }
}

/** Of each row the last write that stands. */
function lastWrites(writes: readonly Write[]): Map<string, Write> {
  return new Map(writes.filter(({ isUndone }) => !isUndone).map(write => [write.place.id, write]))
}

const operationOf = ({ place, value, version }: Write): ToldTransaction['operations'][number] => ({ op: value === undefined ? 'delete' : 'put', table: place.table, key: place.text, version })
