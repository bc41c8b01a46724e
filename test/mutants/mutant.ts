/** What a mutant is: the engine with one rule broken on purpose, to see that a check notices. */
import type { Level } from '../../engine/index.js'

/** A piece of text and what to put in its place. White space in it stands for any white space; it must occur exactly once. */
export type Patch = readonly [find: string, replace: string]

export interface Mutant {
  readonly name: string
  /** What is broken, as a clause. */
  readonly broken: string
  /** A module, without its ending: compiled where the fuzzer catches it, the source where a test does. */
  readonly file: string
  readonly patches: readonly Patch[]
  readonly caughtBy: FuzzCatch | TestCatch
}

/** Random histories at these levels, as `npm run fuzz` plays them. */
export interface FuzzCatch {
  readonly levels: readonly Level[]
}

/** A test file, for what no history can show, and why not. */
export interface TestCatch {
  readonly test: string
  readonly because: string
}

export const serializable: FuzzCatch = { levels: ['serializable'] }
export const snapshot: FuzzCatch = { levels: ['snapshot'] }
export const readCommitted: FuzzCatch = { levels: ['read-committed'] }
export const mixed: FuzzCatch = { levels: ['serializable', 'snapshot', 'read-committed'] }

/** A mutant with one patch. */
export const mutant = (name: string, broken: string, file: string, find: string, replace: string, caughtBy: FuzzCatch | TestCatch = serializable): Mutant => ({
  name,
  broken,
  file,
  patches: [[find, replace]],
  caughtBy,
})
