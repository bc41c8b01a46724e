/**
 * Index entries: keys of the one keyspace, so that an index range is a key range. The index key is a nested tuple, whose elements are of any type; the row's key follows.
 *
 *     plain    index id + 0x80 + index key + 0x00 + elements of the row's key + 0x00     value: null
 *     unique   index id + 0x80 + index key + 0x00 + 0x00                                 value: the elements of the row's key + 0x00, as bytes
 *
 *   I-1  Byte order is the order of index keys, and of row keys among equal ones. All entries of one index key begin with its start (`indexKeyStart`), and nothing else does.
 *   I-2  The start of a tuple sorts before the starts of its extensions, with all that begins with it: no element begins with 0x00.
 *   I-3  An entry decodes as a key (K-1 to K-5 hold), and its value as a value: whatever walks over rows can walk over entries.
 */
import { asKey, type Key, type KeyRange } from '../../isolation/types.js'
import { UsageError } from '../errors.js'
import { corruptKey, ElementReader, encodeBeginning, encodeElement, keySizeLimitBytes, keyTooLarge, tag, terminator, typeOfElement, type KeyElement } from './key-elements.js'
import { afterAllThatBeginWith } from './keys.js'
import { decodeValue, encodeValue } from './values.js'

/** What one index key's entries begin with. */
export type IndexKeyStart = string & { readonly '~brand': 'IndexKeyStart' }

const tagTuple = String.fromCharCode(tag.tuple)
/** Above every entry of one index key, below those of its extensions (I-2). */
const afterStart = '\xff'

/**
 * @param prefix the index's, from `tablePrefix`
 * @param key one element, or an array of them; `undefined` elements and others that can be in no key throw `INVALID_KEY`
 * @throws LimitError KEY_TOO_LARGE
 */
export const indexKeyStart = (prefix: string, key: unknown): IndexKeyStart => limited(prefix + tagTuple + encodeElements(key) + terminator) as string as IndexKeyStart

/** The entry of a plain index for the row with `rowKey`. In a unique index, what stands for it in a transaction that has not committed. Throws `KEY_TOO_LARGE`. */
export const plainEntry = (start: IndexKeyStart, rowKey: Key, rowPrefix: string): Key => limited(start + rowKey.slice(rowPrefix.length))

/** The entry of a unique index. */
export const uniqueEntry = (start: IndexKeyStart): Key => asKey(start + terminator)

/** The unique entry of the index key that a plain entry has. */
export const uniqueEntryOfPlain = (entry: Key, prefix: string): Key => {
  const reader = new ElementReader(entry, prefix.length + 1)
  reader.tuple()
  return uniqueEntry(entry.slice(0, reader.at) as IndexKeyStart)
}

export const plainEntryValue: Uint8Array = encodeValue(null)

/** The value of a unique index's entry, which says whose it is. */
export const uniqueEntryValue = (rowKey: Key, rowPrefix: string): Uint8Array => encodeValue(Uint8Array.from(Buffer.from(rowKey.slice(rowPrefix.length), 'latin1')))

/** The row that an entry is of. Throws `CORRUPT`. */
export const rowKeyOfPlain = (entry: Key, prefix: string, rowPrefix: string): Key => {
  const reader = new ElementReader(entry, prefix.length + 1)
  reader.tuple()
  return asKey(rowPrefix + entry.slice(reader.at))
}

/** The row that a unique index's entry is of, from the entry's value. Throws `CORRUPT`. */
export const rowKeyOfUnique = (value: Uint8Array, rowPrefix: string): Key => {
  const elements = decodeValue(value)
  if (!(elements instanceof Uint8Array)) throw corruptKey()
  return asKey(rowPrefix + Buffer.from(elements).toString('latin1'))
}

/** The index key of an entry, bare where it has one element. Throws `CORRUPT`. */
export const indexKeyOf = (entry: Key, prefix: string): KeyElement => bare(new ElementReader(entry, prefix.length + 1).tuple())

/** Index key and row of a plain entry, in one pass. */
export const splitPlain = (entry: Key, prefix: string, rowPrefix: string): { readonly indexKey: KeyElement; readonly rowKey: Key } => {
  const reader = new ElementReader(entry, prefix.length + 1)
  const indexKey = bare(reader.tuple())
  return { indexKey, rowKey: asKey(rowPrefix + entry.slice(reader.at)) }
}

/** Bounds of entries. A bound that is a tuple may be shorter than the index keys: it sorts before all that begin with it. */
export const fromStart = (start: IndexKeyStart): Key => asKey(start)
export const afterAllOf = (start: IndexKeyStart): Key => asKey(start + afterStart)

/**
 * The entries whose index key begins with the elements of `beginning`, an array; or, where it is a bare string or byte array, whose first element begins with it. Throws as `indexKeyStart`.
 */
export const entriesBeginningWith = (prefix: string, beginning: unknown): KeyRange => {
  const isOpen = typeof beginning === 'string' || beginning instanceof Uint8Array
  const lo = limited(prefix + tagTuple + (isOpen ? encodeBeginning(beginning, typeof beginning === 'string' ? 'string' : 'bytes') : encodeElements(beginning)))
  return { lo, hi: isOpen ? afterAllThatBeginWith(lo) : asKey(`${lo}\xff`) }
}

/** What a bound of an index range says: the elements of its index key, and what is behind them. */
export interface ReadBound {
  readonly elements: readonly KeyElement[]
  /** `open`: nothing; `key`: the index key ends there; `row`: a row of it follows; `after`: all entries of the index key come before it. */
  readonly end: 'open' | 'key' | 'row' | 'after'
}

/** Reads a bound of an index range back, for messages; undefined for the edge of the index, and within an element. */
export const readBound = (bound: Key, prefix: string): ReadBound | undefined => {
  if (bound.length <= prefix.length + 1) return undefined
  const isEnd = bound.endsWith(afterStart) // of a range of beginnings, unless the index key ends before it
  for (const whole of isEnd ? [bound, bound.slice(0, -1)] : [bound, bound + terminator]) {
    const reader = new ElementReader(whole + terminator, prefix.length + 1)
    try {
      const elements = reader.tuple()
      if (reader.at > bound.length) return { elements, end: 'open' }
      const rest = bound.slice(reader.at)
      return { elements, end: rest === '' ? (reader.at > whole.length ? 'open' : 'key') : rest === afterStart ? 'after' : 'row' }
    } catch {
      continue // ends within an element
    }
  }
  return undefined
}

const bare = (elements: KeyElement[]): KeyElement => (elements.length === 1 ? elements[0]! : elements)

const encodeElements = (key: unknown): string => {
  if (typeof key === 'string') return encodeElement(key, 'string', 0, '')
  if (!Array.isArray(key)) return encodeElement(key, typeOfElement(key, 0, ''), 0, '')
  if (key.length === 0) throw new UsageError('INVALID_KEY', 'An index key must have at least one element.')
  let encoded = ''
  for (let i = 0; i < key.length; i++) encoded += encodeElement(key[i], typeOfElement(key[i], i, ''), i, '')
  return encoded
}

const limited = (encoded: string): Key => {
  if (encoded.length > keySizeLimitBytes) throw keyTooLarge(encoded.length)
  return asKey(encoded)
}
