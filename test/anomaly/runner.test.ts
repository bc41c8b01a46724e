import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  begin,
  checkHistory,
  commit,
  exitCode,
  type IndexedValue,
  type IndexRangeOptions,
  runMatrix,
  savepoint,
  type Scenario,
  ScheduleError,
  scenarios,
  type Step,
  stepsOver,
  type Subject,
  timedScheduler,
  turnScheduler,
  undo,
  UnsupportedError,
  VacuousCellError,
} from '../../isolation/anomaly/index.js'
import { judgeSchedule } from '../../isolation/anomaly/judge.js'
import { type PlayedSchedule, playSchedule } from '../../isolation/anomaly/schedule/play.js'
import { interleavings } from '../../isolation/anomaly/schedule/interleavings.js'
import { history as told } from './adya.js'
import { randomScenario, scenarioSeed } from './random-scenarios.js'
import { Aborted, dirty, mislabelled, phantomBlind, readCommitted, sabotaged, serial, serializable, snapshot, Violation } from './toy-subjects.js'

const options = { seed: 1, scheduler: () => turnScheduler() }
const byId = (id: string): Scenario => scenarios.find(scenario => scenario.id === id)!
const cellOf = async (subject: Subject, id: string) => (await runMatrix([subject], [byId(id)], options)).cells[0]!

describe('interleavings', () => {
  test('every order of the sessions’ steps is played once', () => {
    const { orders, total, sampled } = interleavings([2, 2, 1], 'seed')
    expect([total, sampled]).toEqual([30, false])
    expect(new Set(orders.map(order => order.join())).size).toBe(30)
    for (const order of orders) expect(order.toSorted((a, b) => a - b)).toEqual([0, 0, 1, 1, 2])
  })

  test('where there are too many, the seed alone decides which are played', () => {
    const { orders, total, sampled } = interleavings([5, 5, 5], 'seed')
    expect([orders.length, total, sampled]).toEqual([2_000, 756_756, true])
    expect(new Set(orders.map(order => order.join())).size).toBe(2_000)
    expect(interleavings([5, 5, 5], 'seed').orders).toEqual(orders)
    expect(interleavings([5, 5, 5], 'other').orders).not.toEqual(orders)
    expect(orders[0]).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2])
  })
})

