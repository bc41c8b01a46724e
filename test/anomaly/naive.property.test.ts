/** The checker against a naive one, on small histories in which a read returns anything at all. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { allPhenomena, checkHistory, type History, type Operation, type Phenomenon, type TransactionRecord } from '../../isolation/anomaly/index.js'
import { Naive, TooManyWorlds, type World } from './naive.js'

const table = 'rows'
const keys = ['a', 'b', 'c'] as const
const key = fc.constantFrom(...keys)
/** Which of the versions of a row a read returns, by chance; most often one that is near. */
const choice = fc.nat({ max: 5 })

type Draft =
  | { op: 'get'; key: string; choice: number }
  | { op: 'put' | 'delete'; key: string }
  | { op: 'range'; gte: string; lte: string; choices: number[]; limit: number | undefined; reverse: boolean }

const draft: fc.Arbitrary<Draft> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant('get' as const), key, choice }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('put' as const), key }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), key }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('range' as const),
      gte: key,
      lte: key,
      choices: fc.array(choice, { minLength: 3, maxLength: 3 }),
      limit: fc.option(fc.integer({ min: 1, max: 2 }), { nil: undefined }),
      reverse: fc.boolean(),
    }),
  },
)

const transaction = fc.record({
  drafts: fc.array(draft, { minLength: 1, maxLength: 4 }),
  outcome: fc.oneof({ weight: 6, arbitrary: fc.constant('committed' as const) }, { weight: 1, arbitrary: fc.constant('aborted' as const) }),
  begin: fc.nat({ max: 8 }),
  length: fc.nat({ max: 4 }),
})

const options = fc.record({
  initial: fc.subarray([...keys]),
  transactions: fc.array(transaction, { minLength: 2, maxLength: 4 }),
  commits: fc.option(fc.shuffledSubarray([1, 2, 3, 4], { minLength: 4 }), { nil: undefined }),
  final: fc.option(fc.array(choice, { minLength: 3, maxLength: 3 }), { nil: undefined }),
})
type Options = typeof options extends fc.Arbitrary<infer T> ? T : never

function historyOf({ initial, transactions, commits, final }: Options): History {
  const first = initial.map(name => ({ table, key: name, version: `${name}0` }))
  const written = transactions.flatMap(({ drafts }, t) => drafts.flatMap((one, o) => (one.op === 'put' ? [{ key: one.key, version: `T${t}.${o}` }] : [])))
  const candidates = (name: string): (string | null)[] => [null, ...first.filter(row => row.key === name).map(row => row.version), ...written.filter(row => row.key === name).map(row => row.version)]
  const choose = (name: string, index: number): string | null => candidates(name)[index % candidates(name).length]!
  const complete = (one: Draft, version: string): Operation => {
    if (one.op === 'get') return { op: 'get', table, key: one.key, version: choose(one.key, one.choice) }
    if (one.op !== 'range') return { op: one.op, table, key: one.key, version }
    const found = keys.flatMap((name, i) => {
      const seen = name >= one.gte && name <= one.lte ? choose(name, one.choices[i]!) : null
      return seen === null ? [] : [{ key: name as string, version: seen }]
    })
    const rows = (one.reverse ? found.reverse() : found).slice(0, one.limit)
    return { op: 'range', table, bounds: { gte: one.gte, lte: one.lte }, ...(one.limit && { limit: one.limit }), reverse: one.reverse, rows }
  }
  return {
    initial: first,
    transactions: transactions.map(({ drafts, outcome, begin, length }, t): TransactionRecord => ({
      id: `T${t}`,
      outcome,
      begin,
      end: begin + length,
      ...(commits && outcome === 'committed' && { commit: commits[t]! }),
      operations: drafts.map((one, o) => complete(one, `T${t}.${o}`)),
    })),
    ...(final && {
      final: keys.flatMap((name, i) => {
        const left = choose(name, final[i]!)
        return left === null ? [] : [{ table, key: name, version: left }]
      }),
    }),
  }
}

function worldsOf(history: History): World[] {
  try {
    return new Naive(history).worlds(3_000)
  } catch (error) {
    if (error instanceof TooManyWorlds) return []
    throw error
  }
}

/** Absent under one reading of the absences, whatever the version orders. */
const canBeAbsent = (worlds: readonly World[], phenomenon: Phenomenon): boolean =>
  worlds.some(({ reading }) => worlds.every(world => world.reading !== reading || !world.phenomena.has(phenomenon)))

test('what is known is the same, with a shortest cycle; what is unknown is not known', () => {
  const count = { single: 0, occurred: 0, unknown: 0, undecided: 0 }
  fc.assert(
    fc.property(options, asked => {
      const history = historyOf(asked)
      const worlds = worldsOf(history)
      fc.pre(worlds.length > 0)
      const { status, findings } = checkHistory(history)
      if (worlds.length === 1) count.single++
      for (const phenomenon of allPhenomena) {
        if (phenomenon === 'impossible-state' && !history.final) continue
        const inAll = worlds.every(({ phenomena }) => phenomena.has(phenomenon))
        if (status[phenomenon] === 'occurred') expect(inAll, `${phenomenon} occurred`).toBe(true)
        if (status[phenomenon] === 'absent') expect(canBeAbsent(worlds, phenomenon), `${phenomenon} is absent`).toBe(true)
        if (status[phenomenon] === 'occurred') count.occurred++
        if (status[phenomenon] === 'unknown') count[inAll || canBeAbsent(worlds, phenomenon) ? 'undecided' : 'unknown']++
        if (worlds.length > 1) continue
        expect(status[phenomenon], phenomenon).toBe(inAll ? 'occurred' : 'absent')
        const length = findings.find(finding => finding.phenomenon === phenomenon)?.cycle.length
        expect(length, `the length of ${phenomenon}`).toBe(worlds[0]!.phenomena.get(phenomenon))
      }
    }),
    { numRuns: 1_500 },
  )
  expect(count.single).toBeGreaterThan(1_500 / 4)
  expect(count.occurred).toBeGreaterThan(1_500)
  // To try everything would decide a little more. It is not worth a second way to do it.
  expect(count.undecided).toBeLessThan(1_500 / 4)
})
