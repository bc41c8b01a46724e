/** Times a single operation over and over, with tinybench. */
import { Bench } from 'tinybench'

/** Operations per second, on the average of about `durationMs`. Rejects where the operation throws or rejects. */
export async function operationsPerSecond(operation: () => Promise<void> | void, durationMs: number): Promise<number> {
  const bench = new Bench({ time: durationMs, iterations: 4, warmup: false, throws: true })
  // Said, because it would find out by a call that is not awaited.
  bench.add('operation', operation, { async: true })
  const [task] = await bench.run()
  const result = task?.result
  if (result?.state !== 'completed') throw new Error(`The operation could not be timed: ${result?.state ?? 'not run'}.`)
  return 1_000 / result.latency.mean
}
