/**
 * Drops iterators in the middle, asks for a collection, and prints what is still held. Run with --expose-gc; the argument says whose iterators they are.
 */
const [kind] = process.argv.slice(2)
const built = new URL('../../dist/engine/', import.meta.url)
/** @type {typeof import('../../engine/open.js')} */
const { openEngine } = await import(new URL('open.js', built).href)
/** @type {typeof import('../../engine/database.js')} */
const { Database } = await import(new URL('database.js', built).href)

const db = new Database(openEngine(':memory:', {}, { limits: { checkpointAgeMs: 1, snapshotAgeMs: 1e9 } }))
const t = db.table('t', { key: ['number'] })
await db.transaction(tx => {
  for (let i = 0; i < 50; i++) tx.put(t, i, i)
})
await applied()
const tx = db.begin({ level: 'read-committed', timeoutMs: 60_000 })
const source = kind === 'one-shot' ? db : tx

/** @returns {IterableIterator<{ key: number, value: unknown }>} */
function begun() {
  const iterator = source.range(t)[Symbol.iterator]()
  iterator.next()
  return iterator
}

const kept = begun()
for (let state = 0; state < 10; state++) {
  for (let i = state === 0 ? 1 : 0; i < 10; i++) begun()
  await db.put(t, 1_000, state)
  await applied()
  tx.get(t, 0) // moves on; only its iterators stay
}
const dropped = held()
// A collection may leave some for the next one, and what is to be done for them is done later.
for (let round = 0; round < 50 && held().iterators > 1; round++) {
  /** @type {() => void} */ (globalThis.gc)()
  await new Promise(resolve => setTimeout(resolve, 10))
}
const collected = held()
if (kept.next().value?.key !== 1) throw new Error('the iterator that was kept has lost its place')
kept.return?.()
const afterwards = held()
tx.abort()
await db.close()
console.log(JSON.stringify({ dropped, collected, afterwards }))

function held() {
  const { iterators, oldStates } = db.stats()
  return { iterators, oldStates: oldStates.length }
}

/** Everything visible is in the row file. */
async function applied() {
  for (let stats = db.stats(); stats.appliedTs < stats.visibleTs; stats = db.stats()) await new Promise(resolve => setTimeout(resolve, 2))
}
