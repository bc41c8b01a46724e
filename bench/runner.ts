/**
 * Runs workloads: every subject does the same work, in rounds A B A B …, so that what slows the machine for a while slows all. Values are medians over the rounds, ratios are
 * taken round by round before their median is. A result counts only when all subjects prove that they did the same.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rounded } from './report/text.js'
import { median, medianInterval, spread, type Interval, type Spread } from './statistics.js'
import type { Contestant, Entry, Goal, Measured, Workload } from './workload.js'

export interface RunOptions {
  readonly quick: boolean
  readonly seed: number
  readonly syncsPerSecond: number
  /** Told what goes on, line by line. */
  readonly tell: (text: string) => void
}

export interface WorkloadResult {
  readonly workload: Workload
  /** Rounds that were counted. */
  readonly rounds: number
  readonly subjects: readonly SubjectResult[]
  readonly ratios: readonly RatioResult[]
  /** What all subjects showed to have done. */
  readonly proof: string
}

export interface SubjectResult extends Spread {
  readonly entry: Entry
  /** Medians of the further figures over the rounds. */
  readonly notes: Readonly<Record<string, number>>
}

export interface RatioResult extends Interval {
  readonly goal: Goal
  readonly value: number
  readonly met: boolean
}

/** A quick run ends a workload when it has taken this long, though not before its first counted round. */
const quickMs = 7_000

/** Rejects where a subject fails, or where two did not do the same work. */
export async function runWorkload(workload: Workload, options: RunOptions): Promise<WorkloadResult> {
  const rounds = options.quick ? workload.rounds.quick : workload.rounds.full
  const untilMs = performance.now() + (options.quick ? quickMs : Infinity)
  const started: Started[] = []
  try {
    options.tell(`${workload.name}: preparing ${workload.entries.map(({ subject }) => subject).join(', ')}`)
    for (const entry of workload.entries) {
      const directory = mkdtempSync(join(tmpdir(), 'premise-bench-'))
      const place: Started = { entry, directory, contestant: nobody, values: [], notes: [] }
      started.push(place)
      place.contestant = await entry.start({ quick: options.quick, seed: options.seed, syncsPerSecond: options.syncsPerSecond, directory })
    }
    for (let number = 0; number <= rounds; number++) {
      if (number > 1 && performance.now() > untilMs) break
      for (const { contestant, values, notes } of started) {
        collectGarbage()
        const measured = measuredOf(await contestant.round({ number, isWarmUp: number === 0 }))
        if (number === 0) continue
        values.push(measured.value)
        notes.push(measured.notes ?? {})
      }
      const shown = started.map(({ entry, values }) => `${entry.subject} ${rounded(values.at(-1) ?? 0)}`)
      options.tell(number === 0 ? `${workload.name}: warmed up` : `${workload.name}: round ${number} of ${rounds}: ${shown.join(', ')} ${workload.unit}`)
    }
    const proofs: string[] = []
    for (const { contestant } of started) proofs.push(await contestant.finish())
    const proof = sameProof(workload, proofs)
    const subjects = started.map(({ entry, values, notes }) => ({ entry, ...spread(values), notes: mediansOf(notes) }))
    const valuesOf = new Map(started.map(({ entry, values }) => [entry.subject, values]))
    return { workload, rounds: started[0]!.values.length, subjects, ratios: ratiosOf(workload, valuesOf), proof }
  } finally {
    for (const { contestant, directory } of started) {
      try {
        await contestant.dispose()
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    }
  }
}

interface Started {
  readonly entry: Entry
  readonly directory: string
  contestant: Contestant
  readonly values: number[]
  readonly notes: Readonly<Record<string, number>>[]
}

/** In the place of a contestant that has not started. */
const nobody: Contestant = {
  round: () => Promise.reject(new Error('The contestant has not started.')),
  finish: () => Promise.reject(new Error('The contestant has not started.')),
  dispose: () => Promise.resolve(),
}

/** With `--expose-gc` no round pays for what the one before it left behind. */
function collectGarbage(): void {
  if ('gc' in globalThis && typeof globalThis.gc === 'function') globalThis.gc()
}

function sameProof({ name, entries }: Workload, proofs: readonly string[]): string {
  const [first] = proofs
  if (first === undefined) throw new Error(`Nobody takes part in ${name}.`)
  if (proofs.some(proof => proof !== first)) {
    const said = proofs.map((proof, i) => `${entries[i]!.subject}: ${proof}`)
    throw new Error(`The subjects of ${name} did not do the same work, so their times cannot be compared.\n${said.join('\n')}`)
  }
  return first
}

const measuredOf = (measured: number | Measured): Measured => (typeof measured === 'number' ? { value: measured } : measured)

function mediansOf(rounds: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const names = Object.keys(rounds[0] ?? {})
  return Object.fromEntries(names.map(name => [name, median(rounds.flatMap(notes => notes[name] ?? []))]))
}

/** Goals whose subjects all took part. */
export function ratiosOf({ goals, better = 'more' }: Pick<Workload, 'goals' | 'better'>, valuesOf: ReadonlyMap<string, readonly number[]>): RatioResult[] {
  const best = better === 'more' ? Math.max : Math.min
  return goals.flatMap(goal => {
    const of = valuesOf.get(goal.of)
    const others = [goal.to ?? []].flat().map(name => valuesOf.get(name))
    if (of === undefined || !others.every(values => values !== undefined)) return []
    const pairs = of.map((value, round) => (others.length === 0 ? value : value / best(...others.map(values => values[round]!))))
    const value = median(pairs)
    return [{ goal, value, ...medianInterval(pairs), met: goal.op === '>=' ? value >= goal.target : value <= goal.target }]
  })
}
