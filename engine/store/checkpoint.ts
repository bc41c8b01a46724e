/**
 * Checkpoints: moving durable versions from the window into LMDB, then trimming window and log behind them.
 *
 *   idle --request--> syncing --durable--> stepping --last step--> trimming --> idle
 *
 *   K-1  The target C is fixed before the first step and durable; each step writes, in key order, the newest version <= C of a key: never the head of its chain.
 *   K-2  Only the last step writes `appliedTs = C`. Until then every snapshot reads through the last epoch's root, in which no step shows; a crash
 *        between steps leaves F where it was, and replay of the log above F covers whatever the steps wrote.
 *   K-3  C counts as a live snapshot from the moment it is fixed, so no version that a step needs leaves the window.
 *   K-4  Log and window are cut only after the new root has been pinned and says itself that it holds C.
 *   K-5  A step writes only what the free space surely holds, and none is begun on a full disk: there LMDB fails for good, while nothing is lost by waiting.
 */
import type { Environment } from '../environment.js'
import { StorageError } from '../errors.js'
import type { Limits } from '../limits.js'
import type { RowBatch, RowFile } from '../lmdb/row-file.js'
import type { CommitTs, Key } from '../../isolation/types.js'
import type { Epochs } from './epochs.js'
import { versionIn } from './window.js'

/** Versions trimmed between two breaths of the event loop. */
const trimSlice = 4_000
/** Keys passed between two looks at the clock. */
const keysPerLook = 32
/** What a step may write when it is not known how long rows take, and at least. */
const stepKeysAtFirst = 1_000
const stepKeysMin = 50
/** How much more the next step may write after one that took less time than it may. */
const stepGrowth = 1.5
/** The longest rest between two steps while nobody waits for the checkpoint. */
const restMaxMs = 20
/** How long a checkpoint that lacks disk space rests before it looks again. */
const starvedRestMs = 500
/** No step is begun with less free space. */
const freeSpaceMinBytes = 2 * 1_024 * 1_024
/** Pages that writing one row may dirty beside its own bytes: the copies of a leaf and of a branch page above it. */
const dirtyPerRowBytes = 2 * 4_096

export interface CheckpointParts {
  readonly directory: { readonly path: string }
  readonly rowFile: RowFile
  readonly epochs: Epochs
  readonly environment: Environment
  readonly limits: Limits
  readonly incarnation: number
  /** Resolves when everything up to `ts` is on disk. */
  readonly whenDurable: (ts: CommitTs) => Promise<void>
  /** Called when the new root holds everything up to `ts`. */
  readonly onApplied: (ts: CommitTs) => void
  /** Called when the disk has no space for the next step: who waits for the checkpoint must be told. */
  readonly onStarved: () => void
  /** Called when a write to LMDB failed: the store must not go on. */
  readonly onFailure: (error: unknown) => void
}

interface Run {
  readonly target: CommitTs
  /** The window's keys when it began, in order, and how many of them are written. */
  readonly keys: readonly Key[]
  written: number
  stepping: boolean
  /** Free space without which no step is possible. */
  neededBytes: number
}

type Progress = 'complete' | 'more' | 'starved'

export class Checkpointer {
  readonly #parts: CheckpointParts
  #running: Run | undefined
  #stopped = false
  #urgent = false
  /** Keys that a step may write: with the native commit, whose time follows from how far apart they lie, it should take as long as a step may, beside its sync. */
  #stepKeys = stepKeysAtFirst
  /** What a step takes whatever it writes, as far as steps have shown. */
  #syncMs = 0
  #cancelRest: (() => void) | undefined

  constructor(parts: CheckpointParts) {
    this.#parts = parts
  }

  get running(): boolean {
    return this.#running !== undefined
  }

  /** Whether the row file's newest state is that of no commit: some of what a checkpoint moves is in it, and some is not. */
  get isBetweenSteps(): boolean {
    return this.#running?.stepping === true
  }

