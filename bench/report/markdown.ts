/** The report as Markdown. */
import type { Block } from './blocks.js'
import { wrap } from './text.js'

const widthMax = 140

export function renderMarkdown(blocks: readonly Block[]): string {
  return `${blocks.map(render).join('\n\n')}\n`
}

function render(block: Block): string {
  switch (block.kind) {
    case 'heading':
      return `${'#'.repeat(block.level)} ${block.text}`
    case 'text':
      return wrap(block.text, widthMax).join('\n')
    case 'command':
      return `\`\`\`sh\n${block.text}\n\`\`\``
    case 'table': {
      const { head, rows, bars } = block
      const rule = head.map((_, column) => (bars.length > 0 && column > 0 ? '---:' : '---'))
      return [head, rule, ...rows].map(cells => `| ${cells.map(escapeCell).join(' | ')} |`).join('\n')
    }
  }
}

const escapeCell = (text: string): string => text.replaceAll('|', '\\|')
