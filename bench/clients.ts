/** Clients that work side by side, as those of a server do: each begins its next operation when its last one is done (a closed loop). */

/** An operation of a store; synchronous stores are done when it returns. */
export type Operation = (index: number) => Promise<void> | void

/** Runs operations 0 to `operations - 1`, with up to `clients` of them in flight. Rejects with the first failure. */
export async function closedLoop(clients: number, operations: number, run: Operation): Promise<void> {
  let next = 0
  const client = async (): Promise<void> => {
    while (next < operations) {
      const done = run(next++)
      if (done !== undefined) await done
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
}
