/** How long the event loop stands still when all that can be written is written. */
import { integersFrom } from '../random.js'
import { Lateness } from '../lateness.js'
import { inWords } from '../report/text.js'
import { premisedbRows } from '../subjects/premisedb-rows.js'
import { changedText, rowSizeBytes, TextCensus, textOf } from '../texts.js'
import type { Contestant, Context, Workload } from '../workload.js'

const subject = premisedbRows<string>()
const clients = 64
const rows = { full: 1_000_000, quick: 50_000 }
const roundMs = { full: 15_000, quick: 2_000 }
const warmUpMs = 500

export const stall: Workload = {
  name: 'stall',
  summary:
    `How late a timer comes that is set to one millisecond again and again, while ${clients} clients each update a random one of ${inWords(rows.full)} rows of ${rowSizeBytes} bytes (quick: ` +
    `${inWords(rows.quick)}), durable, for ${roundMs.full / 1_000} seconds, checkpoints included. The value is what 99 % of the timers did not exceed.`,
  unit: 'ms',
  better: 'less',
  rounds: { full: 2, quick: 2 },
  entries: [{ subject: subject.name, peer: undefined, settings: subject.settings, start }],
  goals: [{ name: 'stall-p99-ms', of: subject.name, to: undefined, op: '<=', target: 10 }],
}

async function start({ quick, seed, directory }: Context): Promise<Contestant> {
  const count = quick ? rows.quick : rows.full
  const filled = await subject.open(directory)
  await filled.load(count, id => textOf(id, 0))
  await filled.close()
  const store = await subject.open(directory)
  let updates = 0
  return {
    async round({ number, isWarmUp }) {
      const integer = integersFrom(seed, number)
      const [updatesBefore, checkpointsBefore] = [updates, store.checkpoints]
      const lateness = new Lateness()
      const startedMs = performance.now()
      const untilMs = startedMs + (isWarmUp ? warmUpMs : quick ? roundMs.quick : roundMs.full)
      const client = async (): Promise<void> => {
        while (performance.now() < untilMs) {
          const id = integer(count)
          await store.update(id, text => changedText(id, text))
          updates++
        }
      }
      lateness.start()
      await Promise.all(Array.from({ length: clients }, client))
      lateness.stop()
      const elapsedMs = performance.now() - startedMs
      return {
        value: lateness.quantileMs(0.99),
        notes: {
          'median, ms': lateness.quantileMs(0.5),
          'longest, ms': lateness.quantileMs(1),
          'commits/s': ((updates - updatesBefore) / elapsedMs) * 1_000,
          checkpoints: store.checkpoints - checkpointsBefore,
        },
      }
    },
    async finish() {
      const census = new TextCensus()
      await store.read(reader => reader.all((id, text) => census.add(id, text)))
      return census.proof(count, updates)
    },
    dispose: () => store.close(),
  }
}
