/**
 * Values: from what structured clone accepts to bytes, and back. What is accepted comes back as `structuredClone` would return it; everything else is
 * refused here, before a transaction has noted the write. Each value stands alone, and its bytes depend on nothing but the value.
 *
 * Accepted: null, booleans, numbers (`-0`, NaN and infinities too), bigints and strings of any size; plain objects, arrays, Map, Set, Date, RegExp, the
 * seven standard error classes, ArrayBuffer, DataView and every typed array; shared and cyclic references. Refused: undefined, functions, symbols,
 * instances of other classes, lone surrogates, arrays with holes or named properties. `docs/key-format.md` has the details.
 */
import { defaultLimits } from '../limits.js'
import { ValueReader } from './value-reader.js'
import { ValueWriter } from './value-writer.js'

let idle: ValueWriter | undefined

/**
 * The bytes of a value, in memory that nobody else writes to. Two values have equal bytes exactly when they hold the same things in the same order (of
 * properties, of Map entries, of Set members) and share the same references; `0` and `-0` differ, `NaN` equals `NaN`.
 *
 * Getters and proxies are read through, each property once.
 *
 * @param limitBytes largest number of bytes to return
 * @throws UsageError INVALID_VALUE where the value is refused or a getter throws; the message names the path (`value.items[3].price`), never the value
 * @throws LimitError VALUE_TOO_LARGE
 */
export const encodeValue = (value: unknown, limitBytes: number = defaultLimits.valueSizeBytes): Uint8Array => {
  // A getter may come back here: whoever finds the writer in use makes another.
  const writer = idle ?? new ValueWriter()
  idle = undefined
  try {
    return writer.encode(value, limitBytes)
  } finally {
    idle = writer
  }
}

/**
 * A new value from bytes of `encodeValue`; shares no memory with them.
 *
 * @throws StorageError CORRUPT where the bytes are not what `encodeValue` writes
 */
export const decodeValue = (bytes: Uint8Array): unknown => new ValueReader(bytes).decode()
