import assert from 'node:assert/strict'

/** A new connection's buffer: enough for the requests of an idle client, little enough for thousands of them. */
const INITIAL_BYTES = 4096
/** A busy connection's buffer grows up to here by itself, so that one read takes many requests. */
export const COMFORTABLE_BYTES = 512 * 1024

/**
 * Collects the bytes of one connection and finds the frames in them: a big-endian int32 size, then as many bytes.
 *
 * The buffer grows with bytes that have arrived, never with a size that a frame claims, so a peer costs at most a
 * small multiple of what it has sent. Bytes handed out by `frame*` stay valid until the next `region`.
 */
export class ReceiveBuffer {
  readonly #frameBytesMax: number
  #bytes: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES)
  #start = 0
  #end = 0
  #wasFull = false

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  get capacityBytes(): number {
    return this.#bytes.length
  }

  /** Bytes received that no frame has taken yet. */
  get waitingBytes(): number {
    return this.#end - this.#start
  }

  /** How much larger the next `region` makes the buffer than is comfortable; 0 for most requests. */
  get growthBytes(): number {
    const waitingBytes = this.#end - this.#start
    const isFull = this.#end === this.#bytes.length && waitingBytes > this.#bytes.length / 2
    return isFull && this.#bytes.length >= COMFORTABLE_BYTES ? this.#bytes.length : 0
  }

  region(): Buffer {
    if (this.#start === this.#end) {
      this.#start = 0
      this.#end = 0
      if (this.#wasFull && this.#bytes.length < COMFORTABLE_BYTES) {
        this.#bytes = Buffer.allocUnsafeSlow(this.#bytes.length * 2)
      }
    } else {
      const freeBytes = this.#bytes.length - this.#end
      if (freeBytes === 0 || (this.#start > 0 && freeBytes < this.#bytes.length / 4)) this.#makeRoom(freeBytes === 0)
    }
    this.#wasFull = false
    return this.#bytes.subarray(this.#end)
  }

  received(byteCount: number): void {
    assert(byteCount > 0 && this.#end + byteCount <= this.#bytes.length)
    this.#end += byteCount
    this.#wasFull = this.#end === this.#bytes.length
  }

  /**
   * The size of the next frame when all of it is here, -1 when not yet, or -2 when the peer claims a size that is
   * negative or above the limit.
   */
  nextFrameBytes(): number {
    if (this.#end - this.#start < 4) return -1
    const sizeBytes = this.#bytes.readInt32BE(this.#start)
    if (sizeBytes < 0 || sizeBytes > this.#frameBytesMax) return -2
    return this.#end - this.#start - 4 >= sizeBytes ? sizeBytes : -1
  }

  /** Takes the frame that `nextFrameBytes` found; returns where its bytes start in `bytes`. */
  takeFrame(sizeBytes: number): number {
    const start = this.#start + 4
    this.#start = start + sizeBytes
    return start
  }

  /** Gives a grown buffer back while nothing is in it. */
  shrink(): boolean {
    if (this.#start !== this.#end || this.#bytes.length === INITIAL_BYTES) return false
    this.#bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES)
    this.#start = 0
    this.#end = 0
    this.#wasFull = false
    return true
  }

  #makeRoom(mustGrow: boolean): void {
    const waitingBytes = this.#end - this.#start
    if (waitingBytes > this.#bytes.length / 2 && !mustGrow) return
    if (waitingBytes <= this.#bytes.length / 2) {
      this.#bytes.copy(this.#bytes, 0, this.#start, this.#end)
    } else {
      const grown = Buffer.allocUnsafeSlow(this.#bytes.length * 2)
      this.#bytes.copy(grown, 0, this.#start, this.#end)
      this.#bytes = grown
    }
    this.#start = 0
    this.#end = waitingBytes
  }
}
