/**
 * Engines of a few lines, each with exactly the isolation it is named after, to see that the matrix tells them apart.
 *
 * All keep their rows in one map per space. They differ in what a read sees and what a commit checks.
 */
import {
  type Awaitable,
  type IndexedValue,
  indexKeysOf,
  type IndexRangeOptions,
  type KeyedValue,
  type RangeOptions,
  type Row,
  type Subject,
  type SubjectSpace,
  type SubjectTransaction,
  type TableDefinition,
  type TableInterval,
} from '../../isolation/anomaly/index.js'

type Rows = Map<string, Row>

const idOf = (table: string, key: string): string => `${table}\0${key}`
const toMap = (rows: readonly Row[]): Rows => new Map(rows.map(row => [idOf(row.table, row.key), row]))

export function readRange(rows: Rows, { table, gt, gte, lt, lte, limit, reverse }: RangeOptions): KeyedValue[] {
  const found = [...rows.values()].filter(
    row =>
      row.table === table &&
      (gt === undefined || row.key > gt) &&
      (gte === undefined || row.key >= gte) &&
      (lt === undefined || row.key < lt) &&
      (lte === undefined || row.key <= lte),
  )
  found.sort((a, b) => (a.key < b.key ? -1 : 1))
  if (reverse) found.reverse()
  return found.slice(0, limit).map(({ key, value }) => ({ key, value }))
}

/** The rows by their keys in an index. Elements are compared one by one, in no way that the runner has a part in. */
export function readIndex(rows: Rows, tables: readonly TableDefinition[], { table, index, prefix = [], gte, lt, limit, reverse }: IndexRangeOptions): IndexedValue[] {
  const definition = indexesOf(tables, table).find(({ name }) => name === index)!
  const entries = [...rows.values()]
    .filter(row => row.table === table)
    .flatMap(({ key, value }) => indexKeysOf(definition, value).map(indexKey => ({ indexKey, key, value })))
  const found = entries.filter(({ indexKey }) => {
    const next = indexKey[prefix.length] ?? ''
    return prefix.every((element, at) => indexKey[at] === element) && (gte === undefined || next >= gte) && (lt === undefined || next < lt)
  })
  const compare = (a: readonly string[], b: readonly string[]): number => {
    const at = a.findIndex((element, place) => element !== b[place])
    return at < 0 ? 0 : a[at]! < b[at]! ? -1 : 1
  }
  found.sort((a, b) => compare([...a.indexKey, a.key], [...b.indexKey, b.key]))
  if (reverse) found.reverse()
  return found.slice(0, limit)
}

const indexesOf = (tables: readonly TableDefinition[], table: string) => tables.find(definition => definition.table === table)?.indexes ?? []

/** The keys of unique indexes that the rows have, each with the rows that have it. */
function holders(rows: Rows, tables: readonly TableDefinition[]): Map<string, string> {
  const held = new Map<string, string>()
  for (const [id, { table, value }] of rows) {
    for (const index of indexesOf(tables, table)) {
      if (!index.unique) continue
      for (const key of indexKeysOf(index, value)) {
        const claim = JSON.stringify([table, index.name, ...key])
        held.set(claim, held.has(claim) ? `${held.get(claim)} ${id}` : id)
      }
    }
  }
  return held
}

function assertUnique(rows: Rows, tables: readonly TableDefinition[]): void {
  for (const [claim, ids] of holders(rows, tables)) if (ids.includes(' ')) throw new Violation(`${claim} belongs to another row.`)
}

export class Violation extends Error {
  readonly code = 'UNIQUE_VIOLATION'
}

export class Aborted extends Error {
  readonly retryable = true
}

/** What the transactions of one space share. */
interface Shared {
  readonly tables: readonly TableDefinition[]
  rows: Rows
  /** Commit number of the last write of each row, deletes included, and of the last change of each unique key. */
  readonly writtenAt: Map<string, number>
  commits: number
  /** Resolves when the transaction that began last has ended. */
  lastEnded: Promise<void>
}

type Toy = (shared: Shared, label: string) => Awaitable<Indexed>

interface ToyOptions {
  readonly name: string
  readonly level: Subject['level']
  readonly begin: Toy
  readonly blocks?: boolean
}

function toy({ name, level, begin, blocks = false }: ToyOptions): Subject {
  return {
    name: `toy/${name}`,
    level,
    control: 'optimistic',
    ours: true,
    blocks,
    open() {
      const indexedSpace = (initial: readonly Row[], tables: readonly TableDefinition[]): SubjectSpace => {
        const shared: Shared = { tables, rows: toMap(initial), writtenAt: new Map(), commits: 0, lastEnded: Promise.resolve() }
        return { begin: async ({ label }) => withPartsOfRanges(await begin(shared, label)), finalState: () => [...shared.rows.values()] }
      }
      return { space: initial => indexedSpace(initial, []), indexedSpace, close: () => undefined }
    },
  }
}

