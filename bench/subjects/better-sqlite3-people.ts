/** `better-sqlite3` with indexes, synced at every commit. */
import { openSqlite, type Sqlite } from './better-sqlite3.js'
import type { IndexName, Person } from '../people.js'
import { numberOfIndexes, type PeopleReader, type PeopleSubject, type PeopleTx } from '../people-store.js'

const columns: Readonly<Record<IndexName, string>> = { byEmail: 'email', byPoints: 'points', byTeam: 'team, rank' }
const row = 'email, team, rank, points, changes, note'

export function betterSqlite3People(indexes: readonly IndexName[]): PeopleSubject {
  return {
    name: `better-sqlite3/${numberOfIndexes(indexes)}`,
    settings:
      'journal_mode = WAL, synchronous = FULL, prepared statements, BEGIN IMMEDIATE, otherwise defaults; one transaction at a time; reading in transactions; ' +
      `indexes: ${indexes.join(', ') || 'none'}`,
    indexes,
    async open(directory) {
      const db = openSqlite(directory, 'people.sqlite')
      db.prepare(
        'CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, email TEXT NOT NULL, team TEXT NOT NULL, rank INTEGER NOT NULL, points INTEGER NOT NULL, changes INTEGER NOT NULL, note TEXT NOT NULL)',
      ).run()
      for (const index of indexes) db.prepare(`CREATE ${index === 'byEmail' ? 'UNIQUE ' : ''}INDEX IF NOT EXISTS ${index} ON people (${columns[index]})`).run()
      const insert = db.prepare(`INSERT INTO people (${row}, id) VALUES (?, ?, ?, ?, ?, ?, ?)`)
      const insertAll = db.transaction((people: Iterable<readonly [number, Person]>) => {
        for (const [id, { email, team, rank, points, changes, note }] of people) insert.run(email, team, rank, points, changes, note, id)
      })
      const tx = txOf(db)
      const read = db.transaction((body: (reader: PeopleReader) => void) => body(tx))
      const write = db.transaction((body: (writer: PeopleTx) => void) => body(tx))
      return {
        load: async people => insertAll(people),
        read<T>(body: (reader: PeopleReader) => T): T {
          let result: { readonly value: T } | undefined
          read(reader => {
            result = { value: body(reader) }
          })
          return result!.value
        },
        write: body => write.immediate(body),
        close: async () => db.close(),
      }
    },
  }
}

type Found = Person & { readonly id: number }

function txOf(db: Sqlite): PeopleTx {
  const get = db.prepare(`SELECT ${row} FROM people WHERE id = ?`)
  const range = db.prepare(`SELECT id, ${row} FROM people WHERE id >= ? ORDER BY id LIMIT ?`)
  const byEmail = db.prepare(`SELECT ${row} FROM people WHERE email = ?`)
  const ofTeam = db.prepare(`SELECT id, ${row} FROM people WHERE team = ? ORDER BY rank, id`)
  const byPoints = db.prepare(`SELECT id, ${row} FROM people WHERE points >= ? ORDER BY points, id LIMIT ?`)
  const keys = db.prepare('SELECT id, points FROM people WHERE points >= ? ORDER BY points, id LIMIT ?')
  const put = db.prepare('UPDATE people SET email = ?, team = ?, rank = ?, points = ?, changes = ?, note = ? WHERE id = ?')
  // SQLite leaves an index alone when the statement names none of its columns.
  const putRank = db.prepare('UPDATE people SET rank = ?, changes = ? WHERE id = ?')
  return {
    get: id => get.get(id) as Person | undefined,
    range(from, limit, visit) {
      for (const found of range.all(from, limit) as Found[]) visit(found.id, found)
    },
    getByEmail: email => byEmail.get(email) as Person | undefined,
    rangeOfTeam(team, visit) {
      for (const found of ofTeam.all(team) as Found[]) visit(found.id, found)
    },
    rangeByPoints(from, limit, visit) {
      for (const found of byPoints.all(from, limit) as Found[]) visit(found.id, found)
    },
    keysByPoints(from, limit, visit) {
      for (const { id, points } of keys.all(from, limit) as { id: number; points: number }[]) visit(id, points)
    },
    entries: index =>
      db.prepare(`SELECT ${columns[index]}, id FROM people INDEXED BY ${index} ORDER BY ${columns[index]}, id`).raw().all() as (number | string)[][],
    put: (id, { email, team, rank, points, changes, note }) => void put.run(email, team, rank, points, changes, note, id),
    putRank: (id, { rank, changes }) => void putRank.run(rank, changes, id),
  }
}
