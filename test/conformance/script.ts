/** What a printed script uses beside the public interface, so that it runs where it is pasted. */
import type { Database } from '../../engine/index.js'
import type { AnyTable, Found, Target } from './actions.js'
import { schemaOf, shapes } from './shapes.js'

/** The handle of one of the tables that runs are made of. */
export function declare(db: Database, name: string): AnyTable {
  const shape = shapes.find(one => one.name === name)!
  // Typed loosely: the types of all tables at once are more than the compiler follows.
  const loose = db as unknown as { table(name: string, definition: object): AnyTable }
  return loose.table(name, { key: shape.types, ...schemaOf(shape) })
}

/** Up to so many rows, by a loop that is left early. */
export function take(count: number, rows: Iterable<Found>): Found[] {
  const taken: Found[] = []
  for (const row of rows) if (taken.push(row) >= count) break
  return taken
}

export type Nested = Target & {
  readonly attempt: number
  onCommit(hook: () => void): void
  transaction<T>(body: (tx: Nested) => T): T
}

/** A savepoint that stays open until it is told how to end. */
export function savepoint(tx: Nested): { readonly tx: Nested; keep(): Promise<void>; drop(): Promise<void> } {
  let inner!: Nested
  let end!: { keep: () => void; drop: (error: Error) => void }
  const ended = tx.transaction(child => {
    inner = child
    return new Promise<void>((keep, drop) => (end = { keep, drop }))
  })
  ended.catch(() => {})
  return {
    tx: inner,
    async keep() {
      end.keep()
      await ended
    },
    async drop() {
      end.drop(new Error('dropped'))
      await ended.catch((error: Error) => {
        if (error.message !== 'dropped') throw error
      })
    },
  }
}

/** The code of the error that something ends in. */
export async function codeOf(action: Promise<unknown> | (() => unknown)): Promise<unknown> {
  try {
    await (typeof action === 'function' ? action() : action)
    return undefined
  } catch (error) {
    return (error as { code?: string }).code ?? error
  }
}
