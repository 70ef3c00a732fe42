import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { COMFORTABLE_BYTES, ReceiveBuffer } from './receive-buffer.ts'

function framed(body: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeInt32BE(body.length)
  return Buffer.concat([size, body])
}

/** Feeds bytes as a socket would: at most as many as the region holds, in pieces of the wanted sizes. */
function feed(buffer: ReceiveBuffer, bytes: Buffer, pieceBytes: number, taken: Buffer[]): void {
  for (let at = 0; at < bytes.length;) {
    const region = buffer.region()
    const count = Math.min(region.length, pieceBytes, bytes.length - at)
    bytes.copy(region, 0, at, at + count)
    at += count
    buffer.received(count)
    takeAll(buffer, taken)
  }
}

/** As `feed`, with all the room that is asked for. */
function feedGranted(buffer: ReceiveBuffer, bytes: Buffer, pieceBytes: number, taken: Buffer[]): void {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    buffer.grant(buffer.growthBytes)
    feed(buffer, bytes.subarray(at, at + pieceBytes), pieceBytes, taken)
  }
}

function takeAll(buffer: ReceiveBuffer, taken: Buffer[]): void {
  for (let size = buffer.nextFrameBytes(); size >= 0; size = buffer.nextFrameBytes()) {
    const start = buffer.takeFrame(size)
    taken.push(Buffer.from(buffer.bytes.subarray(start, start + size)))
  }
}

