/** Every conflict names itself: what was read, at which snapshot, who overwrote it, why that matters, and whether a retry helps; and it never shows a value. */
import { describe, expect, test } from 'vitest'
import { describeRange } from '../../engine/explain.js'
import { encodeKey, encodePartial, prefixRange, tablePrefix, tableRange } from '../../engine/encoding/keys.js'
import type { KeyElementType, KeyTuple } from '../../engine/encoding/key-elements.js'
import { levels, row, type Explanation, type ManualTransaction, type Transaction } from '../../engine/index.js'
import { successor, type KeyRange } from '../../isolation/types.js'
import { conflictOf, failureOf, fill, numbersIn, openNumbers, openTest, sharedDatabase } from '../support/databases.js'

const remedy = 'Nothing was changed. Run it again on a new snapshot; db.transaction does so by itself, up to maxAttempts times.'

describe('kinds', () => {
  test('overwritten: a row that was read was written later', async () => {
    const { db, t, store } = await openNumbers({ a: 1 })
    const tx = db.begin({ label: 'loser' })
    const snapshotTs = store.visibleTs
    tx.get(t, 'a')
    await db.put(t, 'a', 2, { label: 'winner' })
    tx.put(t, 'b', 1)
    expect(await conflictOf(tx)).toEqual({
      kind: 'overwritten',
      level: 'serializable',
      table: 'numbers',
      read: { key: 'a' },
      snapshotTs,
      overwrittenBy: { commitTs: snapshotTs + 1, label: 'winner', write: 'put', key: 'a' },
      sentence: `The transaction "loser" read row "a" of table "numbers" at snapshot ${snapshotTs}, but before it could commit, commit ${snapshotTs + 1} ("winner") had put row "a": what it had read is no longer so.`,
      remedy,
    })
  })

  test('phantom: a row was written into a range that was read', async () => {
    const { db, t, store } = await openNumbers({ a: 1 })
    const tx = db.begin()
    const snapshotTs = store.visibleTs
    tx.count(t, { gt: 'a', lte: 'm' })
    await db.insert(t, 'k', 2)
    tx.put(t, 'b', 1)
    expect(await conflictOf(tx)).toEqual({
      kind: 'phantom',
      level: 'serializable',
      table: 'numbers',
      read: { range: { gt: 'a', lte: 'm' } },
      snapshotTs,
      overwrittenBy: { commitTs: snapshotTs + 1, write: 'insert', key: 'k' },
      sentence: `The transaction read the range (gt "a", lte "m") of table "numbers" at snapshot ${snapshotTs}, but before it could commit, commit ${snapshotTs + 1} had inserted row "k": the range it had read no longer holds the same rows.`,
      remedy,
    })
  })

  test('overwritten: a row within a range that was read was changed or deleted', async () => {
    for (const value of [5, undefined]) {
      const opened = await openNumbers({ a: 1, b: 2 })
      const { db, t } = opened
      const tx = db.begin()
      tx.range(t).toArray()
      fill(opened, t, { b: value })
      tx.put(t, 'c', 1)
      const { kind, read, overwrittenBy, sentence } = await conflictOf(tx)
      expect({ kind, read, overwrittenBy }).toMatchObject({ kind: 'overwritten', read: { range: {} }, overwrittenBy: { key: 'b', write: value ? 'put' : 'delete' } })
      expect(sentence).toContain(`the whole range of table "numbers"`)
      expect(sentence).toContain(value ? 'had put row "b"' : 'had deleted row "b"')
    }
  })

  test.each(['row', 'range'] as const)('stale-read: when the %s was read a newer commit of it was there already', async how => {
    // Below the floor, where the snapshot cannot be moved because nobody knows any more what else was written.
    const { db, t, store } = await openNumbers({ a: 1, b: 1 }, { limits: { conflictIndexWrites: 0 } })
    const tx = db.begin({ label: 'late' })
    const snapshotTs = store.visibleTs
    await db.put(t, 'a', 2)
    if (how === 'row') expect(tx.get(t, 'a')).toBe(1)
    else expect(tx.range(t, { lt: 'b' }).toArray()).toEqual([{ key: 'a', value: 1 }])
    tx.put(t, 'c', 1)
    const explanation = await conflictOf(tx)
    expect(explanation).toMatchObject({
      kind: 'stale-read',
      read: how === 'row' ? { key: 'a' } : { range: { lt: 'b' } },
      snapshotTs,
      overwrittenBy: { commitTs: snapshotTs + 1, key: 'a', write: 'put' },
    })
    expect(explanation.sentence).toContain('when it read this, that commit was already there, newer than its snapshot')
  })

  test('overwritten, not stale: a row that was read before the commit, though it is met again later', async () => {
    const { db, t } = await openNumbers({ a: 1, b: 1 })
    const tx = db.begin()
    tx.get(t, 'a')
    await db.put(t, 'a', 2)
    tx.range(t).toArray()
    const error = await failureOf(() => tx.put(t, 'c', 1))
    expect(error.explain).toMatchObject({ kind: 'overwritten', read: { key: 'a' } })
    expect(await conflictOf(tx), 'the same conflict ends it').toBe(error.explain)
  })

  test('write-write: at level snapshot a row that it wrote was written by another first', async () => {
    const { db, t, store } = await openNumbers({ a: 1 })
    const tx = db.begin({ level: 'snapshot', label: 'second' })
    const snapshotTs = store.visibleTs
    tx.put(t, 'a', 3)
    await db.delete(t, 'a', { label: 'first' })
    expect(await conflictOf(tx)).toEqual({
      kind: 'write-write',
      level: 'snapshot',
      table: 'numbers',
      read: { key: 'a' },
      snapshotTs,
      overwrittenBy: { commitTs: snapshotTs + 1, label: 'first', write: 'delete', key: 'a' },
      sentence: `The transaction "second" wrote row "a" of table "numbers" at snapshot ${snapshotTs}, but before it could commit, commit ${snapshotTs + 1} ("first") had deleted row "a": the first to commit a row keeps it at this level.`,
      remedy,
    })
  })

  test('a conflict at read-committed says that the value it expected is gone', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const tx = db.begin({ level: 'read-committed' })
    tx.compareAndSet(t, 'a', 1, 2)
    await db.put(t, 'a', 3, { label: 'other' })
    expect(await conflictOf(tx)).toMatchObject({ kind: 'overwritten', level: 'read-committed', read: { key: 'a' }, overwrittenBy: { label: 'other', write: 'put' } })
  })

  test('the writer that is named is the newest, or one that really wrote there after the snapshot', async () => {
    const { db, t, store } = await openNumbers({ a: 1 })
    const tx = db.begin()
    const snapshotTs = store.visibleTs
    tx.get(t, 'a')
    for (const label of ['one', 'two', 'three']) await db.put(t, 'a', label.length, { label })
    tx.put(t, 'b', 1)
    const { overwrittenBy } = await conflictOf(tx)
    expect(overwrittenBy).toMatchObject({ key: 'a', label: ['one', 'two', 'three'][overwrittenBy.commitTs - snapshotTs - 1] })
  })
})

