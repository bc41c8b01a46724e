/** `better-sqlite3` with a write-ahead log: the embedded store that most programs would otherwise take. It is synchronous, so it does one at a time. */
import { join } from 'node:path'
import type { Account } from '../accounts.js'
import { loadPackage } from '../peers.js'
import type { Subject } from '../store.js'

/** What is used of the package; it is no dependency of the project, so its types are not there. */
export interface Sqlite {
  prepare(sql: string): Statement
  pragma(pragma: string): unknown
  transaction<A extends unknown[]>(body: (...args: A) => void): ((...args: A) => void) & { immediate(...args: A): void }
  close(): void
}

interface Statement {
  get(...values: readonly unknown[]): unknown
  all(...values: readonly unknown[]): unknown[]
  run(...values: readonly unknown[]): unknown
  /** Rows as arrays from now on. */
  raw(): this
}

type SqliteConstructor = new (file: string) => Sqlite

const lacks = {
  FULL: '',
  NORMAL: ' (the log is synced at checkpoints only: a power failure loses the commits since the last one)',
  OFF: ' (nothing is ever synced: a power failure loses commits, and may corrupt the file)',
} as const

/** Of the pragma `synchronous`. */
export type Synchronous = keyof typeof lacks

export function openSqlite(directory: string, file: string, synchronous: Synchronous = 'FULL'): Sqlite {
  const db = new (loadPackage('better-sqlite3') as SqliteConstructor)(join(directory, file))
  db.pragma('journal_mode = WAL')
  db.pragma(`synchronous = ${synchronous}`)
  return db
}

export function betterSqlite3(synchronous: Synchronous): Subject {
  return {
    name: `better-sqlite3/${synchronous.toLowerCase()}`,
    settings: `journal_mode = WAL, synchronous = ${synchronous}${lacks[synchronous]}, prepared statements, BEGIN IMMEDIATE, otherwise defaults; one transaction at a time`,
    async open(directory) {
      const db = openSqlite(directory, 'accounts.sqlite', synchronous)
      db.prepare('CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, balance INTEGER NOT NULL, changes INTEGER NOT NULL, note TEXT NOT NULL)').run()
      const select = db.prepare('SELECT owner, balance, changes, note FROM accounts WHERE id = ?')
      const update = db.prepare('UPDATE accounts SET owner = ?, balance = ?, changes = ?, note = ? WHERE id = ?')
      const insert = db.prepare('INSERT INTO accounts (owner, balance, changes, note, id) VALUES (?, ?, ?, ?, ?)')
      const tx = {
        get: (id: number) => select.get(id) as Account | undefined,
        put: (id: number, { owner, balance, changes, note }: Account) => void update.run(owner, balance, changes, note, id),
      }
      const insertAll = db.transaction((rows: Iterable<readonly [number, Account]>) => {
        for (const [id, { owner, balance, changes, note }] of rows) insert.run(owner, balance, changes, note, id)
      })
      const write = db.transaction((body: (t: typeof tx) => void) => body(tx))
      return {
        load: async rows => insertAll(rows),
        read: body => body(tx),
        write: body => write.immediate(body),
        close: async () => db.close(),
      }
    },
  }
}
