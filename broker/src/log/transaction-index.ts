import assert from 'node:assert/strict'
import { int16At, int64At, setInt16, setInt64 } from '@millrace/protocol'
import type { AbortedTransaction } from './aborted-transaction.ts'
import { replaceFile } from './checkpoint-file.ts'
import type { Disk, DiskFile } from './disk.ts'

/** An entry: int16 version, then int64 producer id, first offset, offset of the marker, last stable offset. */
export const TRANSACTION_ENTRY_BYTES = 34
const PRODUCER_ID = 2
const FIRST_OFFSET = 10
const LAST_OFFSET = 18
const LAST_STABLE_OFFSET = 26
const VERSION = 0
const FIRST_ENTRIES = 8

/**
 * The transactions that were aborted by a marker in one segment, in the order of their markers: a `.txnindex` file in
 * Apache Kafka's format. Most segments have none, so the file is made with the first entry.
 *
 * Entries are written at once, behind the marker they speak of. All of them are kept in memory once somebody asked, as
 * bytes: aborted transactions are few beside the records of a segment.
 */
export class TransactionIndex {
  readonly #disk: Disk
  readonly #path: string
  #file: DiskFile | null = null
  /** The entries, or null until they were read. */
  #entries: Buffer | null = null
  #count = 0
  #isTorn = false
  #isUnsynced = false

  constructor(disk: Disk, path: string) {
    this.#disk = disk
    this.#path = path
  }

  get count(): number {
    this.#load()
    return this.#count
  }

  /** Whether something was written since the last sync began. */
  get isUnsynced(): boolean {
    return this.#isUnsynced
  }

  /** Whether the file can be the index of a segment with the offsets [baseOffset, nextOffset). */
  isSoundFor(baseOffset: number, nextOffset: number): boolean {
    this.#load()
    const bytes = this.#entries!
    if (this.#isTorn) return false
    let lastOffset = baseOffset - 1
    for (let at = 0; at < this.#count * TRANSACTION_ENTRY_BYTES; at += TRANSACTION_ENTRY_BYTES) {
      if (int16At(bytes, at) !== VERSION) return false
      const entry = readEntry(bytes, at)
      if (entry === null || entry.lastOffset <= lastOffset || entry.firstOffset >= entry.lastOffset) return false
      lastOffset = entry.lastOffset
    }
    return lastOffset < nextOffset
  }

  append(entry: AbortedTransaction): void {
    this.#load()
    const at = this.#count * TRANSACTION_ENTRY_BYTES
    assert(
      this.#count === 0 || int64At(this.#entries!, at - TRANSACTION_ENTRY_BYTES + LAST_OFFSET) < entry.lastOffset,
      'aborted transactions are in the order of their markers',
    )
    if (at === this.#entries!.length) {
      const grown = Buffer.alloc(Math.max(at * 2, FIRST_ENTRIES * TRANSACTION_ENTRY_BYTES))
      this.#entries!.copy(grown)
      this.#entries = grown
    }
    const entries = this.#entries!
    writeEntry(entries, at, entry)
    const file = this.#open()
    this.#isUnsynced = true
    // What a write that failed half-way left behind.
    if (file.size > at) file.truncate(at)
    file.append(entries, at, at + TRANSACTION_ENTRY_BYTES)
    this.#count++
  }

  /**
   * Adds the transactions that have something in [from, to) to `into`. Whether later segments need not be asked: every
   * transaction aborted there began at or behind `to`.
   */
  collect(from: number, to: number, into: AbortedTransaction[]): boolean {
    this.#load()
    const entries = this.#entries!
    for (let i = this.#firstEndingFrom(from); i < this.#count; i++) {
      const at = i * TRANSACTION_ENTRY_BYTES
      if (int64At(entries, at + FIRST_OFFSET) < to) into.push(readEntry(entries, at)!)
      if (int64At(entries, at + LAST_STABLE_OFFSET) >= to) return true
    }
    return false
  }

  /** Drops the transactions whose marker is at `offset` or behind it. */
  truncateTo(offset: number): void {
    this.#load()
    const count = this.#firstEndingFrom(offset)
    if (count === this.#count) return
    this.#isUnsynced = true
    this.#open().truncate(count * TRANSACTION_ENTRY_BYTES)
    this.#count = count
  }

  /**
   * Takes these entries in place of all that it has, for recovery. A start that is cut off leaves the old file or the new
   * one, as an index that lost its entries could not be told from one that never had any.
   */
  replace(transactions: readonly AbortedTransaction[]): void {
    this.close()
    const entries = Buffer.alloc(transactions.length * TRANSACTION_ENTRY_BYTES)
    for (const [i, transaction] of transactions.entries()) writeEntry(entries, i * TRANSACTION_ENTRY_BYTES, transaction)
    if (transactions.length > 0) replaceFile(this.#disk, this.#path, entries)
    else if (this.#disk.exists(this.#path)) this.#disk.remove(this.#path)
    this.#entries = entries
    this.#count = transactions.length
    this.#isTorn = false
    this.#isUnsynced = transactions.length > 0
  }

  async sync(): Promise<void> {
    if (!this.#isUnsynced) return
    this.#isUnsynced = false
    await this.#open().sync()
  }

  close(): void {
    this.#file?.close()
    this.#file = null
  }

  #open(): DiskFile {
    this.#file ??= this.#disk.open(this.#path, { create: true })
    return this.#file
  }

  #load(): void {
    if (this.#entries !== null) return
    const bytes = this.#disk.readFile(this.#path) ?? Buffer.alloc(0)
    this.#count = Math.floor(bytes.length / TRANSACTION_ENTRY_BYTES)
    this.#isTorn = bytes.length % TRANSACTION_ENTRY_BYTES !== 0
    this.#entries = bytes.subarray(0, this.#count * TRANSACTION_ENTRY_BYTES)
  }

  /** The first entry whose marker is at `offset` or behind it. */
  #firstEndingFrom(offset: number): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (int64At(this.#entries!, middle * TRANSACTION_ENTRY_BYTES + LAST_OFFSET) < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}

function writeEntry(bytes: Buffer, at: number, entry: AbortedTransaction): void {
  setInt16(bytes, at, VERSION)
  setInt64(bytes, at + PRODUCER_ID, entry.producerId)
  setInt64(bytes, at + FIRST_OFFSET, entry.firstOffset)
  setInt64(bytes, at + LAST_OFFSET, entry.lastOffset)
  setInt64(bytes, at + LAST_STABLE_OFFSET, entry.lastStableOffset)
}

/** Null if a number is beyond what is exact, which nothing that was written is. */
function readEntry(bytes: Buffer, at: number): AbortedTransaction | null {
  try {
    return {
      producerId: int64At(bytes, at + PRODUCER_ID),
      firstOffset: int64At(bytes, at + FIRST_OFFSET),
      lastOffset: int64At(bytes, at + LAST_OFFSET),
      lastStableOffset: int64At(bytes, at + LAST_STABLE_OFFSET),
    }
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    return null
  }
}
