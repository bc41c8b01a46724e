/**
 * Defects that shipped in other transactional stores, each with the test that keeps it out of this one. Where another suite has it already, that one is named.
 *
 * Reads that were not counted
 *    1  an empty range leaves no trace                             reads-that-count: "an empty range", "first of nothing", "deleteRange of nothing"
 *    2  only the rows that came out of a range count               reads-that-count: "all of a table", "a limit", "an abandoned iterator"
 *    3  a key that is absent leaves no trace                       reads-that-count: "an absent key", "a tombstone"
 *    4  one of the reading methods goes past the bookkeeping       here
 *    5  a conditional write that fails is not taken for a read     reads-that-count: "insert that found a row", "compareAndSet that did not match"
 *    6  a long range that begins early hides behind short ones     here; isolation: "the index answers as a list of all writes would"
 *    7  a key that the transaction wrote itself is left out        here
 *    8  a savepoint that fails takes its reads with it             reads-that-count: "a read in a rolled-back savepoint"
 *    9  reading back an own blind write counts                     reads-that-count: "an own blind write"
 *   10  asking for one row counts as reading all                   reads-that-count: "first", "last"
 * Evidence lost, order confused
 *   11  the history is cut under a transaction that still needs it here; isolation: "the floor"
 *   12  a commit shows before all of it is there                   here
 *   13  a transaction that aborted leaves stamps                   here
 *   14  equal timestamps on both sides of a comparison             here
 *   15  the short way of writing one row is invisible to scans     here
 *   16  a reader that nobody tracks is moved midway                here
 *   17  a row inserted and changed again at once is overlooked     here
 * Retries, outcomes, lifecycle
 *   18  a retry inherits from the attempt that failed              here
 *   19  an unknown outcome is taken for a failure                  here; log: "after a failed write or sync"
 *   20  attempts run out silently; only the text tells what to do  here
 *   21  a long transaction starves                                 here, as far as attempts are bounded and pauses grow
 *   22  a result shows what a crash then takes back                rules: U12
 *   24  numbers that somebody saw are given again after a crash    here; log-recovery: "no log sequence number and no timestamp is used twice"
 *   25  generated transactions read nothing, so nothing is checked here
 * Encodings
 *   26  two keys are one, or sort otherwise than they should       here, through the engine; property/keys
 *   27  values come back different                                 here, through the engine; property/values
 *   28  a name reaches into another table                          here
 */
import { cpSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ConflictError, LimitError, PremiseError, row, StorageError, type Transaction } from '../../engine/index.js'
import { Transaction as TransactionClass } from '../../engine/transaction.js'
import type { ManualTransaction } from '../../engine/run.js'
import { seededRandom } from '../crash/simulated-files.js'
import { checkpoint, conflictOf, contentOf, failureOf, numbersIn, openNumbers, openTest, scratchDirectory, turns, type Numbers } from '../support/databases.js'
import { ioError } from '../support/test-environment.js'

