/** Numbers and lines as the reports show them. */

const format = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const exact = new Intl.NumberFormat('en')

/** Three digits say what a benchmark knows. */
export const rounded = (value: number): string => format.format(value)

export const inWords = (count: number): string => exact.format(count)

export const fixed = (ratio: number): string => ratio.toFixed(2)

/** Breaks at spaces. */
export function wrap(text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const last = lines.at(-1)!
    if (last === '') lines[lines.length - 1] = word
    else if (last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}
