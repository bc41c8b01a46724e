/** Salvaging what chance has damaged: nothing comes back that was not written, or was replaced or deleted, and whatever is missing is covered by the report. `SALVAGE_SEED` and `SALVAGE_ROUNDS` play others. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Database as DatabaseClass } from '../../engine/database.js'
import { check, open, row, salvage, type SalvageFinding, type SalvageReport } from '../../engine/index.js'
import { openEngine } from '../../engine/open.js'
import { Chance } from '../simulation/chance.js'
import { scratchDirectory } from '../support/databases.js'
import { endOfRecords, pageSizeBytes, randomBytes } from '../torture/broken-bytes.js'
import { commitsOf, compareKeys, digestOf, knownKeys, knownTable, type KnownKey } from '../torture/known-rows.js'

const seed = Number(process.env['SALVAGE_SEED'] ?? 1)
const rounds = Number(process.env['SALVAGE_ROUNDS'] ?? 40)

/** What a row held from which commit on; `null` where it was deleted. */
type History = Map<string, { readonly ts: number; readonly digest: string | null }[]>

interface Made {
  readonly files: ReadonlyMap<string, Buffer>
  readonly history: History
}

/** Closed, and while its newest commits were in the log only. Limits so small that pages are written over and over. */
let closed: Made
let running: Made

beforeAll(async () => {
  const directory = scratchDirectory()
  const history: History = new Map()
  const limits = { windowCheckpointSizeBytes: 60_000, stepSizeBytes: 20_000, segmentSizeBytes: 60_000, logReserveSizeBytes: 8_192 }
  const play = async (db: DatabaseClass, phase: 1 | 2): Promise<void> => {
    const table = knownTable(db)
    for (const writes of commitsOf(seed, phase)) {
      await db.transaction(tx => {
        for (const [key, value] of writes) {
          if (value === undefined) tx.delete(table, key)
          else tx.put(table, key, value)
        }
      })
      const ts = db.stats().visibleTs
      const digests = new Map(writes.map(([key, value]) => [key.join(' '), value === undefined ? null : digestOf(value)]))
      for (const [name, digest] of digests) history.set(name, [...(history.get(name) ?? []), { ts, digest }])
    }
  }
  const first = new DatabaseClass(openEngine(directory, {}, { limits }))
  await play(first, 1)
  await first.close()
  closed = { files: filesIn(directory), history: new Map(history) }
  const second = new DatabaseClass(openEngine(directory, {}, { limits }))
  await play(second, 2)
  running = { files: filesIn(directory), history }
  await second.close()
})

function filesIn(directory: string): Map<string, Buffer> {
  const names = (fs.readdirSync(directory, { recursive: true }) as string[]).filter(name => fs.statSync(join(directory, name)).isFile() && !name.endsWith('-lock'))
  return new Map(names.map(name => [name, fs.readFileSync(join(directory, name))]))
}

/** Changes the first `end` bytes, or returns to where the file is cut. */
type Damage = (bytes: Buffer, end: number, chance: Chance) => number | void

const pageAt = (end: number, chance: Chance): number => pageSizeBytes * chance.below(Math.ceil(end / pageSizeBytes))
const flip = (bytes: Buffer, at: number, chance: Chance): void => void (bytes[at]! ^= 1 << chance.below(8))

const damages: readonly Damage[] = [
  (bytes, end, chance) => flip(bytes, chance.below(end), chance),
  (bytes, end, chance) => {
    for (let i = 0; i < 8; i++) flip(bytes, chance.below(end), chance)
  },
  // In the head of a page, where its keys are listed.
  (bytes, end, chance) => flip(bytes, Math.min(end - 1, pageAt(end, chance) + chance.below(200)), chance),
  (bytes, end, chance) => {
    const at = pageAt(end, chance)
    bytes.fill(0, at, Math.min(bytes.length, at + pageSizeBytes * chance.between(1, 6)))
  },
  (bytes, end, chance) => {
    const [at, from] = [pageAt(end, chance), pageAt(end, chance)]
    for (let sector = 0; sector < pageSizeBytes; sector += 512) if (chance.is(0.5)) bytes.copyWithin(at + sector, from + sector, from + sector + 512)
  },
  (bytes, end, chance) => {
    const [one, two] = [pageAt(end, chance), pageAt(end, chance)]
    const kept = Buffer.from(bytes.subarray(one, one + pageSizeBytes))
    bytes.copyWithin(one, two, two + pageSizeBytes)
    if (chance.is(0.5)) kept.copy(bytes, two)
  },
  (bytes, end, chance) => {
    const at = chance.below(end)
    randomBytes(chance, 3_000).copy(bytes, at, 0, Math.min(chance.between(1, 3_000), end - at))
  },
  bytes => void bytes.fill(0, 0, Math.min(bytes.length, 2 * pageSizeBytes)),
  (_, end, chance) => chance.below(end),
]