describe('ReceiveBuffer', () => {
  it('gives back every frame whole, however the bytes were cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 12 }),
        fc.integer({ min: 1, max: 9000 }),
        (sizes, pieceBytes) => {
          const frames = sizes.map((size, index) => Buffer.alloc(size, index + 1))
          const taken: Buffer[] = []
          const buffer = new ReceiveBuffer(1 << 20)
          feed(buffer, Buffer.concat(frames.map(framed)), pieceBytes, taken)
          expect(taken.map((frame) => frame.length)).toEqual(sizes)
          expect(taken.every((frame, index) => frame.equals(frames[index]!))).toBe(true)
          expect(buffer.waitingBytes).toBe(0)
        },
      ),
    )
  })

  it('allocates for what has arrived and not for what a size claims', () => {
    const buffer = new ReceiveBuffer(100 << 20)
    const claim = Buffer.alloc(4)
    claim.writeInt32BE(90 << 20)
    feed(buffer, claim, 4, [])
    expect(buffer.nextFrameBytes()).toBe(-1)
    buffer.region()
    expect(buffer.capacityBytes).toBeLessThanOrEqual(4096)
  })

  it.each([-1, -0x8000_0000, 1025])('refuses a frame of size %i when 1024 is the limit', (size) => {
    const buffer = new ReceiveBuffer(1024)
    const claim = Buffer.alloc(4)
    claim.writeInt32BE(size)
    claim.copy(buffer.region())
    buffer.received(4)
    expect(buffer.nextFrameBytes()).toBe(-2)
  })

  it('gives a grown buffer back once it is empty, and keeps what one read of most clients takes', () => {
    const buffer = new ReceiveBuffer(1 << 20)
    feed(buffer, framed(Buffer.alloc(100_000)), 4096, [])
    expect(buffer.capacityBytes).toBeGreaterThan(100_000)
    expect(buffer.shrink()).toBe(true)
    expect(buffer.capacityBytes).toBeLessThanOrEqual(32 * 1024)
  })

  it('lends an idle connection little, whatever it sent before, so that the rest can be given back', () => {
    const buffer = new ReceiveBuffer(1 << 20)
    feed(buffer, framed(Buffer.alloc(500_000)), 300_000, [])
    expect(buffer.region().length).toBeLessThanOrEqual(32 * 1024)
  })

  it('keeps a part of a frame when it shrinks', () => {
    const buffer = new ReceiveBuffer(1 << 20)
    const frame = framed(Buffer.alloc(100_000, 7))
    feed(buffer, frame.subarray(0, 50_000), 4096, [])
    buffer.shrink()
    expect(buffer.waitingBytes).toBe(50_000)
    const taken: Buffer[] = []
    feed(buffer, frame.subarray(50_000), 4096, taken)
    expect(taken.map((bytes) => bytes.equals(frame.subarray(4)))).toEqual([true])
  })

  it('holds no more than it was granted, and takes what arrives all the same', () => {
    const buffer = new ReceiveBuffer(8 << 20)
    const frame = framed(Buffer.alloc(3 << 20, 7))
    const limit = COMFORTABLE_BYTES + 32 * 1024
    feed(buffer, frame.subarray(0, COMFORTABLE_BYTES), 1 << 20, [])
    expect(buffer.growthBytes).toBe(COMFORTABLE_BYTES)
    // The socket asks for a region although nothing will be received before the grant.
    const region = buffer.region()
    expect(buffer.capacityBytes).toBeLessThanOrEqual(limit)
    buffer.grant(buffer.growthBytes)
    expect(buffer.growthBytes).toBe(0)
    const count = frame.copy(region, 0, COMFORTABLE_BYTES)
    buffer.received(count)
    expect(buffer.capacityBytes).toBeLessThanOrEqual(limit + buffer.grantedBytes)
    const taken: Buffer[] = []
    for (let at = COMFORTABLE_BYTES + count; at < frame.length;) {
      buffer.grant(buffer.growthBytes)
      const copied = frame.copy(buffer.region(), 0, at)
      buffer.received(copied)
      at += copied
      expect(buffer.capacityBytes).toBeLessThanOrEqual(limit + buffer.grantedBytes)
    }
    takeAll(buffer, taken)
    expect(taken.map((bytes) => bytes.equals(frame.subarray(4)))).toEqual([true])
    expect(buffer.shrink()).toBe(true)
    expect(buffer.grantedBytes).toBe(0)
    expect(buffer.capacityBytes).toBeLessThanOrEqual(32 * 1024)
  })

  it('gives the grant back behind a large frame though the next one has begun', () => {
    const buffer = new ReceiveBuffer(8 << 20)
    const bytes = Buffer.concat([framed(Buffer.alloc(2 << 20, 1)), framed(Buffer.alloc(1000, 2)).subarray(0, 500)])
    feedGranted(buffer, bytes, 1 << 20, [])
    expect(buffer.grantedBytes).toBeGreaterThan(0)
    expect(buffer.shrink()).toBe(true)
    expect(buffer.waitingBytes).toBe(500)
    expect(buffer.capacityBytes).toBeLessThanOrEqual(COMFORTABLE_BYTES + 32 * 1024)
  })

  it('loses nothing when it shrinks while the socket has a region of it', () => {
    const step = fc.record({ pieceBytes: fc.integer({ min: 2000, max: 100_000 }), shrinks: fc.boolean() })
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 1_200_000 }), { minLength: 1, maxLength: 4 }),
        fc.array(step, { minLength: 1, maxLength: 20 }),
        (sizes, steps) => {
          const frames = sizes.map((size, index) => Buffer.alloc(size, index + 1))
          const bytes = Buffer.concat(frames.map(framed))
          const buffer = new ReceiveBuffer(1 << 21)
          const taken: Buffer[] = []
          let region = buffer.region()
          for (let at = 0, n = 0; at < bytes.length; n++) {
            const { pieceBytes, shrinks } = steps[n % steps.length]!
            if (shrinks) buffer.shrink()
            const count = bytes.copy(region, 0, at, Math.min(at + pieceBytes, bytes.length))
            at += count
            buffer.received(count)
            takeAll(buffer, taken)
            buffer.grant(buffer.growthBytes)
            region = buffer.region()
            expect(region.length).toBeGreaterThan(0)
          }
          expect(taken.map((frame) => frame.length)).toEqual(sizes)
          expect(taken.every((frame, index) => frame.equals(frames[index]!))).toBe(true)
        },
      ),
      { numRuns: 30 },
    )
  })
})
