import { describe, expect, it } from 'vitest'
import { OutgoingBytes } from './outgoing-bytes.ts'

function aReader() {
  const reader = { queuedBytes: 0, isDropped: false, dropSlow: () => (reader.isDropped = true) }
  return reader
}

type Reader = ReturnType<typeof aReader>

/** Writes to a reader that takes nothing of it. */
function write(outgoing: OutgoingBytes, reader: Reader, bytes: number): void {
  reader.queuedBytes += bytes
  outgoing.update(reader, bytes)
}

describe('OutgoingBytes', () => {
  it('drops the reader that fell behind first when the limit is passed', () => {
    const outgoing = new OutgoingBytes(100)
    const readers = [aReader(), aReader(), aReader()]
    for (const reader of readers) write(outgoing, reader, 40)
    expect(readers.map((reader) => reader.isDropped)).toEqual([true, false, false])
    expect(outgoing.totalBytes).toBe(80)
  })

  it('spares a reader that caught up in between', () => {
    const outgoing = new OutgoingBytes(100)
    const [quick, slow, third] = [aReader(), aReader(), aReader()]
    write(outgoing, quick, 40)
    write(outgoing, slow, 40)
    quick.queuedBytes = 0
    outgoing.update(quick, 0)
    write(outgoing, quick, 40)
    write(outgoing, third, 40)
    expect([quick.isDropped, slow.isDropped, third.isDropped]).toEqual([false, true, false])
  })

  it('spares a reader that has taken its responses without a word', () => {
    const outgoing = new OutgoingBytes(100)
    const [quick, other] = [aReader(), aReader()]
    write(outgoing, quick, 40)
    quick.queuedBytes = 0
    write(outgoing, other, 90)
    expect([quick.isDropped, other.isDropped]).toEqual([false, false])
    expect(outgoing.totalBytes).toBe(90)
  })

  it('spares a reader that takes some of its responses and gets more, before one that takes nothing', () => {
    const outgoing = new OutgoingBytes(100)
    const [reading, stuck, third] = [aReader(), aReader(), aReader()]
    write(outgoing, reading, 40)
    write(outgoing, stuck, 40)
    reading.queuedBytes -= 30
    write(outgoing, reading, 30)
    write(outgoing, third, 30)
    expect([reading.isDropped, stuck.isDropped, third.isDropped]).toEqual([false, true, false])
  })

  it('forgets a reader that is gone', () => {
    const outgoing = new OutgoingBytes(100)
    const [gone, other] = [aReader(), aReader()]
    write(outgoing, gone, 60)
    outgoing.forget(gone)
    write(outgoing, other, 60)
    expect(gone.isDropped).toBe(false)
    expect(outgoing.totalBytes).toBe(60)
  })

  it('never drops the only reader, whose response may be larger than the limit', () => {
    const outgoing = new OutgoingBytes(100)
    const reader = aReader()
    write(outgoing, reader, 1000)
    expect(reader.isDropped).toBe(false)
  })
})
