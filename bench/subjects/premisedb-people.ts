/** PremiseDB with indexes, through its public interface. */
import { indexNames, type IndexName, type Person } from '../people.js'
import { numberOfIndexes, type PeopleStore, type PeopleSubject, type PeopleTx, type Visit } from '../people-store.js'
import { open, row, type Database, type Transaction } from '../../engine/index.js'

/** Rows put per transaction while filling. */
const loadBatch = 10_000

const definitions = {
  byEmail: { on: (person: Person) => person.email, unique: true },
  byPoints: { on: (person: Person) => person.points },
  byTeam: { on: (person: Person) => [person.team, person.rank] },
} as const satisfies Record<IndexName, unknown>

/** At level serializable, durable. */
export function premisedbPeople(indexes: readonly IndexName[]): PeopleSubject {
  return {
    name: `premisedb/${numberOfIndexes(indexes)}`,
    settings: `level serializable, durability durable, otherwise defaults; reading in read-only transactions; indexes: ${indexes.join(', ') || 'none'}`,
    indexes,
    async open(directory) {
      const db = await open(directory, { durability: 'durable' })
      const people = tableOf(db, indexes)
      await people.ready
      return new Store(db, people)
    },
  }
}

type People = ReturnType<typeof tableOf>

function tableOf(db: Database, indexes: readonly IndexName[]) {
  const wanted = Object.fromEntries(indexNames.filter(name => indexes.includes(name)).map(name => [name, definitions[name]]))
  // Typed as if all were there: a workload reads no index that its subject has not.
  return db.table('people', { key: ['number'], schema: row<Person>(), indexes: wanted as typeof definitions })
}

class Store implements PeopleStore {
  readonly #db: Database
  readonly #people: People

  constructor(db: Database, people: People) {
    this.#db = db
    this.#people = people
  }

  async load(rows: Iterable<readonly [number, Person]>): Promise<void> {
    const all = [...rows]
    for (let from = 0; from < all.length; from += loadBatch) {
      await this.#db.transaction(tx => {
        for (const [id, person] of all.slice(from, from + loadBatch)) tx.put(this.#people, id, person)
      })
    }
  }

  read<T>(body: (tx: PeopleTx) => T): Promise<T> {
    return this.#db.transaction(tx => body(new Tx(tx, this.#people)), { readOnly: true })
  }

  write(body: (tx: PeopleTx) => void): Promise<void> {
    return this.#db.transaction(tx => body(new Tx(tx, this.#people)))
  }

  close(): Promise<void> {
    return this.#db.close()
  }
}

class Tx implements PeopleTx {
  readonly #tx: Transaction
  readonly #people: People

  constructor(tx: Transaction, people: People) {
    this.#tx = tx
    this.#people = people
  }

  get(id: number): Person | undefined {
    return this.#tx.get(this.#people, id)
  }

  range(from: number, limit: number, visit: Visit): void {
    for (const { key, value } of this.#tx.range(this.#people, { gte: from, limit })) visit(key, value)
  }

  getByEmail(email: string): Person | undefined {
    return this.#tx.get(this.#people.indexes.byEmail, email)?.value
  }

  rangeOfTeam(team: string, visit: Visit): void {
    for (const { key, value } of this.#tx.range(this.#people.indexes.byTeam, { prefix: [team] })) visit(key, value)
  }

  rangeByPoints(from: number, limit: number, visit: Visit): void {
    for (const { key, value } of this.#tx.range(this.#people.indexes.byPoints, { gte: from, limit })) visit(key, value)
  }

  keysByPoints(from: number, limit: number, visit: (id: number, points: number) => void): void {
    for (const { key, indexKey } of this.#tx.range(this.#people.indexes.byPoints, { gte: from, limit, keysOnly: true })) visit(key, indexKey)
  }

  *entries(index: IndexName): Generator<(number | string)[]> {
    const { byEmail, byPoints, byTeam } = this.#people.indexes
    const keysOnly = { keysOnly: true } as const
    const entries = {
      byEmail: () => this.#tx.range(byEmail, keysOnly),
      byPoints: () => this.#tx.range(byPoints, keysOnly),
      byTeam: () => this.#tx.range(byTeam, keysOnly),
    }
    for (const { key, indexKey } of entries[index]()) yield [indexKey, key].flat()
  }

  put(id: number, person: Person): void {
    this.#tx.put(this.#people, id, person)
  }

  putRank(id: number, person: Person): void {
    this.#tx.put(this.#people, id, person)
  }
}
