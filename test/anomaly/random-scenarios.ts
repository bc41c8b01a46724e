/** Scenarios made up by chance: sessions that read, scan, write, delete and undo a few rows in no sensible order. */
import * as fc from 'fast-check'
import { abort, commit, savepoint, type Scenario, type Step, stepsOver, undo } from '../../isolation/anomaly/index.js'

const rows = stepsOver('rows')
const key = fc.constantFrom('a', 'b', 'c')
const interval = fc.record({ gte: key, lt: fc.constantFrom('b', 'c', 'd') })
const read: fc.Arbitrary<Step> = fc.oneof(
  key.map(name => rows.get(name)),
  fc
    .record({ gte: key, lt: fc.constantFrom('b', 'c', 'd'), limit: fc.constantFrom(1, 2), reverse: fc.boolean(), limited: fc.boolean() })
    .map(({ limited, limit, ...bounds }) => rows.range('found', limited ? { ...bounds, limit } : bounds)),
  interval.map(bounds => rows.first('found', bounds)),
  interval.map(bounds => rows.last('found', bounds)),
  interval.map(bounds => rows.countNone(bounds, 'there is a row')),
)
const write: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: key.map(name => rows.put(name, () => 1)) },
  { weight: 1, arbitrary: key.map(name => rows.delete(name)) },
  { weight: 1, arbitrary: interval.map(bounds => rows.deleteRange(bounds)) },
)
const tentative = fc.tuple(read, write).map(steps => [savepoint, ...steps, undo])
const anything = fc.array(fc.oneof(read, write), { minLength: 1, maxLength: 4 })
const readsThenWrites = fc.tuple(fc.array(read, { minLength: 1, maxLength: 2 }), fc.array(write, { minLength: 1, maxLength: 2 })).map(parts => parts.flat())
const undoneThenWrites = fc.tuple(tentative, fc.array(write, { minLength: 1, maxLength: 2 })).map(parts => parts.flat())
const end = fc.oneof({ weight: 5, arbitrary: fc.constant(commit) }, { weight: 1, arbitrary: fc.constant(abort) })
const steps = fc.tuple(fc.oneof(anything, readsThenWrites, undoneThenWrites), end).map(([body, last]) => [...body, last])

export const randomScenario: fc.Arbitrary<Scenario> = fc
  .record({ initial: fc.uniqueArray(key), sessions: fc.array(steps, { minLength: 2, maxLength: 3 }) })
  .map(({ initial, sessions }) => ({
    id: 'random',
    title: 'Random',
    legend: '',
    story: '',
    source: '',
    initial: initial.map(name => rows.row(name, 0)),
    sessions: sessions.map((taken, index) => ({ label: `session ${index + 1}`, steps: taken })),
    witness: { kind: 'phenomenon', phenomenon: 'G2' },
    allowedAt: ['read-committed', 'snapshot'],
  }))

/** SCENARIO_SEED, to play again what failed; else undefined, for a seed that fast-check chooses and prints with a failure. */
export const scenarioSeed = (): { readonly seed?: number } => {
  const seed = process.env['SCENARIO_SEED']
  return seed === undefined ? {} : { seed: Number(seed) }
}
