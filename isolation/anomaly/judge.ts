/** Decides whether one played schedule is a witness of its scenario's anomaly, and whether its level let something else slip. */
import type { Level } from '../types.js'
import type { Finding } from './checker/check.js'
import { judgeTwice, type Opinions } from './checker/opinions.js'
import { forbiddenAt, type Phenomenon } from './checker/phenomena.js'
import { serialOrder } from './checker/serial.js'
import type { Scenario } from './scenario.js'
import type { PlayedSchedule } from './schedule/play.js'
import { ScheduleError } from './schedule/play.js'

export interface JudgedSchedule {
  readonly played: PlayedSchedule
  readonly verdict: Opinions
  readonly isWitness: boolean
  /** The finding that a report shows: the scenario's own phenomenon where there is one, else the first. */
  readonly finding: Finding | null
  /** Phenomena that the level rules out, whatever the scenario is about. */
  readonly forbidden: readonly Phenomenon[]
}

/**
 * At `serializable` a disagreement of the two opinions is an error: there versions are installed in commit order, so a cycle
 * that some serial order explains away must not exist either.
 */
export function judgeSchedule(scenario: Scenario, level: Level, played: PlayedSchedule): JudgedSchedule {
  const verdict = judgeTwice(played.history)
  if (level === 'serializable' && !verdict.agreed) {
    const found = verdict.findings.map(({ phenomenon }) => phenomenon).join(', ')
    throw new ScheduleError(scenario, played.order, `the graph shows ${found}, yet a serial order explains the history.`)
  }
  // Without a serial order something occurred for certain, though the graph may not say which phenomenon it was. Whether it is
  // one that a weaker level rules out is then as open.
  const isNamed = verdict.findings.length > 0 || verdict.serialOrder !== null || level !== 'serializable'
  const suspects = isNamed ? verdict.findings : verdict.doubts
  const { witness } = scenario
  const wanted = witness.kind === 'phenomenon' ? witness.phenomenon : null
  return {
    played,
    verdict,
    isWitness: showsAnomaly(scenario, played, verdict),
    finding: verdict.findings.find(({ phenomenon }) => phenomenon === wanted) ?? verdict.findings[0] ?? null,
    forbidden: suspects.map(({ phenomenon }) => phenomenon).filter(phenomenon => forbiddenAt[level].has(phenomenon)),
  }
}

function showsAnomaly({ witness, sessions }: Scenario, played: PlayedSchedule, verdict: Opinions): boolean {
  switch (witness.kind) {
    case 'phenomenon':
      return verdict.findings.some(({ phenomenon }) => phenomenon === witness.phenomenon)
    case 'invariant':
      return verdict.serialOrder === null && !witness.invariant.holds(played.finalRows)
    case 'read-only': {
      const reader = sessions.findIndex(({ label }) => label === witness.session)
      const others = played.history.transactions.filter((_, index) => index !== reader)
      return verdict.serialOrder === null && serialOrder({ ...played.history, transactions: others }) !== null
    }
  }
}
