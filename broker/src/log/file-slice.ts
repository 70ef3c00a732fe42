import { CorruptLogError } from '../base/errors.ts'
import type { DiskFile } from './disk.ts'

/**
 * Whole stored batches that nobody has in memory: where they are in a file of the log. Good until the log changes, so for
 * one turn of the event loop; then it is read or sent, or it fails as a read does.
 */
export class FileSlice {
  readonly length: number
  /** No record of the slice has a larger offset. */
  readonly lastOffset: number
  /** Told of an error before `read` throws it. */
  whenUnreadable: ((cause: unknown) => void) | null = null
  readonly #file: DiskFile
  readonly #position: number

  constructor(file: DiskFile, position: number, length: number, lastOffset: number) {
    this.length = length
    this.lastOffset = lastOffset
    this.#file = file
    this.#position = position
  }

  /** Fills `into` with the bytes from `at` on; all of it, or a StorageError or CorruptLogError. */
  read(into: Uint8Array, at: number): void {
    const position = this.#position + at
    try {
      const count = this.#file.read(into, 0, into.length, position)
      if (count === into.length) return
      throw new CorruptLogError(this.#file.path, position + count, 'the file is shorter than it was')
    } catch (cause) {
      this.whenUnreadable?.(cause)
      throw cause
    }
  }

  /** Hands the bytes to a socket's descriptor; returns how many it took, which may be none. */
  sendTo(socket: number): number {
    return this.#file.sendTo?.(socket, this.#position, this.length) ?? 0
  }
}
