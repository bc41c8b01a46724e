/** Rows of about 1 KB, ten texts each, that say which row they are, how often they were modified and who wrote them; and what a workload needs of a store of such rows. */

export const fieldNames = ['field0', 'field1', 'field2', 'field3', 'field4', 'field5', 'field6', 'field7', 'field8', 'field9'] as const
export type Fields = Readonly<Record<(typeof fieldNames)[number], string>>

export interface RecordSubject {
  /** As results and ratios name it. */
  readonly name: string
  /** What was chosen where the store leaves a choice. */
  readonly settings: string
  open(directory: string): Promise<RecordStore>
}

/** Writes are on disk when they are done; synchronous stores are done when they return. */
export interface RecordStore {
  /** Fills an empty store with the rows 0 to `count - 1`. Afterwards close it: only then is everything where it will be after a restart. */
  load(count: number, fieldsOf: (id: number) => Fields): Promise<void>
  read(id: number): Fields | undefined
  /** The first rows from an id on. */
  scan(from: number, limit: number): readonly Fields[]
  /** Writes the whole row, there or not, without reading it. */
  update(id: number, fields: Fields): Promise<void> | void
  insert(id: number, fields: Fields): Promise<void> | void
  /** Reads the row and writes what `change` makes of it, in one transaction. */
  modify(id: number, change: (fields: Fields) => Fields): Promise<void> | void
  close(): Promise<void>
}

/** Rows that `load` puts in a transaction. */
export const recordLoadBatch = 1_000

const fieldLength = 100
/** A field is one of so many texts. */
const texts = 1_021
const filler = Array.from({ length: texts }, (_, i) => {
  let text = ''
  for (let word = i + 1; text.length < fieldLength; word = (Math.imul(word, 0x9e37_79b1) >>> 0) + 1) text += word.toString(36)
  return text.slice(0, fieldLength)
})

/** What the first field says. */
export interface Stamp {
  readonly id: number
  /** The operation that wrote the row; 0 for the one that loaded it. */
  readonly writer: number
  /** How often it was modified since it was written. */
  readonly modified: number
}

export function fieldsOf({ id, writer, modified }: Stamp): Fields {
  const text = (field: number): string => filler[(id + 31 * writer + 7 * modified + field) % texts]!
  return {
    field0: `${id} ${writer} ${modified}`.padEnd(fieldLength),
    field1: text(1),
    field2: text(2),
    field3: text(3),
    field4: text(4),
    field5: text(5),
    field6: text(6),
    field7: text(7),
    field8: text(8),
    field9: text(9),
  }
}

/** Throws where the row is not as `fieldsOf` made it. */
export function stampOf(fields: Fields): Stamp {
  const [id = NaN, writer = NaN, modified = NaN] = fields.field0.trimEnd().split(' ').map(Number)
  const stamp = { id, writer, modified }
  const expected = fieldsOf(stamp)
  for (const name of fieldNames) if (fields[name] !== expected[name]) throw new Error(`Row ${id} differs in ${name}.`)
  return stamp
}
