/** Makes a failing batch small: leaves out histories, then transactions, then steps, for as long as it still fails. Delta debugging (Zeller & Hildebrandt, TSE 28(2), 2002). */
import { newTally, playBatch, ViolationError, type BatchOptions } from '../batch.js'
import { Plan } from '../plan.js'

/** Times a batch is played; some parts may be left that need not be. */
const runsMax = 2_000

export interface Shrunk {
  readonly failure: ViolationError
  /** The parts of the batch at first, and those left: histories, transactions, steps. */
  readonly before: readonly [number, number, number]
  readonly after: readonly [number, number, number]
  readonly runs: number
}

/** Undefined where the batch does not fail. */
export async function shrink(options: BatchOptions): Promise<Shrunk | undefined> {
  const search = new Search(options)
  if (!(await search.tryWithout([]))) return undefined
  const before = sizes(search.parts)
  const failing = `${search.failure!.number}`
  for (let left = Infinity; search.parts.length < left; ) {
    left = search.parts.length
    for (const depth of [0, 1, 2]) await search.reduce(part => depthOf(part) === depth && part !== failing)
  }
  return { failure: search.failure!, before, after: sizes(search.parts), runs: search.runs }
}

class Search {
  failure: ViolationError | undefined
  /** What is still played up to the failure. */
  parts: readonly string[] = []
  runs = 0
  readonly #options: BatchOptions
  #leftOut: ReadonlySet<string> = new Set()

  constructor(options: BatchOptions) {
    this.#options = options
  }

  /** Leaves out as many as it can of the parts that are chosen, large pieces first. */
  async reduce(isChosen: (part: string) => boolean): Promise<void> {
    for (let size = Math.ceil(this.parts.filter(isChosen).length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      let at = 0
      for (let chosen = this.parts.filter(isChosen); at < chosen.length; chosen = this.parts.filter(isChosen)) {
        if (this.runs >= runsMax) return
        if (!(await this.tryWithout(chosen.slice(at, at + size)))) at += size
      }
    }
  }

  /** Whether the same history still fails without some more parts; if so they are left out for good. */
  async tryWithout(parts: readonly string[]): Promise<boolean> {
    this.runs++
    const leftOut = new Set([...this.#leftOut, ...parts])
    const plan = new Plan(leftOut)
    try {
      await playBatch({ ...this.#options, plan }, newTally())
      return false
    } catch (error) {
      if (!(error instanceof ViolationError)) throw error
      if (this.failure !== undefined && this.failure.number !== error.number) return false
      this.failure = error
      this.parts = plan.played
      this.#leftOut = leftOut
      return true
    }
  }
}

const depthOf = (part: string): number => part.split('/').length - 1

const sizes = (parts: readonly string[]): readonly [number, number, number] => {
  const count = (depth: number): number => parts.filter(part => depthOf(part) === depth).length
  return [count(0), count(1), count(2)]
}
