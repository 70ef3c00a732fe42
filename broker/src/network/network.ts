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
  /** Queues the buffers in order. They must not be changed afterwards. */
  write(buffers: readonly Uint8Array[]): void
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
