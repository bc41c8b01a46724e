import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type History, HistoryError, parseHistory } from '../../isolation/anomaly/index.js'
import { history } from './adya.js'
import { program, runSerially } from './serial-history.js'

const good = { ...history('a0', 's1([a,c] 1: a0) r2(x-) w1(b1) d2(a2) w1(b3) c1 c2', 'b3'), versionOrders: [{ table: 'rows', key: 'b', versions: ['b3'] }] } satisfies History

/** The history as JSON with one value replaced, added, or (undefined) taken away. */
function withValue(place: string, value: unknown): unknown {
  const copy = JSON.parse(JSON.stringify(good)) as unknown
  const steps = place.split(/[.[\]]+/).filter(Boolean)
  const holder = steps.slice(0, -1).reduce<Record<string, unknown>>((inner, step) => inner[step] as Record<string, unknown>, copy as Record<string, unknown>)
  holder[steps.at(-1)!] = value
  return JSON.parse(JSON.stringify(copy))
}

function problem(value: unknown): string {
  try {
    parseHistory(value)
  } catch (error) {
    if (error instanceof HistoryError) return error.message
    throw error
  }
  return 'none'
}

test('a history that is one comes back as it is', () => {
  expect(parseHistory(JSON.parse(JSON.stringify(good)))).toEqual(good)
  fc.assert(
    fc.property(program, asked => {
      const serial = runSerially(asked)
      expect(parseHistory(JSON.parse(JSON.stringify(serial)))).toEqual(serial)
    }),
    { numRuns: 200 },
  )
})

test('what a store did wrong is no mistake of the history', () => {
  expect(problem(withValue('transactions[1].operations[0].version', 'x9'))).toBe('none')
})

describe('a mistake is named with its place', () => {
  test.each([
    ['transactions', undefined, 'transactions must be a list, and is missing.'],
    ['transactions[0]', 7, 'transactions[0] must be an object, and is 7.'],
    ['transactions[1].id', 'T1', 'transactions[1].id is "T1", and so is another transaction\'s.'],
    ['transactions[0].id', 1, 'transactions[0].id must be a string, and is 1.'],
    ['transactions[0].outcome', 'ok', 'transactions[0].outcome must be "committed", "aborted" or "unknown", and is "ok".'],
    ['transactions[0].begin', '12:00', 'transactions[0].begin must be a number, and is "12:00".'],
    ['transactions[0].end', -1, 'transactions[0] ends before it begins.'],
    ['transactions[0].commit', 6, 'transactions[1].commit is 6, and so is another transaction\'s.'],
    ['transactions[0].outcome', 'aborted', 'transactions[0].commit is the place of a commit, and this is none.'],
    ['transactions[0].commited', 7, 'transactions[0] has a field "commited", which means nothing; known are id, label, outcome, begin, end, commit, operations.'],
    ['transactions[0].operations[0].op', 'scan', 'transactions[0].operations[0].op must be "get", "range", "put" or "delete", and is "scan".'],
    ['transactions[0].operations[0].bounds.gte', 1, 'transactions[0].operations[0].bounds.gte must be a string, and is 1.'],
    ['transactions[0].operations[0].limit', 0.5, 'transactions[0].operations[0].limit must be an integer from 0, and is 0.5.'],
    ['transactions[0].operations[0].reverse', 'yes', 'transactions[0].operations[0].reverse must be true or false, and is "yes".'],
    ['transactions[0].operations[0].rows[0].version', null, 'transactions[0].operations[0].rows[0].version must be a string, and is null.'],
    ['transactions[0].operations[1].version', null, 'transactions[0].operations[1].version must be a string, and is null.'],
    ['transactions[0].operations[1].version', 'a0', 'transactions[0].operations[1].version is "a0", which another write has: a version id stands for one write.'],
    ['transactions[1].operations[0].key', undefined, 'transactions[1].operations[0].key must be a string, and is missing.'],
    ['initial[1]', good.initial[0], 'initial[1] is a row that the list has already.'],
    ['final[0].table', undefined, 'final[0].table must be a string, and is missing.'],
    ['versionOrders[0].versions[0]', 'b1', 'versionOrders[0].versions[0] is "b1", which is no committed last write of the row, or stands here twice.'],
    ['versionOrders[0].versions', [], 'versionOrders[0].versions misses "b3", which was committed.'],
    ['versionOrders[1]', good.versionOrders[0], 'versionOrders[1] is the order of a row that has one already.'],
  ])('%s: %j', (place, value, message) => {
    expect(problem(withValue(place, value))).toBe(message)
  })

  test.each([[null], [[]], ['{}']])('%j is no history', value => {
    expect(problem(value)).toMatch(/^The history must be an object/)
  })
})
