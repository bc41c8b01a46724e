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
