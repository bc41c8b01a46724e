/**
 * Walks every page of an LMDB file in JavaScript: which pages its trees reach, which its free list holds, and whether that is all of them, once each. The native library trusts
 * what it reads, and on a damaged page ends the process or hands out other bytes; so whoever suspects damage comes here first. The layout is that of `mdb.c` in the package.
 *
 *   G-1  Nothing outside the pages of the file is read, whatever a page says, and no page twice: a walk ends.
 *   G-2  A page is used by one tree at one place, or is free. What is neither was lost.
 *   G-3  Keys ascend, within a page and between what the pages above say of it.
 */
import { isUnreadable, type Files } from '../environment.js'
import { branchFlag, childOf, flagsOf, freeSpaceOf, headerSizeBytes, isBeginningOf, keyCountOf, leafFlag, metaPages, nodeOf, numberOf, transactionOf, valueOf, type Node } from './pages.js'
import type { RowFileMeta, TreeRecord } from './row-file-check.js'

const slicePages = 64
/** Findings beyond this are only counted: one bad page can make thousands. */
const findingsMax = 1_000

export interface Finding {
  readonly page: number
  readonly problem: string
  /** What the system said, where it did not give the page. */
  readonly cause?: unknown
}

export interface WalkProgress {
  readonly seen: number
  readonly pages: number
}

export interface PageAudit {
  readonly pages: number
  readonly reachable: number
  readonly free: number
  readonly findings: readonly Finding[]
  /** How many there were, listed or not. */
  readonly problems: number
}

export interface FreeList {
  /** Of each page, whether it is free (`pageUse.isFree`), one of the free list's own (`inTree`), or neither (`unseen`). */
  readonly uses: Uint8Array
  /** Pages that it lists. */
  readonly free: number
  readonly findings: readonly Finding[]
  readonly problems: number
}

interface Tree {
  readonly name: string
  readonly record: TreeRecord
  readonly order: (a: Buffer, b: Buffer) => number
  readonly onValue: ((page: number, value: Buffer) => void) | undefined
  readonly counted: { branchPages: number; leafPages: number; overflowPages: number; entries: number }
}

/** Where a page hangs, and the keys that may be in it: at least `lo` and less than `hi`. */
interface Place {
  readonly page: number
  readonly depth: number
  readonly lo: Buffer | undefined
  readonly hi: Buffer | undefined
}

/** How much a walk looks at: what is above the leaves; every page that is in use; or, besides, whether every other page is free. */
export type WalkDepth = 'branches' | 'used pages' | 'all pages'

/** What a page was found to be. */
export const pageUse = { unseen: 0, inTree: 1, isFree: 2 } as const
const { unseen, inTree, isFree } = pageUse

export class PageWalk {
  readonly #files: Files
  readonly #fd: number
  readonly #meta: RowFileMeta
  readonly #seen: Uint8Array
  readonly #findings: Finding[] = []
  #problems = 0
  #reachable = metaPages
  #free = 0

  constructor(files: Files, fd: number, meta: RowFileMeta) {
    this.#files = files
    this.#fd = fd
    this.#meta = meta
    this.#seen = new Uint8Array(meta.lastPage + 1)
    this.#seen.fill(inTree, 0, metaPages)
  }