describe('reads that were not counted', () => {
  /** Every operation of a transaction, and how to make it look at row `b`, which is there, or at its place. */
  const operations: Record<string, ((tx: Transaction, t: Numbers) => unknown) | 'reads nothing'> = {
    get: (tx, t) => tx.get(t, 'b'),
    getMany: (tx, t) => tx.getMany(t, ['b']),
    has: (tx, t) => tx.has(t, 'b'),
    range: (tx, t) => tx.range(t).toArray(),
    count: (tx, t) => tx.count(t),
    first: (tx, t) => tx.first(t),
    last: (tx, t) => tx.last(t),
    insert: (tx, t) => expect(() => tx.insert(t, 'b', 1)).toThrow(PremiseError),
    update: (tx, t) => tx.update(t, 'b', n => n),
    compareAndSet: (tx, t) => tx.compareAndSet(t, 'b', 7, 8),
    deleteRange: (tx, t) => tx.deleteRange(t),
    transaction: (tx, t) => tx.transaction(child => child.get(t, 'b')),
    put: 'reads nothing',
    delete: 'reads nothing',
    onCommit: 'reads nothing',
  }

  test('4: there is no operation that this suite does not know', () => {
    const names = Object.getOwnPropertyNames(TransactionClass.prototype).filter(name => name !== 'constructor')
    expect(names.toSorted()).toEqual(Object.keys(operations).toSorted())
  })

  test.each(Object.entries(operations).flatMap(([name, read]) => (read === 'reads nothing' ? [] : [{ name, read }])))(
    '4: $name is a read: all of what it showed must still hold',
    async ({ read }) => {
      const { db, t } = await openNumbers({ b: 1 })
      const tx = db.begin()
      read(tx, t)
      await db.delete(t, 'b')
      tx.put(t, 'elsewhere', 1)
      await conflictOf(tx)
      expect(contentOf(db, t)).toEqual({})
    },
  )

  test('6: a range counts although narrower ones that begin later, and wider ones, were read too', async () => {
    for (const key of ['p', 'c', 'y']) {
      const { db, t } = await openNumbers()
      const tx = db.begin()
      for (const [gte, lt] of [['x', 'xx'], ['b', 'z'], ['m', 'n'], ['o', 'ob'], ['a', 'bb'], ['q', 'r']] as const) tx.range(t, { gte, lt }).toArray()
      await db.put(t, key, 1)
      tx.put(t, 'elsewhere', 1)
      expect(await conflictOf(tx)).toMatchObject({ kind: 'phantom', read: { range: { gte: 'b', lt: 'z' } }, overwrittenBy: { key } })
    }
  })

  test('7: a row that the transaction reads and writes itself counts', async () => {
    const { db, t } = await openNumbers({ a: 1, b: 1 })
    const tx = db.begin()
    tx.put(t, 'a', tx.get(t, 'a')! + 1)
    tx.put(t, 'b', 5)
    tx.range(t, { gte: 'b' }).toArray()
    await db.put(t, 'a', 10)
    expect(await conflictOf(tx)).toMatchObject({ read: { key: 'a' } })
    expect(contentOf(db, t)).toEqual({ a: 10, b: 1 })
  })
})

