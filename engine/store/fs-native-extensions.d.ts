/** The one call that we use of the package, which ships no types. */
declare module 'fs-native-extensions' {
  const extensions: {
    /** Takes an advisory lock on an open file, exclusive unless `shared`; false where another open file description has one that excludes it. Gone when the descriptor closes. */
    tryLock(fd: number, options: { readonly shared: boolean }): boolean
  }
  export default extensions
}
