/** The anomaly matrix: which anomalies each subject lets through, found by playing every scenario against it. */
import { type Cell, runCell } from './cell.js'
import type { Scenario } from './scenario.js'
import { maxSchedules } from './schedule/interleavings.js'
import type { Scheduler } from './schedule/scheduler.js'
import type { Subject } from './subject.js'

export interface MatrixOptions {
  /** Chooses the sample where a scenario has too many schedules; the same seed gives the same one. */
  readonly seed: number
  /** Gives the scheduler for a subject: what counts as blocked depends on what the engine does. */
  readonly scheduler: (subject: Subject) => Scheduler
  /** Schedules in flight at once, so that an engine can commit them together. Default: 64. */
  readonly concurrency?: number
  /** Default: 2,000. */
  readonly maxSchedules?: number
}

export interface Matrix {
  readonly seed: number
  readonly subjects: readonly Subject[]
  readonly scenarios: readonly Scenario[]
  /** Subject by subject, in the order of the scenarios. */
  readonly cells: readonly Cell[]
}

/** The matrix as a JSON document. */
export interface MatrixDocument {
  readonly seed: number
  readonly subjects: readonly { readonly name: string; readonly level: string; readonly control: string }[]
  readonly cells: readonly {
    readonly anomaly: string
    readonly subject: string
    readonly expected: 'possible' | 'prevented'
    readonly observed: 'possible' | 'prevented' | 'unsupported'
    readonly schedules: number
    readonly witnesses: number
    /** True where `schedules` is a sample of all there are. */
    readonly sampled: boolean
    /** Phenomena that the subject's level rules out and that occurred all the same. */
    readonly forbidden: readonly string[]
  }[]
}

/**
 * Plays all scenarios against all subjects, one subject after the other.
 *
 * Rejects with `ScheduleError` where an operation fails with anything but a retryable or unsupported error, a session is never
 * released, or the two opinions on a serializable history disagree; with `VacuousCellError` where a subject aborts something in
 * every schedule; with `CheckerError` where the checker contradicts itself.
 */
export async function runMatrix(
  subjects: readonly Subject[],
  scenarios: readonly Scenario[],
  options: MatrixOptions,
): Promise<Matrix> {
  const cells: Cell[] = []
  for (const subject of subjects) {
    const scheduler = options.scheduler(subject)
    const store = await subject.open()
    try {
      for (const scenario of scenarios) {
        const cell = await runCell(subject, store, scenario, scheduler, {
          seed: `${options.seed}/${scenario.id}`,
          concurrency: options.concurrency ?? 64,
          maxSchedules: options.maxSchedules ?? maxSchedules,
        })
        cells.push(cell)
      }
    } finally {
      await store.close()
    }
  }
  return { seed: options.seed, subjects, scenarios, cells }
}

/** Whether a cell of ours contradicts its level, by the scenario's own anomaly or by another that slipped in. */
export const differs = ({ subject, expected, observed, forbidden }: Cell): boolean =>
  subject.ours && ((observed !== 'unsupported' && observed !== expected) || forbidden.length > 0)

/** 1 where a cell of ours differs, else 0. */
export const exitCode = (matrix: Matrix): 0 | 1 => (matrix.cells.some(differs) ? 1 : 0)

export function matrixDocument({ seed, subjects, cells }: Matrix): MatrixDocument {
  return {
    seed,
    subjects: subjects.map(({ name, level, control }) => ({ name, level, control })),
    cells: cells.map(({ scenario, subject, expected, observed, schedules, witnesses, sampled, forbidden }) => ({
      anomaly: scenario.id,
      subject: subject.name,
      expected,
      observed,
      schedules,
      witnesses,
      sampled,
      forbidden,
    })),
  }
}
