import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket as NodeSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { native } from '@millrace/native'
import { describe, expect, it } from 'vitest'
import { FileSlice } from '../log/file-slice.ts'
import type { Receiver, Socket } from '../network/network.ts'
import { RealDisk } from './real-disk.ts'
import { TcpNetwork, type ReceiveMode } from './tcp-network.ts'

/** Keeps what arrives; its region changes size and place from read to read. */
class Collector implements Receiver {
  readonly bytes: Buffer[] = []
  isClosed = false
  onReceived = () => {}
  #region = Buffer.alloc(1)
  #calls = 0
  readonly #changed: () => void

  constructor(changed: () => void) {
    this.#changed = changed
  }

  get all(): Buffer {
    return Buffer.concat(this.bytes)
  }

  region(): Buffer {
    this.#region = Buffer.alloc(1 + (this.#calls++ % 700))
    return this.#region
  }

  received(byteCount: number): void {
    this.bytes.push(Buffer.from(this.#region.subarray(0, byteCount)))
    this.onReceived()
    this.#changed()
  }

  drained(): void {
    this.#changed()
  }

  closed(): void {
    this.isClosed = true
    this.#changed()
  }
}

async function pair(mode: ReceiveMode) {
  let changed = () => {}
  const until = (condition: () => boolean) =>
    new Promise<void>((resolve) => {
      changed = () => condition() && resolve()
      changed()
    })
  const accepted: { socket: Socket; receiver: Collector }[] = []
  const listener = await new TcpNetwork(mode).listen({ host: '127.0.0.1', port: 0 }, (socket) => {
    const receiver = new Collector(() => changed())
    accepted.push({ socket, receiver })
    queueMicrotask(() => changed())
    return receiver
  })
  const client: NodeSocket = connect(listener.port, '127.0.0.1')
  await once(client, 'connect')
  await until(() => accepted.length === 1)
  return { client, listener, until, ...accepted[0]! }
}

describe.each<ReceiveMode>(['region', 'copy'])('TcpNetwork that receives by %s', (mode) => {
  it('delivers every byte in order into regions of any size', async () => {
    const { client, listener, receiver, until } = await pair(mode)
    const sent = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251))
    client.write(sent)
    await until(() => receiver.all.length === sent.length)
    expect(receiver.all.equals(sent)).toBe(true)
    client.destroy()
    await until(() => receiver.isClosed)
    await listener.close()
  })

  it('writes gathered buffers in order and says what the peer has not taken', async () => {
    const { client, listener, socket, receiver, until } = await pair(mode)
    const large = Buffer.alloc(20 << 20, 1)
    socket.write([Buffer.from('ab'), large, Buffer.from('yz')])
    expect(socket.queuedBytes).toBeGreaterThan(0)
    const parts: Buffer[] = []
    let size = 0
    for await (const part of client) {
      parts.push(part as Buffer)
      size += (part as Buffer).length
      if (size === large.length + 4) break
    }
    const got = Buffer.concat(parts)
    expect(got.subarray(0, 2).toString() + got.subarray(-2).toString()).toBe('abyz')
    await until(() => receiver.isClosed)
    await listener.close()
  })

  it('sends at once what the system takes, in order with what is queued, and stored bytes from their file', async () => {
    const { client, listener, socket, receiver, until } = await pair(mode)
    const directory = mkdtempSync(join(tmpdir(), 'tcp-network-'))
    const file = new RealDisk().open(join(directory, 'f'), { create: true })
    const stored = Buffer.from(Array.from({ length: 12 << 20 }, (_, index) => index % 249))
    file.append(stored)
    const slice = new FileSlice(file, 0, stored.length, 0)

    const sent: Buffer[] = []
    const send = (bytes: Buffer) => {
      const count = socket.sendNow!(bytes)
      const rest = bytes.subarray(count)
      if (rest.length > 0) socket.write([rest])
      sent.push(bytes)
      return count
    }
    if (native.send !== null) expect(send(Buffer.from('first'))).toBe(5)
    const head = Buffer.from('head')
    const taken = socket.sendStored!(head, slice)
    sent.push(Buffer.concat([head, stored]))
    if (native.sendFile !== null) expect(taken).toBeGreaterThan(4)
    expect(taken).toBeLessThan(stored.length)
    socket.write([Buffer.concat([head, stored]).subarray(taken)])
    // Something is queued now, and nothing overtakes it.
    expect(send(Buffer.from('last'))).toBe(0)

    const expected = Buffer.concat(sent)
    const parts: Buffer[] = []
    let size = 0
    for await (const part of client) {
      parts.push(part as Buffer)
      size += (part as Buffer).length
      if (size === expected.length) break
    }
    expect(Buffer.concat(parts).equals(expected)).toBe(true)
    await until(() => receiver.isClosed)
    await listener.close()
    file.close()
    rmSync(directory, { recursive: true })
  })

  it('delivers nothing from a pause on, and the rest when it resumes', async () => {
    const { client, listener, socket, receiver, until } = await pair(mode)
    let isPaused = false
    let deliveredWhilePaused = 0
    receiver.onReceived = () => {
      if (isPaused) deliveredWhilePaused += 1
      if (receiver.bytes.length % 3 > 0) return
      isPaused = true
      socket.pause()
      setImmediate(() => {
        isPaused = false
        socket.resume()
      })
    }
    const sent = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251))
    client.write(sent)
    await until(() => receiver.all.length === sent.length)
    expect(receiver.all.equals(sent)).toBe(true)
    expect(deliveredWhilePaused).toBe(0)
    client.destroy()
    await until(() => receiver.isClosed)
    await listener.close()
  })

  it('closes the connection of a client when told to', async () => {
    const { client, listener, socket, receiver, until } = await pair(mode)
    const closed = once(client, 'close')
    socket.destroy()
    await closed
    await until(() => receiver.isClosed)
    await listener.close()
  })

  it('listens on every interface when no host is said', async () => {
    const listener = await new TcpNetwork(mode).listen({ host: '', port: 0 }, () => new Collector(() => {}))
    const client = connect(listener.port, '127.0.0.1')
    await once(client, 'connect')
    client.destroy()
    await listener.close()
  })

  it('says that a port is in use', async () => {
    const { client, listener, receiver, until } = await pair(mode)
    const second = new TcpNetwork(mode).listen({ host: '127.0.0.1', port: listener.port }, () => receiver)
    await expect(second).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' })
    client.destroy()
    await until(() => receiver.isClosed)
    await listener.close()
  })
})