describe('a schedule', () => {
  const items = stepsOver('items')
  const twoWriters: Scenario = {
    ...byId('P4'),
    sessions: [
      { label: 'early', steps: [begin, items.get('x'), commit] },
      { label: 'late', steps: [items.put('x', () => 1), commit] },
    ],
  }

  test('a session begins at its first step, and an explicit begin takes an early snapshot', async () => {
    const store = await snapshot.open()
    const explicit = await playSchedule(twoWriters, [0, 1, 1, 0, 0], store, turnScheduler())
    const implicit = await playSchedule({ ...twoWriters, sessions: [{ label: 'early', steps: [items.get('x'), commit] }, twoWriters.sessions[1]!] }, [1, 1, 0, 0], store, turnScheduler())
    expect(explicit.history.transactions[0]?.operations).toMatchObject([{ op: 'get', version: 'T0.1' }])
    expect(implicit.history.transactions[0]?.operations).toMatchObject([{ op: 'get', version: 'T2.1' }])
  })

  test('the history says who was acknowledged before whom began', async () => {
    const { history } = await playSchedule(twoWriters, [1, 1, 0, 0, 0], await snapshot.open(), turnScheduler())
    const [early, late] = history.transactions
    expect(late!.end!).toBeLessThan(early!.begin!)
  })

  test('a blocked step lets the others go on and is made up for when it is released', async () => {
    const { timeline, endings } = await playSchedule(twoWriters, [0, 1, 0, 1, 0], await serial.open(), turnScheduler())
    expect(timeline.map(({ session, text }) => `T${session + 1} ${text}`)).toEqual([
      'T1 begin',
      'T2 put x … waits',
      'T1 get x → 10',
      'T1 commit',
      'T2 … goes on: = 1',
      'T2 commit',
    ])
    expect(endings).toEqual([{ kind: 'committed' }, { kind: 'committed' }])
  })

  test('a blocked step is noticed by the clock where the engine needs real time', async () => {
    const scheduler = timedScheduler({ timers: globalThis, blockedAfterMs: 5 })
    const { timeline } = await playSchedule(twoWriters, [0, 1, 0, 1, 0], await serial.open(), scheduler)
    expect(timeline.map(({ text }) => text)).toContain('put x … waits')
  })

  test('a session that is never released is a loud failure, not a hang', async () => {
    const hanging = sabotaged(snapshot, () => ({ commit: () => new Promise<void>(() => undefined) }))
    await expect(runMatrix([hanging], [byId('G0')], options)).rejects.toThrow('never released')
    const timed = { seed: 1, scheduler: () => timedScheduler({ timers: globalThis, blockedAfterMs: 2, stuckAfterMs: 10 }) }
    await expect(runMatrix([hanging], [byId('G0')], timed)).rejects.toThrow(ScheduleError)
  })

  test('an error that is neither retryable nor unsupported is a loud failure that names the schedule', async () => {
    const broken = sabotaged(snapshot, () => ({
      put() {
        throw new Error('disk on fire')
      },
    }))
    await expect(runMatrix([broken], [byId('G0')], options)).rejects.toThrow(/^G0, in the order T1( T[12])*: disk on fire$/)
  })

  test('a value that nobody wrote is a loud failure', async () => {
    const inventive = sabotaged(snapshot, () => ({ get: () => 42 }))
    await expect(runMatrix([inventive], [byId('P4')], options)).rejects.toThrow('a value that nobody wrote')
  })

  test('a session gives up by its own choice when its condition does not hold', async () => {
    const story = byId('unique-user-name')
    const { endings, finalRows } = await playSchedule(story, [0, 0, 0, 1, 1, 1], await serializable.open(), turnScheduler())
    expect(endings).toEqual([{ kind: 'committed' }, { kind: 'gave-up', text: 'the name is taken' }])
    expect(finalRows.map(({ key }) => key).sort()).toEqual(['ada/user-3', 'adam/user-1', 'eve/user-2'])
  })
})

