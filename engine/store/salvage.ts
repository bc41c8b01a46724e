/**
 * Salvage: everything that is readable of a damaged database goes into a new one, and what is not is listed. The old one is not changed.
 *
 *     pages of the row file, read in JavaScript --rows--> new row file <--commits above F-- log
 *
 *   B-1  The native library never sees the damaged row file: on damaged pages it ends the process.
 *   B-2  A row or commit is taken only where its checksum holds; what is taken for read is decoded first, so that everything in the new database can be read.
 *   B-3  Nothing is taken that may have been deleted: not from free pages (D-3), not over a newer version (V-1), not from what a recovery has dropped.
 *   B-4  What is missing is named: as a row, as the keys between which rows may be missing, as a table whose count does not come out, or as commits.
 */
import { isUnreadable, type Environment } from '../environment.js'
import { StorageError } from '../errors.js'
import type { Limits } from '../limits.js'
import type { WalkProgress } from '../lmdb/page-walk.js'
import { PageRows, type PageFinding, type PageOfRows, type PageRow } from '../lmdb/page-rows.js'
import { decodeMetadata, metadataKey, type Metadata } from '../lmdb/row-file.js'
import { openOwn } from '../lmdb/row-file-check.js'
import { findStates } from '../lmdb/row-file-states.js'
import { decodeSummary, emptySummary, prefixOfSummary, summaryRange, type Summary } from '../lmdb/summaries.js'
import { readLogRemains, type LogRemains } from '../log/salvage.js'
import { asKey, asTs, noTs, type CommitTs, type Key } from '../../isolation/types.js'
import type { AuditProgress } from './audit.js'
import type { Directory } from './directory.js'
import { endOfRows } from './new-row-file.js'
import { SalvageTarget } from './salvage-target.js'


export type SalvagePart = 'marker' | 'pages' | 'rows' | 'counts' | 'catalog' | 'log'

export interface UnreadablePart {
  readonly part: SalvagePart
  /** The row that it is about. */
  readonly key?: Key
  /** Rows may be missing from `lo` up to, not including, `hi`; undefined is the end of the file. */
  readonly range?: PageFinding['range']
  readonly problem: string
}

/** What rows mean, which is not known here. */
export interface Meaning {
  /** What is wrong with a row, if anything is; throws `CORRUPT` for what cannot be decoded. Called for every row that is taken. */
  judge(key: Key, value: Uint8Array): string | undefined
  /** A row that was taken is deleted again by a later commit. */
  forget(key: Key): void
  /** Rows that must be put, or without `value` deleted, so that everybody finds the rows of the tables with these prefixes. Called at the end. */
  complete(prefixes: readonly string[]): readonly { readonly key: Key; readonly value: Uint8Array | undefined }[]
}

export interface SalvagePlace {
  readonly source: Directory
  /** Empty but for its owner lock. */
  readonly target: Directory
  readonly environment: Environment
  readonly limits: Limits
  readonly meaning: Meaning
  readonly onProgress: ((progress: AuditProgress) => void) | undefined
}

export interface Salvaged {
  /** What the new row file holds, and what the old one said that it held, by table prefix. */
  readonly summaries: ReadonlyMap<string, Summary>
  readonly logCommits: number
  readonly log: LogRemains
}

/** How long it goes on before it lets others work. */
const sliceMs = 8
/** Findings beyond this are only counted. */
const findingsMax = 1_000
/** Timestamps and numbers of openings above this nobody has given: a file says so that is made up, and a database that went on above it would soon have none left (2^48). */
const numberMax = 2 ** 47
/** Of the metadata row's value, and of a summary's. */
const metadataSizeBytes = 6
const summarySizeBytes = 12

export class Salvage {
  /** The first of what cannot be read. */
  readonly findings: UnreadablePart[] = []
  /** How many there are, listed or not. */
  problems = 0
  readonly #place: SalvagePlace
  readonly #target: SalvageTarget
  readonly #said = new Map<string, Summary>()
  #metadata: Metadata | undefined
  #highestTs = noTs
  #sinceMs: number

  constructor(place: SalvagePlace) {
    this.#place = place
    this.#sinceMs = place.environment.nowMs()
    this.#target = new SalvageTarget(place.target, place.environment, place.limits)
  }

