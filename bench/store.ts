/** What a workload needs of a store. Adapters are as thin as the store allows, for what they cost counts against it. */
import type { Account, Transfers } from './accounts.js'

export interface Subject<S extends Store | TransferStore = Store> {
  /** As results and ratios name it. */
  readonly name: string
  /** What was chosen where the store leaves a choice. */
  readonly settings: string
  /** Opens what is in the directory, or makes it. */
  open(directory: string): Promise<S>
}

export interface Store {
  /** Fills an empty store. Afterwards close it: only then is everything where it will be after a restart. */
  load(accounts: Iterable<readonly [id: number, account: Account]>): Promise<void>
  /** A transaction that reads. */
  read<T>(body: (tx: Reader) => T): Promise<T> | T
  /** A transaction that may write; as durable as the subject's settings say when it ends. */
  write(body: (tx: Tx) => void): Promise<void> | void
  /** Returns when everything is on disk and the files are closed. */
  close(): Promise<void>
}

/** A store whose transactions overlap in time. */
export interface ConcurrentStore extends Store {
  /** A transaction that takes several turns of the event loop. */
  writeAsync(body: (tx: Tx) => Promise<void>): Promise<void>
}

/** A store that reads and writes asynchronously: it does whole transfers, in whatever way is best for it. */
export interface TransferStore extends Pick<Store, 'load' | 'close'> {
  transfer(transfers: Transfers, index: number): Promise<void>
  /** All of them, in the order of their ids. */
  accounts(): Promise<readonly Account[]>
}

export interface Reader {
  get(id: number): Account | undefined
}

export interface Tx extends Reader {
  put(id: number, account: Account): void
}
