/**
 * Changes of the catalog that a crash cuts at each of their commits: an index that is built, rows that are migrated, an index and a table that are dropped. A copy of the directory, with the log cut behind
 * each of its records, is what a crash leaves; it must open, go on where it was, and come to what it would have been.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { check, row, type KeyElement } from '../../engine/index.js'
import { checkpoint, failureOf, openTest, scratchDirectory, turns, type Opened } from '../support/databases.js'
import { recordsIn } from './log-harness.js'

interface One {
  readonly n: number
}

interface Two extends One {
  readonly text: string
}

const rowCount = 9
const oneIn = (db: Database) => db.table('items', { key: ['number'], schema: row<One>() })
const indexed = (calls: { count: number }) => ({
  byN: { on: ({ n }: One): KeyElement => (calls.count++, n) },
  single: { on: ({ n }: One): KeyElement => ['key', n], unique: true },
  several: { on: ({ n }: One): KeyElement[] => [n % 3, `of ${n}`], many: true },
})
const itemsIn = (db: Database, calls = { count: 0 }) => db.table('items', { key: ['number'], schema: row<One>(), indexes: indexed(calls) })
const migrate = (old: unknown): Two => ({ n: (old as One).n, text: `item ${(old as One).n}` })
const twoIn = (db: Database) => db.table('items', { key: ['number'], schema: row<Two>(), version: 2, migrate, indexes: indexed({ count: 0 }) })

/** Items in a table that is to be changed and in one that is not, with steps of one row each. */
async function openItems(isInRowFile: boolean): Promise<Opened> {
  const opened = openTest({ limits: { stepSizeBytes: 1 } })
  const { db } = opened
  const [items, bystanders] = [oneIn(db), db.table('bystanders', { key: ['number'], schema: row<number>() })]
  await db.transaction(tx => {
    for (let i = 0; i < rowCount; i++) {
      tx.put(items, i, { n: rowCount - i })
      tx.put(bystanders, i, i)
    }
  })
  if (isInRowFile) await checkpoint(opened)
  return opened
}

const logsIn = (directory: string): string[] =>
  fs
    .readdirSync(join(directory, 'log'))
    .filter(name => name.endsWith('.log'))
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map(name => join(directory, 'log', name))

/** What a crash may leave: the directory as it is now, with the log cut behind each record that was written since `from`. */
function* crashesOf({ path }: Opened, from: number): Generator<{ readonly directory: string; readonly kept: number }> {
  const records = recordsOf(path)
  for (let kept = from; kept <= records; kept++) {
    const directory = join(scratchDirectory(), 'data')
    fs.cpSync(path, directory, { recursive: true })
    const log = logsIn(directory).at(-1)!
    const found = recordsIn(fs.readFileSync(log))
    if (kept < records) fs.truncateSync(log, found[kept]!.start)
    yield { directory, kept }
  }
}

const recordsOf = (path: string): number => recordsIn(fs.readFileSync(logsIn(path).at(-1)!)).length

/** What was dropped is deleted when timers have run. */
async function settled({ environment }: Opened): Promise<void> {
  for (let round = 0; round < 60; round++) {
    environment.advance(5)
    await turns(2)
  }
}

const expectedEntries = Array.from({ length: rowCount }, (_, i) => ({ indexKey: i + 1, key: rowCount - i - 1 }))

function holdsAll(db: Database, t: ReturnType<typeof itemsIn>): void {
  expect(db.range(t.indexes.byN, { keysOnly: true }).toArray()).toEqual(expectedEntries)
  expect(db.range(t.indexes.single).toArray().map(({ indexKey, key, value }) => [indexKey, key, value.n])).toEqual(expectedEntries.map(({ indexKey, key }) => [['key', indexKey], key, indexKey]))
  expect([db.count(t.indexes.several), db.count(t.indexes.several, { prefix: [0] })]).toEqual([2 * rowCount, rowCount / 3])
}

