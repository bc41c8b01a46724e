/**
 * Who must be told when its time is up. Most are done long before, so one timer serves all who wait: it is set for the first of them, and for another when it goes off.
 */
import type { Cancel, Environment } from './environment.js'

/** It is linked into the list of those that wait, which costs less than a timer of its own. */
export interface Deadline {
  readonly untilMs: number
  previousArmed: Deadline | undefined
  nextArmed: Deadline | undefined
  /** The time is up. Leaves the list. */
  expire(): void
}

class Watch {
  readonly #environment: Environment
  readonly #background: 'background' | undefined
  #newest: Deadline | undefined
  #cancel: Cancel | undefined
  #dueMs = Infinity

  constructor(environment: Environment, background: 'background' | undefined) {
    this.#environment = environment
    this.#background = background
  }

  enter(deadline: Deadline): void {
    deadline.previousArmed = this.#newest
    if (this.#newest !== undefined) this.#newest.nextArmed = deadline
    this.#newest = deadline
    if (deadline.untilMs < this.#dueMs) this.#setTimer(deadline.untilMs)
  }

  /** Who waits no longer. Without anybody the timer goes: it would keep the process alive. */
  leave(deadline: Deadline): void {
    const { previousArmed, nextArmed } = deadline
    if (previousArmed !== undefined) previousArmed.nextArmed = nextArmed
    if (nextArmed !== undefined) nextArmed.previousArmed = previousArmed
    else this.#newest = previousArmed
    deadline.previousArmed = deadline.nextArmed = undefined
    if (this.#newest === undefined) this.#stop()
  }

  #setTimer(untilMs: number): void {
    this.#stop()
    this.#dueMs = untilMs
    this.#cancel = this.#environment.setTimer(() => this.#look(), Math.max(0, untilMs - this.#environment.nowMs()), this.#background)
  }

  #stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#dueMs = Infinity
  }

  /** Tells all whose time is up, and sets the timer for the first of the others. Those who are told leave. */
  #look(): void {
    this.#stop()
    const nowMs = this.#environment.nowMs()
    let nextMs = Infinity
    const expired: Deadline[] = []
    for (let deadline = this.#newest; deadline !== undefined; deadline = deadline.previousArmed) {
      if (deadline.untilMs <= nowMs) expired.push(deadline)
      else nextMs = Math.min(nextMs, deadline.untilMs)
    }
    if (nextMs < Infinity) this.#setTimer(nextMs)
    for (const deadline of expired) deadline.expire()
  }
}

export class Deadlines {
  /** Somebody awaits the outcome: the process stays alive for it. */
  readonly awaited: Watch
  readonly background: Watch

  constructor(environment: Environment) {
    this.awaited = new Watch(environment, undefined)
    this.background = new Watch(environment, 'background')
  }
}