  /** Leaves a complete database. Throws `DISK_FULL`, `FORMAT_TOO_NEW`, `NOT_A_DATABASE` for links, or what the file system says. */
  async run(): Promise<Salvaged> {
    const target = this.#target
    try {
      const completeness = await this.#readRowFile()
      const appliedBefore = completeness === 'up to the log' ? undefined : completeness === 'unknown' ? noTs : completeness.appliedTs
      const { log, logCommits } = await this.#readLog(appliedBefore)
      const changed = this.#place.meaning.complete(prefixesIn(target.summaries()))
      if (changed.length > 0) this.#raise(asTs(this.#highestTs + 1)) // a commit of its own
      const appliedTs = this.#highestTs
      for (const { key, value } of changed) target.put(key, appliedTs, value)
      const summaries = target.summaries()
      const incarnation = Math.max(1, this.#metadata?.incarnation ?? 0, ...this.#plausible(log.incarnation, 'an opening'))
      await target.complete({ appliedTs, incarnation }, this.#nextTs(log))
      return { summaries, logCommits, log }
    } catch (error) {
      await target.close()
      throw error
    }
  }

  find(finding: UnreadablePart): void {
    this.problems++
    if (this.findings.length < findingsMax) this.findings.push(finding)
  }

  /** Returns what is known of up to which commit it is complete: all that the log may lack, nothing, or what the metadata row says. */
  async #readRowFile(): Promise<'up to the log' | 'unknown' | Metadata> {
    const { environment, source } = this.#place
    const fd = this.#openRowFile()
    if (fd === undefined) {
      this.find({ part: 'pages', problem: `${source.rowsPath} is missing, or no file that can be read; it held the rows. What is in the log was read.` })
      return 'unknown'
    }
    try {
      const pages = await this.#pagesOfState(fd)
      if (pages === undefined) return 'unknown'
      for (const page of pages.readTree()) await this.#takePage(page)
      this.#target.flush()
      for (const page of pages.readOrphans((lo, hi) => lo < endOfRows && this.#target.hasRowsIn(lo, hi))) await this.#takePage(page)
      this.#compareCounts()
      if (this.#metadata !== undefined) return this.#metadata
      this.find({ part: 'pages', problem: 'up to which commit the row file is complete is not readable' })
      return pages.state.mayBeOutdated ? 'unknown' : 'up to the log'
    } finally {
      environment.files.closeSync(fd)
    }
  }

  /** Throws `NOT_A_DATABASE` for a link. */
  #openRowFile(): number | undefined {
    const { source, environment } = this.#place
    try {
      const found = environment.files.lstatSync(source.rowsPath, { throwIfNoEntry: false })
      const isOther = found !== undefined && !found.isFile() && !found.isSymbolicLink()
      return isOther ? undefined : openOwn(source.rowsPath, environment.files)
    } catch (error) {
      if (!isUnreadable(error)) throw error
      return undefined
    }
  }

  /** The newest state to which there is a way, with what is wrong with it; undefined where there is none. */
  async #pagesOfState(fd: number): Promise<PageRows | undefined> {
    const { files } = this.#place.environment
    const { states, problems } = await this.#finish(findStates(files, fd))
    for (const problem of problems) this.find({ part: 'pages', problem })
    for (const [i, state] of states.entries()) {
      const findings: PageFinding[] = []
      let found = (finding: PageFinding): void => void findings.push(finding)
      const pages = new PageRows(files, fd, state, finding => found(finding))
      await this.#finish(pages.readFreeList())
      if (!pages.hasWayIn && i < states.length - 1) {
        this.find({ part: 'pages', problem: `there is no way into the state of transaction ${state.transaction}; the one before it was read` })
        continue
      }
      found = finding => this.#findOnPage(finding)
      for (const finding of findings) found(finding)
      return pages
    }
    return undefined
  }

  async #finish<T>(work: Generator<WalkProgress, T>): Promise<T> {
    for (;;) {
      const step = work.next()
      if (step.done) return step.value
      await this.#pause({ part: 'pages', done: step.value.seen, total: step.value.pages })
    }
  }

  async #takePage({ rows, seen, pages }: PageOfRows): Promise<void> {
    for (const row of rows) {
      if (row.key < endOfRows) this.#take(row.key, row.ts, row.value)
      else this.#note(row)
    }
    await this.#pause({ part: 'pages', done: seen, total: pages })
  }

