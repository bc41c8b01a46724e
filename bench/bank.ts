/** A contestant that runs transfers, each round on a store opened anew on the files that the round before left behind. */
import { fingerprint, newAccounts, type Transfers } from './accounts.js'
import type { Store, Subject } from './store.js'
import type { Contestant, Round } from './workload.js'

export interface Bank<S extends Store> {
  readonly subject: Subject<S>
  readonly directory: string
  /** The work of a round, made before the clock starts. */
  readonly transfersOf: (round: Round) => Transfers
  readonly run: (store: S, transfers: Transfers) => Promise<void>
  /** Whether closing the store, and with it all that was put off until then, is inside the timing. */
  readonly timing: 'with close' | 'without close'
}

/** Values are transfers per second. */
export async function startBank<S extends Store>({ subject, directory, transfersOf, run, timing }: Bank<S>): Promise<Contestant> {
  const filled = await subject.open(directory)
  await filled.load(newAccounts())
  await filled.close()
  let transfers = 0
  let running: S | undefined
  return {
    async round(round) {
      const plan = transfersOf(round)
      running = await subject.open(directory)
      const startedMs = performance.now()
      await run(running, plan)
      let endedMs = performance.now()
      await running.close()
      if (timing === 'with close') endedMs = performance.now()
      running = undefined
      transfers += plan.count
      return (plan.count / (endedMs - startedMs)) * 1_000
    },
    async finish() {
      running = await subject.open(directory)
      return await running.read(tx => fingerprint(tx, transfers))
    },
    async dispose() {
      await running?.close()
    },
  }
}
