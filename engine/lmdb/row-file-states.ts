/**
 * Which states of a damaged row file can be read. LMDB keeps two: its two meta pages, written in turn, each name the roots of one transaction's trees, and the pages of the older
 * state are not written over before the next transaction. What a meta page does not tell any more is looked for among the pages.
 *
 *   T-1  A meta page is believed only where a root that it names bears its transaction: every transaction writes both roots anew, and a meta page has no checksum.
 *   T-2  A root that no meta page names is one only if no page of its transaction names it, if its tree begins with the catalog, and if the metadata row is in it. Only the newest of them is taken:
 *        pages of older states have been used again.
 *
 * Memory: two bytes for each page of the file, while a root is looked for.
 */
import { decodeRow } from '../encoding/rows.js'
import { isUnreadable, type Files } from '../environment.js'
import { asKey } from '../../isolation/types.js'
import type { WalkProgress } from './page-walk.js'
import { branchFlag, childOf, flagsOf, keyCountOf, leafFlag, metaPages, nodeOf, numberOf, transactionOf, valueOf, type Node } from './pages.js'
import { metadataKey } from './row-file.js'
import { readMetaPage, type RowFileMeta, type TreeRecord } from './row-file-check.js'

/** As the package makes its files; other sizes are tried where the first meta page does not say. */
const pageSizes = [4_096, 8_192, 16_384, 32_768, 65_536]
/** Pages that a damaged number of pages may make us keep a record of. */
const pagesMax = 2 ** 24
const emptyTree: TreeRecord = { depth: 0, branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0, root: undefined }

/** A tree of the largest file has fewer levels. */
const depthMax = 32
/** Of how many transactions roots are looked for, from the newest down: beyond the newest there is the one that was being written, and what a flipped bit makes of a number. */
const candidatesMax = 8
const slicePages = 64

export interface RowFileState extends RowFileMeta {
  /** The free list named is that of this state. */
  readonly knowsFreeList: boolean
  /** The meta page says how many pages and entries there should be. */
  readonly knowsCounts: boolean
  /** There may have been a newer one: commits that the row file had, and the log need not have any more, may not be in it. */
  readonly mayBeOutdated: boolean
}

export interface StatesFound {
  /** The newest first. */
  readonly states: readonly RowFileState[]
  readonly problems: readonly string[]
}

/** Reads pages, and does not mind those that cannot be read. */
export class PageReader {
  readonly pageSizeBytes: number
  readonly presentPages: number
  readonly #files: Files
  readonly #fd: number

  constructor(files: Files, fd: number, pageSizeBytes: number) {
    this.#files = files
    this.#fd = fd
    this.pageSizeBytes = pageSizeBytes
    this.presentPages = Math.floor(files.fstatSync(fd).size / pageSizeBytes)
  }

  /** Undefined where they are not all there, or the disk does not give them. */
  read(first: number, length = 1): Buffer | undefined {
    if (!(first >= 0 && length >= 1 && first + length <= this.presentPages)) return undefined
    const bytes = Buffer.allocUnsafe(length * this.pageSizeBytes)
    try {
      return this.#files.readSync(this.#fd, bytes, 0, bytes.length, first * this.pageSizeBytes) === bytes.length ? bytes : undefined
    } catch (error) {
      if (!isUnreadable(error)) throw error
      return undefined
    }
  }
}

/** Yields every few pages where it has to look at all of them. */
export function* findStates(files: Files, fd: number): Generator<WalkProgress, StatesFound> {
  const problems: string[] = []
  const metas = readMetas(files, fd, problems)
  const states: RowFileState[] = []
  for (const meta of metas) {
    const pages = new PageReader(files, fd, meta.pageSizeBytes)
    const state = stateOf({ ...meta, presentPages: pages.presentPages }, pages)
    if (typeof state === 'object') states.push(state)
    else problems.push(state)
  }
  states.sort((a, b) => b.transaction - a.transaction)
  const [left] = states
  if (states.length === 2) return { states: yield* withRoots(states, left, files, fd, problems), problems }
  // A damaged meta page may have been the newest one.
  const newest = yield* newestAmongPages(files, fd, left)
  if (newest !== undefined) {
    problems.push(`the state of transaction ${newest.transaction}, whose meta page is damaged, was found among the pages`)
    return { states: [newest, ...states.map(state => ({ ...state, mayBeOutdated: true }))], problems }
  }
  if (left === undefined) problems.push('no meta page can be relied on, and no root of a tree was found')
  else problems.push(`the state of transaction ${left.transaction} was read; it is the last one if the damaged meta page was the older one`)
  return { states: yield* withRoots(states, undefined, files, fd, problems), problems }
}