describe('a step that an engine need not have', () => {
  const items = stepsOver('items')
  const alone = (...steps: Step[]): Scenario => ({ ...byId('P4'), initial: [items.row('b', 1), items.row('d', 2)], sessions: [{ label: 'alone', steps: [...steps, commit] }] })
  const play = async (scenario: Scenario, subject: Subject = snapshot) => {
    const order = scenario.sessions.flatMap(({ steps }, session) => steps.map(() => session))
    return await playSchedule(scenario, order, await subject.open(), turnScheduler())
  }

  test('the first and the last row are ranges of one row', async () => {
    const { history, timeline } = await play(alone(items.first('f', { gte: 'c' }), items.last('l'), items.last('none', { lt: 'b' })))
    expect(timeline.map(({ text }) => text)).toEqual(['first of range [c, ] → d 2', 'last of all items → d 2', 'last of range [, b) → no rows', 'commit'])
    expect(history.transactions[0]?.operations).toEqual([
      { op: 'range', table: 'items', bounds: { gte: 'c' }, limit: 1, reverse: false, rows: [{ key: 'd', version: 'T0.2' }] },
      { op: 'range', table: 'items', bounds: {}, limit: 1, reverse: true, rows: [{ key: 'd', version: 'T0.2' }] },
      { op: 'range', table: 'items', bounds: { lt: 'b' }, limit: 1, reverse: true, rows: [] },
    ])
  })

  test('a count of none is a range without rows; any other ends the session', async () => {
    const none = await play(alone(items.countNone({ gte: 'e' }, 'there is one')))
    expect(none.history.transactions[0]?.operations).toEqual([{ op: 'range', table: 'items', bounds: { gte: 'e' }, rows: [] }])
    const some = await play(alone(items.countNone({}, 'there is one')))
    expect(some.timeline.map(({ text }) => text)).toEqual(['count all items → 2 ✗ gives up: there is one'])
    expect(some.endings).toEqual([{ kind: 'gave-up', text: 'there is one' }])
  })

  const operationsIn = ({ history }: Awaited<ReturnType<typeof play>>, session: number): string[] =>
    history.transactions[session]!.operations.map(operation => (operation.op === 'range' ? `no ${operation.bounds.gte}` : `${operation.op} ${operation.key}`))

  test('a range that is deleted is a delete of each row that is there, and every other row of the scenario is seen to be absent', async () => {
    const played = await play(alone(items.put('c', () => 3), items.deleteRange({ lt: 'd' }), items.put('a', () => 4)))
    expect(operationsIn(played, 0)).toEqual(['put c', 'delete b', 'delete c', 'no a', 'put a'])
    expect(played.finalRows.map(({ key }) => key).sort()).toEqual(['a', 'd'])
  })

  test('a row that comes into a deleted range before the commit is deleted at the commit', async () => {
    const sessions = [{ label: 'deletes', steps: [items.deleteRange(), commit] }, { label: 'adds', steps: [items.put('c', () => 3), commit] }]
    const played = await playSchedule({ ...alone(), sessions }, [0, 1, 1, 0], await readCommitted.open(), turnScheduler())
    expect(operationsIn(played, 0)).toEqual(['delete b', 'delete d', 'delete c'])
    expect(played.finalRows).toEqual([])
  })

  const deletes = (...reads: Step[]): Scenario['sessions'][number] => ({ label: 'deletes', steps: [begin, items.deleteRange({ lt: 'd' }), ...reads, commit] })

  test('a row of the snapshot that is gone and comes back is deleted where its range is, and the session does not miss it', async () => {
    const others = [{ label: 'removes', steps: [items.delete('b'), commit] }, { label: 'adds', steps: [items.put('b', () => 3), commit] }]
    const scenario = { ...alone(), sessions: [deletes(items.range('rest', { lt: 'd' })), ...others] }
    const played = await playSchedule(scenario, [0, 1, 1, 0, 2, 2, 0, 0], await serializable.open(), turnScheduler())
    expect(operationsIn(played, 0)).toEqual(['delete b', 'no undefined'])
    expect(played.endings.map(({ kind }) => kind)).toEqual(['committed', 'committed', 'committed'])
    expect(judgeSchedule(scenario, 'serializable', played)).toMatchObject({ forbidden: [], verdict: { serialOrder: ['T2', 'T3', 'T1'] } })
  })

  test('a row that the session still finds in the range that it deleted is deleted at the commit', async () => {
    const scenario = { ...alone(), sessions: [deletes(items.get('c')), { label: 'adds', steps: [items.put('c', () => 3), commit] }] }
    const played = await playSchedule(scenario, [0, 0, 1, 1, 0, 0], await readCommitted.open(), turnScheduler())
    expect(operationsIn(played, 0)).toEqual(['delete b', 'get c', 'delete c'])
    expect(judgeSchedule(scenario, 'read-committed', played).forbidden).toEqual([])
  })

  test.each([snapshot, readCommitted, serial])('what a savepoint wrote belongs to a transaction that aborted, what it read to its own: $name', async subject => {
    const scenario = alone(items.put('b', () => 5), savepoint, items.get('d'), items.put('b', () => 6), items.delete('d'), undo, items.get('b'))
    const { history, finalRows } = await play(scenario, subject)
    expect(history.transactions).toMatchObject([
      { id: 'T1', outcome: 'committed', operations: [{ op: 'put', version: 'T1.1' }, { op: 'get', key: 'd' }, { op: 'get', key: 'b', version: 'T1.1' }] },
      { id: 'T1.undone', outcome: 'aborted', operations: [{ op: 'put', version: 'T1.2' }, { op: 'delete', key: 'd' }] },
    ])
    expect(finalRows.map(({ key, value }) => `${key} ${String(value)}`).sort()).toEqual(['b 5', 'd 2'])
  })

  test('a savepoint that is undone and seen all the same is an aborted read', async () => {
    const undoing = [savepoint, items.put('b', () => 6), undo, commit]
    const scenario = { ...alone(), sessions: [{ label: 'undoes', steps: undoing }, { label: 'looks', steps: [items.get('b'), commit] }] }
    const { history } = await playSchedule(scenario, [0, 0, 1, 1, 0, 0], await dirty.open(), turnScheduler())
    expect(checkHistory(history).findings.map(({ phenomenon }) => phenomenon)).toEqual(['G1a'])
  })

  test.each(['first', 'last', 'count', 'deleteRange', 'savepoint', 'undo', 'indexRange', 'indexCount', 'indexGet'] as const)('without %s the cells that need it are unsupported, and no others', async name => {
    const lacking = sabotaged(snapshot, () => ({ [name]: undefined }))
    const { cells } = await runMatrix([lacking], scenarios, { ...options, maxSchedules: 5 })
    const needing = scenarios.filter(({ sessions }) => sessions.some(({ steps }) => steps.some(({ kind }) => kind === name)))
    expect(needing).not.toEqual([])
    expect(cells.filter(({ observed }) => observed === 'unsupported').map(({ scenario }) => scenario)).toEqual(needing)
  })
})

