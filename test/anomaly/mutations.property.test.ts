/**
 * A clean history, changed in one place so that one phenomenon must occur: the checker names it. A few transactions on rows of
 * their own stand among others that do anything, in any distance from each other.
 */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { allPhenomena, checkHistory, type History, type Operation, type Phenomenon } from '../../isolation/anomaly/index.js'
import { type Body, body, type Request, runSerially, table, withOperation } from './serial-history.js'

const get = (key: string): Request => ({ op: 'get', key })
const put = (key: string): Request => ({ op: 'put', key })
const range = (gte: string, lte: string): Request => ({ op: 'range', gte, lte, limit: undefined, reverse: false })

interface Mutation {
  readonly phenomenon: Phenomenon
  readonly what: string
  /** The transactions, in their order. */
  readonly bodies: readonly (readonly Request[])[]
  /** `at` says which transactions of the history they have become. */
  readonly mutate: (clean: History, at: readonly number[]) => History
}

const reads = (version: string | null) => (operation: Operation): Operation => (operation.op === 'get' ? { ...operation, version } : operation)
const dropRows = (operation: Operation): Operation => (operation.op === 'range' ? { ...operation, rows: [] } : operation)
const before = (key: string): string => `0.${key}`

const mutations: readonly Mutation[] = [
  {
    phenomenon: 'G0',
    what: 'the versions of one of two rows are swapped',
    bodies: [[put('x'), put('y')], [put('x'), put('y')]],
    mutate: (clean, [one, two]) => ({
      ...clean,
      versionOrders: [{ table, key: 'x', versions: [`T${two}.0`, `T${one}.0`] }],
      final: clean.final!.map(row => (row.key === 'x' ? { ...row, version: `T${one}.0` } : row)),
    }),
  },
  {
    phenomenon: 'G0',
    what: 'one of two rows ends with the other version',
    bodies: [[put('x'), put('y')], [put('x'), put('y')]],
    mutate: (clean, [one]) => ({ ...clean, final: clean.final!.map(row => (row.key === 'x' ? { ...row, version: `T${one}.0` } : row)) }),
  },
  {
    phenomenon: 'G1a',
    what: 'the writer aborts after all',
    bodies: [[put('x')], [get('x')]],
    mutate: (clean, [one]) => ({
      ...clean,
      transactions: clean.transactions.map(({ commit, ...rest }, t) => (t === one ? { ...rest, outcome: 'aborted' } : commit === undefined ? rest : { ...rest, commit })),
      final: clean.final!.map(row => (row.key === 'x' ? { ...row, version: before('x') } : row)),
    }),
  },
  {
    phenomenon: 'G1b',
    what: 'the first of two writes is read',
    bodies: [[put('x'), put('x')], [get('x')]],
    mutate: (clean, [one, two]) => withOperation(clean, two!, 0, reads(`T${one}.0`)),
  },
  {
    phenomenon: 'G1c',
    what: 'a read returns what a later transaction writes',
    bodies: [[put('x'), get('y')], [get('x'), put('y')]],
    mutate: (clean, [one, two]) => withOperation(clean, one!, 1, reads(`T${two}.1`)),
  },
  {
    phenomenon: 'G1c',
    what: 'two commits change places',
    bodies: [[put('x'), put('y')], [get('x'), put('y')]],
    mutate: (clean, [one, two]) => ({ ...clean, versionOrders: [{ table, key: 'y', versions: [`T${two}.1`, `T${one}.1`] }], final: clean.final!.map(row => (row.key === 'y' ? { ...row, version: `T${one}.1` } : row)) }),
  },
  {
    phenomenon: 'PMP',
    what: 'the second of two ranges loses a row',
    bodies: [[put('u')], [range('t', 'v'), range('u', 'w')]],
    mutate: (clean, [, two]) => withOperation(clean, two!, 1, dropRows),
  },
  {
    phenomenon: 'P4',
    what: 'an update starts from the version before',
    bodies: [[get('x'), put('x')], [get('x'), put('x')]],
    mutate: (clean, [, two]) => withOperation(clean, two!, 0, reads(before('x'))),
  },
  {
    phenomenon: 'P4',
    what: 'an insert has missed the insert before',
    bodies: [[range('t', 'v'), put('u')], [range('t', 'v'), put('u')]],
    mutate: (clean, [, two]) => withOperation(clean, two!, 0, dropRows),
  },
  {
    phenomenon: 'G-single',
    what: 'one of two reads returns the version before',
    bodies: [[put('x'), put('y')], [get('x'), get('y')]],
    mutate: (clean, [, two]) => withOperation(clean, two!, 0, reads(before('x'))),
  },
  {
    phenomenon: 'G-single',
    what: 'a range loses one of two rows that were written together',
    bodies: [[put('u'), put('y')], [range('t', 'v'), get('y')]],
    mutate: (clean, [, two]) => withOperation(clean, two!, 0, dropRows),
  },
  {
    phenomenon: 'G2-item',
    what: 'the second of two transactions has not seen the first',
    bodies: [[get('x'), put('y')], [get('y'), put('x')]],
    mutate: (clean, [, two]) => withOperation(clean, two!, 0, reads(before('y'))),
  },
  {
    phenomenon: 'G2-item',
    what: 'the last of three transactions has not seen the first',
    bodies: [[get('x'), put('y')], [put('z'), get('x')], [get('y'), get('z'), put('x')]],
    mutate: (clean, [, , three]) => withOperation(clean, three!, 0, reads(before('y'))),
  },
  {
    phenomenon: 'G2',
    what: 'the range of the second of two transactions has not seen the insert of the first',
    bodies: [[get('x'), put('u')], [range('t', 'v'), put('x')]],
    mutate: (clean, [, two]) => withOperation(clean, two!, 0, dropRows),
  },
  {
    phenomenon: 'strictness',
    what: 'a later transaction reads the version before',
    bodies: [[put('x')], [get('x')]],
    mutate: (clean, [, two]) => withOperation(clean, two!, 0, reads(before('x'))),
  },
  {
    phenomenon: 'own-write-missed',
    what: 'a transaction reads the version before its own',
    bodies: [[put('x'), get('x')]],
    mutate: (clean, [one]) => withOperation(clean, one!, 1, reads(before('x'))),
  },
  {
    phenomenon: 'impossible-read',
    what: 'a write is dropped that was read',
    bodies: [[put('x'), put('y')], [get('x')]],
    mutate: (clean, [one]) => ({
      ...clean,
      transactions: clean.transactions.map((transaction, t) => (t === one ? { ...transaction, operations: transaction.operations.slice(1) } : transaction)),
      final: clean.final!.map(row => (row.key === 'x' ? { ...row, version: before('x') } : row)),
    }),
  },
  {
    phenomenon: 'impossible-state',
    what: 'a row is lost',
    bodies: [[put('x')]],
    mutate: clean => ({ ...clean, final: clean.final!.filter(row => row.key !== 'x') }),
  },
]

