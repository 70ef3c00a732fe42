import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { allMessages } from '../test/all-messages.ts'
import { readWireFrames, type WireFrame } from '../test/wire-frames.ts'
import { apiByKey } from './apis/index.ts'
import { codec } from './codec.ts'
import { decodeRequestHeader, decodeResponseHeader } from './headers.ts'
import { interpret } from './interpret.ts'
import { decodeMetadataRecord } from './kraft/index.ts'
import { Reader } from './reader.ts'
import type { Message } from './schema.ts'

const tables = [...allMessages().values()]

const anyVersion = fc
  .constantFrom(...tables)
  .chain((table) => fc.tuple(fc.constant(table), fc.integer({ min: table.minVersion, max: table.maxVersion })))

// Bytes that mean something: lengths of -1 and 0, the largest counts in both encodings, endless varints.
const meaningful = fc.constantFrom(
  ...['00', '01', 'ff', '7f', '80', 'ffffffff', '7fffffff', '7fff', 'ffffffff0f', 'ffffffff7f', 'ffffffffffffffff'].map(
    (hex) => Buffer.from(hex, 'hex'),
  ),
)
const anyBytes = fc
  .array(fc.oneof(fc.uint8Array({ maxLength: 20 }), meaningful), { maxLength: 20 })
  .map((parts) => Buffer.concat(parts))

/** What a decoder may do with any bytes at all: give a value or throw RangeError. */
function decodeOrRefuse(decode: () => unknown): unknown {
  try {
    return decode()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return 'refused'
  }
}

function outcomes(table: Message, version: number, bytes: Buffer): { compiled: unknown; interpreted: unknown } {
  return {
    compiled: decodeOrRefuse(() => codec(table, version).decode(new Reader(bytes))),
    interpreted: decodeOrRefuse(() => interpret(table, version).decode(new Reader(bytes))),
  }
}

function bodyStart({ direction, apiKey, apiVersion, bytes }: WireFrame): number {
  const reader = new Reader(bytes)
  if (direction === 'request') decodeRequestHeader(reader)
  else decodeResponseHeader(reader, apiByKey(apiKey)!, apiVersion)
  return reader.at
}

describe('a decoder given arbitrary bytes', () => {
  it('gives a value or throws RangeError, and both codecs agree on which', () => {
    fc.assert(
      fc.property(anyVersion, anyBytes, ([table, version], bytes) => {
        const { compiled, interpreted } = outcomes(table, version, bytes)
        expect(compiled).toEqual(interpreted)
      }),
      { numRuns: 2000 },
    )
  })

  it('does so for recorded frames with bytes changed, cut off or put in', () => {
    const frames = readWireFrames().filter(({ apiKey }) => apiByKey(apiKey) !== undefined)
    const change = fc.record({
      at: fc.nat(),
      cut: fc.nat(3),
      put: fc.oneof(meaningful, fc.uint8Array({ maxLength: 4 })),
    })
    let refused = 0
    let read = 0
    fc.assert(
      fc.property(fc.constantFrom(...frames), fc.array(change, { minLength: 1, maxLength: 3 }), (frame, changes) => {
        const api = apiByKey(frame.apiKey)!
        const table = frame.direction === 'request' ? api.request : api.response
        let bytes = frame.bytes.subarray(bodyStart(frame))
        for (const { at, cut, put } of changes) {
          const position = at % (bytes.length + 1)
          bytes = Buffer.concat([bytes.subarray(0, position), put, bytes.subarray(position + cut)])
        }
        const { compiled, interpreted } = outcomes(table, frame.apiVersion, bytes)
        expect(compiled).toEqual(interpreted)
        if (compiled === 'refused') refused++
        else read++
      }),
      { numRuns: 1500 },
    )
    // Changes that a decoder always notices, or never, would test only half of it.
    expect(Math.min(refused, read)).toBeGreaterThan(100)
  })

  it('does so for headers', () => {
    fc.assert(
      fc.property(anyBytes, fc.constantFrom(0, 1, 18, 99), (bytes, apiKey) => {
        const frame = Buffer.concat([Buffer.of(0, apiKey), bytes])
        const header = decodeOrRefuse(() => decodeRequestHeader(new Reader(frame)))
        expect([header === 'refused', typeof header === 'object']).toContain(true)
      }),
      { numRuns: 1000 },
    )
  })

  it('does so for metadata records', () => {
    const framed = fc
      .tuple(fc.nat(30), fc.nat(4), anyBytes)
      .map(([key, version, body]) => Buffer.concat([Buffer.of(1, key, version), body]))
    fc.assert(
      fc.property(fc.oneof(framed, anyBytes), (bytes) => {
        const record = decodeOrRefuse(() => decodeMetadataRecord(bytes))
        expect([record === 'refused', typeof record === 'object']).toContain(true)
      }),
      { numRuns: 2000 },
    )
  })

  it('never makes an array or text longer than the frame could fill', () => {
    // Every place of a message in turn claims the largest count there is, with few bytes behind it to back the claim.
    const claims = ['7fffffff', 'ffffffff07', '80808008', '7fff', '00ffffff'].map((hex) => Buffer.from(hex, 'hex'))
    let arrays = 0
    for (const table of tables) {
      for (let version = table.minVersion; version <= table.maxVersion; version++) {
        for (const claim of claims) {
          for (let start = 0; start < 24; start += 2) {
            const bytes = Buffer.concat([Buffer.alloc(start, 2), claim, Buffer.alloc(16, 1)])
            const lengths: number[] = []
            withCountedArrays(lengths, () => decodeOrRefuse(() => codec(table, version).decode(new Reader(bytes))))
            expect(Math.max(0, ...lengths)).toBeLessThanOrEqual(bytes.length)
            arrays += lengths.length
          }
        }
      }
    }
    expect(arrays).toBeGreaterThan(1000)
  })
})

/** Runs `body` and notes the length of every array that a compiled codec makes meanwhile. */
function withCountedArrays(lengths: number[], body: () => void): void {
  const original = globalThis.Array
  globalThis.Array = new Proxy(original, {
    construct(target, [length]: [number]) {
      lengths.push(length)
      return new target<unknown>(length)
    },
  })
  try {
    body()
  } finally {
    globalThis.Array = original
  }
}
