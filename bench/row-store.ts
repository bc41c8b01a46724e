/** What a workload about ranges and storage needs of a store: rows of any kind under numbers. Rows are handed to visitors, so that no adapter has to make objects that its store did not. */

export interface RowSubject<Row, Store extends RowStore<Row> = RowStore<Row>> {
  /** As results and ratios name it. */
  readonly name: string
  /** What was chosen where the store leaves a choice. */
  readonly settings: string
  /** Opens what is in the directory, or makes it. */
  open(directory: string): Promise<Store>
}

export interface RowStore<Row> {
  /** Puts the rows 0 to `count - 1`, in this order, 1,000 in each transaction. Afterwards close it: only then is everything where it will be after a restart. */
  load(count: number, rowOf: (id: number) => Row): Promise<void>
  /** A transaction that reads. */
  read<T>(body: (reader: RowReader<Row>) => T): Promise<T> | T
  /** Returns when everything is on disk and the files are closed. */
  close(): Promise<void>
}

export interface RowReader<Row> {
  /** The first rows from an id on. */
  range(from: number, limit: number, visit: (id: number, row: Row) => void): void
  all(visit: (id: number, row: Row) => void): void
}

export interface UpdatableRowStore<Row> extends RowStore<Row> {
  /** Reads a row and writes what `change` makes of it. Resolves when that is on disk. */
  update(id: number, change: (row: Row) => Row): Promise<void>
  /** How often what was committed has been moved into the main file, as far as was seen. */
  readonly checkpoints: number
}

/** Rows that `load` puts in a transaction. */
export const loadBatch = 1_000
