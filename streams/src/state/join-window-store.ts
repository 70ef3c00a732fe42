import assert from 'node:assert/strict'
import { readTime, writeTime } from '../serdes/windowed.ts'
import type { StoreBacking } from './backing.ts'
import { CACHE_BYTES, READ_SHARE, type StoreOptions } from './key-value-store.ts'
import type { ChangeLogger, StateStore, StoreDefinition } from './store.ts'
import { windowLayout } from './timed-layouts.ts'

const RECORDS_PER_BLOCK = 1024
const FIRST_BLOCK_BYTES = 16 * 1024
/** A sixteenth. */
const SPARE_SHIFT = 4
const FIRST_CHAINS = 1024
const SEQUENCES = 2 ** 32
/** Of a record in the indexes of its block. */
const INDEX_BYTES = 32
/** A row on disk: how many records, then for each its time, the end of its key and the end of its value, then the bytes. */
const ROW_HEADER_BYTES = 8
const ROW_INDEX_BYTES = 16
const layout = windowLayout(0)

/** Records in the order in which they came. Full ones never change. */
interface Block {
  readonly number: number
  count: number
  readonly starts: Float64Array
  /** The latest start among a record and those before it in its chain: where it is too early, so are all of them. */
  readonly latest: Float64Array
  readonly hashes: Uint32Array
  /** How many records back the one before in the chain is; 0 for the first. */
  readonly previous: Uint32Array
  readonly keyEnds: Uint32Array
  readonly ends: Uint32Array
  /** Keys and values; null while they are on disk only. */
  bytes: Buffer | null
  newestMs: number
  /** How many of its records the disk has. */
  storedCount: number
}

/**
 * Every record of one side of a stream-stream join, for as long as the other side can need it.
 *
 * Records are only ever added and then forgotten by age, so they are kept as bytes, in blocks, in the order in which
 * they came: some 30 bytes of typed arrays beside key and value, no object for each, and whole blocks at a time to disk
 * and out of it. Chains of records whose keys have the same hash lead from the latest to earlier ones. With a backing
 * the bytes of blocks that are stored may leave memory, those of the oldest first; the arrays stay.
 *
 * `find` and what it found belong together: the next call makes the answers of the one before invalid.
 */
export class JoinWindowStore<K, V> implements StateStore {
  readonly name: string
  readonly definition: StoreDefinition
  readonly changelogTopic: string | null
  readonly #log: ChangeLogger | null
  readonly #backing: StoreBacking | null
  readonly #cacheBytes: number
  readonly #recordsPerBlock: number
  readonly #blocks: Block[] = []
  #firstBlock = 0
  #nextId = 0
  /** The last record of each chain, plus one: 0 says that there is none. */
  #chains = new Float64Array(FIRST_CHAINS)
  /** Every record before this one is in the changelog. */
  #flushedId = 0
  /** What a block is expected to need: what the one before did. */
  #blockBytes = FIRST_BLOCK_BYTES
  #unflushedBytes = 0
  #cachedBytes = 0
  #nextSequence = 1
  #observedMs: number
  #forgottenToMs = Number.NEGATIVE_INFINITY
  /** Blocks on disk that nobody needs any more. */
  #dropped: number[] = []
  readonly #found: number[] = []

  constructor(definition: StoreDefinition, options: StoreOptions, recordsPerBlock = RECORDS_PER_BLOCK) {
    this.name = definition.name
    this.definition = definition
    this.changelogTopic = options.changelogTopic
    this.#log = options.log
    this.#backing = options.backing
    this.#cacheBytes = options.cacheLimit === undefined ? CACHE_BYTES : options.cacheLimit * INDEX_BYTES
    this.#recordsPerBlock = recordsPerBlock
    this.#observedMs = options.backing?.meta('observed') ?? -1
    this.#nextSequence = options.backing?.meta('sequence') ?? 1
    if (options.backing !== null) this.#load(options.backing)
  }

  get restoredOffset(): number | null {
    return this.#backing?.changelogOffset ?? null
  }

  get entryCount(): number {
    return this.#nextId - this.#firstId
  }

  /** Keys and values that are in memory. */
  get cachedBytes(): number {
    return this.#cachedBytes
  }

  /** Twice what they are: a commit copies them for the changelog and for the disk. */
  get unflushedBytes(): number {
    return 2 * this.#unflushedBytes
  }

