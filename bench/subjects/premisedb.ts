/** PremiseDB itself, through its public interface. */
import type { Account } from '../accounts.js'
import type { ConcurrentStore, Subject, Tx } from '../store.js'
import { open, row, type Database, type Durability, type Level, type Transaction } from '../../engine/index.js'

/** Rows put per transaction while filling. */
const loadBatch = 10_000

export function premisedb(level: Level, durability: Durability): Subject<ConcurrentStore> {
  return {
    name: `premisedb/${level}`,
    settings: `level ${level}, durability ${durability}, otherwise defaults`,
    open: async directory => storeOf(await open(directory, { durability }), level),
  }
}

const openTable = (db: Database) => db.table('accounts', { key: ['number'], schema: row<Account>() })

function storeOf(db: Database, level: Level): ConcurrentStore {
  const accounts = openTable(db)
  const options = { level }
  const txOf = (tx: Transaction): Tx => ({ get: id => tx.get(accounts, id), put: (id, account) => tx.put(accounts, id, account) })
  return {
    async load(rows) {
      const all = [...rows]
      for (let from = 0; from < all.length; from += loadBatch) {
        await db.transaction(tx => {
          for (const [id, account] of all.slice(from, from + loadBatch)) tx.put(accounts, id, account)
        })
      }
    },
    read: body => db.transaction(tx => body(txOf(tx)), options),
    write: body => db.transaction(tx => body(txOf(tx)), options),
    writeAsync: body => db.transaction(tx => body(txOf(tx)), options),
    close: () => db.close(),
  }
}
