import { describe, expect, it } from 'vitest'
import { Output, type Part } from './output.ts'

function frames(parts: readonly Part[]): Buffer[] {
  const bytes = Buffer.concat(parts.filter((part) => Buffer.isBuffer(part)))
  const found: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const size = bytes.readInt32BE(at)
    found.push(bytes.subarray(at + 4, at + 4 + size))
    at += 4 + size
  }
  return found
}

describe('Output', () => {
  it('puts the size in front of each frame, with small and large stored bytes between the fields', () => {
    const output = new Output()
    const large = Buffer.alloc(100_000, 7)
    output.beginResponse(1, false)
    output.writer.int16(5)
    output.endFrame()
    output.beginResponse(2, true)
    output.stored(Buffer.from('small'))
    output.stored(large)
    output.writer.int16(6)
    output.endFrame()
    output.beginResponse(3, false)
    output.endFrame()
    const parts = output.take()
    expect(parts).toContain(large)
    const [first, second, third] = frames(parts)
    expect(first).toEqual(Buffer.from([0, 0, 0, 1, 0, 5]))
    expect(second!.subarray(0, 10)).toEqual(Buffer.from([0, 0, 0, 2, 0, ...Buffer.from('small')]))
    expect(second!.length).toBe(10 + large.length + 2)
    expect(third).toEqual(Buffer.from([0, 0, 0, 3]))
    expect(output.isEmpty).toBe(true)
  })

  it('leaves no trace of a dropped frame', () => {
    const output = new Output()
    output.beginResponse(1, false)
    output.endFrame()
    output.beginResponse(2, false)
    output.writer.int32(9)
    output.dropFrame()
    expect(frames(output.take())).toEqual([Buffer.from([0, 0, 0, 1])])
  })

  it('gives the room of a large response away with it', () => {
    const output = new Output()
    const before = output.writer
    output.beginResponse(1, false)
    output.writer.raw(Buffer.alloc(200_000, 7))
    output.endFrame()
    const parts = output.take()
    expect(frames(parts)[0]!.equals(Buffer.concat([Buffer.from([0, 0, 0, 1]), Buffer.alloc(200_000, 7)]))).toBe(true)
    expect(output.writer).not.toBe(before)
    output.beginResponse(2, false)
    output.endFrame()
    expect(frames(output.take())).toEqual([Buffer.from([0, 0, 0, 2])])
  })

  it('hands out bytes that later frames do not change', () => {
    const output = new Output()
    output.beginResponse(1, false)
    output.endFrame()
    const [sent] = output.take()
    output.beginResponse(2, false)
    output.endFrame()
    output.take()
    expect(sent).toEqual(Buffer.from([0, 0, 0, 4, 0, 0, 0, 1]))
  })
})