describe('an index', () => {
  const people = stepsOver('people')
  const alone = (...steps: Step[]): Scenario => ({
    ...byId('P4'),
    initial: [people.row('ann', { team: 'red', rank: '2', langs: ['en', 'fr'] }), people.row('bob', { team: 'red', rank: '1', mail: 'b@x' }), people.row('cat', {})],
    tables: [
      {
        table: 'people',
        indexes: [{ name: 'byRank', on: ['team', 'rank'] }, { name: 'byLang', on: 'langs', many: true }, { name: 'byMail', on: 'mail', unique: true }],
      },
    ],
    sessions: [{ label: 'alone', steps: [...steps, commit] }],
  })
  const play = async (scenario: Scenario, subject: Subject = snapshot) => {
    const order = scenario.sessions.flatMap(({ steps }, session) => steps.map(() => session))
    return await playSchedule(scenario, order, await subject.open(), turnScheduler())
  }
  const versionsIn = (rows: readonly { readonly table: string; readonly key: string; readonly version: string }[]): string[] => rows.map(({ table, key, version }) => `${table} ${key} ${version.split(' ', 1)[0]}`)

  test('is a table of entries: what its reads found, in the order of its keys', async () => {
    const { history, timeline } = await play(
      alone(
        people.indexRange('red', 'byRank', { prefix: ['red'] }),
        people.indexRange('second', 'byRank', { prefix: ['red'], gte: '2', lt: '3' }),
        people.indexRange('some', 'byLang', { lt: 'f', limit: 1, reverse: true }),
        people.indexRange('all', 'byLang'),
        people.indexGet('byMail', 'b@x'),
        people.indexGet('byMail', 'c@x'),
        people.indexCountNone('byRank', { prefix: ['red'], gte: '3' }, 'there is one'),
      ),
    )
    expect(timeline.map(({ text }) => text)).toEqual([
      'byRank = red → bob {team: red, rank: 1, mail: b@x}; ann {team: red, rank: 2, langs: [en, fr]}',
      'byRank = red [2, 3) → ann {team: red, rank: 2, langs: [en, fr]}',
      'last of byLang [, f) → ann {team: red, rank: 2, langs: [en, fr]}',
      'all byLang → ann {team: red, rank: 2, langs: [en, fr]}; ann {team: red, rank: 2, langs: [en, fr]}',
      'get byMail = b@x → bob {team: red, rank: 1, mail: b@x}',
      'get byMail = c@x → no row',
      'count byRank = red [3, ] → 0',
      'commit',
    ])
    const ranges = history.transactions[0]!.operations.map(operation => (operation.op === 'range' ? { ...operation, rows: operation.rows.map(({ key }) => key) } : operation))
    expect(ranges).toEqual([
      { op: 'range', table: 'people.byRank', bounds: { gte: 'red ', lt: 'red!' }, rows: ['red 1 bob', 'red 2 ann'] },
      { op: 'range', table: 'people.byRank', bounds: { gte: 'red 2', lt: 'red 3' }, rows: ['red 2 ann'] },
      { op: 'range', table: 'people.byLang', bounds: { lt: 'f' }, limit: 1, reverse: true, rows: ['en ann'] },
      { op: 'range', table: 'people.byLang', bounds: {}, rows: ['en ann', 'fr ann'] },
      { op: 'range', table: 'people.byMail', bounds: { gte: 'b@x ', lt: 'b@x!' }, limit: 1, rows: ['b@x bob'] },
      { op: 'range', table: 'people.byMail', bounds: { gte: 'c@x ', lt: 'c@x!' }, limit: 1, rows: [] },
      { op: 'range', table: 'people.byRank', bounds: { gte: 'red 3', lt: 'red!' }, rows: [] },
    ])
    expect(versionsIn(history.initial).slice(3)).toEqual([
      'people.byRank red 2 ann T0.1', 'people.byLang en ann T0.1', 'people.byLang fr ann T0.1', 'people.byRank red 1 bob T0.2', 'people.byMail b@x bob T0.2',
    ])
    expect(history.final).toHaveLength(8)
    expect(checkHistory(history).findings).toEqual([])
  })

  test('a write of a row puts its entries and deletes all that the row ever has otherwise; a unique key is looked at once more', async () => {
    const { history } = await play(alone(people.put('ann', () => ({ langs: ['de', 'en'], mail: 'a@x' })), people.delete('bob')))
    const shown = history.transactions[0]!.operations.map(operation => (operation.op === 'range' ? `${operation.table} ${operation.bounds.gte}only ${operation.rows[0]!.key}` : `${operation.op} ${operation.key}`))
    expect(shown).toEqual([
      'put ann', 'delete red 2 ann', 'put en ann', 'delete fr ann', 'put de ann', 'put a@x ann',
      'delete bob', 'delete red 1 bob', 'delete b@x bob',
      'people.byMail a@x only a@x ann',
    ])
    expect(checkHistory(history).findings).toEqual([])
  })

  const keepsMail = alone(people.put('cat', () => ({ mail: 'b@x' })))

  test.each([serializable, snapshot, readCommitted, serial])('a unique key that is taken ends the transaction, and no other has to be aborted: $name', async subject => {
    const { endings, history, finalRows } = await play(keepsMail, subject)
    expect(endings).toEqual([{ kind: 'refused', text: '["people","byMail","b@x"] belongs to another row.' }])
    expect(history.transactions[0]).toMatchObject({ outcome: 'aborted' })
    expect(finalRows.find(({ key }) => key === 'cat')?.value).toEqual({})
  })

  test('what a session that was refused had read until it wrote, and the row that it came upon, are a transaction that only reads', async () => {
    const asking = alone(people.get('ann'), people.put('cat', () => ({ mail: 'b@x' })), people.get('bob'))
    const { history } = await play(asking)
    expect(history.transactions.map(({ id, outcome }) => `${id} ${outcome}`)).toEqual(['T1 aborted', 'T1.refused committed'])
    const shown = history.transactions[1]!.operations.map(operation => (operation.op === 'range' ? `${operation.table} ${operation.rows.map(({ key }) => key).join()}` : `${operation.op} ${operation.key}`))
    expect(shown).toEqual(['get ann', 'people.byMail b@x bob'])
    expect(checkHistory(history).findings).toEqual([])
  })

  test('a refusal does not say which version it came upon of a row that has kept its key', async () => {
    const scenario = { ...keepsMail, sessions: [{ label: 'claims', steps: [people.get('bob'), people.put('cat', () => ({ mail: 'b@x' })), commit] }, { label: 'keeps', steps: [people.put('bob', () => ({ mail: 'b@x' })), commit] }] }
    const { history, endings } = await playSchedule(scenario, [0, 1, 1, 0, 0], await snapshot.open(), turnScheduler())
    expect(endings.map(({ kind }) => kind)).toEqual(['refused', 'committed'])
    expect(history.transactions[2]!.operations).toMatchObject([{ op: 'get', key: 'bob', version: 'T0.2' }])
    expect(checkHistory(history).findings).toEqual([])
  })

  test('a refusal without a reason is a loud failure', async () => {
    const wary = sabotaged(snapshot, () => ({ commit: () => Promise.reject(new Violation('somebody might want it')) }))
    const claiming = alone(people.put('cat', () => ({ mail: 'c@x' })))
    await expect(play(claiming, wary)).rejects.toThrow('a unique key was refused that no other row has: somebody might want it')
    await expect(play(keepsMail, wary)).resolves.toMatchObject({ endings: [{ kind: 'refused' }] })
    const forOneself = alone(people.put('ann', () => ({ mail: 'c@x' })), people.put('cat', () => ({ mail: 'c@x' })))
    expect((await play(forOneself)).history.transactions[1]).toMatchObject({ id: 'T1.refused', operations: [] })
  })

  test('one that two rows are given all the same is a row that was not found, though it was there all along', async () => {
    const { history } = await play(keepsMail, dirty)
    expect(checkHistory(history).findings.map(({ phenomenon }) => phenomenon)).toEqual(['impossible-read'])
  })

  /** A store whose index says something else than its rows. */
  const lying = (change: (entries: readonly IndexedValue[]) => readonly IndexedValue[], whenRead = false): Subject => ({
    ...snapshot,
    async open() {
      const store = await snapshot.open()
      return {
        ...store,
        async indexedSpace(initial, tables) {
          const space = await store.indexedSpace!(initial, tables)
          const read = async (range: IndexRangeOptions) => (await space.begin({ label: '', readOnly: true })).indexRange!(range)
          return {
            ...space,
            finalEntries: async (table, index) => (index === 'byRank' && !whenRead ? change : (entries: readonly IndexedValue[]) => entries)(await read({ table, index })),
            begin: async how => ({ ...(await space.begin(how)), ...(whenRead && { indexRange: async range => change(await read(range)) }) }),
          }
        },
      }
    },
  })
  const renamed = (entries: readonly IndexedValue[]) => entries.map(entry => ({ ...entry, indexKey: ['red', '0'] })).slice(0, 1)

  test.each([
    ['lost', (entries: readonly IndexedValue[]) => entries.slice(1)],
    ['left where the row is no more', (entries: readonly IndexedValue[]) => [...entries, { ...entries[0]!, indexKey: ['red', '9'] }]],
  ])('an entry that is %s shows at the end', async (_title, change) => {
    const { history } = await play(alone(people.put('cat', () => ({ team: 'red', rank: '3' }))), lying(change))
    expect(checkHistory(history).findings.map(({ phenomenon }) => phenomenon)).toEqual(['impossible-state'])
    expect(checkHistory((await play(alone(people.put('cat', () => ({}))), lying(entries => entries))).history).findings).toEqual([])
  })

  test('a row under a key that is not its own is a read of something that nobody wrote', async () => {
    const { history } = await play(alone(people.indexRange('red', 'byRank', { prefix: ['red'] })), lying(renamed, true))
    expect(checkHistory(history).findings.map(({ phenomenon }) => phenomenon)).toContain('impossible-read')
  })

  test('an engine without indexes has no cell of a scenario with some, not even where nothing is read through them', async () => {
    const lacking: Subject = {
      ...snapshot,
      async open() {
        const { space, close } = await snapshot.open()
        return { space, close }
      },
    }
    const { cells } = await runMatrix([lacking], scenarios, { ...options, maxSchedules: 5 })
    expect(cells.filter(({ observed }) => observed === 'unsupported').map(({ scenario }) => scenario)).toEqual(scenarios.filter(({ tables }) => tables))
  })

  test('keys with spaces are refused: the order of the entries would be another', async () => {
    await expect(play(alone(people.put('cat', () => ({ team: 'dark red', rank: '1' }))))).rejects.toThrow('has a space: "dark red"')
  })
})