describe('evidence lost, order confused', () => {
  test('11: a transaction meets its conflict however much was committed, checkpointed and forgotten since', async () => {
    for (const conflictIndexWrites of [500_000, 100, 0]) {
      const opened = await openNumbers({ a: 1, b: 1 }, { limits: { conflictIndexWrites } })
      const { db, t } = opened
      const reader = db.begin()
      reader.get(t, 'a')
      db.transactionSync(tx => tx.put(t, 'a', 2))
      for (let i = 0; i < 300; i++) db.transactionSync(tx => tx.put(t, `later ${i}`, i), { durability: 'relaxed' })
      await checkpoint(opened)
      for (let i = 0; i < 300; i++) db.transactionSync(tx => tx.put(t, `later ${i}`, -i), { durability: 'relaxed' })
      reader.put(t, 'b', 2)
      expect(await conflictOf(reader)).toMatchObject({ kind: 'overwritten', read: { key: 'a' } })
      expect(db.get(t, 'b')).toBe(1)
    }
  })

  test('12: whoever looks, whenever, sees all of a commit or nothing of it', async () => {
    const opened = await openNumbers({ a: 100, b: 0, c: 0 })
    const { db, t, store } = opened
    const keys = ['a', 'b', 'c']
    const seen = new Set<string>()
    const look = (): void => {
      for (const reader of [db.begin(), db.begin({ readOnly: true }), db.begin({ level: 'read-committed' })]) {
        const all = reader.range(t).toArray()
        expect(all.reduce((sum, { value }) => sum + value, 0)).toBe(100)
        seen.add(all.map(({ value }) => value).join())
        reader.abort()
      }
      expect(keys.reduce((sum, key) => sum + db.get(t, key)!, 0)).toBe(100)
    }
    const work: Promise<void>[] = []
    for (let i = 0; i < 60; i++) {
      const [from, to] = [keys[i % 3]!, keys[(i + 1 + (i % 2)) % 3]!]
      const body = (tx: Transaction): void => {
        db.outside(look)
        tx.update(t, from, n => n - i)
        tx.update(t, to, n => n + i)
        tx.onCommit(look)
        db.outside(look)
      }
      work.push(db.transaction(body))
      look()
      if (i % 20 === 10) void checkpoint(opened)
      if (i % 7 === 0) await turns(1)
    }
    await Promise.all(work)
    look()
    expect(seen.size).toBeGreaterThan(20)
    expect(store.durableTs).toBe(store.visibleTs)
  })

  test('13: what aborted, in whichever way, is no conflict for others', async () => {
    const { db, t, engine } = await openNumbers({ a: 1 })
    const witness = db.begin()
    witness.range(t).toArray()

    const loser = db.begin()
    loser.get(t, 'a')
    loser.put(t, 'c', 1)
    db.outside(() => db.transactionSync(tx => tx.put(t, 'a', 1))) // the same bytes: nothing that the witness relied on changed
    const aborted = db.begin()
    aborted.put(t, 'c', 2)
    aborted.abort()
    expect(await failureOf(() => db.transaction(tx => [tx.put(t, 'c', 3), tx.insert(t, 'a', 1)]))).toMatchObject({ code: 'ROW_EXISTS' })
    expect(await failureOf(() => db.transaction(tx => tx.put(t, 'c', 4), { signal: AbortSignal.abort() }))).toMatchObject({ code: 'CANCELLED' })
    const weak = db.begin({ level: 'read-committed' })
    weak.put(t, 'c', 5)
    weak.insert(t, 'x', 5)
    const other = db.table('other', { key: ['string'], schema: row<number>() })
    const rival = db.begin({ level: 'snapshot' })
    rival.put(other, 'x', 1)
    rival.put(t, 'c', 6)
    await db.put(other, 'x', 2)
    expect(await conflictOf(rival)).toMatchObject({ kind: 'write-write' })
    loser.abort()
    weak.abort()

    expect(engine.commitPath.index.writes).toBe(3) // the same bytes, the table `other`, its row
    witness.put(t, 'd', 1)
    await witness.commit()
    expect(contentOf(db, t)).toEqual({ a: 1, d: 1 })
  })

  test('13: what conflicted leaves no stamp', async () => {
    const { db, t, engine } = await openNumbers({ a: 1 })
    const loser = db.begin()
    loser.get(t, 'a')
    loser.put(t, 'c', 1)
    await db.put(t, 'a', 2)
    const witness = db.begin()
    witness.get(t, 'c')
    const stamps = engine.commitPath.index.writes
    await conflictOf(loser)
    expect(engine.commitPath.index.writes).toBe(stamps)
    witness.put(t, 'd', 1)
    await witness.commit()
    expect(contentOf(db, t)).toEqual({ a: 2, d: 1 })
  })

  test('14: the commit that made the snapshot is no conflict, the next one is', async () => {
    const opened = await openNumbers({ a: 1 })
    const { db, t, store } = opened
    await db.put(t, 'a', 2)
    const at = store.visibleTs
    const first = db.begin()
    const second = db.begin()
    expect([first.get(t, 'a'), second.get(t, 'a')]).toEqual([2, 2])
    first.put(t, 'x', 1)
    await first.commit()
    await db.put(t, 'a', 3)
    second.put(t, 'y', 1)
    expect(await conflictOf(second)).toMatchObject({ snapshotTs: at, overwrittenBy: { commitTs: at + 2 } })
  })

  test('14: two commits never share a timestamp, and theirs are consecutive', async () => {
    const { db, t, store } = await openNumbers()
    const before = store.visibleTs
    const given: number[] = []
    const commits = Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0
        ? db.put(t, `k${i}`, i)
        : Promise.resolve(db.transactionSync(tx => tx.put(t, `k${i}`, i))),
    )
    given.push(store.visibleTs - before)
    await Promise.all(commits)
    expect(given).toEqual([20])
  })

  test.each(['put', 'insert', 'update', 'delete', 'compareAndSet', 'deleteRange'] as const)('15: a one-shot %s is seen by who scans', async operation => {
    const { db, t } = await openNumbers({ a: 1, b: 2 })
    const scan = db.begin()
    expect(scan.count(t)).toBe(2)
    await {
      put: () => db.put(t, 'c', 1),
      insert: () => db.insert(t, 'c', 1),
      update: () => db.update(t, 'a', n => n + 1),
      delete: () => db.delete(t, 'a'),
      compareAndSet: () => db.compareAndSet(t, 'a', 1, 5),
      deleteRange: () => db.deleteRange(t, { lte: 'a' }),
    }[operation]()
    scan.put(t, 'result', 2)
    await conflictOf(scan)
  })

  test.each([
    ['readOnly', { readOnly: true }],
    ['readOnly at level snapshot', { readOnly: true, level: 'snapshot' }],
    ['level snapshot', { level: 'snapshot' }],
  ] as const)('16: a reader stays where it began (%s)', async (_name, options) => {
    const opened = await openNumbers({ a: 1, b: 1, c: 1 })
    const { db, t } = opened
    const other = numbersIn(db, 'other')
    await other.ready
    using lagging = db.begin() // for its sake everything is remembered that a move would need to know
    expect(lagging.get(other, 'untouched')).toBeUndefined()
    const reader = db.begin(options)
    expect(reader.get(other, 'untouched'), 'so far it could be moved').toBeUndefined()
    db.transactionSync(tx => ['a', 'b', 'c', 'd'].forEach(key => tx.put(t, key, 2)))
    expect(reader.get(t, 'a')).toBe(1)
    await checkpoint(opened)
    db.transactionSync(tx => tx.put(t, 'c', 3))
    expect(reader.get(t, 'b')).toBe(1)
    expect(reader.range(t).toArray()).toEqual(['a', 'b', 'c'].map(key => ({ key, value: 1 })))
    expect(reader.range(t, { reverse: true }).toArray()).toEqual(['c', 'b', 'a'].map(key => ({ key, value: 1 })))
    await reader.commit()
  })

  test('17: an inserter is met although its row was changed again at once', async () => {
    for (const then of ['update', 'delete and insert', 'three updates'] as const) {
      const { db, t } = await openNumbers()
      const tx = db.begin()
      tx.get(t, 'a')
      db.transactionSync(other => other.insert(t, 'a', 1))
      if (then !== 'delete and insert') for (let i = then === 'update' ? 2 : 0; i < 3; i++) db.transactionSync(other => other.update(t, 'a', n => n + 1))
      else {
        db.transactionSync(other => other.delete(t, 'a'))
        db.transactionSync(other => other.insert(t, 'a', 2))
      }
      tx.put(t, 'b', 1)
      expect(await conflictOf(tx)).toMatchObject({ read: { key: 'a' } })
    }
  })

  test('17: a row inserted and deleted again leaves things as they were', async () => {
    const { db, t } = await openNumbers()
    const tx = db.begin()
    tx.get(t, 'a')
    tx.range(t).toArray()
    await db.insert(t, 'a', 1)
    await db.delete(t, 'a')
    tx.put(t, 'b', 1)
    await tx.commit()
    expect(contentOf(db, t)).toEqual({ b: 1 })
  })
})

