/** What a subcommand of `premise` is. */

export interface Output {
  readonly colour: boolean
  readonly write: (text: string) => void
}

export interface Command {
  /** One line for the list of commands. */
  readonly summary: string
  readonly help: string
  /** Resolves to the exit code. Rejects with `CommandLineError` where the arguments make no sense. */
  readonly run: (args: readonly string[], output: Output) => Promise<number>
}

/** A mistake of whoever typed the command: exit code 2, and only the message is shown. */
export class CommandLineError extends Error {
  override readonly name = 'CommandLineError'
}
