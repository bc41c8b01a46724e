import { outcomeOf, type Action } from './actions.js'
import { expectIn } from './compare.js'
import type { Misuse } from './drafts.js'
import type { Session } from './session.js'
import { source } from './source.js'

/** Calls that must be refused, whatever the state. */
export function misuse(session: Session, what: Misuse, action: Action): void {
  const { observer, one, db } = session
  const { shape } = action
  const table = session.table(shape)
  const attempt = (text: string, code: string, body: () => unknown): void => {
    const outcome = outcomeOf(body)
    observer.note(observer.write(`await codeOf(() => ${text})`), outcome)
    expectIn(outcome, observer.isOpen ? [code] : [code, 'CLOSED'])
  }
  const { name } = shape
  switch (what) {
    case 'wrong key':
      return attempt(`db.get(${name}, ${source(shape.wrongKey)})`, 'INVALID_KEY', () => one.get(table, shape.wrongKey))
    case 'long key':
      if (name !== 'words') return
      return attempt(`db.get(words, 'x'.repeat(2000))`, 'KEY_TOO_LARGE', () => one.get(table, 'x'.repeat(2_000)))
    case 'unknown option':
      return attempt(`db.range(${name}, { from: 1 })`, 'INVALID_ARGUMENT', () => one.range(table, { from: 1 } as object))
    case 'both bounds': {
      const bounds = { gt: shape.keys[0], gte: shape.keys[0] }
      return attempt(`db.count(${name}, ${source(bounds)})`, 'INVALID_ARGUMENT', () => one.count(table, bounds))
    }
    case 'no function':
      return attempt(`db.transaction('no function')`, 'INVALID_ARGUMENT', () => db.transactionSync('no function' as unknown as () => void))
    case 'foreign table':
      if (session.staleTable === undefined) return
      return attempt(`db.get(of an earlier opening)`, 'FOREIGN_TABLE', () => one.get(session.staleTable!, shape.keys[0]))
    case 'other key':
      return attempt(`db.table('${name}', { key: ['null', 'null'] })`, 'TABLE_MISMATCH', () => db.table(name, { key: ['null', 'null'] }))
    case 'unknown transaction option':
      return attempt('db.begin({ colour: 1 })', 'INVALID_ARGUMENT', () => db.begin({ colour: 1 } as object))
    case 'promise in transactionSync':
      return attempt('db.transactionSync(async () => {})', 'NOT_SYNCHRONOUS', () => db.transactionSync(async () => {}))
    case 'second opener':
      if (!observer.isOpen) return
      return attempt('machine.openAgain()', 'LOCKED', () => observer.machine.openAgain())
    case 'handle after its end':
      if (session.leaked === undefined) return
      return expectIn(outcomeOf(() => session.leaked!.get(table, shape.keys[0])), ['TRANSACTION_ENDED'])
    case 'nested begin':
      return attempt('db.transactionSync(() => db.begin())', 'OUTSIDE_TRANSACTION', () => db.transactionSync(() => db.begin()))
  }
}
