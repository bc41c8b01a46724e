/**
 * What 32 clients do to a database at once, so that anything lost, partial or wrong afterwards can be told.
 *
 * Every transaction has a token. Its row in `left` says how many rows it has in `right`; a client's row in `progress` says its newest token; transfers keep the sum of `accounts`.
 * What was acknowledged is said outside the store, one line per commit, and outlives the process:
 *
 *     F {"left":[…],"right":[…],…}     everything found at open, before the first write
 *     A TOKEN DELETED NUMBER CLIENT    transaction TOKEN was acknowledged; it deleted that of DELETED (or -), and is the client's NUMBERth
 *     R TOKEN DELETED NUMBER CLIENT    the same of a relaxed one
 */
import { row, type BoundOf, type Database, type PremiseError, type Table, type Transaction } from '../../engine/index.js'
import { Chance } from '../simulation/chance.js'

export const clients = 32
export const accounts = 48
export const startBalance = 1_000

/** `honest` says so after the promise has resolved. Of the controls, which must be caught, `early` says it a moment before, and `relaxed` takes a relaxed commit for a durable one. */
export type Mode = 'honest' | 'early' | 'relaxed'

export interface Left {
  readonly rights: number
  readonly deletes: string
  readonly padding: string
  readonly paddingLength: number
}

export interface Right {
  readonly token: string
}

export interface Tables {
  readonly left: Table<string, Left, Left, string>
  readonly right: Table<readonly [string, number], Right, Right, BoundOf<readonly ['string', 'number']>>
  readonly progress: Table<number, number, number, number>
  readonly accounts: Table<number, number, number, number>
}

/** Everything in the database, as the oracle judges it. */
export interface State {
  /** Token, how many rows it has in `right`, the token whose rows it deleted. */
  readonly left: readonly (readonly [string, number, string])[]
  readonly right: readonly (readonly [string, number, string])[]
  readonly progress: readonly (readonly [number, number])[]
  readonly balances: readonly number[]
  /** Tokens whose padding is not what was written. */
  readonly garbled: readonly string[]
}

export interface Work {
  readonly db: Database
  readonly seed: number
  readonly mode: Mode
  /** Large rows, so that checkpoints go on all the time under the limits that a database has by default. */
  readonly bulk: boolean
  /** From some size on as many rows are deleted as written, so that the database stays as large as it is. */
  readonly steady?: true
  /** Share of commits that are relaxed, where there are any. They are said with R in place of A. */
  readonly relaxed?: number
  readonly say: (line: string) => void
  /** Called inside the body and in the hook of every transaction: a place to end the process at. */
  readonly within?: (where: 'body' | 'hook') => void
  /** What becomes of a client whose transaction failed. By default the error is thrown on. */
  readonly failed?: (error: PremiseError) => Promise<'go on' | 'stop'>
}

export function tablesOf(db: Database): Tables {
  return {
    left: db.table('left', { key: ['string'], schema: row<Left>() }),
    right: db.table('right', { key: ['string', 'number'], schema: row<Right>() }),
    progress: db.table('progress', { key: ['number'], schema: row<number>() }),
    accounts: db.table('accounts', { key: ['number'], schema: row<number>() }),
  }
}

export function stateOf(db: Database, tables: Tables): State {
  const left = db.range(tables.left).toArray()
  return {
    left: left.map(({ key, value }) => [key, value.rights, value.deletes]),
    right: db.range(tables.right).toArray().map(({ key: [token, i], value }) => [token, i, value.token]),
    progress: db.range(tables.progress).toArray().map(({ key, value }) => [key, value]),
    balances: db.range(tables.accounts).toArray().map(({ value }) => value),
    garbled: left.filter(({ key, value }) => value.padding !== paddingOf(key, value.paddingLength)).map(({ key }) => key),
  }
}

const paddingOf = (token: string, length: number): string => token.repeat(Math.ceil(length / token.length)).slice(0, length)

/** Says what is there, then writes until every client was told to stop. */
export async function work(task: Work): Promise<void> {
  const tables = tablesOf(task.db)
  const found = stateOf(task.db, tables)
  task.say(`F ${JSON.stringify(found)}`)
  if (found.balances.length === 0) {
    await task.db.transaction(tx => {
      for (let i = 0; i < accounts; i++) tx.put(tables.accounts, i, startBalance)
    })
  }
  const chance = new Chance(task.seed)
  const run = `${Date.now().toString(36)}${chance.below(1e6).toString(36)}`
  await Promise.all(Array.from({ length: clients }, (_, client) => new Client(task, tables, chance, run, client).write(found)))
}

