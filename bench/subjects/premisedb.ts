/** PremiseDB itself, through its public interface. */
import type { Account } from '../accounts.js'
import { batches } from '../batches.js'
import type { ConcurrentStore, Subject, Tx } from '../store.js'
import { open, row, type Database, type Durability, type Level, type Table, type Transaction } from '../../engine/index.js'

/** Rows put per transaction while filling. */
const loadBatch = 10_000

export function premisedb(level: Level, durability: Durability): Subject<ConcurrentStore> {
  return {
    name: `premisedb/${level}`,
    settings: `level ${level}, durability ${durability}, otherwise defaults`,
    open: async directory => storeOf(await open(directory, { durability }), level),
  }
}

/** The same, with transactions that begin and end in one stretch. */
export function premisedbSync(level: Level, durability: Durability): Subject {
  const settings = `level ${level}, durability ${durability}, \`db.transactionSync\`, otherwise defaults`
  return {
    name: `premisedb/${level}`,
    settings,
    async open(directory) {
      const db = await open(directory, { durability })
      const accounts = openTable(db)
      const options = { level }
      return { ...storeOf(db, level), write: body => db.transactionSync(tx => body(txOf(tx, accounts)), options) }
    },
  }
}

type Accounts = Table<number, Account, Account, number>

const openTable = (db: Database): Accounts => db.table('accounts', { key: ['number'], schema: row<Account>() })

const txOf = (tx: Transaction, accounts: Accounts): Tx => ({ get: id => tx.get(accounts, id), put: (id, account) => tx.put(accounts, id, account) })

function storeOf(db: Database, level: Level): ConcurrentStore {
  const accounts = openTable(db)
  const options = { level }
  return {
    async load(rows) {
      for (const batch of batches(rows, loadBatch)) {
        await db.transaction(tx => {
          for (const [id, account] of batch) tx.put(accounts, id, account)
        })
      }
    },
    read: body => db.transaction(tx => body(txOf(tx, accounts)), options),
    write: body => db.transaction(tx => body(txOf(tx, accounts)), options),
    writeAsync: body => db.transaction(tx => body(txOf(tx, accounts)), options),
    close: () => db.close(),
  }
}
