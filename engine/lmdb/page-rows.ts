/**
 * Reads the rows of a row file that may be damaged, page by page in JavaScript: on damaged pages the native library may end the process. Gives what can be relied on, and says of
 * everything else where it is and between which keys.
 *
 *   D-1  A row is given only where its checksum holds, in a page that is not free and says itself that it lies where it lies. So do the pages of a long value, which belong to one row
 *        and say the transaction that it says.
 *   D-2  A page that is reached is read at the place between its neighbours: a row outside of it is not given but named, for it may be one that was replaced or deleted long ago.
 *   D-3  A page that no tree reaches, because what was above it is damaged, is read only where the free list is sound: in a sound file every page is in use or free (G-2), so it is in use.
 *        A list that lacks pages has no finding of its own; but with the pages that the records of both trees count it is not all of the file.
 *        Where its keys overlap with those of another page it is not, for one of the two is outdated.
 */
import { decodeRow } from '../encoding/rows.js'
import type { Files } from '../environment.js'
import { asKey, successor, type CommitTs, type Key } from '../../isolation/types.js'
import { PageWalk, pageUse, type WalkProgress } from './page-walk.js'
import { branchFlag, childOf, flagsOf, headerSizeBytes, isBeginningOf, keyCountOf, leafFlag, metaPages, nodeOf, numberOf, transactionOf, valueOf, type LongValue, type Node } from './pages.js'
import type { TreeRecord } from './row-file-check.js'
import { nodesOf, PageReader, type RowFileState } from './row-file-states.js'

/** A tree of the largest file has fewer levels. */
const depthMax = 32
/** In a leaf that nothing leads to a long value is read three times. */
const readsOfLongValuesMax = 4
/** A use of a page besides `pageUse`: it is of a long value that a leaf names to which nothing leads. */
const namedByOrphan = 3
/** How many pages are looked at between two chances for others to work. */
const slicePages = 64

export interface PageRow {
  readonly key: Key
  readonly ts: CommitTs
  readonly value: Uint8Array
}

export interface PageFinding {
  readonly page: number
  readonly problem: string
  /** The row that it is about. */
  readonly key?: Key
  /** Where rows may be missing: from `lo` up to, not including, `hi`; undefined is the end of the file. */
  readonly range?: { readonly lo: Key | undefined; readonly hi: Key | undefined }
}

export interface PageOfRows extends WalkProgress {
  readonly rows: readonly PageRow[]
}

interface Place {
  readonly page: number
  readonly depth: number
  readonly lo: Key | undefined
  readonly hi: Key | undefined
}

/** A row of a page, or why it is none. */
interface ReadNode {
  readonly key: Key | undefined
  readonly row: PageRow | undefined
  readonly problem: string
  /** The pages of its long value. */
  readonly long: LongValue | undefined
}

/** A leaf that nothing leads to. Its rows are read again when they are taken: there may be many such pages. */
interface Orphan {
  readonly page: number
  readonly rows: number
  readonly lo: Key
  readonly hi: Key
}

export class PageRows {
  readonly state: RowFileState
  readonly #onFinding: (finding: PageFinding) => void
  readonly #files: Files
  readonly #fd: number
  readonly #pages: PageReader
  #uses: Uint8Array
  /** What stands in the tree and was not read. */
  readonly #lost = new Set<number>()
  #leafPages = 0
  #entries = 0
  /** Pages of the tree were refused because the free list has them: one of the two is wrong. */
  #conflicts = 0
  #freeListIsSound = false
  /** Of long values, that may still be read: damaged leaves may name the same ones over and over. */
  #longPagesLeft: number
  #findings = 0
  #seen = 0

  constructor(files: Files, fd: number, state: RowFileState, onFinding: (finding: PageFinding) => void) {
    this.#onFinding = onFinding
    this.#files = files
    this.#fd = fd
    this.state = state
    this.#pages = new PageReader(files, fd, state.pageSizeBytes)
    this.#uses = new Uint8Array(Math.max(state.lastPage + 1, state.presentPages))
    this.#longPagesLeft = readsOfLongValuesMax * state.presentPages
  }

  /** Whether there is a way to rows: from the page that everything hangs on, or without it. After `readFreeList`. */
  get hasWayIn(): boolean {
    const { root } = this.state.rows
    return this.#freeListIsSound || root === undefined || typeof this.#read(root) !== 'string'
  }

