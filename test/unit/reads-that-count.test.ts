/**
 * What counts as a read. Each case lets one transaction look, another one write and commit, and the first one write elsewhere and commit: it must conflict exactly
 * where what it looked at is no longer so. Each runs through every way that validation can take.
 */
import { describe, expect, test } from 'vitest'
import { encodeKey, tablePrefix } from '../../engine/encoding/keys.js'
import { encodeValue } from '../../engine/encoding/values.js'
import type { Explanation, Transaction } from '../../engine/index.js'
import { ConstraintError, row } from '../../engine/index.js'
import type { Limits } from '../../engine/limits.js'
import { checkpoint, conflictOf, failureOf, fill, numbersIn, openNumbers, sharedDatabase, type Numbers } from '../support/databases.js'

type Action = (tx: Transaction, t: Numbers) => unknown

interface Outcome {
  readonly kind: Explanation['kind']
  /** Undefined: the catalog entry of the table. */
  readonly read: Explanation['read'] | undefined
  readonly write: Explanation['overwrittenBy']['write']
}

interface Case {
  readonly looks: string
  readonly look: Action
  readonly writes: string
  readonly write: Action | 'catalog'
  readonly expect: Outcome | 'no conflict'
}

/** What the table holds at first: rows `b`, `d` and `f`, and `gone`, which was deleted again. */
const rows = { b: 1, d: 2, f: 3, gone: 4 }

const put =
  (key: string): Action =>
  (tx, t) =>
    tx.put(t, key, 9)
const remove =
  (key: string): Action =>
  (tx, t) =>
    tx.delete(t, key)

function answers<T>(expected: T, actual: T): void {
  expect(actual).toBe(expected)
}

function thrownBy(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  return 'nothing'
}

const ignoring =
  (code: string, action: Action): Action =>
  (tx, t) => {
    expect(() => action(tx, t)).toThrow(expect.objectContaining({ code }) as Error)
  }

const step = (count: number, options?: Parameters<typeof stepIn>[3]): Action => (tx, t) => stepIn(tx, t, count, options)
/** Takes some rows of an iterator and leaves it alone: neither exhausted nor closed. */
function stepIn(tx: Transaction, t: Numbers, count: number, options?: { gt?: string; gte?: string; lt?: string; lte?: string; reverse?: boolean }): void {
  const iterator = tx.range(t, options)[Symbol.iterator]()
  for (let i = 0; i < count; i++) iterator.next()
}

const stopAt =
  (key: string, reverse = false): Action =>
  (tx, t) => {
    for (const { key: found } of tx.range(t, { reverse })) if (found === key) break
  }

const list: Case[] = []
const of = (looks: string, look: Action, ...outcomes: (readonly [writes: string, write: Case['write'], expected: Case['expect']])[]): void => {
  for (const [writes, write, expected] of outcomes) list.push({ looks, look, writes, write, expect: expected })
}
const overwritten = (read: Explanation['read'], write: Outcome['write'] = 'put'): Outcome => ({ kind: 'overwritten', read, write })
const phantom = (range: object, write: Outcome['write'] = 'put'): Outcome => ({ kind: 'phantom', read: { range }, write })
const key = (name: string): Explanation['read'] => ({ key: name })

