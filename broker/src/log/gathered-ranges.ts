import type { DiskFile } from './disk.ts'

/** So many are gathered at most. */
const RANGES_MAX = 32

/** Ranges of one buffer that are to be appended to a file with one write. The bytes stay as they are until then. */
export class GatheredRanges {
  #bytes: Buffer | null = null
  #ranges: Uint32Array | null = null
  #count = 0
  #sizeBytes = 0

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Whether a range of `bytes` finds room among those that are there. */
  takes(bytes: Buffer): boolean {
    return this.#count === 0 || (this.#bytes === bytes && this.#count < RANGES_MAX)
  }

  add(bytes: Buffer, start: number, end: number): void {
    this.#ranges ??= new Uint32Array(2 * RANGES_MAX)
    this.#bytes = bytes
    this.#ranges[2 * this.#count] = start
    this.#ranges[2 * this.#count + 1] = end
    this.#count += 1
    this.#sizeBytes += end - start
  }

  /** Appends all of them to the file, or a part and then an error; none is left either way. */
  appendTo(file: DiskFile): void {
    const bytes = this.#bytes!
    const count = this.#count
    this.#bytes = null
    this.#count = 0
    this.#sizeBytes = 0
    appendRanges(file, bytes, this.#ranges!, count)
  }
}

/** Appends ranges of `bytes`, `count` pairs of start and end: in one write where the file knows how. As `append`. */
export function appendRanges(file: DiskFile, bytes: Uint8Array, ranges: Uint32Array, count: number): void {
  if (file.appendRanges !== undefined) {
    file.appendRanges(bytes, ranges, count)
    return
  }
  for (let i = 0; i < count; i++) file.append(bytes, ranges[2 * i]!, ranges[2 * i + 1]!)
}
