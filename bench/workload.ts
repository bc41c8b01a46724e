/**
 * What a benchmark is made of. A workload is work that several subjects do in turn, round by round: A B A B … Adding a workload is adding a file to `workloads/` and its name to
 * `workloads/index.ts`; adding a store is adding a file to `subjects/` and an entry to the workloads that it can do.
 */

export interface Workload {
  /** As `--only` names it. */
  readonly name: string
  /** One paragraph for the reports: what is done, on what, and what is inside the timing. */
  readonly summary: string
  /** What is counted. */
  readonly unit: string
  /** Whether more of it is better, or less; more where nothing is said. */
  readonly better?: 'more' | 'less'
  readonly rounds: { readonly full: number; readonly quick: number }
  /** Who does it, in the order of each round. */
  readonly entries: readonly Entry[]
  readonly goals: readonly Goal[]
}

export interface Entry {
  readonly subject: string
  /** The other store that has to be installed for it; undefined for PremiseDB itself, and where nothing has. */
  readonly peer: Peer | undefined
  /** What was chosen where the store leaves a choice. */
  readonly settings: string
  start(context: Context): Promise<Contestant>
}

/** Other stores, as `--peers` names them. */
export const peers = ['lmdb', 'better-sqlite3', 'classic-level', 'postgres'] as const
export type Peer = (typeof peers)[number]

/** One subject at work. */
export interface Contestant {
  /** Does the work of one round and resolves to its value, in the workload's unit, with further figures where there are any. */
  round(round: Round): Promise<number | Measured>
  /** Resolves to a text that says what was done, equal for all who did the same work. */
  finish(): Promise<string>
  /** Releases everything, also after a failure. */
  dispose(): Promise<void>
}

/** A value with further figures of the same round, named with their units (p99Ms, aborts); the same ones in every round. */
export interface Measured {
  readonly value: number
  readonly notes?: Readonly<Record<string, number>>
}

export interface Round {
  /** Decides the work, together with the seed; 0 is the warm-up, which is not counted and may be shorter. */
  readonly number: number
  readonly isWarmUp: boolean
}

/** What a contestant may depend on. */
export interface Context {
  readonly quick: boolean
  readonly seed: number
  /** What the disk can do at most when every commit is synced by itself: how much durable work fits into a round. */
  readonly syncsPerSecond: number
  /** Where files may be made; removed when the workload ends. */
  readonly directory: string
}

/** What a ratio of two subjects, or a value itself, should be. It is taken in each round. */
export interface Goal {
  readonly name: string
  readonly of: string
  /** With several, the best of them in each round; with none, the value itself is compared with the target. */
  readonly to: string | readonly string[] | undefined
  readonly op: '>=' | '<='
  readonly target: number
}
