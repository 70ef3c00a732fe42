import { describe, expect, it } from 'vitest'
import { StorageError } from '../base/errors.ts'
import { silentLogger } from '../base/logger.ts'
import type { Output } from '../handlers/output.ts'
import type { DiskFile } from '../log/disk.ts'
import { FileSlice } from '../log/file-slice.ts'
import { MemoryDisk } from '../log/memory-disk.ts'
import type { Barrier } from '../partition/durability.ts'
import { Connection, type ConnectionDurability } from './connection.ts'
import type { Socket } from './network.ts'
import { OutgoingBytes } from './outgoing-bytes.ts'
import { ReceiveBudget } from './receive-budget.ts'
import { SEND_BUFFER_BYTES, SendBuffers } from './send-buffers.ts'

const MIB = 1 << 20

/** A socket whose peer takes what is written only when told to, and that receives into the region it got last. */
class FakeSocket implements Socket {
  readonly remoteHost = '127.0.0.1'
  readonly localHost = '127.0.0.1'
  readonly localPort = 9092
  readonly written: Buffer[] = []
  /** What is not taken yet: the memory itself, that must stay as it is until then. */
  readonly queued: { readonly buffer: Uint8Array; readonly copy: Buffer; readonly taken?: (() => void) | undefined }[] =
    []
  /** What it takes of stored bytes straight from their file. */
  sendsBytes = 0
  sentBytes = 0
  queuedBytes = 0
  isPaused = false
  isDestroyed = false
  takesAtOnce = true

  write(buffers: readonly Uint8Array[], taken?: () => void): void {
    for (const buffer of buffers) {
      const copy = Buffer.from(buffer)
      this.written.push(copy)
      if (this.takesAtOnce) continue
      this.queuedBytes += buffer.length
      this.queued.push({ buffer, copy, taken: buffer === buffers.at(-1) ? taken : undefined })
    }
    if (this.takesAtOnce) taken?.()
  }

  /** What it takes at once of a small answer; null when it cannot. */
  takesNow: number | null = null

  sendNow(bytes: Uint8Array): number {
    const taken = Buffer.from(bytes.subarray(0, this.takesNow ?? 0))
    this.written.push(taken)
    return taken.length
  }

  sendStored(head: Uint8Array, slice: FileSlice): number {
    const stored = Buffer.alloc(slice.length)
    slice.read(stored, 0)
    const bytes = Buffer.concat([head, stored]).subarray(0, this.sendsBytes)
    this.written.push(bytes)
    this.sentBytes += bytes.length
    return bytes.length
  }

  /** The peer takes the oldest buffer. Returns whether it holds what was written. */
  takeOldest(): boolean {
    const { buffer, copy, taken } = this.queued.shift()!
    const isIntact = copy.equals(buffer)
    this.queuedBytes -= buffer.length
    taken?.()
    return isIntact
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  destroy(): void {
    this.isDestroyed = true
  }

  /** The first byte of each response. */
  get answers(): number[] {
    const bytes = Buffer.concat(this.written)
    const answers: number[] = []
    for (let at = 0; at < bytes.length; at += 4 + bytes.readInt32BE(at)) answers.push(bytes[at + 8]!)
    return answers
  }
}

/** What waits for the disk: each request whose first byte is odd, until the test says so. */
class FakeDurability implements ConnectionDurability {
  readonly waiting: ((isDurable: boolean) => void)[] = []
  isTouched = false
  isGathering = false
  hasGathered = false
  isWritable = true
  writeCount = 0

  writeGathered(): boolean {
    this.hasGathered = false
    this.writeCount += 1
    return this.isWritable
  }

  requestBegins(): void {
    this.isTouched = false
  }

