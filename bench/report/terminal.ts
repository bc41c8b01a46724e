/** The report for a terminal of 100 columns. */
import type { Block, Table } from './blocks.js'
import { wrap } from './text.js'

const widthMax = 100
const gap = '  '

export function renderTerminal(blocks: readonly Block[]): string {
  const parts = blocks.flatMap(block => {
    switch (block.kind) {
      case 'heading':
        return block.level === 1 ? [] : [block.text, ...(block.level === 2 ? ['─'.repeat(block.text.length)] : [])]
      case 'text':
        return block.forDocument ? [] : [...wrap(block.text, widthMax), '']
      case 'command':
      case 'picture':
        return []
      case 'table':
        return [...tableLines(block), '']
    }
  })
  return `${parts.join('\n').trimEnd()}\n`
}

function tableLines({ head, rows, bars }: Table): string[] {
  const lines = head.some(title => title !== '') ? [head, ...rows] : rows
  const widths = head.map((_, column) => Math.max(...lines.map(line => line[column]!.length)))
  return lines.map(line =>
    line
      .map((cell, column) => (bars.length > 0 && column > 0 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join(gap)
      .trimEnd(),
  )
}
