/** Reading through indexes: order, bounds and limits, own writes over those of others, and entries that follow their rows through every way of writing. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { levels, row, type KeyElement, type RangeOptions, type Transaction } from '../../engine/index.js'
import { seededRandom } from '../crash/simulated-files.js'
import { checkpoint, failureOf, openTest, sharedDatabase, type Opened } from '../support/databases.js'

interface Person {
  readonly shift: string
  readonly onCall: boolean
  readonly email?: string
  readonly tags?: readonly string[]
}

const peopleIn = (db: Database) =>
  db.table('people', {
    key: ['string'],
    schema: row<Person>(),
    indexes: {
      byShift: { on: p => [p.shift, p.onCall] },
      byEmail: { on: p => p.email, unique: true },
      byTag: { on: p => p.tags && [...p.tags], many: true },
    },
  })
type People = ReturnType<typeof peopleIn>

const staff: Readonly<Record<string, Person>> = {
  ada: { shift: 'night', onCall: true, email: 'ada@b.c', tags: ['chief', 'icu'] },
  bob: { shift: 'day', onCall: false, email: 'bob@b.c', tags: [] },
  cay: { shift: 'night', onCall: false, tags: ['icu', 'icu', 'new'] },
  dan: { shift: 'night', onCall: true, email: 'dan@b.c' },
  eve: { shift: 'nights', onCall: true },
}

async function openPeople(options: Parameters<typeof openTest>[0] = {}): Promise<Opened & { readonly t: People }> {
  const opened = openTest(options)
  const t = peopleIn(opened.db)
  await t.ready
  await opened.db.transaction(tx => {
    for (const [key, person] of Object.entries(staff)) tx.put(t, key, person)
  })
  return { ...opened, t }
}

/** What every index holds, as rows' keys by index key, read without rows. */
const contentOf = ({ range }: { range: Database['range'] }, t: People) => ({
  byShift: Array.from(range(t.indexes.byShift, { keysOnly: true }), ({ indexKey, key }) => `${indexKey[0]} ${indexKey[1]} ${key}`),
  byEmail: Array.from(range(t.indexes.byEmail, { keysOnly: true }), ({ indexKey, key }) => `${indexKey} ${key}`),
  byTag: Array.from(range(t.indexes.byTag, { keysOnly: true }), ({ indexKey, key }) => `${indexKey} ${key}`),
})
const contentIn = (db: Database, t: People) => contentOf({ range: db.range.bind(db) as Database['range'] }, t)

