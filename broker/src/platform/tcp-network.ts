import { createServer, Socket as NodeSocket, type AddressInfo, type Server } from 'node:net'
import { send } from '@millrace/native'
import { BrokerError } from '../base/errors.ts'
import type { FileSlice } from '../log/file-slice.ts'
import type { Listener, Network, Receiver, Socket } from '../network/network.ts'

/**
 * `region`: libuv reads into the receiver's own buffer. Node offers that to clients only (`onread`), so the server's
 * connection hook is replaced. `copy`: the public 'data' event, and one copy. The first needs an internal of Node and
 * is used where it is there; both pass the same tests.
 */
export type ReceiveMode = 'region' | 'copy'

interface ServerHandle {
  onconnection: (status: number, handle: unknown) => void
}

interface WithHandle extends NodeSocket {
  readonly _handle?: { readonly fd?: number } | null
}

class TcpSocket implements Socket {
  readonly remoteHost: string
  readonly localHost: string
  readonly localPort: number
  readonly #socket: NodeSocket

  constructor(socket: NodeSocket) {
    this.#socket = socket
    this.remoteHost = plainAddress(socket.remoteAddress)
    this.localHost = plainAddress(socket.localAddress)
    this.localPort = socket.localPort ?? 0
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  write(buffers: readonly Uint8Array[], taken?: () => void): void {
    const last = buffers.length - 1
    if (last > 0) this.#socket.cork()
    for (let i = 0; i < last; i++) this.#socket.write(buffers[i]!)
    if (taken === undefined) this.#socket.write(buffers[last]!)
    else this.#socket.write(buffers[last]!, (error) => (error ? undefined : taken()))
    if (last > 0) this.#socket.uncork()
  }

  sendNow(bytes: Uint8Array): number {
    const fd = this.#idleDescriptor()
    return fd < 0 || send === null ? 0 : send(fd, bytes, false)
  }

  sendStored(head: Uint8Array, slice: FileSlice): number {
    const fd = this.#idleDescriptor()
    if (fd < 0 || send === null) return 0
    const sentBytes = send(fd, head, true)
    return sentBytes < head.length ? sentBytes : sentBytes + slice.sendTo(fd)
  }

  /** What the system knows the socket by: an internal of Node, and -1 without it, or while something is queued. */
  #idleDescriptor(): number {
    if (this.#socket.writableLength > 0) return -1
    return (this.#socket as WithHandle)._handle?.fd ?? -1
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

/** TCP by node:net. */
export class TcpNetwork implements Network {
  readonly #mode: ReceiveMode

  constructor(mode: ReceiveMode = 'region') {
    this.#mode = mode
  }

  listen(
    address: { readonly host: string; readonly port: number },
    accept: (socket: Socket) => Receiver,
  ): Promise<Listener> {
    const { host, port } = address
    const server = createServer({ noDelay: true }, (socket) => attach(socket, accept, receiveByCopy))
    return new Promise((resolve, reject) => {
      // Once it listens, an error is that of one connection that could not be accepted: the client sees it end.
      server.on('error', (cause: NodeJS.ErrnoException) => reject(cannotListen(host === '' ? '*' : host, port, cause)))
      // Without a host Node takes every interface, by IPv6 where there is such and by IPv4 where there is not.
      server.listen({ ...(host === '' ? {} : { host }), port, backlog: 1024 }, () => {
        if (this.#mode === 'region') receiveIntoRegions(server, accept)
        const bound = server.address() as AddressInfo
        resolve({ host: bound.address, port: bound.port, close: () => closeServer(server) })
      })
    })
  }
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): BrokerError {
  if (cause.code === 'EADDRINUSE') {
    return new BrokerError('ADDRESS_IN_USE', `port ${port} on ${host} is in use by another program`, { cause })
  }
  const reason = cause.code ?? cause.message
  return new BrokerError('ADDRESS_UNAVAILABLE', `cannot listen on ${host}:${port}: ${reason}`, { cause })
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

function plainAddress(address: string | undefined): string {
  if (address === undefined) return ''
  return address.startsWith('::ffff:') ? address.slice(7) : address
}

function attach(
  socket: NodeSocket,
  accept: (socket: Socket) => Receiver,
  receive: (socket: NodeSocket, receiver: Receiver) => void,
): void {
  const receiver = accept(new TcpSocket(socket))
  socket.on('drain', () => receiver.drained())
  socket.on('close', () => receiver.closed())
  // 'close' follows; a peer that resets the connection is an everyday event.
  socket.on('error', () => socket.destroy())
  receive(socket, receiver)
}

function receiveByCopy(socket: NodeSocket, receiver: Receiver): void {
  socket.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length && !socket.destroyed;) {
      if (socket.isPaused()) {
        socket.unshift(chunk.subarray(at))
        return
      }
      const region = receiver.region()
      const count = Math.min(region.length, chunk.length - at)
      region.set(chunk.subarray(at, at + count))
      at += count
      receiver.received(count)
    }
  })
}

function receiveIntoRegions(server: Server, accept: (socket: Socket) => Receiver): void {
  const handle = (server as unknown as { _handle: ServerHandle | null })._handle
  if (handle === null || typeof handle.onconnection !== 'function') return
  const original = handle.onconnection
  handle.onconnection = function (status: number, connection: unknown) {
    if (status !== 0 || connection === undefined) {
      original.call(handle, status, connection)
      return
    }
    let receiver: Receiver | null = null
    const placeholder = new Uint8Array(1)
    const socket = new NodeSocket({
      handle: connection,
      allowHalfOpen: false,
      pauseOnCreate: true,
      readable: true,
      writable: true,
      onread: {
        // Asked once while the socket is being made, before there is a receiver; reading starts after that.
        buffer: () => (receiver === null ? placeholder : receiver.region()),
        callback: (byteCount: number) => {
          receiver!.received(byteCount)
          return true
        },
      },
    } as ConstructorParameters<typeof NodeSocket>[0])
    socket.setNoDelay(true)
    attach(socket, accept, (attached, made) => {
      receiver = made
      // The buffer that was asked for first is the placeholder: hand over the real one before the first read.
      const streamHandle = (attached as unknown as { _handle: { useUserBuffer(buffer: Uint8Array): void } | null })
        ._handle
      streamHandle?.useUserBuffer(made.region())
      attached.resume()
    })
  }
}
