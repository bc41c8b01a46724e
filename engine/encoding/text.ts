/**
 * Text as UTF-8. Both codecs refuse strings that UTF-8 cannot carry: a lone surrogate would become U+FFFD on the way, and two different strings
 * would turn into one.
 */

/** True when the string has no lone surrogate. In every supported Node.js; the `es2023` library does not know it yet. */
export const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed()
