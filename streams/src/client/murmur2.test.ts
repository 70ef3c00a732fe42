import { describe, expect, it } from 'vitest'
import { murmur2, partitionOfKey } from './murmur2.ts'

describe('murmur2', () => {
  // The values that Kafka's own UtilsTest expects of its Java version.
  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('of %s is what the Java client computes', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash)
  })

  it('puts a key into the same partition whether its bytes stand alone or in a larger buffer', () => {
    const alone = Buffer.from('order-4711')
    const within = Buffer.from('xxorder-4711yy').subarray(2, 12)
    expect(partitionOfKey(within, 7)).toBe(partitionOfKey(alone, 7))
  })
})