describe.each([
  ['with rows in the log', false],
  ['with rows in the row file', true],
])('%s', (_where, isInRowFile) => {
  test('an index that was being built is built to its end, from where it was', async () => {
    const opened = await openItems(isInRowFile)
    const from = recordsOf(opened.path)
    await itemsIn(opened.db).ready
    const calls: number[] = []
    const states = new Set<string>()
    for (const { directory } of crashesOf(opened, from)) {
      expect(await check(directory)).toMatchObject({ sound: true })
      const crashed = openTest({ path: directory })
      const { db } = crashed
      const description = db.tables().find(({ name }) => name === 'items')!
      states.add(description.indexes.map(({ state }) => state).join(' '))
      if (description.indexes.length > 0) {
        const plain = oneIn(db)
        expect([db.count(plain), db.get(plain, 3)]).toEqual([rowCount, { n: rowCount - 3 }])
        expect(await failureOf(() => db.put(plain, 1, { n: 1 }))).toMatchObject({ code: 'TABLE_MISMATCH' })
      }
      const count = { count: 0 }
      const t = itemsIn(db, count)
      await t.ready
      calls.push(count.count)
      holdsAll(db, t)
      await db.put(t, 1, { n: 100 })
      await db.delete(t, 2)
      expect([db.count(t.indexes.byN), db.last(t.indexes.byN)?.key]).toEqual([rowCount - 1, 1])
      expect(await db.check()).toMatchObject({ sound: true, findings: [] })
      await db.close()
    }
    expect([...states].slice(0, 2)).toEqual(['', 'building building building'])
    expect([...states].at(-1)).toBe('ready ready ready')
    // Each further commit leaves less to be done: the function runs twice for a row.
    const [, ofBuild, ...later] = calls
    expect([ofBuild, later.at(-1)]).toEqual([2 * rowCount, 0])
    expect(later).toEqual(later.toSorted((x, y) => y - x))
    expect(new Set(later).size).toBeGreaterThan(rowCount / 2)
  })

  test('a unique index with duplicates fails after every crash alike, and is gone', async () => {
    const opened = await openItems(isInRowFile)
    await opened.db.put(oneIn(opened.db), 50, { n: 1 })
    const from = recordsOf(opened.path)
    const failed = await failureOf(() => itemsIn(opened.db).ready)
    expect(failed).toMatchObject({ code: 'UNIQUE_VIOLATION' })
    for (const { directory } of crashesOf(opened, from)) {
      const crashed = openTest({ path: directory })
      const { db } = crashed
      expect(await failureOf(() => itemsIn(db).ready)).toMatchObject({ code: 'UNIQUE_VIOLATION', index: 'single', key: 50, holder: rowCount - 1 })
      expect(db.tables().find(({ name }) => name === 'items')!.indexes.map(({ name, state }) => `${name} ${state}`)).toEqual(['byN ready', 'several ready'])
      await db.put(oneIn(db), 51, { n: 1 })
      await settled(crashed)
      expect(await db.check()).toMatchObject({ sound: true })
      await db.close()
    }
  })

  test('rows that were being migrated are migrated to the last, with their indexes', async () => {
    const opened = await openItems(isInRowFile)
    await itemsIn(opened.db).ready
    const from = recordsOf(opened.path)
    await twoIn(opened.db).ready
    const versions = new Set<string>()
    for (const { directory } of crashesOf(opened, from)) {
      const crashed = openTest({ path: directory })
      const { db } = crashed
      const { version, migrating } = db.tables().find(({ name }) => name === 'items')!
      versions.add(`${version} ${migrating}`)
      const t = twoIn(db)
      expect(db.range(t).toArray()).toEqual(Array.from({ length: rowCount }, (_, i) => ({ key: i, value: migrate({ n: rowCount - i }) })))
      await t.ready
      expect(db.tables().find(({ name }) => name === 'items')).toMatchObject({ version: 2, migrating: false })
      expect(db.get(t, 5)).toEqual(migrate({ n: rowCount - 5 }))
      holdsAll(db, t as never)
      expect(await db.check()).toMatchObject({ sound: true })
      await db.close()
      expect(await check(directory)).toMatchObject({ sound: true })
    }
    expect(versions).toEqual(new Set(['1 false', '2 true', '2 false']))
  })

  test('indexes that were dropped stay so, and what is left of them goes', async () => {
    const opened = await openItems(isInRowFile)
    await itemsIn(opened.db).ready
    if (isInRowFile) await checkpoint(opened)
    const from = recordsOf(opened.path)
    await opened.db.table('items', { key: ['number'], indexes: {} }).ready
    await settled(opened)
    let kept = 0
    for (const { directory } of crashesOf(opened, from)) {
      expect(await check(directory)).toMatchObject({ sound: true })
      const crashed = openTest({ path: directory })
      const { db } = crashed
      const hasDropped = db.tables().find(({ name }) => name === 'items')!.indexes.length === 0
      if (!hasDropped) {
        kept++
        holdsAll(db, itemsIn(db))
      } else {
        const t = itemsIn(db) // anew, under numbers of their own, while the old ones are being deleted
        await db.put(t, 1, { n: 100 })
        await db.put(t, 1, { n: rowCount - 1 })
        await t.ready
        holdsAll(db, t)
        await settled(crashed)
      }
      const report = await db.check()
      // Rows, entries, and the catalog's: two tables, three indexes, and, once something was dropped, which numbers were given.
      expect([report.sound, report.rows - 6 * rowCount - 5]).toEqual([true, kept > 0 && !hasDropped ? 0 : 1])
      await db.close()
    }
    expect(kept).toBe(1)
  })

  test('a table that was dropped stays so, what is left of it goes, and a new one of its name is empty', async () => {
    const opened = await openItems(isInRowFile)
    await itemsIn(opened.db).ready
    if (isInRowFile) await checkpoint(opened)
    const from = recordsOf(opened.path)
    await opened.db.dropTable('items')
    await settled(opened)
    let kept = 0
    for (const { directory } of crashesOf(opened, from)) {
      expect(await check(directory)).toMatchObject({ sound: true })
      const crashed = openTest({ path: directory })
      const { db } = crashed
      const bystanders = db.table('bystanders', { key: ['number'], schema: row<number>() })
      if (db.tables().length === 2) {
        kept++
        holdsAll(db, itemsIn(db))
      } else {
        const t = itemsIn(db)
        expect([db.count(t), db.count(t.indexes.byN), db.count(t.indexes.several)]).toEqual([0, 0, 0])
        await db.put(t, 1, { n: 1 })
        expect([db.count(t), db.count(t.indexes.byN), db.count(t.indexes.several)]).toEqual([1, 1, 2])
        await settled(crashed)
        // Rows, entries, and the catalog's: two tables, three indexes, and which numbers were given.
        expect(await db.check()).toMatchObject({ sound: true, rows: rowCount + 5 + 6 })
      }
      expect(db.range(bystanders).toArray()).toHaveLength(rowCount)
      expect(await db.check()).toMatchObject({ sound: true })
      await db.close()
    }
    expect(kept).toBe(1)
  })
})
