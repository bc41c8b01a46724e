/** A cell in words, the same in every report. */
import type { Cell } from '../cell.js'
import { differs } from '../matrix.js'

export type Tone = 'good' | 'known' | 'bad' | 'faint'

/** `good`: prevented as promised; `known`: possible, as the level says; `bad`: not what the level promises. */
export function toneOf(cell: Cell): Tone {
  if (cell.observed === 'unsupported') return 'faint'
  if (differs(cell)) return 'bad'
  return cell.observed === 'prevented' ? 'good' : 'known'
}

const marks = { prevented: '✓', possible: '✗', unsupported: '–' } as const

/** "✓ prevented", with "!" where it is not what the level promises. */
export const wordsOf = (cell: Cell): string => `${marks[cell.observed]} ${cell.observed}${differs(cell) ? ' !' : ''}`

/** What a cell that differs does wrong, as a sentence. */
export function complaint({ scenario, subject, expected, observed, forbidden }: Cell): string {
  const said = observed === expected ? '' : `should be ${expected}, was found ${observed}`
  const slipped = forbidden.length > 0 ? `shows ${forbidden.join(', ')}, ruled out at ${subject.level}` : ''
  return `${subject.name}, ${scenario.id}: ${[said, slipped].filter(Boolean).join('; ')}.`
}

/** " (3 of 20 schedules)", " (41 of a sample of 2,000 out of 4,200 schedules)"; nothing where none could be played. */
export function countsOf({ observed, witnesses, schedules, totalSchedules, sampled }: Cell): string {
  if (observed === 'unsupported') return ''
  const number = new Intl.NumberFormat('en')
  const all = number.format(schedules)
  return ` (${number.format(witnesses)} of ${sampled ? `a sample of ${all} out of ${number.format(totalSchedules)}` : all} schedules)`
}
