/**
 * Text as UTF-8. Both codecs refuse strings that UTF-8 cannot carry: a lone surrogate would become U+FFFD on the way, and two different strings
 * would turn into one.
 */

/** True when the string has no lone surrogate. In every supported Node.js; the `es2023` library does not know it yet. */
export const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed()

/** The native parts of `Buffer.prototype.toString`, which take any byte array: making a Buffer for each value costs as much as decoding its text. */
const native = Buffer.prototype as unknown as Record<'utf8Slice' | 'latin1Slice', (this: Uint8Array, start: number, end: number) => string>

/** The text whose UTF-8 is in `bytes` from `start` to `end`. Bytes that are no UTF-8 become U+FFFD. */
export const textOfUtf8 = (bytes: Uint8Array, start: number, end: number): string => native.utf8Slice.call(bytes, start, end)

/** Up to this length making a string of its characters costs less than the native call. */
const shortMax = 16
/** A list for each length, to be filled and passed on as arguments. */
const characters: readonly number[][] = Array.from({ length: shortMax + 1 }, (_, length) => Array.from({ length }, () => 0))

/** The text whose UTF-8 is in `bytes` from `start` to `end`, where it is short and ASCII. */
export const shortAscii = (bytes: Uint8Array, start: number, end: number): string | undefined => shortText(bytes, start, end, 0x7f)

/** The text that has one character for each byte from `start` to `end`. */
export const textOfLatin1 = (bytes: Uint8Array, start: number, end: number): string => shortText(bytes, start, end, 0xff) ?? native.latin1Slice.call(bytes, start, end)

const shortText = (bytes: Uint8Array, start: number, end: number, byteMax: number): string | undefined => {
  const length = end - start
  if (length > shortMax) return undefined
  const codes = characters[length]!
  for (let i = 0; i < length; i++) {
    const byte = bytes[start + i]!
    if (byte > byteMax) return undefined
    codes[i] = byte
  }
  return String.fromCharCode(...codes)
}
