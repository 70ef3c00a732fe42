/** A connection with responses that its peer does not take. */
export interface SlowReader {
  /** What its peer has not taken yet. */
  readonly queuedBytes: number
  /** Closes the connection, saying why. */
  dropSlow(): void
}

/**
 * What all connections together hold of responses that their peers have not taken. When it is too much, the peer that
 * has taken nothing for the longest time loses its connection: those that read on are not slowed by those that do not.
 */
export class OutgoingBytes {
  readonly #limitBytes: number
  /** What is known to be queued; a peer takes its responses without a word, so it may be less by now. */
  #totalBytes = 0
  /** In the order in which they fell behind, or were last seen to have taken something. */
  readonly #behind = new Map<SlowReader, number>()

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get totalBytes(): number {
    return this.#totalBytes
  }

  /** Notes how much the connection has queued after `writtenBytes` more were written to it. */
  update(reader: SlowReader, writtenBytes: number): void {
    this.#note(reader, writtenBytes)
    while (this.#totalBytes > this.#limitBytes && this.#behind.size > 1) this.#dropSlowest()
  }

  /** The connection is gone. */
  forget(reader: SlowReader): void {
    this.#totalBytes -= this.#behind.get(reader) ?? 0
    this.#behind.delete(reader)
  }

  #note(reader: SlowReader, writtenBytes: number): void {
    const { queuedBytes } = reader
    const knownBytes = this.#behind.get(reader) ?? 0
    if (queuedBytes < knownBytes + writtenBytes) this.#behind.delete(reader)
    if (queuedBytes > 0) this.#behind.set(reader, queuedBytes)
    this.#totalBytes += queuedBytes - knownBytes
  }

  #dropSlowest(): void {
    const [reader, knownBytes] = this.#behind.entries().next().value!
    if (reader.queuedBytes < knownBytes) {
      this.#note(reader, 0)
    } else {
      this.forget(reader)
      reader.dropSlow()
    }
  }
}