/** Lays out a damaged copy. Returns whether the end of the log was hit: that cannot always be told from commits that were never synced. */
function damagedCopy({ files }: Made, chance: Chance, directory: string): boolean {
  const changed = new Map([...files].map(([name, bytes]) => [name, Buffer.from(bytes)]))
  const logs = [...files.keys()].filter(name => name.endsWith('.log')).toSorted()
  let endIsHit = false
  for (let i = chance.is(0.6) ? 1 : chance.between(2, 4); i > 0; i--) {
    const name = chance.is(0.3) ? chance.of(logs) : 'rows.lmdb'
    const bytes = changed.get(name)!
    const before = Buffer.from(bytes)
    const end = name === 'rows.lmdb' ? bytes.length : endOfRecords(bytes)
    if (end === 0) continue
    const cut = chance.of(damages)(bytes, end, chance)
    if (typeof cut === 'number') changed.set(name, bytes.subarray(0, cut))
    const reach = bytes.findLastIndex((byte, at) => byte !== before[at])
    if (name === logs.at(-1) && (typeof cut === 'number' || reach > end - 1_000)) endIsHit = true
  }
  for (const [name, bytes] of changed) {
    fs.mkdirSync(join(directory, name, '..'), { recursive: true })
    fs.writeFileSync(join(directory, name), bytes)
  }
  return endIsHit
}

async function rowsIn(directory: string, tableName: string | undefined): Promise<Map<string, string>> {
  const db = await open(directory)
  const table = tableName === undefined ? undefined : db.table(tableName, { key: ['string', 'number'], schema: row<string>() })
  const found = new Map(Array.from(table ? db.range(table) : [], ({ key, value }) => [key.join(' '), digestOf(value)]))
  await db.close()
  return found
}

function covers({ part, table, key, range }: SalvageFinding, name: string, sought: KnownKey): boolean {
  if (part === 'counts' && table === name) return true
  if (part === 'rows' && table === name && Array.isArray(key)) return compareKeys(key as unknown as KnownKey, sought) === 0
  if (range === undefined) return false
  const bound = (one: typeof range.from): KnownKey | undefined => (one?.table === name ? (one.key as KnownKey | undefined) : undefined)
  const [from, to] = [bound(range.from), bound(range.to)]
  return (from === undefined || compareKeys(from, sought) <= 0) && (to === undefined || compareKeys(sought, to) < 0)
}

const isLost = ({ lostCommits, droppedTail }: SalvageReport, ts: number): boolean => droppedTail !== undefined || lostCommits.some(({ from, to }) => ts >= from && (to === undefined || ts <= to))

test(`whatever is damaged: no row has a wrong value, and what is missing is covered (${rounds} rounds)`, { timeout: 30_000 + rounds * 3_000 }, async () => {
  const scratch = scratchDirectory()
  let complete = 0
  let missing = 0
  for (let round = 0; round < rounds; round++) {
    const chance = new Chance(seed * 100_000 + round)
    const made = chance.is(0.5) ? closed : running
    const [path, out] = [join(scratch, `data-${round}`), join(scratch, `out-${round}`)]
    const endIsHit = damagedCopy(made, chance, path)
    const report = await salvage(path, out)
    expect((await check(out)).findings, `round ${round}`).toEqual([])
    const name = report.tables.find(({ key }) => JSON.stringify(key) === '["string","number"]')?.name
    const found = await rowsIn(out, name)
    for (const key of knownKeys()) {
      const history = made.history.get(key.join(' ')) ?? []
      const [newest, is] = [history.at(-1), found.get(key.join(' ')) ?? null]
      if (newest === undefined || newest.digest === is) continue
      const commitIsLost = endIsHit || isLost(report, newest.ts)
      const about = `round ${round}, row ${key.join(' ')}: ${JSON.stringify(report.findings.slice(0, 5))}`
      if (is === null) {
        missing++
        expect(commitIsLost || name === undefined || report.findings.some(finding => covers(finding, name, key)), `nothing says that it is missing: ${about}`).toBe(true)
      } else {
        expect(history.some(({ digest }) => digest === is), `it never had this value: ${about}`).toBe(true)
        expect(commitIsLost, `it has an outdated value: ${about}`).toBe(true)
      }
    }
    expect([...found.keys()].filter(key => !made.history.has(key)), `round ${round}`).toEqual([])
    if (report.complete) complete++
    fs.rmSync(path, { recursive: true })
    fs.rmSync(out, { recursive: true })
  }
  expect(complete).toBeLessThan(rounds)
  expect(missing).toBeGreaterThan(0)
})