describe('retries, outcomes, lifecycle', () => {
  test('18: an attempt begins with nothing of the one before: no writes, no reads, no hooks, no savepoint, a new snapshot', async () => {
    const { db, t } = await openNumbers({ a: 1, poison: 0 })
    const hooks: number[] = []
    const found: unknown[] = []
    await db.transaction(tx => {
      found.push([tx.attempt, tx.get(t, 'a'), tx.get(t, 'mine'), tx.get(t, 'nested')])
      tx.onCommit(() => hooks.push(tx.attempt))
      tx.put(t, 'mine', tx.attempt)
      tx.transaction(child => child.put(t, 'nested', tx.attempt))
      if (tx.attempt > 1) return
      tx.get(t, 'poison')
      db.outside(() => db.transactionSync(other => [other.put(t, 'a', 2), other.put(t, 'poison', 1)]))
    })
    expect(found).toEqual([
      [1, 1, undefined, undefined],
      [2, 2, undefined, undefined],
    ])
    expect(hooks).toEqual([2])
    expect(contentOf(db, t)).toEqual({ a: 2, mine: 2, nested: 2, poison: 1 })
  })

  test('18: an attempt that ended within a savepoint leaves no savepoint open', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    await db.transaction(async tx => {
      await tx.transaction(async child => {
        child.get(t, 'a')
        if (tx.attempt === 1) {
          await db.outside(() => db.put(t, 'a', 2))
          child.put(t, 'b', 1)
          child.get(t, 'a')
        }
        child.put(t, 'b', tx.attempt)
      })
      tx.put(t, 'c', 1)
    })
    expect(contentOf(db, t)).toEqual({ a: 2, b: 2, c: 1 })
  })

  test('19: a failed sync says that the outcome is unknown, and the body is not run again', async () => {
    const { db, t, environment } = await openNumbers({ a: 1 })
    let runs = 0
    environment.syncError = ioError('EIO')
    const error = await failureOf(() => db.transaction(tx => [runs++, tx.put(t, 'a', 2)]))
    expect(error).toBeInstanceOf(StorageError)
    expect(error).toMatchObject({ code: 'COMMIT_UNKNOWN', retryable: false })
    expect(runs).toBe(1)
    expect(await failureOf(() => db.get(t, 'a'))).toMatchObject({ code: 'POISONED', retryable: false })
  })

  test('19: a deadline that ends the wait for the disk says so too', async () => {
    const { db, t, store, environment } = await openNumbers()
    environment.holdSyncs = true
    const commit = failureOf(() => db.put(t, 'a', 1, { timeoutMs: 50 }))
    await turns()
    environment.advance(51)
    expect(await commit).toMatchObject({ code: 'COMMIT_UNKNOWN', cause: { code: 'TIMEOUT' } })
    environment.releaseSyncs()
    await store.whenDurable(store.visibleTs)
    expect(db.get(t, 'a')).toBe(1)
  })

  /** Makes every attempt of `body` lose. */
  const collide = (db: ReturnType<typeof openTest>['db'], t: Numbers) => (tx: Transaction) => {
    tx.put(t, 'mine', tx.get(t, 'hot')!)
    db.outside(() => db.transactionSync(other => other.update(t, 'hot', n => n + 1), { label: 'rival' }))
  }

  test('20: attempts that run out say so, with the last conflict, and code and flag tell what the text says', async () => {
    const { db, t, environment } = await openNumbers({ hot: 0 })
    environment.skipPauses = true
    const error = await failureOf(() => db.transaction(collide(db, t), { label: 'loser', maxAttempts: 3 }))
    expect(error).toBeInstanceOf(LimitError)
    expect(error).toMatchObject({ code: 'RETRIES_EXHAUSTED', retryable: true, explain: { kind: 'overwritten', read: { key: 'hot' }, overwrittenBy: { label: 'rival' } } })
    expect(error.cause).toBeInstanceOf(ConflictError)
    expect((error.cause as ConflictError).explain).toBe(error.explain)
    expect(error.message).toContain('3 attempts')
    expect(contentOf(db, t)).toEqual({ hot: 3 })
  })

  test('21: one who keeps losing is not left in the dark: attempts are bounded, pauses grow, the end has a reason', async () => {
    const { db, t, environment } = await openNumbers({ hot: 0 })
    const losing = failureOf(() => db.transaction(collide(db, t)))
    for (let i = 0; i < 40; i++) {
      await turns(2)
      environment.advance(32)
    }
    expect(await losing).toMatchObject({ code: 'RETRIES_EXHAUSTED' })
    expect(environment.delaysMs.filter(delayMs => delayMs > 0 && delayMs <= 32)).toEqual([0.5, 1, 2, 4, 8, 16, 32, 32])
  })

  test('24: after a crash no timestamp is given again that somebody saw', async () => {
    const one = await openNumbers({ a: 1 })
    const { db, t, store, environment } = one
    environment.holdSyncs = true
    const seen: number[] = []
    for (let i = 0; i < 5; i++) {
      void db.put(t, 'a', i)
      await turns(1)
      seen.push(store.visibleTs)
    }
    const copy = scratchDirectory()
    cpSync(one.path, copy, { recursive: true, filter: path => !path.endsWith('owner') && !path.endsWith('-lock') })
    const after = openTest({ path: copy })
    expect(after.store.visibleTs).toBeGreaterThanOrEqual(Math.max(...seen))
    await after.db.put(numbersIn(after.db), 'b', 1)
    expect(after.store.visibleTs).toBeGreaterThan(Math.max(...seen))
  })

  test('25: random transactions read, write, conflict and commit, and what committed had read what was there at its commit', async () => {
    const random = seededRandom(5)
    const pick = (n: number): number => Math.floor(random() * n)
    const total = { reads: 0, ranges: 0, writes: 0, committed: 0, conflicts: 0, extended: 0 }
    const databases = [500_000, 5].map(conflictIndexWrites => openTest({ limits: { conflictIndexWrites } }))
    for (let round = 0; round < 12; round++) {
      const opened = databases[round % 2]!
      const { db, store } = opened
      const t = numbersIn(db, `numbers ${round}`)
      const keys = Array.from({ length: 8 }, (_, i) => `k${i}`)
      interface Running {
        readonly tx: ManualTransaction
        readonly beganTs: number
        /** What it saw, as a question to the state at its commit; own writes are left out. */
        readonly saw: { readonly from: string; readonly to: string; readonly rows: Record<string, number> }[]
        readonly wrote: Map<string, number | undefined>
      }
      const state = new Map<string, number>()
      const byKey = (entries: [string, number][]): Record<string, number> => Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)))
      const running: Running[] = []
      const holds = ({ saw }: Running): boolean =>
        saw.every(({ from, to, rows }) => {
          const now = byKey([...state].filter(([key]) => from <= key && key <= to))
          return JSON.stringify(now) === JSON.stringify(rows)
        })
      const read = (one: Running): void => {
        if (pick(2) === 0) {
          const key = keys[pick(8)]!
          if (one.wrote.has(key)) return
          const value = one.tx.get(t, key)
          one.saw.push({ from: key, to: key, rows: value === undefined ? {} : { [key]: value } })
          total.reads++
          return
        }
        const [from, to] = [keys[pick(8)]!, keys[pick(8)]!].toSorted() as [string, string]
        if ([...one.wrote.keys()].some(key => from <= key && key <= to)) return
        const rows = one.tx.range(t, { gte: from, lte: to, reverse: pick(2) === 0 }).toArray()
        one.saw.push({ from, to, rows: byKey(rows.map(({ key, value }) => [key, value])) })
        total.ranges++
      }
      const write = (one: Running): void => {
        const key = keys[pick(8)]!
        const value = pick(4) === 0 ? undefined : pick(50)
        one.wrote.set(key, value)
        if (value === undefined) one.tx.delete(t, key)
        else one.tx.put(t, key, value)
        total.writes++
      }
      const commit = async (one: Running): Promise<void> => {
        const done = one.tx.commit()
        const valid = one.wrote.size > 0 && holds(one)
        const apply = (): void => {
          for (const [key, value] of one.wrote) {
            if (value === undefined) state.delete(key)
            else state.set(key, value)
          }
        }
        try {
          await done
        } catch (error) {
          expect(error).toBeInstanceOf(ConflictError)
          total.conflicts++
          return
        }
        total.committed++
        if (one.wrote.size === 0) return
        expect(valid, 'a commit whose premise does not hold').toBe(true)
        if (one.beganTs + 1 < store.visibleTs) total.extended++
        apply()
      }
      for (let step = 0; step < 120; step++) {
        if (running.length < 5 && pick(3) === 0) running.push({ tx: db.begin(), beganTs: store.visibleTs, saw: [], wrote: new Map() })
        const one = running[pick(running.length)]
        if (one === undefined) continue
        const action = pick(10)
        try {
          if (action < 5) read(one)
          else if (action < 8) write(one)
          else {
            running.splice(running.indexOf(one), 1)
            await commit(one)
          }
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error
          running.splice(running.indexOf(one), 1)
          one.tx.abort()
          total.conflicts++
        }
        if (step % 60 === 30) await checkpoint(opened)
      }
      for (const one of running) one.tx.abort()
      expect(contentOf(db, t)).toEqual(Object.fromEntries(state))
    }
    expect(total.reads).toBeGreaterThan(100)
    expect(total.ranges).toBeGreaterThan(100)
    expect(total.writes).toBeGreaterThan(100)
    expect(total.committed).toBeGreaterThan(100)
    expect(total.conflicts).toBeGreaterThan(20)
    expect(total.extended).toBeGreaterThan(20)
  })
})