describe('ranges are told in the terms they were asked in', () => {
  const tuple = ['string', 'number'] as const
  const at = (elements: KeyTuple): string => encodePartial(tablePrefix(5), elements, tuple)
  const whole = tableRange(tablePrefix(5))
  const lower: [object, string][] = [
    [{}, whole.lo],
    [{ gte: ['a', 1] }, at(['a', 1])],
    [{ gt: ['a', 1] }, `${at(['a', 1])}\0`],
    [{ gte: ['a'] }, at(['a'])],
    [{ gt: ['a\0'] }, `${at(['a\0'])}\0`],
    [{ gte: ['', 0] }, at(['', 0])],
  ]
  const upper: [object, string][] = [
    [{}, whole.hi],
    [{ lt: ['x', -1] }, at(['x', -1])],
    [{ lte: ['x', -1] }, `${at(['x', -1])}\0`],
    [{ lt: ['x'] }, at(['x'])],
    [{ lte: ['\u{10ffff}'] }, `${at(['\u{10ffff}'])}\0`],
  ]
  const all = lower.flatMap(([from, lo]) => upper.map(([to, hi]) => ({ expected: { ...from, ...to }, range: { lo, hi } as KeyRange })))

  test.each(all)('$expected', ({ expected, range }) => {
    expect(describeRange(range, elements => elements)).toEqual(expected)
  })

  const prefixes: [readonly KeyElementType[], KeyTuple, object][] = [
    [tuple, ['a'], { prefix: ['a'] }],
    [tuple, [''], { prefix: [''] }],
    [tuple, ['a\0'], { prefix: ['a\0'] }],
    [tuple, ['a', 1], { prefix: ['a', 1] }],
    [tuple, [], {}],
    [['number', 'number'], [-1], { prefix: [-1] }],
    [[['string', 'number'], 'null'], [['a', 0]], { prefix: [['a', 0]] }],
    [['string'], ['ab'], { prefix: ['ab'] }],
    [['string'], ['a\0'], { prefix: ['a\0'] }],
    [['string'], ['né'], { prefix: ['né'] }],
    [['string'], ['\u{1f600}'], { prefix: ['\u{1f600}'] }],
    [['string'], [''], { prefix: [''] }],
    [['bytes'], [Uint8Array.of(1, 255)], { prefix: [Uint8Array.of(1, 255)] }],
    [['bytes'], [Uint8Array.of(0)], { prefix: [Uint8Array.of(0)] }],
  ]

  test.each(prefixes)('a prefix of a key %j: %j', (types, elements, expected) => {
    for (const id of [1, 16, 200, 256, 70_000]) {
      const asked = prefixRange(tablePrefix(id), elements, types)
      const shown = (range: KeyRange): unknown => describeRange(range, found => found)
      expect(plain(shown(asked))).toEqual(plain(expected))
      // And as far as an iterator has come.
      if (!('prefix' in expected)) continue
      const key = types.length === 1 ? encodeKey(tablePrefix(id), elements, types) : undefined
      if (key === undefined) continue
      expect(plain(shown({ lo: asked.lo, hi: successor(key) }))).toEqual(plain({ ...expected, lte: elements }))
    }
  })
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

  test('as far as an iterator has come, from either end', () => {
    const range = prefixRange(tablePrefix(3), ['a'], tuple)
    const key = encodeKey(tablePrefix(3), ['a', 7], tuple)
    expect(describeRange({ lo: range.lo, hi: successor(key) }, found => found)).toEqual({ prefix: ['a'], lte: ['a', 7] })
    expect(describeRange({ lo: key, hi: range.hi }, found => found)).toEqual({ prefix: ['a'], gte: ['a', 7] })
    const texts = prefixRange(tablePrefix(3), ['ab'], ['string'])
    const text = encodeKey(tablePrefix(3), ['abc'], ['string'])
    expect(describeRange({ lo: text, hi: texts.hi }, ([one]) => one)).toEqual({ prefix: 'ab', gte: 'abc' })
  })

  const shared = sharedDatabase()
  let tables = 0
  test.each([
    [{}, {}],
    [{ gt: 1 }, { gt: 1 }],
    [{ gte: 1 }, { gte: 1 }],
    [{ lt: 9 }, { lt: 9 }],
    [{ lte: 9 }, { lte: 9 }],
    [{ gt: 1, lt: 9 }, { gt: 1, lt: 9 }],
    [{ gt: 1, lte: 9 }, { gt: 1, lte: 9 }],
    [{ gte: 1, lt: 9 }, { gte: 1, lt: 9 }],
    [{ gte: 1, lte: 9 }, { gte: 1, lte: 9 }],
    [{ prefix: 5 }, { prefix: 5 }],
    [{ gte: 1, reverse: true }, { gte: 1 }],
    [{ gte: 1, limit: 1 }, { gte: 1, lte: 7 }],
    [{ lt: 9, limit: 1, reverse: true }, { gte: 7, lt: 9 }],
  ] as const)('through the engine: %j is told as %j', async (options, expected) => {
    const { db } = shared()
    const t = db.table(`n${++tables}`, { key: ['number'], schema: row<number>() })
    const middle = 'prefix' in options ? 5 : 7
    await db.put(t, middle, 1)
    const tx = db.begin()
    tx.range(t, options).toArray()
    await db.put(t, middle, 2)
    tx.put(t, -1, 1)
    expect((await conflictOf(tx)).read).toEqual({ range: expected })
  })
})

