/** The report as one page that needs nothing else: no scripts, no fonts, no network; readable in light, dark and in print. */
import type { Block } from './blocks.js'

const style = `
:root { color-scheme: light dark; --bar: #9db8e8; --line: #c9ced6; --soft: #f3f5f8 }
@media (prefers-color-scheme: dark) { :root { --bar: #35507f; --line: #444b55; --soft: #1d2127 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top }
thead th { background: var(--soft) }
td.number { text-align: right; font-variant-numeric: tabular-nums }
td.bar { min-width: 14rem; border: 0; padding: .3rem 0 }
td.bar span { display: block; height: 1rem; background: var(--bar) }
figure { margin: 1rem 0; max-width: 100%; overflow-x: auto }
.scroll { overflow-x: auto }
pre { background: var(--soft); padding: .6rem .8rem; overflow-x: auto }
h2 { margin-top: 2.5rem }
`

/** A complete HTML document. */
export function renderHtml(blocks: readonly Block[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Benchmarks</title>
<style>${style}</style>
</head>
<body>
<main>
${blocks.map(render).join('\n')}
</main>
</body>
</html>
`
}

function render(block: Block): string {
  switch (block.kind) {
    case 'heading':
      return `<h${block.level}>${escape(block.text)}</h${block.level}>`
    case 'text':
      return `<p>${escape(block.text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')}</p>`
    case 'command':
      return `<pre><code>${escape(block.text)}</code></pre>`
    case 'picture':
      return `<figure role="img" aria-label="${escape(block.text)}">${block.svg}</figure>`
    case 'table': {
      const { head, rows, bars } = block
      const titles = head.map(title => `<th scope="col">${escape(title)}</th>`).join('')
      const lines = rows.map((cells, i) => {
        const [first = '', ...others] = cells
        const rest = others.map(cell => `<td${bars.length > 0 ? ' class="number"' : ''}>${escape(cell)}</td>`)
        const bar = bars[i] === undefined ? '' : `<td class="bar"><span style="width: ${(bars[i] * 100).toFixed(1)}%"></span></td>`
        return `<tr><th scope="row">${escape(first)}</th>${rest.join('')}${bar}</tr>`
      })
      const top = head.some(title => title !== '') ? `<thead><tr>${titles}</tr></thead>` : ''
      return `<div class="scroll"><table>${top}<tbody>\n${lines.join('\n')}\n</tbody></table></div>`
    }
  }
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

const escape = (text: string): string => text.replace(/[&<>"']/g, character => entities[character] ?? character)
