/**
 * Which states of a damaged row file can be read. LMDB keeps two: its two meta pages, written in turn, each name the roots of one transaction's trees, and the pages of the older
 * state are not written over before the next transaction. What a meta page does not tell any more is looked for among the pages.
 *
 *   T-1  A meta page is believed only where a root that it names bears its transaction: every transaction writes both roots anew, and a meta page has no checksum.
 *   T-2  A root that no meta page names is one only if no page of its transaction names it, if its tree begins with the catalog, and if the metadata row is in it. Only the newest of them is taken:
 *        pages of older states have been used again.
 */
import { decodeRow } from '../encoding/rows.js'
import type { Files } from '../environment.js'
import { asKey } from '../../isolation/types.js'
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
      if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error
      return undefined
    }
  }
}

export function findStates(files: Files, fd: number): StatesFound {
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
  if (states.length === 2) return { states: states.map((state, i) => ({ ...withRoot(state, files, fd, problems), mayBeOutdated: i > 0 })), problems }
  // A damaged meta page may have been the newest one.
  const [left] = states
  const found = rootsAmongPages(files, fd, left?.pageSizeBytes).filter(({ transaction }) => transaction > (left?.transaction ?? 0))
  const [newest, another] = found
  if (newest !== undefined && newest.transaction !== another?.transaction) {
    problems.push(`the state of transaction ${newest.transaction}, whose meta page is damaged, was found among the pages`)
    return { states: [newest, ...states.map(state => ({ ...state, mayBeOutdated: true }))], problems }
  }
  if (left === undefined) problems.push('no meta page can be relied on, and no root of a tree was found')
  else problems.push(`the state of transaction ${left.transaction} was read; it is the last one if the damaged meta page was the older one`)
  return { states: states.map(state => ({ ...withRoot(state, files, fd, problems), mayBeOutdated: true })), problems }
}

function readMetas(files: Files, fd: number, problems: string[]): Omit<RowFileMeta, 'presentPages'>[] {
  const metaAt = (at: number): Omit<RowFileMeta, 'presentPages'> | undefined => {
    try {
      return readMetaPage(files, fd, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error
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

/** The state with the root of its rows where the meta page names none that can be read. */
function withRoot(state: RowFileState, files: Files, fd: number, problems: string[]): RowFileState {
  const { root } = state.rows
  if (root === undefined || isRootOf(root, state.transaction, new PageReader(files, fd, state.pageSizeBytes))) return state
  const found = rootsAmongPages(files, fd, state.pageSizeBytes).filter(({ transaction }) => transaction === state.transaction)
  if (found.length !== 1) return state
  problems.push(`the meta page of transaction ${state.transaction} names page ${root} as root of the rows, which is none; page ${found[0]!.rows.root} is`)
  return { ...state, rows: { ...state.rows, root: found[0]!.rows.root } }
}

function isRootOf(root: number, transaction: number, pages: PageReader): boolean {
  const page = pages.read(root)
  return page !== undefined && numberOf(page) === BigInt(root) && transactionOf(page) === transaction
}

/** T-2, the newest first. Without a page size that with the most pages in their places is taken. */
function rootsAmongPages(files: Files, fd: number, pageSizeBytes: number | undefined): RowFileState[] {
  const sizes = pageSizeBytes === undefined ? pageSizes : [pageSizeBytes]
  const { pages, found } = sizes.map(size => pagesOfTrees(new PageReader(files, fd, size))).reduce((best, one) => (one.found.size > best.found.size ? one : best))
  const named = new Map<number, Set<number>>()
  for (const { transaction, children } of found.values()) {
    const ofTransaction = named.get(transaction) ?? new Set()
    for (const child of children) ofTransaction.add(child)
    named.set(transaction, ofTransaction)
  }
  const roots = [...found].filter(([root, { transaction }]) => !named.get(transaction)!.has(root) && holdsWholeTree(root, pages)).map(([root, { transaction }]) => ({ root, transaction }))
  const { presentPages } = pages
  return roots
    .toSorted((a, b) => b.transaction - a.transaction)
    .map(({ root, transaction }) => ({
      pageSizeBytes: pages.pageSizeBytes,
      lastPage: presentPages - 1,
      presentPages,
      transaction,
      rows: { ...emptyTree, root },
      free: emptyTree,
      knowsFreeList: false,
      knowsCounts: false,
      mayBeOutdated: false,
    }))
}

/** Whether the tree below a page begins with the catalog, or is empty, and has the metadata row (T-2). */
function holdsWholeTree(root: number, pages: PageReader): boolean {
  const first = leafFor('', root, pages)?.nodes[0]
  const last = leafFor(metadataKey, root, pages)
  if (first === undefined || last === undefined || !(first.key[0] === 0 || first.key[0] === 0xff)) return false
  const node = last.nodes.find(({ key }) => key.toString('latin1') === metadataKey)
  const value = node && valueOf(last.page, node)
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

interface TreePage {
  readonly transaction: number
  readonly children: readonly number[]
}

/** What looks like a page of a tree in its place. */
function pagesOfTrees(pages: PageReader): { readonly pages: PageReader; readonly found: ReadonlyMap<number, TreePage> } {
  const found = new Map<number, TreePage>()
  for (let number = metaPages; number < pages.presentPages; number++) {
    const page = pages.read(number)
    const nodes = page && numberOf(page) === BigInt(number) ? nodesOf(page) : undefined
    if (page === undefined || nodes === undefined) continue
    found.set(number, { transaction: transactionOf(page), children: flagsOf(page) === branchFlag ? nodes.map(node => childOf(page, node)) : [] })
  }
  return { pages, found }
}

/** The nodes of a branch or a leaf, or undefined where it is none, or one of them is not within it. */
export function nodesOf(page: Buffer): Node[] | undefined {
  const keys = keyCountOf(page)
  if (keys === undefined || (flagsOf(page) !== branchFlag && flagsOf(page) !== leafFlag)) return undefined
  const nodes = Array.from({ length: keys }, (_, i) => nodeOf(page, i)).filter(node => node !== undefined)
  return nodes.length === keys ? nodes : undefined
}
