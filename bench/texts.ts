/** Rows of 100 characters that say how often they were changed, and are altogether others after each change. */
import { Checksum } from './checksum.js'
import { integersFrom } from './random.js'

export const rowSizeBytes = 100

const counterLength = 8
/** What follows the counter is one of so many texts; neighbours have others, and so has a row after its next change. */
const endings = 1_021
const stride = 7

const integer = integersFrom(endings)
const ending = Array.from({ length: endings }, () => Array.from({ length: rowSizeBytes - counterLength }, () => integer(36).toString(36)).join(''))

/** The row `id` after so many changes. */
export function textOf(id: number, changes: number): string {
  return String(changes).padStart(counterLength, '0') + ending[(id + changes * stride) % endings]!
}

export function changedText(id: number, text: string): string {
  return textOf(id, Number(text.slice(0, counterLength)) + 1)
}

/** Takes the rows 0, 1, 2 … in order. Throws where one is not what its counter says. */
export class TextCensus {
  readonly #sum = new Checksum()
  #rows = 0
  #changes = 0

  add(id: number, text: string): void {
    const changes = Number(text.slice(0, counterLength))
    if (id !== this.#rows || text !== textOf(id, changes)) throw new Error(`Row ${id} is not row ${this.#rows} after ${changes} changes.`)
    this.#sum.add(changes)
    this.#rows++
    this.#changes += changes
  }

  /** What was found. Throws where rows or changes are missing, or there are too many. */
  proof(rows: number, changes: number): string {
    if (this.#rows !== rows || this.#changes !== changes) throw new Error(`There are ${this.#rows} rows with ${this.#changes} changes, not ${rows} with ${changes}.`)
    return `${rows} rows, ${changes} changes, checksum ${this.#sum.toString()}`
  }
}
