/**
 * Verifies what is on disk, finding by finding: the pages of the row file, every row in it, the counts that it keeps of itself, and the commit log. Reads only. The parts are
 * generators that yield their progress, so that others may work in between; a pinned root does not change meanwhile.
 *
 *   A-1  Rows are read through the native library only where the walk found its pages sound: on damaged ones it may end the process.
 *   A-2  A finding is noted and the audit goes on: whoever repairs wants the whole list.
 */
import { decodeRow, rowChecksum } from '../encoding/rows.js'
import { tablePrefixOf } from '../encoding/keys.js'
import type { Files } from '../environment.js'
import { StorageError } from '../errors.js'
import { auditRowFile } from '../lmdb/row-file-check.js'
import { emptySummary, withRow, type Summary } from '../lmdb/summaries.js'
import type { Root } from '../lmdb/row-file.js'
import { listLog } from '../log/files.js'
import { scanLog } from '../log/scan.js'
import { asKey, successor, type CommitTs, type Key } from '../../isolation/types.js'

export type AuditPart = 'pages' | 'rows' | 'counts' | 'catalog' | 'log'

export interface AuditFinding {
  readonly part: AuditPart
  /** The row that it is about. */
  readonly key?: Key
  readonly problem: string
}

export interface AuditProgress {
  readonly part: AuditPart
  /** Pages, rows or segments dealt with, of how many. */
  readonly done: number
  readonly total: number
}

/** Findings beyond this are only counted. */
const findingsMax = 1_000
const chunkRows = 256
const chunkSizeBytes = 1_024 * 1_024
/** Above every row, below the file's rows about itself. */
const endOfRows = asKey('\xff')

/** What is wrong with the content of a row, if anything is. */
export type JudgeRow = (key: Key, value: Uint8Array, ts: CommitTs) => string | undefined

export class Audit {
  readonly findings: AuditFinding[] = []
  /** How many there were, listed or not. */
  problems = 0
  /** The pages were looked at, and nothing was found. */
  pagesAreSound = false
  pages = 0
  freePages = 0
  rows = 0
  logCommits = 0
  /** What an opening would write over the rows of the file: the newest of each key in the log, where it was read. */
  readonly logged: Map<Key, { readonly ts: CommitTs; readonly value: Uint8Array | undefined }> = new Map()
  /** The newest commit in the log or before it; undefined where the log was not read, or is damaged. */
  lastTs: CommitTs | undefined
  readonly #files: Files

  constructor(files: Files) {
    this.#files = files
  }

  /** Looks at every page of the row file's newest state. */
  *readPages(rowsPath: string): Generator<AuditProgress, void> {
    try {
      const walk = auditRowFile(rowsPath, this.#files)
      for (let step = walk.next(); ; step = walk.next()) {
        if (!step.done) {
          yield { part: 'pages', done: step.value.seen, total: step.value.pages }
          continue
        }
        const { pages, free, findings, problems } = step.value
        this.pages = pages
        this.freePages = free
        for (const { page, problem } of findings) this.find({ part: 'pages', problem: `page ${page} ${problem}` })
        this.problems += problems - findings.length
        this.pagesAreSound = problems === 0
        return
      }
    } catch (error) {
      this.find({ part: 'pages', problem: messageOf(error) })
    }
  }

  /**
   * Reads every row of `root`, and compares what is there with what the file says that it holds. Rows that the log writes anew are judged as they then are: after a crash the file may hold some of what a
   * checkpoint was moving, and not the rest.
   */
  *readRows(root: Root, newestTs: CommitTs, judge: JudgeRow): Generator<AuditProgress, void> {
    if (!this.pagesAreSound) throw new Error('A-1: rows are read only where the pages are sound')
    const expected = root.summaries()
    let total = 0
    for (const { rows } of expected.values()) total += rows
    const found = new Map<string, Summary>()
    for (let from = asKey(''), complete = false; !complete; ) {
      const chunk = root.storedChunk({ lo: from, hi: endOfRows }, false, chunkRows, chunkSizeBytes)
      complete = chunk.complete
      for (const { key, bytes } of chunk.rows) {
        from = successor(key)
        this.rows++
        const prefix = tablePrefixOf(key)
        found.set(prefix, withRow(found.get(prefix) ?? emptySummary, rowChecksum(bytes)))
        const problem = problemOf(key, bytes, newestTs, this.logged.has(key) ? judgeNothing : judge)
        if (problem !== undefined) this.find({ part: 'rows', key, problem })
      }
      yield { part: 'rows', done: this.rows, total }
    }
    yield* this.#judgeLogged(judge, total)
    for (const prefix of new Set([...expected.keys(), ...found.keys()])) {
      const said = expected.get(prefix) ?? emptySummary
      const is = found.get(prefix) ?? emptySummary
      const key = asKey(prefix)
      if (said.rows !== is.rows) this.find({ part: 'counts', key, problem: `${is.rows} rows are there, and ${said.rows} should be` })
      else if (said.checksums !== is.checksums) this.find({ part: 'counts', key, problem: 'the rows are as many as should be, but not the same ones' })
    }
  }

  /** Reads what an opening would read of the log. Nobody may write to it meanwhile. */
  readLog(logDirectory: string, appliedTs: CommitTs): void {
    try {
      const { segments } = listLog(this.#files, logDirectory)
      const { commits, lastTs } = scanLog(segments, { files: this.#files, logDirectory, appliedTs })
      this.logCommits = commits.length
      for (const { ts, writes } of commits) for (const { key, value } of writes) this.logged.set(key, { ts, value })
      this.lastTs = lastTs
    } catch (error) {
      this.find({ part: 'log', problem: messageOf(error) })
    }
  }

  *#judgeLogged(judge: JudgeRow, total: number): Generator<AuditProgress, void> {
    let done = 0
    for (const [key, { ts, value }] of this.logged) {
      const problem = value === undefined ? undefined : asProblem(() => judge(key, value, ts))
      if (problem !== undefined) this.find({ part: 'rows', key, problem })
      if (++done % chunkRows === 0) yield { part: 'rows', done: this.rows, total }
    }
  }

  find(finding: AuditFinding): void {
    this.problems++
    if (this.findings.length < findingsMax) this.findings.push(finding)
  }
}

const judgeNothing: JudgeRow = () => undefined

function problemOf(key: Key, bytes: Uint8Array, newestTs: CommitTs, judge: JudgeRow): string | undefined {
  return asProblem(() => {
    const { ts, value } = decodeRow(key, bytes)
    if (ts > newestTs) return `the row is of commit ${ts}, and the newest is ${newestTs}`
    return judge(key, value, ts)
  })
}

function asProblem(judged: () => string | undefined): string | undefined {
  try {
    return judged()
  } catch (error) {
    return messageOf(error)
  }
}

/** What reading found; anything but damage is thrown on. */
function messageOf(error: unknown): string {
  if (error instanceof StorageError && (error.code === 'CORRUPT' || error.code === 'FORMAT_TOO_NEW')) return error.message
  throw error
}
