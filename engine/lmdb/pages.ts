/** How LMDB lays out a page (`mdb.c` in the package): what its head says, where its nodes are, where a long value is. Pure; nothing outside the given bytes is read, whatever they say. */
export const headerSizeBytes = 24
export const nodeHeaderSizeBytes = 8
/** Pages before the first that a tree may use. */
export const metaPages = 2
export const branchFlag = 0x01
export const leafFlag = 0x02
export const overflowFlag = 0x04
const bigDataFlag = 0x01
/** Of a long value as its node names it: first page, transaction, number of pages. */
const longValueSizeBytes = 24
/** Four times the longest value of a row. As a list of free pages it names more than thirty million. */
const valueMaxSizeBytes = 256 * 1_024 * 1_024

/** A key of a page and where its node is. */
export interface Node {
  readonly at: number
  readonly key: Buffer
}

/** A value in pages of its own, as its node names it. */
export interface LongValue {
  readonly is: 'long'
  readonly first: number
  /** Of the transaction that wrote it. */
  readonly transaction: number
  /** In pages. */
  readonly length: number
  readonly sizeBytes: number
}

/** A node's value: in the page; or in pages of its own; or neither. */
export type NodeValue =
  | { readonly is: 'here'; readonly bytes: Buffer }
  | LongValue
  | { readonly is: 'wrong'; readonly problem: string }

export const numberOf = (page: Buffer): bigint => page.readBigUInt64LE(0)
export const transactionOf = (page: Buffer): number => Number(page.readBigUInt64LE(8))
export const flagsOf = (page: Buffer): number => page.readUInt16LE(18)
/** How many pages a long value says that it has. */
export const lengthOf = (page: Buffer): number => page.readUInt32LE(20)
/** Where the page says that its free space begins and ends, counted from the end of its head. */
export const freeSpaceOf = (page: Buffer): { readonly lower: number; readonly upper: number } => ({ lower: page.readUInt16LE(20), upper: page.readUInt16LE(22) })

/** The number of keys of a page, or undefined where it says something impossible. */
export function keyCountOf(page: Buffer): number | undefined {
  const { lower, upper } = freeSpaceOf(page)
  return lower % 2 === 0 && lower > 0 && lower <= upper && upper <= page.length - headerSizeBytes ? lower / 2 : undefined
}

/** The `i`-th node of a page with more than `i` keys, or undefined where it is not within the page. */
export function nodeOf(page: Buffer, i: number): Node | undefined {
  const at = headerSizeBytes + page.readUInt16LE(headerSizeBytes + i * 2)
  const keyAt = at + nodeHeaderSizeBytes
  if (at < headerSizeBytes + freeSpaceOf(page).upper || keyAt > page.length) return undefined
  const keyEnd = keyAt + page.readUInt16LE(at + 6)
  return keyEnd > page.length ? undefined : { at, key: page.subarray(keyAt, keyEnd) }
}

/** The page that a branch's node names. */
export const childOf = (page: Buffer, { at }: Node): number => page.readUInt32LE(at) + page.readUInt16LE(at + 4) * 2 ** 32

export function valueOf(page: Buffer, { at, key }: Node): NodeValue {
  const sizeBytes = page.readUInt32LE(at)
  const flags = page.readUInt16LE(at + 4)
  const start = at + nodeHeaderSizeBytes + key.length
  if (flags === 0) {
    if (start + sizeBytes > page.length) return { is: 'wrong', problem: 'has a value that does not end within it' }
    return { is: 'here', bytes: page.subarray(start, start + sizeBytes) }
  }
  if (flags !== bigDataFlag || start + longValueSizeBytes > page.length) return { is: 'wrong', problem: `has a node with flags ${flags}` }
  const first = Number(page.readBigUInt64LE(start))
  const transaction = Number(page.readBigUInt64LE(start + 8))
  const length = Number(page.readBigUInt64LE(start + 16))
  const needed = Math.ceil((headerSizeBytes + sizeBytes) / page.length)
  if (length < needed || length * page.length > valueMaxSizeBytes) return { is: 'wrong', problem: `has a value of ${sizeBytes} bytes in ${length} pages` }
  return { is: 'long', first, transaction, length, sizeBytes }
}

/** Whether a page is the first of a long value, of the transaction that its node names: another one may have been written there before, or after. */
export const isBeginningOf = (page: Buffer, { first, transaction, length }: LongValue): boolean =>
  numberOf(page) === BigInt(first) && flagsOf(page) === overflowFlag && lengthOf(page) === length && transactionOf(page) === transaction