  /** The largest timestamp that was ever put or observed, -1 before the first; survives a restore. */
  get observedMs(): number {
    return this.#observedMs
  }

  observe(timestampMs: number): void {
    if (timestampMs > this.#observedMs) this.#observedMs = timestampMs
  }

  put(key: K, value: V, timestampMs: number): void {
    const { keySerde, valueSerde } = this.definition
    const valueBytes = valueSerde.serialize(value)
    const sizeBytes = this.#append(keySerde.serialize(key), valueBytes, timestampMs)
    this.#unflushedBytes += INDEX_BYTES + sizeBytes
    this.#nextSequence = (this.#nextSequence + 1) % SEQUENCES
  }

  /** Forgets the records that are not later than this. */
  forget(toMs: number): void {
    if (toMs <= this.#forgottenToMs) return
    this.#forgottenToMs = toMs
    while (this.#blocks.length > 1 && this.#blocks[0]!.newestMs <= toMs) {
      const block = this.#blocks.shift()!
      if (block.storedCount > 0) this.#dropped.push(block.number)
      if (block.bytes !== null) this.#cachedBytes -= block.bytes.length
      this.#firstBlock++
    }
  }

  /**
   * Looks for the records of a key between two times, both included; answers how many there are. `startMs` and `value`
   * tell of each, in the order of time, and of arrival where that is the same.
   */
  find(key: K, fromMs: number, toMs: number): number {
    const found = this.#found
    found.length = 0
    const keyBytes = this.definition.keySerde.serialize(key)
    const hash = hashOf(keyBytes)
    const firstId = this.#firstId
    let isOrdered = true
    let laterMs = Number.POSITIVE_INFINITY
    for (let id = this.#chains[hash & (this.#chains.length - 1)]! - 1; id >= firstId;) {
      const block = this.#blockOf(id)
      const at = id % this.#recordsPerBlock
      if (block.latest[at]! < fromMs) break
      const startMs = block.starts[at]!
      if (
        startMs >= fromMs &&
        startMs <= toMs &&
        startMs > this.#forgottenToMs &&
        block.hashes[at] === hash &&
        this.#hasKey(block, at, keyBytes)
      ) {
        if (startMs > laterMs) isOrdered = false
        laterMs = startMs
        found.push(id)
      }
      const distance = block.previous[at]!
      if (distance === 0) break
      id -= distance
    }
    found.reverse()
    if (!isOrdered) found.sort((left, right) => this.#startOf(left) - this.#startOf(right) || left - right)
    return found.length
  }

  startMs(index: number): number {
    return this.#startOf(this.#found[index]!)
  }

  value(index: number): V {
    const id = this.#found[index]!
    const block = this.#blockOf(id)
    const at = id % this.#recordsPerBlock
    return this.definition.valueSerde.deserialize(this.#bytesOf(block).subarray(block.keyEnds[at], block.ends[at])) as V
  }

  restore(changelogKey: Buffer, value: Buffer | null, timestampMs: number): void {
    this.observe(timestampMs)
    // Nothing ever writes that a record is gone: that follows from its age.
    if (value === null) return
    assert(this.#flushedId === this.#nextId, 'records are restored before any is put')
    const at = changelogKey.length - layout.suffixBytes
    const { startMs, sequence } = layout.readSuffix(changelogKey, at)
    if (sequence >= this.#nextSequence) this.#nextSequence = (sequence + 1) % SEQUENCES
    this.#append(changelogKey.subarray(0, at), value, startMs)
    this.#flushedId = this.#nextId
  }

  flush(): void {
    for (let id = Math.max(this.#flushedId, this.#firstId); id < this.#nextId; id++) {
      const block = this.#blockOf(id)
      const at = id % this.#recordsPerBlock
      const startMs = block.starts[at]!
      if (startMs <= this.#forgottenToMs) continue
      const bytes = this.#bytesOf(block)
      const [from, keyEnd] = [at === 0 ? 0 : block.ends[at - 1]!, block.keyEnds[at]!]
      const changelogKey = Buffer.allocUnsafe(keyEnd - from + layout.suffixBytes)
      bytes.copy(changelogKey, 0, from, keyEnd)
      const sequence = (this.#nextSequence - (this.#nextId - id) + SEQUENCES) % SEQUENCES
      layout.writeSuffix(changelogKey, keyEnd - from, startMs, startMs, sequence)
      this.#log?.(changelogKey, bytes.subarray(keyEnd, block.ends[at]), startMs)
    }
    this.#flushedId = this.#nextId
    this.#unflushedBytes = 0
  }

  persist(changelogOffset: number | null): void {
    const backing = this.#backing
    if (backing === null) return
    for (const block of this.#blocks) {
      const count = Math.min(block.count, this.#flushedId - block.number * this.#recordsPerBlock)
      if (count <= block.storedCount) continue
      backing.stagePut(rowKey(block.number), rowOf(block, this.#bytesOf(block), count))
      block.storedCount = count
    }
    for (const number of this.#dropped) backing.stageRemove(rowKey(number))
    this.#dropped = []
    backing.stageMeta('observed', this.#observedMs)
    backing.stageMeta('sequence', this.#nextSequence)
    backing.commit(changelogOffset)
    this.#forgetBytes()
  }

  /** Leaves bytes to the disk, but for those of the block that is being read. */
  #forgetBytes(inUse: Block | null = null): void {
    for (const block of this.#blocks) {
      if (this.#cachedBytes <= this.#cacheBytes) break
      if (block === inUse || block.bytes === null || block.storedCount < block.count) continue
      this.#cachedBytes -= block.bytes.length
      block.bytes = null
    }
  }

  close(): void {
    this.#backing?.close()
  }

  get #firstId(): number {
    return this.#firstBlock * this.#recordsPerBlock
  }

  #blockOf(id: number): Block {
    return this.#blocks[Math.floor(id / this.#recordsPerBlock) - this.#firstBlock]!
  }

  #startOf(id: number): number {
    return this.#blockOf(id).starts[id % this.#recordsPerBlock]!
  }

  #hasKey(block: Block, at: number, keyBytes: Uint8Array): boolean {
    const from = at === 0 ? 0 : block.ends[at - 1]!
    if (block.keyEnds[at]! - from !== keyBytes.length) return false
    const bytes = this.#bytesOf(block)
    for (let index = 0; index < keyBytes.length; index++) if (bytes[from + index] !== keyBytes[index]) return false
    return true
  }

  #bytesOf(block: Block): Buffer {
    if (block.bytes !== null) return block.bytes
    const row = this.#backing!.get(rowKey(block.number))
    assert(row !== null, 'a block whose bytes are not in memory is on disk')
    block.bytes = Buffer.from(row.subarray(ROW_HEADER_BYTES + block.storedCount * ROW_INDEX_BYTES))
    this.#cachedBytes += block.bytes.length
    if (this.#cachedBytes > READ_SHARE * this.#cacheBytes) this.#forgetBytes(block)
    return block.bytes
  }

  /** Answers how many bytes of key and value that were. */
  #append(keyBytes: Uint8Array, valueBytes: Uint8Array, startMs: number): number {
    this.observe(startMs)
    const at = this.#nextId % this.#recordsPerBlock
    if (at === 0) this.#blocks.push(newBlock(this.#nextId / this.#recordsPerBlock, this.#recordsPerBlock))
    const block = this.#blocks.at(-1)!
    const from = at === 0 ? 0 : block.ends[at - 1]!
    const keyEnd = from + keyBytes.length
    const end = keyEnd + valueBytes.length
    const before = block.bytes ?? (at === 0 ? null : this.#bytesOf(block))
    let bytes = before
    if (bytes === null || end > bytes.length) {
      bytes = Buffer.allocUnsafeSlow(Math.max(end, bytes === null ? this.#blockBytes : 2 * bytes.length))
      before?.copy(bytes, 0, 0, from)
    }
    bytes.set(keyBytes, from)
    bytes.set(valueBytes, keyEnd)
    block.count = at + 1
    block.starts[at] = startMs
    block.keyEnds[at] = keyEnd
    block.ends[at] = end
    if (startMs > block.newestMs) block.newestMs = startMs
    if (block.count === this.#recordsPerBlock) {
      this.#blockBytes = end + (end >> SPARE_SHIFT)
      // A full block keeps no room to speak of.
      if (bytes.length > end + (end >> (SPARE_SHIFT - 1))) bytes = Buffer.concat([bytes.subarray(0, end)])
    }
    this.#cachedBytes += bytes.length - (before?.length ?? 0)
    block.bytes = bytes
    block.hashes[at] = hashOf(keyBytes)
    this.#nextId++
    if (this.entryCount > this.#chains.length) this.#rechain(2 * this.#chains.length)
    else this.#chain(this.#nextId - 1)
    return end - from
  }

  #chain(id: number): void {
    const block = this.#blockOf(id)
    const at = id % this.#recordsPerBlock
    const chain = block.hashes[at]! & (this.#chains.length - 1)
    const previous = this.#chains[chain]! - 1
    const hasPrevious = previous >= this.#firstId
    const earlierMs = hasPrevious ? this.#blockOf(previous).latest[previous % this.#recordsPerBlock]! : -1
    block.previous[at] = hasPrevious ? id - previous : 0
    block.latest[at] = Math.max(block.starts[at]!, earlierMs)
    this.#chains[chain] = id + 1
  }

  #rechain(chains: number): void {
    this.#chains = new Float64Array(chains)
    for (let id = this.#firstId; id < this.#nextId; id++) this.#chain(id)
  }

  #load(backing: StoreBacking): void {
    // Without an offset nobody knows what the rows belong to.
    const isKept = backing.changelogOffset !== null
    let oldest = 0
    for (const row of backing.range(null, null)) {
      if (!isKept) {
        backing.stageRemove(row.key)
        continue
      }
      const block = readRow(readTime(row.key, 0), row.value, this.#recordsPerBlock)
      if (this.#blocks.length === 0) this.#firstBlock = block.number
      this.#blocks.push(block)
      this.#cachedBytes += block.bytes!.length
      for (; this.#cachedBytes > this.#cacheBytes; oldest++) {
        this.#cachedBytes -= this.#blocks[oldest]!.bytes!.length
        this.#blocks[oldest]!.bytes = null
      }
      this.#nextId = block.number * this.#recordsPerBlock + block.count
    }
    this.#flushedId = this.#nextId
    let chains = FIRST_CHAINS
    while (chains < this.entryCount) chains *= 2
    this.#rechain(chains)
  }
}

function newBlock(number: number, capacity: number): Block {
  return {
    number,
    count: 0,
    starts: new Float64Array(capacity),
    latest: new Float64Array(capacity),
    hashes: new Uint32Array(capacity),
    previous: new Uint32Array(capacity),
    keyEnds: new Uint32Array(capacity),
    ends: new Uint32Array(capacity),
    bytes: null,
    newestMs: Number.NEGATIVE_INFINITY,
    storedCount: 0,
  }
}

function rowKey(number: number): Buffer {
  const key = Buffer.allocUnsafe(8)
  writeTime(key, number, 0)
  return key
}

function rowOf(block: Block, bytes: Buffer, count: number): Buffer {
  const indexEnd = ROW_HEADER_BYTES + count * ROW_INDEX_BYTES
  const used = count === 0 ? 0 : block.ends[count - 1]!
  const row = Buffer.allocUnsafe(indexEnd + used)
  row.writeUInt32BE(count, 0)
  row.writeUInt32BE(used, 4)
  for (let at = 0; at < count; at++) {
    const to = ROW_HEADER_BYTES + at * ROW_INDEX_BYTES
    writeTime(row, block.starts[at]!, to)
    row.writeUInt32BE(block.keyEnds[at]!, to + 8)
    row.writeUInt32BE(block.ends[at]!, to + 12)
  }
  bytes.copy(row, indexEnd, 0, used)
  return row
}

function readRow(number: number, row: Buffer, capacity: number): Block {
  const block = newBlock(number, capacity)
  block.count = row.readUInt32BE(0)
  block.storedCount = block.count
  block.bytes = row.subarray(ROW_HEADER_BYTES + block.count * ROW_INDEX_BYTES)
  for (let at = 0; at < block.count; at++) {
    const from = ROW_HEADER_BYTES + at * ROW_INDEX_BYTES
    block.starts[at] = readTime(row, from)
    block.keyEnds[at] = row.readUInt32BE(from + 8)
    block.ends[at] = row.readUInt32BE(from + 12)
    if (block.starts[at]! > block.newestMs) block.newestMs = block.starts[at]!
    block.hashes[at] = hashOf(block.bytes.subarray(at === 0 ? 0 : block.ends[at - 1], block.keyEnds[at]))
  }
  return block
}

/** FNV-1a, mixed once more so that the low bits, which choose the chain, depend on all of it. */
function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < bytes.length; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 13)) >>> 0
}