class Client {
  readonly #task: Work
  readonly #tables: Tables
  readonly #chance: Chance
  readonly #run: string
  readonly #client: number
  /** Tokens that this client alone may delete. */
  #own: string[] = []

  constructor(task: Work, tables: Tables, chance: Chance, run: string, client: number) {
    this.#task = task
    this.#tables = tables
    this.#chance = chance
    this.#run = run
    this.#client = client
  }

  async write(found: State): Promise<void> {
    const client = this.#client
    const chance = this.#chance
    const keep = this.#task.bulk ? 6 : 40
    const deletesBeyond = this.#task.steady ? 1 : 0.7
    this.#own = found.left.map(([token]) => token).filter(token => hash(token) % clients === client)
    let number = found.progress.find(([of]) => of === client)?.[1] ?? 0
    for (;;) {
      const token = tokenFor(client, `${this.#run}-${++number}`)
      const deletes = this.#own.length > 0 && chance.is(this.#own.length > keep ? deletesBeyond : 0.3)
      const deleted = deletes ? this.#own.splice(chance.below(this.#own.length), 1)[0] : undefined
      if ((await this.#commit(token, deleted, number)) === 'stop') return
    }
  }

  async #commit(token: string, deleted: string | undefined, number: number): Promise<'go on' | 'stop'> {
    const { db, say, mode, relaxed, failed } = this.#task
    const isRelaxed = relaxed !== undefined && this.#chance.is(relaxed)
    const durability = isRelaxed ? { durability: 'relaxed' as const } : {}
    const line = `${isRelaxed ? 'R' : 'A'} ${token} ${deleted ?? '-'} ${number} ${this.#client}`
    const body = this.#bodyOf(token, deleted, number)
    if (mode === 'early') {
      say(line)
      await new Promise(resolve => setTimeout(resolve, this.#chance.next() * 20))
    }
    try {
      if (this.#chance.is(0.02)) db.transactionSync(body, durability)
      else await db.transaction(body, { maxAttempts: 1_000, timeoutMs: 60_000, ...durability })
    } catch (error) {
      if (!failed) throw error
      if (deleted !== undefined) this.#own.push(deleted)
      return failed(error as PremiseError)
    }
    if (mode !== 'early') say(line)
    this.#own.push(token)
    return 'go on'
  }

  #bodyOf(token: string, deleted: string | undefined, number: number): (tx: Transaction) => void {
    const chance = this.#chance
    const tables = this.#tables
    const { bulk, within } = this.#task
    const client = this.#client
    const rights = chance.below(4)
    const large = bulk ? chance.is(0.5) : chance.is(0.02)
    const paddingLength = large ? (bulk ? 200_000 : 30_000) : chance.below(200)
    const padding = paddingOf(token, paddingLength)
    const [from, to] = [chance.below(accounts), chance.below(accounts)]
    const transfers = chance.is(0.3)
    const byRange = chance.is(0.5)
    return tx => {
      tx.insert(tables.left, token, { rights, deletes: deleted ?? '-', padding, paddingLength })
      if (deleted !== undefined) {
        const had = tx.get(tables.left, deleted)?.rights ?? 0
        tx.delete(tables.left, deleted)
        if (byRange) tx.deleteRange(tables.right, { prefix: [deleted] })
        else for (let i = 0; i < had; i++) tx.delete(tables.right, [deleted, i])
      }
      if (transfers) {
        tx.update(tables.accounts, from, balance => balance - 7)
        tx.update(tables.accounts, to, balance => balance + 7)
      }
      within?.('body')
      for (let i = 0; i < rights; i++) tx.put(tables.right, [token, i], { token })
      tx.put(tables.progress, client, number)
      if (within) tx.onCommit(() => within('hook'))
    }
  }
}

/** A token whose hash says whose it is, so that after a restart the same client goes on with it. */
function tokenFor(client: number, stem: string): string {
  for (let i = 0; ; i++) if (hash(`${stem}-${i}`) % clients === client) return `${stem}-${i}`
}

function hash(text: string): number {
  let h = 2_166_136_261
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16_777_619)
  return (h ^ (h >>> 15)) >>> 0
}