function readMetas(files: Files, fd: number, problems: string[]): Omit<RowFileMeta, 'presentPages'>[] {
  const metaAt = (at: number): Omit<RowFileMeta, 'presentPages'> | undefined => {
    try {
      return readMetaPage(files, fd, at)
    } catch (error) {
      if (!isUnreadable(error)) throw error
      return undefined
    }
  }
  const first = metaAt(0)
  if (first === undefined) problems.push('the first page is not an LMDB meta page')
  const sizes = first === undefined ? pageSizes : [first.pageSizeBytes]
  const second = sizes.map(size => metaAt(size)).find((meta, i) => meta?.pageSizeBytes === sizes[i])
  if (second === undefined) problems.push('the second page is not an LMDB meta page')
  return [first, second].filter(meta => meta !== undefined)
}

/** T-1. The state, or why there is none. */
function stateOf(meta: RowFileMeta, pages: PageReader): RowFileState | string {
  const { rows, free, transaction, lastPage } = meta
  const who = `the meta page of transaction ${transaction}`
  if (!Number.isSafeInteger(transaction) || !(lastPage + 1 <= Math.max(pagesMax, 2 * pages.presentPages))) return `${who} cannot be right: it has ${lastPage + 1} pages`
  if (rows.root === undefined) return rows.entries === 0 && transaction <= 1 ? { ...meta, knowsFreeList: true, knowsCounts: true, mayBeOutdated: false } : `${who} names no root`
  const [ofRows, ofFree] = [rows.root, free.root].map(root => {
    const page = root === undefined ? undefined : pages.read(root)
    return page !== undefined && numberOf(page) === BigInt(root!) ? transactionOf(page) : undefined
  })
  const nothingIsFree = ofRows === transaction && free.root === undefined && free.entries === 0
  if (ofRows === transaction || ofFree === transaction) return { ...meta, knowsFreeList: ofFree === transaction || nothingIsFree, knowsCounts: true, mayBeOutdated: false }
  // The trees agree with each other, so it is the number that is damaged.
  if (ofRows !== undefined && ofRows === ofFree) return { ...meta, transaction: ofRows, knowsFreeList: true, knowsCounts: false, mayBeOutdated: false }
  return `${who} names trees that are not of this transaction`
}

/** The states, of which only `newest` is known to be the last one, with the roots of their rows where the meta pages name none that can be read. */
function* withRoots(states: readonly RowFileState[], newest: RowFileState | undefined, files: Files, fd: number, problems: string[]): Generator<WalkProgress, RowFileState[]> {
  const found: RowFileState[] = []
  for (const state of states) found.push({ ...(yield* withRoot(state, new PageReader(files, fd, state.pageSizeBytes), problems)), mayBeOutdated: state !== newest })
  return found
}

function* withRoot(state: RowFileState, pages: PageReader, problems: string[]): Generator<WalkProgress, RowFileState> {
  const { rows, transaction } = state
  if (rows.root === undefined || isRootOf(rows.root, transaction, pages)) return state
  const root = (yield* rootsAmongPages(pages, [transaction])).get(transaction)
  if (root === undefined) return state
  problems.push(`the meta page of transaction ${transaction} names page ${rows.root} as root of the rows, which is none; page ${root} is`)
  return { ...state, rows: { ...rows, root } }
}

function isRootOf(root: number, transaction: number, pages: PageReader): boolean {
  const page = pages.read(root)
  return page !== undefined && numberOf(page) === BigInt(root) && transactionOf(page) === transaction
}

/** The newest state of which a root is among the pages, if it is newer than `left`. Without a page size that with the most pages in their places is taken. */
function* newestAmongPages(files: Files, fd: number, left: RowFileState | undefined): Generator<WalkProgress, RowFileState | undefined> {
  let best: { readonly pages: PageReader; readonly inPlace: number; readonly newest: readonly number[] } | undefined
  for (const size of left === undefined ? pageSizes : [left.pageSizeBytes]) {
    const pages = new PageReader(files, fd, size)
    const one = yield* newestTransactions(pages)
    if (best === undefined || one.inPlace > best.inPlace) best = { pages, ...one }
  }
  const { pages, newest } = best!
  const roots = yield* rootsAmongPages(pages, newest.filter(transaction => transaction > (left?.transaction ?? 0)))
  const transaction = Math.max(...roots.keys())
  const root = roots.get(transaction)
  if (root === undefined) return undefined
  const { pageSizeBytes, presentPages } = pages
  const known = { knowsFreeList: false, knowsCounts: false, mayBeOutdated: false }
  return { pageSizeBytes, lastPage: presentPages - 1, presentPages, transaction, rows: { ...emptyTree, root }, free: emptyTree, ...known }
}