describe('encodings', () => {
  test('26: keys that look alike are different rows, in their order, before and after a checkpoint and a reopening', async () => {
    const path = scratchDirectory()
    const keys = [
      ['', ['']],
      ['', ['\0']],
      ['', ['a']],
      ['\0', ['']],
      ['\0', ['\0']],
      ['\0a', ['']],
      ['a', ['']],
      ['a', ['\0', ]],
      ['a\0', ['']],
      ['a\0b', ['']],
      ['ab', ['']],
      ['\u{10ffff}', ['']],
    ] as const
    const definition = { key: ['string', ['string']], schema: row<number>() } as const
    const one = openTest({ path })
    const t = one.db.table('t', definition)
    one.db.transactionSync(tx => keys.toReversed().forEach(key => tx.put(t, key, keys.indexOf(key))))
    const check = (db: typeof one.db, table: typeof t): void => {
      expect(db.range(table).toArray()).toEqual(keys.map((key, value) => ({ key, value })))
      expect(db.getMany(table, keys)).toEqual(keys.map((_, i) => i))
    }
    check(one.db, t)
    await checkpoint(one)
    check(one.db, t)
    await one.db.close()
    const two = openTest({ path })
    check(two.db, two.db.table('t', definition))
  })

  test('26: a lone surrogate is refused, in a key, in a bound and in a table name', async () => {
    const { db, t } = await openNumbers()
    const tx = db.begin()
    for (const attempt of [() => tx.put(t, '\ud800', 1), () => tx.get(t, 'a\udc00'), () => tx.range(t, { gte: '\ud800' }), () => db.table('\ud800', { key: ['string'] })]) {
      expect(attempt).toThrow(expect.objectContaining({ code: 'INVALID_KEY' }) as Error)
    }
    tx.abort()
  })

  test('27: values come back as they were, before and after a checkpoint and a reopening', async () => {
    const path = scratchDirectory()
    const values: unknown[] = [
      new Set([1, 'a', new Set()]),
      new Map<unknown, unknown>([[{ a: 1 }, [2n]]]),
      /a+/giu,
      new RangeError('broken'),
      new Float64Array([1.5, -0]),
      new Uint8Array([0, 255]),
      -0,
      Number.NaN,
      10n ** 40n,
      new Date(Number.NaN),
      JSON.parse('{"__proto__": {"polluted": true}}'),
      null,
      [[], {}],
    ]
    const one = openTest({ path })
    const t = one.db.table('t', { key: ['number'], schema: row<unknown>() })
    one.db.transactionSync(tx => values.forEach((value, i) => tx.put(t, i, value)))
    const check = (found: unknown[]): void => expect(found).toStrictEqual(structuredClone(values))
    check(one.db.range(t).toArray().map(({ value }) => value))
    await checkpoint(one)
    check(one.db.range(t).toArray().map(({ value }) => value))
    await one.db.close()
    const two = openTest({ path })
    const found = two.db.getMany(two.db.table('t', { key: ['number'], schema: row<unknown>() }), values.keys())
    check(found)
    expect('polluted' in {}).toBe(false)
  })

  test('28: names that hold separators, ends and each other reach into no other table', async () => {
    const path = scratchDirectory()
    const names = ['a', 'a/b', 'a\0', 'a\0b', 'a.b', '\0', '__proto__', 'constructor', ' ', 'A', 'a'.repeat(300), '\u{1f600}', 'catalog', ...Array.from({ length: 250 }, (_, i) => `t${i}`)]
    const one = openTest({ path })
    const tables = names.map(name => numbersIn(one.db, name))
    one.db.transactionSync(tx => tables.forEach((t, i) => [tx.put(t, 'a', i), tx.put(t, 'b', -i)]))
    const check = (db: typeof one.db, all: readonly Numbers[]): void => {
      for (const [i, t] of all.entries()) {
        expect(db.range(t).toArray(), names[i]).toEqual([
          { key: 'a', value: i },
          { key: 'b', value: -i },
        ])
        expect(db.last(t)).toEqual({ key: 'b', value: -i })
        expect(db.count(t, { prefix: '' })).toBe(2)
      }
    }
    check(one.db, tables)
    await one.db.close()
    const two = openTest({ path })
    const again = names.map(name => numbersIn(two.db, name))
    check(two.db, again)
    expect(two.db.transactionSync(tx => tx.deleteRange(again[5]!))).toBe(2)
    check(two.db, again.toSpliced(5, 1).slice(0, 5))
    expect(two.db.count(again[6]!)).toBe(2)
  })
})
