/** A transaction that is ended while its commit waits leaves nothing behind: no snapshot, no stamps kept for it, no version missing for others. */
import { expect, test } from 'vitest'
import { failureOf, openNumbers, turns, type Numbers } from '../support/databases.js'
import type { Database } from '../../engine/database.js'

const limits = { conflictIndexWrites: 4, revalidateSliceKeys: 1 }
const keys = Array.from({ length: 20 }, (_, i) => `r${i}`)
const codes = { 'aborted': 'TRANSACTION_ENDED', 'timed out': 'TIMEOUT', 'cancelled': 'CANCELLED' } as const

/** Other commits, so many that whoever began before them is below the floor of the conflict index. */
async function pushFloor(db: Database, t: Numbers): Promise<void> {
  for (let i = 0; i < 10; i++) await db.put(t, `x${i % 3}`, i)
}

test.each(['aborted', 'timed out', 'cancelled'] as const)('a commit that is %s in mid-revalidation lets go of its snapshot once, and of no other', async how => {
  const { db, t, store, environment } = await openNumbers({ k: 0 }, { limits })
  const stop = new AbortController()
  const tx = db.begin({ timeoutMs: 500, signal: stop.signal })
  for (const key of keys) tx.get(t, key)
  tx.put(t, 'z', 1)
  await db.put(t, 'k', 1)
  const reader = db.begin({ readOnly: true, timeoutMs: 100_000 })
  expect(reader.get(t, 'k')).toBe(1)
  await db.put(t, 'k', 2)
  await pushFloor(db, t)

  environment.holdDeferred = true
  const committing = tx.commit()
  committing.catch(() => {})
  environment.runDeferred()
  await turns()
  if (how === 'aborted') tx.abort()
  else if (how === 'timed out') environment.advance(501)
  else stop.abort()
  environment.holdDeferred = false
  while (environment.heldDeferred > 0) environment.runDeferred()
  await turns(keys.length * 2)
  expect(await failureOf(() => committing)).toHaveProperty('code', codes[how])
  expect(db.get(t, 'z')).toBeUndefined()

  await db.put(t, 'k', 3)
  expect(reader.get(t, 'k'), 'a snapshot shows what it showed before').toBe(1)
  reader.abort()
  expect(store.epochs.tracked.oldest, 'the oldest tracked snapshot').toBeUndefined()
  expect(store.epochs.live.oldest, 'the oldest live snapshot').toBeUndefined()
})
