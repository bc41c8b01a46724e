/** Code of the caller that runs in the middle of an operation (schemas, callbacks, iterables) may do what it likes; the operation then finds the transaction as it is. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { expect, test } from 'vitest'
import type { Level, ManualTransaction } from '../../engine/index.js'
import { levels } from '../../engine/index.js'
import { contentOf, failureOf, openNumbers, turns, type Numbers } from '../support/databases.js'

/** A schema that calls `during` whenever a value is checked. */
function schemaCalling(hook: { during: () => void }): StandardSchemaV1<number, number> {
  const validate = (value: unknown): { value: number } => {
    hook.during()
    return { value: value as number }
  }
  return { '~standard': { version: 1, vendor: 'test', validate } }
}

type Operation = (tx: ManualTransaction, t: Numbers, during: () => void) => unknown

const operations: Record<string, Operation> = {
  put: (tx, t) => tx.put(t, 'k', 1),
  insert: (tx, t) => tx.insert(t, 'k', 1),
  update: (tx, t) => tx.update(t, 'there', () => 1),
  compareAndSet: (tx, t) => tx.compareAndSet(t, 'k', undefined, 1),
  getMany: (tx, t, during) => {
    const keys = function* (): Generator<string> {
      during()
      yield 'k'
    }
    return tx.getMany(t, keys())
  },
}

const cases = levels.flatMap(level => Object.keys(operations).map(operation => [level, operation] as [Level, string]))

test.each(cases)('at %s, %s notices that its transaction was aborted meanwhile, and leaves nothing behind', async (level, operation) => {
  const hook = { during: () => {} }
  const { db, store } = await openNumbers()
  const t = db.table('checked', { key: ['string'], schema: schemaCalling(hook) })
  await db.put(t, 'there', 0)
  const tx = db.begin({ level })
  const end = (): void => {
    hook.during = () => {}
    tx.abort()
    db.outside(() => db.transactionSync(other => other.put(t, 'k', 7)))
  }
  hook.during = end
  expect(await failureOf(() => operations[operation]!(tx, t, end))).toMatchObject({ code: 'TRANSACTION_ENDED' })
  expect(store.epochs.live.oldest).toBeUndefined()
  expect(store.epochs.tracked.oldest).toBeUndefined()
  expect(contentOf(db, t)).toEqual({ k: 7, there: 0 })
})

test('a write whose schema opened a savepoint is refused, not lost with it', async () => {
  const hook = { during: () => {} }
  const { db } = await openNumbers()
  const t = db.table('checked', { key: ['string'], schema: schemaCalling(hook) })
  const error = await failureOf(() =>
    db.transaction(async tx => {
      let child: Promise<unknown> = Promise.resolve()
      hook.during = () => {
        hook.during = () => {}
        child = tx.transaction(() => Promise.reject(new Error('the savepoint failed')))
        child.catch(() => {})
      }
      try {
        tx.put(t, 'k', 1)
      } finally {
        await child.catch(() => {})
      }
    }),
  )
  expect(error).toMatchObject({ code: 'SAVEPOINT_ACTIVE' })
  expect(contentOf(db, t)).toEqual({})
})

test('an asynchronous callback of update is refused, and its rejection is nobody’s unhandled one', async () => {
  const unhandled: unknown[] = []
  const note = (reason: unknown): void => void unhandled.push(reason)
  process.on('unhandledRejection', note)
  try {
    const { db, t } = await openNumbers({ a: 1 })
    const change = (): Promise<never> => Promise.reject(new Error('of the callback'))
    expect(await failureOf(() => db.update(t, 'a', change as unknown as () => number))).toMatchObject({ code: 'INVALID_VALUE' })
    await turns()
    expect(contentOf(db, t)).toEqual({ a: 1 })
  } finally {
    process.off('unhandledRejection', note)
  }
  expect(unhandled).toEqual([])
})
