/** What counts as a read, and that what was read is validated. */
import { mutant, serializable, type Mutant } from './mutant.js'

const transaction = 'engine/transaction'
const view = 'engine/view'
const readSet = 'isolation/read-set'
const validate = 'isolation/validate'

/** Runs `read` and takes the ranges that it recorded out again. */
const unrecorded = (read: string): string => `(() => { const { ranges } = this.#attempt.view.reads; const kept = ranges.length; const found = ${read}; ranges.length = kept; return found })()`

/** Runs `read` of `key`, and takes the key out again where it is new and `forgets` holds of what was read. */
const forgotten = (read: string, key: string, forgets: string): string =>
  `const { points } = this.#attempt.view.reads; const before = new Set(points); ${read}; if (!before.has(${key}) && (${forgets})) ${onlyThese('before')}`

/** Takes all points out of `points` but those in a set. */
const onlyThese = (kept: string): string => `{ points.clear(); for (const key of ${kept}) points.add(key) }`

/** What insert and update read is forgotten where something holds of it. */
const conditions = (name: string, broken: string, forgets: { readonly insert: string; readonly update: string }): Mutant => ({
  name,
  broken,
  file: transaction,
  patches: [
    ['if (this.#readForWrite(encoded)?.value !== undefined)', `${forgotten('const was = this.#readForWrite(encoded)', 'encoded', forgets.insert)}; if (was?.value !== undefined)`],
    ['const seen = this.#readForWrite(encoded)', forgotten('const seen = this.#readForWrite(encoded)', 'encoded', forgets.update)],
  ],
  caughtBy: serializable,
})

