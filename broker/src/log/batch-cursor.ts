import { BATCH_HEADER_BYTES, batchSizeAt, hasExactNumbersAt, lastOffsetDeltaAt, magicAt } from '@millrace/protocol'
import type { DiskFile } from './disk.ts'

const CURRENT_MAGIC = 2

/**
 * Steps through the batches of a file by their headers. `buffer` and `at` tell where the header, and after `load` the
 * whole batch, is in memory; both change with the next call. Nothing is checked but what stepping needs.
 */
export class BatchCursor {
  #file: DiskFile
  #buffer: Buffer
  /** The file position of the first byte in `#buffer`, and how many bytes of the file follow. */
  #windowStart = 0
  #windowBytes = 0
  #position = 0

  constructor(file: DiskFile, windowBytes: number) {
    this.#file = file
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(windowBytes, BATCH_HEADER_BYTES))
  }

  /** Uses the same memory for another file, or for this one after it was truncated. */
  reset(file: DiskFile): void {
    this.#file = file
    this.#windowBytes = 0
  }

  get buffer(): Buffer {
    return this.#buffer
  }

  get at(): number {
    return this.#position - this.#windowStart
  }

  get position(): number {
    return this.#position
  }

  /** Moves to `position`; false if no header fits between it and the end of the file. */
  moveTo(position: number): boolean {
    this.#position = position
    return this.#fill(BATCH_HEADER_BYTES)
  }

  /** Why what is at the position cannot be stepped over as a batch, or null. Asked after `moveTo` answered true. */
  problem(): string | null {
    const sizeBytes = batchSizeAt(this.#buffer, this.at)
    if (sizeBytes < BATCH_HEADER_BYTES) return `batch says ${sizeBytes} bytes, the smallest has ${BATCH_HEADER_BYTES}`
    const left = this.#file.size - this.#position
    if (sizeBytes > left) return `batch says ${sizeBytes} bytes, file ends after ${left}`
    const magic = magicAt(this.#buffer, this.at)
    if (magic !== CURRENT_MAGIC) return `batch has magic ${magic}`
    if (!hasExactNumbersAt(this.#buffer, this.at)) return 'batch has a number beyond 2^53'
    if (lastOffsetDeltaAt(this.#buffer, this.at) < 0) return 'batch ends before it begins'
    return null
  }

  /** Has the whole batch in `buffer`; its size was found good by `problem`. */
  load(): void {
    this.#fill(batchSizeAt(this.#buffer, this.at))
  }

  #fill(bytes: number): boolean {
    if (this.#position >= this.#windowStart && this.#position + bytes <= this.#windowStart + this.#windowBytes)
      return true
    if (this.#position + bytes > this.#file.size) return false
    if (bytes > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(bytes)
    const length = Math.min(this.#buffer.length, this.#file.size - this.#position)
    this.#windowStart = this.#position
    this.#windowBytes = this.#file.read(this.#buffer, 0, length, this.#position)
    return this.#windowBytes >= bytes
  }
}
