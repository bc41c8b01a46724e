/** Magnitudes of bigints as bytes, for both codecs: big endian, no leading zero byte, so that each number has one form. */

const word = new DataView(new ArrayBuffer(8))

/** The bytes of `magnitude`, which must not be negative. Zero has none. */
export const bytesOfMagnitude = (magnitude: bigint): Uint8Array => {
  if (BigInt.asUintN(64, magnitude) === magnitude) {
    word.setBigUint64(0, magnitude)
    let first = 0
    while (first < 8 && word.getUint8(first) === 0) first++
    return new Uint8Array(word.buffer.slice(first))
  }
  const hex = magnitude.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
}

/** The inverse of `bytesOfMagnitude`. */
export const magnitudeOfBytes = (bytes: Uint8Array): bigint =>
  bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`)
