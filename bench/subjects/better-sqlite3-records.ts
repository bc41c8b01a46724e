/** `better-sqlite3` with one table of records, each field a column. */
import { openSqlite } from './better-sqlite3.js'
import { fieldNames, recordLoadBatch, type Fields, type RecordSubject } from '../records.js'

export const betterSqlite3Records: RecordSubject = {
  name: 'better-sqlite3/full',
  settings: 'journal_mode = WAL, synchronous = FULL, prepared statements, ten columns, BEGIN IMMEDIATE for modifications, otherwise defaults; one operation at a time',
  async open(directory) {
    const db = openSqlite(directory, 'records.sqlite')
    const columns = fieldNames.join(', ')
    db.prepare(`CREATE TABLE IF NOT EXISTS records (id INTEGER PRIMARY KEY, ${fieldNames.map(name => `${name} TEXT NOT NULL`).join(', ')})`).run()
    const select = db.prepare(`SELECT ${columns} FROM records WHERE id = ?`)
    const range = db.prepare(`SELECT ${columns} FROM records WHERE id >= ? ORDER BY id LIMIT ?`)
    const change = db.prepare(`UPDATE records SET ${fieldNames.map(name => `${name} = ?`).join(', ')} WHERE id = ?`)
    const add = db.prepare(`INSERT INTO records (${columns}, id) VALUES (${[...fieldNames, 'id'].map(() => '?').join(', ')})`)
    const read = (id: number): Fields | undefined => select.get(id) as Fields | undefined
    const valuesOf = (fields: Fields): string[] => fieldNames.map(name => fields[name])
    const update = (id: number, fields: Fields): void => void change.run(...valuesOf(fields), id)
    const insert = (id: number, fields: Fields): void => void add.run(...valuesOf(fields), id)
    const insertMany = db.transaction((from: number, to: number, fieldsOf: (id: number) => Fields) => {
      for (let id = from; id < to; id++) insert(id, fieldsOf(id))
    })
    const modify = db.transaction((id: number, made: (fields: Fields) => Fields) => update(id, made(read(id)!)))
    return {
      async load(count, fieldsOf) {
        for (let from = 0; from < count; from += recordLoadBatch) insertMany(from, Math.min(from + recordLoadBatch, count), fieldsOf)
      },
      read,
      scan: (from, limit) => range.all(from, limit) as Fields[],
      update,
      insert,
      modify: (id, made) => modify.immediate(id, made),
      close: async () => db.close(),
    }
  },
}
