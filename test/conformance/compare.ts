/** Comparing how a call ended with how it had to end, and saying it in a script. */
import { Mismatch } from './model.js'

/** Options of which none is given as undefined. */
export type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> }
export const withoutUndefined = <T extends object>(options: T): Given<T> => Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Given<T>

/** A promise in a script: one that is still pending is not awaited there. */
export const awaited = (text: string, outcome: string | undefined): string =>
  outcome === undefined ? `void codeOf(${text})` : outcome.startsWith('throws') ? `await codeOf(${text})` : `await ${text}`

/** A synchronous call in a script. */
export const called = (text: string, outcome: string): string => (outcome.startsWith('throws') ? `await codeOf(() => ${text})` : text)

export function expectIn(outcome: string, codes: readonly string[]): void {
  if (!codes.some(code => outcome === `throws ${code}`)) throw new Mismatch(`expected ${codes.join(' or ')}, got ${outcome}`)
}

export function expectText(outcome: string, expected: string): void {
  if (outcome !== expected) throw new Mismatch(`expected ${expected}, got ${outcome}`)
}
