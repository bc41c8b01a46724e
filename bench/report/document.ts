/** The result for programs: the shape of `--json`. */
import type { Machine } from '../machine.js'
import type { WorkloadResult } from '../runner.js'

export interface BenchResult {
  readonly machine: Machine
  readonly quick: boolean
  readonly seed: number
  readonly workloads: readonly WorkloadResult[]
}

export interface BenchDocument {
  readonly machine: Machine & { readonly quick: boolean; readonly seed: number }
  /** `notes` are medians of further figures. */
  readonly results: readonly {
    readonly workload: string
    readonly subject: string
    readonly value: number
    readonly unit: string
    readonly min: number
    readonly max: number
    readonly notes: Readonly<Record<string, number>>
  }[]
  /** `low` and `high` bound the median of the rounds with a confidence of 95 %. */
  readonly ratios: readonly {
    readonly name: string
    readonly value: number
    readonly op: '>=' | '<='
    readonly target: number
    readonly met: boolean
    readonly low: number
    readonly high: number
  }[]
}

export function benchDocument({ machine, quick, seed, workloads }: BenchResult): BenchDocument {
  return {
    machine: { ...machine, quick, seed },
    results: workloads.flatMap(({ workload, subjects }) =>
      subjects.map(({ entry, value, min, max, notes }) => ({ workload: workload.name, subject: entry.subject, value, unit: workload.unit, min, max, notes })),
    ),
    ratios: workloads.flatMap(({ ratios }) =>
      ratios.map(({ goal: { name, op, target }, value, met, low, high }) => ({ name, value, op, target, met, low, high })),
    ),
  }
}
