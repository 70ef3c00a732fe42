import assert from 'node:assert/strict'
import { md5 } from './md5.ts'

/** A slot: four words of the key, and the offset as a float64. The same memory for a key as Apache Kafka's map takes. */
export const SLOT_BYTES = 24
const KEY_WORDS = 4
/** Keys up to this length are their own identity; the first byte of a slot says the length. */
const PLAIN_KEY_BYTES = 15
/** In the first byte of a slot: the rest is from a digest. */
const DIGEST_FLAG = 0x80

const key = new Int32Array(KEY_WORDS)

/**
 * The last offset of each key in a stretch of a log, in memory of a fixed size: what a compaction knows of the records to
 * come when it meets an older one.
 *
 * Keys of up to 15 bytes are stored as they are. Of longer ones a slot holds 127 bits of their MD5 digest, so two of them
 * are taken for one with a probability of about n^2 / 2^128, for n keys, which is the bound that Kafka's map has for all
 * keys. Open addressing with linear probing; nothing is ever removed.
 */
export class OffsetMap {
  readonly slotCount: number
  readonly #keys: Int32Array
  /** One more than the offset, so that 0 is an empty slot. */
  readonly #offsets: Float64Array
  #size = 0

  constructor(slotCount: number) {
    assert(slotCount >= 1)
    this.slotCount = slotCount
    this.#keys = new Int32Array(slotCount * KEY_WORDS)
    this.#offsets = new Float64Array(slotCount)
  }

  get size(): number {
    return this.#size
  }

  /** The offset that the key of bytes [start, end) was last put with, or -1. */
  get(bytes: Uint8Array, start: number, end: number): number {
    identify(bytes, start, end)
    return this.#offsets[this.#slot()]! - 1
  }

  /** Notes the offset of the key. False, and no change, when the key is new and `sizeMax` keys are there already. */
  put(bytes: Uint8Array, start: number, end: number, offset: number, sizeMax: number): boolean {
    identify(bytes, start, end)
    const slot = this.#slot()
    if (this.#offsets[slot] === 0) {
      if (this.#size >= sizeMax) return false
      this.#keys.set(key, slot * KEY_WORDS)
      this.#size++
    }
    this.#offsets[slot] = offset + 1
    return true
  }

  /** The slot of `key`, or the empty one where it belongs; without any, the search ends where it began. */
  #slot(): number {
    const keys = this.#keys
    let slot = (mixed() >>> 0) % this.slotCount
    for (let probes = 0; probes < this.slotCount; probes++) {
      const at = slot * KEY_WORDS
      if (this.#offsets[slot] === 0) return slot
      if (keys[at] === key[0] && keys[at + 1] === key[1] && keys[at + 2] === key[2] && keys[at + 3] === key[3]) {
        return slot
      }
      if (++slot === this.slotCount) slot = 0
    }
    assert.fail('a map is never filled to its last slot')
  }
}

/** Puts into `key` what stands for the key in bytes [start, end). */
function identify(bytes: Uint8Array, start: number, end: number): void {
  const length = end - start
  if (length > PLAIN_KEY_BYTES) {
    md5(bytes, start, end, key)
    key[0]! |= DIGEST_FLAG
    return
  }
  key[0] = length
  key[1] = 0
  key[2] = 0
  key[3] = 0
  for (let i = 0; i < length; i++) key[(i + 1) >> 2]! |= bytes[start + i]! << (((i + 1) & 3) << 3)
}

/** All bits of `key` in one word: keys that are counted up must not lie in one long run. */
function mixed(): number {
  let hash = 0
  for (let i = 0; i < KEY_WORDS; i++) {
    hash = Math.imul(hash ^ key[i]!, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35)
    hash ^= hash >>> 13
  }
  return hash
}
