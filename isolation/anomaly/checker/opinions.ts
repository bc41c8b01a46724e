/**
 * Judges a small history twice. The first opinion names phenomena in the serialization graph (`check.ts`), the second looks for
 * a serial order by replaying (`serial.ts`, exponential). They must agree in one direction always: a history in which every
 * phenomenon is absent has a serial order, namely a topological order of its graph. In the other direction they may differ at
 * weak levels: the order of rows written blindly is not observable, so a cycle in commit order can still have a serial
 * explanation; and real time is not the second opinion's business.
 */
import { checkHistory, type Verdict } from './check.js'
import type { History } from './history.js'
import { serialOrder } from './serial.js'

export interface Opinions extends Verdict {
  readonly serialOrder: readonly string[] | null
  /** False where something occurred (other than against real time) and yet there is a serial order. Never the other way round. */
  readonly agreed: boolean
}

/** The two opinions contradict each other in the direction that is impossible: a defect of this checker. */
export class CheckerError extends Error {
  override readonly name = 'CheckerError'
  readonly history: History
  constructor(message: string, history: History) {
    super(message)
    this.history = history
  }
}

/** For histories of a few transactions. Throws `CheckerError`. */
export function judgeTwice(history: History): Opinions {
  const verdict = checkHistory(history)
  const order = serialOrder(history)
  const concerned = (phenomenon: string): boolean => phenomenon !== 'strictness'
  const occurred = verdict.findings.some(({ phenomenon }) => concerned(phenomenon))
  const mayHave = occurred || verdict.doubts.some(({ phenomenon }) => concerned(phenomenon) && phenomenon !== 'impossible-state')
  if (!mayHave && order === null) {
    throw new CheckerError('The serialization graph shows no phenomenon, yet no serial order explains the history.', history)
  }
  return { ...verdict, serialOrder: order, agreed: !occurred || order === null }
}
