/** A database whose every row follows from a seed, so that whoever reads it can be told from outside what should be there. */
import { createHash } from 'node:crypto'
import { row, type BoundOf, type Database, type Table } from '../../engine/index.js'
import { Chance } from '../simulation/chance.js'

export type KnownKey = readonly [string, number]
type Write = readonly [key: KnownKey, value: string | undefined]

const shelves = ['alder', 'birch', 'cedar', 'elm', 'fir', 'oak', 'pine', 'rowan']
const rows = 1_600
const writesPerCommit = 20

/**
 * What is committed, transaction by transaction. The first phase ends with a clean close and is in the row file then, the second is in the log. The second ends with commits
 * of which nothing is asked: the last records of a log have no witness.
 */
export function commitsOf(seed: number, phase: 1 | 2): readonly (readonly Write[])[] {
  const chance = new Chance(seed * 2 + phase)
  const writes: Write[] = []
  if (phase === 1) for (let i = 0; i < rows; i++) writes.push([keyOf(i), textOf(chance)])
  for (let i = 0; i < rows / 2; i++) writes.push([keyOf(chance.below(rows)), chance.is(0.2) ? undefined : textOf(chance)])
  const commits: Write[][] = []
  for (let i = 0; i < writes.length; i += writesPerCommit) commits.push(writes.slice(i, i + writesPerCommit))
  return commits
}

const keyOf = (i: number): KnownKey => [shelves[i % shelves.length]!, i]

/** Some in pages of their own. */
function textOf(chance: Chance): string {
  const length = chance.is(0.02) ? chance.between(5_000, 20_000) : chance.between(10, 400)
  const word = chance.below(0x1_0000_0000).toString(36)
  return word.repeat(Math.ceil(length / word.length)).slice(0, length)
}

/** For each key, also of deleted rows, the digest of what a read must give: `null` where the row is absent. */
export function expectedDigests(seed: number, phases: 1 | 2): Map<string, string | null> {
  const digests = new Map<string, string | null>()
  for (const phase of ([1, 2] as const).slice(0, phases)) {
    for (const [key, value] of commitsOf(seed, phase).flat()) digests.set(key.join(' '), value === undefined ? null : digestOf(value))
  }
  return digests
}

export const digestOf = (value: unknown): string => createHash('sha1').update(JSON.stringify(value)).digest('base64').slice(0, 16)

export const knownKeys = (): readonly KnownKey[] => Array.from({ length: rows }, (_, i) => keyOf(i))

export type KnownTable = Table<KnownKey, string, string, BoundOf<readonly ['string', 'number']>>

export const knownTable = (db: Database): KnownTable => db.table('known', { key: ['string', 'number'], schema: row<string>() })

export async function commitKnown(db: Database, seed: number, phase: 1 | 2): Promise<void> {
  const table = knownTable(db)
  for (const writes of commitsOf(seed, phase)) {
    await db.transaction(tx => {
      for (const [key, value] of writes) {
        if (value === undefined) tx.delete(table, key)
        else tx.put(table, key, value)
      }
    })
  }
  if (phase === 1) return
  const unasked = db.table('unasked', { key: ['number'], schema: row<string>() })
  for (let i = 0; i < 3; i++) await db.put(unasked, i, 'nothing is asked of this row')
}

/** In the order of the table. */
export const sortedKeys = (): readonly KnownKey[] => knownKeys().toSorted(compareKeys)

export const compareKeys = (a: KnownKey, b: KnownKey): number => (a[0] === b[0] ? a[1] - b[1] : a[0] < b[0] ? -1 : 1)

/** Puts the same text into a stretch of the sorted keys, or deletes it. */
export interface Reshape {
  readonly from: number
  readonly to: number
  readonly text: string | null
}

/** Each in one transaction. */
export async function reshape(db: Database, changes: readonly Reshape[]): Promise<void> {
  const table = knownTable(db)
  const keys = sortedKeys()
  for (const { from, to, text } of changes) {
    await db.transaction(tx => {
      if (text !== null) for (const key of keys.slice(from, to)) tx.put(table, key, text)
      else if (from < to) tx.deleteRange(table, { gte: keys[from]!, lte: keys[to - 1]! })
    })
  }
}
