/** Commits that are written and synced together, and the one promise that all who wait for them share. */
import { noTs } from '../../isolation/types.js'
import type { CommitTs } from '../../isolation/types.js'
import type { LogCommit } from '../encoding/records.js'

interface Waiters {
  readonly promise: Promise<void>
  resolve(): void
  reject(reason: Error): void
}

export class Batch {
  /** When the first commit arrived; monotonic. */
  beganMs = 0
  /** Somebody waits: it goes with the next flush, not only when the timer of relaxed commits ends. */
  urgent = false
  /** What it takes in the log, at most. */
  sizeBytes = 0
  commits: LogCommit[] = []
  count = 0
  lastTs: CommitTs = noTs
  #waiters: Waiters | undefined

  add(commit: LogCommit, sizeBytes: number): void {
    this.commits.push(commit)
    this.count++
    this.sizeBytes += sizeBytes
    this.lastTs = commit.ts
  }

  /** Settles when the batch is durable or has failed. A rejection that nobody listens to is not an unhandled one. */
  wait(): Promise<void> {
    this.#waiters ??= newWaiters()
    return this.#waiters.promise
  }

  settle(): void {
    this.#waiters?.resolve()
  }

  fail(reason: Error): void {
    this.#waiters?.reject(reason)
  }
}

function newWaiters(): Waiters {
  let resolve!: () => void
  let reject!: (reason: Error) => void
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  promise.catch(() => {})
  return { promise, resolve, reject }
}

/** A rejected promise that need not be listened to. */
export function rejected(reason: Error): Promise<void> {
  const promise = Promise.reject<void>(reason)
  promise.catch(() => {})
  return promise
}
