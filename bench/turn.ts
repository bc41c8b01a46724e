/** Lets all others have their turn, as whoever waits for a network does. */
export const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
