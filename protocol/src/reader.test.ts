import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ProtocolError } from './protocol-error.ts'
import { Reader } from './reader.ts'
import { INT64_MAX } from './schema.ts'
import { Writer } from './writer.ts'

function reader(hex: string): Reader {
  return new Reader(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
}

const FIXED = {
  bool: 1,
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  float64: 8,
  uuid: 16,
} as const

describe('Reader', () => {
  it('reads the part of a buffer that it was given and nothing behind it', () => {
    const buffer = Buffer.from('ffff0102ffff', 'hex')
    const part = new Reader(buffer, 2, 4)
    expect(part.remaining).toBe(2)
    expect(part.int16()).toBe(0x0102)
    expect(part.remaining).toBe(0)
    expect(() => part.int8()).toThrow(ProtocolError)
    expect(() => new Reader(buffer, 2, 4).int32()).toThrow(ProtocolError)
    expect(() => new Reader(buffer, 2, 4).view(3)).toThrow(ProtocolError)
  })

  it('refuses a part that is not inside of the buffer', () => {
    const buffer = Buffer.alloc(4)
    for (const [at, end] of [
      [-1, 4],
      [3, 2],
      [0, 5],
      [Number.NaN, 4],
    ]) {
      expect(() => new Reader(buffer, at!, end!)).toThrow(ProtocolError)
    }
  })

  it.each(Object.entries(FIXED))('refuses a %s that is cut off, and stays where it was', (type, sizeBytes) => {
    for (let size = 0; size < sizeBytes; size++) {
      const short = new Reader(Buffer.alloc(8 + size), 8)
      expect(() => short[type as keyof typeof FIXED]()).toThrow(ProtocolError)
      expect(short.at).toBe(8)
    }
  })

  it('says what was wanted and where the frame ends', () => {
    expect(() => reader('000000').int32()).toThrow('int32 of 4 bytes wanted at byte 0, the frame ends at byte 3')
    expect(() => reader('0010 61').string()).toThrow('string of length 16 at byte 2, where the frame has 1 bytes left')
  })

  it('reads an int64 as long as a number can hold it', () => {
    expect(reader('001fffffffffffff').int64()).toBe(Number.MAX_SAFE_INTEGER)
    expect(reader('ffe0000000000001').int64()).toBe(Number.MIN_SAFE_INTEGER)
    expect(reader('ffffffffffffffff').int64()).toBe(-1)
    expect(reader('7fffffffffffffff').int64()).toBe(INT64_MAX)
    for (const beyond of ['0020000000000000', 'ffe0000000000000', '7ffffffffffffffe', '8000000000000000']) {
      expect(() => reader(beyond).int64()).toThrow('int64 at byte 0 is beyond 2^53')
    }
  })

  it('bounds a varint to 5 bytes and 32 bits', () => {
    expect(reader('ffffffff0f').uvarint()).toBe(0xffffffff)
    expect(reader('8080808000').uvarint()).toBe(0)
    expect(() => reader('ffffffff10').uvarint()).toThrow(ProtocolError)
    expect(() => reader('ffffffffff01').uvarint()).toThrow(ProtocolError)
    expect(() => reader('8080').uvarint()).toThrow(ProtocolError)
  })

  it('bounds a varlong to 10 bytes and 2^53', () => {
    expect(reader('80808080808080808000').varlong()).toBe(0)
    expect(() => reader('8080808080808080808000').varlong()).toThrow(ProtocolError)
    expect(() => reader('ffffffffffffffffff01').varlong()).toThrow(ProtocolError)
  })

  it('takes a length of -1 for null where null may be, and no other negative length', () => {
    expect(reader('ffff').nullableString()).toBeNull()
    expect(reader('00').compactNullableString()).toBeNull()
    expect(reader('ffffffff').nullableBytes()).toBeNull()
    expect(reader('00').compactNullableBytes()).toBeNull()
    expect(reader('ffffffff').nullableCount(1)).toBe(-1)
    expect(reader('00').compactNullableCount(1)).toBe(-1)
    for (const method of ['string', 'compactString', 'bytes', 'compactBytes'] as const) {
      expect(() => reader(method.startsWith('compact') ? '00' : 'ffffffff')[method]()).toThrow(ProtocolError)
    }
    expect(() => reader('fffe').nullableString()).toThrow(ProtocolError)
    expect(() => reader('fffffffe').nullableBytes()).toThrow(ProtocolError)
    expect(() => reader('fffffffe').nullableCount(1)).toThrow(ProtocolError)
    expect(() => reader('ffffffff').count(1)).toThrow(ProtocolError)
    expect(() => reader('00').compactCount(1)).toThrow(ProtocolError)
  })

  it('refuses a count for which the frame has not enough bytes', () => {
    expect(reader('00000002 0000000000000000').count(4)).toBe(2)
    expect(() => reader('00000003 0000000000000000').count(4)).toThrow('array of count 3 at byte 4')
    expect(() => reader('ffffffff0f 00').compactCount(1)).toThrow(ProtocolError)
  })

  it('refuses a string beyond 32767 bytes even where its length could be written', () => {
    const long = new Writer()
    long.uvarint(0x8000 + 1)
    long.raw(Buffer.alloc(0x8000, 'a'))
    expect(() => new Reader(long.take()).compactString()).toThrow(ProtocolError)
    expect(() => new Reader(long.take()).compactNullableString()).toThrow(ProtocolError)
  })

  it('gives bytes as a view of the frame', () => {
    const frame = Buffer.from('0000000261620000', 'hex')
    const bytes = new Reader(frame).bytes()
    frame[4] = 0x7a
    expect(bytes.toString()).toBe('zb')
  })

  it('passes over tags, whatever their number and size', () => {
    const tags = reader('02 00 03 aabbcc 85808000 00 7f')
    tags.skipTags()
    expect(tags.int8()).toBe(0x7f)
    expect(() => reader('01 00 05 aa').skipTags()).toThrow(ProtocolError)
    expect(() => reader('ffffffff0f 0000').skipTags()).toThrow(ProtocolError)
  })
})

describe('Writer', () => {
  it('writes every number so that the reader finds it again', () => {
    const numbers = fc.record({
      int8: fc.integer({ min: -0x80, max: 0x7f }),
      int16: fc.integer({ min: -0x8000, max: 0x7fff }),
      uint16: fc.nat(0xffff),
      int32: fc.integer(),
      uint32: fc.nat(0xffffffff),
      int64: fc.maxSafeInteger(),
      uvarint: fc.nat(0xffffffff),
      varint: fc.integer(),
      varlong: fc.maxSafeInteger().map((value) => Math.trunc(value / 2)),
      float64: fc.double(),
    })
    fc.assert(
      fc.property(numbers, (values) => {
        const writer = new Writer(1)
        const types = Object.keys(values) as (keyof typeof values)[]
        for (const type of types) writer[type](values[type])
        const written = new Reader(writer.take())
        for (const type of types) expect(written[type]() + 0).toBe(values[type] + 0)
        expect(written.remaining).toBe(0)
      }),
    )
  })

  it('writes the same bytes as the platform does', () => {
    fc.assert(
      fc.property(fc.bigInt(-(2n ** 53n) + 1n, 2n ** 53n - 1n), (value) => {
        const expected = Buffer.alloc(8)
        expected.writeBigInt64BE(value)
        const writer = new Writer()
        writer.int64(Number(value))
        expect(writer.take().equals(expected)).toBe(true)
      }),
    )
  })

  it.each([
    ['int8', 128],
    ['int8', -129],
    ['int16', 0x8000],
    ['uint16', -1],
    ['uint16', 0x10000],
    ['int32', 2 ** 31],
    ['int32', 1.5],
    ['int32', Number.NaN],
    ['uint32', -1],
    ['uint32', 2 ** 32],
    ['int64', 2 ** 53],
    ['int64', 0.5],
    ['int64', -Infinity],
    ['uvarint', -1],
    ['varint', 2 ** 31],
    ['varlong', 2 ** 53],
  ] as const)('refuses %s of %d', (type, value) => {
    const writer = new Writer()
    expect(() => writer[type](value)).toThrow(ProtocolError)
    expect(writer.at).toBe(0)
  })

  it('refuses what is no uuid', () => {
    for (const text of ['', 'AAAA', 'AAAAAAAAAAAAAAAAAAAAA!', 'AAAAAAAAAAAAAAAAAAAAAAAA']) {
      expect(() => new Writer().uuid(text)).toThrow(ProtocolError)
    }
  })

  it('refuses a string beyond 32767 bytes, also when only its bytes are too many', () => {
    for (const text of ['a'.repeat(0x8000), 'ä'.repeat(0x4000)]) {
      expect(() => new Writer().string(text)).toThrow(ProtocolError)
      expect(() => new Writer().compactString(text)).toThrow(ProtocolError)
    }
    const most = new Writer()
    most.compactString('a'.repeat(0x7fff))
    expect(new Reader(most.take()).compactString()).toHaveLength(0x7fff)
  })

  it('writes text of any length and alphabet where the buffer ends in the middle of it', () => {
    const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 60 }), { maxLength: 8 })
    fc.assert(
      fc.property(texts, fc.integer({ min: 0, max: 40 }), (values, sizeBytes) => {
        const writer = new Writer(sizeBytes)
        for (const value of values) {
          writer.string(value)
          writer.compactString(value)
        }
        const written = new Reader(writer.take())
        for (const value of values) {
          expect(written.string()).toBe(value)
          expect(written.compactString()).toBe(value)
        }
      }),
    )
  })

  it('gives a tagged field the shortest size there is', () => {
    for (const [length, head] of [
      [0, '0500'],
      [127, '057f'],
      [128, '058001'],
      [16383, '05ff7f'],
      [16384, '05808001'],
    ] as const) {
      const writer = new Writer(1)
      const start = writer.beginTag(5)
      writer.raw(Buffer.alloc(length, 0xab))
      writer.endTag(start)
      expect(writer.take().toString('hex')).toBe(head + 'ab'.repeat(length))
    }
  })

  it('fills in a size that is known only at the end', () => {
    const writer = new Writer()
    writer.int32(0)
    writer.compactString('abc')
    writer.setInt32(0, writer.at - 4)
    expect(writer.take().toString('hex')).toBe('0000000404616263')
    expect(() => writer.setInt32(5, 1)).toThrow(ProtocolError)
  })

  it('starts over in the same memory', () => {
    const writer = new Writer()
    writer.int8(1)
    const first = writer.take()
    writer.reset()
    writer.int8(2)
    expect(writer.at).toBe(1)
    expect(first[0]).toBe(2)
  })
})
