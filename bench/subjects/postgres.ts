/** PostgreSQL at its serializable level: the server that most programs would otherwise ask for serializable transactions. */
import { changesOf, type Account, type Transfers } from '../accounts.js'
import { batches } from '../batches.js'
import { loadPackage } from '../peers.js'
import type { Subject, TransferStore } from '../store.js'
import { startPostgres, type RunningPostgres } from './postgres-server.js'

/** What is used of the package `pg`; it is no dependency of the project, so its types are not there. */
interface Client {
  query(query: Query | string): Promise<{ readonly rows: readonly unknown[] }>
  release(): void
  on(event: 'error', listener: (error: Error) => void): void
}

interface Pool {
  connect(): Promise<Client>
  end(): Promise<void>
  on(event: 'error', listener: (error: Error) => void): void
  on(event: 'connect', listener: (client: Client) => void): void
}

/** With a name it is prepared once for each connection. */
interface Query {
  readonly name: string
  readonly text: string
  readonly values?: readonly unknown[]
}

type PoolConstructor = new (options: object) => Pool

const loadBatch = 10_000
/** Serialization failures and deadlocks: the transaction is to be tried again. */
const retryable: readonly unknown[] = ['40001', '40P01']
const columns = 'owner, balance, changes, note'
const begin: Query = { name: 'begin', text: 'BEGIN ISOLATION LEVEL SERIALIZABLE' }
const commit: Query = { name: 'commit', text: 'COMMIT' }
const select = (id: number): Query => ({ name: 'select', text: `SELECT ${columns} FROM accounts WHERE id = $1`, values: [id] })
const update = (id: number, { owner, balance, changes, note }: Account): Query => ({
  name: 'update',
  text: 'UPDATE accounts SET owner = $1, balance = $2, changes = $3, note = $4 WHERE id = $5',
  values: [owner, balance, changes, note, id],
})

export function postgres(connections: number): Subject<TransferStore> {
  return {
    name: `postgres/${connections}`,
    settings:
      `SERIALIZABLE, ${connections} connections through a Unix socket, prepared statements, pipelined: a transaction is two round trips (begin and read, write and commit); serialization failures and deadlocks ` +
      'are tried again; otherwise defaults (fsync and synchronous_commit on); the server has processes of its own, and is started anew for each round',
    async open(directory) {
      const { Pool } = loadPackage('pg') as { readonly Pool: PoolConstructor }
      const server = await startPostgres(directory)
      const { directory: host, port, user, password } = server
      const pool = new Pool({ host, port, user, password, database: 'postgres', max: connections, pipeline: true })
      // Of a connection that fails between two queries, the next query is told.
      pool.on('error', () => {})
      pool.on('connect', client => client.on('error', () => {}))
      const store = new Store(server, pool)
      try {
        await store.connect(connections)
        return store
      } catch (error) {
        await store.close()
        throw error
      }
    },
  }
}

class Store implements TransferStore {
  readonly #server: RunningPostgres
  readonly #pool: Pool

  constructor(server: RunningPostgres, pool: Pool) {
    this.#server = server
    this.#pool = pool
  }

  /** All connections at once, so that no transfer waits for one to be made. */
  async connect(connections: number): Promise<void> {
    const connected = await Promise.allSettled(Array.from({ length: connections }, () => this.#pool.connect()))
    for (const result of connected) if (result.status === 'fulfilled') result.value.release()
    valuesOf(connected)
  }

  async load(rows: Iterable<readonly [id: number, account: Account]>): Promise<void> {
    await this.#with(async client => {
      await client.query('CREATE TABLE accounts (id integer PRIMARY KEY, owner text NOT NULL, balance integer NOT NULL, changes integer NOT NULL, note text NOT NULL)')
      for (const batch of batches(rows, loadBatch)) {
        const accounts = batch.map(([, account]) => account)
        await client.query({
          name: 'load',
          text: `INSERT INTO accounts (id, ${columns}) SELECT * FROM unnest($1::integer[], $2::text[], $3::integer[], $4::integer[], $5::text[])`,
          values: [batch.map(([id]) => id), accounts.map(a => a.owner), accounts.map(a => a.balance), accounts.map(a => a.changes), accounts.map(a => a.note)],
        })
      }
      await client.query('VACUUM (ANALYZE) accounts')
    })
  }

  transfer(transfers: Transfers, index: number): Promise<void> {
    return this.#with(async client => {
      while (!(await attempt(client, transfers, index)));
    })
  }

  accounts(): Promise<readonly Account[]> {
    return this.#with(async client => (await client.query(`SELECT ${columns} FROM accounts ORDER BY id`)).rows as Account[])
  }

  async close(): Promise<void> {
    try {
      await this.#pool.end()
    } finally {
      await this.#server.stop()
    }
  }

  async #with<T>(body: (client: Client) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect()
    try {
      return await body(client)
    } finally {
      client.release()
    }
  }
}

/** Whether it was committed; if not, it is to be tried again. */
async function attempt(client: Client, transfers: Transfers, index: number): Promise<boolean> {
  const first = index * transfers.reads
  const ids = transfers.accounts.subarray(first, first + transfers.reads)
  try {
    const [, ...found] = await together(client, [begin, ...Array.from(ids, select)])
    const read = new Map(found.map(({ rows }, i) => [ids[i]!, rows[0] as Account]))
    await together(client, [...changesOf(transfers, index, read).map(([id, account]) => update(id, account)), commit])
    return true
  } catch (error) {
    // Where the connection has failed, that is what is thrown.
    await Promise.allSettled([client.query('ROLLBACK')])
    if (error instanceof Error && 'code' in error && retryable.includes(error.code)) return false
    throw error
  }
}

/** One round trip. All have been answered when it rejects. */
const together = async (client: Client, queries: readonly Query[]) => valuesOf(await Promise.allSettled(queries.map(query => client.query(query))))

/** Throws what the first of them failed with. */
function valuesOf<T>(results: readonly PromiseSettledResult<T>[]): T[] {
  return results.map(result => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
