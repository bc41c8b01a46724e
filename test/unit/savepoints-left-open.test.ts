/** A savepoint is all or nothing, also where the body around it ends before it does. */
import { expect, test } from 'vitest'
import type { Transaction } from '../../engine/index.js'
import { contentOf, deferred, failureOf, openNumbers } from '../support/databases.js'

test.each(['synchronous', 'asynchronous'] as const)('a %s savepoint that ends before a savepoint inside it aborts the transaction', async kind => {
  const { db, t } = await openNumbers()
  const gate = deferred()
  let inner: Promise<unknown> = Promise.resolve()
  const halfDone = async (tx: Transaction): Promise<void> => {
    tx.put(t, 'half', 1)
    await gate.promise
    tx.put(t, 'other half', 1)
  }
  const outer = (tx: Transaction): void => {
    inner = tx.transaction(halfDone)
    inner.catch(() => {})
  }
  const error = await failureOf(() =>
    db.transaction(async tx => {
      if (kind === 'synchronous') tx.transaction(outer)
      else await tx.transaction(async child => outer(child))
    }),
  )
  expect(error).toMatchObject({ code: 'SAVEPOINT_ACTIVE' })
  gate.resolve()
  await failureOf(() => inner)
  expect(contentOf(db, t)).toEqual({})
})

test('a savepoint that fails after the one around it has ended undoes nothing of others', async () => {
  const { db, t } = await openNumbers()
  const gate = deferred()
  let inner: Promise<unknown> = Promise.resolve()
  const error = await failureOf(() =>
    db.transaction(async tx => {
      try {
        tx.transaction(outer => {
          inner = outer.transaction(async () => {
            await gate.promise
            throw new Error('late')
          })
          inner.catch(() => {})
        })
      } catch {
        // The commit must be refused all the same.
      }
      gate.resolve()
      await inner.catch(() => {})
      tx.put(t, 'after', 1)
    }),
  )
  expect(error).toMatchObject({ code: 'SAVEPOINT_ACTIVE' })
  expect(contentOf(db, t)).toEqual({})
})
