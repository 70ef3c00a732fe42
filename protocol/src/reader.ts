// Every read checks against `end` first, so a truncated frame gives an error and never the bytes of its neighbour.
// The checks are written out in each method: these are the innermost calls of every decoder.
import { ProtocolError } from './protocol-error.ts'
import { INT64_MAX } from './schema.ts'

// Kafka limits a string to what a signed 16-bit length can say, also where the encoding would allow more.
const MAX_STRING_BYTES = 0x7fff

/**
 * A cursor over one frame, or over the part of a buffer between `at` and `end`. Bytes and records come out as views of
 * the buffer. A reader is cheap and belongs to one frame; it does not know what it reads, codecs do.
 */
export class Reader {
  readonly buffer: Buffer
  readonly end: number
  at: number

  constructor(buffer: Buffer, at: number = 0, end: number = buffer.length) {
    if (!(at >= 0 && at <= end && end <= buffer.length)) {
      throw new ProtocolError(`bytes ${at} to ${end} are not within a buffer of ${buffer.length} bytes`)
    }
    this.buffer = buffer
    this.at = at
    this.end = end
  }

  get remaining(): number {
    return this.end - this.at
  }

  bool(): boolean {
    return this.int8() !== 0
  }

  int8(): number {
    const at = this.at
    if (at + 1 > this.end) this.#short('int8', 1)
    this.at = at + 1
    return (this.buffer[at]! << 24) >> 24
  }

  uint8(): number {
    const at = this.at
    if (at + 1 > this.end) this.#short('uint8', 1)
    this.at = at + 1
    return this.buffer[at]!
  }

  int16(): number {
    return (this.uint16() << 16) >> 16
  }

  uint16(): number {
    const at = this.at
    if (at + 2 > this.end) this.#short('int16', 2)
    this.at = at + 2
    const buffer = this.buffer
    return (buffer[at]! << 8) | buffer[at + 1]!
  }

  int32(): number {
    const at = this.at
    if (at + 4 > this.end) this.#short('int32', 4)
    this.at = at + 4
    const buffer = this.buffer
    return (buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!
  }

  uint32(): number {
    return this.int32() >>> 0
  }

  int64(): number {
    if (this.at + 8 > this.end) this.#short('int64', 8)
    const high = this.int32()
    const low = this.int32() >>> 0
    // Between -2^53 and 2^53, both excluded, every integer is a double of its own.
    if (high <= 0x1fffff && (high > -0x200000 || (high === -0x200000 && low !== 0))) return high * 0x1_0000_0000 + low
    if (high === 0x7fffffff && low === 0xffffffff) return INT64_MAX
    throw new ProtocolError(`int64 at byte ${this.at - 8} is beyond 2^53`)
  }

  float64(): number {
    const at = this.at
    if (at + 8 > this.end) this.#short('float64', 8)
    this.at = at + 8
    return this.buffer.readDoubleBE(at)
  }

  /** At most 5 bytes and 32 bits. */
  uvarint(): number {
    const first = this.uint8()
    if (first < 0x80) return first
    let value = first & 0x7f
    for (let shift = 7; shift < 28; shift += 7) {
      const byte = this.uint8()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    const last = this.uint8()
    if (last > 0x0f) throw new ProtocolError(`varint that ends at byte ${this.at} is beyond 32 bits`)
    return (value | (last << 28)) >>> 0
  }

  /** Zigzag: 0, -1, 1, -2, ... */
  varint(): number {
    const value = this.uvarint()
    return (value >>> 1) ^ -(value & 1)
  }

  /** Zigzag of up to 10 bytes, refused beyond 2^53 like int64. */
  varlong(): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < 10; count++) {
      const byte = this.uint8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break
        return value % 2 === 0 ? value / 2 : -(value + 1) / 2
      }
      scale *= 128
    }
    throw new ProtocolError(`varlong that ends at byte ${this.at} is beyond 2^53`)
  }

  uuid(): string {
    const at = this.at
    if (at + 16 > this.end) this.#short('uuid', 16)
    this.at = at + 16
    return this.buffer.toString('base64url', at, at + 16)
  }

  string(): string {
    return this.#text(this.int16())
  }

  nullableString(): string | null {
    const length = this.int16()
    return length === -1 ? null : this.#text(length)
  }

  compactString(): string {
    return this.#text(this.uvarint() - 1)
  }

  compactNullableString(): string | null {
    const length = this.uvarint() - 1
    return length === -1 ? null : this.#text(length)
  }

  bytes(): Buffer {
    return this.view(this.int32())
  }

  nullableBytes(): Buffer | null {
    const length = this.int32()
    return length === -1 ? null : this.view(length)
  }

  compactBytes(): Buffer {
    return this.view(this.uvarint() - 1)
  }

  compactNullableBytes(): Buffer | null {
    const length = this.uvarint() - 1
    return length === -1 ? null : this.view(length)
  }

  /** The next `length` bytes as a view of the buffer, not a copy. */
  view(length: number): Buffer {
    const at = this.at
    if (!(length >= 0 && length <= this.end - at)) this.#absurd('bytes of length', length)
    this.at = at + length
    return this.buffer.subarray(at, at + length)
  }

  skip(length: number): void {
    if (!(length >= 0 && length <= this.end - this.at)) this.#absurd('a part of length', length)
    this.at += length
  }

  /**
   * The element count of an array whose elements take at least `minimumBytes` each. A count for which the frame has not
   * enough bytes left is refused here, before anybody allocates for it.
   */
  count(minimumBytes: number): number {
    return this.#checked(this.int32(), minimumBytes)
  }

  /** As count(), and -1 for null. */
  nullableCount(minimumBytes: number): number {
    const count = this.int32()
    return count === -1 ? -1 : this.#checked(count, minimumBytes)
  }

  compactCount(minimumBytes: number): number {
    return this.#checked(this.uvarint() - 1, minimumBytes)
  }

  compactNullableCount(minimumBytes: number): number {
    const count = this.uvarint() - 1
    return count === -1 ? -1 : this.#checked(count, minimumBytes)
  }

  /** Reads the size of a tagged field and gives the position behind it. */
  tagEnd(): number {
    const size = this.uvarint()
    if (size > this.end - this.at) this.#absurd('a tagged field of size', size)
    return this.at + size
  }

  /** Moves behind a tagged field; bytes in it that this version does not know are skipped like unknown tags. */
  leaveTag(end: number): void {
    if (this.at > end) throw new ProtocolError(`tagged field runs to byte ${this.at}, its size says byte ${end}`)
    this.at = end
  }

  /** Passes over a tag section without looking at it. */
  skipTags(): void {
    for (let count = this.uvarint(); count > 0; count--) {
      this.uvarint()
      this.skip(this.uvarint())
    }
  }

  #text(length: number): string {
    const at = this.at
    if (!(length >= 0 && length <= this.end - at) || length > MAX_STRING_BYTES) this.#absurd('string of length', length)
    this.at = at + length
    // Undefined is the documented default, utf8, and the quickest way to it.
    return this.buffer.toString(undefined, at, at + length)
  }

  #checked(count: number, minimumBytes: number): number {
    if (!(count >= 0 && count * minimumBytes <= this.end - this.at)) this.#absurd('array of count', count)
    return count
  }

  #short(type: string, size: number): never {
    throw new ProtocolError(`${type} of ${size} bytes wanted at byte ${this.at}, the frame ends at byte ${this.end}`)
  }

  #absurd(what: string, number: number): never {
    const left = this.end - this.at
    throw new ProtocolError(`${what} ${number} at byte ${this.at}, where the frame has ${left} bytes left`)
  }
}