// --- points
of(
  'a row that is there',
  (tx, t) => tx.get(t, 'b'),
  ['it is put', put('b'), overwritten(key('b'))],
  ['it is deleted', remove('b'), overwritten(key('b'), 'delete')],
  ['it is put with the same value', (tx, t) => tx.put(t, 'b', 1), 'no conflict'],
  ['another one is put', put('d'), 'no conflict'],
)
of(
  'an absent key',
  (tx, t) => tx.get(t, 'c'),
  ['it is inserted', (tx, t) => tx.insert(t, 'c', 9), overwritten(key('c'), 'insert')],
  ['it is put', put('c'), overwritten(key('c'))],
  ['it is deleted, which it was', remove('c'), 'no conflict'],
  ['its neighbours are put', (tx, t) => [put('b!')(tx, t), put('c!')(tx, t)], 'no conflict'],
)
of('a tombstone', (tx, t) => tx.get(t, 'gone'), ['it is put', put('gone'), overwritten(key('gone'))])
of('absent keys of getMany', (tx, t) => tx.getMany(t, ['b', 'c']), ['one is put', put('c'), overwritten(key('c'))])
of('has of an absent key', (tx, t) => tx.has(t, 'c'), ['it is put', put('c'), overwritten(key('c'))])
of('has of a row', (tx, t) => tx.has(t, 'b'), ['it is deleted', remove('b'), overwritten(key('b'), 'delete')])

// --- ranges that were exhausted
of(
  'an empty range',
  (tx, t) => tx.range(t, { gte: 'h', lt: 'k' }).toArray(),
  ['a row is put into it', put('i'), phantom({ gte: 'h', lt: 'k' })],
  ['a row is put at its first key', put('h'), phantom({ gte: 'h', lt: 'k' })],
  ['a row is put at its end', put('k'), 'no conflict'],
  ['a row is put before it', put('g'), 'no conflict'],
)
of('an empty range, reverse', (tx, t) => tx.range(t, { gt: 'h', lte: 'k', reverse: true }).toArray(), ['a row is put into it', put('k'), phantom({ gt: 'h', lte: 'k' })])
of('a range of tombstones', (tx, t) => tx.range(t, { prefix: 'go' }).toArray(), ['one is put', put('gone'), phantom({ prefix: 'go' })])
of(
  'all of a table',
  (tx, t) => tx.range(t).toArray(),
  ['a row is put before the first', put('a'), phantom({})],
  ['a row is put between two', put('c'), phantom({})],
  ['a row is put after the last', put('z'), phantom({})],
  ['a row in it is put', put('d'), overwritten({ range: {} })],
  ['a row in it is deleted', remove('d'), overwritten({ range: {} }, 'delete')],
  ['a row in it is put with the same value', (tx, t) => tx.put(t, 'd', 2), 'no conflict'],
)
of('all of a table, reverse', (tx, t) => tx.range(t, { reverse: true }).toArray(), ['before the first', put('a'), phantom({})], ['after the last', put('z'), phantom({})])
of('a limit that was not reached', (tx, t) => tx.range(t, { limit: 4 }).toArray(), ['a row is put after the last', put('z'), phantom({})])
of('a limit that was not reached, reverse', (tx, t) => tx.range(t, { limit: 4, reverse: true }).toArray(), ['a row is put before the first', put('a'), phantom({})])

// --- ranges that were left early
for (const [looks, look] of [
  ['a limit', (tx, t) => tx.range(t, { limit: 2 }).toArray()],
  ['a loop that was left', stopAt('d')],
  ['an abandoned iterator', step(2)],
] satisfies [string, Action][]) {
  of(
    looks,
    look,
    ['before the first row', put('a'), phantom({ lte: 'd' })],
    ['between the rows seen', put('c'), phantom({ lte: 'd' })],
    ['the last row seen', put('d'), overwritten({ range: { lte: 'd' } })],
    ['right behind the last row seen', put('d\0'), 'no conflict'],
    ['the next row', remove('f'), 'no conflict'],
    ['after the last row', put('z'), 'no conflict'],
  )
}
for (const [looks, look] of [
  ['a limit, reverse', (tx, t) => tx.range(t, { limit: 2, reverse: true }).toArray()],
  ['a loop that was left, reverse', stopAt('d', true)],
  ['an abandoned iterator, reverse', step(2, { reverse: true })],
] satisfies [string, Action][]) {
  of(
    looks,
    look,
    ['after the last row', put('z'), phantom({ gte: 'd' })],
    ['between the rows seen', put('e'), phantom({ gte: 'd' })],
    ['the last row seen', remove('d'), overwritten({ range: { gte: 'd' } }, 'delete')],
    ['right before the last row seen', put('c~'), 'no conflict'],
    ['before the first row', put('a'), 'no conflict'],
  )
}
of(
  'an abandoned iterator with bounds',
  step(1, { gt: 'b', lt: 'z' }),
  ['before its first row', put('c'), phantom({ gt: 'b', lte: 'd' })],
  ['at its open bound', put('b'), 'no conflict'],
  ['beyond its position', put('e'), 'no conflict'],
)
of('a limit that the range just reaches', (tx, t) => tx.range(t, { limit: 3 }).toArray(), ['a row is put after the last', put('z'), 'no conflict'])
of('a limit of zero', (tx, t) => tx.range(t, { limit: 0 }).toArray(), ['a row is put', put('a'), 'no conflict'])
of('an iterator that was never moved', step(0), ['a row is put', put('a'), 'no conflict'])
of('an iterator that was moved beyond its end', step(4), ['a row is put after the last', put('z'), phantom({})])

