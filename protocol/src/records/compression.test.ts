import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compress, decompress } from './compression.ts'
import { COMPRESSIONS, DecompressionError, OutputTooLargeError } from './compressions.ts'
import { readLz4Frames, writeLz4Frame } from './lz4-frame.ts'
import { compressSnappyBlock, readSnappy, writeSnappy } from './snappy-block.ts'
import { xxhash32 } from './xxhash32.ts'

const require = createRequire(import.meta.url)
const lz4 = require('lz4-napi') as {
  readonly compressFrameSync: (
    bytes: Buffer,
    options?: { contentChecksum?: boolean; blockChecksums?: boolean },
  ) => Buffer
  readonly decompressFrameSync: (bytes: Buffer) => Buffer
}
const snappy = require('snappy') as {
  readonly compressSync: (bytes: Buffer) => Buffer
  readonly uncompressSync: (bytes: Buffer) => Buffer
}

const NO_LIMIT = 1e9
const COMPRESSED = COMPRESSIONS.slice(1)

/** Bytes as they come: noise, repetition near and far, and mixtures, around the sizes where formats change their mind. */
const content: fc.Arbitrary<Buffer> = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 40_000 }))
        .map(([pattern, size]) => Buffer.alloc(size, pattern)),
      fc.integer({ min: 0, max: 70 }).map((size) => Buffer.from(Array.from({ length: size }, (_, i) => i * 37))),
    ),
    { maxLength: 6 },
  )
  .map((parts) => Buffer.concat(parts))

/** How many bytes come out, or what is thrown instead. */
function outcome(run: () => Buffer): unknown {
  try {
    return run().length
  } catch (cause) {
    return cause
  }
}

const text = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `record ${(i * i) % 97}\n`).join(''))

describe.each(COMPRESSIONS)('%s', (compression) => {
  it('gives back what was compressed', () => {
    fc.assert(
      fc.property(content, (bytes) => {
        const compressed = compress(compression, bytes)
        expect(decompress(compression, compressed, bytes.length).equals(bytes)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('gives back nothing and megabytes', () => {
    expect(decompress(compression, compress(compression, Buffer.alloc(0)), 0)).toHaveLength(0)
    const large = Buffer.alloc(5_000_000)
    for (let i = 0; i < large.length; i++) large[i] = (i * i) >>> 7
    expect(decompress(compression, compress(compression, large), large.length).equals(large)).toBe(true)
  })

  it('says that the output is too large, however little is missing', () => {
    const compressed = compress(compression, text)
    for (const limit of [0, 1, 1000, text.length - 1]) {
      expect(() => decompress(compression, compressed, limit)).toThrow(OutputTooLargeError)
    }
  })
})

describe.each(COMPRESSED)('malformed %s', (compression) => {
  it('is refused when it is cut off anywhere', () => {
    const compressed = compress(compression, text.subarray(0, 1000))
    for (let end = 0; end < compressed.length; end++) {
      // A framed snappy stream has no end of its own: cut between blocks, it is a shorter one.
      if (compression === 'snappy' && end === 16) continue
      expect(() => decompress(compression, compressed.subarray(0, end), NO_LIMIT)).toThrow(DecompressionError)
    }
  })

  it('is refused when something else follows', () => {
    const compressed = Buffer.concat([compress(compression, text), Buffer.from('something else')])
    expect(() => decompress(compression, compressed, NO_LIMIT)).toThrow(DecompressionError)
  })

  it('gives bytes within the limit or a DecompressionError, whatever it is', () => {
    const seeds = [compress(compression, text.subarray(0, 2000)), compress(compression, Buffer.alloc(3000, 7))]
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 })
    const changed = fc.tuple(fc.constantFrom(...seeds), changes).map(([seed, places]) => {
      const bytes = Buffer.from(seed)
      for (const [at, byte] of places) bytes[at % bytes.length] = byte
      return bytes
    })
    const noise = fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes))
    let errorCount = 0
    fc.assert(
      fc.property(fc.oneof({ weight: 4, arbitrary: changed }, { weight: 1, arbitrary: noise }), (bytes) => {
        const result = outcome(() => decompress(compression, bytes, 10_000))
        if (typeof result !== 'number') errorCount++
        expect(result instanceof DecompressionError || (typeof result === 'number' && result <= 10_000)).toBe(true)
      }),
      { numRuns: 300 },
    )
    expect(errorCount).toBeGreaterThan(10)
  })
})

describe('a bomb', () => {
  const zeros = Buffer.alloc(50_000_000)
  // What expands most: gzip about 1000:1, lz4 255:1, snappy 21:1, zstd far beyond.
  it.each([
    ['gzip', gzipSync(zeros)],
    ['zstd', zstdCompressSync(zeros)],
    ['lz4', lz4.compressFrameSync(zeros)],
    ['snappy', snappy.compressSync(zeros)],
  ] as const)('of %s stops at the limit', (compression, bomb) => {
    expect(() => decompress(compression, bomb, 1_000_000)).toThrow(OutputTooLargeError)
  })

  it('of snappy is not believed when its length alone is large', () => {
    // 2^32 - 1 bytes are announced by ten.
    const liar = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0])
    expect(() => readSnappy(liar, 2 ** 33)).toThrow(/4294967295 bytes out of 5/)
  })
})