/** Of the pages that look like those of a tree in their places: how many there are, and the newest transactions among them. */
function* newestTransactions(pages: PageReader): Generator<WalkProgress, { readonly inPlace: number; readonly newest: readonly number[] }> {
  let inPlace = 0
  let newest: readonly number[] = []
  for (const [, page] of pagesOfTrees(pages)) {
    if (page === undefined) {
      yield { seen: inPlace, pages: pages.presentPages }
      continue
    }
    inPlace++
    const transaction = transactionOf(page)
    if (!newest.includes(transaction) && (newest.length < candidatesMax || transaction > newest.at(-1)!)) newest = [...newest, transaction].toSorted((a, b) => b - a).slice(0, candidatesMax)
  }
  return { inPlace, newest }
}

/** T-2, by transaction: its root, or undefined where several pages could be. Of these transactions only, eight at most. */
function* rootsAmongPages(pages: PageReader, transactions: readonly number[]): Generator<WalkProgress, ReadonlyMap<number, number | undefined>> {
  const roots = new Map<number, number | undefined>()
  if (transactions.length === 0) return roots
  const { presentPages } = pages
  /** Of each page, the transaction among these, counted from 1; and a bit for each of them of which a branch names it. */
  const transactionOfPage = new Uint8Array(presentPages)
  const namedBy = new Uint8Array(presentPages)
  for (const [number, page] of pagesOfTrees(pages)) {
    if (page === undefined) {
      yield { seen: number, pages: presentPages }
      continue
    }
    const i = transactions.indexOf(transactionOf(page))
    const nodes = i < 0 ? undefined : nodesOf(page)
    if (nodes === undefined) continue
    transactionOfPage[number] = i + 1
    if (flagsOf(page) === branchFlag) for (const node of nodes) namedBy[childOf(page, node)]! |= 1 << i
  }
  for (const [page, one] of transactionOfPage.entries()) {
    if (one === 0 || (namedBy[page]! & (1 << (one - 1))) !== 0) continue
    yield { seen: page, pages: presentPages }
    if (!holdsWholeTree(page, pages)) continue
    const transaction = transactions[one - 1]!
    roots.set(transaction, roots.has(transaction) ? undefined : page)
  }
  return roots
}

/** The branches and leaves that lie in their places, with their numbers; and every few pages nothing, so that others may work. */
function* pagesOfTrees(pages: PageReader): Generator<readonly [number: number, page: Buffer | undefined], void> {
  for (let number = metaPages; number < pages.presentPages; number++) {
    if (number % slicePages === 0) yield [number, undefined]
    const page = pages.read(number)
    if (page !== undefined && numberOf(page) === BigInt(number) && keyCountOf(page) !== undefined && (flagsOf(page) === branchFlag || flagsOf(page) === leafFlag)) yield [number, page]
  }
}

/** Whether the tree below a page begins with the catalog, or is empty, and has the metadata row (T-2). */
function holdsWholeTree(root: number, pages: PageReader): boolean {
  const first = leafFor('', root, pages)?.nodes[0]
  if (first === undefined || !(first.key[0] === 0 || first.key[0] === 0xff)) return false
  const last = leafFor(metadataKey, root, pages)
  const node = last?.nodes.find(({ key }) => key.toString('latin1') === metadataKey)
  const value = node && valueOf(last!.page, node)
  if (value?.is !== 'here') return false
  try {
    decodeRow(metadataKey, value.bytes)
    return true
  } catch {
    return false
  }
}

/** The leaf where `key` is, if it is anywhere. */
function leafFor(key: string, root: number, pages: PageReader): { readonly page: Buffer; readonly nodes: readonly Node[] } | undefined {
  const sought = asKey(key)
  for (let number = root, depth = 1; depth <= depthMax; depth++) {
    const page = pages.read(number)
    const nodes = page && numberOf(page) === BigInt(number) ? nodesOf(page) : undefined
    if (page === undefined || nodes === undefined || flagsOf(page) === leafFlag) return page && nodes && { page, nodes }
    number = childOf(page, nodes.findLast((node, i) => i === 0 || node.key.toString('latin1') <= sought)!)
  }
  return undefined
}

/** The nodes of a branch or a leaf, or undefined where it is none, or one of them is not within it. */
export function nodesOf(page: Buffer): Node[] | undefined {
  const keys = keyCountOf(page)
  if (keys === undefined || (flagsOf(page) !== branchFlag && flagsOf(page) !== leafFlag)) return undefined
  const nodes = Array.from({ length: keys }, (_, i) => nodeOf(page, i)).filter(node => node !== undefined)
  return nodes.length === keys ? nodes : undefined
}