  /** Yields every few pages, so that others may work in between: the pages of a pinned root stay as they are. */
  *run(depth: WalkDepth): Generator<WalkProgress, PageAudit> {
    const { rows, lastPage, presentPages } = this.#meta
    yield* this.#walk({ name: 'tree of rows', record: rows, order: byBytes, onValue: undefined, counted: nothing() }, depth)
    yield* this.#walkFreeList()
    for (let page = presentPages; page <= lastPage; page++) {
      if (this.#seen[page] !== isFree) this.#find(page, 'is not in the free list, and the file ends before it')
    }
    if (depth === 'all pages') {
      for (let page = metaPages; page <= lastPage; page++) if (this.#seen[page] === unseen) this.#find(page, 'is in no tree and not in the free list')
    }
    return { pages: lastPage + 1, reachable: this.#reachable, free: this.#free, findings: this.#findings, problems: this.#problems }
  }

  /** Reads the free list only. What it says is worth something where nothing was found in it. */
  *readFreeList(): Generator<WalkProgress, FreeList> {
    yield* this.#walkFreeList()
    return { uses: this.#seen, free: this.#free, findings: this.#findings, problems: this.#problems }
  }

  *#walkFreeList(): Generator<WalkProgress, void> {
    const onValue = (page: number, value: Buffer): void => this.#noteFree(page, value)
    yield* this.#walk({ name: 'free list', record: this.#meta.free, order: byNumber, onValue, counted: nothing() }, 'used pages')
  }

  *#walk(tree: Tree, walkDepth: WalkDepth): Generator<WalkProgress, void> {
    const { name, record, counted } = tree
    const waiting: Place[] = record.root === undefined ? [] : [{ page: record.root, depth: 1, lo: undefined, hi: undefined }]
    for (let pages = 1; waiting.length > 0; pages++) {
      const place = waiting.pop()!
      if (place.depth < record.depth || walkDepth !== 'branches') this.#visit(tree, place, waiting)
      if (pages % slicePages === 0) yield { seen: this.#reachable, pages: this.#meta.lastPage + 1 }
    }
    if (walkDepth === 'branches') return
    for (const what of ['branchPages', 'leafPages', 'overflowPages', 'entries'] as const) {
      if (counted[what] !== record[what]) this.#find(record.root ?? 0, `the ${name} has ${what} ${counted[what]} where its record says ${record[what]}`)
    }
  }

  #visit(tree: Tree, place: Place, waiting: Place[]): void {
    const { page: number, depth, lo, hi } = place
    const page = this.#take(number, 1, `the ${tree.name}`)
    if (page === undefined) return
    const isLeaf = depth === tree.record.depth
    const expected = isLeaf ? leafFlag : branchFlag
    if (flagsOf(page) !== expected) return this.#find(number, `has flags ${flagsOf(page)} where ${expected} are expected in the ${tree.name}`)
    const nodes = this.#nodes(number, page)
    if (nodes === undefined) return
    tree.counted[isLeaf ? 'leafPages' : 'branchPages']++
    // The first key of a branch is empty: whatever is less than the second key is below it.
    let before = lo
    for (const [i, { key }] of nodes.entries()) {
      if (!isLeaf && i === 0) continue
      const isLowest = before === lo // the first key that counts may be the very one that the page above names
      const tooLow = before !== undefined && tree.order(key, before) < (isLowest ? 0 : 1)
      if (tooLow || (hi !== undefined && tree.order(key, hi) >= 0)) return this.#find(number, `has key ${i} out of order in the ${tree.name}`)
      before = key
    }
    if (isLeaf) for (const node of nodes) this.#readValue(tree, number, page, node)
    else {
      for (const [i, node] of nodes.entries()) {
        waiting.push({ page: childOf(page, node), depth: depth + 1, lo: i === 0 ? lo : node.key, hi: nodes[i + 1]?.key ?? hi })
      }
    }
  }

  /** The nodes of a page, each within it; undefined where one is not. */
  #nodes(number: number, page: Buffer): Node[] | undefined {
    const keys = keyCountOf(page)
    if (keys === undefined) {
      const { lower, upper } = freeSpaceOf(page)
      this.#find(number, `says that its free space is from ${lower} to ${upper} of ${page.length - headerSizeBytes}`)
      return undefined
    }
    const nodes: Node[] = []
    for (let i = 0; i < keys; i++) {
      const node = nodeOf(page, i)
      if (node === undefined) {
        this.#find(number, `has node ${i} outside itself`)
        return undefined
      }
      nodes.push(node)
    }
    return nodes
  }

  #readValue(tree: Tree, number: number, page: Buffer, node: Node): void {
    tree.counted.entries++
    const value = valueOf(page, node)
    if (value.is === 'wrong') return this.#find(number, value.problem)
    if (value.is === 'here') return tree.onValue?.(number, value.bytes)
    const { first, length, sizeBytes } = value
    const pages = this.#take(first, length, `a long value of the ${tree.name}`)
    if (pages === undefined) return
    tree.counted.overflowPages += length
    if (!isBeginningOf(pages, value)) return this.#find(first, 'is not the beginning of the long value that should be there')
    tree.onValue?.(first, pages.subarray(headerSizeBytes, headerSizeBytes + sizeBytes))
  }