describe.each(['in a transaction', 'as one-shot reads', 'from the row file'])('%s', where => {
  const shared = sharedDatabase()
  let t: People
  beforeEach(async () => {
    t = peopleIn(shared().db)
    await t.ready
    await shared().db.transaction(tx => {
      for (const [key, person] of Object.entries(staff)) tx.put(t, key, person)
    })
    if (where === 'from the row file') await checkpoint(shared())
  })
  type Reads = Pick<Database, 'get' | 'range' | 'count' | 'first' | 'last'>
  const reading = (body: (reads: Reads) => void): void => (where === 'in a transaction' ? shared().db.transactionSync(tx => body(tx as Reads)) : body(shared().db))

  test('rows come in the order of index key and row key, with their values', () => {
    reading(reads => {
      expect(reads.range(t.indexes.byShift).toArray()).toEqual([
        { indexKey: ['day', false], key: 'bob', value: staff['bob'] },
        { indexKey: ['night', false], key: 'cay', value: staff['cay'] },
        { indexKey: ['night', true], key: 'ada', value: staff['ada'] },
        { indexKey: ['night', true], key: 'dan', value: staff['dan'] },
        { indexKey: ['nights', true], key: 'eve', value: staff['eve'] },
      ])
    })
  })

  test('rows without a key are left out, and rows with several are there once for each', () => {
    reading(reads => {
      expect(reads.range(t.indexes.byEmail).toArray().map(({ indexKey, key }) => [indexKey, key])).toEqual([
        ['ada@b.c', 'ada'],
        ['bob@b.c', 'bob'],
        ['dan@b.c', 'dan'],
      ])
      expect(reads.range(t.indexes.byTag).toArray().map(({ indexKey, key }) => [indexKey, key])).toEqual([
        ['chief', 'ada'],
        ['icu', 'ada'],
        ['icu', 'cay'],
        ['new', 'cay'],
      ])
    })
  })

  test.each<[string, RangeOptions<[string, boolean] | [string] | string>, string[]]>([
    ['everything', {}, ['bob', 'cay', 'ada', 'dan', 'eve']],
    ['a prefix of whole elements', { prefix: ['night'] }, ['cay', 'ada', 'dan']],
    ['a prefix of all elements', { prefix: ['night', true] }, ['ada', 'dan']],
    ['a prefix that is a bare string', { prefix: 'night' }, ['cay', 'ada', 'dan', 'eve']],
    ['a prefix that nothing begins with', { prefix: 'nights?' }, []],
    ['gte', { gte: ['night', true] }, ['ada', 'dan', 'eve']],
    ['gt', { gt: ['night', true] }, ['eve']],
    ['lt', { lt: ['night', true] }, ['bob', 'cay']],
    ['lte', { lte: ['night', true] }, ['bob', 'cay', 'ada', 'dan']],
    ['gte a leading part', { gte: ['night'] }, ['cay', 'ada', 'dan', 'eve']],
    ['gt a leading part, after which all that it begins come', { gt: ['night'] }, ['cay', 'ada', 'dan', 'eve']],
    ['lte a leading part, before all that it begins', { lte: ['night'] }, ['bob']],
    ['a bare element, which is a tuple of one', { gte: 'night', lt: 'nights' }, ['cay', 'ada', 'dan']],
    ['both bounds', { gt: ['day', false], lte: ['night', false] }, ['cay']],
    ['bounds that nothing is between', { gt: ['night', true], lt: ['night', false] }, []],
    ['limit', { limit: 2 }, ['bob', 'cay']],
    ['limit 0', { limit: 0 }, []],
    ['reverse', { reverse: true }, ['eve', 'dan', 'ada', 'cay', 'bob']],
    ['reverse with a prefix and a limit', { prefix: ['night'], reverse: true, limit: 2 }, ['dan', 'ada']],
    ['reverse with bounds', { gte: ['night', false], lt: ['nights'], reverse: true }, ['dan', 'ada', 'cay']],
  ])('%s', (_name, options, keys) => {
    reading(reads => {
      const rows = reads.range(t.indexes.byShift, options).toArray()
      expect(rows.map(({ key }) => key)).toEqual(keys)
      for (const { key, value } of rows) expect(value).toEqual(staff[key])
      const entries = reads.range(t.indexes.byShift, { ...options, keysOnly: true }).toArray()
      expect(entries).toEqual(rows.map(({ indexKey, key }) => ({ indexKey, key })))
      expect(reads.count(t.indexes.byShift, options)).toBe(keys.length)
      // `last` is the last of the range; a limit is of the range as it is read from its beginning.
      expect(reads.first(t.indexes.byShift, options)?.key).toBe(keys[0])
      if (options.limit === undefined) expect(reads.last(t.indexes.byShift, options)?.key).toBe(keys.at(-1))
      expect(reads.first(t.indexes.byShift, { ...options, keysOnly: true })).toEqual(entries[0])
    })
  })

  test('a range can be left early and begun anew', () => {
    reading(reads => {
      const rows = reads.range(t.indexes.byTag)
      for (const { key } of rows) {
        expect(key).toBe('ada')
        break
      }
      expect([...rows]).toHaveLength(4)
    })
  })

  test('the row that holds a unique key is found by it, and nothing where none does', () => {
    reading(reads => {
      expect(reads.get(t.indexes.byEmail, 'dan@b.c')).toEqual({ indexKey: 'dan@b.c', key: 'dan', value: staff['dan'] })
      expect(reads.get(t.indexes.byEmail, 'dan@b')).toBeUndefined()
      expect(reads.get(t.indexes.byEmail, 'eve@b.c')).toBeUndefined()
    })
  })

  test('what is no key or option is refused', () => {
    reading(reads => {
      const range = (options: object) => () => reads.range(t.indexes.byShift, options as never).toArray()
      for (const options of [{ gte: [] }, { gt: NaN }, { lt: [{}] }, { prefix: [undefined] }, { gte: ['\ud800'] }, { lte: [new Date(NaN)] }, { gt: [[() => 1]] }]) {
        expect(range(options)).toThrow(expect.objectContaining({ code: 'INVALID_KEY' }) as Error)
      }
      for (const options of [{ unknown: 1 }, { reverse: 1 }, { limit: -1 }, { limit: 0.5 }, { gt: 'a', gte: 'a' }, { prefix: 'a', lt: 'b' }, { keysOnly: 1 }, null]) {
        expect(range(options!)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error)
      }
      expect(range({ gte: 'x'.repeat(2_000) })).toThrow(expect.objectContaining({ code: 'KEY_TOO_LARGE' }) as Error)
      expect(() => reads.get(t.indexes.byShift as never, ['night', true])).toThrow(/is not unique/)
      expect(() => reads.get(t.indexes.byEmail, {} as never)).toThrow(expect.objectContaining({ code: 'INVALID_KEY' }) as Error)
    })
  })
})

