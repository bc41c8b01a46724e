/** An iterator that fails is over: nothing is kept for it, though nobody calls its `return` then. */
import { expect, test } from 'vitest'
import { checkpoint, failureOf, openNumbers } from '../support/databases.js'

test('a one-shot iteration that outlived the age limit lets go of its snapshot', async () => {
  const one = await openNumbers({ a: 1, b: 2 }, { limits: { snapshotAgeMs: 0 } })
  const { db, t, store } = one
  const error = await failureOf(async () => {
    for (const { key } of db.range(t)) {
      await db.put(t, key, 3)
      await checkpoint(one)
      await db.put(t, key, 4)
      await checkpoint(one)
    }
  })
  expect(error).toMatchObject({ code: 'SNAPSHOT_TOO_OLD' })
  expect(store.epochs.live.oldest).toBeUndefined()
})

test('an iterator that failed goes on failing, also where a limit would have ended it, until it is closed', async () => {
  const one = await openNumbers({ a: 1, b: 2 }, { limits: { snapshotAgeMs: 0 } })
  const { db, t } = one
  for (const limit of [1, 2, Infinity]) {
    const rows = db.range(t, { limit })[Symbol.iterator]()
    expect(rows.next().value).toMatchObject({ key: 'a' })
    for (let i = 3; i < 5; i++) {
      await db.put(t, 'b', i)
      await checkpoint(one)
    }
    const next = (): unknown => rows.next()
    if (limit === 1) expect(rows.next().done).toBe(true)
    else for (let times = 0; times < 3; times++) expect(next).toThrow(expect.objectContaining({ code: 'SNAPSHOT_TOO_OLD' }) as Error)
    rows.return?.()
    expect(rows.next()).toEqual({ done: true, value: undefined })
  }
})

test('a transaction that swallows the failure of a step is not told that there were no rows', async () => {
  const one = await openNumbers({ a: 1, b: 2 }, { limits: { snapshotAgeMs: 0 } })
  const { db, t } = one
  const tx = db.begin()
  const rows = tx.range(t, { limit: 1 })[Symbol.iterator]()
  for (let i = 3; i < 5; i++) {
    await db.put(t, 'b', i)
    await checkpoint(one)
  }
  const next = (): unknown => rows.next()
  for (let times = 0; times < 3; times++) expect(next).toThrow(expect.objectContaining({ code: 'SNAPSHOT_TOO_OLD' }) as Error)
  tx.abort()
})
