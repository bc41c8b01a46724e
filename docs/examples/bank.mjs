/**
 * A bank: every customer may overdraw one account as long as the two together stay above zero.
 *
 *   npm run example:bank -- [--seconds 3]
 *
 * A withdrawal adds up both accounts and takes the money from one. At `snapshot` two withdrawals from different accounts can
 * spend the same money. At `serializable` the second is run again, sees what is left, and is declined.
 *
 * The books are kept outside of the database, by `tx.onCommit`, which runs once for each transaction that committed, however often its
 * body ran. They must agree with the accounts at either level.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { row } from 'premisedb'
import { compareLevels } from './crowd.mjs'

const customers = 30
const opening = 100
const accounts = ['checking', 'savings']
const upTo = limit => 1 + Math.floor(Math.random() * limit)

await compareLevels({
  title: 'Bank',
  rule: `${customers} customers with two accounts each. Money may be taken from one while both together cover it.`,
  unit: overdrawn => `a customer owed ${overdrawn}`,

  async start(db) {
    const balances = db.table('balances', { key: ['number', 'string'], schema: row() })
    await db.transaction(tx => {
      for (let customer = 1; customer <= customers; customer++) {
        for (const account of accounts) tx.put(balances, [customer, account], opening)
      }
    })
    let books = customers * accounts.length * opening

    const sumOf = (reader, customer) => reader.getMany(balances, accounts.map(account => [customer, account])).reduce((a, b) => a + b)

    const change = (tx, customer, account, amount) => {
      tx.update(balances, [customer, account], balance => balance + amount)
      tx.onCommit(() => {
        books += amount
      })
    }

    async function act(run) {
      const customer = upTo(customers)
      const account = accounts[upTo(2) - 1]
      const amount = upTo(150)
      const isDeposit = Math.random() < 0.4
      await run(`customer ${customer}, ${isDeposit ? 'deposit' : 'withdrawal'} of ${amount}, ${account}`, async tx => {
        const covered = isDeposit || sumOf(tx, customer) >= amount
        await pause(Math.random() * 4) // the network
        if (covered) change(tx, customer, account, isDeposit ? amount : -amount)
      })
      // Outside of any transaction: what has been acknowledged by now.
      const left = sumOf(db, customer)
      if (left < 0) run.broken(`customer ${customer} owed ${-left}`, -left)
    }

    function atEnd() {
      const total = db.range(balances).toArray().reduce((sum, balance) => sum + balance.value, 0)
      return total === books ? undefined : `The books say ${books}, the accounts ${total}.`
    }
    return { act, atEnd }
  },
})