describe('a cell', () => {
  test('an operation that the engine lacks makes the cell unsupported', async () => {
    const limited = sabotaged(snapshot, () => ({
      range() {
        throw new UnsupportedError('no ranges')
      },
    }))
    const { cells } = await runMatrix([limited], [byId('G2-range'), byId('P4')], options)
    expect(cells.map(({ observed, schedules }) => [observed, schedules > 0])).toEqual([['unsupported', false], ['prevented', true]])
  })

  test('an engine that aborts everything prevents nothing', async () => {
    const coward = sabotaged(serializable, () => ({ commit: () => Promise.reject(new Aborted('better not')) }))
    await expect(runMatrix([coward], [byId('P4')], options)).rejects.toThrow(VacuousCellError)
  })

  test('the engine’s explanation of an abort is kept', async () => {
    const { refusal } = await cellOf(snapshot, 'P4')
    expect(refusal?.endings).toContainEqual({ kind: 'aborted-by-engine', text: 'items/x was written after this snapshot.' })
  })

  test('so is its refusal of a unique key, where it aborted nothing', async () => {
    const { refusal, observed } = await cellOf(readCommitted, 'unique-claims')
    expect([observed, refusal?.endings]).toEqual(['prevented', [{ kind: 'committed' }, { kind: 'refused', text: '["colours","byColour","red"] belongs to another row.' }]])
  })

  test('the shown witness does not depend on how many schedules are in flight', async () => {
    const runs = [1, 7, 64].map(concurrency => runMatrix([snapshot], [byId('read-only-anomaly')], { ...options, concurrency }))
    const shown = (await Promise.all(runs)).map(({ cells: [cell] }) => [cell?.witnesses, cell?.shortest?.played.order.join()])
    expect(shown[1]).toEqual(shown[0])
    expect(shown[2]).toEqual(shown[0])
  })

  test('no more schedules are in flight than asked for', async () => {
    let active = 0
    let most = 0
    const counting: Subject = {
      ...snapshot,
      async open() {
        const store = await snapshot.open()
        return {
          ...store,
          async space(initial) {
            most = Math.max(most, ++active)
            const space = await store.space(initial)
            return { ...space, finalState: () => (active--, space.finalState()) }
          },
        }
      },
    }
    await runMatrix([counting], [byId('G2-item')], { ...options, concurrency: 8 })
    expect(most).toBe(8)
  })

  test('what a level rules out counts in every scenario, not only in its own', async () => {
    const matrix = await runMatrix([mislabelled], [byId('G1c')], options)
    expect(matrix.cells[0]).toMatchObject({ expected: 'prevented', observed: 'prevented', forbidden: ['G2-item'] })
    expect(exitCode(matrix)).toBe(1)
  })
})

