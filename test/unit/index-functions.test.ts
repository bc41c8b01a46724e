/** The function of an index is code of the caller: whatever it does, its row is refused by name or its entries are right, and nothing else is changed. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { levels, row, type KeyElement, type Level, type Table, type Transaction, type UsageError } from '../../engine/index.js'
import { failureOf, fill, numbersIn, openNumbers, openTest, sharedDatabase, turns, type Opened } from '../support/databases.js'

interface Thing {
  readonly n: number
}

/** A table with an index by `n`, whose function first calls `hook.during`. */
const thingsIn = (db: Database, hook: { during: (thing: Thing) => unknown }, name = 'things') =>
  db.table(name, {
    key: ['string'],
    schema: row<Thing>(),
    indexes: {
      byN: {
        on: thing => {
          hook.during(thing)
          return thing.n
        },
      },
    },
  })

const invalid = (): Error => expect.objectContaining({ code: 'INVALID_INDEX_KEY', retryable: false }) as Error

describe('what a function gives', () => {
  const shared = sharedDatabase()
  const tableWith = (on: () => unknown, many: boolean) => shared().db.table('given', { key: ['string'], schema: row<Thing>(), indexes: { x: { on: on as () => KeyElement, many, version: ++version } } })
  let version = 0

  const bad: Record<string, () => unknown> = {
    'an object': () => ({}),
    'a function': () => () => 1,
    'a symbol': () => Symbol('x'),
    NaN: () => Number.NaN,
    'an invalid Date': () => new Date(Number.NaN),
    'a lone surrogate': () => '\ud800',
    'a Map': () => new Map(),
    'an object with the prototype of a Date': () => Object.create(Date.prototype) as unknown,
    'a tuple of no element': () => [],
    'a tuple with undefined in it': () => ['a', undefined],
    'a tuple with a hole': () => Object.assign([], { 1: 'a' }),
    'a function in a tuple in a tuple': () => [1, [() => 1]],
    'NaN in a tuple': () => [[Number.NaN]],
    'a proxy that was revoked': () => {
      const { proxy, revoke } = Proxy.revocable([], {})
      revoke()
      return proxy
    },
    // oxlint-disable-next-line unicorn/no-thenable -- just that
    'an object that throws when it is asked whether it is a promise': () => Object.defineProperty({}, 'then', { get: () => expect.fail('looked at') as unknown }),
    'a tuple of itself': () => {
      const tuple: unknown[] = []
      tuple.push(tuple)
      return tuple
    },
  }

  test.each(Object.entries(bad))('is refused where it is %s, also among several', async (_name, on) => {
    const { db } = shared()
    for (const [many, give] of [[false, on], [true, () => [on()]], [true, () => ['fine', on()]]] as const) {
      const t = tableWith(give, many)
      await t.ready
      const error = await failureOf(() => db.put(t, 'k', { n: 1 }))
      expect(error).toEqual(invalid())
      expect(error.message).toContain('"k"')
      expect(error.message).toContain('"x"')
      expect([db.count(t), db.count(t.indexes.x)]).toEqual([0, 0])
    }
  })

  test('is refused where it is no array and should be one of keys', async () => {
    const t = tableWith(() => 'tag', true)
    expect(await failureOf(() => shared().db.put(t, 'k', { n: 1 }))).toEqual(invalid())
    expect(shared().db.count(t)).toBe(0)
  })

  test('is refused where it is a promise, whose rejection is nobody’s unhandled one', async () => {
    const unhandled: unknown[] = []
    const note = (reason: unknown): void => void unhandled.push(reason)
    process.on('unhandledRejection', note)
    try {
      const failing = (): Promise<never> => Promise.reject(new Error('of the function'))
      for (const [on, many] of [[() => Promise.resolve(1), false], [failing, false], [failing, true], [() => [failing(), failing()], true]] as const) {
        const t = tableWith(on, many)
        const error = await failureOf(() => shared().db.put(t, 'k', { n: 1 }))
        expect(error).toEqual(invalid())
        await turns()
      }
    } finally {
      process.off('unhandledRejection', note)
    }
    expect(unhandled).toEqual([])
  })

  test('leaves the row out where it is undefined, and with several keys where there are none', async () => {
    const { db } = shared()
    const [one, several] = [tableWith(() => undefined, false), tableWith(() => [], true)]
    await db.put(several, 'k', { n: 1 })
    expect([db.count(several), db.count(several.indexes.x)]).toEqual([1, 0])
    expect(() => db.count(one.indexes.x)).toThrow(expect.objectContaining({ code: 'TABLE_DROPPED' }) as Error)
    await db.delete(several, 'k')
  })

  test('may be any key, also a Buffer, -0 and a nested tuple of nothing', async () => {
    const { db } = shared()
    const keys = [Buffer.from([1, 2]), -0, [[]], [null, [true, [1n]]], new Date(0), '']
    const t = tableWith(() => keys, true)
    await db.put(t, 'k', { n: 1 })
    expect(db.range(t.indexes.x, { keysOnly: true }).toArray().map(({ indexKey }) => indexKey)).toEqual([[null, [true, [1n]]], 0, new Date(0), '', Uint8Array.of(1, 2), []])
    await db.delete(t, 'k')
    expect(db.count(t.indexes.x)).toBe(0)
  })
})

