/** The package `lmdb` by itself, with its own defaults: how fast its rows can be read at all. Writes only fill it. */
import { open } from 'lmdb'
import type { Account } from '../accounts.js'
import type { Subject } from '../store.js'

export const lmdb: Subject = {
  name: 'lmdb',
  settings: 'one `get` per row, encoding msgpack, otherwise defaults',
  async open(directory) {
    const db = open<Account, number>({ path: directory })
    const reader = { get: (id: number): Account | undefined => db.get(id) }
    return {
      async load(rows) {
        db.transactionSync(() => {
          for (const [id, account] of rows) void db.put(id, account)
        })
        await db.flushed
      },
      read: body => body(reader),
      write: () => {
        throw new Error('The package lmdb takes part in reading only.')
      },
      close: () => db.close(),
    }
  },
}
