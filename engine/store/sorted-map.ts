/** Maps in key order: the package's B+ tree with memcmp order. Clones are cheap (copy on write). */
import sortedBtree from 'sorted-btree'
import type { Key } from '../../isolation/types.js'

/** The package is CommonJS: Node gives its exports object as the default import. */
export type SortedMap<V> = InstanceType<typeof sortedBtree.default<Key, V>>

const compareKeys = (a: Key, b: Key): number => (a < b ? -1 : a > b ? 1 : 0)

export function sortedMap<V>(entries?: [Key, V][]): SortedMap<V> {
  return new sortedBtree.default<Key, V>(entries, compareKeys)
}
