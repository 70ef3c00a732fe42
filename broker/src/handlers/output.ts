import assert from 'node:assert/strict'
import { Writer } from '@millrace/protocol'
import type { FileSlice } from '../log/file-slice.ts'

// Below this a copy costs less than another element in the gathered write.
const COPY_BYTES_MAX = 4096
const WRITER_BYTES = 1024
/** What goes out, in order. */
export type Part = Buffer | FileSlice

/** A writer that grew beyond this is given away with its response, so that no connection keeps the room of its largest. */
const WRITER_BYTES_MAX = 64 * 1024

/**
 * The responses that one connection has ready, in order. Small fields are written to a buffer that is used again and
 * again; stored records go out as they are, between them, and need not even be in memory.
 */
export class Output {
  #writer = new Writer(WRITER_BYTES)
  #parts: Part[] = []
  #partsBytes = 0
  /** Where the size of the frame being written stands: the part it is in, or the writer when that is not taken yet. */
  #sizePart = 0
  #sizeAt = 0
  #frameStart = 0
  #isInFrame = false

  /** Asked for anew after `take`. */
  get writer(): Writer {
    return this.#writer
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0 && this.#writer.at === 0
  }

  get sizeBytes(): number {
    return this.#partsBytes + this.#writer.at
  }

  /** Whether a response was begun and not ended. */
  get isInFrame(): boolean {
    return this.#isInFrame
  }

  /** Begins a response: its size, filled in at the end, and the response header, which has tags when flexible. */
  beginResponse(correlationId: number, isFlexible: boolean): void {
    assert(!this.#isInFrame, 'frames are not nested')
    this.#isInFrame = true
    this.#sizePart = this.#parts.length
    this.#sizeAt = this.#writer.at
    this.#frameStart = this.sizeBytes
    this.#writer.int32(0)
    this.#writer.int32(correlationId)
    if (isFlexible) this.#writer.uvarint(0)
  }

  /** Puts stored bytes into the frame; they must not change until the peer has them. */
  stored(bytes: Part): void {
    if (bytes.length <= COPY_BYTES_MAX && Buffer.isBuffer(bytes)) {
      this.#writer.raw(bytes)
      return
    }
    this.#takeWritten()
    this.#parts.push(bytes)
    this.#partsBytes += bytes.length
  }

  endFrame(): void {
    assert(this.#isInFrame)
    this.#isInFrame = false
    const sizeBytes = this.sizeBytes - this.#frameStart - 4
    const part = this.#parts[this.#sizePart]
    if (part === undefined) this.#writer.setInt32(this.#sizeAt, sizeBytes)
    else (part as Buffer).writeInt32BE(sizeBytes, this.#sizeAt)
  }

  /** Takes back the frame begun last: the request gets no response. */
  dropFrame(): void {
    assert(this.#isInFrame)
    assert(this.#sizePart === this.#parts.length, 'nothing stored was put into a frame that is dropped')
    this.#isInFrame = false
    this.#writer.at = this.#sizeAt
  }

  /** A view of all there is when nothing stored is part of it, else null. Good until something is written. */
  written(): Buffer | null {
    return this.#parts.length > 0 || this.#writer.at === 0 || this.#writer.at > WRITER_BYTES_MAX
      ? null
      : this.#writer.take()
  }

  /** Forgets the first bytes of `written`. */
  drop(byteCount: number): void {
    assert(!this.#isInFrame && this.#parts.length === 0 && byteCount <= this.#writer.at)
    if (byteCount < this.#writer.at) {
      if (byteCount === 0) return
      const rest = Buffer.from(this.#writer.take().subarray(byteCount))
      this.#parts.push(rest)
      this.#partsBytes = rest.length
    }
    this.#writer.reset()
  }

  take(): readonly Part[] {
    assert(!this.#isInFrame)
    if (this.#writer.at > WRITER_BYTES_MAX) {
      this.#parts.push(this.#writer.take())
      this.#writer = new Writer(WRITER_BYTES)
    } else {
      this.#takeWritten()
    }
    const parts = this.#parts
    this.#parts = []
    this.#partsBytes = 0
    return parts
  }

  #takeWritten(): void {
    if (this.#writer.at === 0) return
    const written = Buffer.from(this.#writer.take())
    this.#writer.reset()
    this.#parts.push(written)
    this.#partsBytes += written.length
  }
}
