/** The one call that we use of the package, which ships no types. */
declare module 'fs-native-extensions' {
  const extensions: {
    /** Takes an exclusive advisory lock on an open file; false where another open file description has it. Gone when the descriptor closes. */
    tryLock(fd: number): boolean
  }
  export default extensions
}