// --- operations made of reads
of('count', (tx, t) => tx.count(t, { gte: 'c' }), ['a row is put into the range', put('z'), phantom({ gte: 'c' })], ['a row is put before it', put('b'), 'no conflict'])
of('count with a limit', (tx, t) => tx.count(t, { limit: 1 }), ['a row is put within', put('a'), phantom({ lte: 'b' })], ['a row is put beyond', put('c'), 'no conflict'])
of(
  'first',
  (tx, t) => tx.first(t),
  ['a row is put before it', put('a'), phantom({ lte: 'b' })],
  ['it is deleted', remove('b'), overwritten({ range: { lte: 'b' } }, 'delete')],
  ['a row is put behind it: asking for one row is not reading all', put('c'), 'no conflict'],
)
of(
  'last',
  (tx, t) => tx.last(t),
  ['a row is put behind it', put('g'), phantom({ gte: 'f' })],
  ['it is put', put('f'), overwritten({ range: { gte: 'f' } })],
  ['a row is put before it: asking for one row is not reading all', put('e'), 'no conflict'],
)
of('first of nothing', (tx, t) => tx.first(t, { gt: 'x' }), ['a row is put', put('y'), phantom({ gt: 'x' })])
of('last of nothing', (tx, t) => tx.last(t, { lt: 'b' }), ['a row is put', put('a'), phantom({ lt: 'b' })])
of(
  'deleteRange',
  (tx, t) => tx.deleteRange(t, { lt: 'e' }),
  ['a row is put into the range', put('c'), phantom({ lt: 'e' })],
  ['a row that it deletes is put', put('d'), overwritten({ range: { lt: 'e' } })],
  ['a row is put beyond', put('e'), 'no conflict'],
)
of('deleteRange of nothing', (tx, t) => tx.deleteRange(t, { gt: 'x' }), ['a row is put into the range', put('y'), phantom({ gt: 'x' })])

// --- conditional writes
of('insert that found a row', ignoring('ROW_EXISTS', (tx, t) => tx.insert(t, 'b', 9)), ['the row is deleted', remove('b'), overwritten(key('b'), 'delete')])
of('insert that found none', (tx, t) => tx.insert(t, 'c', 8), ['a row is put', put('c'), overwritten(key('c'))])
of('update that found no row', ignoring('ROW_ABSENT', (tx, t) => tx.update(t, 'c', n => n + 1)), ['one is put', put('c'), overwritten(key('c'))])
of('update', (tx, t) => tx.update(t, 'b', n => n + 1), ['the row is put', put('b'), overwritten(key('b'))])
of(
  'compareAndSet that did not match',
  (tx, t) => answers(false, tx.compareAndSet(t, 'b', 7, 8)),
  ['the row is put', put('b'), overwritten(key('b'))],
  ['the row is deleted', remove('b'), overwritten(key('b'), 'delete')],
)
of('compareAndSet that found no row', (tx, t) => answers(false, tx.compareAndSet(t, 'c', 7, 8)), ['one is put', put('c'), overwritten(key('c'))])
of('compareAndSet that matched', (tx, t) => answers(true, tx.compareAndSet(t, 'b', 1, 8)), ['the row is put', put('b'), overwritten(key('b'))])
of('compareAndSet that expected none and found none', (tx, t) => answers(true, tx.compareAndSet(t, 'c', undefined, 8)), ['one is put', put('c'), overwritten(key('c'))])

