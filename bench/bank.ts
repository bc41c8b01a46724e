/** A contestant that runs transfers, each round on a store opened anew on the files that the round before left behind. */
import { accountCount, Fingerprint, newAccounts, type Transfers } from './accounts.js'
import type { Store, Subject, TransferStore } from './store.js'
import type { Contestant, Measured, Round } from './workload.js'

export interface Bank<S extends Store | TransferStore> {
  readonly subject: Subject<S>
  readonly directory: string
  /** How many there are; `accountCount` where nothing is said. */
  readonly accounts?: number
  /** The work of a round, made before the clock starts. */
  readonly transfersOf: (round: Round) => Transfers
  /** Resolves to the value of the round where that is not transfers per second. */
  readonly run: (store: S, transfers: Transfers) => Promise<Measured | void>
  /** Whether closing the store, and with it all that was put off until then, is inside the timing. */
  readonly timing: 'with close' | 'without close'
}

/** Accounts read in one transaction to make the fingerprint. */
const readBatch = 100_000

/** Values are transfers per second, unless `run` says otherwise. */
export async function startBank<S extends Store | TransferStore>({ subject, directory, accounts = accountCount, transfersOf, run, timing }: Bank<S>): Promise<Contestant> {
  const filled = await subject.open(directory)
  try {
    await filled.load(newAccounts(accounts))
  } finally {
    await filled.close()
  }
  let transfers = 0
  let running: S | undefined
  const close = async (): Promise<void> => {
    const ending = running
    running = undefined
    await ending?.close()
  }
  return {
    async round(round) {
      const plan = transfersOf(round)
      running = await subject.open(directory)
      const startedMs = performance.now()
      const measured = await run(running, plan)
      let endedMs = performance.now()
      await close()
      if (timing === 'with close') endedMs = performance.now()
      transfers += plan.count
      return measured ?? (plan.count / (endedMs - startedMs)) * 1_000
    },
    async finish() {
      running = await subject.open(directory)
      const fingerprint = new Fingerprint()
      await addAll(fingerprint, running, accounts)
      await close()
      return fingerprint.after(transfers)
    },
    dispose: close,
  }
}

async function addAll(fingerprint: Fingerprint, store: Store | TransferStore, accounts: number): Promise<void> {
  if ('accounts' in store) {
    for (const account of await store.accounts()) fingerprint.add(account)
    return
  }
  for (let from = 0; from < accounts; from += readBatch) {
    await store.read(tx => {
      for (let id = from; id < Math.min(from + readBatch, accounts); id++) fingerprint.add(tx.get(id))
    })
  }
}
