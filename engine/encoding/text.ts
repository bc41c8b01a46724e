/**
 * Text as UTF-8. Both codecs refuse strings that UTF-8 cannot carry: a lone surrogate would become U+FFFD on the way, and two different strings
 * would turn into one.
 */

/** True when the string has no lone surrogate. In every supported Node.js; the `es2023` library does not know it yet. */
export const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed()

/** The native part of `Buffer.prototype.toString('utf8', start, end)`, which takes any byte array: making a Buffer for each value costs as much as decoding its text. */
const native = Buffer.prototype as unknown as { utf8Slice(this: Uint8Array, start: number, end: number): string }

/** The text whose UTF-8 is in `bytes` from `start` to `end`. Bytes that are no UTF-8 become U+FFFD. */
export const textOfUtf8 = (bytes: Uint8Array, start: number, end: number): string => native.utf8Slice.call(bytes, start, end)
