import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  begin,
  checkHistory,
  commit,
  exitCode,
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
import { Aborted, dirty, mislabelled, phantomBlind, readCommitted, sabotaged, serial, serializable, snapshot } from './toy-subjects.js'

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

  test.each(['first', 'last', 'count', 'deleteRange', 'savepoint', 'undo'] as const)('without %s the cells that need it are unsupported, and no others', async name => {
    const lacking = sabotaged(snapshot, () => ({ [name]: undefined }))
    const { cells } = await runMatrix([lacking], scenarios, { ...options, maxSchedules: 5 })
    const needing = scenarios.filter(({ sessions }) => sessions.some(({ steps }) => steps.some(({ kind }) => kind === name)))
    expect(needing).not.toEqual([])
    expect(cells.filter(({ observed }) => observed === 'unsupported').map(({ scenario }) => scenario)).toEqual(needing)
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
