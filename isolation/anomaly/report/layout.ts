/** Plain text in columns: padding, wrapping, and colours that are only there when asked for. */

export interface Paint {
  readonly good: (text: string) => string
  readonly known: (text: string) => string
  readonly bad: (text: string) => string
  readonly faint: (text: string) => string
  readonly strong: (text: string) => string
}

const escape = (code: number): ((text: string) => string) => text => `\u001b[${code}m${text}\u001b[0m`
const plain = (text: string): string => text

export function paint(colour: boolean): Paint {
  if (!colour) return { good: plain, known: plain, bad: plain, faint: plain, strong: plain }
  return { good: escape(32), known: escape(33), bad: text => escape(1)(escape(31)(text)), faint: escape(2), strong: escape(1) }
}

/** Breaks at spaces; a word longer than the width is cut. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (let word of text.split(/\s+/)) {
    if (line && line.length + 1 + word.length > width) {
      lines.push(line)
      line = ''
    }
    for (; word.length > width; word = word.slice(width)) lines.push(word.slice(0, width))
    line = line ? `${line} ${word}` : word
  }
  return line || lines.length === 0 ? [...lines, line] : lines
}

/** Side by side, each cell wrapped into its column's width. Trailing spaces are left out. */
export function row(cells: readonly string[], widths: readonly number[], gap: string): string[] {
  const wrapped = cells.map((cell, i) => wrap(cell, widths[i] ?? cell.length))
  const height = Math.max(...wrapped.map(lines => lines.length))
  return Array.from({ length: height }, (_, line) =>
    wrapped
      .map((lines, i) => (lines[line] ?? '').padEnd(widths[i] ?? 0))
      .join(gap)
      .trimEnd(),
  )
}

export const indent = (lines: readonly string[], by: string): string[] => lines.map(line => (line ? by + line : line))