// --- savepoints
const failed = new Error('rolled back')
const rolledBack =
  (action: Action): Action =>
  (tx, t) => {
    const body = (child: Transaction): never => {
      action(child, t)
      throw failed
    }
    answers(failed, thrownBy(() => tx.transaction(body)))
  }
of('a read in a rolled-back savepoint', rolledBack((tx, t) => tx.get(t, 'c')), ['it is put', put('c'), overwritten(key('c'))])
of('a range in a rolled-back savepoint', rolledBack((tx, t) => tx.count(t)), ['a row is put', put('z'), phantom({})])
of(
  'a conditional write in a rolled-back savepoint',
  rolledBack((tx, t) => tx.insert(t, 'c', 1)),
  ['a row is put', put('c'), overwritten(key('c'))],
)
of(
  'a read in a rolled-back asynchronous savepoint',
  async (tx, t) => {
    const body = async (child: Transaction): Promise<never> => {
      await Promise.resolve()
      child.get(t, 'c')
      throw failed
    }
    answers(failed, await failureOf(() => tx.transaction(body)))
  },
  ['it is put', put('c'), overwritten(key('c'))],
)
of('a read in a savepoint within a rolled-back one', rolledBack((tx, t) => tx.transaction(child => child.get(t, 'c'))), ['it is put', put('c'), overwritten(key('c'))])

// --- not a read
const own: Action = (tx, t) => tx.put(t, 'b', 5)
of('nothing, but writes the row blindly', own, ['it is put', put('b'), 'no conflict'], ['it is deleted', remove('b'), 'no conflict'])
of('nothing, but deletes the row blindly', remove('b'), ['it is put', put('b'), 'no conflict'])
of(
  'an own blind write',
  (tx, t) => [own(tx, t), tx.get(t, 'b'), tx.has(t, 'b'), tx.getMany(t, ['b']), tx.update(t, 'b', n => n + 1), tx.compareAndSet(t, 'b', 0, 1)],
  ['the row is put', put('b'), 'no conflict'],
  ['the row is deleted', remove('b'), 'no conflict'],
)
of('an own blind delete', (tx, t) => [tx.delete(t, 'b'), tx.get(t, 'b'), tx.insert(t, 'b', 8)], ['the row is put', put('b'), 'no conflict'])
of(
  'an own blind write that a savepoint has undone',
  (tx, t) => [rolledBack(own)(tx, t), tx.get(t, 'b')],
  ['the row is put', put('b'), overwritten(key('b'))],
)
of(
  'a stretch that holds only own rows',
  (tx, t) => [tx.put(t, 'x', 1), tx.range(t, { gte: 'x' }).toArray()],
  ['a row is put beside them', put('y'), phantom({ gte: 'x' })],
  ['a row is put before them', put('w'), 'no conflict'],
)
of('a range before an own write', (tx, t) => [tx.range(t, { gte: 'x' }).toArray(), tx.put(t, 'x', 1)], ['a row is put at the same key', put('x'), phantom({ gte: 'x' })])
of('a row of which it writes a neighbour', (tx, t) => [tx.get(t, 'b'), tx.put(t, 'c', 1)], ['the neighbour is put', put('c'), 'no conflict'])

// --- the catalog
of(
  'nothing, but uses the table: its catalog entry',
  own,
  ['the catalog entry changes', 'catalog', { kind: 'overwritten', read: undefined, write: 'put' }],
)