  /** A list of pages that a transaction gave free: a number of words, then pages, and runs of pages as a negative length before their first. Words may be 0. */
  #noteFree(holder: number, value: Buffer): void {
    const words = new BigInt64Array(value.length >>> 3)
    for (let i = 0; i < words.length; i++) words[i] = value.readBigInt64LE(i * 8)
    const count = Number(words[0] ?? -1n)
    if (count < 0 || count >= words.length) return this.#find(holder, `holds a free list of ${count} words in ${value.length} bytes`)
    for (let i = 1; i <= count; i++) {
      const word = Number(words[i])
      if (word === 0) continue
      const length = word < 0 ? -word : 1
      const first = word < 0 ? Number(words[++i] ?? -1n) : word
      if (first < metaPages || first + length > this.#meta.lastPage + 1) {
        this.#find(holder, () => `lists pages ${first} to ${first + length - 1} as free, which are not in the file`)
        continue
      }
      if (this.#free + length > this.#meta.lastPage + 1) return this.#find(holder, 'lists more pages as free than there are')
      for (let page = first; page < first + length; page++) this.#mark(page, isFree, 'the free list')
      this.#free += length
    }
  }

  /** Reads pages that somebody names, unless they are not there, are in use already, or bear another number. */
  #take(first: number, length: number, by: string): Buffer | undefined {
    const { pageSizeBytes, lastPage } = this.#meta
    if (!Number.isSafeInteger(first) || first < metaPages || first + length - 1 > lastPage) {
      this.#find(first, `is named by ${by}, and is not in the file`)
      return undefined
    }
    let isNew = true
    for (let page = first; page < first + length; page++) isNew = this.#mark(page, inTree, by) && isNew
    if (!isNew) return undefined
    this.#reachable += length
    const bytes = Buffer.allocUnsafe(length * pageSizeBytes)
    if (!this.#read(bytes, first, by)) return undefined
    const written = transactionOf(bytes)
    if (numberOf(bytes) !== BigInt(first)) this.#find(first, `is named by ${by}, and says that it is page ${numberOf(bytes)}`)
    else if (written > this.#meta.transaction) this.#find(first, `is of transaction ${written}, which is after the newest`)
    else return bytes
    return undefined
  }

  /** Returns whether it could. */
  #read(bytes: Buffer, first: number, by: string): boolean {
    try {
      if (this.#files.readSync(this.#fd, bytes, 0, bytes.length, first * this.#meta.pageSizeBytes) === bytes.length) return true
      this.#find(first, `is named by ${by}, and the file ends before it does`)
    } catch (cause) {
      if (!isUnreadable(cause)) throw cause
      this.#find(first, `is named by ${by}, and cannot be read`, cause)
    }
    return false
  }

  /** Returns false where the page is in use already. */
  #mark(page: number, as: typeof inTree | typeof isFree, by: string): boolean {
    const was = this.#seen[page]
    this.#seen[page] = as
    if (was === unseen) return true
    this.#find(page, () => `is in ${by}, and ${was === isFree ? 'in the free list' : 'in a tree'} already`)
    return false
  }

  /** A damaged list makes millions of problems: one that is only counted is not put into words. */
  #find(page: number, problem: string | (() => string), cause?: unknown): void {
    this.#problems++
    if (this.#findings.length < findingsMax) this.#findings.push({ page, problem: typeof problem === 'string' ? problem : problem(), ...(cause !== undefined && { cause }) })
  }
}

const nothing = (): Tree['counted'] => ({ branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 })

const byBytes = (a: Buffer, b: Buffer): number => Buffer.compare(a, b)

/** Keys of the free list are transaction numbers as the processor has them. */
function byNumber(a: Buffer, b: Buffer): number {
  if (a.length !== 8 || b.length !== 8) return byBytes(a, b)
  const difference = a.readBigUInt64LE() - b.readBigUInt64LE()
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}
