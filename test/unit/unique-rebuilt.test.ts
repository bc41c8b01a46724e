/** A unique index that is built anew, for its version or for that of the rows: meanwhile the keys that rows had stay theirs, and nobody is refused for what is not so. */
import { describe, expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { check, levels, row, type IndexDefinition, type KeyElement, type Level } from '../../engine/index.js'
import { failureOf, openTest, turns, type Opened } from '../support/databases.js'

interface User {
  readonly email?: string
}

const usersIn = (db: Database, version = 1, on: (user: User) => KeyElement | undefined = ({ email }) => email) =>
  db.table('users', { key: ['number'], schema: row<User>(), indexes: { byEmail: { on, unique: true, version } } })
const usersOfTwoIn = (db: Database) =>
  db.table('users', { key: ['number'], schema: row<User & { two: true }>(), version: 2, migrate: old => ({ ...(old as User), two: true as const }), indexes: { byEmail: { on: ({ email }) => email, unique: true } } })

const small = { limits: { stepSizeBytes: 1 } }

/** Users 0 to 9 with emails e0 to e9, whose index is being built anew; `step` goes on with that. */
async function openRebuilding(how: 'its version' | 'the version of the rows'): Promise<Opened & { readonly t: ReturnType<typeof usersIn>; readonly step: (times: number) => Promise<void>; readonly finish: () => Promise<void> }> {
  const opened = openTest(small)
  const { db, environment } = opened
  const first = usersIn(db)
  await db.transaction(tx => {
    for (let i = 0; i < 10; i++) tx.put(first, i, { email: `e${i}` })
  })
  environment.holdDeferred = true
  const t = how === 'its version' ? usersIn(db, 2) : (usersOfTwoIn(db) as unknown as ReturnType<typeof usersIn>)
  const step = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) {
      environment.runDeferred()
      await turns(2)
    }
  }
  const finish = async (): Promise<void> => {
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    await t.ready
  }
  return { ...opened, t, step, finish }
}

const put = (db: Database, t: ReturnType<typeof usersIn>, rows: Readonly<Record<number, User | undefined>>, level: Level): void =>
  db.transactionSync(
    tx => {
      for (const [key, user] of Object.entries(rows)) {
        if (user === undefined) tx.delete(t, Number(key))
        else tx.put(t, Number(key), user)
      }
    },
    { level },
  )

const emails = (db: Database, t: ReturnType<typeof usersIn>): Record<string, number> => Object.fromEntries(Array.from(db.range(t.indexes.byEmail), ({ indexKey, key }) => [indexKey as string, key]))
const violation = (key: number, holder: number): Error => expect.objectContaining({ code: 'UNIQUE_VIOLATION', index: 'byEmail', key, holder }) as Error

const hows = ['its version', 'the version of the rows'] as const

