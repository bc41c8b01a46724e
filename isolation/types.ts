/**
 * The words every layer shares: encoded keys and their order, timestamps, levels. No imports.
 */

declare const brand: unique symbol

/**
 * An encoded key: the key's bytes as a latin1 string (one UTF-16 code unit per byte), so that `<` is memcmp and the
 * string can be a Map key. The bytes begin with the table id; see `engine/encoding/keys.ts`.
 */
export type Key = string & { readonly [brand]: 'Key' }

/** An integer given in commit order, consecutive within one opening. 0 is "before every commit". */
export type CommitTs = number & { readonly [brand]: 'Ts' }

/** A snapshot is the state made by exactly the commits up to its timestamp, so it has a commit timestamp's type. */
export type SnapshotTs = CommitTs

/** A half-open interval of keys, `lo <= key < hi`. Empty when `lo >= hi`. */
export interface KeyRange {
  readonly lo: Key
  readonly hi: Key
}

/** Isolation levels, weakest first. */
export const levels = ['read-committed', 'snapshot', 'serializable'] as const
export type Level = (typeof levels)[number]

/** How a row came to be written, as an explanation names it. */
export type WriteKind = 'put' | 'insert' | 'delete'

/** Brands an integer as a commit timestamp. The caller vouches for it. */
export const asTs = (value: number): CommitTs => value as CommitTs

/** Brands a latin1 string as an encoded key. The caller vouches for it. */
export const asKey = (latin1: string): Key => latin1 as Key

/** The timestamp before the first commit. */
export const noTs: CommitTs = asTs(0)

/** The least key greater than `key`: no key lies between them, for no byte is less than 0. */
export const successor = (key: Key): Key => asKey(`${key}\0`)

/** Where `key` stands in a sorted list, or would: how many of the list are less. */
export function lowerBound(sorted: readonly Key[], key: Key): number {
  let lo = 0
  let hi = sorted.length
  while (lo < hi) {
    const middle = (lo + hi) >>> 1
    if (sorted[middle]! < key) lo = middle + 1
    else hi = middle
  }
  return lo
}
