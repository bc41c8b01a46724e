/**
 * The window: version chains, newest first, of recently committed keys. Readers look here before LMDB.
 *
 *   W-1  Every version newer than the current epoch's root is here, but for those that no snapshot, now or later, can ask for (W-3).
 *   W-2  A version that is in the current epoch's root stays while a live snapshot's interval (F, S] contains it (`Epochs` decides; `remove` obeys).
 *   W-3  A version may leave early when its successor is durable and nobody reads at a timestamp between the two: every later snapshot and every later
 *        checkpoint target is at or above the durable timestamp, so it will meet the successor first. This keeps the chain of a hot row short: about as
 *        long as the commits to it that wait for the disk. A version is looked at when it has become durable, in the order of commits.
 *   W-4  When a checkpoint begins the keys of that moment are frozen (`KeyOrder`), and forgotten when it is complete and no old snapshot reads through an earlier root, or else when the window has been
 *        trimmed behind it. So a key that has a version from before and gets another is entered anew, and one whose version old snapshots need beyond the trimming is kept.
 */
import type { LogWrite } from '../encoding/records.js'
import { asKey, noTs, successor, type CommitTs, type Key } from '../../isolation/types.js'
import { KeyOrder } from './key-order.js'
import type { LiveSnapshots } from './live-snapshots.js'
import { ValueSlab } from './value-slab.js'

export interface Version {
  readonly key: Key
  readonly ts: CommitTs
  /** Undefined is a tombstone: the row was deleted. */
  readonly value: Uint8Array | undefined
  older: Version | undefined
  newer: Version | undefined
  /** No longer in its chain. */
  gone: boolean
}

export interface WindowCommit {
  readonly ts: CommitTs
  readonly versions: readonly Version[]
  readonly sizeBytes: number
}

/** Memory of a version beside its key and value: objects, Map and tree entries; estimated on V8. */
const versionOverheadBytes = 250
/** Chain links looked at per version that has become durable. */
const pruneMax = 4
/** Versions looked at per installed one; more than one, so that those who wait grow fewer when the disk catches up. */
const pruneRate = 4

/** In the place of a version that was looked at: a value can be large. */
const dealtWith: Version = { key: asKey(''), ts: noTs, value: undefined, older: undefined, newer: undefined, gone: true }

export class Window {
  readonly #heads = new Map<Key, Version>()
  readonly #order = new KeyOrder()
  readonly #live: LiveSnapshots
  readonly #values = new ValueSlab()
  /** Versions that have replaced others and are not known to be durable, in commit order, from `#nextUndurable` on. */
  #undurable: Version[] = []
  #nextUndurable = 0
  #sizeBytes = 0
  #entered = 0
  /** Keys whose newest version is not later than this are entered once more with the next one (W-4). */
  #frozenTs: CommitTs = noTs

