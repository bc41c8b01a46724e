/** What fast-check draws: commands as data. */
import * as fc from 'fast-check'
import type { Level } from '../../engine/index.js'
import { absentIn, drafts, reads, writes, type Draft } from './actions.js'
import { shapes } from './shapes.js'

export interface Setup {
  readonly tables: readonly string[]
  readonly guard: 'sync' | 'async'
  readonly durability: 'durable' | 'relaxed'
  readonly tight: boolean
}

export interface OptionsDraft {
  readonly level?: Level | undefined
  readonly readOnly?: boolean | undefined
  readonly durability?: 'durable' | 'relaxed' | undefined
  readonly label?: string | undefined
}

export type StepDraft =
  | { readonly is: 'action'; readonly draft: Draft; readonly caught: boolean }
  | { readonly is: 'savepoint'; readonly steps: readonly StepDraft[]; readonly drops: boolean }
  | { readonly is: 'outside'; readonly draft: Draft; readonly everyAttempt: boolean }
  | { readonly is: 'beside'; readonly draft: Draft }
  | { readonly is: 'outer'; readonly draft: Draft }
  | { readonly is: 'pause' | 'throw' | 'hook' }

export type Misuse = 'wrong key' | 'long key' | 'unknown option' | 'both bounds' | 'no function' | 'foreign table' | 'other key' | 'unknown transaction option' | 'promise in transactionSync' | 'second opener' | 'handle after its end' | 'nested begin'
const misuses: readonly Misuse[] = ['wrong key', 'long key', 'unknown option', 'both bounds', 'no function', 'foreign table', 'other key', 'unknown transaction option', 'promise in transactionSync', 'second opener', 'handle after its end', 'nested begin']

export type CommandDraft =
  | { readonly is: 'once'; readonly draft: Draft; readonly options: OptionsDraft | undefined }
  | { readonly is: 'transaction'; readonly how: 'sync body' | 'async body' | 'transactionSync'; readonly steps: readonly StepDraft[]; readonly options: OptionsDraft; readonly maxAttempts: number | undefined }
  | { readonly is: 'begin'; readonly options: OptionsDraft; readonly timeoutMs: number | undefined; readonly signal: boolean }
  | { readonly is: 'on'; readonly handle: number; readonly draft: Draft; readonly outer: boolean }
  | { readonly is: 'commit'; readonly handle: number; readonly disposes: boolean }
  | { readonly is: 'abort' | 'cancel' | 'savepoint' | 'hook'; readonly handle: number }
  | { readonly is: 'end savepoint'; readonly handle: number; readonly keep: boolean }
  | { readonly is: 'iterate'; readonly handle: number; readonly draft: Draft }
  | { readonly is: 'next' | 'leave'; readonly iterator: number }
  | { readonly is: 'hold' | 'release' | 'close' | 'open' }
  | { readonly is: 'pass'; readonly ms: number }
  | { readonly is: 'crash'; readonly kept: number }
  | { readonly is: 'misuse'; readonly misuse: Misuse; readonly draft: Draft }

const names = shapes.map(({ name }) => name)

export const setups: fc.Arbitrary<Setup> = fc.record({
  tables: fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...names).map(name => [name]) }, { weight: 1, arbitrary: fc.shuffledSubarray(names, { minLength: 2, maxLength: 3 }) }),
  guard: fc.constantFrom('sync', 'async'),
  durability: fc.constantFrom('durable', 'durable', 'relaxed'),
  tight: fc.boolean(),
})

const anyDraft = drafts([...reads, ...writes, ...writes])
const options: fc.Arbitrary<OptionsDraft> = fc.record({
  level: absentIn(4, fc.constantFrom<Level[]>('snapshot', 'read-committed', 'serializable')),
  readOnly: absentIn(7, fc.boolean()),
  durability: absentIn(5, fc.constantFrom('durable', 'relaxed')),
  label: absentIn(6, fc.constantFrom('import', 'sell 3 apples')),
})

const { steps } = fc.letrec<{ step: StepDraft; steps: StepDraft[] }>(tie => ({
  step: fc.oneof(
    { maxDepth: 2, depthSize: 'small' },
    { weight: 12, arbitrary: fc.record({ is: fc.constant('action'), draft: anyDraft, caught: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ is: fc.constant('outside'), draft: drafts(writes), everyAttempt: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ is: fc.constantFrom('beside', 'outer'), draft: drafts(reads) }) },
    { weight: 3, arbitrary: fc.record({ is: fc.constantFrom('pause', 'pause', 'throw', 'hook', 'hook') }) },
    { weight: 4, arbitrary: fc.record({ is: fc.constant('savepoint'), steps: tie('steps'), drops: fc.boolean() }) },
  ) as fc.Arbitrary<StepDraft>,
  steps: fc.array(tie('step'), { maxLength: 6, size: 'max' }),
}))

const handle = fc.nat(3)
const weighted: readonly [weight: number, arbitrary: fc.Arbitrary<CommandDraft>][] = [
  [14, fc.record({ is: fc.constant('once'), draft: drafts([...writes, 'put', 'put']), options: absentIn(6, options) })],
  [3, fc.record({ is: fc.constant('once'), draft: drafts(reads), options: fc.constant(undefined) })],
  [
    7,
    fc.record({
      is: fc.constant('transaction'),
      how: fc.constantFrom('sync body', 'async body', 'transactionSync'),
      steps,
      options,
      maxAttempts: absentIn(6, fc.integer({ min: 1, max: 3 })),
    }),
  ],
  [6, fc.record({ is: fc.constant('begin'), options, timeoutMs: absentIn(5, fc.constantFrom(500, 1_500)), signal: fc.boolean() })],
  [40, fc.record({ is: fc.constant('on'), handle, draft: anyDraft, outer: fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }) })],
  [4, fc.record({ is: fc.constant('commit'), handle, disposes: fc.boolean() })],
  [2, fc.record({ is: fc.constantFrom('abort', 'cancel'), handle })],
  [3, fc.record({ is: fc.constantFrom('savepoint', 'savepoint', 'hook'), handle })],
  [3, fc.record({ is: fc.constant('end savepoint'), handle, keep: fc.boolean() })],
  [3, fc.record({ is: fc.constant('iterate'), handle: fc.nat(4), draft: drafts(['range']) })],
  [7, fc.record({ is: fc.constantFrom('next', 'next', 'next', 'next', 'leave'), iterator: fc.nat(3) })],
  [3, fc.record({ is: fc.constantFrom('hold', 'hold', 'hold', 'release', 'release') })],
  [1, fc.record({ is: fc.constant('close') })],
  [2, fc.record({ is: fc.constant('open') })],
  [3, fc.record({ is: fc.constant('pass'), ms: fc.constantFrom(10, 60, 1_100, 3_000) })],
  [1, fc.record({ is: fc.constant('crash'), kept: fc.constantFrom(0, 0.3, 0.6, 0.95, 1) })],
  [1, fc.record({ is: fc.constant('misuse'), misuse: fc.constantFrom(...misuses), draft: drafts(reads) })],
] as readonly [number, fc.Arbitrary<CommandDraft>][]

export const commandDrafts: fc.Arbitrary<CommandDraft> = fc.oneof(...weighted.map(([weight, arbitrary]) => ({ weight, arbitrary })))
