import assert from 'node:assert/strict'

/** A new connection's buffer: enough for the requests of an idle client, little enough for thousands of them. */
const INITIAL_BYTES = 4096
/** What a connection may keep while nothing is waiting: enough for one read of what most clients send at a time. */
const STANDING_BYTES_MAX = 32 * 1024
/** A busy connection's buffer grows up to here by itself, so that one read takes many requests. */
export const COMFORTABLE_BYTES = 512 * 1024

/**
 * Collects the bytes of one connection and finds the frames in them: a big-endian int32 size, then as many bytes.
 *
 * The buffer grows with bytes that have arrived, never with a size that a frame claims, so a peer costs at most a small
 * multiple of what it has sent; beyond COMFORTABLE_BYTES only as far as `grant` allows. A frame's bytes stay valid until
 * the next `region`.
 *
 * A region belongs to the socket from `region` to `received`, for an idle connection hours, and cannot be taken back. So
 * while nothing is waiting it lies in the standing buffer, and the one that a burst made grow can go; and bytes that
 * arrive in a region of a buffer that has gone since are copied into the one in use.
 */
export class ReceiveBuffer {
  readonly #frameBytesMax: number
  #standing: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES)
  /** Larger than a standing one may be; kept for the next burst until `shrink`. */
  #grown: Buffer | null = null
  /** One of the two: where the bytes are that wait. */
  #bytes: Buffer = this.#standing
  #start = 0
  #end = 0
  #region: Buffer = this.#standing
  /** Whether the region is where the next bytes belong, so that nothing is to be copied. */
  #isRegionInPlace = true
  #wasFull = false
  #bytesMax = COMFORTABLE_BYTES

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  get capacityBytes(): number {
    return this.#standing.length + (this.#grown?.length ?? 0)
  }

  /** Bytes received that no frame has taken yet. */
  get waitingBytes(): number {
    return this.#end - this.#start
  }

  /** What must be granted before more of the frame that is coming in finds room; 0 for most requests. */
  get growthBytes(): number {
    const { length } = this.#bytes
    const isFull = this.#end === length && this.#end - this.#start > length / 2
    return Math.max(0, (isFull ? length * 2 : length) - this.#bytesMax)
  }

  /** What was granted and not given back. */
  get grantedBytes(): number {
    return this.#bytesMax - COMFORTABLE_BYTES
  }

  grant(bytes: number): void {
    this.#bytesMax += bytes
  }

  /** Where the next bytes go; never empty, though not large while growth is not granted. */
  region(): Buffer {
    const { length } = this.#bytes
    const freeBytes = length - this.#end
    if (this.#start === this.#end) {
      this.#start = 0
      this.#end = 0
      if (!this.#wasFull) this.#bytes = this.#standing
      else if (length < COMFORTABLE_BYTES) this.#makeRoom(length * 2)
    } else if (this.#wasFull && length < COMFORTABLE_BYTES) {
      // More is waiting in the kernel. Without this, requests a little smaller than the buffer come one by one for ever.
      this.#makeRoom(length * 2)
    } else if (freeBytes === 0 || (this.#start > 0 && freeBytes < length / 4)) {
      if (this.#end - this.#start <= length / 2) this.#moveTo(this.#bytes)
      else if (freeBytes === 0 && length * 2 <= this.#bytesMax) this.#makeRoom(length * 2)
    }
    this.#wasFull = false
    this.#isRegionInPlace = this.#end < this.#bytes.length
    this.#region = this.#isRegionInPlace ? this.#bytes.subarray(this.#end) : this.#standing
    return this.#region
  }

  received(byteCount: number): void {
    assert(byteCount > 0 && byteCount <= this.#region.length)
    if (!this.#isRegionInPlace) {
      if (this.#end + byteCount > this.#bytes.length) this.#makeRoom(this.#end - this.#start + byteCount)
      this.#bytes.set(this.#region.subarray(0, byteCount), this.#end)
    }
    this.#end += byteCount
    this.#wasFull = byteCount === this.#region.length
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

  /**
   * Gives back what was granted, and all that has grown if nothing is waiting. Returns false, and changes nothing, while
   * what is waiting needs it.
   */
  shrink(): boolean {
    const waitingBytes = this.#end - this.#start
    const { length } = this.#bytes
    if (waitingBytes === 0) {
      this.#grown = null
      if (this.#bytes !== this.#standing) this.#moveTo(this.#standing)
    } else if (waitingBytes <= COMFORTABLE_BYTES / 2) {
      if (length > COMFORTABLE_BYTES) this.#moveTo((this.#grown = Buffer.allocUnsafeSlow(COMFORTABLE_BYTES)))
    } else if (length > COMFORTABLE_BYTES) {
      return false
    }
    this.#bytesMax = COMFORTABLE_BYTES
    return true
  }

  /** Makes room for so many bytes from `start` on, in the grown buffer from before where that is enough. */
  #makeRoom(sizeBytes: number): void {
    let next = sizeBytes <= this.#bytes.length ? this.#bytes : this.#grown
    if (next === null || next.length < sizeBytes) {
      let { length } = this.#bytes
      while (length < sizeBytes) length *= 2
      next = Buffer.allocUnsafeSlow(length)
      if (length <= STANDING_BYTES_MAX) this.#standing = next
      else this.#grown = next
    }
    this.#moveTo(next)
  }

  /** Puts what is waiting at the beginning of `target`. */
  #moveTo(target: Buffer): void {
    const waitingBytes = this.#end - this.#start
    this.#bytes.copy(target, 0, this.#start, this.#end)
    this.#bytes = target
    this.#start = 0
    this.#end = waitingBytes
    this.#isRegionInPlace = false
  }
}
