/** What a session has read, with the versions taken off again. */
import type { KeyedValue, Seen } from '../scenario.js'

export class SeenValues implements Seen {
  readonly #values = new Map<string, unknown>()

  remember(name: string, value: unknown): void {
    this.#values.set(name, value)
  }

  value = (name: string): unknown => {
    if (!this.#values.has(name)) throw new TypeError(`The scenario uses "${name}", which the session has not read.`)
    return this.#values.get(name)
  }

  number = (name: string): number => {
    const value = this.value(name)
    if (typeof value !== 'number') throw new TypeError(`The scenario expects a number in "${name}" and read ${typeof value}.`)
    return value
  }

  rows = (name: string): readonly KeyedValue[] => this.value(name) as readonly KeyedValue[]
}

/** A value as the runner stores it: with the id of the write it came from. */
export interface Versioned {
  readonly v: string
  readonly value: unknown
}

/** Takes a stored value apart. Whatever has another shape was not written by the runner. */
export function unwrap(stored: unknown): Versioned {
  if (typeof stored === 'object' && stored !== null && 'v' in stored && typeof stored.v === 'string' && 'value' in stored) {
    return { v: stored.v, value: stored.value }
  }
  throw new TypeError('The engine returned a value that nobody wrote.')
}
