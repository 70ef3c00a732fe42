/** A connection with responses that its peer does not take. */
export interface SlowReader {
  /** Closes the connection, saying why. */
  dropSlow(): void
}

/**
 * What all connections together hold of responses that their peers have not taken. When it is too much, the peer that
 * has taken nothing for the longest time loses its connection: those that read on are not slowed by those that do not.
 */
export class OutgoingBytes {
  readonly #limitBytes: number
  #totalBytes = 0
  /** In the order in which they fell behind. */
  readonly #behind = new Map<SlowReader, number>()

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get totalBytes(): number {
    return this.#totalBytes
  }

  /** Notes how much the connection has queued now; 0 when its peer has caught up or it is gone. */
  update(reader: SlowReader, queuedBytes: number): void {
    this.#totalBytes += queuedBytes - (this.#behind.get(reader) ?? 0)
    if (queuedBytes === 0) this.#behind.delete(reader)
    else this.#behind.set(reader, queuedBytes)
    while (this.#totalBytes > this.#limitBytes && this.#behind.size > 1) {
      const [slowest, bytes] = this.#behind.entries().next().value!
      this.#behind.delete(slowest)
      this.#totalBytes -= bytes
      slowest.dropSlow()
    }
  }
}
