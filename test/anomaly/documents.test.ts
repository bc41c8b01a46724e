import { describe, expect, test } from 'vitest'
import { type Scenario, scenarios } from '../../isolation/anomaly/index.js'
import { read } from '../tidy/project.js'

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ')
const sections = new Map(
  read('docs/anomalies.md').split(/^## /m).slice(1).map(text => [text.split('\n', 1)[0] ?? '', text]),
)
const sectionOf = ({ id }: Scenario): string => sections.get(id) ?? ''

test('docs/anomalies.md has a section for every scenario, in the order of the matrix, and for nothing else', () => {
  expect([...sections.keys()]).toEqual(scenarios.map(({ id }) => id))
})

describe.each(scenarios)('the section on $id', scenario => {
  test('tells the story and names the source as the scenario does', () => {
    const text = oneLine(sectionOf(scenario))
    expect(text).toContain(oneLine(`**${scenario.title}.** ${scenario.story}`))
    expect(text).toContain(oneLine(`**Source.** ${scenario.source}.`))
  })

  test('shows who did what, what goes wrong, and what the engine does about it', () => {
    const text = sectionOf(scenario)
    const timeline = /^```text\n(?<heading>.*)\n─[^]*?\n```$/m.exec(text)?.groups?.['heading'] ?? ''
    expect(timeline.split('│').map(column => column.trim())).toEqual(scenario.sessions.map(({ label }, index) => `T${index + 1} ${label}`))
    expect(text).toMatch(/^\*\*What goes wrong\.\*\* \S/m)
    expect(text).toMatch(/^\*\*At `serializable`(?:\*\* the engine says:\n\n> The transaction "|:\*\* nothing has to be refused: \S)/m)
  })

  test('says which levels let it through', () => {
    const { said } = /^\*\*Let through by\*\* (?<said>none|`[a-z-]+`(?: and `[a-z-]+`)*)/m.exec(sectionOf(scenario))?.groups ?? {}
    const levels = scenario.allowedAt.map(level => `\`${level}\``)
    expect(said).toBe(levels.length === 0 ? 'none' : levels.join(' and '))
  })
})
