import type { FileSlice } from '../log/file-slice.ts'

/**
 * What the broker needs of a network. Production passes TCP, the simulator one that delays, splits, reorders between
 * connections and cuts.
 */
export interface Network {
  /**
   * Accepts connections until the listener is closed. `port` 0 takes a free one, an empty `host` every interface. Fails
   * with a BrokerError of code ADDRESS_IN_USE or ADDRESS_UNAVAILABLE.
   */
  listen(
    address: { readonly host: string; readonly port: number },
    accept: (socket: Socket) => Receiver,
  ): Promise<Listener>
}

export interface Listener {
  readonly host: string
  readonly port: number
  /** Stops accepting; connections that are open stay so. */
  close(): Promise<void>
}

/** One accepted connection, as the adapter offers it. */
export interface Socket {
  readonly remoteHost: string
  readonly localHost: string
  readonly localPort: number
  /** Bytes handed to `write` that the peer's side has not taken yet. */
  readonly queuedBytes: number
  /**
   * Queues the buffers in order. They must not be changed until `taken` is called, which is once the system has them all,
   * and never when the connection ends before.
   */
  write(buffers: readonly Uint8Array[], taken?: () => void): void
  /**
   * Sends `head` and stored bytes behind it, without reading those, and returns how many bytes went out of both together;
   * absent where that cannot be. What is left goes to `write` at once.
   */
  sendStored?(head: Uint8Array, slice: FileSlice): number
  /**
   * Sends what the system takes at once of bytes that may change afterwards, and returns how many those are; absent where
   * that cannot be.
   */
  sendNow?(bytes: Uint8Array): number
  /** Stops or continues calling `Receiver.received`. */
  pause(): void
  resume(): void
  destroy(): void
}

/** The broker's side of a connection: bytes are received straight into its buffer, so that nothing is assembled twice. */
export interface Receiver {
  /**
   * Where the next bytes go; never empty. Asked for as soon as the bytes before have been received, and the socket's until
   * `received` is called, however long that takes.
   */
  region(): Uint8Array
  received(byteCount: number): void
  /** Everything queued has been taken by the peer's side. Not called where that was little or took no time. */
  drained(): void
  /** The connection is gone, whoever closed it. Called once, and nothing after it. */
  closed(): void
}
