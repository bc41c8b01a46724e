/** The report as Markdown. */
import type { Block } from './blocks.js'
import { wrap } from './text.js'

const widthMax = 140

/** `pictures` is the way from the folder of the report to the one of its pictures, with slashes; empty where it is the same. */
export function renderMarkdown(blocks: readonly Block[], pictures = ''): string {
  return `${blocks.map(block => render(block, pictures)).join('\n\n')}\n`
}

function render(block: Block, pictures: string): string {
  switch (block.kind) {
    case 'heading':
      return `${'#'.repeat(block.level)} ${block.text}`
    case 'text':
      return wrap(block.text, widthMax).join('\n')
    case 'command':
      return `\`\`\`sh\n${block.text}\n\`\`\``
    case 'picture':
      return `![${block.text}](${[pictures, block.file].filter(part => part !== '').map(encodeURI).join('/')})`
    case 'table': {
      const { head, rows, bars } = block
      const rule = head.map((_, column) => (bars.length > 0 && column > 0 ? '---:' : '---'))
      return [head, rule, ...rows].map(cells => `| ${cells.map(escapeCell).join(' | ')} |`).join('\n')
    }
  }
}

const escapeCell = (text: string): string => text.replaceAll('|', '\\|')
