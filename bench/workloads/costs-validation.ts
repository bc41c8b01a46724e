/** What it costs to find out that what a transaction read is still so. */
import { Lagging, points, ranges, writesPerCommit } from '../lagging.js'
import { inWords } from '../report/text.js'
import type { Contestant, Context, Workload } from '../workload.js'

const lags = [4, 64, 1_024, 16_384]
/** Stamps that the index holds; the value is that of the middle one. */
const usual = 100_000
const sizes = { full: [10_000, usual, 500_000], quick: [10_000, usual] }
const validations = { full: 20_000, quick: 3_000 }
/** Validations before the clock starts: the first sorts what is there, once. */
const settling = 1_000
/** Commits that come between two validations. */
const commitsBetween = 2

const subjectAt = (lag: number): string => `premisedb/lag-${lag}`

export const validation: Workload = {
  name: 'validate-lag',
  summary:
    `Validating a transaction that read ${points} rows one by one and ${ranges} ranges, while ${lags.map(inWords).join(', ')} transactions committed, each of which wrote ${writesPerCommit} other rows: ` +
    `the function that the commit path calls, with the conflict index holding ${inWords(usual)} writes (the notes: other sizes). Each transaction reads its own rows and is validated once, and ${commitsBetween} others commit before; both are ` +
    'outside the timing. What validations sort of the commits that came since the last one is inside, the sorting at the first one is not. ' +
    'Each is timed by itself and the average is taken, the cost of reading the clock included.',
  unit: 'µs',
  better: 'less',
  rounds: { full: 5, quick: 2 },
  entries: lags.map(lag => ({
    subject: subjectAt(lag),
    peer: undefined,
    settings: `snapshots ${inWords(lag)} commits old`,
    start: context => start(lag, context),
  })),
  goals: [{ name: 'validate-lag-1024-us', of: subjectAt(1_024), to: undefined, op: '<=', target: 1 }],
}

function start(lag: number, { quick, seed }: Context): Promise<Contestant> {
  const length = quick ? 'quick' : 'full'
  let found = 0
  return Promise.resolve({
    round({ number, isWarmUp }) {
      const notes: Record<string, number> = {}
      for (const stamps of isWarmUp ? [usual] : sizes[length]) {
        if (stamps < lag * writesPerCommit) continue
        const lagging = new Lagging(stamps, seed + number)
        notes[`${inWords(stamps)} writes`] = averageUs(lagging, lag, validations[length])
        expectConflict(lagging, lag)
        found++
      }
      const { [`${inWords(usual)} writes`]: value, ...others } = notes
      return Promise.resolve({ value: value!, notes: others })
    },
    finish: () => {
      if (found === 0) throw new Error('Nothing was validated.')
      return Promise.resolve('no validation found a conflict but those of what was overwritten just after the snapshot, which all did')
    },
    dispose: () => Promise.resolve(),
  })
}

function averageUs(lagging: Lagging, lag: number, count: number): number {
  let spentMs = 0
  for (let i = -settling; i < count; i++) {
    for (let c = 0; c < commitsBetween; c++) lagging.commit(lagging.writtenKeys())
    const reads = lagging.readSet()
    const startedMs = performance.now()
    const conflict = lagging.validate(reads, lag)
    if (i >= 0) spentMs += performance.now() - startedMs
    if (conflict !== undefined) throw new Error('A transaction conflicts with writes of other rows.')
  }
  return (spentMs / count) * 1_000
}

/** A row that was read, overwritten by the oldest commit that may matter, is found; by the one before, it is not. */
function expectConflict(lagging: Lagging, lag: number): void {
  const reads = lagging.readSet()
  lagging.commit([...reads.points].slice(0, 1))
  for (let i = 1; i < lag; i++) lagging.commit(lagging.writtenKeys())
  if (lagging.validate(reads, lag) === undefined) throw new Error('A row that was overwritten was not found.')
  if (lag > 1 && lagging.validate(reads, lag - 1) !== undefined) throw new Error('A row that was overwritten before the snapshot was found.')
}
