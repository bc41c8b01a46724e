/**
 * Snapshots that iterators hold for themselves alone: those of one-shot ranges, and of ranges in a transaction whose level moves on with every operation.
 *
 *   I-1  Each is released once, by whatever comes first: the iterator is exhausted or left, its transaction ends, or nobody can reach it any more. An iterator that
 *        was dropped in the middle would else keep its state until the age limit.
 *   I-2  Nothing here refers to the iterator, else it could always be reached.
 *
 * When an iterator is collected is the runtime's choice. Nothing that anybody reads depends on it, only how long an old state is kept.
 */
import type { Environment } from '../environment.js'
import type { SnapshotTs } from '../../isolation/types.js'
import type { Epochs, Snapshot } from './epochs.js'

export interface HeldSnapshot {
  readonly snapshot: Snapshot
  /** When the iteration began. */
  readonly sinceMs: number
  /** Of the transaction around it. */
  readonly label: string | undefined
  /** Snapshots that are released together. */
  readonly group: Set<HeldSnapshot> | undefined
}

export class IteratorSnapshots implements Iterable<HeldSnapshot> {
  readonly #epochs: Epochs
  readonly #environment: Environment
  readonly #held = new Set<HeldSnapshot>()
  readonly #collected = new FinalizationRegistry<HeldSnapshot>(held => this.release(held))

  constructor(epochs: Epochs, environment: Environment) {
    this.#epochs = epochs
    this.#environment = environment
  }

  get count(): number {
    return this.#held.size
  }

  acquire(ts: SnapshotTs, label?: string, group?: Set<HeldSnapshot>): HeldSnapshot {
    const held: HeldSnapshot = { snapshot: this.#epochs.acquire(ts, false), sinceMs: this.#environment.nowMs(), label, group }
    this.#held.add(held)
    group?.add(held)
    return held
  }

  /** Releases the snapshot when `iterator` can no longer be reached. */
  releaseWith(iterator: object, held: HeldSnapshot): void {
    this.#collected.register(iterator, held, held)
  }

  /** Does nothing where it has been released. */
  release(held: HeldSnapshot): void {
    if (!this.#held.delete(held)) return
    held.group?.delete(held)
    this.#collected.unregister(held)
    this.#epochs.release(held.snapshot)
  }

  [Symbol.iterator](): IterableIterator<HeldSnapshot> {
    return this.#held.values()
  }
}
