/**
 * The transactions of SmallBank (Alomari, Cahill, Fekete, Röhm: The Cost of Serializability on Platforms That Use Snapshot Isolation, ICDE 2008), each with what it did, and the examination
 * of what they did. A row also counts how often it was changed: that shows which of two transactions saw more.
 */
import { row, type Database, type Table, type Transaction } from '../engine/index.js'

interface Account {
  readonly balance: number
  readonly changes: number
}

/** What a committed transaction did and saw. */
export interface Outcome {
  /** By how much the money of the bank grew. */
  readonly delta: number
  readonly check?: Check
  readonly told?: Told
}

/** Both accounts of a customer as a transaction saw them. */
interface Seen {
  readonly customer: number
  readonly total: number
  readonly savingsChanges: number
  readonly checkingChanges: number
}

/** A check that was paid, on what was seen before. */
export interface Check {
  readonly seen: Seen
  readonly amount: number
  readonly isCharged: boolean
}

/** A balance that a customer was told. */
export type Told = Seen

const initialBalance = 100
/** What an overdraft costs. */
const charge = 1

export class SmallBank {
  readonly #db: Database
  readonly #customers: Table<string, number, number, string>
  readonly #savings: Table<number, Account, Account, number>
  readonly #checking: Table<number, Account, Account, number>
  /** Between the reads and the writes of a transaction. */
  readonly #think: () => Promise<void>

  constructor(db: Database, think: () => Promise<void>) {
    this.#db = db
    this.#customers = db.table('customers', { key: ['string'], schema: row<number>() })
    this.#savings = db.table('savings', { key: ['number'], schema: row<Account>() })
    this.#checking = db.table('checking', { key: ['number'], schema: row<Account>() })
    this.#think = think
  }

  async load(customers: number): Promise<void> {
    await this.#db.transaction(tx => {
      for (let id = 0; id < customers; id++) {
        tx.put(this.#customers, nameOf(id), id)
        tx.put(this.#savings, id, { balance: initialBalance, changes: 0 })
        tx.put(this.#checking, id, { balance: initialBalance, changes: 0 })
      }
    })
  }

  /** All the money of the bank. */
  money(): number {
    const accounts = [this.#savings, this.#checking].flatMap(table => this.#db.range(table).toArray())
    return accounts.reduce((sum, { value }) => sum + value.balance, 0)
  }

  balance(tx: Transaction, customer: number): Outcome {
    return { delta: 0, told: this.#see(tx, this.#find(tx, customer)) }
  }

  async depositChecking(tx: Transaction, customer: number, amount: number): Promise<Outcome> {
    const id = this.#find(tx, customer)
    const checking = tx.get(this.#checking, id)!
    await this.#think()
    this.#change(tx, this.#checking, id, checking, amount)
    return { delta: amount }
  }

  /** A withdrawal, where the amount is negative, is refused if the savings do not suffice; nothing to move is nothing to write. The amount depends on what they are. */
  async transactSavings(tx: Transaction, customer: number, amountFor: (savings: number) => number): Promise<Outcome> {
    const id = this.#find(tx, customer)
    const savings = tx.get(this.#savings, id)!
    const amount = amountFor(savings.balance)
    await this.#think()
    if (amount === 0 || savings.balance + amount < 0) return { delta: 0 }
    this.#change(tx, this.#savings, id, savings, amount)
    return { delta: amount }
  }

  /** Moves all that `from` has to the checking account of `to`. */
  async amalgamate(tx: Transaction, from: number, to: number): Promise<Outcome> {
    const [source, target] = [this.#find(tx, from), this.#find(tx, to)]
    const [savings, checking, other] = [tx.get(this.#savings, source)!, tx.get(this.#checking, source)!, tx.get(this.#checking, target)!]
    await this.#think()
    this.#change(tx, this.#savings, source, savings, -savings.balance)
    this.#change(tx, this.#checking, source, checking, -checking.balance)
    this.#change(tx, this.#checking, target, other, savings.balance + checking.balance)
    return { delta: 0 }
  }

  /** Pays a check from the checking account, and charges for it where both accounts together do not suffice. Its amount depends on what they hold. */
  async writeCheck(tx: Transaction, customer: number, amountFor: (total: number) => number): Promise<Outcome> {
    const id = this.#find(tx, customer)
    const seen = this.#see(tx, id)
    const amount = amountFor(seen.total)
    const checking = tx.get(this.#checking, id)!
    await this.#think()
    const isCharged = seen.total < amount
    const delta = -(amount + (isCharged ? charge : 0))
    this.#change(tx, this.#checking, id, checking, delta)
    return { delta, check: { seen, amount, isCharged } }
  }

  #find(tx: Transaction, customer: number): number {
    const id = tx.get(this.#customers, nameOf(customer))
    if (id !== customer) throw new Error(`Customer ${customer} is missing.`)
    return id
  }

  #see(tx: Transaction, customer: number): Seen {
    const [savings, checking] = [tx.get(this.#savings, customer)!, tx.get(this.#checking, customer)!]
    return { customer, total: savings.balance + checking.balance, savingsChanges: savings.changes, checkingChanges: checking.changes }
  }

  #change(tx: Transaction, table: Table<number, Account, Account, number>, id: number, { balance, changes }: Account, amount: number): void {
    tx.put(table, id, { balance: balance + amount, changes: changes + 1 })
  }
}

const nameOf = (customer: number): string => `customer ${String(customer).padStart(9, '0')}`

export interface Skew {
  /** Checks paid on savings older than those in a balance that was told before the check was paid: no serial order has both. */
  readonly outdatedChecks: number
  /** Those among them that were not charged though the balance that had been told did not suffice. */
  readonly unchargedOverdrafts: number
}

/** Finds write skew: a balance that shows a change of the savings which a check did not see, and does not show the check. */
export function skewIn(checks: readonly Check[], told: readonly Told[]): Skew {
  // The balances that show the checking account as the check found it were told before the check, or without regard to it.
  const toldAt = grouped(told)
  const outdated = checks.map(check => ({
    check,
    newer: (toldAt.get(accountOf(check.seen)) ?? []).filter(({ savingsChanges }) => savingsChanges > check.seen.savingsChanges),
  }))
  return {
    outdatedChecks: outdated.filter(({ newer }) => newer.length > 0).length,
    unchargedOverdrafts: outdated.filter(({ check, newer }) => !check.isCharged && newer.some(({ total }) => total < check.amount)).length,
  }
}

const accountOf = ({ customer, checkingChanges }: Seen): string => `${customer} after ${checkingChanges}`

function grouped(told: readonly Told[]): Map<string, Told[]> {
  const groups = new Map<string, Told[]>()
  for (const seen of told) {
    const group = groups.get(accountOf(seen))
    if (group === undefined) groups.set(accountOf(seen), [seen])
    else group.push(seen)
  }
  return groups
}
