import { expect, test } from 'vitest'
import { premiseSubjects } from '../../engine/cli/subject.js'
import { abort, commit, constant, runMatrix, savepoint, type Scenario, timedScheduler, undo } from '../../isolation/anomaly/index.js'
import { newTally, playBatch, type Tally } from './batch.js'
import { scenarioText } from './fuzz/scenario.js'
import { shrink } from './fuzz/shrink.js'
import { story } from './fuzz/story.js'
import { Plan } from './plan.js'
import type { History } from './records.js'
import { hasSerialOrder } from './serial.js'

const atSnapshot = { seed: 7, histories: 2, levels: ['snapshot'], indexes: false } as const

async function tallyOf(indexes: boolean, plan?: Plan): Promise<Tally> {
  const tally = newTally()
  await playBatch({ seed: 3, histories: 8, levels: ['serializable'], indexes, ...(plan && { plan }) }, tally)
  return tally
}

test.each([false, true])('a seed plays the same histories again (with indexes: %s)', async indexes => {
  expect(await tallyOf(indexes)).toEqual(await tallyOf(indexes))
})

test.each([false, true])('what is left out is not played, and what is left does what it did (with indexes: %s)', async indexes => {
  const all = new Plan()
  await tallyOf(indexes, all)
  const transactions = all.played.filter(part => part.split('/').length === 2)
  const rest = new Plan(new Set(transactions.filter(part => !part.startsWith('0/'))))
  await tallyOf(indexes, rest)
  const inFirst = (parts: readonly string[]): string[] => parts.filter(part => part.startsWith('0'))
  expect(inFirst(rest.played)).toEqual(inFirst(all.played))
  expect(rest.played.filter(part => part.split('/').length === 2)).toEqual(inFirst(transactions))
})

test('a history that is not serial shrinks to a scenario that the matrix finds possible at its level, and prevented at serializable', async () => {
  const shrunk = await shrink({ ...atSnapshot, serial: true })
  expect(shrunk!.after[1], story(shrunk!.failure.history!)).toBeLessThanOrEqual(3)
  expect(shrunk!.after[2]).toBeLessThanOrEqual(8)
  const scenario = await evaluate(scenarioText(shrunk!.failure.history!, 'test'))
  const subjects = premiseSubjects.filter(({ level }) => level !== 'read-committed')
  const scheduler = timedScheduler({ timers: { setTimeout, clearTimeout } })
  const { cells } = await runMatrix(subjects, [scenario], { seed: 1, scheduler: () => scheduler })
  expect(cells.map(({ subject, observed }) => [subject.level, observed])).toEqual([
    ['snapshot', 'possible'],
    ['serializable', 'prevented'],
  ])
}, 60_000)

/** The scenario that a module's text exports. */
async function evaluate(text: string): Promise<Scenario> {
  const imported = `const [abort, commit, savepoint, undo] = ${JSON.stringify([abort, commit, savepoint, undo])}; const constant = ${constant.toString()}\n`
  const source = imported + text.replace(/^import .*$/m, '').replace(': Scenario', '')
  const module = (await import(`data:text/javascript,${encodeURIComponent(source)}`)) as { readonly scenario: Scenario }
  return module.scenario
}

test('every operation can be told as steps of a scenario, or is named among what cannot', () => {
  const at = 1
  let event = 0
  const told = scenarioText(
    {
      baseTs: 0,
      commits: [],
      interruption: 'close',
      finally: [],
      transactions: [
        {
          label: 'a', level: 'serializable', readOnly: false, durability: 'durable', oneShot: false, startedAt: 0, endedAt: 9, outcome: 'Own', visibleTs: 1, durableTs: 1,
          attempts: [
            { beganTs: 0, operations: [] },
            {
              beganTs: 0,
              operations: [
                { op: 'savepoint', at, event: event++ },
                { op: 'insert', table: 'strings', key: 'a', value: 1, result: 'done', at, event: event++ },
                { op: 'undo', at, event: event++ },
                { op: 'open', table: 'pairs', range: { prefix: ['a'], reverse: true }, iterator: 0, at, event: event++ },
                { op: 'next', iterator: 0, result: [['a', 2], 1], at, event: event++ },
                { op: 'deleteRange', table: 'pairs', range: { gt: ['a', -1], limit: 2 }, result: 1, at, event: event++ },
                { op: 'last', table: 'strings', range: { reverse: true, lte: 'b' }, result: undefined, at, event },
              ],
            },
          ],
        },
      ],
    } satisfies History,
    'test',
  )
  expect(told.split('\n').filter(line => /^ {8}|^ \* {2}-/.test(line)).map(line => line.trim())).toEqual([
    '*  - t1 ran 2 times; this is its last attempt',
    '*  - t1 took the rows of an iterator one by one, with other steps in between',
    '*  - t1 deleted at most 2 rows of its range; a scenario deletes all',
    '*  - the history was cut short (the database was closed)',
    'savepoint,',
    `{ kind: 'get', table: 'strings', key: 'a', as: 'read 1' },`,
    `{ kind: 'put', table: 'strings', key: 'a', value: constant(1), onlyIf: { holds: seen => seen.value('read 1') === undefined, otherwise: 'its condition fails' } },`,
    'undo,',
    `{ kind: 'range', range: { table: 'pairs', gte: 'a!', lt: 'a"', limit: 1, reverse: true }, as: 'read 2' },`,
    `{ kind: 'deleteRange', range: { table: 'pairs', gt: 'a!0' } },`,
    `{ kind: 'first', range: { table: 'strings', lte: 'b' }, as: 'read 3' },`,
    'abort,',
  ])
})

test('an order other than that of the commits may make a history serial, and a cycle does not', () => {
  const read = (key: string) => ({ op: 'get', table: 'strings', key, result: undefined, at: 0, event: 0 }) as const
  const write = (key: string) => ({ op: 'put', table: 'strings', key, value: 1, at: 0, event: 0 }) as const
  const end = ['a', 'b'].map(key => ({ table: 'strings', key, value: 1 }) as const)
  expect(hasSerialOrder([[write('a')], [read('a'), write('b')]], end)).toBe(true)
  expect(hasSerialOrder([[read('b'), write('a')], [read('a'), write('b')]], end)).toBe(false)
})
