/** The second judge: names the phenomena of a history, and says which of them its levels rule out. */
import { checkHistory, forbiddenAt, type Finding, type Phenomenon } from '../../../isolation/anomaly/index.js'
import type { Level } from '../../../engine/index.js'
import type { History } from '../records.js'
import { toldHistory } from './history.js'
import type { Looks } from './reads.js'

export interface Named {
  /** What occurred, whatever the levels promise. */
  readonly phenomena: readonly Phenomenon[]
  /** What the levels rule out, in words. */
  readonly violations: readonly string[]
  readonly looks: Looks
}

/** Only what occurred for certain counts. */
export function namePhenomena(history: History): Named {
  const { history: told, looks } = toldHistory(history)
  const { findings } = checkHistory(told)
  const forbidden = forbiddenAt[weakestLevel(history)]
  return {
    phenomena: findings.map(({ phenomenon }) => phenomenon),
    violations: findings.filter(({ phenomenon }) => forbidden.has(phenomenon)).map(inWords),
    looks,
  }
}

/** A transaction's promise holds among transactions that promise as much. Reads outside transactions are of one state anyway. */
function weakestLevel({ transactions }: History): Level {
  const levels = new Set(transactions.filter(({ oneShot }) => !oneShot).map(({ level }) => level))
  return levels.has('read-committed') ? 'read-committed' : levels.has('snapshot') ? 'snapshot' : 'serializable'
}

const inWords = ({ phenomenon, transactions, sentences }: Finding): string =>
  `${transactions.length > 0 ? `${transactions.join(' and ')} take part in` : 'the history shows'} ${phenomenon}: ${sentences.join(' ')}`
