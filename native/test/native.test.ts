import fs from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import {
  MIN_RECORD_BYTES,
  RECORD_FACT_COUNT,
  RecordFact,
  RecordStatus,
  WriteFailed,
  describeRecordStatus,
  type Native,
} from '../src-js/index.ts'
import { loadRust, NativeUnavailable } from '../src-js/rust.ts'
import { typescript } from '../src-js/typescript.ts'
import { naiveCheck, naiveCrc32c, recordBytes, varint, type PlainRecord } from './naive.ts'

/** Every implementation goes through the same suite; the Rust one where `npm install` found a cargo to build it. */
const implementations: readonly Native[] = [typescript, ...built()]

function built(): Native[] {
  try {
    return [loadRust()]
  } catch (error) {
    if (!(error instanceof NativeUnavailable)) throw error
    console.log(`the Rust implementation is not tested: ${error.message}`)
    return []
  }
}

const anyRecord = fc.record({
  timestampDelta: fc.oneof(fc.integer({ min: -300, max: 300 }), fc.maxSafeInteger()),
  offsetDelta: fc.oneof({ weight: 5, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.integer() }),
  key: fc.option(fc.uint8Array({ maxLength: 200 }), { nil: null }),
  value: fc.option(fc.uint8Array({ maxLength: 200 }), { nil: null }),
  headers: fc.array(fc.tuple(fc.uint8Array({ maxLength: 9 }), fc.option(fc.uint8Array({ maxLength: 9 }))), {
    maxLength: 3,
  }),
})

const someRecords: fc.Arbitrary<PlainRecord[]> = fc.array(anyRecord, { maxLength: 8 })

function bodyOf(records: readonly PlainRecord[]): Uint8Array {
  return Uint8Array.from(records.flatMap((record, index) => recordBytes(record, index)))
}

const aRecord: PlainRecord = { timestampDelta: 0, offsetDelta: null, key: null, value: null, headers: [] }

describe.each(implementations)('crc32c ($kind)', ({ crc32c }) => {
  // RFC 3720, B.4, and the check value of the CRC catalogues.
  it.each([
    ['nothing', new Uint8Array(0), 0],
    ["'123456789'", Buffer.from('123456789'), 0xe3069283],
    ['32 zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['32 rising bytes', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ['32 falling bytes', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ])('knows the checksum of %s', (_, bytes, checksum) => {
    expect(crc32c(bytes, 0, bytes.length)).toBe(checksum)
  })

  it('agrees with the bit by bit definition for any range of any view', () => {
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ minLength: 500, maxLength: 1500 }))
    fc.assert(
      fc.property(bytes, fc.nat(7), fc.nat(20), fc.nat(20), (content, shift, before, after) => {
        const view = new Uint8Array(new ArrayBuffer(content.length + 8), shift, content.length)
        view.set(content)
        const start = Math.min(before, content.length)
        const end = Math.max(start, content.length - after)
        expect(crc32c(view, start, end)).toBe(naiveCrc32c(content.subarray(start, end)))
      }),
    )
  })

  it('refuses a range that is not in the bytes', () => {
    const bytes = new Uint8Array(10)
    for (const [start, end] of [
      [-1, 5],
      [0, 11],
      [6, 5],
      [Number.NaN, 5],
      [0, Number.NaN],
    ] as const) {
      expect(() => crc32c(bytes, start, end)).toThrow(RangeError)
    }
  })
})