describe('a transaction', () => {
  test.each(levels)('sees its own writes in its indexes, at %s', async level => {
    const { db, t } = await openPeople()
    await db.transaction(
      tx => {
        tx.put(t, 'ada', { shift: 'day', onCall: true, email: 'ada@x.y', tags: ['icu'] })
        tx.delete(t, 'dan')
        tx.insert(t, 'fay', { shift: 'night', onCall: false, email: 'dan@b.c' })
        tx.update(t, 'eve', person => ({ ...person, tags: ['chief'] }))
        expect(contentOf({ range: tx.range.bind(tx) as Database['range'] }, t)).toEqual({
          byShift: ['day false bob', 'day true ada', 'night false cay', 'night false fay', 'nights true eve'],
          byEmail: ['ada@x.y ada', 'bob@b.c bob', 'dan@b.c fay'],
          byTag: ['chief eve', 'icu ada', 'icu cay', 'new cay'],
        })
        for (const reverse of [false, true]) {
          const rows = tx.range(t.indexes.byShift, { reverse }).toArray()
          const keys = rows.map(({ key }) => key)
          expect(reverse ? keys.toReversed() : keys).toEqual(['bob', 'ada', 'cay', 'fay', 'eve'])
          for (const { key, value } of rows) expect(value).toEqual(tx.get(t, key))
        }
        expect(tx.get(t.indexes.byEmail, 'ada@b.c')).toBeUndefined()
        expect(tx.get(t.indexes.byEmail, 'ada@x.y')).toMatchObject({ key: 'ada', value: { shift: 'day' } })
        expect(tx.get(t.indexes.byEmail, 'dan@b.c')).toMatchObject({ key: 'fay' })
        expect(tx.count(t.indexes.byTag, { prefix: ['icu'] })).toBe(2)
        expect(tx.first(t.indexes.byShift, { gt: ['day', false] })?.key).toBe('ada')
        expect(tx.last(t.indexes.byShift, { lt: ['nights'] })?.key).toBe('fay')
        expect(tx.range(t.indexes.byShift, { limit: 2, prefix: ['day'] }).toArray().map(({ key }) => key)).toEqual(['bob', 'ada'])
      },
      { level },
    )
    expect(contentIn(db, t).byEmail).toEqual(['ada@x.y ada', 'bob@b.c bob', 'dan@b.c fay'])
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('a row that moves several times is under its last key only, and one that moves back is where it was', async () => {
    const { db, t } = await openPeople()
    const before = contentIn(db, t)
    await db.transaction(tx => {
      for (const shift of ['a', 'z', 'night', 'b']) {
        tx.put(t, 'ada', { ...staff['ada']!, shift })
        expect(tx.range(t.indexes.byShift).toArray().filter(({ key }) => key === 'ada').map(({ indexKey }) => indexKey)).toEqual([[shift, true]])
      }
      tx.delete(t, 'ada')
      expect(tx.count(t.indexes.byShift)).toBe(4)
      tx.put(t, 'ada', staff['ada']!)
      expect(tx.count(t.indexes.byShift)).toBe(5)
    })
    expect(contentIn(db, t)).toEqual(before)
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('what a savepoint wrote goes from its indexes with it', async () => {
    const { db, t } = await openPeople()
    await db.transaction(async tx => {
      tx.put(t, 'ada', { ...staff['ada']!, email: 'outer@b.c' })
      const inner = tx.transaction(async child => {
        child.put(t, 'ada', { ...staff['ada']!, email: 'inner@b.c' })
        child.delete(t, 'bob')
        child.put(t, 'gus', { shift: 'day', onCall: true, email: 'bob@b.c' })
        expect(child.get(t.indexes.byEmail, 'bob@b.c')?.key).toBe('gus')
        await Promise.resolve()
        throw new Error('undone')
      })
      await expect(inner).rejects.toThrow('undone')
      expect([tx.get(t.indexes.byEmail, 'inner@b.c'), tx.get(t.indexes.byEmail, 'outer@b.c')?.key, tx.get(t.indexes.byEmail, 'bob@b.c')?.key]).toEqual([undefined, 'ada', 'bob'])
      expect(tx.range(t.indexes.byEmail, { keysOnly: true }).toArray().map(({ indexKey }) => indexKey)).toEqual(['bob@b.c', 'dan@b.c', 'outer@b.c'])
    })
    expect(contentIn(db, t).byEmail).toEqual(['bob@b.c bob', 'dan@b.c dan', 'outer@b.c ada'])
  })

  test('an iterator shows own writes as they were when it began', async () => {
    const { db, t } = await openPeople()
    await db.transaction(tx => {
      const keys: string[] = []
      for (const { key, value } of tx.range(t.indexes.byShift, { prefix: ['night'] })) {
        keys.push(`${key} ${value.shift}`)
        tx.put(t, key, { ...value, shift: `${value.shift}+` })
        tx.put(t, `${key}+`, { shift: 'night', onCall: value.onCall })
        tx.delete(t, 'dan')
      }
      expect(keys).toEqual(['cay night', 'ada night', 'dan night'])
      expect(tx.range(t.indexes.byShift, { prefix: 'night' }).toArray().map(({ key }) => key)).toEqual(['cay+', 'ada+', 'dan+', 'cay', 'ada', 'eve'])
    })
  })

  test('that only reads sees one commit, whatever others do meanwhile', async () => {
    const { db, t } = await openPeople()
    const tx = db.begin({ readOnly: true })
    const iterator = tx.range(t.indexes.byTag)[Symbol.iterator]()
    expect(iterator.next().value).toMatchObject({ indexKey: 'chief', key: 'ada' })
    await db.put(t, 'ada', { shift: 'x', onCall: false, tags: ['zzz'] })
    await db.delete(t, 'cay')
    expect([...{ [Symbol.iterator]: () => iterator }].map(({ indexKey, key, value }) => [indexKey, key, value.shift])).toEqual([
      ['icu', 'ada', 'night'],
      ['icu', 'cay', 'night'],
      ['new', 'cay', 'night'],
    ])
    await tx.commit()
  })
})

describe('entries follow their rows', () => {
  const writes: Record<string, (tx: Transaction, t: People) => unknown> = {
    put: (tx, t) => tx.put(t, 'ada', { shift: 'a', onCall: false }),
    delete: (tx, t) => tx.delete(t, 'ada'),
    insert: (tx, t) => tx.insert(t, 'zoe', { shift: 'z', onCall: false, email: 'z', tags: ['z', 'y'] }),
    update: (tx, t) => tx.update(t, 'cay', person => ({ ...person, tags: ['icu', 'old'], email: 'cay' })),
    compareAndSet: (tx, t) => tx.compareAndSet(t, 'eve', staff['eve'], { shift: 'day', onCall: true, email: 'eve' }),
    'compareAndSet that deletes': (tx, t) => tx.compareAndSet(t, 'dan', staff['dan'], undefined),
    deleteRange: (tx, t) => tx.deleteRange(t, { gte: 'b', lt: 'e' }),
    'deleteRange with a limit': (tx, t) => tx.deleteRange(t, { limit: 2 }),
    'deleteRange of all': (tx, t) => tx.deleteRange(t),
  }
  const cases = levels.flatMap(level => Object.entries(writes).map(([name, write]) => [name, level, write] as const))

  test.each(cases)('through %s at %s', async (_name, level, write) => {
    const { db, t } = await openPeople()
    await db.transaction(tx => void write(tx, t), { level })
    const rows = db.range(t).toArray()
    const expected = (keysOf: (p: Person) => readonly KeyElement[]): number => rows.reduce((sum, { value }) => sum + new Set(keysOf(value)).size, 0)
    expect(db.count(t.indexes.byShift)).toBe(rows.length)
    expect(db.count(t.indexes.byEmail)).toBe(expected(({ email }) => (email === undefined ? [] : [email])))
    expect(db.count(t.indexes.byTag)).toBe(expected(({ tags = [] }) => tags))
    expect(await db.check()).toMatchObject({ sound: true, findings: [] })
  })
})

describe('entries of rows that others write meanwhile', () => {
  test.each(levels)('are those of the row that is replaced in truth: blind writes at %s leave none behind', async level => {
    const { db, t } = await openPeople()
    const [first, second, third] = [db.begin({ level }), db.begin({ level }), db.begin({ level })]
    first.put(t, 'ada', { shift: 'first', onCall: false, tags: ['a', 'b'] })
    second.put(t, 'ada', { shift: 'second', onCall: true, email: 'second', tags: ['b', 'c'] })
    third.delete(t, 'ada')
    await first.commit()
    for (const tx of [second, third]) {
      if (level === 'snapshot') expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'CONFLICT' })
      else await tx.commit()
      expect(contentIn(db, t).byShift.filter(entry => entry.endsWith('ada'))).toEqual(level === 'snapshot' ? ['first false ada'] : tx === second ? ['second true ada'] : [])
      expect(contentIn(db, t).byTag.filter(entry => entry.endsWith('ada'))).toEqual(level === 'snapshot' ? ['a ada', 'b ada'] : tx === second ? ['b ada', 'c ada'] : [])
    }
    expect(await db.check()).toMatchObject({ sound: true, findings: [] })
  })

  test('go with rows that somebody has brought into a range which is deleted at read-committed', async () => {
    const { db, t } = await openPeople()
    const tx = db.begin({ level: 'read-committed' })
    expect(tx.deleteRange(t, { gte: 'b', lt: 'd' })).toBe(2)
    tx.put(t, 'cid', { shift: 'kept', onCall: true })
    await db.put(t, 'ben', { shift: 'day', onCall: true, email: 'ben', tags: ['x'] })
    await db.put(t, 'bob', { shift: 'moved', onCall: true })
    await db.put(t, 'cid', { shift: 'lost', onCall: true, tags: ['lost'] })
    await tx.commit()
    expect(contentIn(db, t).byShift).toEqual(['kept true cid', 'night true ada', 'night true dan', 'nights true eve'])
    expect(contentIn(db, t)).toMatchObject({ byEmail: ['ada@b.c ada', 'dan@b.c dan'], byTag: ['chief ada', 'icu ada'] })
    expect(await db.check()).toMatchObject({ sound: true, findings: [] })
  })

  test.each(levels)('a random crowd at %s leaves every row with its entries, and no others', async level => {
    const { db, t, environment } = await openPeople()
    environment.skipPauses = true
    const random = seededRandom(level.length)
    const below = (n: number): number => Math.floor(random() * n)
    const crowd = Array.from({ length: 60 }, (_, i) =>
      db.transaction(
        async tx => {
          for (let write = below(4); write >= 0; write--) {
            const key = `k${below(8)}`
            if (below(5) === 0) tx.delete(t, key)
            else if (below(9) === 0) tx.deleteRange(t, { gte: key, lt: `k${below(8)}` })
            else tx.put(t, key, { shift: `s${below(3)}`, onCall: below(2) === 0, ...(below(2) === 0 && { email: `e${below(8)}` }), tags: [`t${below(3)}`, `t${below(3)}`] })
            if (below(2) === 0) await Promise.resolve()
          }
          return i
        },
        { level, maxAttempts: 50 },
      ),
    )
    for (const outcome of await Promise.allSettled(crowd)) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'UNIQUE_VIOLATION' })
    expect(await db.check()).toMatchObject({ sound: true, findings: [] })
  })
})

