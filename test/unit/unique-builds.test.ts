/** A unique index that is being built while transactions put rows again as they are: whose entry is whose must come out right. */
import { expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { row } from '../../engine/index.js'
import { failureOf, openTest, turns, type Opened } from '../support/databases.js'

const plainIn = (db: Database) => db.table('t', { key: ['string'], schema: row<number>() })
const uniqueIn = (db: Database) => db.table('t', { key: ['string'], schema: row<number>(), indexes: { byValue: { on: value => value, unique: true } } })

/** Rows whose index is declared, with `steps` of its build taken, each of one row. */
async function openBuilding(rows: Readonly<Record<string, number>>, steps: number): Promise<Opened & { readonly t: ReturnType<typeof uniqueIn>; readonly finish: () => Promise<void> }> {
  const opened = openTest({ limits: { stepSizeBytes: 1 } })
  const { db, environment } = opened
  const plain = plainIn(db)
  db.transactionSync(tx => {
    for (const [key, value] of Object.entries(rows)) tx.put(plain, key, value)
  })
  environment.holdDeferred = true
  const t = uniqueIn(db)
  for (let i = 0; i < steps; i++) {
    environment.runDeferred()
    await turns(2)
  }
  const finish = async (): Promise<void> => {
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    await t.ready
  }
  return { ...opened, t, finish }
}

const entriesIn = (db: Database, t: ReturnType<typeof uniqueIn>) => Array.from(db.range(t.indexes.byValue, { keysOnly: true }), ({ indexKey, key }) => [indexKey, key])

test('a row takes over an entry that another gives up, where its own was not made yet', async () => {
  const { db, t, finish } = await openBuilding({ a: 2 }, 0)
  db.transactionSync(tx => tx.put(t, 'b', 2)) // nobody has the key yet
  db.transactionSync(tx => {
    tx.put(t, 'b', 0)
    tx.put(t, 'a', 2)
  })
  db.transactionSync(tx => tx.put(t, 'c', 1))
  await finish()
  expect(entriesIn(db, t)).toEqual([
    [0, 'b'],
    [1, 'c'],
    [2, 'a'],
  ])
  db.transactionSync(tx => tx.delete(t, 'a'))
  expect(entriesIn(db, t)).toEqual([
    [0, 'b'],
    [1, 'c'],
  ])
  expect(await db.check()).toMatchObject({ sound: true })
})

test.each([['a', 'z'], ['z', 'a']])('rows with one key that are put again as they are (%s, then %s) are still found by the build', async (first, second) => {
  const { db, t, finish } = await openBuilding({ a: 1, b: 2, c: 3, z: 1 }, 2)
  db.transactionSync(tx => {
    tx.put(t, first, 1)
    tx.put(t, second, 1)
  })
  expect(await failureOf(finish)).toMatchObject({ code: 'UNIQUE_VIOLATION', key: 'z', holder: 'a' })
  expect(db.tables()).toMatchObject([{ indexes: [] }])
  expect(await db.check()).toMatchObject({ sound: true })
})
