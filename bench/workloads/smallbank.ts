/** SmallBank at each level: what it costs to keep the bank right, and what goes wrong where it is not. */
import { loopFor } from '../clients.js'
import { abortsNote } from '../hot-rows.js'
import { integersFrom } from '../random.js'
import { inWords } from '../report/text.js'
import { skewIn, SmallBank, type Check, type Outcome, type Told } from '../smallbank.js'
import { contendedSettings, ContendedStore } from '../subjects/premisedb-contended.js'
import { turn } from '../turn.js'
import type { Contestant, Context, Workload } from '../workload.js'
import { levels, type Level, type Transaction } from '../../engine/index.js'

const customers = 1_000
const hot = 20
/** Of ten customers so many are hot ones. */
const hotTenths = 9
const depositMax = 1_000
/** A check of a customer who has less is a share of this. */
const checkBase = 100
const clients = 64
const roundMs = { full: 2_000, quick: 700 }
/** A transaction that writes lets the others have up to so many turns. */
const turnsMax = 5

async function start(level: Level, { quick, seed, directory }: Context): Promise<Contestant> {
  const store = await ContendedStore.open(directory, level)
  const turns = integersFrom(seed)
  const bank = new SmallBank(store.db, async () => {
    for (let left = 1 + turns(turnsMax); left > 0; left--) await turn()
  })
  await bank.load(customers)
  return {
    async round({ number }) {
      const before = bank.money()
      let delta = 0
      const checks: Check[] = []
      const told: Told[] = []
      const next = mix(bank, integersFrom(seed, number))
      store.takeAbortsPerCommit()
      const { operationsPerSecond } = await loopFor({ clients, durationMs: roundMs[quick ? 'quick' : 'full'] }, async () => {
        const outcome = await store.transaction(next())
        delta += outcome.delta
        if (outcome.check !== undefined) checks.push(outcome.check)
        if (outcome.told !== undefined) told.push(outcome.told)
      })
      const missing = Math.abs(before + delta - bank.money())
      const { outdatedChecks, unchargedOverdrafts } = skewIn(checks, told)
      if (missing > 0 && level !== 'read-committed') throw new Error(`At level ${level} the bank differs by ${missing} from what was paid in and out.`)
      if (outdatedChecks > 0 && level === 'serializable') throw new Error(`At level ${level} ${outdatedChecks} checks were paid on outdated savings.`)
      return {
        value: operationsPerSecond,
        notes: { [abortsNote]: store.takeAbortsPerCommit(), 'money off': missing, 'outdated checks': outdatedChecks, 'uncharged overdrafts': unchargedOverdrafts },
      }
    },
    finish: () => Promise.resolve('the bank kept every invariant that the level promises; what it does not was counted'),
    dispose: () => store.db.close(),
  }
}

/** Each call chooses a transaction. An attempt that is run again does the same. */
function mix(bank: SmallBank, integer: (bound: number) => number): () => (tx: Transaction) => Outcome | Promise<Outcome> {
  const customer = (): number => (integer(10) < hotTenths ? integer(hot) : hot + integer(customers - hot))
  const choices = [
    () => {
      const whose = customer()
      return (tx: Transaction) => bank.balance(tx, whose)
    },
    () => {
      const [whose, paid] = [customer(), 1 + integer(depositMax)]
      return (tx: Transaction) => bank.depositChecking(tx, whose, paid)
    },
    () => {
      const [whose, isWithdrawal, paid, percent] = [customer(), integer(2) === 0, 1 + integer(depositMax), 1 + integer(125)]
      return (tx: Transaction) => bank.transactSavings(tx, whose, balance => (isWithdrawal ? -Math.ceil((balance * percent) / 100) : paid))
    },
    () => {
      const from = customer()
      let to = customer()
      while (to === from) to = customer()
      return (tx: Transaction) => bank.amalgamate(tx, from, to)
    },
    () => {
      const [whose, percent] = [customer(), 1 + integer(125)]
      return (tx: Transaction) => bank.writeCheck(tx, whose, total => Math.ceil((Math.max(checkBase, total) * percent) / 100))
    },
  ]
  return () => choices[integer(choices.length)]!()
}

export const smallbank: Workload = {
  name: 'smallbank',
  summary:
    'SmallBank (Alomari, Cahill, Fekete, Röhm, ICDE 2008): a balance, a deposit, a change of the savings, moving all that one customer has to another, and a check that costs more where savings and checking ' +
    `account together do not cover it, each as often as the others. Chosen here: ${inWords(customers)} customers, ${hot} of whom are concerned ${hotTenths * 10} % of the time; deposits ` +
    `of up to ${inWords(depositMax)}; out of the savings 1 to 125 % of them, refused where that is more than there is; checks of 1 to 125 % of what both accounts hold, or of ${checkBase} where that is more; ${clients} clients; ` +
    `whoever writes lets the others have one to ${turnsMax} turns before. Acknowledged before on disk; aborted ones run again until they commit. ` +
    'In each round all the money must be what was paid in and out: lost updates break that at read-committed. At snapshot a check can be paid on savings that a balance told before the check shows to be ' +
    'outdated (write skew), and be an overdraft without the charge. At serializable either would be a failure. Counts are of one round.',
  unit: 'commits/s',
  rounds: { full: 5, quick: 2 },
  entries: levels.toReversed().map(level => ({
    subject: `premisedb/${level}`,
    peer: undefined,
    settings: contendedSettings(level),
    start: context => start(level, context),
  })),
  goals: [],
}
