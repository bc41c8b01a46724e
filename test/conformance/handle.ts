/** A transaction that its owner holds in the hand, and what the model knows of it. */
import type { TransactionModel } from './model.js'
import type { Pending } from './observer.js'
import type { Nested, savepoint } from './script.js'

export interface Handle {
  readonly name: string
  readonly tx: Nested & { commit(): Promise<void>; abort(): void }
  readonly model: TransactionModel
  readonly savepoints: ReturnType<typeof savepoint>[]
  readonly cancel: (() => void) | undefined
  readonly deadlineMs: number | undefined
  /** What its operations throw now. */
  ended: string | undefined
  isCommitting: boolean
  /** Its database was closed. */
  isLost: boolean
  cancelled: boolean
  failing: Pending | undefined
}

/** What using a handle throws, whatever is done with it: undefined where it can be used. Depth 0 is the transaction itself, 1 its savepoint. */
export function blocked(handle: Handle, depth: number): readonly string[] | undefined {
  if (handle.isLost) {
    return [...(handle.ended === undefined ? ['CLOSED'] : [handle.ended]), ...(handle.deadlineMs === undefined ? [] : ['TIMEOUT']), ...(handle.cancelled ? ['CANCELLED'] : []), ...(handle.savepoints.length > depth ? ['SAVEPOINT_ACTIVE'] : []), ...(handle.model.doomed ? ['CONFLICT'] : [])]
  }
  if (handle.ended !== undefined) return [handle.ended]
  return handle.savepoints.length > depth ? ['SAVEPOINT_ACTIVE'] : undefined
}

/** As `blocked`, for what the model is not asked about. */
export const blockedOrDoomed = (handle: Handle, depth: number): readonly string[] | undefined => blocked(handle, depth) ?? (handle.model.doomed ? ['CONFLICT'] : undefined)

/** The handle that may act at a depth, and its name in a script. */
export function handleAt(handle: Handle, depth: number): { readonly tx: Nested; readonly name: string } {
  return depth === 0 ? handle : { tx: handle.savepoints[depth - 1]!.tx, name: `${handle.name}s${depth}.tx` }
}
