/**
 * How the engine behaves as things grow: rows, memory, the log to be recovered, open transactions, kept versions. Prints tables in Markdown.
 *
 *     npm run measure [-- --only load,open,memory,transaction,rows,transactions,versions,index]
 *
 * Each figure comes from a process of its own. Where the processor is measured and not the disk, commits are relaxed (acknowledged before they are synced).
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** @typedef {import('../../engine/database.js').Database} Database */
/** @typedef {Partial<import('../../engine/limits.js').Limits>} Limits */
/** @typedef {Record<string, string | number>} Figures */

const self = fileURLToPath(import.meta.url)
const built = new URL('../../dist/engine/', import.meta.url)
const relaxed = /** @type {const} */ ({ durability: 'relaxed' })

const { values: options } = parseArgs({ options: { only: { type: 'string' }, part: { type: 'string' }, directory: { type: 'string' }, size: { type: 'string' } } })
if (options.part === undefined) runAll(options.only?.split(','))
else await runPart(options.part, options.directory ?? '', Number(options.size ?? 0))

/** @param {string[] | undefined} only */
function runAll(only) {
  console.log(`${cpus().length} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GB of memory, ${process.platform}, Node ${process.version}, load average ${loadavg()[0]?.toFixed(1)} before\n`)
  /** @type {Record<string, (directory: string) => void>} */
  const sections = {
    load: directory => table('1,000,000 rows of 100 bytes', [part('load', { directory, size: 1_000_000 }), part('scan', { directory })]),
    open: directory => {
      if (!existsSync(directory)) part('load', { directory, size: 1_000_000 })
      table('Opening a database of 1,000,000 rows', [
        { after: 'a clean close', ...part('open', { directory }) },
        { after: 'kill -9 with 100,000 commits in the log', ...part('kill', { directory, size: 100_000 }), ...part('open', { directory }) },
      ])
    },
    memory: directory => {
      const small = { directory: `${directory}-1gb`, flags: ['--max-old-space-size=128'] }
      table('1,000,000 rows of 1,000 bytes with --max-old-space-size=128', [
        part('load', { ...small, size: 1_000_000_000 }),
        part('scan', small),
        part('update', { ...small, size: 100_000 }),
      ])
    },
    transaction: directory => table('One transaction of 1,000,000 writes', [part('transaction', { directory: `${directory}-large`, size: 1_000_000 })]),
    rows: directory =>
      table('One commit (2 reads, 2 writes), by number of rows', [10_000, 100_000, 1_000_000].map(size => onLoaded('rows', size, `${directory}-rows-${size}`, size))),
    transactions: directory =>
      table(
        'One commit (2 reads, 2 writes), by number of other open transactions',
        [1, 100, 10_000].map(size => onLoaded('transactions', size, `${directory}-open-${size}`, 100_000)),
      ),
    index: directory => table('An index built over 1,000,000 rows while 8 clients write, one durable update each', [onLoaded('index', 8, `${directory}-index`, 1_000_000)]),
    versions: directory => table('One commit to one of 10 keys, 100,000 times', [0, 1].map(size => onLoaded('versions', size, `${directory}-versions-${size}`, 10_000))),
  }
  for (const name of only ?? []) if (!(name in sections)) throw new Error(`There is no measurement ${name}; there are ${Object.keys(sections).join(', ')}.`)
  const folder = mkdtempSync(join(tmpdir(), 'premisedb-measure-'))
  try {
    for (const [name, run] of Object.entries(sections)) if (only?.includes(name) ?? true) run(join(folder, 'data'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Runs one part in a process of its own.
 * @param {string} name
 * @param {{ directory: string, size?: number, flags?: string[] }} how
 * @returns {Figures}
 */
function part(name, { directory, size = 0, flags = [] }) {
  const args = [...flags, self, '--part', name, '--directory', directory, '--size', String(size)]
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 2 ** 24 })
  if (stdout === '') throw new Error(`${name} ended with ${signal ?? status}:\n${stderr}`)
  return JSON.parse(stdout)
}

/**
 * Runs one part on a database with this many rows.
 * @param {string} name
 * @param {number} size
 * @param {string} directory
 * @param {number} rows
 */
function onLoaded(name, size, directory, rows) {
  part('load', { directory, size: rows })
  return part(name, { directory, size })
}

/**
 * @param {string} title
 * @param {Figures[]} rows
 */
function table(title, rows) {
  const columns = [...new Set(rows.flatMap(Object.keys))]
  const line = (/** @type {(string | number)[]} */ cells) => `| ${cells.map(cell => (typeof cell === 'number' ? cell.toLocaleString('en') : cell)).join(' | ')} |`
  console.log([`### ${title}`, '', line(columns), line(columns.map(() => '---')), ...rows.map(row => line(columns.map(column => row[column] ?? '')))].join('\n') + '\n')
}

/**
 * @param {string} name
 * @param {string} directory
 * @param {number} size
 */
async function runPart(name, directory, size) {
  /** @type {Record<string, () => Promise<Figures>>} */
  const parts = {
    load: () => load(directory, size),
    scan: () => scan(directory),
    update: () => update(directory, size),
    open: () => reopen(directory),
    kill: () => kill(directory, size),
    transaction: () => largeTransaction(directory, size),
    rows: () => byRows(directory, size),
    transactions: () => byTransactions(directory, size),
    versions: () => byVersions(directory, size === 1),
    index: () => buildIndex(directory, size),
  }
  const run = parts[name]
  if (run === undefined) throw new Error(`There is no part ${name}.`)
  process.stdout.write(JSON.stringify(await run()))
}

/**
 * @param {string} directory
 * @param {Limits} [limits]
 */
async function openDatabase(directory, limits = {}) {
  /** @type {typeof import('../../engine/open.js')} */
  const { openEngine } = await import(new URL('open.js', built).href)
  /** @type {typeof import('../../engine/database.js')} */
  const { Database } = await import(new URL('database.js', built).href)
  const startedMs = performance.now()
  const engine = openEngine(directory, {}, { limits })
  const openedMs = performance.now() - startedMs
  const db = new Database(engine)
  return { engine, db, rows: db.table('rows', { key: ['number'] }), openedMs }
}

/** Memory of this process so far. @returns {Figures} */
function memory() {
  return {
    'peak memory, MB': Math.round(process.resourceUsage().maxRSS / 1_024),
    'JS heap, MB': Math.round(process.memoryUsage().heapUsed / 2 ** 20),
  }
}

/**
 * @param {number} count
 * @param {number} elapsedMs
 */
function perSecond(count, elapsedMs) {
  return Math.round(count / elapsedMs) * 1_000
}

/** @param {number} elapsedMs */
function seconds(elapsedMs) {
  return Math.round(elapsedMs / 100) / 10
}

/**
 * Loads `bytes / valueBytes` rows in transactions of 1,000; up to a million rows, then larger ones.
 * @param {string} directory
 * @param {number} size
 */
async function load(directory, size) {
  const count = Math.min(size, 1_000_000)
  const { db, rows } = await openDatabase(directory)
  const value = 'v'.repeat(size > count ? size / count : 100)
  const startedMs = performance.now()
  for (let from = 0; from < count; from += 1_000) {
    await db.transaction(tx => {
      for (let i = from; i < Math.min(from + 1_000, count); i++) tx.put(rows, i, value)
    }, relaxed)
  }
  await db.close()
  const elapsedMs = performance.now() - startedMs
  return {
    work: `load ${count.toLocaleString('en')} rows, and close`,
    seconds: seconds(elapsedMs),
    'per second': perSecond(count, elapsedMs),
    ...memory(),
    'row file, MB': Math.round(statSync(join(directory, 'rows.lmdb')).size / 2 ** 20),
  }
}

/** @param {string} directory */
async function scan(directory) {
  const { db, rows } = await openDatabase(directory)
  const startedMs = performance.now()
  let count = 0
  for (const { key } of db.range(rows)) if (key === count) count++
  const elapsedMs = performance.now() - startedMs
  await db.close()
  return { work: `range-read ${count.toLocaleString('en')} rows`, seconds: seconds(elapsedMs), 'per second': perSecond(count, elapsedMs), ...memory() }
}

/**
 * Random updates, durable, 64 in flight.
 * @param {string} directory
 * @param {number} updates
 */
async function update(directory, updates) {
  const { db, rows } = await openDatabase(directory)
  const startedMs = performance.now()
  let left = updates
  const work = async () => {
    while (left-- > 0) await db.update(rows, Math.floor(Math.random() * 1_000_000), value => `w${String(value).slice(1)}`)
  }
  await Promise.all(Array.from({ length: 64 }, work))
  const elapsedMs = performance.now() - startedMs
  await db.close()
  return {
    work: `${updates.toLocaleString('en')} random updates, durable, 64 at a time`,
    seconds: seconds(elapsedMs),
    'per second': perSecond(updates, elapsedMs),
    ...memory(),
    'row file, MB': Math.round(statSync(join(directory, 'rows.lmdb')).size / 2 ** 20),
  }
}

/** @param {string} directory */
async function reopen(directory) {
  const { db, rows, engine, openedMs } = await openDatabase(directory)
  const recovered = engine.store.epochs.window.keyCount
  const startedMs = performance.now()
  db.get(rows, 1)
  const firstReadMs = performance.now() - startedMs
  await db.close()
  return { 'open, ms': Math.round(openedMs), 'first read, ms': Math.round(firstReadMs * 10) / 10, 'keys recovered': recovered, ...memory() }
}

/**
 * Leaves commits in the log, and no other trace of them.
 * @param {string} directory
 * @param {number} commits
 * @returns {Promise<never>}
 */
async function kill(directory, commits) {
  const huge = 2 ** 40
  const { db, rows, engine } = await openDatabase(directory, {
    windowCheckpointSizeBytes: huge,
    windowSizeBytes: huge,
    logCheckpointSizeBytes: huge,
    checkpointAgeMs: 2 ** 30,
  })
  for (let i = 0; i < commits; i++) await db.put(rows, Math.floor(Math.random() * 1_000_000), 'v'.repeat(100), relaxed)
  await engine.store.whenDurable(engine.store.visibleTs)
  process.stdout.write(JSON.stringify({ 'commits in the log': commits }), () => process.kill(process.pid, 'SIGKILL'))
  return new Promise(() => {})
}

/**
 * @param {string} directory
 * @param {number} writes
 */
async function largeTransaction(directory, writes) {
  const { db, rows } = await openDatabase(directory)
  const startedMs = performance.now()
  let bodyMs = 0
  await db.transaction(
    tx => {
      for (let i = 0; i < writes; i++) tx.put(rows, i, i)
      bodyMs = performance.now() - startedMs
    },
    { timeoutMs: 1_000_000 },
  )
  const committedMs = performance.now() - startedMs
  await db.put(rows, 0, 0, { timeoutMs: 1_000_000 })
  const nextMs = performance.now() - startedMs
  await db.close()
  const again = await openDatabase(directory)
  const found = again.db.count(again.rows)
  await again.db.close()
  return {
    'body, s': seconds(bodyMs),
    'commit, s': seconds(committedMs - bodyMs),
    'next commit after it, s': seconds(nextMs - committedMs),
    'rows after reopening': found,
    ...memory(),
  }
}

/**
 * Times `commits` of two reads and two writes, one after the other.
 * @param {{ db: Database, rows: Awaited<ReturnType<typeof openDatabase>>['rows'], keys: number }} on
 * @param {number} commits
 */
async function timeCommits({ db, rows, keys }, commits) {
  const times = new Float64Array(commits)
  const value = 'v'.repeat(100)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  for (let i = -5_000; i < commits; i++) {
    if (i === 0) delay.enable()
    const [a, b] = [Math.floor(Math.random() * keys), Math.floor(Math.random() * keys)]
    const startedMs = performance.now()
    await db.transaction(tx => {
      tx.get(rows, a)
      tx.get(rows, b)
      tx.put(rows, a, value)
      tx.put(rows, b, value)
    }, relaxed)
    if (i >= 0) times[i] = performance.now() - startedMs
    // As a program does that also listens to others.
    if (i % 100 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  delay.disable()
  return { ...quantiles(times), 'longest stall, ms': Math.round(delay.max / 1e6) }
}

/** @param {Float64Array} times */
function quantiles(times) {
  const sorted = times.toSorted()
  const at = (/** @type {number} */ q) => Math.round((sorted[Math.floor(q * (sorted.length - 1))] ?? 0) * 10_000) / 10
  return { 'median, µs': at(0.5), '99 %, µs': at(0.99) }
}

/**
 * @param {string} directory
 * @param {number} count
 */
async function byRows(directory, count) {
  const { db, rows } = await openDatabase(directory)
  const times = await timeCommits({ db, rows, keys: count }, 50_000)
  await db.close()
  return { rows: count, ...times, ...memory() }
}

/**
 * Every open transaction has a snapshot of its own: a commit lies between any two.
 * @param {string} directory
 * @param {number} count
 */
async function byTransactions(directory, count) {
  const { db, rows, engine } = await openDatabase(directory)
  const open = []
  for (let i = 0; i < count; i++) {
    const tx = db.begin({ timeoutMs: 1_000_000 })
    tx.get(rows, i)
    open.push(tx)
    await db.put(rows, 99_999, i, relaxed)
  }
  const times = await timeCommits({ db, rows, keys: 100_000 }, 50_000)
  const figures = { 'open transactions': count, ...times, 'pinned roots': engine.store.epochs.pinnedRoots, ...memory() }
  for (const tx of open) tx.abort()
  await db.close()
  return figures
}

/**
 * @param {string} directory
 * @param {boolean} held
 */
async function byVersions(directory, held) {
  const { db, rows, engine } = await openDatabase(directory)
  const old = held ? db.begin({ timeoutMs: 1_000_000 }) : undefined
  const before = old?.get(rows, 0)
  const commits = 100_000
  const times = new Float64Array(commits)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  let versions = 0
  for (let i = 0; i < commits; i++) {
    const startedMs = performance.now()
    await db.put(rows, i % 10, i, relaxed)
    times[i] = performance.now() - startedMs
    if (i % 100 === 0) await new Promise(resolve => setImmediate(resolve))
    if (i % 1_000 === 0) versions = Math.max(versions, longestChain(engine))
  }
  delay.disable()
  const tenth = commits / 10
  const startedMs = performance.now()
  for (let i = 0; i < 1_000; i++) if (old && old.get(rows, 0) !== before) throw new Error('The old snapshot has moved.')
  const oldReadMs = (performance.now() - startedMs) / 1_000
  const figures = {
    'held meanwhile': held ? 'an old snapshot' : 'nothing',
    'first tenth: median, µs': quantiles(times.subarray(0, tenth))['median, µs'],
    'last tenth: median, µs': quantiles(times.subarray(-tenth))['median, µs'],
    '99 %, µs': quantiles(times)['99 %, µs'],
    'longest stall, ms': Math.round(delay.max / 1e6),
    'longest chain': versions,
    'read at the old snapshot, µs': old ? Math.round(oldReadMs * 1e4) / 10 : '',
    ...memory(),
  }
  old?.abort()
  await db.close()
  return figures
}

/**
 * How long clients wait, and how long the event loop stands still, without a build and during one.
 * @param {string} directory
 * @param {number} clients
 */
async function buildIndex(directory, clients) {
  const { db, rows } = await openDatabase(directory)
  const on = (/** @type {unknown} */ value) => String(value).slice(0, 8)
  let over = false
  /** @returns {Promise<{ commits: number, longestMs: number, stallMs: number, times: number[] }>} */
  const writing = async () => {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    /** @type {number[]} */
    const times = []
    const client = async () => {
      while (!over) {
        const startedMs = performance.now()
        await db.put(rows, Math.floor(Math.random() * 1_000_000), `${Math.random()}`.padEnd(100, 'w'))
        times.push(performance.now() - startedMs)
      }
    }
    await Promise.all(Array.from({ length: clients }, client))
    delay.disable()
    return { commits: times.length, longestMs: times.reduce((longest, ms) => Math.max(longest, ms), 0), stallMs: delay.max / 1e6, times }
  }
  /** @param {Promise<unknown>} until */
  const during = async until => {
    over = false
    const startedMs = performance.now()
    const written = writing()
    await until
    over = true
    return { ...(await written), elapsedMs: performance.now() - startedMs }
  }
  const before = await during(new Promise(resolve => setTimeout(resolve, 5_000)))
  const indexed = db.table('rows', { key: ['number'], indexes: { byStart: { on } } })
  const building = await during(indexed.ready)
  const found = new Map(Array.from(db.range(indexed.indexes.byStart, { keysOnly: true }), ({ indexKey, key }) => [key, indexKey]))
  let wrong = 0
  for (const { key, value } of db.range(rows)) if (found.get(key) !== on(value)) wrong++
  const extra = found.size - db.count(rows)
  await db.close()
  const of = (/** @type {{ times: number[], longestMs: number, stallMs: number, commits: number, elapsedMs: number }} */ one) => ({
    'commits/s': perSecond(one.commits, one.elapsedMs),
    '99 %, ms': Math.round((one.times.toSorted((a, b) => a - b)[Math.floor(one.times.length * 0.99)] ?? 0) * 10) / 10,
    'longest commit, ms': Math.round(one.longestMs * 10) / 10,
    'longest stall, ms': Math.round(one.stallMs * 10) / 10,
  })
  const named = (/** @type {string} */ when, /** @type {Figures} */ figures) => Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${when}: ${name}`, value]))
  return {
    ...named('before', of(before)),
    'build, s': seconds(building.elapsedMs),
    ...named('building', of(building)),
    'entries wrong or missing': wrong + Math.abs(extra),
    ...memory(),
  }
}

/**
 * Versions of one key in the window.
 * @param {import('../../engine/attempt.js').Engine} engine
 */
function longestChain(engine) {
  const { window } = engine.store.epochs
  let longest = 0
  let key = window.keyFrom(/** @type {import('../../isolation/types.js').Key} */ (''))
  for (let keys = 0; key !== undefined && keys < 100; keys++) {
    let length = 0
    for (let version = window.newest(key); version !== undefined; version = version.older) length++
    longest = Math.max(longest, length)
    key = window.keyFrom(/** @type {import('../../isolation/types.js').Key} */ (`${key}\0`))
  }
  return longest
}