  constructor(live: LiveSnapshots) {
    this.#live = live
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Rises with every key that enters: what was looked up before may no longer be the next one. */
  get entered(): number {
    return this.#entered
  }

  /** Keys that have a version here. */
  get keyCount(): number {
    return this.#heads.size
  }

  newest(key: Key): Version | undefined {
    return this.#heads.get(key)
  }

  /** The least key that is at least `key`. */
  keyFrom(key: Key): Key | undefined {
    let found = this.#order.from(key, this.#heads)
    while (found !== undefined && !this.#heads.has(found)) found = this.#order.from(successor(found), this.#heads)
    return found
  }

  /** The greatest key less than `key`. */
  keyBefore(key: Key): Key | undefined {
    let found = this.#order.before(key, this.#heads)
    while (found !== undefined && !this.#heads.has(found)) found = this.#order.before(found, this.#heads)
    return found
  }

  /** The keys that have a version later than `appliedTs`, and perhaps others, in order: for a checkpoint of everything up to `ts`, the newest commit. */
  freeze(ts: CommitTs, appliedTs: CommitTs): readonly Key[] {
    this.#frozenTs = ts
    return this.#order.freeze(ts, appliedTs)
  }

  /** Versions up to `ts` are of no use to anybody, but for those of commits that were handed to `keep`. */
  forget(ts: CommitTs): void {
    this.#order.dropFrozen(ts)
  }

  /** The commit's versions stay, for old snapshots. */
  keep({ versions }: WindowCommit): void {
    for (const version of versions) if (!version.gone) this.#order.keep(version.key)
  }

  /** Of all commits only these are kept now. */
  keepOnly(commits: readonly WindowCommit[]): void {
    const versions = commits.reduce((sum, commit) => sum + commit.versions.length, 0)
    // Keys that need not be kept any more cost ranges time; as many of them as there are others are borne with, so that keeping anew is rare.
    if (this.#order.keptCount <= 2 * versions) return
    this.#order.dropKept()
    for (const commit of commits) this.keep(commit)
  }

  /** Makes a commit's writes, one per key, the newest versions of their keys. Cannot fail. `durableTs` as of now, for W-3. */
  install(ts: CommitTs, writes: readonly LogWrite[], durableTs: CommitTs): WindowCommit {
    let sizeBytes = 0
    const versions = writes.map(({ key, value: written }) => {
      const value = written && this.#values.keep(written)
      const older = this.#heads.get(key)
      const version: Version = { key, ts, value, older, newer: undefined, gone: false }
      this.#heads.set(key, version)
      if (older === undefined) {
        this.#order.enter(key)
        this.#entered++
      } else {
        if (older.ts <= this.#frozenTs) this.#order.enter(key)
        older.newer = version
        this.#undurable.push(version)
      }
      sizeBytes += versionSizeBytes(version)
      return version
    })
    this.#sizeBytes += sizeBytes
    this.#pruneDurable(durableTs, versions.length * pruneRate)
    return { ts, versions, sizeBytes }
  }

  /** Takes one version out of its chain. */
  remove(version: Version): void {
    if (version.gone) return
    if (version.newer === undefined) {
      if (version.older !== undefined) this.#heads.set(version.key, version.older)
      else this.#heads.delete(version.key)
    }
    this.#unlink(version)
  }

  #pruneDurable(durableTs: CommitTs, maxVersions: number): void {
    for (let i = 0; i < maxVersions; i++) {
      const version = this.#undurable[this.#nextUndurable]
      if (version === undefined || version.ts > durableTs) break
      this.#undurable[this.#nextUndurable++] = dealtWith
      if (!version.gone) this.#prune(version)
    }
    if (this.#nextUndurable > 1_024 && this.#nextUndurable * 2 > this.#undurable.length) {
      this.#undurable = this.#undurable.slice(this.#nextUndurable)
      this.#nextUndurable = 0
    }
  }

  /** W-3, from a durable version on. */
  #prune(durable: Version): void {
    let newer = durable
    for (let i = 0; i < pruneMax; i++) {
      const { older } = newer
      if (older === undefined) return
      if (this.#live.someIn(older.ts, newer.ts)) newer = older
      else this.#unlink(older)
    }
  }

  #unlink(version: Version): void {
    const { older, newer } = version
    if (older !== undefined) older.newer = newer
    if (newer !== undefined) newer.older = older
    version.gone = true
    version.older = version.newer = undefined
    this.#sizeBytes -= versionSizeBytes(version)
  }
}

/** The newest version in `(afterTs, ts]` of a chain. */
export function versionIn(head: Version | undefined, afterTs: CommitTs, ts: CommitTs): Version | undefined {
  let version = head
  while (version !== undefined && version.ts > ts) version = version.older
  return version !== undefined && version.ts > afterTs ? version : undefined
}

export function versionSizeBytes({ key, value }: Pick<Version, 'key' | 'value'>): number {
  return key.length + (value?.length ?? 0) + versionOverheadBytes
}
