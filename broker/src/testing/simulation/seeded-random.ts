import assert from 'node:assert/strict'
import type { Random } from '../../base/random.ts'

/**
 * Random numbers that a seed decides: the same seed gives the same row of them on every machine (the generator is sfc32).
 * Parts of a simulation that should not disturb each other's rows take a `fork` each.
 */
export class SeededRandom implements Random {
  #a: number
  #b: number
  #c: number
  #count = 1

  constructor(seed: number) {
    this.#a = seed | 0
    this.#b = Math.floor(seed / 2 ** 32) | 0
    this.#c = 0x9e37_79b9 | 0
    for (let i = 0; i < 16; i++) this.u32()
  }

  u32(): number {
    const sum = (this.#a + this.#b + this.#count) | 0
    this.#count = (this.#count + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    return sum >>> 0
  }

  /** From 0 up to 1, which is left out. */
  fraction(): number {
    return this.u32() / 2 ** 32
  }

  /** A whole number from 0 up to `end`, which is left out. */
  below(end: number): number {
    assert(end > 0, 'there is a number to choose')
    return Math.floor(this.fraction() * end)
  }

  /** A whole number from `first` to `last`, both possible. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1)
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!
  }

  fork(): SeededRandom {
    return new SeededRandom(this.u32() * 2 ** 20 + (this.u32() >>> 12))
  }

  bytes(count: number): Buffer {
    const bytes = Buffer.alloc(count)
    for (let i = 0; i < count; i++) bytes[i] = this.u32() >>> 24
    return bytes
  }

  uuid(): string {
    for (;;) {
      const bytes = this.bytes(16)
      bytes[6] = (bytes[6]! & 0x0f) | 0x40
      bytes[8] = (bytes[8]! & 0x3f) | 0x80
      const text = bytes.toString('base64url')
      if (!text.startsWith('-')) return text
    }
  }
}
