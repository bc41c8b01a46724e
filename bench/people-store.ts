/** What a workload about indexes needs of a store. Rows are handed to visitors, so that no adapter has to make objects that its store did not. */
import type { IndexName, Person } from './people.js'

export interface PeopleSubject {
  /** As results and ratios name it. */
  readonly name: string
  /** What was chosen where the store leaves a choice. */
  readonly settings: string
  /** Those that its table has. No other may be read. */
  readonly indexes: readonly IndexName[]
  /** Opens what is in the directory, or makes it. */
  open(directory: string): Promise<PeopleStore>
}

export interface PeopleStore {
  /** Fills an empty store. Afterwards close it: only then is everything where it will be after a restart. */
  load(people: Iterable<readonly [id: number, person: Person]>): Promise<void>
  /** A transaction that only reads. */
  read<T>(body: (tx: PeopleReader) => T): Promise<T> | T
  /** A durable transaction. */
  write(body: (tx: PeopleTx) => void): Promise<void> | void
  /** Returns when everything is on disk and the files are closed. */
  close(): Promise<void>
}

export type Visit = (id: number, person: Person) => void

export interface PeopleReader {
  get(id: number): Person | undefined
  /** The first rows of the table from a key on. */
  range(from: number, limit: number, visit: Visit): void
  /** Through `byEmail`. */
  getByEmail(email: string): Person | undefined
  /** All of a team through `byTeam`, by rank. */
  rangeOfTeam(team: string, visit: Visit): void
  /** The first rows from these points on, through `byPoints`. */
  rangeByPoints(from: number, limit: number, visit: Visit): void
  /** The same without the rows. */
  keysByPoints(from: number, limit: number, visit: (id: number, points: number) => void): void
  /** All that an index holds, in its order, as `entriesOf` has it. */
  entries(index: IndexName): Iterable<readonly (number | string)[]>
}

export interface PeopleTx extends PeopleReader {
  /** Writes a row in place of the one that is there. */
  put(id: number, person: Person): void
  /** The same for who knows that only rank and number of changes are others. */
  putRank(id: number, person: Person): void
}

/** As the names of subjects say how many indexes they have. */
export const numberOfIndexes = (indexes: readonly IndexName[]): string => (indexes.length === 1 ? '1-index' : `${indexes.length}-indexes`)
