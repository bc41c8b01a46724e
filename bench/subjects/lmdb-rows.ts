/** The package `lmdb` by itself: how fast ranges can be read and rows be loaded at all, and what it costs to apply every group of commits to it at once. */
import { open, type RootDatabase } from 'lmdb'
import { loadBatch, type RowReader, type RowStore, type RowSubject, type UpdatableRowStore } from '../row-store.js'

export function lmdbRows<Row>(): RowSubject<Row> {
  return {
    name: 'lmdb',
    settings: 'one `getRange` per range, `transactionSync` of 1,000 `put`s, encoding msgpack, otherwise defaults (each of these transactions is committed when it returns and synced meanwhile, `close` waits for that)',
    open: async directory => new Store(open<Row, number>({ path: directory })),
  }
}

/** A store without a log: those updates that wait at the end of a turn of the event loop make a group, which is applied in one transaction and synced. */
export function lmdbPerCommit<Row>(): RowSubject<Row, UpdatableRowStore<Row>> {
  return {
    name: 'per-commit-apply',
    settings: 'the package lmdb with one `transactionSync` for each group of updates that came in the same turn of the event loop, synced when it returns (overlappingSync: false), encoding msgpack, otherwise defaults',
    open: async directory => new GroupStore(open<Row, number>({ path: directory, overlappingSync: false })),
  }
}

class Store<Row> implements RowStore<Row> {
  protected readonly db: RootDatabase<Row, number>
  readonly #reader: RowReader<Row>

  constructor(db: RootDatabase<Row, number>) {
    this.db = db
    this.#reader = {
      range(from, limit, visit) {
        for (const { key, value } of db.getRange({ start: from, limit })) visit(key, value)
      },
      all(visit) {
        for (const { key, value } of db.getRange()) visit(key, value)
      },
    }
  }

  async load(count: number, rowOf: (id: number) => Row): Promise<void> {
    for (let from = 0; from < count; from += loadBatch) {
      // A callback that returned what `put` returns would be taken for an asynchronous one.
      this.db.transactionSync(() => {
        for (let id = from; id < Math.min(from + loadBatch, count); id++) void this.db.put(id, rowOf(id))
      })
    }
    await this.db.flushed
  }

  read<T>(body: (reader: RowReader<Row>) => T): T {
    return body(this.#reader)
  }

  close(): Promise<void> {
    return this.db.close()
  }
}

interface Update<Row> {
  readonly id: number
  readonly change: (row: Row) => Row
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

class GroupStore<Row> extends Store<Row> implements UpdatableRowStore<Row> {
  #waiting: Update<Row>[] = []
  #groups = 0

  get checkpoints(): number {
    return this.#groups
  }

  update(id: number, change: (row: Row) => Row): Promise<void> {
    return new Promise((done, failed) => {
      if (this.#waiting.push({ id, change, done, failed }) === 1) setImmediate(() => this.#apply())
    })
  }

  #apply(): void {
    const group = this.#waiting
    this.#waiting = []
    this.#groups++
    try {
      this.db.transactionSync(() => {
        for (const { id, change } of group) void this.db.put(id, change(this.db.get(id)!))
      })
    } catch (error) {
      for (const { failed } of group) failed(error)
      return
    }
    for (const { done } of group) done()
  }
}
