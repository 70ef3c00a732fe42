import { describe, expect, it } from 'vitest'
import { OutgoingBytes } from './outgoing-bytes.ts'

function aReader() {
  const reader = { isDropped: false, dropSlow: () => (reader.isDropped = true) }
  return reader
}

describe('OutgoingBytes', () => {
  it('drops the reader that fell behind first when the limit is passed', () => {
    const outgoing = new OutgoingBytes(100)
    const readers = [aReader(), aReader(), aReader()]
    for (const reader of readers) outgoing.update(reader, 40)
    expect(readers.map((reader) => reader.isDropped)).toEqual([true, false, false])
    expect(outgoing.totalBytes).toBe(80)
  })

  it('spares a reader that caught up in between', () => {
    const outgoing = new OutgoingBytes(100)
    const [quick, slow, third] = [aReader(), aReader(), aReader()]
    outgoing.update(quick, 40)
    outgoing.update(slow, 40)
    outgoing.update(quick, 0)
    outgoing.update(quick, 40)
    outgoing.update(third, 40)
    expect([quick.isDropped, slow.isDropped, third.isDropped]).toEqual([false, true, false])
  })

  it('never drops the only reader, whose response may be larger than the limit', () => {
    const outgoing = new OutgoingBytes(100)
    const reader = aReader()
    outgoing.update(reader, 1000)
    expect(reader.isDropped).toBe(false)
  })
})
