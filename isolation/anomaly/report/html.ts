/** The matrix as one page that needs nothing else: no scripts, no fonts, no network; readable in light, dark and in print. */
import type { Cell } from '../cell.js'
import { differs, type Matrix } from '../matrix.js'
import type { Scenario } from '../scenario.js'
import { heading, traceOf } from './trace.js'
import { complaint, countsOf, toneOf, wordsOf } from './verdict.js'

const style = `
:root { color-scheme: light dark; --good: #1a6b34; --known: #7a5200; --bad: #b3141c; --faint: #5a5f66; --line: #c9ced6; --soft: #f3f5f8 }
@media (prefers-color-scheme: dark) {
  :root { --good: #7bd896; --known: #f0c060; --bad: #ff8f8f; --faint: #a4abb5; --line: #444b55; --soft: #1d2127 }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top }
thead th { background: var(--soft) }
.scroll { overflow-x: auto }
.good { color: var(--good) } .known { color: var(--known) } .bad { color: var(--bad); font-weight: bold } .faint { color: var(--faint) }
.timeline td { font: 14px/1.4 ui-monospace, monospace }
details { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .8rem; margin: .5rem 0 }
summary { cursor: pointer }
h2 { margin-top: 2.5rem }
`

/** A complete HTML document. */
export function renderHtml(matrix: Matrix): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Anomaly matrix</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>Anomaly matrix</h1>
<p>Every scenario below is a few small transactions. Each was played against each isolation level in every order in which the
transactions' steps can meet, and every history that resulted was checked. <b>✓ prevented</b>: no order shows the anomaly.
<b>✗ possible</b>: at least one does. <b>!</b>: not what the level promises. Seed ${matrix.seed}.</p>
${complaints(matrix)}
${table(matrix)}
${matrix.scenarios.map(scenario => section(matrix, scenario)).join('\n')}
</main>
</body>
</html>
`
}

function complaints({ cells }: Matrix): string {
  const wrong = cells.filter(differs)
  if (wrong.length === 0) return '<p class="good">✓ Every cell is as its level promises.</p>'
  const items = wrong.map(cell => `<li>${escape(complaint(cell))}</li>`).join('')
  return `<p class="bad">! ${wrong.length} cells differ from what their level promises:</p><ul>${items}</ul>`
}

function table({ scenarios, subjects, cells }: Matrix): string {
  const head = subjects.map(({ name }) => `<th scope="col">${escape(name)}</th>`).join('')
  const rows = scenarios.map(scenario => {
    const marks = subjects.map(subject => {
      const cell = cells.find(candidate => candidate.scenario === scenario && candidate.subject === subject)
      return cell ? `<td class="${toneOf(cell)}">${wordsOf(cell)}</td>` : '<td></td>'
    })
    const name = `<a href="#${scenario.id}">${escape(scenario.id)}</a>`
    return `<tr><th scope="row">${name}</th>${marks.join('')}<td>${escape(scenario.legend)}</td></tr>`
  })
  return `<div class="scroll"><table>
<caption class="faint">Which anomalies each isolation level lets through</caption>
<thead><tr><th scope="col">anomaly</th>${head}<th scope="col">what goes wrong</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table></div>`
}

function section({ cells }: Matrix, scenario: Scenario): string {
  return `<section id="${scenario.id}" aria-labelledby="${scenario.id}-title">
<h2 id="${scenario.id}-title">${escape(scenario.id)}: ${escape(scenario.title)}</h2>
<p>${escape(scenario.story)}</p>
<p class="faint">Source: ${escape(scenario.source)}</p>
${cells.filter(cell => cell.scenario === scenario).map(details).join('\n')}
</section>`
}

function details(cell: Cell): string {
  const summary = `${escape(cell.subject.name)}: <span class="${toneOf(cell)}">${wordsOf(cell)}</span>${countsOf(cell)}`
  const trace = traceOf(cell)
  if (!trace) return `<p>${summary}</p>`
  const { sessions } = cell.scenario
  const head = sessions.map((session, index) => `<th scope="col">${escape(heading(session, index))}</th>`).join('')
  const rows = trace.played.timeline.map(({ session, text }) => {
    const columns = sessions.map((_, index) => `<td>${index === session ? escape(text) : ''}</td>`)
    return `<tr>${columns.join('')}</tr>`
  })
  return `<details><summary>${summary}</summary>
<div class="scroll"><table class="timeline"><thead><tr>${head}</tr></thead><tbody>
${rows.join('\n')}
</tbody></table></div>
<ul>${trace.reasons.map(reason => `<li>${escape(reason)}</li>`).join('')}</ul>
</details>`
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

const escape = (text: string): string => text.replace(/[&<>"']/g, character => entities[character] ?? character)