test('what may have been something that a weaker level allows is held against that level by nobody', () => {
  const played: PlayedSchedule = {
    // T3 read x as it was at first, which read-committed allows; or as T2 left it, which makes a G1c. Nothing says which.
    history: told('', 'r3(x-) r2(x-) w1(x1) c1 w4(y4) c4 d3(x3) c3 d2(x2) c2', 'y4'),
    order: [],
    timeline: [],
    endings: [],
    finalRows: [],
  }
  expect(judgeSchedule(byId('P4'), 'read-committed', played)).toMatchObject({ forbidden: [], verdict: { serialOrder: null, doubts: [{ phenomenon: 'G1c' }] } })
  expect(judgeSchedule(byId('P4'), 'serializable', played).forbidden).toEqual(['G1c'])
})

describe('random scenarios', () => {
  const forbidden = async (scenario: Scenario, subject: Subject) => {
    const { cells } = await runMatrix([subject], [scenario], { ...options, maxSchedules: 40 })
    return cells[0]!.forbidden
  }

  test.each([serializable, serial, snapshot, readCommitted])('nothing that its level rules out is found at $name', async subject => {
    await fc.assert(
      fc.asyncProperty(randomScenario, async scenario => {
        expect(await forbidden(scenario, subject)).toEqual([])
      }),
      { numRuns: 100, ...scenarioSeed() },
    )
  })

  test('a missing phantom check is found without anybody having thought of the scenario', async () => {
    const found = new Set<string>()
    for (const scenario of fc.sample(randomScenario, { numRuns: 300, seed: 1 })) {
      const shown = await forbidden(scenario, phantomBlind).catch((error: unknown) => {
        if (error instanceof ScheduleError) return ['a cycle that a serial order explains']
        throw error
      })
      for (const phenomenon of shown) found.add(phenomenon)
    }
    expect(found).toContain('G2')
    expect(found).not.toContain('G1c')
  })
})