interface Way {
  readonly name: string
  /** Rows of another table that are written together with the one that matters. */
  readonly crowd: number
  readonly checkpoints: boolean
  readonly limits: Partial<Limits>
  /** Stamps are gone: who did it is not known any more. */
  readonly anonymous: boolean
}

const ways: readonly Way[] = [
  { name: 'with fewer writes than reads', crowd: 0, checkpoints: false, limits: {}, anonymous: false },
  { name: 'with more writes than reads', crowd: 20, checkpoints: false, limits: {}, anonymous: false },
  { name: 'with so many writes that they are sorted', crowd: 200, checkpoints: true, limits: {}, anonymous: false },
  { name: 'below the floor, by comparison', crowd: 0, checkpoints: true, limits: { conflictIndexWrites: 0, revalidateSliceKeys: 1 }, anonymous: true },
]

const titled = list.map(one => ({ ...one, outcome: one.expect === 'no conflict' ? 'no conflict' : one.expect.kind }))

describe.each(ways)('$name', ({ crowd, checkpoints, limits, anonymous }) => {
  const shared = sharedDatabase({ limits })
  let tables = 0

  test.each(titled)('looks at: $looks; meanwhile: $writes; outcome: $outcome', async ({ look, write, expect: expected }) => {
    const { db, store, engine } = shared()
    const name = `numbers ${++tables}`
    const t = numbersIn(db, name)
    const elsewhere = db.table('elsewhere', { key: ['number'], schema: row<number>() })
    fill(shared(), t, rows)
    fill(shared(), t, { gone: undefined })
    if (checkpoints) await checkpoint(shared())

    using first = db.begin({ label: 'looks' })
    const snapshotTs = store.visibleTs
    await look(first, t)
    if (write === 'catalog') {
      const value = encodeValue({ id: 1, key: ['string'], changed: true })
      const catalogKey = encodeKey(tablePrefix(0), [name], ['string'])
      engine.commitPath.install(new Map([[catalogKey, { value, kind: 'put' as const }]]), { label: 'writes', durability: 'durable' })
    } else {
      using second = db.begin({ label: 'writes' })
      for (let i = 0; i < crowd; i++) second.put(elsewhere, i, i)
      write(second, t)
      await second.commit()
    }
    const commitTs = store.visibleTs
    if (checkpoints) await checkpoint(shared())
    first.put(elsewhere, -1, tables)

    if (expected === 'no conflict') {
      await first.commit()
      expect(db.get(elsewhere, -1)).toBe(tables)
      return
    }
    const { kind, read, level, ...explanation } = await conflictOf(first)
    expect(db.get(elsewhere, -1), 'nothing was changed').not.toBe(tables)
    expect({ kind, read, level, snapshotTs: explanation.snapshotTs }).toEqual({
      kind: expected.kind,
      read: expected.read ?? { key: name },
      level: 'serializable',
      snapshotTs,
    })
    if (anonymous) return
    expect(explanation.overwrittenBy).toMatchObject({ commitTs, label: 'writes', write: expected.write })
    if ('key' in read) expect(explanation.overwrittenBy.key).toEqual(read.key)
  })
})

test('the same key of another table is another row', async () => {
  const { db, t } = await openNumbers(rows)
  const other = db.table('other', { key: ['string'], schema: row<number>() })
  const first = db.begin()
  first.get(t, 'c')
  first.range(t).toArray()
  await db.put(other, 'c', 1)
  first.put(t, 'b', 2)
  await first.commit()
  expect(db.get(t, 'b')).toBe(2)
})

test('a failed conditional write says which row it found', async () => {
  const { db, t } = await openNumbers(rows)
  const error = await failureOf(() => db.insert(t, 'b', 1))
  expect(error).toBeInstanceOf(ConstraintError)
  expect(error).toMatchObject({ code: 'ROW_EXISTS', table: 'numbers', key: 'b' })
})
