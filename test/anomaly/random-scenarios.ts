/** Scenarios made up by chance: sessions that read, scan, write, delete and undo a few rows, through indexes too, in no sensible order. */
import * as fc from 'fast-check'
import { abort, commit, type IndexDefinition, savepoint, type Scenario, type Step, stepsOver, undo } from '../../isolation/anomaly/index.js'

const rows = stepsOver('rows')
const key = fc.constantFrom('a', 'b', 'c')
const indexes: readonly IndexDefinition[] = [
  { name: 'byGroup', on: ['group', 'rank'] },
  { name: 'byTag', on: 'tags', many: true },
  { name: 'byName', on: 'name', unique: true },
]
/** What an index leaves out is as likely as what it holds. */
const value = fc.record(
  { group: fc.constantFrom('p', 'q'), rank: fc.constantFrom('1', '2'), tags: fc.uniqueArray(fc.constantFrom('s', 't', 'u'), { maxLength: 2 }) },
  { requiredKeys: [] },
)
const named = fc.record({ name: fc.constantFrom('m', 'n'), group: fc.constantFrom('p', 'q'), rank: fc.constantFrom('1', '2') })
const interval = fc.record({ gte: key, lt: fc.constantFrom('b', 'c', 'd') })
const initial = fc
  .tuple(fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name }), fc.option(fc.tuple(key, named)))
  .map(([some, one]) => (one ? [...some.filter(([name]) => name !== one[0]), one] : some))
const rowRead: fc.Arbitrary<Step> = fc.oneof(
  key.map(name => rows.get(name)),
  fc
    .record({ gte: key, lt: fc.constantFrom('b', 'c', 'd'), limit: fc.constantFrom(1, 2), reverse: fc.boolean(), limited: fc.boolean() })
    .map(({ limited, limit, ...bounds }) => rows.range('found', limited ? { ...bounds, limit } : bounds)),
  interval.map(bounds => rows.first('found', bounds)),
  interval.map(bounds => rows.last('found', bounds)),
  interval.map(bounds => rows.countNone(bounds, 'there is a row')),
)
const within = fc.record({ gte: fc.constantFrom('1', 's'), lt: fc.constantFrom('2', 't', 'u') }, { requiredKeys: [] })
const how = fc.oneof(fc.constant({}), fc.record({ limit: fc.constantFrom(1, 2), reverse: fc.boolean() }))
const indexRead: fc.Arbitrary<Step> = fc.oneof(
  fc
    .tuple(fc.constantFrom<readonly string[]>(['p'], ['q'], ['p', '1'], []), within, how)
    .map(([prefix, stretch, end]) => rows.indexRange('found', 'byGroup', { prefix, ...(prefix.length === 1 && stretch), ...end })),
  fc.tuple(within, how).map(([stretch, end]) => rows.indexRange('found', 'byTag', { ...stretch, ...end })),
  within.map(stretch => rows.indexCountNone('byTag', stretch, 'there is a row')),
  fc.constant(rows.indexRange('found', 'byName')),
  fc.constantFrom('m', 'n').map(name => rows.indexGet('byName', name)),
)
const read = fc.oneof(rowRead, indexRead)
const write: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(key, value).map(([name, constant]) => rows.put(name, () => constant)) },
  { weight: 2, arbitrary: fc.tuple(key, named).map(([name, constant]) => rows.put(name, () => constant)) },
  { weight: 1, arbitrary: key.map(name => rows.delete(name)) },
  { weight: 1, arbitrary: interval.map(bounds => rows.deleteRange(bounds)) },
)
const tentative = fc.tuple(read, write).map(steps => [savepoint, ...steps, undo])
const anything = fc.array(fc.oneof(read, write), { minLength: 1, maxLength: 4 })
const readsThenWrites = fc.tuple(fc.array(read, { minLength: 1, maxLength: 2 }), fc.array(write, { minLength: 1, maxLength: 2 })).map(parts => parts.flat())
const undoneThenWrites = fc.tuple(tentative, fc.array(write, { minLength: 1, maxLength: 2 })).map(parts => parts.flat())
/** Who has a name, before and after a row is written that may have had it, or has it now. */
const asksAgain = fc
  .tuple(fc.constantFrom('m', 'n'), key, fc.oneof(value, named))
  .map(([name, row, constant]) => [rows.indexGet('byName', name), rows.put(row, () => constant), rows.indexGet('byName', name)])
const end = fc.oneof({ weight: 5, arbitrary: fc.constant(commit) }, { weight: 1, arbitrary: fc.constant(abort) })
const steps = fc.tuple(fc.oneof(anything, readsThenWrites, undoneThenWrites, asksAgain), end).map(([body, last]) => [...body, last])

export const randomScenario: fc.Arbitrary<Scenario> = fc
  .record({ initial, sessions: fc.array(steps, { minLength: 2, maxLength: 3 }) })
  .map(({ initial: begun, sessions }) => ({
    id: 'random',
    title: 'Random',
    legend: '',
    story: '',
    source: '',
    initial: begun.map(([name, first]) => rows.row(name, first)),
    tables: [{ table: 'rows', indexes }],
    sessions: sessions.map((taken, index) => ({ label: `session ${index + 1}`, steps: taken })),
    witness: { kind: 'phenomenon', phenomenon: 'G2' },
    allowedAt: ['read-committed', 'snapshot'],
  }))

/** SCENARIO_SEED, to play again what failed; else undefined, for a seed that fast-check chooses and prints with a failure. */
export const scenarioSeed = (): { readonly seed?: number } => {
  const seed = process.env['SCENARIO_SEED']
  return seed === undefined ? {} : { seed: Number(seed) }
}