const others = fc.array(body, { maxLength: 4 })

test.each(mutations)('$phenomenon: $what', ({ phenomenon, bodies, mutate }) => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd')), fc.array(others, { minLength: bodies.length + 1, maxLength: bodies.length + 1 }), (initial, gaps) => {
      const at: number[] = []
      const all: Body[] = [...gaps[0]!]
      for (const [index, requests] of bodies.entries()) {
        at.push(all.length)
        all.push({ requests, aborts: false }, ...gaps[index + 1]!)
      }
      const clean = runSerially({ initial: [...initial, 'x', 'y', 'z'], bodies: all })
      expect(checkHistory(clean).findings).toEqual([])
      expect(checkHistory(clean).doubts).toEqual([])
      const { status, findings } = checkHistory(mutate(clean, at))
      expect(status[phenomenon], JSON.stringify(status)).toBe('occurred')
      // It is found where it was made, and the mutation touched nobody else.
      const found = findings.find(finding => finding.phenomenon === phenomenon)!
      for (const id of found.transactions) expect(at.map(t => `T${t}`)).toContain(id)
    }),
    { numRuns: 150 },
  )
})

test('every phenomenon is the result of a mutation', () => {
  expect(new Set(mutations.map(({ phenomenon }) => phenomenon))).toEqual(new Set(allPhenomena))
})
