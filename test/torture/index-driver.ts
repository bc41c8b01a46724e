/**
 * The process of the family index-build: fills a table, or builds three indexes over it while eight clients write, or says what is there.
 *
 *     node index-driver.js TASK        TASK is JSON
 *
 *     B key n       a client is about to write version n of the row
 *     A key n       that is acknowledged; n is -1 where the row was deleted
 *     I             the indexes are declared, clients write
 *     R ms          the indexes are ready; the longest time that a commit took meanwhile
 *     S …           what is there, as JSON: `Found`
 *     C             done
 */
import * as fs from 'node:fs'
import { open, row, type Database, type Index } from '../../engine/index.js'
import { Chance } from '../simulation/chance.js'

export interface IndexTask {
  readonly command: 'fill' | 'build' | 'look'
  readonly directory: string
  readonly report: string
  readonly rows: number
  readonly seed: number
  /** Versions are numbered from here on, so that no two processes write one number. */
  readonly from: number
}

/** What a process found that had the database to itself. */
export interface Found {
  /** Of each key the version, for those above `version` 0. */
  readonly versions: Readonly<Record<string, number>>
  readonly rows: number
  /** Sentences about what is not as it must be. */
  readonly wrong: readonly string[]
}

interface Item {
  readonly version: number
  readonly group: string
  readonly code?: string
  readonly tags: readonly number[]
}

export const clients = 8
const groups = 1_000
const fillRows = 2_000

const task = JSON.parse(process.argv[2] ?? 'null') as IndexTask
const fd = fs.openSync(task.report, 'a')
const say = (line: string): void => void fs.writeSync(fd, `${line}\n`)

/** What the indexes hold of an item follows from its version and key. */
const itemOf = (key: number, version: number): Item => ({
  version,
  group: `g${(key * 31 + version * 7) % groups}`,
  ...((key + version) % 10 !== 0 && { code: `${key}:${version}` }),
  tags: Array.from({ length: (key + version) % 4 }, (_, i) => (key + version + i * 3) % 50),
})

const tableWithIndexes = (db: Database) =>
  db.table('items', {
    key: ['number'],
    schema: row<Item>(),
    indexes: {
      byGroup: { on: item => [item.group, item.version] },
      byCode: { on: item => item.code, unique: true },
      byTag: { on: item => item.tags, many: true },
    },
  })

async function fill(db: Database): Promise<void> {
  const table = db.table('items', { key: ['number'], schema: row<Item>() })
  for (let from = 0; from < task.rows; from += fillRows) {
    const body = (tx: Parameters<Parameters<Database['transaction']>[0]>[0]): void => {
      for (let key = from; key < Math.min(from + fillRows, task.rows); key++) tx.put(table, key, itemOf(key, 0))
    }
    await db.transaction(body, { durability: 'relaxed' })
  }
}

/** Each client has keys of its own, so that what it was told last is what must be there. */
async function writeUntil(db: Database, table: ReturnType<typeof tableWithIndexes>, client: number, isOver: () => boolean): Promise<number> {
  const chance = new Chance(task.seed + client)
  let version = task.from
  let longestMs = 0
  while (!isOver()) {
    const key = chance.below(Math.ceil(task.rows / clients)) * clients + client
    const deletes = chance.is(0.1)
    const next = deletes ? -1 : ++version
    say(`B ${key} ${next}`)
    const startedMs = performance.now()
    await (deletes ? db.delete(table, key) : db.put(table, key, itemOf(key, next)))
    longestMs = Math.max(longestMs, performance.now() - startedMs)
    say(`A ${key} ${next}`)
  }
  return longestMs
}

async function build(db: Database): Promise<void> {
  const table = tableWithIndexes(db)
  say('I')
  let over = false
  const writing = Promise.all(Array.from({ length: clients }, (_, client) => writeUntil(db, table, client, () => over)))
  await table.ready
  over = true
  say(`R ${Math.max(...(await writing)).toFixed(1)}`)
}

/** Every index against every row, without asking the engine what belongs together. */
async function look(db: Database): Promise<Found> {
  const table = tableWithIndexes(db)
  await table.ready
  const wrong: string[] = []
  const versions: Record<string, number> = {}
  const expected = { byGroup: new Set<string>(), byCode: new Set<string>(), byTag: new Set<string>() }
  let rows = 0
  for (const { key, value } of db.range(table)) {
    rows++
    if (value.version !== 0) versions[key] = value.version
    expected.byGroup.add(JSON.stringify([[value.group, value.version], key]))
    if (value.code !== undefined) expected.byCode.add(JSON.stringify([value.code, key]))
    for (const tag of value.tags) expected.byTag.add(JSON.stringify([tag, key]))
  }
  for (const name of ['byGroup', 'byCode', 'byTag'] as const) {
    let found = 0
    const index: Index<unknown, number, Item, unknown> = table.indexes[name]
    for (const { indexKey, key } of db.range(index, { keysOnly: true })) {
      found++
      const entry = JSON.stringify([indexKey, key])
      if (!expected[name].delete(entry)) wrong.push(`${name} has ${entry}, which no row has`)
    }
    for (const entry of expected[name]) wrong.push(`${name} lacks ${entry} (${found} entries)`)
  }
  const { sound, findings } = await db.check()
  if (!sound) wrong.push(`db.check() found ${JSON.stringify(findings[0])}`)
  return { versions, rows, wrong: wrong.slice(0, 20) }
}

const db = await open(task.directory)
if (task.command === 'fill') await fill(db)
else if (task.command === 'build') await build(db)
else say(`S ${JSON.stringify(await look(db))}`)
await db.close()
say('C')
