import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ReceiveBuffer } from './receive-buffer.ts'

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
    for (let size = buffer.nextFrameBytes(); size >= 0; size = buffer.nextFrameBytes()) {
      const start = buffer.takeFrame(size)
      taken.push(Buffer.from(buffer.bytes.subarray(start, start + size)))
    }
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

  it('gives a grown buffer back once it is empty', () => {
    const buffer = new ReceiveBuffer(1 << 20)
    feed(buffer, framed(Buffer.alloc(100_000)), 4096, [])
    expect(buffer.capacityBytes).toBeGreaterThan(100_000)
    expect(buffer.shrink()).toBe(true)
    expect(buffer.capacityBytes).toBe(4096)
  })

  it('keeps a grown buffer while part of a frame is in it', () => {
    const buffer = new ReceiveBuffer(1 << 20)
    feed(buffer, framed(Buffer.alloc(100_000)).subarray(0, 50_000), 4096, [])
    expect(buffer.shrink()).toBe(false)
    expect(buffer.waitingBytes).toBe(50_000)
  })
})
