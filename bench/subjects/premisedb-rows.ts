/** PremiseDB with one table of rows, through its public interface. */
import { loadBatch, type RowReader, type RowSubject, type UpdatableRowStore } from '../row-store.js'
import { open, row, type Database, type Table, type Transaction } from '../../engine/index.js'

export function premisedbRows<Row>(): RowSubject<Row, UpdatableRowStore<Row>> {
  return {
    name: 'premisedb/serializable',
    settings: 'level serializable; loading relaxed, updates durable; otherwise defaults',
    open: async directory => new Store<Row>(await open(directory)),
  }
}

/** Updates between two looks at whether there was a checkpoint. */
const looksEvery = 256

class Store<Row> implements UpdatableRowStore<Row> {
  readonly #db: Database
  readonly #rows: Table<number, Row, Row, number>
  #updates = 0
  #appliedTs: number
  #checkpoints = 0

  constructor(db: Database) {
    this.#db = db
    this.#rows = db.table('rows', { key: ['number'], schema: row<Row>() })
    this.#appliedTs = db.stats().appliedTs
  }

  get checkpoints(): number {
    return this.#checkpoints
  }

  async load(count: number, rowOf: (id: number) => Row): Promise<void> {
    for (let from = 0; from < count; from += loadBatch) {
      await this.#db.transaction(
        tx => {
          for (let id = from; id < Math.min(from + loadBatch, count); id++) tx.put(this.#rows, id, rowOf(id))
        },
        { durability: 'relaxed' },
      )
    }
  }

  read<T>(body: (reader: RowReader<Row>) => T): Promise<T> {
    return this.#db.transaction(tx => body(this.#readerOf(tx)))
  }

  update(id: number, change: (row: Row) => Row): Promise<void> {
    if (++this.#updates % looksEvery === 0) this.#look()
    return this.#db.transaction(tx => tx.put(this.#rows, id, change(tx.get(this.#rows, id)!)))
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  #look(): void {
    const { appliedTs } = this.#db.stats()
    if (appliedTs !== this.#appliedTs) this.#checkpoints++
    this.#appliedTs = appliedTs
  }

  #readerOf(tx: Transaction): RowReader<Row> {
    return {
      range: (from, limit, visit) => {
        for (const { key, value } of tx.range(this.#rows, { gte: from, limit })) visit(key, value)
      },
      all: visit => {
        for (const { key, value } of tx.range(this.#rows)) visit(key, value)
      },
    }
  }
}