export const reads: readonly Mutant[] = [
  mutant('absent-key', 'a row that never was is not read', view, 'this.#record(key, newest);', 'if (this.#parts.store.read(this.snapshot, key) !== undefined) this.#record(key, newest);'),
  mutant(
    'tombstone',
    'a row found deleted is not read',
    view,
    'this.#record(key, newest);',
    'const known = this.#parts.store.read(this.snapshot, key); if (known === undefined || known.value !== undefined) this.#record(key, newest);',
  ),
  mutant('present-row', 'a row that is there is not read', view, 'this.#record(key, newest);', 'if (this.#parts.store.read(this.snapshot, key)?.value === undefined) this.#record(key, newest);'),
  mutant('has', 'has reads nothing', transaction, 'return this.#attempt.view.get(this.#use(table).encodeKey(key))?.value !== undefined', `const encoded = this.#use(table).encodeKey(key); ${forgotten('const there = this.#attempt.view.get(encoded)?.value !== undefined', 'encoded', 'true')}; return there`),
  mutant('get-many', 'getMany reads only its first key', transaction, 'return all.map(key => readRow(this.#source, codec, key))', `const { points } = this.#attempt.view.reads; const kept = new Set(points); const rows = all.map(key => readRow(this.#source, codec, key)); if (all.length > 0) kept.add(codec.encodeKey(all[0])); ${onlyThese('kept')}; return rows`),
  mutant('count', 'count reads nothing', transaction, 'countRows(this.#source, this.#use(source), options)', unrecorded('countRows(this.#source, this.#use(source), options)')),
  mutant('first', 'first reads nothing', transaction, `endRow(this.#source, this.#use(source), 'first', options)`, unrecorded(`endRow(this.#source, this.#use(source), 'first', options)`)),
  mutant('last', 'last reads nothing', transaction, `endRow(this.#source, this.#use(source), 'last', options)`, unrecorded(`endRow(this.#source, this.#use(source), 'last', options)`)),
  mutant('delete-range', 'deleteRange reads nothing', transaction, 'forEachKey(this.#source, codec, options, key => keys.push(key))', 'forEachKey(this.#source, codec, options, key => keys.push(key)); this.#attempt.view.reads.ranges.pop()'),
  conditions('failed-condition', 'an insert or update whose condition fails reads nothing', { insert: 'was?.value !== undefined', update: 'seen?.value === undefined' }),
  conditions('met-condition', 'an insert or update whose condition holds reads nothing', { insert: 'was?.value === undefined', update: 'seen?.value !== undefined' }),
  mutant(
    'failed-compare-and-set',
    'a compareAndSet that does not write reads nothing',
    transaction,
    'const found = codec.bytesOf(encoded, this.#attempt.view.get(encoded))',
    forgotten(
      'const found = codec.bytesOf(encoded, this.#attempt.view.get(encoded))',
      'encoded',
      'found === undefined || value === undefined ? found !== value : Buffer.compare(found.asOfNow, value) !== 0',
    ),
  ),
  mutant('empty-range', 'a range that is found empty is not read', 'engine/row-cursor', 'this.#options.recorded?.exhausted()', 'if (this.#last !== undefined) this.#options.recorded?.exhausted()'),
  mutant('gap-before-first', 'the gap before the first row of a scan is not read, where it stops early', readSet, 'this.hi = successor(key)', '{ if (this.hi === this.#whole.lo) this.lo = key; this.hi = successor(key) }'),
  mutant('gap-after-last', 'the gap after the last row of an exhausted scan is not read', readSet, 'this.hi = this.#whole.hi', 'void 0'),
  mutant('gap-after-last-reverse', 'the gap at the end of an exhausted reverse scan is not read', readSet, 'this.lo = this.#whole.lo', 'void 0'),
  mutant('last-row-of-limit', 'the row at which a scan stops is not read', readSet, 'this.hi = successor(key)', 'this.hi = key'),
  mutant('last-row-of-limit-reverse', 'the row at which a reverse scan stops is not read', readSet, 'this.lo = key', 'this.lo = successor(key)'),
  mutant('reverse', 'a reverse scan records nothing before it is exhausted', readSet, 'this.lo = key', 'void 0'),
  mutant(
    'abandoned-iterator',
    'a scan that is left early reads nothing',
    readSet,
    'this.ranges.push(range)',
    'const { exhausted } = range; range.exhausted = () => { exhausted.call(range); this.ranges.push(range) }',
  ),
  mutant(
    'rolled-back-savepoint',
    'a savepoint that fails takes its reads with it',
    transaction,
    'const hooks = attempt.hooks.length;',
    'const { points, ranges } = attempt.view.reads; const known = new Set(points); const kept = ranges.length; ' +
      `const hooks = { at: attempt.hooks.length, valueOf() { ${onlyThese('known')}; ranges.length = kept; return this.at } };`,
  ),
  {
    name: 'failed-step',
    broken: 'a scan that failed says, to who asks again, that the range has ended',
    file: 'engine/rows',
    patches: [['if (this.#failure !== undefined) throw this.#failure.error', 'if (this.#failure !== undefined) return this.return()']],
    caughtBy: { test: 'test/unit/iterators-left-by-errors.test.ts', because: 'a body must swallow the failure and ask again: one in several hundred thousand histories' },
  },
  {
    name: 'catalog-entry',
    broken: 'the catalog entry of a table is not read',
    file: 'engine/attempt',
    patches: [['this.view.rely(catalogKey)', 'void catalogKey']],
    caughtBy: { test: 'test/unit/reads-that-count.test.ts', because: 'who has read a row of a table that is dropped conflicts over the row' },
  },
  {
    name: 'coarse-read-set',
    broken: 'a very large read set loses reads where it becomes coarser',
    file: 'isolation/read-set',
    patches: [['hi: successor(keys[next - 1]!)', 'hi: successor(keys[Math.max(first, next - 2)]!)']],
    caughtBy: { test: 'test/unit/isolation.test.ts', because: 'it takes 200,000 reads in one transaction' },
  },
  mutant('nothing-validated', 'reads are not validated', 'isolation/policy', 'validate: (candidate, index) => findConflict(', 'validate: (candidate, index) => undefined && findConflict('),
  mutant('ranges-not-validated', 'ranges are not validated, looking from the reads', validate, 'for (const range of reads.ranges)', 'for (const range of [])'),
  mutant('points-not-validated', 'points are not validated, looking from the reads', validate, 'for (const key of reads.points)', 'for (const key of [])'),
  mutant('ranges-not-met', 'ranges are not validated, looking from the writes', readSet, 'const range = this.ranges.find(({ lo, hi }) => lo <= key && key < hi)', 'const range = undefined'),
  mutant('commit-after-snapshot', 'the first commit after the snapshot is not validated against', 'isolation/conflict-index', 'this.#history[start - 1].ts > after', 'this.#history[start - 1].ts > after + 1'),
  mutant('unsorted-after-snapshot', 'the first commit after the snapshot is not looked for in ranges', 'isolation/conflict-index', 'if (commit.ts <= after || commit.ts <= sortedTo)\n break', 'if (commit.ts <= after + 1 || commit.ts <= sortedTo) break'),
  {
    name: 'merged-runs',
    broken: 'where sorted runs of the conflict index merge, the older stamp of a key stays',
    file: 'isolation/conflict-index',
    patches: [['!isBefore(older, o, newer, n)', 'isBefore(newer, n, older, o)']],
    caughtBy: { test: 'test/unit/isolation.test.ts', because: 'runs begin with hundreds of writes behind a snapshot' },
  },
  mutant('filter-not-stamped', 'a write does not stamp the filter of points', 'isolation/conflict-index', 'this.#filter[hashOf(key)] = commit.ts;', ''),
  {
    name: 'beginnings-alone',
    broken: 'of keys that begin alike the search in a run takes any',
    file: 'isolation/conflict-index',
    patches: [['other < beginning || (other === beginning && keys[middle]! < key)', 'other <= beginning']],
    caughtBy: { test: 'test/unit/isolation.test.ts', because: 'it takes more writes behind a snapshot than a history has, of keys that begin alike' },
  },
  mutant('same-presence', 'a second look takes another value for the same one', view, 'Buffer.compare(left, right) !== 0', 'false'),
]
