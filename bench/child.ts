/** Work in a process of its own: where the process itself is measured (its heap, what it writes), and where a store has to end without being closed. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** Runs the module `job`, which calls `answer`, and resolves to its answer when the process has ended. `flags` are Node's. */
export async function runInChild<Answer>(job: URL, input: object, flags: readonly string[] = []): Promise<Answer> {
  const child = fork(fileURLToPath(job), { execArgv: [...flags] })
  let answered: { readonly answer: Answer } | undefined
  child.on('message', message => (answered = { answer: message as Answer }))
  // Only when the channel is closed as well has everything come that was sent.
  const ended = Promise.all([once(child, 'exit'), once(child, 'disconnect')])
  child.send(input)
  const [[status, signal]] = await ended
  if (answered === undefined) throw new Error(`${fileURLToPath(job)} ended with ${signal ?? status} and no answer.`)
  return answered.answer
}

/** In the child: does the work, answers, and calls `after`. Where it fails, the process ends with status 1 and says why on standard error. */
export function answer(work: (input: never) => Promise<unknown>, after: () => void = () => process.disconnect()): void {
  process.once('message', input => {
    work(input as never).then(
      result => process.send!(result, undefined, {}, after),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  })
}