  takeBarrier(): Barrier | null {
    if (!this.isTouched) return null
    return { whenPassed: (done) => void this.waiting.push(done) }
  }
}

/** A request is its number, which is what is answered, and as many zeros as it is to be long. */
function aRequest(number: number, sizeBytes = 1): Buffer {
  const frame = Buffer.alloc(4 + sizeBytes)
  frame.writeInt32BE(sizeBytes)
  frame[4] = number
  return frame
}

function open(
  options: { responseBytes?: number; budget?: ReceiveBudget; waits?: boolean; stored?: DiskFile; size?: number } = {},
) {
  const socket = new FakeSocket()
  const sendBuffers = new SendBuffers({ poison: true })
  const durability = new FakeDurability()
  const budget = options.budget ?? new ReceiveBudget(128 * MIB)
  let answered = 0
  const dispatch = (bytes: Buffer, start: number, end: number, _: Connection, output: Output): Promise<void> | null => {
    if (start === end) throw new RangeError('an empty request')
    const number = bytes[start]!
    if (options.waits) return new Promise(() => {})
    answered += 1
    output.beginResponse(0, false)
    output.writer.int8(number)
    const { stored } = options
    if (stored === undefined) output.stored(Buffer.alloc(options.responseBytes ?? 1))
    else output.stored(new FileSlice(stored, 0, options.size ?? stored.size, 0))
    output.endFrame()
    durability.isTouched = number % 2 === 1
    return null
  }
  const connection = new Connection(socket, {
    dispatcher: { dispatch },
    durability,
    advertised: null,
    limits: { frameBytesMax: 100 * MIB },
    budget,
    outgoing: new OutgoingBytes(1024 * MIB),
    sendBuffers,
    logger: silentLogger,
    onClosed: () => {},
  })
  let region = connection.region()
  const receive = (bytes: Buffer): void => {
    for (let at = 0; at < bytes.length && !socket.isPaused && !socket.isDestroyed;) {
      const count = bytes.copy(region, 0, at)
      at += count
      connection.received(count)
      region = connection.region()
    }
  }
  return {
    socket,
    sendBuffers,
    durability,
    budget,
    connection,
    receive,
    answeredCount: () => answered,
  }
}

describe('a connection', () => {
  it('answers a pipeline only as far as its peer takes the answers', () => {
    const { socket, connection, receive, answeredCount } = open({ responseBytes: 300_000 })
    socket.takesAtOnce = false
    receive(Buffer.concat(Array.from({ length: 50 }, () => aRequest(2))))
    expect(answeredCount()).toBe(4)
    socket.takesAtOnce = true
    socket.queuedBytes = 0
    connection.drained()
    expect(answeredCount()).toBe(50)
    expect(socket.answers.length).toBe(50)
  })

  it('answers a pipeline only so far while the disk is waited for', () => {
    const { socket, durability, receive, answeredCount } = open({ responseBytes: 300_000 })
    receive(Buffer.concat([aRequest(1), ...Array.from({ length: 50 }, () => aRequest(2))]))
    expect(answeredCount()).toBe(4)
    expect(socket.written).toEqual([])
    durability.waiting.shift()!(true)
    expect(answeredCount()).toBe(51)
    expect(socket.answers.slice(0, 3)).toEqual([1, 2, 2])
  })

  it('goes on with the requests behind those that the disk made wait, in whatever order it is done with them', () => {
    const { socket, durability, receive } = open()
    receive(Buffer.concat(Array.from({ length: 300 }, (_, index) => aRequest(index < 256 ? 1 : 2))))
    expect(durability.waiting.length).toBe(256)
    const [first, ...others] = durability.waiting
    for (const passed of others) passed(true)
    expect(socket.written).toEqual([])
    first!(true)
    expect(socket.answers.length).toBe(300)
  })

  it('answers what came before a request that cannot be read, and then closes', () => {
    const { socket, receive, connection } = open()
    receive(Buffer.concat([aRequest(2), aRequest(4), aRequest(0, 0), aRequest(6)]))
    expect(socket.answers).toEqual([2, 4])
    expect(socket.isDestroyed).toBe(true)
    expect(connection.isClosed).toBe(true)
  })

  it.each([0, 1, 10, 19, 20])(
    'sends small answers at once, and queues what the socket does not take: %i bytes',
    (bytes) => {
      const { socket, receive } = open()
      socket.takesNow = bytes
      receive(Buffer.concat([aRequest(2), aRequest(4)]))
      socket.takesNow = 1000
      receive(aRequest(6))
      expect(socket.answers).toEqual([2, 4, 6])
      expect(Buffer.concat(socket.written).length).toBe(30)
    },
  )

  it('sends none of what the disk did not take, and closes', () => {
    const { socket, receive, durability } = open()
    receive(Buffer.concat([aRequest(2), aRequest(1), aRequest(4)]))
    durability.waiting.shift()!(false)
    expect(socket.answers).toEqual([])
    expect(socket.isDestroyed).toBe(true)
  })

  it('stops receiving a large request while the others have the budget, and goes on when they are done', () => {
    const budget = new ReceiveBudget(MIB)
    const [first, second, third] = [open({ budget }), open({ budget }), open({ budget })]
    const large = aRequest(2, 3 * MIB)
    first.receive(large.subarray(0, 2 * MIB))
    second.receive(large.subarray(0, MIB - 1))
    third.receive(large.subarray(0, MIB - 1))
    expect([first, second, third].map(({ socket }) => socket.isPaused)).toEqual([false, true, true])
    first.receive(large.subarray(2 * MIB))
    expect(first.socket.answers).toEqual([2])
    expect(second.socket.isPaused).toBe(false)
    for (const { connection } of [first, second, third]) connection.close()
    for (const { connection } of [first, second, third]) connection.closed()
    expect(budget.usedBytes).toBe(0)
  })

  it('gives the budget to those that wait for it although its next request has begun', () => {
    const budget = new ReceiveBudget(MIB)
    const [first, second] = [open({ budget }), open({ budget })]
    const large = aRequest(2, 3 * MIB)
    first.receive(large.subarray(0, 2 * MIB))
    second.receive(large.subarray(0, MIB))
    expect(second.socket.isPaused).toBe(true)
    first.receive(Buffer.concat([large.subarray(2 * MIB), aRequest(4, 1000).subarray(0, 500)]))
    expect(second.socket.isPaused).toBe(false)
    first.receive(aRequest(4, 1000).subarray(500))
    expect(first.socket.answers).toEqual([2, 4])
  })

  it('wants no budget for requests that wait until answers are taken', () => {
    const { socket, receive, budget, connection } = open({ responseBytes: 2 * MIB })
    receive(aRequest(2, 500_000))
    socket.takesAtOnce = false
    receive(aRequest(2))
    receive(Buffer.concat(Array.from({ length: 4000 }, () => aRequest(4, 200))))
    expect(socket.isPaused).toBe(true)
    expect(budget.usedBytes).toBe(0)
    connection.close()
  })

  it('is idle while nothing comes, even in the middle of a request, but not while it waits for the node', () => {
    const budget = new ReceiveBudget(1)
    const stalled = open()
    stalled.receive(aRequest(2, 100).subarray(0, 50))
    const waiting = open({ waits: true })
    waiting.receive(aRequest(2))
    const [holder, queued] = [open({ budget }), open({ budget })]
    for (const { receive } of [holder, queued]) receive(aRequest(2, 3 * MIB).subarray(0, MIB))
    expect(queued.socket.isPaused).toBe(true)
    const sweeps = () => [stalled, waiting, holder, queued].map(({ connection }) => connection.sweep())
    expect(sweeps()).toEqual([0, 0, 0, 0])
    expect(sweeps()).toEqual([1, 0, 1, 0])
    expect(sweeps()).toEqual([2, 0, 2, 0])
    stalled.receive(aRequest(2, 100).subarray(50, 60))
    expect(sweeps()).toEqual([0, 0, 3, 0])
  })

  it('is idle while its peer takes nothing of the answers, and not while it does', () => {
    const { socket, connection, receive } = open({ responseBytes: 1000 })
    socket.takesAtOnce = false
    receive(aRequest(2))
    expect(connection.sweep()).toBe(0)
    expect(connection.sweep()).toBe(1)
    socket.queuedBytes -= 100
    expect(connection.sweep()).toBe(0)
    expect(connection.sweep()).toBe(1)
  })

  describe('with stored records in its answers', () => {
    const content = Buffer.alloc(3 * SEND_BUFFER_BYTES + 12_345)
    for (let at = 0; at + 4 <= content.length; at += 4) content.writeInt32BE(at, at)
    function storedFile(): DiskFile {
      const disk = new MemoryDisk()
      disk.makeDirectory('d')
      const file = disk.open('d/f', { create: true })
      file.append(content)
      return file
    }
    const bodyOf = (written: readonly Buffer[]): Buffer => Buffer.concat(written).subarray(9, 9 + content.length)

    it.each([0, 1, 8, 9, 10, SEND_BUFFER_BYTES, content.length, content.length + 9])(
      'sends them from the file, and reads what the socket did not take: it takes %i bytes',
      (sendsBytes) => {
        const { socket, receive, sendBuffers } = open({ stored: storedFile() })
        socket.sendsBytes = sendsBytes
        receive(aRequest(2))
        expect(socket.sentBytes).toBe(sendsBytes)
        expect(bodyOf(socket.written).equals(content)).toBe(true)
        expect(sendBuffers.freeCount).toBe(sendsBytes === content.length + 9 ? 0 : 1)
      },
    )

    it('uses no buffer again that the socket still has', () => {
      const { socket, receive, sendBuffers, connection } = open({ stored: storedFile() })
      socket.takesAtOnce = false
      receive(Buffer.concat([aRequest(2), aRequest(2)]))
      const inFlight = new Set(socket.queued.map(({ buffer }) => buffer.buffer))
      for (let round = 0; round < 20; round++) {
        while (socket.queued.length > 3) expect(socket.takeOldest()).toBe(true)
        connection.drained()
        receive(aRequest(2))
        const buffers = socket.queued.map(({ buffer }) => buffer.buffer)
        for (const buffer of buffers) inFlight.add(buffer)
        const large = socket.queued.filter(({ buffer }) => buffer.length > 4096)
        expect(new Set(large.map(({ buffer }) => buffer.buffer)).size).toBe(large.length)
      }
      while (socket.queued.length > 0) expect(socket.takeOldest()).toBe(true)
      expect(sendBuffers.freeCount).toBeLessThan(16)
      const bytes = Buffer.concat(socket.written)
      const frameBytes = 4 + bytes.readInt32BE(0)
      for (let at = 0; at < bytes.length; at += frameBytes) {
        expect(bytes.subarray(at + 9, at + 9 + content.length).equals(content)).toBe(true)
      }
    })

    it('closes when the file cannot be read, with half of an answer out', () => {
      const file = storedFile()
      const { socket, receive } = open({ stored: file, size: content.length + 1 })
      receive(aRequest(2))
      expect(socket.isDestroyed).toBe(true)
      const closed = storedFile()
      const other = open({ stored: closed, size: content.length })
      closed.close()
      other.receive(aRequest(2))
      expect(other.socket.isDestroyed).toBe(true)
      expect(() => closed.read(Buffer.alloc(1), 0, 1, 0)).toThrow(StorageError)
    })

    it('keeps them in memory while an answer before is held back, as the file may change', () => {
      const file = storedFile()
      const { socket, receive, durability } = open({ stored: file })
      receive(Buffer.concat([aRequest(1), aRequest(2)]))
      expect(socket.written).toEqual([])
      file.truncate(0)
      durability.waiting.shift()!(true)
      expect(bodyOf(socket.written).equals(content)).toBe(true)
      expect(socket.answers).toEqual([1, 2])
    })
  })
})
