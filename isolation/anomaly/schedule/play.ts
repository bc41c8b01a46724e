/**
 * Plays one schedule: one order of the sessions' steps against one space. Returns its history and a timeline of what happened.
 *
 * A turn runs a session's next step. A step that does not settle within the scheduler's bound is blocked; its session's
 * further turns are owed and made up for as soon as it settles. After the last turn blocked sessions are waited for. If none of
 * them is ever released, or a step fails with anything but an abort by the engine, the schedule throws `ScheduleError`.
 */
import type { History } from '../checker/history.js'
import type { Row, Scenario } from '../scenario.js'
import { type SubjectSpace, type SubjectStore, UnsupportedError } from '../subject.js'
import { Entries } from './entries.js'
import type { Interleaving } from './interleavings.js'
import { type Ending, type EventCounter, Player } from './player.js'
import { Rows } from './recorder.js'
import type { Scheduler } from './scheduler.js'
import { unwrap } from './seen.js'

/** One line of the timeline: a step that was taken, or began to wait, or came back from waiting. */
export interface TimelineEvent {
  readonly session: number
  readonly text: string
}

export interface PlayedSchedule {
  readonly order: Interleaving
  /**
   * Its transactions are the sessions in the order of the scenario, then, as aborted ones, what their savepoints dropped, and, as
   * ones that only read, what those were told that were refused a unique key.
   */
  readonly history: History
  readonly timeline: readonly TimelineEvent[]
  /** How each session ended, in the order of the scenario. */
  readonly endings: readonly Ending[]
  readonly finalRows: readonly Row[]
}

export class ScheduleError extends Error {
  override readonly name = 'ScheduleError'
  constructor(scenario: Scenario, order: Interleaving, message: string, cause?: unknown) {
    const turns = order.map(session => `T${session + 1}`).join(' ')
    super(`${scenario.id}, in the order ${turns}: ${message}`, { cause })
  }
}

interface Waiting {
  readonly step: Promise<string>
  settled: boolean
}

export async function playSchedule(
  scenario: Scenario,
  order: Interleaving,
  store: SubjectStore,
  scheduler: Scheduler,
): Promise<PlayedSchedule> {
  const versions = scenario.initial.map(({ table, key }, index) => ({ table, key, version: `T0.${index + 1}` }))
  const initial = scenario.initial.map((row, i) => ({ ...row, value: { v: versions[i]!.version, value: row.value } }))
  const space = await openSpace(scenario, store, initial)
  const entries = new Entries(scenario, versions)
  const stage = new Stage(scenario, order, space, scheduler, entries)
  const players = await stage.play()
  const stored = (await space.finalState()).map(({ table, key, value }) => ({ table, key, ...unwrap(value) }))
  const history: History = {
    initial: versions,
    transactions: [players.map(player => player.record()), players.flatMap(player => player.undone() ?? []), players.flatMap(player => player.told() ?? [])].flat(),
    final: stored.map(({ table, key, v }) => ({ table, key, version: v })),
  }
  return {
    order,
    history: await entries.addTo(history, space),
    timeline: stage.timeline,
    endings: players.map(player => player.ending!),
    finalRows: stored.map(({ table, key, value }) => ({ table, key, value })),
  }
}

function openSpace({ tables = [] }: Scenario, store: SubjectStore, initial: readonly Row[]) {
  if (tables.length === 0) return store.space(initial)
  if (!store.indexedSpace) throw new UnsupportedError('The engine has no indexes.')
  return store.indexedSpace(initial, tables)
}

class Stage {
  readonly timeline: TimelineEvent[] = []
  readonly #scenario: Scenario
  readonly #order: Interleaving
  readonly #scheduler: Scheduler
  readonly #players: readonly Player[]
  readonly #waiting = new Map<Player, Waiting>()

  constructor(scenario: Scenario, order: Interleaving, space: SubjectSpace, scheduler: Scheduler, entries: Entries) {
    const events: EventCounter = { next: 1 }
    this.#scenario = scenario
    this.#order = order
    this.#scheduler = scheduler
    const rows = new Rows(scenario)
    this.#players = scenario.sessions.map((session, index) => new Player(`T${index + 1}`, session, { space, events, rows, entries }))
  }

  async play(): Promise<readonly Player[]> {
    try {
      for (const turn of this.#order) {
        const player = this.#players[turn]!
        player.owedTurns++
        await this.#takeOwedTurns(player)
        if (this.#waiting.size > 0) await this.#resume(await this.#scheduler.settles(this.#anyReleased()))
      }
      while (this.#waiting.size > 0) {
        if (!(await this.#scheduler.released(this.#anyReleased()))) this.#fail('the engine never released the sessions that wait.')
        await this.#resume(true)
      }
      return this.#players
    } catch (error) {
      await Promise.all(this.#players.filter(player => !this.#waiting.has(player)).map(player => player.abandon()))
      throw error
    }
  }

  async #takeOwedTurns(player: Player): Promise<void> {
    while (player.owedTurns > 0 && !player.ending && !this.#waiting.has(player)) {
      player.owedTurns--
      const what = player.upcoming
      const waiting: Waiting = { step: player.takeStep(), settled: false }
      const settle = (): void => {
        waiting.settled = true
      }
      waiting.step.then(settle, settle)
      if (await this.#scheduler.settles(waiting.step)) {
        this.#note(player, join(what, await this.#resultOf(waiting.step)))
      } else {
        this.#waiting.set(player, waiting)
        this.#note(player, join(what, '… waits'))
      }
    }
  }

  /** Goes on with the sessions that have been released, and with those that they release in turn. */
  async #resume(some: boolean): Promise<void> {
    if (!some) return
    for (const [player, { step, settled }] of this.#waiting) {
      if (!settled) continue
      this.#waiting.delete(player)
      this.#note(player, join('… goes on:', await this.#resultOf(step)))
      await this.#takeOwedTurns(player)
    }
  }

  async #resultOf(step: Promise<string>): Promise<string> {
    try {
      return await step
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'UNSUPPORTED') throw error
      this.#fail(error instanceof Error ? error.message : String(error), error)
    }
  }

  #anyReleased(): Promise<unknown> {
    return Promise.race([...this.#waiting.values()].map(({ step }) => step.catch(() => undefined)))
  }

  #note(player: Player, text: string): void {
    this.timeline.push({ session: this.#players.indexOf(player), text })
  }

  #fail(message: string, cause?: unknown): never {
    throw new ScheduleError(this.#scenario, this.#order, message, cause)
  }
}

const join = (what: string, result: string): string => `${what} ${result}`.trim()
