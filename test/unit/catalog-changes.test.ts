/** Indexes that come and go, tables that are renamed and dropped, while others read and write. */
import { describe, expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { levels, row, type ConstraintError, type IndexDefinition, type KeyElement } from '../../engine/index.js'
import { checkpoint, conflictOf, failureOf, openTest, stateOf, turns, type Opened } from '../support/databases.js'
import { ioError } from '../support/test-environment.js'

interface Item {
  readonly n: number
}

const plainIn = (db: Database) => db.table('items', { key: ['number'], schema: row<Item>() })
const byN = (more: Partial<IndexDefinition<Item>> = {}) => ({ byN: { on: ({ n }: Item): KeyElement | undefined => n, ...more } })
const itemsIn = (db: Database, more?: Partial<IndexDefinition<Item>>) => db.table('items', { key: ['number'], schema: row<Item>(), indexes: byN(more) })
type Items = ReturnType<typeof itemsIn>

/** Items 0 to `count`, where `n` counts down. */
async function openItems(count = 10, options: Parameters<typeof openTest>[0] = {}): Promise<Opened> {
  const opened = openTest(options)
  const t = plainIn(opened.db)
  await opened.db.transaction(tx => {
    for (let i = 0; i < count; i++) tx.put(t, i, { n: count - i })
  })
  return opened
}

/** As one step holds one row. */
const small = { limits: { stepSizeBytes: 1 } }

const entriesOf = (db: Database, t: Items): unknown[] => db.range(t.indexes.byN, { keysOnly: true }).toArray().map(({ indexKey, key }) => [indexKey, key])
const expectedOf = (db: Database): unknown[] =>
  db
    .range(plainIn(db))
    .toArray()
    .map(({ key, value }) => [value.n, key] as const)
    .toSorted(([a, k], [b, l]) => a - b || k - l)
const stateIn = (db: Database) => db.tables()[0]!.indexes.map(({ name, state }) => `${name} ${state}`)

describe('an index that is built', () => {
  test('cannot be read until it is ready, by nobody; then by all who begin afterwards', async () => {
    const { db } = await openItems()
    const [snapshot, moving, reader] = [db.begin({ level: 'snapshot' }), db.begin(), db.begin({ readOnly: true })]
    const old = db.begin()
    old.range(plainIn(db)).toArray()
    const t = itemsIn(db)
    expect(stateIn(db)).toEqual(['byN building'])
    const building = expect.objectContaining({ code: 'INDEX_BUILDING', name: 'StorageError', retryable: true }) as Error
    for (const reads of [db, db.begin(), db.begin({ readOnly: true }), db.begin({ level: 'read-committed' })]) {
      for (const read of [() => reads.range(t.indexes.byN).toArray(), () => reads.count(t.indexes.byN), () => reads.first(t.indexes.byN), () => reads.last(t.indexes.byN)]) expect(read).toThrow(building)
    }
    expect(await failureOf(() => db.transaction(tx => tx.count(t.indexes.byN)))).toMatchObject({ code: 'INDEX_BUILDING' })
    await db.put(t, 100, { n: 0 })
    await t.ready
    expect(stateIn(db)).toEqual(['byN ready'])
    for (const late of [snapshot, reader]) expect(() => late.count(t.indexes.byN)).toThrow(building)
    expect(moving.count(t.indexes.byN)).toBe(11)
    expect([db.count(t.indexes.byN), db.begin({ readOnly: true }).count(t.indexes.byN), db.begin({ level: 'read-committed' }).count(t.indexes.byN)]).toEqual([11, 11, 11])
    expect(entriesOf(db, t)).toEqual(expectedOf(db))
    expect(() => old.count(t.indexes.byN)).toThrow(building)
  })

  test('can be read at once where the table is new', () => {
    const { db } = openTest()
    const t = itemsIn(db)
    expect([db.range(t.indexes.byN).toArray(), db.transactionSync(tx => tx.count(t.indexes.byN))]).toEqual([[], 0])
  })

  test.each(levels)('holds what others at %s write while it is built, before and behind where it is', async level => {
    const { db, environment } = await openItems(10, small)
    environment.holdDeferred = true
    const t = itemsIn(db)
    const early = db.begin({ level })
    early.put(t, 50, { n: 50 })
    for (let step = 0; environment.heldDeferred > 0; step++) {
      environment.runDeferred()
      await turns(2)
      if (step >= 10) continue
      db.transactionSync(tx => {
        tx.put(t, step, { n: 100 + step })
        tx.delete(t, 9 - step)
        tx.put(t, 20 + step, { n: step })
        if (step % 3 === 0) tx.deleteRange(t, { gte: 20, lt: 20 + step })
      }, { level })
    }
    environment.holdDeferred = false
    await t.ready
    await early.commit()
    expect(entriesOf(db, t)).toEqual(expectedOf(db))
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test.each(levels)('is maintained by a transaction at %s that began, and wrote, before it was declared', async level => {
    const { db } = await openItems()
    const old = plainIn(db)
    const [blind, gone, range] = [db.begin({ level }), db.begin({ level }), db.begin({ level })]
    blind.put(old, 1, { n: 77 })
    blind.put(old, 100, { n: 100 })
    gone.delete(old, 2)
    range.deleteRange(old, { gte: 5 })
    const t = itemsIn(db)
    await t.ready
    for (const tx of [blind, gone]) await tx.commit()
    if (level === 'read-committed') await range.commit()
    else expect(await failureOf(() => range.commit())).toMatchObject({ code: 'CONFLICT' })
    expect(entriesOf(db, t)).toEqual(expectedOf(db))
    expect(db.count(t)).toBe(level === 'read-committed' ? 4 : 10)
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('does not disturb who does not read it, and who relies on it is disturbed when it goes', async () => {
    const { db } = await openItems()
    const results = db.table('results', { key: ['string'], schema: row<number>() })
    await results.ready
    const bystander = db.begin()
    bystander.put(results, 'a', bystander.count(plainIn(db)))
    const t = itemsIn(db)
    await t.ready
    await bystander.commit()
    const [user, writer] = [db.begin(), db.begin()]
    user.put(results, 'b', user.count(t.indexes.byN))
    writer.put(t, 1, { n: 5 })
    await db.table('items', { key: ['number'], indexes: {} }).ready
    expect(await conflictOf(user)).toMatchObject({ table: 'catalog' })
    await writer.commit()
    expect([db.get(results, 'a'), db.get(results, 'b'), db.get(t, 1)]).toEqual([10, undefined, { n: 5 }])
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('in many steps lets others in between, and survives checkpoints', async () => {
    const opened = await openItems(50, small)
    const { db, store } = opened
    const t = itemsIn(db)
    let puts = 0
    while ((await stateOf(t.ready)) === 'pending') {
      await db.put(t, 1_000 + puts, { n: puts })
      if (puts++ % 10 === 0) await checkpoint(opened)
    }
    expect(puts).toBeGreaterThan(2)
    expect(store.epochs.live.oldest).toBeUndefined()
    expect(entriesOf(db, t)).toEqual(expectedOf(db))
    expect(await db.check()).toMatchObject({ sound: true })
  })
})

describe('a unique index that is built over duplicates', () => {
  test('fails with both rows named, and the table is as it was', async () => {
    const { db } = await openItems()
    await db.put(plainIn(db), 42, { n: 3 })
    const t = itemsIn(db, { unique: true })
    const error = (await failureOf(() => t.ready)) as ConstraintError
    expect(error).toMatchObject({ code: 'UNIQUE_VIOLATION', table: 'items', index: 'byN', key: 42, holder: 7 })
    expect(error.message).toMatch(/cannot be built: the rows 7 and 42 have one key in it/)
    expect(db.tables()).toMatchObject([{ indexes: [] }])
    const gone = await failureOf(() => db.count(t.indexes.byN))
    expect(gone).toMatchObject({ code: 'TABLE_DROPPED', cause: { code: 'UNIQUE_VIOLATION' } })
    await db.put(t, 43, { n: 3 })
    await db.deleteRange(t, { gte: 42 })
    const again = itemsIn(db, { unique: true })
    await again.ready
    expect(entriesOf(db, again)).toEqual(expectedOf(db))
    await turns(10)
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('leaves the other indexes of its declaration alone', async () => {
    const { db } = await openItems()
    await db.put(plainIn(db), 42, { n: 3 })
    const t = db.table('items', { key: ['number'], schema: row<Item>(), indexes: { one: { on: ({ n }) => n, unique: true }, two: { on: ({ n }) => -n } } })
    expect(await failureOf(() => t.ready)).toMatchObject({ code: 'UNIQUE_VIOLATION', index: 'one' })
    await db.put(t, 43, { n: 3 })
    expect(stateIn(db)).toEqual(['two ready'])
    expect(db.count(t.indexes.two)).toBe(12)
  })

  test.each(['removes', 'adds'])('comes to what is there at the end, where somebody %s a duplicate meanwhile', async what => {
    const { db, environment } = await openItems(10, small)
    if (what === 'removes') await db.put(plainIn(db), 42, { n: 3 })
    environment.holdDeferred = true
    const t = itemsIn(db, { unique: true })
    for (let step = 0; step < 3; step++) {
      environment.runDeferred()
      await turns(2)
    }
    db.transactionSync(tx => (what === 'removes' ? tx.delete(t, 42) : tx.put(t, 8, { n: 3 })))
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    if (what === 'removes') await t.ready
    else expect(await failureOf(() => t.ready)).toMatchObject({ code: 'UNIQUE_VIOLATION' })
    await turns(10)
    expect(stateIn(db)).toEqual(what === 'removes' ? ['byN ready'] : [])
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('keeps a key for the row that is left with it, where the other gives it up', async () => {
    const { db, environment } = await openItems(10, small)
    db.transactionSync(tx => tx.put(plainIn(db), 9, { n: 10 })) // as row 0
    environment.holdDeferred = true
    const t = itemsIn(db, { unique: true })
    for (let step = 0; step < 6; step++) {
      environment.runDeferred()
      await turns(2)
    }
    db.transactionSync(tx => {
      tx.delete(t, 0)
      tx.put(t, 9, { n: 10 })
    })
    expect(() => db.transactionSync(tx => tx.put(t, 50, { n: 10 }))).toThrow(expect.objectContaining({ code: 'UNIQUE_VIOLATION', key: 50, holder: 9 }) as Error)
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    await t.ready
    expect(entriesOf(db, t)).toEqual(expectedOf(db))
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('is held against who claims a key that an indexed row has, before it is ready', async () => {
    const { db, environment } = await openItems(10, small)
    environment.holdDeferred = true
    const t = itemsIn(db, { unique: true })
    for (let step = 0; step < 6; step++) {
      environment.runDeferred()
      await turns(2)
    }
    expect(() => db.transactionSync(tx => tx.put(t, 99, { n: 10 }))).toThrow(expect.objectContaining({ code: 'UNIQUE_VIOLATION', key: 99, holder: 0 }) as Error)
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    await t.ready
  })
})

describe('an index that cannot be built', () => {
  test.each([
    ['for its function throws', 'INVALID_INDEX_KEY', ({ n }: Item) => { if (n === 5) throw new Error('mine'); return n }],
    ['for a key that is none', 'INVALID_INDEX_KEY', ({ n }: Item) => (n === 5 ? Number.NaN : n)],
    ['for a key that is too large', 'KEY_TOO_LARGE', ({ n }: Item) => (n === 5 ? 'x'.repeat(1_895) : n)],
  ] as const)('%s goes, and the table is as it was', async (_name, code, on) => {
    const { db } = await openItems()
    const t = itemsIn(db, { on: on as (item: Item) => KeyElement })
    const error = await failureOf(() => t.ready)
    expect(error).toMatchObject({ code })
    expect(error.message).toContain('"byN"')
    expect(stateIn(db)).toEqual([])
    await db.put(t, 5, { n: 5 })
    await turns(10)
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('for the database was closed says so; the next opening goes on where it was', async () => {
    const { db, environment, path, store } = await openItems(10, small)
    environment.holdDeferred = true
    const t = itemsIn(db)
    for (let step = 0; step < 5; step++) {
      environment.runDeferred()
      await turns(2)
    }
    expect(store.visibleTs).toBeGreaterThan(4)
    const closing = db.close()
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    await closing
    expect(await failureOf(() => t.ready)).toMatchObject({ code: 'CLOSED' })
    const again = openTest({ path, ...small })
    expect(stateIn(again.db)).toEqual(['byN building'])
    let calls = 0
    const rest = itemsIn(again.db, { on: ({ n }) => (calls++, n) })
    await rest.ready
    expect(calls).toBeLessThan(20) // twice for each row that was left, and not for all ten
    expect(entriesOf(again.db, rest)).toEqual(expectedOf(again.db))
    expect(await again.db.check()).toMatchObject({ sound: true })
  })

  test('for the disk failed says so', async () => {
    const { db, environment } = await openItems(10, small)
    const t = itemsIn(db)
    environment.syncError = ioError('EIO')
    expect((await failureOf(() => t.ready)).code).toMatch(/^(POISONED|COMMIT_UNKNOWN)$/)
    await failureOf(() => db.put(t, 1, { n: 1 }))
    expect(() => db.tables()).toThrow(expect.objectContaining({ code: 'POISONED' }) as Error)
  })
})
