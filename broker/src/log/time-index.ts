import assert from 'node:assert/strict'
import type { DiskFile } from './disk.ts'
import { IndexFile } from './index-file.ts'

const ENTRY_BYTES = 12
const OFFSET = 8
const TWO_POW_32 = 2 ** 32

/**
 * Maps timestamps of one segment to offsets: an entry (t, o) says that no record up to offset o is younger than t.
 *
 * It gets an entry together with the offset index when the largest timestamp has grown since the last one, and a final
 * one with the largest timestamp of all when the segment stops being the active one or is closed. Like the offset index
 * it is a hint that can be rebuilt.
 *
 * File format, as in Apache Kafka: a big-endian int64 timestamp and an int32, the last offset of the batch that brought
 * it minus the base offset of the segment.
 */
export class TimeIndex {
  readonly baseOffset: number
  readonly #entries: IndexFile

  constructor(baseOffset: number, file: DiskFile) {
    this.baseOffset = baseOffset
    this.#entries = new IndexFile(file, ENTRY_BYTES)
  }

  get count(): number {
    return this.#entries.count
  }

  /** Whether its ends are as they should be. A write that was cut off leaves a part of an entry, or zeros. */
  get isSound(): boolean {
    return !this.#entries.isTorn && (this.count < 2 || this.lastTimestampMs > this.#timestampAt(0))
  }

  /** Whether all entries before `offset` grow, as those of a file do that lost none of its blocks. */
  isOrdered(offset: number): boolean {
    let previousMs = -1
    let previous = this.baseOffset
    for (let i = 0; i < this.count && previous < offset; i++) {
      if (this.#timestampAt(i) <= previousMs || this.#offsetAt(i) < previous) return false
      previousMs = this.#timestampAt(i)
      previous = this.#offsetAt(i)
    }
    return true
  }

  get isUnsynced(): boolean {
    return this.#entries.isUnsynced
  }

  /** The largest timestamp indexed, or -1. */
  get lastTimestampMs(): number {
    return this.count === 0 ? -1 : this.#timestampAt(this.count - 1)
  }

  /** The offset of the last entry, or the base offset without entries. */
  get lastOffset(): number {
    return this.count === 0 ? this.baseOffset : this.#offsetAt(this.count - 1)
  }

  /** One entry is kept back for the one that a segment gets when it rolls. */
  isFull(maxBytes: number): boolean {
    return this.count >= Math.floor(maxBytes / ENTRY_BYTES) - 1
  }

  /** Whether `makeRoom` writes. */
  get isOutOfRoom(): boolean {
    return this.#entries.isOutOfRoom
  }

  makeRoom(): void {
    this.#entries.makeRoom()
  }

  /** Adds the entry unless there is one with this timestamp or a larger one. */
  append(timestampMs: number, offset: number): void {
    if (timestampMs <= this.lastTimestampMs) return
    assert(this.count === 0 || offset >= this.lastOffset, 'offsets of a time index do not go back')
    const at = this.#entries.append()
    this.#entries.setInt32(at, Math.floor(timestampMs / TWO_POW_32))
    this.#entries.setInt32(at + 4, timestampMs | 0)
    this.#entries.setInt32(at + OFFSET, offset - this.baseOffset)
  }

  /** An offset before which every record is older than `timestampMs`; the base offset if the index knows of none. */
  floor(timestampMs: number): number {
    // Invariant: entries before `low` are at or before the timestamp, entries from `high` on are after it.
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#timestampAt(middle) <= timestampMs) low = middle + 1
      else high = middle
    }
    return low === 0 ? this.baseOffset : this.#offsetAt(low - 1)
  }

  /** Drops the entries at or after `offset`. */
  truncateTo(offset: number): void {
    let count = this.count
    while (count > 0 && this.#offsetAt(count - 1) >= offset) count--
    this.#entries.truncate(count)
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

  #timestampAt(entry: number): number {
    return this.#entries.int32(entry, 0) * TWO_POW_32 + (this.#entries.int32(entry, 4) >>> 0)
  }

  #offsetAt(entry: number): number {
    return this.baseOffset + this.#entries.int32(entry, OFFSET)
  }
}
