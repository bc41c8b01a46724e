/** What a check of a closed database comes to, in a process of its own. */
import type { CheckFinding } from '../../engine/index.js'
import type { Outcome } from './driver.js'
import { patienceMs, type Round } from './family.js'

export interface Checked {
  readonly sound: boolean
  readonly problems: number
  readonly first?: CheckFinding
}

/** The report, which is judged; or what was thrown in place of one. Undefined where nothing was said, which is judged too. */
export async function checked(round: Round, directory: string, what: string): Promise<Checked | Outcome | undefined> {
  const checker = round.start({ command: 'check', directory, report: round.newReport() })
  if (!round.endedWell(await checker.endsWithin(patienceMs), `a check of ${what}`)) return undefined
  const [line] = checker.lines
  if (!line?.startsWith('K ')) return line === undefined ? undefined : (JSON.parse(line.slice(2)) as Outcome)
  const report = JSON.parse(line.slice(2)) as Checked
  judgeReport(round, report, what)
  return report
}

export function judgeReport(round: Round, { sound, problems, first }: Checked, what: string): void {
  round.count('checks')
  if (!sound) round.found('wrong', `a check of ${what} has ${problems} findings: ${JSON.stringify(first)}`)
}
