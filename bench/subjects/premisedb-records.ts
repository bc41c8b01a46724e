/** PremiseDB with one table of records, through its public interface. */
import { recordLoadBatch, type Fields, type RecordSubject } from '../records.js'
import { open, row } from '../../engine/index.js'

const retries = { maxAttempts: 1_000, timeoutMs: 60_000 }

export const premisedbRecords: RecordSubject = {
  name: 'premisedb/serializable',
  settings:
    'level serializable, durability durable (loading relaxed), up to 1,000 attempts within 60 s, otherwise defaults; a row is one value of ten fields. Reads and scans see the newest acknowledged commit. Updates ' +
    'and inserts are blind puts, which never conflict, at serializable either; a modification reads and writes in one transaction',
  async open(directory) {
    const db = await open(directory)
    const records = db.table('records', { key: ['number'], schema: row<Fields>() })
    const put = (id: number, fields: Fields): Promise<void> => db.put(records, id, fields, { timeoutMs: retries.timeoutMs })
    return {
      async load(count, fieldsOf) {
        for (let from = 0; from < count; from += recordLoadBatch) {
          await db.transaction(
            tx => {
              for (let id = from; id < Math.min(from + recordLoadBatch, count); id++) tx.put(records, id, fieldsOf(id))
            },
            { durability: 'relaxed' },
          )
        }
      },
      read: id => db.get(records, id),
      scan: (from, limit) => db.range(records, { gte: from, limit }).toArray().map(({ value }) => value),
      update: put,
      insert: put,
      modify: (id, change) => db.transaction(tx => tx.put(records, id, change(tx.get(records, id)!)), retries),
      close: () => db.close(),
    }
  },
}