describe('keys are told as they were given', () => {
  const cases: [KeyElementType[], unknown][] = [
    [['string'], 'nils'],
    [['number'], -1.5],
    [['bigint'], 12_345_678_901_234_567_890n],
    [['boolean'], false],
    [['date'], new Date(0)],
    [['null'], null],
    [['bytes'], Uint8Array.of(1, 2)],
    [['string', 'number'], ['a', 1]],
    [['number', ['string', ['null']]], [1, ['a', [null]]]],
  ]
  const shared = sharedDatabase()
  test.each(cases)('%j', async (types, key) => {
    const { db } = shared()
    const t = db.table(`keys ${JSON.stringify(types)}`, { key: types as ['string'], schema: row<number>() })
    const tx = db.begin()
    tx.get(t, key as string)
    await db.put(t, key as string, 1)
    tx.put(t, key as string, 1)
    const { read, overwrittenBy, sentence } = await conflictOf(tx)
    expect(read).toEqual({ key })
    expect(overwrittenBy.key).toEqual(key)
    expect(sentence).toContain(`table ${JSON.stringify(t.name)}`)
    const error = await failureOf(() => db.insert(t, key as string, 1))
    expect(error).toMatchObject({ code: 'ROW_EXISTS', key })
  })
})

describe('messages never contain values', () => {
  const secret = 'hunter2 hunter2'
  const failures: [string, string, (db: ReturnType<typeof openTest>['db']) => unknown][] = [
    ['CONFLICT', 'a premise', async db => {
      const { t, tx } = start(db)
      tx.get(t, 'a')
      await db.put(t, 'a', { secret: `${secret}!` })
      tx.put(t, 'b', { secret })
      await tx.commit()
    }],
    ['RETRIES_EXHAUSTED', 'attempts', db => {
      const { t, tx } = start(db)
      tx.abort()
      return db.transaction(body => {
        body.put(t, 'b', body.get(t, 'a')!)
        db.outside(() => db.transactionSync(other => other.put(t, 'a', { secret: `${secret}${Math.random()}` })))
      }, { maxAttempts: 2 })
    }],
    ['ROW_EXISTS', 'insert', db => db.insert(start(db).t, 'a', { secret })],
    ['ROW_ABSENT', 'update', db => db.update(start(db).t, 'none', () => ({ secret }))],
    ['ROW_EXISTS', 'insert at commit', async db => {
      const { t } = start(db)
      const tx = db.begin({ level: 'read-committed' })
      tx.insert(t, 'c', { secret })
      await db.put(t, 'c', { secret })
      await tx.commit()
    }],
    ['INVALID_VALUE', 'a value that cannot be stored', db => db.put(start(db).t, 'a', { secret, more: [secret, undefined] } as never)],
    ['SCHEMA', 'a value that does not fit', db => {
      const schema = { '~standard': { version: 1, vendor: 'test', validate: () => ({ issues: [{ message: 'too short', path: ['secret'] }] }) } } as const
      return db.put(db.table('rows', { key: ['string'], schema }), 'a', { secret } as never)
    }],
    ['VALUE_TOO_LARGE', 'a value that is too large', db => db.put(start(db).t, 'a', { secret: secret.repeat(100) })],
  ]
  const start = (db: ReturnType<typeof openTest>['db']) => {
    const t = db.table('rows', { key: ['string'], schema: row<{ secret: string }>() })
    db.transactionSync(tx => tx.put(t, 'a', { secret }))
    return { t, tx: db.begin() }
  }

  test.each(failures)('%s: %s', async (code, _name, action) => {
    const { db } = openTest({ limits: { valueSizeBytes: 1_000 } })
    const error = await failureOf(() => action(db))
    expect(error).toMatchObject({ code })
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
      const { message, ...data } = cause as Error & { explain?: Explanation }
      expect(`${message} ${JSON.stringify(data)} ${JSON.stringify(data.explain)}`).not.toContain('hunter2')
    }
  })
})