test('an index of another database, or of an earlier opening, is refused, and one where a table must stand', async () => {
  const { db, t } = await openPeople()
  const other = openTest()
  for (const read of [() => other.db.range(t.indexes.byShift), () => other.db.get(t.indexes.byEmail, 'a'), () => other.db.transactionSync(tx => tx.count(t.indexes.byTag))]) {
    expect(await failureOf(read)).toMatchObject({ code: 'FOREIGN_TABLE' })
  }
  const index = t.indexes.byEmail as unknown as People
  for (const use of [() => db.put(index, 'a', staff['ada']!), () => db.delete(index, 'a'), () => db.deleteRange(index), () => db.getMany(index, ['a']), () => db.has(index, 'a')]) {
    const error = await failureOf(use)
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(error.message).toContain('This operation takes a table; an index can be read with get, range, count, first and last.')
  }
  expect(db.count(t)).toBe(5)
})

test('an index key that is too large with its row’s key is refused at the write, by name, also in a unique index', async () => {
  const { db } = openTest()
  const t = db.table('t', { key: ['string'], schema: row<{ a?: string; b?: string }>(), indexes: { plain: { on: p => p.a }, single: { on: p => p.b, unique: true } } })
  await t.ready
  for (const name of ['plain', 'single'] as const) {
    const value = { [name === 'plain' ? 'a' : 'b']: 'x'.repeat(1_000) }
    await db.put(t, 'k', value)
    const error = await failureOf(() => db.put(t, 'k'.repeat(1_000), value))
    expect(error).toMatchObject({ code: 'KEY_TOO_LARGE' })
    expect(error.message).toContain(JSON.stringify(name))
    await db.transaction(tx => {
      expect(() => tx.insert(t, 'k'.repeat(1_000), value)).toThrow(expect.objectContaining({ code: 'KEY_TOO_LARGE' }) as Error)
      expect(() => tx.update(t, 'k', () => ({ ...value, a: 'x'.repeat(1_900) }))).toThrow(expect.objectContaining({ code: 'KEY_TOO_LARGE' }) as Error)
    })
    expect(db.range(t).toArray()).toEqual([{ key: 'k', value }])
  }
})