  /** Comes before all else. */
  *readFreeList(): Generator<WalkProgress, void> {
    const { state } = this
    const { uses, free, findings, problems } = yield* new PageWalk(this.#files, this.#fd, { ...state, lastPage: this.#uses.length - 1 }).readFreeList()
    this.#uses = uses
    const known = metaPages + pagesIn(state.rows) + pagesIn(state.free) + free
    this.#freeListIsSound = problems === 0 && state.knowsFreeList && known === state.lastPage + 1
    for (const { page, problem } of findings) this.#find({ page, problem })
    if (problems === 0 && state.knowsFreeList && !this.#freeListIsSound) this.#find({ page: state.free.root ?? 0, problem: `should be the root of a free list with which ${state.lastPage + 1} pages are in use or free, and ${known} are` })
    if (!this.#freeListIsSound) this.#find({ page: state.free.root ?? 0, problem: 'should be the root of the free list, which is damaged or not known: no page that is in no tree can be relied on' })
  }

  /** The rows that the tree leads to, in key order unless it is damaged. */
  *readTree(): Generator<PageOfRows, void> {
    const { rows, lastPage } = this.state
    const waiting: Place[] = rows.root === undefined ? [] : [{ page: rows.root, depth: 1, lo: undefined, hi: undefined }]
    const before = this.#findings
    while (waiting.length > 0) yield { rows: this.#visit(waiting.pop()!, waiting), seen: ++this.#seen, pages: lastPage + 1 }
    if (!this.state.knowsCounts || this.#findings > before) return
    if (this.#leafPages !== rows.leafPages || this.#entries !== rows.entries) {
      this.#find({ page: 0, problem: `${this.#entries} entries on ${this.#leafPages} leaves were found, and the meta page says ${rows.entries} on ${rows.leafPages}` })
    }
  }

  /** The rows of pages that something damaged keeps from being reached (D-3). `isTaken` says whether rows were found between two keys, both included. */
  *readOrphans(isTaken: (lo: Key, hi: Key) => boolean): Generator<PageOfRows, void> {
    const { lastPage, presentPages, rows } = this.state
    if (!this.#freeListIsSound) return yield* this.#countUnread()
    const orphans: Orphan[] = []
    const others: number[] = []
    for (let page = metaPages; page <= Math.min(lastPage, presentPages - 1); page++) {
      if (this.#uses[page] !== pageUse.unseen) continue
      const orphan = this.#orphanAt(page)
      if (orphan !== undefined) orphans.push(orphan)
      else if (!this.#lost.has(page)) others.push(page)
      yield { rows: [], seen: ++this.#seen, pages: lastPage + 1 }
    }
    // The pages of long values are known only now.
    const candidates = orphans.filter(({ page }) => this.#uses[page] === pageUse.unseen).toSorted((a, b) => (a.lo < b.lo ? -1 : 1))
    const mistrust = this.#mistrust(candidates.length, rows.leafPages)
    let highest = ''
    for (const [i, { page, rows: count, lo, hi }] of candidates.entries()) {
      const next = candidates[i + 1]
      const overlaps = highest >= lo || (next !== undefined && next.lo <= hi) || isTaken(lo, hi)
      if (hi > highest) highest = hi
      const whyNot = mistrust ?? (overlaps ? 'their keys overlap with those of another page' : undefined)
      if (whyNot === undefined) yield { rows: this.#rowsOf(page, this.#nodesAt(page) ?? []), seen: this.#seen, pages: lastPage + 1 }
      else this.#find({ page, problem: `is in no tree and not free; its ${count} rows were not taken: ${whyNot}`, range: { lo, hi: successor(hi) } })
    }
    const [first, ...more] = others.filter(page => this.#uses[page] === pageUse.unseen)
    if (first === undefined) return
    this.#find({ page: first, problem: `${more.length > 0 ? `and ${more.length} others are` : 'is'} in no tree, not free, and no leaf with rows that can be read` })
  }

  /** Where the tree has lost something and the free list cannot tell what is current: how much there would be to look through. */
  *#countUnread(): Generator<PageOfRows, void> {
    const { presentPages } = this.state
    let leaves = 0
    for (let page = metaPages; this.#lost.size > 0 && page < presentPages; page++) {
      if (page % slicePages === 0) yield { rows: [], seen: page, pages: presentPages }
      if (this.#uses[page] !== pageUse.unseen) continue
      const one = this.#read(page)
      if (typeof one !== 'string' && flagsOf(one) === leafFlag) leaves++
    }
    if (leaves > 0) this.#find({ page: this.state.free.root ?? 0, problem: `cannot tell which of ${leaves} leaves that are in no tree are current, and which hold what was replaced or deleted; none was taken` })
  }

  /** Why pages that are in no tree cannot be relied on, if they cannot. */
  #mistrust(candidates: number, leafPages: number): string | undefined {
    if (this.#conflicts > 0) return 'the free list and the tree name the same pages, so they may have been deleted'
    if (this.#leafPages + candidates > leafPages) return 'there are more such pages than the tree has lost, so they may have been deleted'
    return undefined
  }

  #visit(place: Place, waiting: Place[]): PageRow[] {
    const { page: number, depth, lo, hi } = place
    const page = this.#claim(number)
    if (typeof page === 'string') return this.#lose(place, page)
    if (flagsOf(page) === leafFlag) return this.#readLeaf(place, page)
    if (depth >= depthMax) return this.#lose(place, 'is too deep in the tree')
    const nodes = nodesOf(page)
    const keys = nodes?.map(({ key }, i) => (i === 0 ? (lo ?? asKey('')) : latin1(key)))
    const ascend = keys?.every((key, i) => i === 0 || (key > keys[i - 1]! && (hi === undefined || key < hi)))
    if (!nodes || !keys || !ascend) return this.#lose(place, 'is a branch whose keys are damaged')
    this.#uses[number] = pageUse.inTree
    for (const [i, node] of [...nodes.entries()].toReversed()) {
      waiting.push({ page: childOf(page, node), depth: depth + 1, lo: i === 0 ? lo : keys[i]!, hi: keys[i + 1] ?? hi })
    }
    return []
  }

  #readLeaf(place: Place, page: Buffer): PageRow[] {
    const { page: number, lo, hi } = place
    const nodes = this.#readNodes(page)
    if (nodes === undefined) return this.#lose(place, 'is a leaf whose head is damaged')
    const isHere = (key: Key): boolean => (lo === undefined || key >= lo) && (hi === undefined || key < hi)
    const outside = nodes.filter(({ row }) => row !== undefined && !isHere(row.key))
    // A page without a flaw that is in use, but not here: it is looked at again among those that nothing leads to.
    if (outside.length > 0 && nodes.every(({ row }) => row !== undefined)) return this.#lose(place, 'holds keys that do not belong here')
    const here = nodes.map(node => (node.row === undefined || isHere(node.row.key) ? node : { ...node, row: undefined, problem: 'it is not where it belongs' }))
    if (here.every(({ row }) => row === undefined)) return this.#lose(place, 'is a leaf of which no row can be read')
    const rows = this.#rowsOf(number, here)
    if (here.some(({ key, row }) => row === undefined && (key === undefined || !isHere(key)))) this.#lose(place, 'is damaged; some of its rows were read')
    return rows
  }

  /** The sound rows of a page, which counts as in use from now on; the others are findings. */
  #rowsOf(page: number, nodes: readonly ReadNode[]): PageRow[] {
    this.#uses[page] = pageUse.inTree
    this.#leafPages++
    this.#entries += nodes.length
    const rows: PageRow[] = []
    const sound = nodes.flatMap(({ row }) => (row === undefined ? [] : [row.key]))
    const ascends = sound.every((key, i) => i === 0 || key > sound[i - 1]!)
    for (const [i, { key, row, problem, long }] of nodes.entries()) {
      const why = row === undefined ? problem : ascends || isInOrder(nodes, i) ? undefined : 'it is not in order with the rows beside it'
      if (row === undefined || why !== undefined) {
        this.#find({ page, problem: why ?? problem, ...(key !== undefined && { key }) })
        continue
      }
      this.#claimLong(long, pageUse.inTree)
      rows.push(row)
    }
    return rows
  }

  /** Its long values count as in use from now on: what lies in them is no page. */
  #orphanAt(number: number): Orphan | undefined {
    const rows = (this.#nodesAt(number) ?? []).filter(({ row }) => row !== undefined)
    const [lo, hi] = [rows[0]?.key, rows.at(-1)?.key]
    if (lo === undefined || hi === undefined) return undefined
    for (const { long } of rows) this.#claimLong(long, namedByOrphan)
    return { page: number, rows: rows.length, lo, hi }
  }

  #claimLong(long: ReadNode['long'], use: typeof pageUse.inTree | typeof namedByOrphan): void {
    if (long !== undefined) this.#uses.fill(use, long.first, long.first + long.length)
  }

  #nodesAt(number: number): ReadNode[] | undefined {
    const page = this.#read(number)
    return typeof page === 'string' || flagsOf(page) !== leafFlag ? undefined : this.#readNodes(page)
  }

  /** Undefined where the page does not say how many there are. */
  #readNodes(page: Buffer): ReadNode[] | undefined {
    const keys = keyCountOf(page)
    return keys === undefined ? undefined : Array.from({ length: keys }, (_, i) => this.#readNode(page, nodeOf(page, i)))
  }

  #readNode(page: Buffer, node: Node | undefined): ReadNode {
    const none = { row: undefined, long: undefined }
    if (node === undefined) return { ...none, key: undefined, problem: 'a row in it cannot be found' }
    const key = latin1(node.key)
    const value = valueOf(page, node)
    if (value.is === 'wrong') return { ...none, key, problem: `its page ${value.problem}` }
    if (value.is === 'here') return { ...none, key, ...decoded(key, value.bytes) }
    const pages = this.#readLong(value)
    if (typeof pages === 'string') return { ...none, key, problem: `its value should be on ${value.length} pages from ${value.first} on, which ${pages}` }
    return { key, ...decoded(key, pages.subarray(headerSizeBytes, headerSizeBytes + value.sizeBytes)), long: value }
  }

  /** The pages of a long value, or why they are none. */
  #readLong(value: LongValue): Buffer | string {
    const { first, length, sizeBytes } = value
    if (length !== Math.ceil((headerSizeBytes + sizeBytes) / this.state.pageSizeBytes)) return 'are more than it takes'
    const uses = this.#uses.subarray(first, first + length)
    if (uses.includes(pageUse.isFree)) {
      this.#conflicts++
      return 'are free'
    }
    if (uses.includes(pageUse.inTree)) return 'are in use elsewhere'
    const beginning = this.#pages.read(first)
    if (beginning === undefined) return 'cannot be read'
    if (!isBeginningOf(beginning, value)) return 'hold something else'
    if (this.#longPagesLeft < length) return 'were not read: too many rows name the same ones'
    this.#longPagesLeft -= length
    return this.#pages.read(first, length) ?? 'cannot be read'
  }

  /** A page for a place in the tree, or why it is none. */
  #claim(number: number): Buffer | string {
    const use = this.#uses[number]
    if (use === pageUse.inTree) return 'is in use elsewhere'
    if (use !== pageUse.isFree) return this.#read(number)
    this.#conflicts++
    return 'is in the free list'
  }

  /** A branch or leaf with a sound head, or why it is none. */
  #read(number: number): Buffer | string {
    if (!(number >= metaPages && number < this.#pages.presentPages)) return 'is not in the file'
    const page = this.#pages.read(number)
    if (page === undefined) return 'cannot be read'
    if (numberOf(page) !== BigInt(number)) return `says that it is page ${numberOf(page)}`
    if (transactionOf(page) > this.state.transaction) return `is of transaction ${transactionOf(page)}, which is after the newest`
    return flagsOf(page) === branchFlag || flagsOf(page) === leafFlag ? page : `has flags ${flagsOf(page)}`
  }

  #lose({ page, lo, hi }: Place, problem: string): PageRow[] {
    this.#lost.add(page)
    this.#find({ page, problem, range: { lo, hi } })
    return []
  }

  #find(finding: PageFinding): void {
    this.#findings++
    this.#onFinding(finding)
  }
}

const pagesIn = ({ branchPages, leafPages, overflowPages }: TreeRecord): number => branchPages + leafPages + overflowPages

const latin1 = (bytes: Buffer): Key => asKey(bytes.toString('latin1'))

function decoded(key: Key, bytes: Buffer): Pick<ReadNode, 'row' | 'problem'> {
  try {
    return { row: decodeRow(key, bytes), problem: '' }
  } catch (error) {
    return { row: undefined, problem: error instanceof Error ? error.message : String(error) }
  }
}

/** Against every other sound row of the page: of two that contradict each other neither is known to be the right one. */
function isInOrder(nodes: readonly ReadNode[], i: number): boolean {
  const { key } = nodes[i]!.row!
  return nodes.every(({ row }, j) => row === undefined || j === i || (j < i ? row.key < key : row.key > key))
}
