/**
 * Small commits whose effect is known exactly, and in which order they are made: after whatever happens a database must hold what some first of them have left, all that were acknowledged among
 * them. What is said of them, one line per event:
 *
 *     O DATABASE {"code":…}    what an opening came to; `null` where it succeeded
 *     F DATABASE […]           everything found after an opening; f DATABASE […] the same later on
 *     B DATABASE N             commit N is about to be made
 *     A DATABASE N             it was acknowledged; R where it was one that may still be lost; X DATABASE N {"code":…} it was not
 *     V DATABASE {"code":…}    a read failed
 *     K DATABASE {"code":…}    what closing came to; Q what compacting and closing came to
 *     U TEXT                   something did not come to an end in time
 *     N TEXT                   an error that nobody caught
 *     C                        done
 */
import { row, type BoundOf, type Database, type Table } from '../../engine/index.js'
import { digestOf } from './known-rows.js'

export type SmallKey = readonly [number, number]
export type SmallTable = Table<SmallKey, string, string, BoundOf<readonly ['number', 'number']>>
/** First and second part of the key, digest of the value. */
export type SmallRow = readonly [number, number, string]

const heads = 17
const largeTextLength = 9_000

export const smallTable = (db: Database): SmallTable => db.table('small', { key: ['number', 'number'], schema: row<string>() })

/** What commit `n` puts and deletes (undefined), whatever is there: one row that many commits write, rows of its own, and the end of an earlier one's. */
export function writesOf(n: number): readonly (readonly [SmallKey, string | undefined])[] {
  const writes: (readonly [SmallKey, string | undefined])[] = [[[0, n % heads], `commit ${n}`]]
  for (let i = 0; i < n % 4; i++) writes.push([[n, i], `part ${i} of ${n}, ${'.'.repeat((n * 31) % 150)}`])
  if (n % 9 === 0) writes.push([[n, 9], `${n} `.repeat(largeTextLength / 4)])
  if (n % 5 === 0) for (let i = 0; i < 10; i++) writes.push([[n - 7, i], undefined])
  return writes
}

export const rowsOf = (db: Database): readonly SmallRow[] => db.range(smallTable(db)).toArray().map(({ key: [n, i], value }) => [n, i, digestOf(value)])

/** What a commit has come to. `unknown`: it may be there. `shown`: it must be there, for somebody was told. `no`: it must not. */
type Fate = 'unknown' | 'shown' | 'no'

/** One database, as what was said makes it. */
export class SmallOracle {
  readonly #commits: { readonly n: number; fate: Fate; isRelaxed: boolean }[] = []
  readonly lost: string[] = []
  readonly partial: string[] = []
  readonly wrong: string[] = []
  acknowledged = 0

  begin(n: number): void {
    this.#commits.push({ n, fate: 'unknown', isRelaxed: false })
  }

  acknowledge(n: number): void {
    this.acknowledged++
    this.#set(n, 'shown')
  }

  acknowledgeRelaxed(n: number): void {
    this.#commits.find(commit => commit.n === n)!.isRelaxed = true
  }

  refuse(n: number): void {
    this.#set(n, 'no')
  }

  /** A database that was closed in order has everything on disk. */
  closed(): void {
    for (const commit of this.#commits) if (commit.isRelaxed) commit.fate = 'shown'
  }

  #set(n: number, fate: Fate): void {
    const commit = this.#commits.find(one => one.n === n)!
    // One that an opening has found to be there, or not to be, stays so.
    if (commit.fate === 'unknown') commit.fate = fate
    else if (commit.fate !== fate) this.wrong.push(`commit ${n} was said to be ${fate === 'no' ? 'refused' : 'made'} after it had been said not to be`)
  }

  /** Judges what an opening found (which then stays so), or a read showed. */
  judge(found: readonly SmallRow[], when: 'after an opening' | 'in a read'): void {
    const possible = this.#commits.filter(({ fate }) => fate !== 'no')
    const needed = possible.findLastIndex(({ fate }) => fate === 'shown') + 1
    const state = new Map(found.map(([head, part, digest]) => [`${head} ${part}`, digest]))
    const reached = prefixThatIs(state, possible)
    if (reached === undefined) this.#explain(state, found, when)
    else if (reached < needed) this.lost.push(`commit ${possible.slice(reached).find(({ fate }) => fate === 'shown')!.n} is gone ${when}: only the first ${reached} of ${needed} are there`)
    if (when === 'in a read') return
    for (const [i, commit] of possible.entries()) {
      commit.fate = i < (reached ?? needed) ? 'shown' : 'no'
      commit.isRelaxed = false
    }
  }

  #explain(state: ReadonlyMap<string, string>, found: readonly SmallRow[], when: string): void {
    const refused = prefixThatIs(state, this.#commits)
    if (refused !== undefined) {
      this.wrong.push(`commit ${this.#commits.slice(0, refused).findLast(({ fate }) => fate === 'no')!.n} is there ${when} though it was said not to be`)
      return
    }
    const last = found.filter(([head]) => head === 0).length
    this.partial.push(`${when} there are ${found.length} rows (${last} heads) that no first commits leave`)
  }
}

/** How many of the commits leave exactly these rows: the greatest number, where there are several. */
function prefixThatIs(found: ReadonlyMap<string, string>, commits: readonly { readonly n: number }[]): number | undefined {
  const rows = new Map<string, string>()
  let differing = found.size
  let reached = differing === 0 ? 0 : undefined
  for (const [i, { n }] of commits.entries()) {
    for (const [key, digest] of effectOf(n)) {
      if (rows.get(key) !== found.get(key)) differing--
      if (digest === undefined) rows.delete(key)
      else rows.set(key, digest)
      if (rows.get(key) !== found.get(key)) differing++
    }
    if (differing === 0) reached = i + 1
  }
  return reached
}

const effects = new Map<number, readonly (readonly [string, string | undefined])[]>()

function effectOf(n: number): readonly (readonly [string, string | undefined])[] {
  let effect = effects.get(n)
  if (effect === undefined) effects.set(n, (effect = writesOf(n).map(([[head, part], text]) => [`${head} ${part}`, text === undefined ? undefined : digestOf(text)])))
  return effect
}
