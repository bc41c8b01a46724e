/** What a program leaves behind without waiting for it: closed databases, and handles that go out of scope while they commit. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { expect, test, vi } from 'vitest'
import { open } from '../../engine/index.js'
import { openNumbers, stateOf, turns } from '../support/databases.js'

test('a closed database no longer follows the promises of the process', async () => {
  const runs = vi.spyOn(AsyncLocalStorage.prototype, 'run')
  const disabled = vi.spyOn(AsyncLocalStorage.prototype, 'disable')
  try {
    const db = await open(':memory:', { guard: 'async' })
    const during = await db.transaction(async () => {
      await turns(1)
      return db.outside(() => 1)
    })
    await db.close()
    expect(during).toBe(1)
    const used = new Set(runs.mock.contexts)
    expect(used.size).toBeGreaterThan(0)
    // A storage that was used and not disabled makes every later promise dearer, one more with each database.
    expect([...used].filter(storage => !disabled.mock.contexts.includes(storage))).toEqual([])
    expect(db.outside(() => 2)).toBe(2)
    expect(new Set(runs.mock.contexts)).toEqual(used)
  } finally {
    runs.mockRestore()
    disabled.mockRestore()
  }
})

test('a commit keeps its deadline where its handle is disposed of meanwhile', async () => {
  const { db, t, environment } = await openNumbers()
  environment.holdSyncs = true
  const begun = (() => {
    const tx = db.begin({ timeoutMs: 500 })
    tx.put(t, 'a', 1)
    const committing = tx.commit()
    tx[Symbol.dispose]()
    return committing
  })()
  const failure = begun.catch((error: unknown) => error)
  expect(await stateOf(begun)).toBe('pending')
  environment.advance(1_000)
  await turns()
  expect(await failure).toMatchObject({ code: 'COMMIT_UNKNOWN' })
})
