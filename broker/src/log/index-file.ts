import assert from 'node:assert/strict'
import { int32At, setInt32 } from '@millrace/protocol'
import type { DiskFile } from './disk.ts'

/** Entries held back before they are written together, and read together around one that is looked up. */
const BLOCK_ENTRIES = 512
const FIRST_TAIL_ENTRIES = 32
const LARGEST_ENTRY_BYTES = 12

/** The block of a file that was read last. One for all indexes: a lookup is synchronous and needs no other meanwhile. */
const block = { owner: null as IndexFile | null, bytes: Buffer.alloc(0), start: 0, count: 0 }

/**
 * A growing file of entries of one size: the storage of an offset index or a time index.
 *
 * Entries are appended in memory and written a block at a time, or when somebody asks for it; they are written after the
 * batches they speak of, so the file may lag behind its log but never leads. Lookups read the memory or a block of the
 * file, and no index is ever held in memory as a whole.
 */
export class IndexFile {
  readonly #file: DiskFile
  readonly #entryBytes: number
  #storedCount: number
  #isUnsynced = false
  #tail: Buffer | null = null
  #tailCount = 0

  constructor(file: DiskFile, entryBytes: number) {
    assert(entryBytes <= LARGEST_ENTRY_BYTES)
    this.#file = file
    this.#entryBytes = entryBytes
    this.#storedCount = Math.floor(file.size / entryBytes)
  }

  /** Whether the file ends within an entry, which only a write that was cut off leaves. */
  get isTorn(): boolean {
    return this.#file.size !== this.#storedCount * this.#entryBytes
  }

  /** Whether something was written since the last sync began. */
  get isUnsynced(): boolean {
    return this.#isUnsynced
  }

  get count(): number {
    return this.#storedCount + this.#tailCount
  }

  get isOutOfRoom(): boolean {
    return this.#tailCount === BLOCK_ENTRIES
  }

  /** Makes sure that the next entry goes to memory. It is a call of its own so that `append` cannot fail. */
  makeRoom(): void {
    if (this.isOutOfRoom) this.flush()
  }

  /** Where a new entry is, for the caller to fill with `setInt32` at once. */
  append(): number {
    assert(this.#tailCount < BLOCK_ENTRIES, 'makeRoom() comes before append()')
    const at = this.#tailCount++ * this.#entryBytes
    if (this.#tail === null || at === this.#tail.length) this.#growTail()
    return at
  }

  setInt32(at: number, value: number): void {
    setInt32(this.#tail!, at, value)
  }

  /** The int32 at byte `at` of an entry. */
  int32(entry: number, at: number): number {
    if (entry >= this.#storedCount) {
      return int32At(this.#tail!, (entry - this.#storedCount) * this.#entryBytes + at)
    }
    if (block.owner !== this || entry < block.start || entry >= block.start + block.count) this.#loadBlock(entry)
    return int32At(block.bytes, (entry - block.start) * this.#entryBytes + at)
  }

  /** Keeps the first `count` entries. */
  truncate(count: number): void {
    assert(count >= 0 && count <= this.count)
    if (count >= this.#storedCount && !this.isTorn) {
      this.#tailCount = count - this.#storedCount
      return
    }
    this.#isUnsynced = true
    this.#file.truncate(Math.min(count, this.#storedCount) * this.#entryBytes)
    this.#tailCount = Math.max(0, count - this.#storedCount)
    this.#storedCount = Math.min(count, this.#storedCount)
    this.#forgetBlock()
  }

  /** Writes what is held back. */
  flush(): void {
    if (this.#tailCount === 0) return
    const end = this.#storedCount * this.#entryBytes
    // A write that failed half-way before left a part behind.
    if (this.#file.size > end) this.#file.truncate(end)
    this.#isUnsynced = true
    this.#file.append(this.#tail!, 0, this.#tailCount * this.#entryBytes)
    this.#storedCount += this.#tailCount
    this.#tailCount = 0
  }

  /** Writes what is held back and gives up the memory, for a segment that takes no more entries. */
  seal(): void {
    this.flush()
    this.#tail = null
  }

  /** Makes what is written durable. */
  async sync(): Promise<void> {
    if (!this.#isUnsynced) return
    this.#isUnsynced = false
    await this.#file.sync()
  }

  close(): void {
    this.#file.close()
    this.#tail = null
    this.#forgetBlock()
  }

  #growTail(): void {
    const entries = this.#tail === null ? FIRST_TAIL_ENTRIES : Math.min(BLOCK_ENTRIES, this.#tailCount * 2)
    const grown = Buffer.allocUnsafeSlow(entries * this.#entryBytes)
    this.#tail?.copy(grown)
    this.#tail = grown
  }

  #loadBlock(entry: number): void {
    if (block.bytes.length === 0) block.bytes = Buffer.allocUnsafeSlow(BLOCK_ENTRIES * LARGEST_ENTRY_BYTES)
    const start = entry - (entry % BLOCK_ENTRIES)
    const wanted = Math.min(BLOCK_ENTRIES, this.#storedCount - start) * this.#entryBytes
    // Nobody's until it is read, as that may fail.
    block.owner = null
    const read = this.#file.read(block.bytes, 0, wanted, start * this.#entryBytes)
    assert(read === wanted, `${this.#file.path} has the entries it was opened with`)
    block.owner = this
    block.start = start
    block.count = wanted / this.#entryBytes
  }

  #forgetBlock(): void {
    if (block.owner === this) block.owner = null
  }
}
