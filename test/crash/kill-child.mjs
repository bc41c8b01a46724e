/**
 * A writer that is killed. Opens the directory, says what it finds there, then writes with many clients at once until somebody ends the process. What it
 * reports of acknowledged commits goes through one write call per commit to a file, which outlives the process.
 *
 *     node kill-child.mjs DIRECTORY REPORT SEED MODE
 *
 * Every transaction has a token. Its row in `left` says how many rows it has in `right`; a client's row in `progress` says its newest token. Reports, one per line:
 *
 *     F {"left":[…],"right":[…],…}     everything found at open, before the first write
 *     A TOKEN DELETED NUMBER CLIENT    transaction TOKEN was acknowledged; it deleted that of DELETED (or -), and is the client's NUMBERth
 *
 * MODE `honest` reports after the promise has resolved. The others are for the control, and must be caught: `early` reports a moment before anything is written, and
 * `relaxed` takes the acknowledgement of a relaxed commit for that of a durable one.
 */
import { openSync, writeSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

export const clients = 32
export const accounts = 48
export const startBalance = 1_000

/** @typedef {import('../../engine/database.js').Database} Database */
/** @typedef {{ rights: number, deletes: string, padding: string }} Left */
/** @typedef {{ token: string }} Right */
/** @template T @typedef {import('@standard-schema/spec').StandardSchemaV1<T, T>} Schema */

/** @param {string[]} args */
async function main([directory, report, seed, mode]) {
  if (directory === undefined || report === undefined) throw new Error('kill-child.mjs DIRECTORY REPORT SEED MODE')
  const { Database, openEngine } = await builtEngine()
  const reportFd = openSync(report, 'a')
  /** @param {string} line */
  const say = line => void writeSync(reportFd, `${line}\n`)
  const durability = mode === 'relaxed' ? 'relaxed' : 'durable'
  const db = new Database(openEngine(directory, { durability }, { limits: smallLimits }))
  const tables = tablesOf(db)
  const found = stateOf(db, tables)
  say(`F ${JSON.stringify(found)}`)
  if (found.balances.length === 0) {
    await db.transaction(tx => {
      for (let i = 0; i < accounts; i++) tx.put(tables.accounts, i, startBalance)
    })
  }
  const random = seeded(Number(seed))
  const run = `${Date.now().toString(36)}${Math.floor(random() * 1e6).toString(36)}`
  await Promise.all(Array.from({ length: clients }, (_, client) => writeForever({ db, tables, say, random, run, client, early: mode === 'early' }, found)))
}

/** So small that checkpoints, rotation and trimming of the log go on all the time. */
export const smallLimits = {
  windowCheckpointSizeBytes: 300_000,
  windowSizeBytes: 1_000_000,
  segmentSizeBytes: 200_000,
  logReserveSizeBytes: 16_384,
  logCheckpointSizeBytes: 500_000,
  checkpointAgeMs: 100,
  stepSizeBytes: 40_000,
  stepMs: 2,
}

/** The engine as it is built: a child process has no compiler. @returns {Promise<typeof import('../../engine/database.js') & typeof import('../../engine/open.js')>} */
async function builtEngine() {
  const built = new URL('../../dist/engine/', import.meta.url)
  return { ...(await import(new URL('database.js', built).href)), ...(await import(new URL('open.js', built).href)) }
}

/** @type {Schema<any>} */
const anyRow = { '~standard': { version: 1, vendor: 'test', validate: value => ({ value }) } }

/** @param {Database} db */
export function tablesOf(db) {
  return {
    left: db.table('left', { key: ['string'], schema: /** @type {Schema<Left>} */ (anyRow) }),
    right: db.table('right', { key: ['string', 'number'], schema: /** @type {Schema<Right>} */ (anyRow) }),
    progress: db.table('progress', { key: ['number'], schema: /** @type {Schema<number>} */ (anyRow) }),
    accounts: db.table('accounts', { key: ['number'], schema: /** @type {Schema<number>} */ (anyRow) }),
  }
}

/**
 * Everything in the database, as the harness judges it.
 * @param {Database} db
 * @param {ReturnType<typeof tablesOf>} tables
 */
export function stateOf(db, tables) {
  return {
    left: db.range(tables.left).toArray().map(({ key, value }) => /** @type {const} */ ([key, value.rights, value.deletes])),
    right: db.range(tables.right).toArray().map(({ key: [token, i], value }) => /** @type {const} */ ([token, i, value.token])),
    progress: db.range(tables.progress).toArray().map(({ key, value }) => /** @type {const} */ ([key, value])),
    balances: db.range(tables.accounts).toArray().map(({ value }) => value),
  }
}

/** @typedef {ReturnType<typeof stateOf>} State */

/**
 * @typedef {{
 *   db: Database, tables: ReturnType<typeof tablesOf>, say: (line: string) => void, random: () => number, run: string, client: number, early: boolean
 * }} Writer
 */

/**
 * @param {Writer} writer
 * @param {State} found
 */
async function writeForever(writer, found) {
  const { db, tables, say, random, run, client } = writer
  /** Tokens that this client alone may delete. */
  const own = found.left.map(([token]) => token).filter(token => hash(token) % clients === client)
  let number = found.progress.find(([of]) => of === client)?.[1] ?? 0
  for (;;) {
    const token = tokenFor(client, `${run}-${++number}`)
    const deleted = own.length > 0 && random() < (own.length > 40 ? 0.7 : 0.3) ? own.splice(Math.floor(random() * own.length), 1)[0] : undefined
    const line = `A ${token} ${deleted ?? '-'} ${number} ${client}`
    const body = bodyOf({ tables, random, token, deleted, number, client })
    if (writer.early) {
      say(line)
      await new Promise(resolve => setTimeout(resolve, random() * 20))
    }
    if (random() < 0.02) db.transactionSync(body)
    else await db.transaction(body, { maxAttempts: 1_000, timeoutMs: 60_000 })
    if (!writer.early) say(line)
    own.push(token)
  }
}

/** @param {{ tables: ReturnType<typeof tablesOf>, random: () => number, token: string, deleted: string | undefined, number: number, client: number }} work */
function bodyOf({ tables, random, token, deleted, number, client }) {
  const rights = Math.floor(random() * 4)
  const padding = random() < 0.02 ? 'p'.repeat(30_000) : 'p'.repeat(random() * 200)
  const [from, to] = [Math.floor(random() * accounts), Math.floor(random() * accounts)]
  const transfers = random() < 0.3
  const byRange = random() < 0.5
  /** @param {import('../../engine/transaction.js').Transaction} tx */
  return tx => {
    tx.insert(tables.left, token, { rights, deletes: deleted ?? '-', padding })
    if (deleted !== undefined) {
      const had = tx.get(tables.left, deleted)?.rights ?? 0
      tx.delete(tables.left, deleted)
      if (byRange) tx.deleteRange(tables.right, { prefix: [deleted] })
      else for (let i = 0; i < had; i++) tx.delete(tables.right, [deleted, i])
    }
    if (transfers) {
      tx.update(tables.accounts, from, balance => balance - 7)
      tx.update(tables.accounts, to, balance => balance + 7)
    }
    for (let i = 0; i < rights; i++) tx.put(tables.right, [token, i], { token })
    tx.put(tables.progress, client, number)
  }
}

/**
 * A token whose hash says whose it is, so that after a restart the same client goes on with it.
 * @param {number} client
 * @param {string} stem
 */
function tokenFor(client, stem) {
  for (let i = 0; ; i++) if (hash(`${stem}-${i}`) % clients === client) return `${stem}-${i}`
}

/** @param {string} text */
function hash(text) {
  let h = 2_166_136_261
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16_777_619)
  return (h ^ (h >>> 15)) >>> 0
}

/**
 * Numbers in [0, 1) that follow from the seed (mulberry32).
 * @param {number} seed
 */
export function seeded(seed) {
  let a = seed >>> 0
  return () => {
    a = (a + 0x6d2b79f5) >>> 0
    let t = Math.imul(a ^ (a >>> 15), a | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.slice(2))
