/**
 * What value-writer.ts and value-reader.ts agree on: MessagePack with nine extension types of our own. Any MessagePack library can read what is
 * not in an extension. `docs/key-format.md` has the table.
 */

/** MessagePack's first bytes, as far as they are written. */
export const code = {
  fixMap: 0x80,
  fixArray: 0x90,
  fixText: 0xa0,
  nil: 0xc0,
  false: 0xc2,
  true: 0xc3,
  bin8: 0xc4,
  bin16: 0xc5,
  bin32: 0xc6,
  ext8: 0xc7,
  ext32: 0xc9,
  float64: 0xcb,
  uint8: 0xcc,
  uint16: 0xcd,
  uint32: 0xce,
  int8: 0xd0,
  int16: 0xd1,
  int32: 0xd2,
  fixExt4: 0xd6,
  fixExt8: 0xd7,
  text8: 0xd9,
  text16: 0xda,
  text32: 0xdb,
  array16: 0xdc,
  array32: 0xdd,
  map16: 0xde,
  map32: 0xdf,
  negativeFixInt: 0xe0,
} as const

/** Our extension types. */
export const extension = {
  /** Eight bytes: milliseconds as float64, NaN for an invalid Date. */
  date: 1,
  /** 0 or 1 for the sign, then the magnitude, big endian without leading zeros. */
  bigint: 2,
  /** Position in `binaryKinds`, then the bytes as they lie in memory. */
  binary: 3,
  /** Source and flags, two strings. */
  regexp: 4,
  /** Key, value, key, value, to the end. */
  map: 5,
  /** Members, to the end. */
  set: 6,
  /** Position in `errorKinds`, a byte of `errorParts`, then those parts. */
  error: 7,
  /** The number of an object met before, uint32: objects are numbered from 0 in the order in which they begin. */
  reference: 8,
  /** The whole value, where it holds a reference: tells the reader to number objects. */
  graph: 9,
} as const

/** Header of an extension whose length is filled in afterwards: `ext32`, length, type. */
export const extHeaderBytes = 6

type BinaryConstructor = new (buffer: ArrayBuffer) => ArrayBufferView
/** Binary things but `Uint8Array`, which is MessagePack's `bin`. Positions are on disk: append only. `ArrayBuffer` itself has position 0. */
export const binaryKinds: readonly BinaryConstructor[] = [
  DataView,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
]

/** Positions are on disk: append only. */
export const errorKinds: readonly ErrorConstructor[] = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]

export const errorParts = { message: 1, stack: 2, cause: 4 } as const

/** Arrays, objects, Maps, Sets and errors may lie in each other this deep. Both directions recurse, and this is far from any stack's end. */
export const maxNesting = 500

/** Short strings are handled by loops; from this length on a native call is faster. */
export const shortText = 32