test('an explanation is plain data', async () => {
  const { db, t } = await openNumbers({ a: 1 })
  const tx = db.begin({ label: 'loser' })
  tx.count(t, { gte: 'a' })
  await db.put(t, 'b', 1, { label: 'winner' })
  tx.put(t, 'c', 1)
  const explanation = await conflictOf(tx)
  expect(structuredClone(explanation)).toEqual(explanation)
  expect(JSON.parse(JSON.stringify(explanation))).toEqual(explanation)
})

test('the message of a conflict is its sentence and its remedy, and labels that nobody gave are not invented', async () => {
  const { db, t } = await openNumbers({ a: 1 })
  const tx = db.begin()
  tx.get(t, 'a')
  await db.put(t, 'a', 2)
  tx.put(t, 'b', 1)
  const error = await failureOf(() => tx.commit())
  expect(error.message).toBe(`${error.explain!.sentence} ${error.explain!.remedy}`)
  expect(error.explain!.overwrittenBy).not.toHaveProperty('label')
  expect(error.message).not.toContain('undefined')
})

test('labels with quotes and line breaks stay one sentence', async () => {
  const { db, t } = await openNumbers({ a: 1 })
  const tx = db.begin({ label: 'a "quoted"\nlabel' })
  tx.get(t, 'a')
  await db.put(t, 'a', 2, { label: '\u0000' })
  tx.put(t, 'b', 1)
  const { sentence, overwrittenBy } = await conflictOf(tx)
  expect(sentence).toContain('"a \\"quoted\\"\\nlabel"')
  expect(sentence).not.toMatch(/[\n\0]/)
  expect(overwrittenBy.label).toBe('\u0000')
})

test.each(levels)('the level is named: %s', async level => {
  const { db, t } = await openNumbers({ a: 1 })
  const tx: ManualTransaction = db.begin({ level })
  const look: Record<typeof level, (body: Transaction) => unknown> = {
    serializable: body => body.get(t, 'a'),
    snapshot: body => body.put(t, 'a', 5),
    'read-committed': body => body.compareAndSet(t, 'a', 1, 5),
  }
  look[level](tx)
  await db.put(t, 'a', 2)
  tx.put(t, 'b', 1)
  expect(await conflictOf(tx)).toMatchObject({ level })
})

test('two tables with equal keys are told apart', async () => {
  const { db, t } = await openNumbers({ a: 1 })
  const other = numbersIn(db, 'other "table"')
  const tx = db.begin()
  tx.get(t, 'a')
  tx.get(other, 'a')
  await db.put(other, 'a', 1)
  tx.put(t, 'b', 1)
  expect(await conflictOf(tx)).toMatchObject({ table: 'other "table"' })
})
