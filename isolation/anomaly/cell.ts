/** One cell of the matrix: one scenario against one subject, in every order its steps can take. */
import type { Phenomenon } from './checker/phenomena.js'
import { type JudgedSchedule, judgeSchedule } from './judge.js'
import type { Scenario } from './scenario.js'
import { type Interleaving, interleavings } from './schedule/interleavings.js'
import { type PlayedSchedule, playSchedule } from './schedule/play.js'
import type { Scheduler } from './schedule/scheduler.js'
import type { Subject, SubjectStore } from './subject.js'

export interface Cell {
  readonly scenario: Scenario
  readonly subject: Subject
  readonly expected: 'possible' | 'prevented'
  readonly observed: 'possible' | 'prevented' | 'unsupported'
  /** How many schedules were played, of how many there are. */
  readonly schedules: number
  readonly totalSchedules: number
  readonly sampled: boolean
  readonly witnesses: number
  /** Phenomena met in this cell that the subject's level rules out, be they the scenario's own or not. */
  readonly forbidden: readonly Phenomenon[]
  /** The witness that is easiest to follow; where there is none, the schedule that shows something forbidden. */
  readonly shortest: JudgedSchedule | null
  /** The schedule, easiest to follow, in which the engine aborted a transaction; else one in which it refused a unique key. */
  readonly refusal: PlayedSchedule | null
}

export interface CellOptions {
  readonly seed: string
  /** Schedules in flight at once, each in a space of its own. */
  readonly concurrency: number
  readonly maxSchedules: number
}

/** Every schedule of a cell was disturbed by the engine: it prevents anomalies by preventing everything. */
export class VacuousCellError extends Error {
  override readonly name = 'VacuousCellError'
}

export async function runCell(
  subject: Subject,
  store: SubjectStore,
  scenario: Scenario,
  scheduler: Scheduler,
  { seed, concurrency, maxSchedules }: CellOptions,
): Promise<Cell> {
  const { orders, total, sampled } = interleavings(scenario.sessions.map(({ steps }) => steps.length), seed, maxSchedules)
  const tally = new Tally()
  const expected = scenario.allowedAt.includes(subject.level) ? 'possible' : 'prevented'
  const cell = { scenario, subject, expected, totalSchedules: total, sampled } as const
  try {
    await inParallel(orders, concurrency, async order => {
      const played = await playSchedule(scenario, order, store, scheduler)
      tally.add(judgeSchedule(scenario, subject.level, played))
    })
  } catch (error) {
    if (!isUnsupported(error)) throw error
    return { ...cell, observed: 'unsupported', schedules: 0, witnesses: 0, forbidden: [], shortest: null, refusal: null }
  }
  if (tally.undisturbed === 0) {
    throw new VacuousCellError(`${subject.name} aborted a transaction in every schedule of ${scenario.id}, even where none overlap.`)
  }
  const { witnesses, forbidden, refusal } = tally
  const shortest = tally.shortest ?? tally.slip
  const observed = witnesses > 0 ? 'possible' : 'prevented'
  return { ...cell, observed, schedules: orders.length, witnesses, forbidden: [...forbidden], shortest, refusal }
}

class Tally {
  witnesses = 0
  undisturbed = 0
  readonly forbidden = new Set<Phenomenon>()
  shortest: JudgedSchedule | null = null
  slip: JudgedSchedule | null = null
  abort: PlayedSchedule | null = null
  violation: PlayedSchedule | null = null

  get refusal(): PlayedSchedule | null {
    return this.abort ?? this.violation
  }

  add(judged: JudgedSchedule): void {
    const { played } = judged
    for (const phenomenon of judged.forbidden) this.forbidden.add(phenomenon)
    if (judged.forbidden.length > 0 && (!this.slip || isEasier(played, this.slip.played))) this.slip = judged
    if (judged.isWitness) {
      this.witnesses++
      if (!this.shortest || isEasier(played, this.shortest.played)) this.shortest = judged
    }
    if (!played.endings.some(({ kind }) => kind === 'aborted-by-engine')) this.undisturbed++
    else if (!this.abort || isEasier(played, this.abort)) this.abort = played
    if (played.endings.some(({ kind }) => kind === 'refused') && (!this.violation || isEasier(played, this.violation))) this.violation = played
  }
}

/** Fewer events, then fewer switches between sessions, then a fixed order, so that runs agree on which one they show. */
function isEasier(a: PlayedSchedule, b: PlayedSchedule): boolean {
  const difference = a.timeline.length - b.timeline.length || switches(a.order) - switches(b.order)
  return difference < 0 || (difference === 0 && a.order.join() < b.order.join())
}

const switches = (order: Interleaving): number => order.filter((session, turn) => session !== order[turn - 1]).length

const isUnsupported = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'UNSUPPORTED'

/** Runs `work` over all items, so many at once; after a failure begins no more, and fails when those under way have ended. */
async function inParallel<T>(items: readonly T[], concurrency: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const failures: unknown[] = []
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (failures.length > 0) return
      try {
        await work(item)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker))
  if (failures.length > 0) throw failures[0]
}