describe('libraries', () => {
  it('are loaded by the first use of a codec, not by the import', () => {
    const script = `
      import { createRequire } from 'node:module'
      const records = await import(${JSON.stringify(new URL('index.ts', import.meta.url).href)})
      const require = createRequire(${JSON.stringify(import.meta.url)})
      const count = () => Object.keys(require.cache).filter((file) => /snappy|lz4/.test(file)).length
      const before = count()
      records.compress('snappy', Buffer.from('a'))
      records.compress('lz4', Buffer.from('a'))
      console.log(before, count() > 0)`
    const output = execFileSync(process.execPath, ['-C', 'source', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    })
    expect(output.trim()).toBe('0 true')
  })
})

describe('lz4', () => {
  it('is read as the native library reads it, with any checksums', () => {
    fc.assert(
      fc.property(content, fc.boolean(), fc.boolean(), (bytes, contentChecksum, blockChecksums) => {
        const frame = lz4.compressFrameSync(bytes, { contentChecksum, blockChecksums })
        expect(readLz4Frames(frame, bytes.length).equals(bytes)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('is written so that the native library reads it where that cannot write', () => {
    fc.assert(
      fc.property(content, (bytes) => {
        const frame = writeLz4Frame(bytes)
        expect(lz4.decompressFrameSync(frame).equals(bytes)).toBe(true)
        expect(readLz4Frames(frame, bytes.length).equals(bytes)).toBe(true)
      }),
      { numRuns: 60 },
    )
    expect(writeLz4Frame(text).length).toBeLessThan(text.length / 20)
  })

  const { writtenBy, ...frames } = JSON.parse(
    readFileSync(new URL('fixtures/lz4-frames.json', import.meta.url), 'utf8'),
  ) as Record<string, string>

  it.each(Object.keys(frames))(`is read from a frame of other programs: %s`, (kind) => {
    expect(writtenBy).toMatch(/^lz4/)
    expect(readLz4Frames(Buffer.from(frames[kind]!, 'base64'), text.length).equals(text)).toBe(true)
  })

  it('is read from frames that follow one another', () => {
    const frame = lz4.compressFrameSync(Buffer.from('ab'))
    expect(readLz4Frames(Buffer.concat([frame, frame, frame]), 6).toString()).toBe('ababab')
  })

  it('is refused when a checksum is wrong', () => {
    const bytes = text.subarray(0, 500)
    const frame = lz4.compressFrameSync(bytes, { contentChecksum: true, blockChecksums: true })
    const places = [6, frame.length - 1, frame.length - 9] // of the header, the content, the only block
    const outcomes = places.map((place) => {
      const changed = Buffer.from(frame)
      changed[place]! ^= 1
      return String(outcome(() => readLz4Frames(changed, 500)))
    })
    expect(outcomes).toEqual([
      expect.stringContaining('wrong checksum of the frame header'),
      expect.stringContaining('wrong checksum of a content'),
      expect.stringContaining('wrong checksum of a block'),
    ])
  })

  it('is refused when a match reaches back before its frame or its independent block', () => {
    const matchAtStart = Buffer.from([0x10, 0x61, 2, 0, 0x50, 1, 2, 3, 4, 5]) // one literal, a match from two back
    expect(() => readLz4Frames(oneBlockFrame(matchAtStart), 1000)).toThrow(/2 bytes back of 1/)
    const valid = Buffer.from([0x10, 0x61, 1, 0, 0x50, 1, 2, 3, 4, 5])
    expect(readLz4Frames(oneBlockFrame(valid), 1000).toString('latin1')).toBe('aaaaa\x01\x02\x03\x04\x05')
    const zeroDistance = Buffer.from([0x10, 0x61, 0, 0, 0x50, 1, 2, 3, 4, 5])
    expect(() => readLz4Frames(oneBlockFrame(zeroDistance), 1000)).toThrow(/0 bytes back/)
  })

  it('is refused when a match of an independent block reaches into the one before', () => {
    const first = Buffer.from([0x50, 1, 2, 3, 4, 5])
    const second = Buffer.from([0x10, 0x61, 2, 0, 0x50, 1, 2, 3, 4, 5])
    const parts = [first, second].map((block) => oneBlockFrame(block).subarray(7, -4))
    const frame = (...blocks: Buffer[]): Buffer =>
      Buffer.concat([oneBlockFrame(first).subarray(0, 7), ...blocks, Buffer.alloc(4)])
    expect(readLz4Frames(frame(parts[0]!, parts[0]!), 100)).toHaveLength(10)
    expect(() => readLz4Frames(frame(parts[0]!, parts[1]!), 100)).toThrow(/2 bytes back of 1/)
  })

  function oneBlockFrame(block: Buffer): Buffer {
    const size = Buffer.alloc(4)
    size.writeUInt32LE(block.length)
    return Buffer.concat([writeLz4Frame(Buffer.alloc(0)).subarray(0, 7), size, block, Buffer.alloc(4)])
  }
})

describe('snappy', () => {
  it('is read as a raw block and in the framing of Java', () => {
    fc.assert(
      fc.property(content, (bytes) => {
        expect(readSnappy(snappy.compressSync(bytes), bytes.length).equals(bytes)).toBe(true)
        expect(readSnappy(writeSnappy(bytes, snappy.compressSync), bytes.length).equals(bytes)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('is written so that the native library reads it where that cannot write', () => {
    fc.assert(
      fc.property(content, (bytes) => {
        const block = compressSnappyBlock(bytes)
        expect(snappy.uncompressSync(block).equals(bytes)).toBe(true)
        expect(readSnappy(block, bytes.length).equals(bytes)).toBe(true)
      }),
      { numRuns: 60 },
    )
    expect(compressSnappyBlock(text).length).toBeLessThan(text.length / 5)
  })

  it('is written with the header of Java and blocks of 32 KiB', () => {
    const framed = compress('snappy', text)
    expect(framed.subarray(0, 16).toString('hex')).toBe('82534e4150505900' + '00000001' + '00000001')
    let at = 16
    const sizes: number[] = []
    while (at < framed.length) {
      const size = framed.readInt32BE(at)
      sizes.push(snappy.uncompressSync(framed.subarray(at + 4, at + 4 + size)).length)
      at += 4 + size
    }
    expect(sizes.slice(0, -1).every((size) => size === 32 * 1024)).toBe(true)
    expect(sizes.reduce((sum, size) => sum + size)).toBe(text.length)
  })

  it('is read from framed streams that follow one another', () => {
    const framed = compress('snappy', Buffer.from('ab'))
    expect(readSnappy(Buffer.concat([framed, framed]), 4).toString()).toBe('abab')
  })

  it('is refused when a copy reaches back before its block', () => {
    expect(readSnappy(Buffer.from([5, 0, 0x61, 1, 1]), 100).toString()).toBe('aaaaa')
    expect(() => readSnappy(Buffer.from([5, 0, 0x61, 1, 2]), 100)).toThrow(/from 2 back of 1/)
    expect(() => readSnappy(Buffer.from([5, 0, 0x61, 1, 0]), 100)).toThrow(/from 0 back/)
    const secondBlock = Buffer.from([0, 0, 0, 5, 5, 0, 0x61, 1, 2])
    expect(() => readSnappy(Buffer.concat([compress('snappy', text), secondBlock]), NO_LIMIT)).toThrow(
      /from 2 back of 1/,
    )
  })

  it('is refused when the output is not as long as it says', () => {
    expect(() => readSnappy(Buffer.from([2, 0, 0x61]), 100)).toThrow(/1 bytes in a block that says 2/)
    expect(() => readSnappy(Buffer.from([1, 4, 0x61, 0x62]), 100)).toThrow(/a literal of 2 bytes/)
  })

  it('reads copies whose distance takes four bytes', () => {
    expect(readSnappy(Buffer.from([3, 0, 0x61, 0x07, 1, 0, 0, 0]), 3).toString()).toBe('aaa')
  })
})

describe('zstd', () => {
  it('is read from frames that follow one another', () => {
    const frame = zstdCompressSync(text)
    expect(decompress('zstd', Buffer.concat([frame, frame]), 2 * text.length)).toHaveLength(2 * text.length)
    expect(() => decompress('zstd', Buffer.concat([frame, frame]), 2 * text.length - 1)).toThrow(OutputTooLargeError)
  })
})

describe('xxhash32', () => {
  it('knows the published values', () => {
    const hash = (input: string): number => xxhash32(Buffer.from(input), 0, input.length)
    expect(hash('')).toBe(0x02cc5d05)
    expect(hash('abc')).toBe(0x32d153ff)
    expect(hash('Nobody inspects the spammish repetition')).toBe(0xe2293b2f)
  })
})
