import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { encodeKey, tablePrefix } from '../../engine/encoding/keys.js'
import { decodeRow, encodeRow } from '../../engine/encoding/rows.js'
import { StorageError } from '../../engine/errors.js'
import { asTs, type Key } from '../../isolation/types.js'

const keyOf = (name: string, table = 1): Key => encodeKey(tablePrefix(table), [name], ['string'])
const key = keyOf('nils')
const valueOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 37) & 0xff)
const lengths = [0, 1, 63, 64, 65, 66, 1_000, 100_000]
const timestamps = [0, 1, 255, 256, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 48 - 1]

const damage = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof StorageError && error.code === 'CORRUPT') return error.message
    throw error
  }
  return 'none'
}

describe('rows', () => {
  test.each(lengths)('a row with a value of %i bytes comes back whole', length => {
    for (const ts of timestamps) {
      const row = decodeRow(key, encodeRow(key, asTs(ts), valueOf(length)))
      expect(row.ts).toBe(ts)
      expect(Buffer.compare(row.value, valueOf(length))).toBe(0)
    }
  })

  test.each(lengths)('the checksum is the CRC-32 of key, timestamp and value, at %i bytes of value', length => {
    const row = Buffer.from(encodeRow(key, asTs(2 ** 40 + 5), valueOf(length)))
    const covered = Buffer.concat([Buffer.from(key, 'latin1'), row.subarray(1, 7), valueOf(length)])
    expect(row[0]).toBe(0)
    expect(row.readUIntBE(1, 6)).toBe(2 ** 40 + 5)
    expect(row.readUInt32BE(7)).toBe(crc32(covered))
  })

  test.each([5, 100])('any flipped bit of a row with %i bytes of value is noticed', length => {
    const good = encodeRow(key, asTs(77), valueOf(length))
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Uint8Array.from(good)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      expect(damage(() => decodeRow(key, bad))).not.toBe('none')
    }
  })

  test('a row cut anywhere is noticed', () => {
    const good = encodeRow(key, asTs(77), valueOf(80))
    for (let length = 0; length < good.length; length++) expect(damage(() => decodeRow(key, good.subarray(0, length)))).not.toBe('none')
  })

  test("another key's row is noticed", () => {
    const row = encodeRow(key, asTs(77), valueOf(5))
    expect(damage(() => decodeRow(keyOf('nilt'), row))).not.toBe('none')
    expect(damage(() => decodeRow(keyOf('nils', 2), row))).not.toBe('none')
  })

  test('damage is reported in its own words, without the value', () => {
    const row = encodeRow(key, asTs(1), Buffer.from('secret'))
    row[11]! ^= 1
    expect(damage(() => decodeRow(key, row))).toBe('its checksum is wrong')
    const long = keyOf('x'.repeat(1_000))
    expect(damage(() => decodeRow(long, new Uint8Array(3)))).toBe('it is cut short')
    row[0] = 9
    expect(damage(() => decodeRow(key, row))).toBe('its format is unknown')
  })

  test('nobody else writes to the bytes of a row, and a decoded value is a view of them', () => {
    const value = valueOf(5)
    const row = encodeRow(key, asTs(1), value)
    value[0] = 99
    encodeRow(key, asTs(1), value)
    const decoded = decodeRow(key, row)
    expect(decoded.value[0]).toBe(0)
    expect(decoded.value.buffer).toBe(row.buffer)
  })

  test.each([-1, 2 ** 48, NaN])('a timestamp of %s is not written', ts => {
    expect(() => encodeRow(key, asTs(ts), valueOf(1))).toThrow(RangeError)
  })
})