/** An operation that every toy has. */
type Indexed = SubjectTransaction & Required<Pick<SubjectTransaction, 'indexRange'>>

/** A count, a first and a last row as a range would give them, so that whoever is blind for ranges is blind for them too. */
function withPartsOfRanges(transaction: Indexed): SubjectTransaction {
  const { range, indexRange } = transaction
  return {
    ...transaction,
    first: async interval => (await range({ ...interval, limit: 1 }))[0],
    last: async interval => (await range({ ...interval, limit: 1, reverse: true }))[0],
    count: async interval => (await range(interval)).length,
    indexCount: async interval => (await indexRange(interval)).length,
    indexGet: async (table, index, at) => (await indexRange({ table, index, prefix: at, limit: 1 }))[0],
  }
}

/** Reads what is there, writes in place at once; an abort puts back what it replaced. No isolation at all, and no key is unique. */
export const dirty: Subject = toy({ name: 'dirty', level: 'read-committed', begin: inPlace })

function inPlace(shared: Shared): Indexed {
  const undo: (() => void)[] = []
  let mark = 0
  const replace = (table: string, key: string, next: Row | undefined): void => {
    const id = idOf(table, key)
    const before = shared.rows.get(id)
    undo.unshift(() => (before ? shared.rows.set(id, before) : shared.rows.delete(id)))
    if (next) shared.rows.set(id, next)
    else shared.rows.delete(id)
  }
  return {
    get: (table, key) => shared.rows.get(idOf(table, key))?.value,
    range: options => readRange(shared.rows, options),
    indexRange: options => readIndex(shared.rows, shared.tables, options),
    put: (table, key, value) => replace(table, key, { table, key, value }),
    delete: (table, key) => replace(table, key, undefined),
    deleteRange: interval => readRange(shared.rows, interval).forEach(({ key }) => replace(interval.table, key, undefined)),
    savepoint: () => {
      mark = undo.length
    },
    undo: () => undo.splice(0, undo.length - mark).forEach(step => step()),
    commit: () => undefined,
    abort: () => undo.forEach(step => step()),
  }
}

/** One transaction at a time: `begin` waits for the one before. */
export const serial: Subject = toy({
  name: 'serial',
  level: 'serializable',
  blocks: true,
  async begin(shared) {
    const before = shared.lastEnded
    let end = (): void => undefined
    shared.lastEnded = new Promise(resolve => {
      end = resolve
    })
    await before
    const transaction = inPlace(shared)
    return {
      ...transaction,
      commit() {
        try {
          assertUnique(shared.rows, shared.tables)
        } catch (error) {
          void transaction.abort()
          throw error
        } finally {
          end()
        }
      },
      abort: () => {
        void transaction.abort()
        end()
      },
    }
  },
})

interface Buffered {
  /** The committed rows that a read sees now. */
  readonly view: () => Rows
  /** Throws to refuse the commit. What is written are rows, and the unique keys that are taken. */
  readonly validate: (written: ReadonlySet<string>) => void
  /** Unique keys are decided on when they are claimed, by what the transaction sees, and not at the commit. */
  readonly decidesEarly?: boolean
}

/** Writes are kept back until the commit, which checks and then installs them in one step. */
function buffered(shared: Shared, { view, validate, decidesEarly = false }: Buffered, onRead: (again: () => string) => void = () => undefined): Indexed {
  let own = new Map<string, Row | undefined>()
  let emptied: TableInterval[] = []
  let kept = { own, emptied }
  const erase = (rows: Rows): void => {
    for (const interval of emptied) {
      for (const { key } of readRange(rows, interval)) {
        const id = idOf(interval.table, key)
        if (!own.has(id)) own.set(id, undefined)
      }
    }
  }
  const claims = (): string[] => [...own.values()].flatMap(row => (row ? [...holders(new Map([['', row]]), shared.tables).keys()] : []))
  const seen = (rows: Rows): Rows => {
    const merged = new Map(rows)
    for (const [id, row] of own) {
      if (row) merged.set(id, row)
      else merged.delete(id)
    }
    return merged
  }
  const read = <T>(from: (rows: Rows) => T): T => {
    // The question is put again at validation, to the rows committed by then and the own writes of this moment.
    const mine = new Map(own)
    onRead(() => {
      const merged = new Map(shared.rows)
      for (const [id, row] of mine) {
        if (row) merged.set(id, row)
        else merged.delete(id)
      }
      return JSON.stringify(from(merged))
    })
    return from(seen(view()))
  }
  return {
    get: (table, key) => read(rows => rows.get(idOf(table, key))?.value),
    range: options => read(rows => readRange(rows, options)),
    indexRange: options => read(rows => readIndex(rows, shared.tables, options)),
    put(table, key, value) {
      own.set(idOf(table, key), { table, key, value })
      if (decidesEarly) assertUnique(seen(view()), shared.tables)
    },
    delete: (table, key) => void own.set(idOf(table, key), undefined),
    deleteRange(interval) {
      for (const { key } of readRange(seen(view()), interval)) own.set(idOf(interval.table, key), undefined)
      emptied.push(interval)
    },
    savepoint() {
      kept = { own: new Map(own), emptied: [...emptied] }
    },
    undo() {
      ;({ own, emptied } = kept)
    },
    commit() {
      erase(shared.rows)
      if (own.size === 0) return
      const after = seen(shared.rows)
      validate(new Set([...own.keys(), ...claims()]))
      if (!decidesEarly) assertUnique(after, shared.tables)
      const [held, holds] = [holders(shared.rows, shared.tables), holders(after, shared.tables)]
      shared.rows = after
      shared.commits++
      for (const id of own.keys()) shared.writtenAt.set(id, shared.commits)
      for (const claim of new Set([...held.keys(), ...holds.keys()])) {
        if (held.get(claim) !== holds.get(claim)) shared.writtenAt.set(claim, shared.commits)
      }
    },
    abort: () => undefined,
  }
}

