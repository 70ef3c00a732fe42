import { BrokerError } from '../base/errors.ts'
import type { Listener, Network, Receiver, Socket } from '../network/network.ts'

/** The client's end of a connection through a MemoryNetwork. */
export interface MemoryConnection {
  /** Hands bytes to the broker, in pieces of at most `pieceBytes`. */
  send(bytes: Uint8Array, pieceBytes?: number): void
  close(): void
  readonly isClosed: boolean
}

/** A network inside the process: bytes arrive at once, in order and without a system call. */
export class MemoryNetwork implements Network {
  readonly #listeners = new Map<number, (socket: Socket) => Receiver>()
  #nextPort = 50_000

  listen(
    address: { readonly host: string; readonly port: number },
    accept: (socket: Socket) => Receiver,
  ): Promise<Listener> {
    const port = address.port === 0 ? this.#nextPort++ : address.port
    if (this.#listeners.has(port)) {
      return Promise.reject(
        new BrokerError('ADDRESS_IN_USE', `port ${port} on ${address.host} is in use by another program`),
      )
    }
    this.#listeners.set(port, accept)
    const close = () => {
      this.#listeners.delete(port)
      return Promise.resolve()
    }
    return Promise.resolve({ host: address.host, port, close })
  }

  /** Connects to a listener; `received` gets what the broker writes, `closed` is called when it closes. */
  connect(port: number, client: { received(bytes: Uint8Array): void; closed(): void }): MemoryConnection {
    const accept = this.#listeners.get(port)
    if (accept === undefined) throw new BrokerError('CONNECTION_REFUSED', `nobody listens on port ${port}`)
    let isClosed = false
    let isPaused = false
    let isDelivering = false
    const waiting: Uint8Array[] = []
    let receiver: Receiver | null = null
    // As with a socket, the next bytes go where the receiver wanted them when it got the last ones.
    let region: Uint8Array = new Uint8Array(0)
    const close = () => {
      if (isClosed) return
      isClosed = true
      client.closed()
      receiver?.closed()
    }
    const deliver = () => {
      // What a client sends on hearing of something comes after it.
      if (isDelivering) return
      isDelivering = true
      while (!isPaused && !isClosed && waiting.length > 0) {
        const bytes = waiting.shift()!
        const count = Math.min(region.length, bytes.length)
        region.set(bytes.subarray(0, count))
        if (count < bytes.length) waiting.unshift(bytes.subarray(count))
        receiver!.received(count)
        region = receiver!.region()
      }
      isDelivering = false
    }
    receiver = accept({
      remoteHost: '127.0.0.1',
      localHost: '127.0.0.1',
      localPort: port,
      queuedBytes: 0,
      write: (buffers) => {
        if (!isClosed) for (const buffer of buffers) client.received(buffer)
      },
      pause: () => {
        isPaused = true
      },
      resume: () => {
        isPaused = false
        deliver()
      },
      destroy: close,
    })
    region = receiver.region()
    return {
      send(bytes, pieceBytes = bytes.length) {
        for (let at = 0; at < bytes.length; at += pieceBytes) waiting.push(bytes.slice(at, at + pieceBytes))
        deliver()
      },
      close,
      get isClosed() {
        return isClosed
      },
    }
  }
}
