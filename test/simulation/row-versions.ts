/**
 * Versions of rows: what is stored says which version it is of, and the model knows nothing of that. A migration makes the same value anew, in another form; so whoever reads can tell a row that was
 * handed out in the form of another version.
 */
import type { Value } from './model.js'

/** More than any value of a history. */
const span = 1_000_000

/** A value as a row of a version has it. */
export const given = (value: Value, version: number): number => value + (version - 1) * span

/** The value of a row of a version; of one of `version` to `newest`, where that is given. Throws where the row is of another. */
export function told(row: number, version: number, newest: number = version): Value {
  const is = Math.floor(row / span) + 1
  if (is < version || is > newest) throw new Error(`a row of version ${is} was handed out as one of version ${version}`)
  return bare(row)
}

/** The value of a row, whatever its version. */
export const bare = (row: number): Value => row % span

/** To version `to`. Throws where a row is not of the version that it is said to be. */
export const migrate = (row: unknown, from: number, to: number): number => given(told(row as number, from), to)
