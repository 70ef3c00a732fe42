import assert from 'node:assert/strict'
import type { DiskFile } from './disk.ts'
import { IndexFile } from './index-file.ts'

const ENTRY_BYTES = 8
const POSITION = 4
const LARGEST_DISTANCE = 0x7fff_ffff

/**
 * Maps offsets of one segment to file positions.
 *
 * The index is sparse, one entry about every `index.interval.bytes` of log, so a lookup lands at or before the wanted
 * batch and the caller scans the rest of the way. It is a hint and not a record: it carries no checksum, and a segment
 * that was not closed cleanly throws it away and builds it again from the batches.
 *
 * File format, as in Apache Kafka: entries of two big-endian int32, the last offset of a batch minus the base offset of
 * the segment, and the position of the batch's first byte. As it is the last offset, floor() lands at or before.
 */
export class OffsetIndex {
  readonly baseOffset: number
  readonly #entries: IndexFile

  constructor(baseOffset: number, file: DiskFile) {
    assert(Number.isSafeInteger(baseOffset) && baseOffset >= 0)
    this.baseOffset = baseOffset
    this.#entries = new IndexFile(file, ENTRY_BYTES)
  }

  get count(): number {
    return this.#entries.count
  }

  /** Whether its ends are as they should be. A write that was cut off leaves a part of an entry, or zeros. */
  get isSound(): boolean {
    return !this.#entries.isTorn && (this.count < 2 || this.lastOffset > this.#offsetAt(0))
  }

  /** Whether all entries before `offset` grow, as those of a file do that lost none of its blocks. */
  isOrdered(offset: number): boolean {
    let previous = this.baseOffset - 1
    let position = -1
    for (let i = 0; i < this.count && previous < offset; i++) {
      if (this.#offsetAt(i) <= previous || this.#positionAt(i) <= position) return false
      previous = this.#offsetAt(i)
      position = this.#positionAt(i)
    }
    return true
  }

  get isUnsynced(): boolean {
    return this.#entries.isUnsynced
  }

  /** The last offset of the last indexed batch, or the base offset without entries. */
  get lastOffset(): number {
    return this.count === 0 ? this.baseOffset : this.#offsetAt(this.count - 1)
  }

  /** The position of the last indexed batch, or 0. */
  get lastPosition(): number {
    return this.count === 0 ? 0 : this.#positionAt(this.count - 1)
  }

  /** Whether `offset` can be written as an int32 distance from the base; a segment rolls before it cannot. */
  holds(offset: number): boolean {
    return offset >= this.baseOffset && offset - this.baseOffset <= LARGEST_DISTANCE
  }

  isFull(maxBytes: number): boolean {
    return this.count >= Math.floor(maxBytes / ENTRY_BYTES)
  }

  /** Whether `makeRoom` writes. */
  get isOutOfRoom(): boolean {
    return this.#entries.isOutOfRoom
  }

  makeRoom(): void {
    this.#entries.makeRoom()
  }

  append(offset: number, position: number): void {
    assert(this.holds(offset))
    if (this.count > 0) {
      assert(offset > this.lastOffset, 'offsets of an index only grow')
      assert(position > this.lastPosition, 'positions of an index only grow')
    }
    const at = this.#entries.append()
    this.#entries.setInt32(at, offset - this.baseOffset)
    this.#entries.setInt32(at + POSITION, position)
  }

  /** The position of the last indexed batch that ends at or before `offset`, or 0 when the index has none. */
  floor(offset: number): number {
    const count = this.#countUpTo(offset)
    return count === 0 ? 0 : this.#positionAt(count - 1)
  }

  /** The offset of that entry, or -1. */
  floorOffset(offset: number): number {
    const count = this.#countUpTo(offset)
    return count === 0 ? -1 : this.#offsetAt(count - 1)
  }

  /** The position of the last indexed batch that begins at or before `position`, or 0 when the index has none. */
  floorPosition(position: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#positionAt(middle) <= position) low = middle + 1
      else high = middle
    }
    return low === 0 ? 0 : this.#positionAt(low - 1)
  }

  /** Drops the entries of batches that end at or after `offset`. */
  truncateTo(offset: number): void {
    this.#entries.truncate(this.#countUpTo(offset - 1))
  }

  flush(): void {
    this.#entries.flush()
  }

  seal(): void {
    this.#entries.seal()
  }

  sync(): Promise<void> {
    return this.#entries.sync()
  }

  close(): void {
    this.#entries.close()
  }

  /** How many entries are at or before `offset`. */
  #countUpTo(offset: number): number {
    // Invariant: entries before `low` are at or before `offset`, entries from `high` on are after it.
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#offsetAt(middle) <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  #offsetAt(entry: number): number {
    return this.baseOffset + this.#entries.int32(entry, 0)
  }

  #positionAt(entry: number): number {
    return this.#entries.int32(entry, POSITION)
  }
}