  /** Whether a checkpoint is under way that cannot go on for want of disk space. Where there is space again it goes on. */
  get starved(): boolean {
    if (this.#cancelRest === undefined) return false
    const run = this.#running!
    if (this.#freeBytes() < run.neededBytes) return true
    this.#endRest()
    this.#parts.environment.defer(() => this.#continue(run))
    return false
  }

  /** Begins a checkpoint of everything up to `target`, the newest commit, unless one is under way. `urgent` steps do not rest. */
  request(target: CommitTs, urgent: boolean): void {
    this.#urgent ||= urgent
    if (this.#running !== undefined || this.#stopped || target <= this.#parts.epochs.appliedTs) return
    const run = this.#begin(target)
    this.#parts.whenDurable(target).then(
      () => this.#continue(run),
      () => this.stop(),
    )
  }

  /**
   * Runs a checkpoint of everything up to `target`, the newest commit and durable, to its end before it returns; one that was under way is finished first. Throws `DISK_FULL`; it then goes on
   * by itself when there is space.
   */
  runSync(target: CommitTs): void {
    const underway = this.#running
    if (underway?.stepping) this.#finishSync(underway)
    this.#leave() // one that has only been asked for, perhaps just now: this one does its work
    if (this.#stopped) return
    if (target > this.#parts.epochs.appliedTs) this.#finishSync(this.#begin(target))
    while (this.#parts.epochs.trim(trimSlice)) continue
  }

  /** No further step will run. */
  stop(): void {
    this.#stopped = true
    this.#leave()
  }

  #begin(target: CommitTs): Run {
    const { live, window, appliedTs } = this.#parts.epochs
    live.enter(target)
    this.#running = { target, keys: window.freeze(target, appliedTs), written: 0, stepping: false, neededBytes: freeSpaceMinBytes }
    return this.#running
  }

  #finishSync(run: Run): void {
    this.#endRest()
    let progress: Progress
    do progress = this.#step(run, Infinity)
    while (progress === 'more')
    if (progress === 'complete') return
    this.#rest(run)
    throw diskFull()
  }

  /** The run is over, complete or not. */
  #leave(): void {
    if (this.#running !== undefined) this.#parts.epochs.live.leave(this.#running.target)
    this.#running = undefined
    this.#endRest()
  }

  /** The next step of `run`, unless somebody finished it meanwhile. */
  #continue(run: Run): void {
    if (this.#running !== run) return
    const { environment, limits, onStarved } = this.#parts
    const startedMs = environment.nowMs()
    const writtenBefore = run.written
    let progress: Progress
    try {
      progress = this.#step(run, this.#stepKeys)
    } catch {
      return // onFailure has been told
    }
    if (progress === 'more') this.#adapt(run.written - writtenBefore, environment.nowMs() - startedMs)
    if (progress === 'complete') {
      environment.defer(() => this.#trim())
      return
    }
    if (progress === 'starved') {
      this.#rest(run)
      onStarved()
      return
    }
    const restMs = this.#urgent ? 0 : Math.min(environment.nowMs() - startedMs, restMaxMs, limits.stepMs * 2)
    if (restMs < 1) environment.defer(() => this.#continue(run))
    else environment.setTimer(() => this.#continue(run), restMs, 'background')
  }

  /** What a step that writes next to nothing takes no smaller step would spare: most of it is the sync. */
  #adapt(keys: number, tookMs: number): void {
    const { stepMs } = this.#parts.limits
    this.#syncMs = keys <= stepKeysMin ? tookMs : Math.min(this.#syncMs, tookMs)
    const spentMs = tookMs - this.#syncMs
    if (spentMs > stepMs) this.#stepKeys = Math.max(stepKeysMin, Math.floor((keys * stepMs) / spentMs))
    else if (keys >= this.#stepKeys) this.#stepKeys = Math.ceil(this.#stepKeys * stepGrowth)
  }

  /** Rests until there may be space again. */
  #rest(run: Run): void {
    const goOn = (): void => {
      this.#cancelRest = undefined
      this.#continue(run)
    }
    this.#cancelRest = this.#parts.environment.setTimer(goOn, starvedRestMs, 'background')
  }

  #endRest(): void {
    this.#cancelRest?.()
    this.#cancelRest = undefined
  }

  #freeBytes(): number {
    const { bavail, bsize } = this.#parts.environment.files.statfsSync(this.#parts.directory.path)
    return bavail * bsize
  }

  /** One native transaction, unless there is no space for it. Without a `keysMax` it is bounded by its size alone: somebody waits for all of them. */
  #step(running: Run, keysMax: number): Progress {
    let progress: Progress = 'starved'
    try {
      const freeBytes = this.#freeBytes()
      if (freeBytes < running.neededBytes) return progress
      running.stepping = true
      this.#parts.rowFile.write(batch => {
        progress = this.#fill(batch, running, keysMax, freeBytes / 2)
      })
      if ((progress as Progress) === 'complete') this.#takeOver(running.target)
    } catch (error) {
      this.stop()
      this.#parts.onFailure(error)
      throw error
    }
    return progress
  }

  /** Writes versions of the keys that are not written yet until the step is full, or would dirty more than `spaceBytes` (K-5). */
  #fill(batch: RowBatch, running: Run, keysMax: number, spaceBytes: number): Progress {
    const { epochs, environment, limits, incarnation } = this.#parts
    const untilMs = keysMax === Infinity ? Infinity : environment.nowMs() + limits.stepMs
    let sizeBytes = 0
    let dirtyBytes = 0
    running.neededBytes = freeSpaceMinBytes
    for (let keys = 1; running.written < running.keys.length; keys++) {
      const key = running.keys[running.written]!
      const version = versionIn(epochs.window.newest(key), epochs.appliedTs, running.target)
      if (version !== undefined) {
        const rowSizeBytes = key.length + (version.value?.length ?? 0)
        dirtyBytes += rowSizeBytes + dirtyPerRowBytes
        if (dirtyBytes > spaceBytes) {
          if (sizeBytes > 0) return 'more'
          running.neededBytes = 2 * dirtyBytes
          return 'starved'
        }
        if (version.value === undefined) batch.remove(key)
        else batch.put(key, version.ts, version.value)
        sizeBytes += rowSizeBytes
      }
      running.written++
      if (sizeBytes >= limits.stepSizeBytes || keys >= keysMax || (keys % keysPerLook === 0 && environment.nowMs() >= untilMs)) return 'more'
    }
    batch.setMetadata({ appliedTs: running.target, incarnation })
    return 'complete'
  }

  #takeOver(target: CommitTs): void {
    const { epochs, rowFile, environment, onApplied } = this.#parts
    const root = rowFile.pin()
    if (root.appliedTs !== target) {
      throw new StorageError('CORRUPT', `After a checkpoint of ${target} the newest root of the row file says ${root.appliedTs}.`)
    }
    epochs.advance(root, environment.nowMs())
    this.#leave()
    this.#urgent = false
    onApplied(target)
  }

  #trim(): void {
    if (!this.#stopped && this.#parts.epochs.trim(trimSlice)) this.#parts.environment.defer(() => this.#trim())
  }
}

/** What those are told who would have to wait for a checkpoint that lacks space. */
export function diskFull(): StorageError {
  return new StorageError('DISK_FULL', 'There is no space to move recent commits into the row file. Nothing was changed; it works again when there is space.')
}