/** Every read sees the newest committed rows; nothing is ever checked. */
export const readCommitted: Subject = toy({
  name: 'read-committed',
  level: 'read-committed',
  begin: shared => buffered(shared, { view: () => shared.rows, validate: () => undefined }),
})

/** The same, with unique indexes that are asked as soon as a key is claimed, and never again. */
export const earlyClaims: Subject = toy({
  name: 'early-claims',
  level: 'read-committed',
  begin: shared => buffered(shared, { view: () => shared.rows, validate: () => undefined, decidesEarly: true }),
})

/** All reads see the rows of the beginning; of two that write the same row the first to commit wins. */
function beginSnapshot(shared: Shared): Indexed {
  const { rows, commits } = shared
  return buffered(shared, {
    view: () => rows,
    validate(written) {
      for (const id of written) {
        if ((shared.writtenAt.get(id) ?? 0) > commits) throw new Aborted(`${id.replace('\0', '/')} was written after this snapshot.`)
      }
    },
  })
}

export const snapshot: Subject = toy({ name: 'snapshot', level: 'snapshot', begin: beginSnapshot })

/** A lie: snapshot isolation under the name of serializability, as some products sell it. */
export const mislabelled: Subject = toy({ name: 'mislabelled', level: 'serializable', begin: beginSnapshot })

/** Reads a snapshot and validates backward: at commit every question is asked again and must have the same answer. */
export const serializable: Subject = toy({ name: 'serializable', level: 'serializable', begin: shared => validating(shared, true) })

/** The same, but a range counts only for the rows that it returned: rows that appear later are missed. */
export const phantomBlind: Subject = toy({ name: 'phantom-blind', level: 'serializable', begin: shared => validating(shared, false) })

function validating(shared: Shared, wholeRanges: boolean): Indexed {
  const { rows } = shared
  const premises: { readonly before: string; readonly again: () => string }[] = []
  let pending: (() => string) | null = null
  const transaction = buffered(
    shared,
    {
      view: () => rows,
      validate() {
        if (premises.some(({ before, again }) => before !== again())) throw new Aborted('A read would have another answer now.')
      },
    },
    again => {
      pending = again
    },
  )
  const remember = <T>(result: T): T => {
    const again = pending
    if (again) premises.push({ before: JSON.stringify(result), again })
    return result
  }
  return {
    ...transaction,
    get: (table, key) => remember(transaction.get(table, key)),
    range(options) {
      const found = transaction.range(options) as readonly KeyedValue[]
      if (wholeRanges) return remember(found)
      for (const { key } of found) remember(transaction.get(options.table, key))
      return found
    },
    indexRange(options) {
      const found = transaction.indexRange(options) as readonly IndexedValue[]
      if (wholeRanges) return remember(found)
      for (const { key } of found) remember(transaction.get(options.table, key))
      return found
    },
  }
}

/** A toy whose operations are replaced by those given. */
export const sabotaged = (subject: Subject, change: (transaction: SubjectTransaction) => Partial<SubjectTransaction>): Subject => ({
  ...subject,
  async open() {
    const store = await subject.open()
    const changed = (space: SubjectSpace): SubjectSpace => ({
      ...space,
      async begin(options) {
        const transaction = await space.begin(options)
        return { ...transaction, ...change(transaction) }
      },
    })
    return {
      ...store,
      space: async initial => changed(await store.space(initial)),
      indexedSpace: async (initial, tables) => changed(await store.indexedSpace!(initial, tables)),
    }
  },
})
