import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { md5 } from './md5.ts'
import { OffsetMap } from './offset-map.ts'

describe('md5', () => {
  it('is the digest of RFC 1321 for bytes of any length', () => {
    const digest = new Int32Array(4)
    const check = (bytes: Uint8Array): void => {
      // Not at the beginning of its memory, as keys never are.
      const within = Buffer.concat([Buffer.from('xyz'), bytes, Buffer.from('!')])
      md5(within, 3, 3 + bytes.length, digest)
      expect(Buffer.from(digest.buffer).toString('hex')).toBe(createHash('md5').update(bytes).digest('hex'))
    }
    for (let length = 0; length < 200; length++) check(Buffer.alloc(length, length))
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), check))
  })
})

describe('OffsetMap', () => {
  const put = (map: OffsetMap, key: Uint8Array, offset: number, sizeMax = map.slotCount - 1): boolean =>
    map.put(key, 0, key.length, offset, sizeMax)
  const get = (map: OffsetMap, key: Uint8Array): number => map.get(key, 0, key.length)

  it('tells for every key the offset that was put last, as a Map does', () => {
    const keys = fc.oneof(
      fc.uint8Array({ maxLength: 3 }),
      // Around the length from which on a key is known by its digest.
      fc.uint8Array({ minLength: 12, maxLength: 20 }),
      fc.constantFrom(...Array.from({ length: 18 }, (_, length) => new Uint8Array(length))),
    )
    fc.assert(
      fc.property(fc.array(keys, { maxLength: 200 }), keys, (sequence, absent) => {
        const map = new OffsetMap(211)
        const model = new Map<string, number>()
        for (const [offset, key] of sequence.entries()) {
          expect(put(map, key, offset)).toBe(true)
          model.set(Buffer.from(key).toString('hex'), offset)
        }
        for (const key of [...sequence, absent]) {
          expect(get(map, key)).toBe(model.get(Buffer.from(key).toString('hex')) ?? -1)
        }
        expect(map.size).toBe(model.size)
      }),
    )
  })

  it('takes no new key beyond its limit, and new offsets of those it has', () => {
    const map = new OffsetMap(4)
    const [a, b, c] = ['a', 'b', 'a key that is longer'].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer]
    expect([put(map, a, 0, 2), put(map, b, 1, 2), put(map, c, 2, 2)]).toEqual([true, true, false])
    expect(put(map, a, 2 ** 52, 2)).toBe(true)
    expect([get(map, a), get(map, b), get(map, c)]).toEqual([2 ** 52, 1, -1])
  })
})