  /** What the file says about itself. */
  #note({ key, ts, value }: PageRow): void {
    if (key === metadataKey) {
      const metadata = value.length < metadataSizeBytes ? undefined : decodeMetadata({ ts, value })
      if (metadata === undefined || ts > numberMax || metadata.incarnation > numberMax) return this.find({ part: 'rows', problem: 'what the row file says of itself cannot be right' })
      this.#metadata = metadata
      this.#raise(ts)
    } else if (key >= summaryRange.lo && key < summaryRange.hi && value.length >= summarySizeBytes) this.#said.set(prefixOfSummary(key), decodeSummary(value))
  }

  #take(key: Key, ts: CommitTs, value: Uint8Array | undefined): void {
    if (ts > numberMax) return this.find({ part: 'rows', key, problem: `its timestamp is ${ts}, which cannot be right` })
    this.#raise(ts)
    const problem = value === undefined ? undefined : this.#problemOf(key, value)
    if (value === undefined) this.#place.meaning.forget(key)
    if (problem === undefined) this.#target.put(key, ts, value)
    else this.find({ part: 'rows', key, problem })
  }

  #problemOf(key: Key, value: Uint8Array): string | undefined {
    try {
      return this.#place.meaning.judge(key, value)
    } catch (error) {
      if (error instanceof StorageError && error.code === 'CORRUPT') return error.message
      throw error
    }
  }

  /** Row by row nothing shows that one is missing, or is not the newest. */
  #compareCounts(): void {
    const found = this.#target.summaries()
    for (const prefix of prefixesIn(found, this.#said)) {
      const key = asKey(prefix)
      const is = found.get(prefix) ?? emptySummary
      const said = this.#said.get(prefix)
      if (said === undefined) this.find({ part: 'counts', key, problem: `${is.rows} rows were found in the row file; how many there should be is not readable` })
      else if (said.rows !== is.rows) this.find({ part: 'counts', key, problem: `${is.rows} rows were found in the row file, and ${said.rows} should be there` })
      else if (said.checksums !== is.checksums) this.find({ part: 'counts', key, problem: 'the rows that were found in the row file are as many as should be, but not the same ones' })
    }
  }

  async #readLog(appliedTs: CommitTs | undefined): Promise<{ readonly log: LogRemains; readonly logCommits: number }> {
    const { source, environment } = this.#place
    const commits = readLogRemains({ files: environment.files, logDirectory: source.logPath, appliedTs })
    let logCommits = 0
    for (;;) {
      const step = commits.next()
      if (step.done) {
        for (const problem of step.value.problems) this.find({ part: 'log', problem })
        return { log: step.value, logCommits }
      }
      for (const { ts, writes } of step.value) {
        for (const { key, value } of writes) this.#take(key, ts, value)
        await this.#pause({ part: 'log', done: ++logCommits, total: logCommits })
      }
      await this.#pause({ part: 'log', done: logCommits, total: logCommits })
    }
  }

  /** Above every timestamp that anybody can have seen. */
  #nextTs({ clean, highestTs }: LogRemains): CommitTs {
    const highest = Math.max(this.#highestTs, ...this.#plausible(highestTs, 'a commit'))
    const gap = clean && this.problems === 0 ? 0 : this.#place.limits.unsyncedCommits
    return asTs(highest + gap + 1)
  }

  /** A number that the log names, unless nobody can have given it. */
  #plausible(number: number, of: string): number[] {
    if (number <= numberMax) return [number]
    this.find({ part: 'log', problem: `it names ${of} ${number}, which cannot be right` })
    return []
  }

  #findOnPage({ page, problem, key, range }: PageFinding): void {
    if (key === undefined) this.find({ part: 'pages', problem: `page ${page} ${problem}`, ...(range && { range }) })
    else this.find({ part: 'rows', key, problem: `${problem} (page ${page})` })
  }

  #raise(ts: CommitTs): void {
    if (ts > this.#highestTs) this.#highestTs = ts
  }

  async #pause(progress: AuditProgress): Promise<void> {
    const { environment, onProgress } = this.#place
    if (environment.nowMs() - this.#sinceMs < sliceMs) return
    onProgress?.(progress)
    await new Promise<void>(resolve => environment.defer(resolve))
    this.#sinceMs = environment.nowMs()
  }
}

/** Of tables that have rows, or should have some. */
function prefixesIn(...summaries: readonly ReadonlyMap<string, Summary>[]): string[] {
  const prefixes = summaries.flatMap(one => [...one].filter(([, { rows }]) => rows > 0).map(([prefix]) => prefix))
  return [...new Set(prefixes)].toSorted((a, b) => (a < b ? -1 : 1))
}