describe.each(implementations)('checkRecords ($kind)', ({ checkRecords }) => {
  const check = (body: Uint8Array, recordCount: number): { status: number; facts: number[] } => {
    const facts = new Float64Array(RECORD_FACT_COUNT).fill(Number.NaN)
    return { status: checkRecords(body, 0, body.length, recordCount, facts), facts: [...facts] }
  }

  it('accepts well-framed records and tells what it saw', () => {
    const records: PlainRecord[] = [
      { ...aRecord, timestampDelta: 5, key: Uint8Array.of(1) },
      { ...aRecord, timestampDelta: -3, value: Uint8Array.of(1, 2) },
      { ...aRecord, timestampDelta: 5, headers: [[Uint8Array.of(65), null]] },
    ]
    const { status, facts } = check(bodyOf(records), 3)
    expect(status).toBe(RecordStatus.ok)
    expect(facts[RecordFact.maxTimestampDelta]).toBe(5)
    expect(facts[RecordFact.maxTimestampIndex]).toBe(0)
    expect(facts[RecordFact.minTimestampDelta]).toBe(-3)
    expect(facts[RecordFact.hasContiguousOffsets]).toBe(1)
    expect(facts[RecordFact.firstNullKeyIndex]).toBe(1)
    expect(facts[RecordFact.lastOffsetDelta]).toBe(2)
    expect(facts[RecordFact.badRecordIndex]).toBe(-1)
    expect(facts[RecordFact.position]).toBe(bodyOf(records).length)
  })

  it('agrees with the naive reader on any records, broken or not', () => {
    const seen = { broken: 0, whole: 0 }
    const change = fc.record({
      at: fc.nat(),
      byte: fc.integer({ min: 0, max: 255 }),
      kind: fc.constantFrom('set', 'cut', 'insert'),
    })
    const countChange = fc.constantFrom(0, 0, 0, 1, -1)
    fc.assert(
      fc.property(someRecords, fc.array(change, { maxLength: 2 }), countChange, (records, changes, more) => {
        let bytes = [...bodyOf(records)]
        for (const { at, byte, kind } of changes) {
          const place = bytes.length === 0 ? 0 : at % bytes.length
          if (kind === 'set' && bytes.length > 0) bytes[place] = byte
          if (kind === 'cut') bytes = bytes.slice(0, place)
          if (kind === 'insert') bytes.splice(place, 0, byte)
        }
        const recordCount = records.length + more
        const body = Uint8Array.from(bytes)
        const expected = naiveCheck(body, recordCount)
        const { status, facts } = check(body, recordCount)
        seen[expected === null ? 'broken' : 'whole']++
        expect(status === RecordStatus.ok ? facts : null).toEqual(expected)
        expect(facts[RecordFact.badRecordIndex]! >= 0).toBe(expected === null)
      }),
      { numRuns: 1000 },
    )
    expect(seen.broken).toBeGreaterThan(100)
    expect(seen.whole).toBeGreaterThan(100)
  })

  it('looks at its range alone', () => {
    fc.assert(
      fc.property(
        someRecords,
        fc.uint8Array({ maxLength: 9 }),
        fc.uint8Array({ maxLength: 9 }),
        (records, before, after) => {
          const body = bodyOf(records)
          const bytes = Uint8Array.from([...before, ...body, ...after])
          const facts = new Float64Array(RECORD_FACT_COUNT)
          const end = before.length + body.length
          expect(checkRecords(bytes, before.length, end, records.length, facts)).toBe(RecordStatus.ok)
          expect(facts[RecordFact.position]).toBe(end)
        },
      ),
    )
  })

  it('knows no records from a missing record', () => {
    expect(check(new Uint8Array(0), 0).status).toBe(RecordStatus.ok)
    expect(check(new Uint8Array(0), 1).status).toBe(RecordStatus.tooFewRecords)
    expect(check(bodyOf([aRecord]), 0).status).toBe(RecordStatus.tooManyBytes)
    // An empty body is no excuse for a count that cannot be.
    expect(check(new Uint8Array(0), -1).status).toBe(RecordStatus.badRecordCount)
  })

  it('names the record that is wrong and where it starts', () => {
    const body = bodyOf([aRecord, aRecord, aRecord])
    body[2 * MIN_RECORD_BYTES + 4] = 5 // the key length of the third record: -3
    const { status, facts } = check(body, 3)
    expect(status).toBe(RecordStatus.badKeyLength)
    expect(facts[RecordFact.badRecordIndex]).toBe(2)
    expect(facts[RecordFact.position]).toBe(2 * MIN_RECORD_BYTES)
    expect(facts[RecordFact.lastOffsetDelta]).toBe(1)
  })

  it('takes every timestamp delta that a number holds and no other', () => {
    for (const delta of [Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER, 2 ** 31, -(2 ** 31) - 1]) {
      const { status, facts } = check(bodyOf([{ ...aRecord, timestampDelta: delta }]), 1)
      expect(status).toBe(RecordStatus.ok)
      expect(facts[RecordFact.maxTimestampDelta]).toBe(delta)
    }
    for (const delta of [2n ** 53n, -(2n ** 53n), -(2n ** 53n) - 1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      const rest = [...varint(delta), 0, 1, 1, 0]
      const body = Uint8Array.from([...varint(BigInt(rest.length + 1)), 0, ...rest])
      expect(check(body, 1).status).toBe(RecordStatus.badTimestampDelta)
    }
  })

  // One record each, as its bytes behind the length: attributes, timestamp, offset, key, value, headers.
  const malformed: readonly (readonly [keyof typeof RecordStatus, readonly number[], string])[] = [
    ['badRecordLength', [0, 0, 0, 1, 1], 'a record shorter than any'],
    ['badVarint', [0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1, 0], 'an offset delta of six bytes'],
    ['badVarint', [0, ...Array<number>(11).fill(0x80), 0, 0, 1, 1, 0], 'a timestamp delta of twelve bytes'],
    ['badVarint', [0, 0, 0, 1, 1, 0x80], 'a header count that is cut off'],
    ['badKeyLength', [0, 0, 0, 8, 1, 0], 'a key that reaches past the record'],
    ['badValueLength', [0, 0, 0, 1, 6, 0], 'a value that reaches past the record'],
    ['badValueLength', [0, 0, 0, 1, 3, 0], 'a value of -2 bytes'],
    ['badHeaders', [0, 0, 0, 1, 1, 1], 'minus one headers'],
    ['badHeaders', [0, 0, 0, 1, 1, 2], 'a header that is not there'],
    ['badHeaders', [0, 0, 0, 1, 1, 2, 1, 1], 'a header without key'],
    ['badHeaders', [0, 0, 0, 1, 1, 2, 0, 2], 'a header value that is not there'],
    ['recordTooLong', [0, 0, 0, 1, 1, 0, 0], 'a byte behind the headers'],
  ]
  it.each(malformed)('answers %s for %j: %s', (name, record) => {
    // A good record follows, whose bytes the bad one must not take for its own.
    const body = Uint8Array.from([record.length * 2, ...record, ...bodyOf([aRecord])])
    expect(check(body, 2).status).toBe(RecordStatus[name])
  })

  it('does not walk headers that cannot be there', () => {
    const body = Uint8Array.from([20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f])
    expect(check(body, 1).status).toBe(RecordStatus.badHeaders)
  })
})

describe.each(implementations)('writeRanges ($kind)', ({ kind, writeRanges }) => {
  const path = join(fs.mkdtempSync(join(tmpdir(), `native-${kind}-`)), 'file')
  afterAll(() => fs.rmSync(path.slice(0, -'/file'.length), { recursive: true }))

  it('writes the ranges one behind the other, and leaves the rest of the file', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        fc.array(fc.tuple(fc.nat(300), fc.nat(300)), { maxLength: 150 }),
        fc.nat(50),
        (bytes, pairs, position) => {
          const bounds = pairs.map((pair) => pair.map((at) => at % (bytes.length + 1)).toSorted((a, b) => a - b))
          fs.writeFileSync(path, Buffer.alloc(position, 0xee))
          const file = fs.openSync(path, 'r+')
          const expected = Buffer.concat(bounds.map(([start, end]) => bytes.subarray(start, end)))
          expect(writeRanges(file, bytes, Uint32Array.from(bounds.flat()), bounds.length, position)).toBe(
            expected.length,
          )
          fs.closeSync(file)
          expect(fs.readFileSync(path).equals(Buffer.concat([Buffer.alloc(position, 0xee), expected]))).toBe(true)
        },
      ),
    )
  })

  it('says what the system refused, and how much was written before', () => {
    fs.writeFileSync(path, '')
    const file = fs.openSync(path, 'r')
    const write = () => writeRanges(file, Buffer.alloc(10), Uint32Array.of(0, 10), 1, 0)
    expect(write).toThrow(WriteFailed)
    expect(write).toThrow(expect.objectContaining({ code: 'EBADF', errno: -9, written: 0 }))
    fs.closeSync(file)
  })

  it.skipIf(!fs.existsSync('/dev/full'))('says that the disk is full', () => {
    const file = fs.openSync('/dev/full', 'w')
    const write = () => writeRanges(file, Buffer.alloc(10), Uint32Array.of(0, 5, 5, 10), 2, 0)
    expect(write).toThrow(expect.objectContaining({ code: 'ENOSPC', written: 0 }))
    fs.closeSync(file)
  })

  it('refuses ranges that are not in the bytes', () => {
    const file = fs.openSync(path, 'w')
    expect(() => writeRanges(file, Buffer.alloc(10), Uint32Array.of(0, 11), 1, 0)).toThrow('[0, 11) of 10 bytes')
    expect(() => writeRanges(file, Buffer.alloc(10), Uint32Array.of(6, 5), 1, 0)).toThrow('[6, 5) of 10 bytes')
    expect(fs.fstatSync(file).size).toBe(0)
    fs.closeSync(file)
  })
})

