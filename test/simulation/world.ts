/**
 * A machine on which nothing happens by itself: whatever waits (a body that paused, a deferred call, a sync, a timer) stands in one list, and a seed
 * decides what goes on next. Files are real; their asynchronous syncs end when it is their turn.
 *
 * Whoever waits draws how long, from an exponential distribution: that has no memory, so each of those who wait is as likely to be next as any other, and
 * yet each wait is its owner's alone, and stays what it is when somebody else is left out.
 */
import * as fs from 'node:fs'
import type { Environment, Files } from '../../engine/environment.js'
import type { Chance } from './chance.js'

interface Timer {
  readonly run: () => void
  readonly atMs: number
}

interface Waiting {
  readonly run: () => void
  /** On a clock of turns, not the one that the engine sees. */
  readonly turnAt: number
}

/** Timers this close may fire although something else could go on. */
const nearMs = 100
/** Nobody is meant to wait for as long as this: somebody was forgotten. */
const hangMs = 5_000

export class World {
  readonly environment: Environment
  readonly #chance: Chance
  readonly #timers = new Set<Timer>()
  #ready: Waiting[] = []
  #turnAt = 0
  #nowMs = 1_000
  /** How often a near timer goes before what is ready. */
  timerShare = 0.1
  /** The disk fails: every sync from now on does. */
  syncsFail = false

  constructor(chance: Chance) {
    this.#chance = chance
    const syncError = (): Error => Object.assign(new Error('EIO: by the simulation'), { code: 'EIO' })
    const fdatasync = (_fd: number, done: (error: Error | null) => void): void => this.#wait(() => done(this.syncsFail ? syncError() : null), chance)
    const sync = (): void => {
      if (this.syncsFail) throw syncError()
    }
    this.environment = {
      files: { ...fs, fdatasync: fdatasync as Files['fdatasync'], fdatasyncSync: sync, fsyncSync: sync },
      nowMs: () => this.#nowMs,
      random: () => chance.next(),
      setTimer: (run, delayMs) => {
        const timer = { run, atMs: this.#nowMs + delayMs }
        this.#timers.add(timer)
        return () => void this.#timers.delete(timer)
      },
      defer: run => {
        this.#wait(run, chance)
        return () => void (this.#ready = this.#ready.filter(other => other.run !== run))
      },
    }
  }

  /** Timers that neither fired nor were cancelled. */
  get timers(): number {
    return this.#timers.size
  }

  /** Resolves when it is the turn of who owns `chance`. */
  pause(chance: Chance): Promise<void> {
    return new Promise(resolve => this.#wait(resolve, chance))
  }

  /** Lets things happen until `isDone`. Throws where nothing that is left to happen can lead there. */
  async runUntil(isDone: () => boolean): Promise<void> {
    for (;;) {
      await drained()
      if (isDone()) return
      this.#turn()
    }
  }

  /** Lets everything happen that is ready, timers apart, until nothing is. */
  async settle(): Promise<void> {
    for (;;) {
      await drained()
      if (this.#ready.length === 0) return
      this.#takeReady()()
    }
  }

  #turn(): void {
    this.#nowMs += this.#chance.next()
    const timer = this.#nextTimer()
    const isNear = timer !== undefined && timer.atMs - this.#nowMs < nearMs
    if (this.#ready.length > 0 && !(isNear && this.#chance.is(this.timerShare))) return this.#takeReady()()
    if (timer === undefined || timer.atMs - this.#nowMs > hangMs) throw new Error('it hangs: somebody waits, and nothing is left to happen')
    this.#timers.delete(timer)
    this.#nowMs = Math.max(this.#nowMs, timer.atMs)
    timer.run()
  }

  #wait(run: () => void, chance: Chance): void {
    this.#ready.push({ run, turnAt: this.#turnAt - Math.log(1 - chance.next()) })
  }

  #takeReady(): () => void {
    let next = 0
    for (let i = 1; i < this.#ready.length; i++) if (this.#ready[i]!.turnAt < this.#ready[next]!.turnAt) next = i
    const [{ run, turnAt }] = this.#ready.splice(next, 1) as [Waiting]
    this.#turnAt = turnAt
    return run
  }

  #nextTimer(): Timer | undefined {
    let next: Timer | undefined
    for (const timer of this.#timers) if (next === undefined || timer.atMs < next.atMs) next = timer
    return next
  }
}

/** Resolves when no promise job is left. */
function drained(): Promise<void> {
  return new Promise(resolve => process.nextTick(resolve))
}
