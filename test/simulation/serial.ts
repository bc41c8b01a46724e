/** Whether transactions could have run one after the other, in whatever order. */
import { idOf, withWrites, type State } from './model.js'
import type { Operation } from './records.js'
import { effectOn, replay } from './replay.js'

/** Orders begun; where there are more to try the question is left open. */
const triesMax = 5_000

/** Undefined: it takes too long to find out. There are no rows at first, and those of `end` at the end. */
export function hasSerialOrder(transactions: readonly (readonly Operation[])[], end: State): boolean | undefined {
  const wanted = textOf(end)
  const tried = new Set<string>()
  let tries = 0
  const goOn = (state: State, left: readonly (readonly Operation[])[]): boolean => {
    const text = textOf(state)
    if (left.length === 0) return text === wanted
    const place = `${left.map(operations => transactions.indexOf(operations)).join()} ${text}`
    if (tried.has(place) || tries++ > triesMax) return false
    tried.add(place)
    return left.some(operations => {
      const replayed = replay(operations, () => state)
      return replayed.difference === undefined && goOn(withWrites(state, effectOn(state, replayed)), left.filter(other => other !== operations))
    })
  }
  const found = goOn([], transactions)
  return found || tries <= triesMax ? found : undefined
}

const textOf = (state: State): string => state.map(({ table, key, value }) => `${idOf(table, key)}=${value}`).join()