describe('writeRanges of the twin', () => {
  it('gives up when the system takes nothing, as the Rust module does', () => {
    const directory = fs.mkdtempSync(join(tmpdir(), 'native-nothing-'))
    const file = fs.openSync(join(directory, 'file'), 'w')
    const whole = fs.writevSync
    let calls = 0
    fs.writevSync = ((fd: number, parts: Uint8Array[], position: number) => {
      if (++calls > 10) throw new Error('it is tried for ever')
      return calls > 1 ? 0 : whole(fd, [parts[0]!.subarray(0, 3)], position)
    }) as typeof fs.writevSync
    syncBuiltinESMExports()
    try {
      const write = () => typescript.writeRanges(file, Buffer.alloc(10), Uint32Array.of(0, 10), 1, 0)
      expect(write).toThrow(expect.objectContaining({ code: 'EIO', written: 3 }))
    } finally {
      fs.writevSync = whole
      syncBuiltinESMExports()
    }
    fs.closeSync(file)
    fs.rmSync(directory, { recursive: true })
  })
})

describe('sendFile', () => {
  const sendFile = implementations.at(-1)!.sendFile

  it.skipIf(sendFile === null)('sends as much as the socket takes, and the rest when there is room again', async () => {
    const directory = fs.mkdtempSync(join(tmpdir(), 'native-send-'))
    const content = Buffer.alloc(20_000_000)
    for (let at = 0; at < content.length; at += 4) content.writeInt32LE(at, at)
    fs.writeFileSync(join(directory, 'file'), content)
    const file = fs.openSync(join(directory, 'file'), 'r')
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
    const [socket] = (await once(server, 'connection')) as [Socket]
    const { fd } = (socket as unknown as { _handle: { fd: number } })._handle

    const received: Buffer[] = []
    let sent = sendFile!(fd, file, 0, content.length)
    expect(sent).toBeGreaterThan(0)
    expect(sent).toBeLessThan(content.length)
    expect(sendFile!(fd, file, sent, content.length - sent)).toBe(0)
    let receivedBytes = 0
    for await (const chunk of client) {
      received.push(chunk as Buffer)
      receivedBytes += (chunk as Buffer).length
      sent += sendFile!(fd, file, sent, content.length - sent)
      if (receivedBytes === content.length) break
    }
    expect(Buffer.concat(received).equals(content)).toBe(true)
    socket.destroy()
    server.close()
    fs.closeSync(file)
    fs.rmSync(directory, { recursive: true })
  })
})

describe('describeRecordStatus', () => {
  it('has words of its own for every status', () => {
    const texts = Object.values(RecordStatus).map((status) => describeRecordStatus(status))
    expect(texts.length).toBeGreaterThan(10)
    expect(new Set(texts).size).toBe(texts.length)
    expect(texts.every((text) => !text.startsWith('unknown'))).toBe(true)
    expect(describeRecordStatus(99)).toBe('unknown record status 99')
  })
})