describe.each(hows)('built anew for %s', how => {
  test.each(levels)('a key is refused at %s whose row is not built yet, and one whose row is', async level => {
    const { db, t, step, finish } = await openRebuilding(how)
    for (let steps = 0; steps < 14; steps += 3) {
      for (const holder of [0, 3, 9]) {
        expect(() => put(db, t, { 50: { email: `e${holder}` } }, level)).toThrow(violation(50, holder))
        expect(() => put(db, t, { [(holder + 1) % 10]: { email: `e${holder}` } }, level)).toThrow(violation((holder + 1) % 10, holder))
      }
      await step(3)
    }
    await finish()
    expect(Object.entries(emails(db, t))).toEqual(Array.from({ length: 10 }, (_, i) => [`e${i}`, i]))
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test.each(levels)('a key is refused at %s whose row the same transaction writes and leaves with it', async level => {
    const { db, t, step, finish } = await openRebuilding(how)
    for (let steps = 0; steps < 12; steps += 4) {
      for (const holder of [0, 9]) {
        expect(() => put(db, t, { [holder]: { email: `e${holder}` }, 50: { email: `e${holder}` } }, level)).toThrow(violation(50, holder))
        put(db, t, { [holder]: { email: `e${holder}` } }, level)
      }
      await step(4)
    }
    await finish()
    expect(Object.keys(emails(db, t))).toHaveLength(10)
  })

  test.each(levels)('a key that was given up can be claimed at %s, by others and again by who had it, wherever the building is', async level => {
    for (const before of [0, 4, 12]) {
      const { db, t, step, finish } = await openRebuilding(how)
      await step(before)
      put(db, t, { 1: { email: 'new' }, 8: undefined }, level)
      put(db, t, { 50: { email: 'e1' }, 51: { email: 'e8' } }, level)
      expect(() => put(db, t, { 1: { email: 'e1' } }, level)).toThrow(violation(1, 50))
      put(db, t, { 2: { email: 'e7' }, 7: { email: 'e2' } }, level)
      put(db, t, { 3: { email: 'e4' }, 4: { email: 'e5' }, 5: { email: 'e3' } }, level)
      await step(2)
      put(db, t, { 6: { email: 'passing' } }, level)
      put(db, t, { 6: { email: 'e6' } }, level)
      put(db, t, { 9: { email: 'e9' }, 0: {} }, level)
      put(db, t, { 52: { email: 'e0' } }, level)
      await finish()
      expect(emails(db, t)).toEqual({ e0: 52, e1: 50, e2: 7, e3: 5, e4: 3, e5: 4, e6: 6, e7: 2, e8: 51, e9: 9, new: 1 })
      expect(await db.check()).toMatchObject({ sound: true })
    }
  })

  test('is no fuller afterwards: the entries of the old one go, also after an opening in the middle', async () => {
    for (const before of [0, 5, 13]) {
      const { db, path, t, step, environment } = await openRebuilding(how)
      await step(before)
      const closing = db.close()
      environment.holdDeferred = false
      while (environment.heldDeferred > 0) environment.runDeferred()
      await closing
      await Promise.allSettled([t.ready])
      expect(await check(path)).toMatchObject({ sound: true })
      const again = openTest({ path })
      const same = how === 'its version' ? usersIn(again.db, 2) : (usersOfTwoIn(again.db) as unknown as ReturnType<typeof usersIn>)
      expect(() => put(again.db, same, { 50: { email: 'e9' } }, 'serializable')).toThrow(violation(50, 9))
      await same.ready
      for (let round = 0; round < 40; round++) {
        again.environment.advance(5)
        await turns(2)
      }
      expect(Object.keys(emails(again.db, same))).toHaveLength(10)
      // Rows, entries, and of the catalog the table, the index and which numbers were given.
      const { sound, rows } = await again.db.check()
      expect([sound, rows <= 23]).toEqual([true, true])
      await again.db.close()
    }
  })
})

describe('what is declared while it is built anew', () => {
  type Next = (db: Database) => { readonly ready: Promise<void> } | Promise<void>
  const declare = (db: Database, indexes: Record<string, IndexDefinition<User>>) => db.table('users', { key: ['number'], schema: row<User>(), indexes })
  const next: Record<string, [Next, number]> = {
    'no index': [db => declare(db, {}), 10 + 2],
    'the version before': [db => usersIn(db, 1), 20 + 3],
    'one that is not unique': [db => declare(db, { byEmail: { on: ({ email }) => email, version: 2 } }), 20 + 3],
    'one with several keys': [db => declare(db, { byEmail: { on: ({ email }) => [email!], many: true, unique: true, version: 2 } }), 20 + 3],
    'one of another name': [db => declare(db, { other: { on: ({ email }) => email, unique: true } }), 20 + 3],
    'another version of the rows': [db => usersOfTwoIn(db), 20 + 3],
    'that the table has another name': [db => db.renameTable('users', 'renamed'), 20 + 3],
    'that there is no table': [db => db.dropTable('users'), 1],
  }

  test.each(Object.entries(next))('%s: that is what there is at the end, and nothing is left of anything else', async (_name, [act, rows]) => {
    const { db, environment, step, path } = await openRebuilding('its version')
    await step(5)
    const done = act(db)
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    await ('ready' in done ? done.ready : done)
    for (let round = 0; round < 60; round++) {
      environment.advance(5)
      await turns(2)
    }
    expect(await db.check()).toMatchObject({ sound: true, findings: [], rows })
    await db.close()
    expect(await check(path)).toMatchObject({ sound: true, rows })
  })
})

test.each(levels)('a transaction at %s that wrote before is held against the rows as they are', async level => {
  const { db, environment } = openTest(small)
  const first = usersIn(db)
  await db.transaction(tx => {
    for (let i = 0; i < 10; i++) tx.put(first, i, { email: `e${i}` })
  })
  const [claiming, keeping, moving] = [db.begin({ level }), db.begin({ level }), db.begin({ level })]
  claiming.put(first, 50, { email: 'e9' })
  keeping.put(first, 9, { email: 'e9' })
  moving.put(first, 8, { email: 'moved' })
  moving.put(first, 51, { email: 'e8' })
  environment.holdDeferred = true
  const t = usersIn(db, 2)
  const outcomes = Promise.all([failureOf(() => claiming.commit()), keeping.commit(), moving.commit()])
  await turns(3)
  environment.holdDeferred = false
  while (environment.heldDeferred > 0) environment.runDeferred()
  const [refused] = await outcomes
  expect(refused).toEqual(violation(50, 9))
  await t.ready
  expect(emails(db, t)).toMatchObject({ e8: 51, e9: 9, moved: 8 })
  expect(await db.check()).toMatchObject({ sound: true })
})

test('a change of the function that makes two rows equal is found by the building, and the index goes', async () => {
  const { db } = openTest()
  const t = usersIn(db)
  await db.transaction(tx => {
    tx.put(t, 1, { email: 'A' })
    tx.put(t, 2, { email: 'a' })
  })
  const folded = usersIn(db, 2, ({ email }) => email?.toLowerCase())
  expect(await failureOf(() => folded.ready)).toMatchObject({ code: 'UNIQUE_VIOLATION', key: 2, holder: 1 })
  expect(db.tables()).toMatchObject([{ indexes: [] }])
  await db.put(t, 3, { email: 'a' })
  await turns(20)
  expect(await db.check()).toMatchObject({ sound: true })
})

test('declared anew again and again while it is built, it ends as the last declaration has it', async () => {
  const { db, environment, step, store } = await openRebuilding('its version')
  for (let version = 3; version < 7; version++) {
    await step(version)
    const t = usersIn(db, version)
    expect(() => put(db, t, { 50: { email: 'e8' } }, 'snapshot')).toThrow(violation(50, 8))
  }
  environment.holdDeferred = false
  while (environment.heldDeferred > 0) environment.runDeferred()
  const last = usersIn(db, 6)
  await last.ready
  expect(Object.keys(emails(db, last))).toHaveLength(10)
  for (let round = 0; round < 60; round++) {
    environment.advance(5)
    await turns(2)
  }
  expect(await db.check()).toMatchObject({ sound: true, rows: 23 })
  expect(store.epochs.live.oldest).toBeUndefined()
})