test.each(levels)('a function that throws keeps its row out at %s, and the transaction goes on', async level => {
  const { db, store } = openTest()
  const mine = new Error('mine')
  const hook = { during: ({ n }: Thing): void => {
    if (n < 0) throw mine
  } }
  const t = thingsIn(db, hook)
  await db.put(t, 'there', { n: 1 })
  const before = store.visibleTs
  await db.transaction(
    tx => {
      for (const write of [() => tx.put(t, 'k', { n: -1 }), () => tx.insert(t, 'k', { n: -1 }), () => tx.update(t, 'there', () => ({ n: -1 })), () => tx.compareAndSet(t, 'there', { n: 1 }, { n: -1 })]) {
        expect(write).toThrow(invalid())
      }
      expect([tx.count(t), tx.get(t, 'there'), tx.count(t.indexes.byN)]).toEqual([1, { n: 1 }, 1])
    },
    { level },
  )
  expect(store.visibleTs).toBe(before)
  expect((await failureOf(() => db.put(t, 'k', { n: -1 }))).cause).toBe(mine)
  expect(await db.check()).toMatchObject({ sound: true })
})

describe('a function that is not pure', () => {
  test('is refused where it gives other keys for the same row at once: by chance, by counting, or because it changes the row', async () => {
    const { db } = openTest()
    let counter = 0
    const functions: ((thing: { n: number }) => KeyElement | undefined)[] = [() => Math.random(), () => counter++, thing => thing.n++, () => (counter++ % 2 === 0 ? 1 : undefined)]
    for (const on of functions) {
      const t = db.table('t', { key: ['string'], schema: row<{ n: number }>(), indexes: { x: { on, version: functions.indexOf(on) + 1 } } })
      expect(await failureOf(() => db.put(t, 'k', { n: 1 }))).toEqual(invalid())
      expect(db.count(t)).toBe(0)
    }
  })

  test('may change what it is given where that changes no key: it is a copy', async () => {
    const { db } = openTest()
    const t = db.table('t', {
      key: ['string'],
      schema: row<{ list: number[] }>(),
      indexes: { a: { on: thing => (thing.list.length = 1) }, b: { on: thing => thing.list.length } },
    })
    const value = { list: [1, 2, 3] }
    await db.put(t, 'k', value)
    expect([value, db.get(t, 'k')]).toEqual([{ list: [1, 2, 3] }, { list: [1, 2, 3] }])
    expect([...db.range(t.indexes.a, { keysOnly: true }), ...db.range(t.indexes.b, { keysOnly: true })].map(({ indexKey }) => indexKey)).toEqual([1, 3])
    await db.put(t, 'k', { list: [] })
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test.each(levels)('and gives another key later is found at the next write of the row, at %s, which changes nothing', async level => {
    const { db, store } = openTest()
    let add = 0
    const t = db.table('t', { key: ['string'], schema: row<Thing>(), indexes: { x: { on: ({ n }) => n + add } } })
    await db.put(t, 'k', { n: 1 })
    add = 5
    const before = store.visibleTs
    for (const write of [() => db.put(t, 'k', { n: 2 }, { level }), () => db.delete(t, 'k', { level }), () => db.deleteRange(t, {}, { level }), () => db.update(t, 'k', () => ({ n: 2 }), { level })]) {
      const error = await failureOf(write)
      expect(error).toEqual(invalid())
      expect(error.message).toContain('raise "version"')
    }
    expect([store.visibleTs, db.get(t, 'k')]).toEqual([before, { n: 1 }])
    add = 0
    await db.put(t, 'k', { n: 2 })
    expect(db.range(t.indexes.x).toArray()).toEqual([{ indexKey: 2, key: 'k', value: { n: 2 } }])
  })
})

describe('a function that does more than give keys', () => {
  const cases = levels.flatMap(level => (['at the write', 'at the commit'] as const).map(when => [level, when] as const))
  let hook: { during: (thing: Thing) => unknown }
  beforeEach(() => {
    hook = { during: () => {} }
  })

  /** A table with the row k = 1, and a handle that is about to put k = 2: its function is called for 2 at the put, and for 1 at the commit. */
  async function prepare(level: Level, when: 'at the write' | 'at the commit', act: (opened: Opened & { tx: ReturnType<Database['begin']>; t: Table<string, Thing, Thing, string> }) => unknown) {
    const opened = await openNumbers()
    const t = thingsIn(opened.db, hook)
    await opened.db.put(t, 'k', { n: 1 })
    const tx = opened.db.begin({ level })
    const run = ({ n }: Thing): void => {
      if (n === (when === 'at the write' ? 2 : 1)) act({ ...opened, tx, t })
    }
    const commit = async (): Promise<void> => {
      hook.during = run
      try {
        tx.put(t, 'k', { n: 2 })
        await tx.commit()
      } finally {
        hook.during = () => {}
      }
    }
    return { ...opened, things: t, tx, commit }
  }

  test.each(cases)('and aborts its transaction, at %s, %s: that has ended, and nothing is changed', async (level, when) => {
    const { db, things, commit, store } = await prepare(level, when, ({ tx }) => tx.abort())
    expect(await failureOf(commit)).toMatchObject({ code: 'TRANSACTION_ENDED' })
    expect(db.range(things.indexes.byN).toArray()).toEqual([{ indexKey: 1, key: 'k', value: { n: 1 } }])
    expect([store.epochs.live.oldest, store.epochs.tracked.oldest]).toEqual([undefined, undefined])
  })

  test.each(cases)('and closes the database, at %s, %s: that is closed, and nothing is changed', async (level, when) => {
    let closing: Promise<void> | undefined
    const { commit, path, tx } = await prepare(level, when, ({ db }) => (closing ??= db.close()))
    expect(await failureOf(commit)).toMatchObject({ code: 'CLOSED' })
    tx.abort()
    await closing
    const again = openTest({ path })
    const t = thingsIn(again.db, { during: () => {} })
    expect(again.db.range(t.indexes.byN).toArray()).toEqual([{ indexKey: 1, key: 'k', value: { n: 1 } }])
    expect(await again.db.check()).toMatchObject({ sound: true })
  })

  test.each(cases)('and reads and writes through its own transaction, at %s, %s', async (level, when) => {
    const { db, t, things, commit } = await prepare(level, when, ({ tx, t: same }) => {
      expect(tx.has(same, 'k')).toBe(true)
      tx.put(same, 'other', { n: 3 })
    })
    if (when === 'at the commit') {
      const error = await failureOf(commit)
      expect(error).toEqual(invalid())
      expect((error.cause as UsageError).code).toBe('TRANSACTION_ENDED')
      expect(db.range(things).toArray()).toEqual([{ key: 'k', value: { n: 1 } }])
    } else {
      await commit()
      expect(db.range(things.indexes.byN).toArray().map(({ key }) => key)).toEqual(['k', 'other'])
    }
    expect(db.count(t)).toBe(0)
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test.each(cases)('and commits something else, at %s, %s: beside a commit that waits for it nothing is changed', async (level, when) => {
    const { db, t, things, commit } = await prepare(level, when, ({ db: outer, t: same }) => {
      hook.during = () => {}
      const numbers = numbersIn(outer)
      outer.transactionSync(tx => {
        tx.put(numbers, 'beside', 1)
        tx.delete(same, 'k')
      })
    })
    if (when === 'at the commit') {
      const error = await failureOf(commit)
      expect(error).toEqual(invalid())
      expect((error.cause as UsageError).code).toBe('OUTSIDE_TRANSACTION')
      expect([db.count(t), db.range(things.indexes.byN).toArray()]).toEqual([0, [{ indexKey: 1, key: 'k', value: { n: 1 } }]])
    } else {
      const outcome = await commit().then(() => 'committed', (error: { code: string }) => error.code)
      expect(outcome).toBe(level === 'snapshot' ? 'CONFLICT' : 'committed')
      expect([db.get(t, 'beside'), db.count(things), db.count(things.indexes.byN)]).toEqual([1, level === 'snapshot' ? 0 : 1, level === 'snapshot' ? 0 : 1])
    }
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test.each(levels)('and writes through its own transaction at the commit of a synchronous one, at %s: that is refused, not lost', async level => {
    const { db, t, things } = await prepare(level, 'at the commit', () => {})
    const body = (inner: Transaction): void => {
      inner.put(things, 'k', { n: 2 })
      hook.during = ({ n }) => n === 1 && inner.put(t, 'lost', 1)
    }
    const error = await failureOf(() => db.transactionSync(body, { level }))
    expect(error).toEqual(invalid())
    expect((error.cause as UsageError).code).toBe('TRANSACTION_ENDED')
    hook.during = () => {}
    expect([db.count(t), db.get(things, 'k')]).toEqual([0, { n: 1 }])
  })

  const changes: Record<string, (opened: Opened, t: Table<string, Thing, Thing, string>) => unknown> = {
    put: ({ db }, t) => db.put(t, 'x', { n: 1 }),
    transaction: ({ db }, t) => db.transaction(tx => tx.put(t, 'x', { n: 1 })),
    'a manual transaction': ({ db }, t) => {
      const other = db.begin()
      other.put(t, 'x', { n: 1 })
      return other.commit()
    },
    renameTable: ({ db }) => db.renameTable('things', 'renamed'),
    dropTable: ({ db }) => db.dropTable('things'),
    table: async ({ db }) => db.table('new', { key: ['string'] }).ready,
  }

  test.each(Object.entries(changes))('and tries %s while a commit waits for it: that is refused, and the commit is as if it had not been tried', async (_name, change) => {
    const outcomes: Promise<unknown>[] = []
    let tried = false
    const { db, things, commit, ...opened } = await prepare('serializable', 'at the commit', ({ db: outer, t }) => {
      if (tried) return
      tried = true
      const quiet = hook.during
      hook.during = () => {}
      outcomes.push(failureOf(() => change({ ...opened, db: outer }, t)))
      hook.during = quiet
    })
    await commit()
    expect(await Promise.all(outcomes)).toMatchObject([{ code: 'OUTSIDE_TRANSACTION' }])
    expect(db.tables().map(({ name }) => name)).toEqual(['numbers', 'things'])
    expect(db.range(things.indexes.byN).toArray()).toEqual([{ indexKey: 2, key: 'k', value: { n: 2 } }])
  })

  test('and calls the database from a body is refused as any call beside the transaction is', async () => {
    const { db } = await openNumbers({ a: 1 })
    const numbers = numbersIn(db)
    const t = thingsIn(db, { during: () => db.get(numbers, 'a') })
    await t.ready
    const error = await failureOf(() => db.transaction(tx => tx.put(t, 'k', { n: 1 })))
    expect(error).toEqual(invalid())
    expect((error.cause as UsageError).code).toBe('OUTSIDE_TRANSACTION')
  })

  test('and closes the database while the index is built: ready says so, and the next opening builds it', async () => {
    const opened = await openNumbers()
    const plain = opened.db.table('things', { key: ['string'], schema: row<Thing>() })
    await opened.db.put(plain, 'k', { n: 1 })
    let closing: Promise<void> | undefined
    hook.during = () => (closing ??= opened.db.close())
    expect(await failureOf(() => thingsIn(opened.db, hook).ready)).toMatchObject({ code: 'CLOSED' })
    await closing
    hook.during = () => {}
    const again = openTest({ path: opened.path })
    const t = thingsIn(again.db, hook)
    await t.ready
    expect(again.db.count(t.indexes.byN)).toBe(1)
  })

  test('and writes while the index is built: the build goes, and the index with it', async () => {
    const opened = await openNumbers()
    const { db, t } = opened
    const plain = db.table('things', { key: ['string'], schema: row<Thing>() })
    await db.put(plain, 'k', { n: 1 })
    hook.during = () => fill(opened, t, { beside: 1 })
    expect(await failureOf(() => thingsIn(db, hook).ready)).toEqual(invalid())
    expect([db.count(t), db.tables().find(({ name }) => name === 'things')?.indexes]).toEqual([0, []])
    await db.put(plain, 'k', { n: 2 })
  })
})
