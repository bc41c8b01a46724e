/** That an index says what the rows say, that reading it is relied on, and that a unique key has one row. */
import { mixed, mutant, readCommitted, type Mutant } from './mutant.js'

const derive = 'engine/derive'
const view = 'engine/view'
const commit = 'engine/commit'
const changes = 'engine/table/changes'
const writeSet = 'engine/write-set'

const tested = (name: string, broken: string, file: string, find: string, replace: string, test: string, because: string): Mutant => mutant(name, broken, file, find, replace, { test, because })

export const indexes: readonly Mutant[] = [
  mutant('X-1-before-forgotten', 'the entries of a row that is replaced stay', derive, 'if (next === undefined)', 'if (false)'),
  mutant('X-1-moved-only', 'a row that is deleted leaves its entries', derive, 'if (replaced?.value !== undefined)', 'if (replaced?.value !== undefined && write.value !== undefined)'),
  mutant('X-1-weak-levels', 'entries are derived only where reads were validated', commit, 'if (hasIndexes) {', 'if (hasIndexes && view.policy.tracksReads) {', mixed),
  mutant('X-1-delete-range', 'rows that are in a deleted range at the commit leave their entries', derive, 'write.table ?? tables.get(tablePrefixOf(rowKey))', 'write.table', readCommitted),
  mutant('X-1-while-built', 'an index is not maintained while it is built', derive, 'table === undefined || table.indexes.length === 0', 'table === undefined || table.indexes.some(index => index.readyTs === undefined)'),
  mutant('X-1-declared-later', 'a row that was written before an index was declared gets no entry in it', derive, 'entries?.indexes === table.indexes ? entries.all', 'entries !== undefined ? entries.all'),
  mutant('X-2-unchecked', 'a unique key is given to a second row', derive, 'if (holder !== undefined && holder !== rowKey)', 'if (false)'),
  mutant('X-2-own-rows', 'two rows of one transaction get one unique key', derive, 'if (other !== undefined && other.rowKey !== rowKey)', 'if (false)'),
  mutant('X-2-given-up', 'a unique key is held against a row that gives it up', derive, 'entryOf !== undefined && givenUp.get(stored) !== entryOf', 'entryOf !== undefined'),
  tested('X-2-put-again', 'of two rows with one key that are put again as they are one loses its entry to the other while the index is built', derive, 'if (unbuilt.has(own)) continue', 'if (unbuilt.has(own) && ![...after].some(entry => entry.stored === stored && entry.rowKey > rowKey)) continue', 'test/unit/unique-builds.test.ts', 'one in tens of thousands of histories'),
  mutant('J-2-ready-early', 'an index is ready after its first step', changes, 'installed: () => void (index.builtTo = builtTo)', 'installed: () => { index.builtTo = builtTo; index.readyTs = this.#parts.store.visibleTs; }'),
  mutant('J-2-duplicates', 'a unique index is built over rows with one key', changes, 'if (holderKey === rowKey)', 'if (true)'),
  mutant('J-2-old-snapshot', 'an index is read at a snapshot that is older than its completion', 'engine/table/stored-index', 'if (this.readyTs !== undefined && this.readyTs <= ts)', 'if (this.readyTs !== undefined)', mixed),
  mutant('V-1-index-range', 'a range of an index is not relied on', view, 'return this.#open(range, reverse, limit, own, hides, index.unique && own !== undefined ? index : undefined)', 'const ranges = this.reads.ranges.length; const cursor = this.#open(range, reverse, limit, own, hides, index.unique && own !== undefined ? index : undefined); this.reads.ranges.length = ranges; return cursor'),
  mutant('V-1-unique-key', 'a key of a unique index is not relied on', view, 'const holder = this.getCommitted(entry)', 'this.#renew(); const holder = this.saw(this.#parts.store.read(this.snapshot, entry))'),
  mutant('V-1-row-of-entry', 'a row that was fetched through an index is not relied on', view, 'fetch: (snapshot, key) => this.#fetch(snapshot, key)', 'fetch: (snapshot, key) => this.saw(this.#parts.store.read(snapshot, key))'),
  mutant('row-at-another-commit', 'a row is fetched as it is now, and not as it was when its entry was read', view, 'fetch: (snapshot, key) => this.#fetch(snapshot, key)', 'fetch: (snapshot, key) => this.getCommitted(key)', readCommitted),
  mutant('own-rows-not-hidden', 'rows that the transaction has moved or deleted are still found where they were', view, 'rows && (({ key, value }) => rows.has(index.rowKeyOf(key, value)))', 'undefined'),
  mutant('own-holder-not-hidden', 'a unique key still names a row that the transaction has moved or deleted', view, 'if (this.#parts.writes.get(key) !== undefined) return undefined;', ''),
  mutant('own-entries-kept', 'entries of a row that the transaction has written twice are both found', writeSet, 'this.#entries.delete(entry.own);', ''),
  mutant('own-entries-later', 'a row that was written before an index was declared is not found through it', writeSet, 'if (this.tables.has(table) && this.#indexesOf?.get(table) !== table.indexes)', 'if (false)', mixed),
  mutant('own-claims-order', 'of two rows with one unique key the committed one comes first', view, 'index.unique && own !== undefined ? index : undefined', 'undefined', mixed),
  tested('X-4-former-holder', 'while a unique index is built anew a key is given away that a row has', derive, 'for (const id of index.replaces)', 'for (const id of [] as number[])', 'test/unit/unique-rebuilt.test.ts', 'the duplicate is found by the build, and the index dropped, as the model allows'),
  tested('claims-not-written', 'at snapshot a claimed key is no written key', commit, 'writtenKeys: () => writes.keysAndClaims(),', 'writtenKeys: () => writes.keys(),', 'test/unit/unique.test.ts', 'the claim is refused at the commit all the same, one attempt earlier'),
  tested('claims-not-read', 'at serializable a claim is not relied on', 'engine/transaction', 'if (index.unique) view.rely(stored)', 'void index', 'test/unit/unique.test.ts', 'the claim is refused at the commit all the same, one attempt earlier'),
  tested('X-3-unnoticed', 'an entry that ought to be there and is not is passed over', derive, 'if (index.readyTs !== undefined) throw notTheSame(index, rowKey)', '', 'test/unit/index-functions.test.ts', 'the functions of random histories are pure'),
  tested('impure-unnoticed', 'a function that gives other keys the second time is not noticed', 'engine/table/stored-index', 'if (starts.length !== again.length || starts.some((start, i) => start !== again[i])) {', 'if (false) {', 'test/unit/index-functions.test.ts', 'the functions of random histories are pure'),
  tested('P-3-commit-within', 'a function of an index can commit while a commit waits for it', commit, 'if (!this.#apart) return', 'return', 'test/unit/index-functions.test.ts', 'the functions of random histories are pure'),
  tested('eras-forgotten', 'a row that is read at an old snapshot is taken for one of the present version', 'engine/table/stored-table', 'return this.eras.find(({ untilTs }) => ts < untilTs)', 'return this.isMigrating ? this.eras.find(({ untilTs }) => ts < untilTs) : undefined', 'test/unit/migrations-old-states.test.ts', 'a row must be read or compared across the commit that raised the version: one in very many histories'),
  tested('equal-bytes-of-two-versions', 'a second chance takes equal bytes of two versions for one row', view, "const table = a!.ts === b!.ts ? undefined : this.#parts.tables.get(tablePrefixOf(key))", 'const table = undefined as StoredTable | undefined', 'test/unit/migrations-old-states.test.ts', 'a row must be read or compared across the commit that raised the version: one in very many histories'),
]
