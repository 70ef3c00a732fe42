/** Stored bytes are read and written in pieces of this size: the first is on its way while the second is read. */
export const SEND_BUFFER_BYTES = 256 * 1024
/** As many are kept for the next fetch. */
const FREE_MAX = 16

/**
 * Buffers for stored bytes on their way to sockets, of all connections of a node. One that is given back is used again, so
 * whoever takes it gives it back once, when the socket is done with it, or never.
 */
export class SendBuffers {
  readonly #free: Buffer[] = []
  readonly #poison: boolean

  /** With `poison` a buffer is overwritten when it comes back, so that a test sees who still looks at it. */
  constructor(options: { readonly poison?: boolean } = {}) {
    this.#poison = options.poison ?? false
  }

  get freeCount(): number {
    return this.#free.length
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(SEND_BUFFER_BYTES)
  }

  giveBack(buffer: Buffer): void {
    if (this.#poison) buffer.fill(0xdd)
    if (this.#free.length < FREE_MAX) this.#free.push(buffer)
  }
}
