/** What a read through an index relies on: the stretch of index keys that was looked at and the rows handed out, no more and no less; and how a conflict is told. */
import { describe, expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { levels, row, type Transaction } from '../../engine/index.js'
import type { ManualTransaction } from '../../engine/run.js'
import { checkpoint, conflictOf, openTest, type Opened } from '../support/databases.js'

interface Doctor {
  readonly shift: string
  readonly age: number
  readonly badge?: string
}

const doctorsIn = (db: Database) =>
  db.table('doctors', {
    key: ['string'],
    schema: row<Doctor>(),
    indexes: { byShift: { on: d => d.shift }, byAge: { on: d => [d.shift, d.age] }, byBadge: { on: d => d.badge, unique: true } },
  })
type Doctors = ReturnType<typeof doctorsIn>

async function openDoctors(): Promise<Opened & { readonly t: Doctors; readonly results: ReturnType<typeof resultsIn> }> {
  const opened = openTest()
  const t = doctorsIn(opened.db)
  const results = resultsIn(opened.db)
  await Promise.all([t.ready, results.ready])
  await opened.db.transaction(tx => {
    tx.put(t, 'ada', { shift: 'early', age: 30, badge: 'A' })
    tx.put(t, 'bob', { shift: 'late', age: 40, badge: 'B' })
    tx.put(t, 'cay', { shift: 'late', age: 50, badge: 'C' })
    tx.put(t, 'dan', { shift: 'night', age: 60 })
  })
  return { ...opened, t, results }
}
const resultsIn = (db: Database) => db.table('results', { key: ['string'], schema: row<number>() })

type Reads = (tx: Transaction, t: Doctors) => unknown
const reads: Record<string, Reads> = {
  'rows of one key': (tx, t) => tx.range(t.indexes.byShift, { prefix: ['late'] }).toArray(),
  'keys of one key': (tx, t) => tx.range(t.indexes.byShift, { prefix: ['late'], keysOnly: true }).toArray(),
  'a count': (tx, t) => tx.count(t.indexes.byShift, { prefix: ['late'] }),
  'the first row': (tx, t) => tx.first(t.indexes.byShift, { gte: 'late' }),
  'the first key': (tx, t) => tx.first(t.indexes.byShift, { gte: 'late', keysOnly: true }),
  'the last row': (tx, t) => tx.last(t.indexes.byShift, { lte: 'late' }),
  'rows up to a limit': (tx, t) => tx.range(t.indexes.byShift, { gte: 'late', limit: 1 }).toArray(),
  'rows from the end up to a limit': (tx, t) => tx.range(t.indexes.byShift, { reverse: true, limit: 1 }).toArray(),
  'rows, left early': (tx, t) => {
    for (const { key } of tx.range(t.indexes.byShift, { gte: 'late' })) return key
    return undefined
  },
  'nothing: an empty stretch': (tx, t) => tx.range(t.indexes.byShift, { prefix: ['off'] }).toArray(),
  'the holder of a key': (tx, t) => tx.get(t.indexes.byBadge, 'B'),
  'a key that nobody holds': (tx, t) => tx.get(t.indexes.byBadge, 'Z'),
}

type Writes = (tx: Transaction, t: Doctors) => void
const writes: Record<string, Writes> = {
  'bob changed, his keys not': (tx, t) => tx.put(t, 'bob', { shift: 'late', age: 41, badge: 'B' }),
  'cay changed, her keys not': (tx, t) => tx.put(t, 'cay', { shift: 'late', age: 51, badge: 'C' }),
  'bob moved out': (tx, t) => tx.put(t, 'bob', { shift: 'early', age: 40, badge: 'B' }),
  'cay deleted': (tx, t) => tx.delete(t, 'cay'),
  'dan moved in': (tx, t) => tx.put(t, 'dan', { shift: 'late', age: 60 }),
  'abe brought in at the beginning': (tx, t) => tx.put(t, 'abe', { shift: 'late', age: 1 }),
  'somebody on a shift that nobody had': (tx, t) => tx.put(t, 'eve', { shift: 'off', age: 1 }),
  'somebody far away': (tx, t) => tx.put(t, 'eve', { shift: 'early', age: 1, badge: 'Y' }),
  'badge Z given': (tx, t) => tx.put(t, 'eve', { shift: 'early', age: 1, badge: 'Z' }),
  'badge B taken away': (tx, t) => tx.put(t, 'bob', { shift: 'late', age: 40 }),
}

/** Which writes each read conflicts with. */
const conflicts: Record<keyof typeof reads, readonly (keyof typeof writes)[]> = {
  'rows of one key': ['bob changed, his keys not', 'cay changed, her keys not', 'bob moved out', 'cay deleted', 'dan moved in', 'abe brought in at the beginning', 'badge B taken away'],
  'keys of one key': ['bob moved out', 'cay deleted', 'dan moved in', 'abe brought in at the beginning'],
  'a count': ['bob moved out', 'cay deleted', 'dan moved in', 'abe brought in at the beginning'],
  'the first row': ['bob changed, his keys not', 'bob moved out', 'abe brought in at the beginning', 'badge B taken away'],
  'the first key': ['bob moved out', 'abe brought in at the beginning'],
  'the last row': ['cay changed, her keys not', 'cay deleted', 'dan moved in'],
  'rows up to a limit': ['bob changed, his keys not', 'bob moved out', 'abe brought in at the beginning', 'badge B taken away'],
  'rows from the end up to a limit': ['dan moved in', 'somebody on a shift that nobody had'],
  'rows, left early': ['bob changed, his keys not', 'bob moved out', 'abe brought in at the beginning', 'badge B taken away'],
  'nothing: an empty stretch': ['somebody on a shift that nobody had'],
  'the holder of a key': ['bob changed, his keys not', 'bob moved out', 'badge B taken away'],
  'a key that nobody holds': ['badge Z given'],
}

/** A handle that has read and is about to write, and then another's commit. */
async function overtaken(opened: Awaited<ReturnType<typeof openDoctors>>, read: Reads, write: Writes, atCheckpoint: boolean): Promise<ManualTransaction> {
  const { db, t, results } = opened
  const tx = db.begin({ label: 'reader' })
  read(tx, t)
  tx.put(results, 'r', 1)
  await db.transaction(other => write(other, t), { label: 'writer' })
  if (atCheckpoint) await checkpoint(opened)
  return tx
}

describe.each(Object.keys(reads))('who read %s', read => {
  test.each(Object.keys(writes))('and %s', async write => {
    for (const atCheckpoint of [false, true]) {
      const opened = await openDoctors()
      const tx = await overtaken(opened, reads[read]!, writes[write]!, atCheckpoint)
      if (conflicts[read]!.includes(write)) {
        const explain = await conflictOf(tx)
        expect(explain).toMatchObject({ table: 'doctors', level: 'serializable', overwrittenBy: { label: 'writer' } })
      } else {
        await tx.commit()
        expect(opened.db.get(opened.results, 'r')).toBe(1)
      }
    }
  })
})

test.each(levels.filter(level => level !== 'serializable'))('at %s reading through an index relies on nothing', async level => {
  const { db, t, results } = await openDoctors()
  const tx = db.begin({ level })
  for (const read of Object.values(reads)) read(tx, t)
  tx.put(results, 'r', 1)
  for (const write of Object.values(writes)) if (write !== writes['badge B taken away']) await db.transaction(other => write(other, t))
  await tx.commit()
  expect(db.get(results, 'r')).toBe(1)
})

test('a row that moves within what was read as keys, and comes back, is no conflict', async () => {
  const { db, t, results } = await openDoctors()
  const tx = db.begin()
  tx.count(t.indexes.byShift)
  tx.get(t.indexes.byBadge, 'B')
  tx.put(results, 'r', 1)
  const bob = db.get(t, 'bob')!
  await db.put(t, 'bob', { ...bob, shift: 'off', badge: 'other' })
  await db.put(t, 'bob', bob)
  await tx.commit()
  expect(db.get(results, 'r')).toBe(1)
})

test('own writes are no premise: what others do to rows that it has written blindly is its own affair', async () => {
  const { db, t } = await openDoctors()
  const tx = db.begin()
  tx.put(t, 'ada', { shift: 'new', age: 1 })
  expect(tx.range(t.indexes.byShift, { prefix: ['new'], limit: 1 }).toArray()).toHaveLength(1)
  await db.put(t, 'ada', { shift: 'other', age: 2 })
  await tx.commit()
  expect(db.range(t.indexes.byShift, { keysOnly: true }).toArray().map(({ indexKey, key }) => `${indexKey} ${key}`)).toEqual(['late bob', 'late cay', 'new ada', 'night dan'])
})

test('an iterator goes on at the newer state when the snapshot moves, with own writes where they belong', async () => {
  const { db } = openTest()
  const t = db.table('items', { key: ['number'], schema: row<number>(), indexes: { byValue: { on: value => value } } })
  const other = resultsIn(db)
  await Promise.all([t.ready, other.ready])
  await db.transaction(tx => {
    for (let i = 0; i < 10; i++) tx.put(t, i, i)
  })
  const tx = db.begin()
  tx.put(t, 100, 3.5)
  tx.put(t, 5, 50)
  const iterator = tx.range(t.indexes.byValue)[Symbol.iterator]()
  const keys = [0, 1, 2].map(() => iterator.next().value?.key)
  await db.put(other, 'r', 1)
  await db.put(t, 4, 4.5)
  await db.put(t, 200, 6.5)
  expect(tx.get(other, 'r')).toBe(1)
  for (let step = iterator.next(); !step.done; step = iterator.next()) keys.push(step.value.key)
  expect(keys).toEqual([0, 1, 2, 3, 100, 4, 6, 200, 7, 8, 9, 5])
  await tx.commit()
  expect(await db.check()).toMatchObject({ sound: true })
})

test('disjoint writers through one index do not meet', async () => {
  const { db, t } = await openDoctors()
  const both = ['early', 'late'].map(shift =>
    db.transaction(
      async tx => {
        for (const { key, value } of tx.range(t.indexes.byShift, { prefix: [shift] })) tx.put(t, key, { ...value, age: value.age + 1 })
        await Promise.resolve()
        return tx.attempt
      },
      { maxAttempts: 1 },
    ),
  )
  expect(await Promise.all(both)).toEqual([1, 1])
  expect(db.range(t).toArray().map(({ value }) => value.age)).toEqual([31, 41, 51, 60])
})

test('two who each look at a stretch and write into the other’s cannot both commit', async () => {
  const { db, t } = await openDoctors()
  const [a, b] = [db.begin(), db.begin()]
  expect([a.count(t.indexes.byShift, { prefix: ['x'] }), b.count(t.indexes.byShift, { prefix: ['y'] })]).toEqual([0, 0])
  a.put(t, 'a', { shift: 'y', age: 1 })
  b.put(t, 'b', { shift: 'x', age: 1 })
  await a.commit()
  expect(await conflictOf(b)).toMatchObject({ kind: 'phantom', index: 'byShift' })
})

describe('an explanation', () => {
  const cases: Record<string, [Reads, Writes, object, RegExp]> = {
    'of a row brought into a stretch': [
      reads['a count']!,
      writes['dan moved in']!,
      { kind: 'phantom', index: 'byShift', read: { range: { prefix: ['late'] } }, overwrittenBy: { key: 'late', write: 'insert' } },
      /^The transaction "reader" read the range \(prefix \["late"\]\) of index "byShift" of table "doctors" at snapshot \d+, but before it could commit, commit \d+ \("writer"\) had brought a row under key "late": the range/,
    ],
    'of a row taken from a stretch': [
      (tx, t) => tx.count(t.indexes.byAge, { gt: ['late', 40], lte: ['late', 50] }),
      writes['cay deleted']!,
      { kind: 'overwritten', index: 'byAge', read: { range: { gt: ['late', 40], lte: ['late', 50] } }, overwrittenBy: { key: ['late', 50], write: 'delete' } },
      /the range \(gt \["late",40\], lte \["late",50\]\) of index "byAge".* had taken a row from key \["late",50\]: what it had read is no longer so/,
    ],
    'of bounds that are leading parts': [
      (tx, t) => tx.count(t.indexes.byAge, { gte: ['late'], lt: 'night' as never }),
      writes['dan moved in']!,
      { read: { range: { gte: 'late', lt: 'night' } }, overwrittenBy: { key: ['late', 60] } },
      /gte "late", lt "night"/,
    ],
    'of a whole index': [(tx, t) => tx.count(t.indexes.byShift), writes['somebody far away']!, { kind: 'phantom', read: { range: {} } }, /read the whole range of index "byShift"/],
    'of a prefix that is bare': [
      (tx, t) => tx.count(t.indexes.byShift, { prefix: 'la' }),
      writes['dan moved in']!,
      { kind: 'phantom', index: 'byShift', overwrittenBy: { key: 'late' } },
      /of index "byShift" of table "doctors"/,
    ],
    'of the part of a range that was looked at': [
      reads['rows, left early']!,
      writes['abe brought in at the beginning']!,
      { kind: 'phantom', read: { range: { gte: 'late', lte: 'late' } }, overwrittenBy: { key: 'late' } },
      /gte "late", lte "late"/,
    ],
    'of a unique key that somebody has taken': [
      reads['a key that nobody holds']!,
      writes['badge Z given']!,
      { kind: 'overwritten', index: 'byBadge', read: { key: 'Z' }, overwrittenBy: { key: 'Z', write: 'insert' } },
      /read key "Z" of index "byBadge" of table "doctors".*had brought a row under key "Z"/,
    ],
  }

  test.each(Object.entries(cases))('%s', async (_name, [read, write, explained, sentence]) => {
    const opened = await openDoctors()
    const explain = await conflictOf(await overtaken(opened, read, write, false))
    expect(explain).toMatchObject(explained)
    expect(explain.sentence).toMatch(sentence)
    expect(structuredClone(explain)).toEqual(explain)
  })

  test('of a row that was read through an index is of the row, with no index', async () => {
    const opened = await openDoctors()
    const explain = await conflictOf(await overtaken(opened, reads['rows of one key']!, writes['bob changed, his keys not']!, false))
    expect(explain).toMatchObject({ kind: 'overwritten', table: 'doctors', read: { key: 'bob' }, overwrittenBy: { key: 'bob', write: 'put' } })
    expect(explain).not.toHaveProperty('index')
  })

  test('of an entry that a read passed over says that it was stale', async () => {
    const { db, t, results } = await openDoctors()
    const tx = db.begin()
    tx.get(t, 'cay')
    await db.transaction(other => {
      other.put(t, 'cay', { shift: 'late', age: 51, badge: 'C' })
      other.put(t, 'dan', { shift: 'late', age: 60 })
    })
    expect(tx.count(t.indexes.byShift, { prefix: ['late'] })).toBe(2)
    expect(() => tx.put(results, 'r', 1)).toThrow(expect.objectContaining({ code: 'CONFLICT' }) as Error)
    expect(await conflictOf(tx)).toMatchObject({ kind: 'overwritten', read: { key: 'cay' } })
  })
})
