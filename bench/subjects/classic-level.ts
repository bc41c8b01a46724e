/** `classic-level` (LevelDB): a store of keys and values with atomic batches and without transactions. A lock in this process makes transfers of them, one at a time. */
import { join } from 'node:path'
import { changesOf, type Account, type Transfers } from '../accounts.js'
import { batches } from '../batches.js'
import { loadPackage } from '../peers.js'
import type { Subject, TransferStore } from '../store.js'

/** What is used of the package; it is no dependency of the project, so its types are not there. */
interface Level {
  open(): Promise<void>
  close(): Promise<void>
  getMany(keys: readonly string[]): Promise<(Account | undefined)[]>
  batch(operations: readonly Put[], options: { readonly sync: boolean }): Promise<void>
  values(): { all(): Promise<Account[]> }
}

interface Put {
  readonly type: 'put'
  readonly key: string
  readonly value: Account
}

type LevelConstructor = new (directory: string, options: object) => Level

const loadBatch = 10_000

/** Sorted as the numbers are. */
const keyOf = (id: number): string => String(id).padStart(9, '0')
const putOf = ([id, value]: readonly [number, Account]): Put => ({ type: 'put', key: keyOf(id), value })

export const classicLevel: Subject<TransferStore> = {
  name: 'classic-level/lock',
  settings:
    'one `getMany` and one `batch` with `sync: true` for each transfer, values as JSON, otherwise defaults; it has no transactions: a lock in the process lets one transfer run at a time, and protects from no ' +
    'other process, and from no reader',
  async open(directory) {
    const { ClassicLevel } = loadPackage('classic-level') as { readonly ClassicLevel: LevelConstructor }
    const db = new ClassicLevel(join(directory, 'level'), { valueEncoding: 'json' })
    await db.open()
    return new Store(db)
  },
}

class Store implements TransferStore {
  readonly #db: Level
  /** The transfer that has the lock last. */
  #last: Promise<void> = Promise.resolve()

  constructor(db: Level) {
    this.#db = db
  }

  async load(rows: Iterable<readonly [id: number, account: Account]>): Promise<void> {
    for (const batch of batches(rows, loadBatch)) await this.#db.batch(batch.map(putOf), { sync: true })
  }

  transfer(transfers: Transfers, index: number): Promise<void> {
    this.#last = this.#last.then(() => this.#alone(transfers, index))
    return this.#last
  }

  accounts(): Promise<readonly Account[]> {
    return this.#db.values().all()
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  async #alone(transfers: Transfers, index: number): Promise<void> {
    const first = index * transfers.reads
    const ids = transfers.accounts.subarray(first, first + transfers.reads)
    const found = await this.#db.getMany(Array.from(ids, keyOf))
    const read = new Map(found.flatMap((account, i) => (account === undefined ? [] : [[ids[i]!, account] as const])))
    await this.#db.batch(changesOf(transfers, index, read).map(putOf), { sync: true })
  }
}
