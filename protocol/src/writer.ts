import { ProtocolError } from './protocol-error.ts'
import { INT64_MAX } from './schema.ts'

const MAX_STRING_BYTES = 0x7fff
const DEFAULT_SIZE_BYTES = 4096
// Below this length a loop over the characters is quicker than the call that copies a string.
const SHORT_TEXT = 24

/**
 * A growing buffer to which messages are encoded. `take()` is a view of it: it stays valid until the next `reset()`, so
 * a writer can be reused once its bytes were sent or copied. A value that its type cannot hold is refused with
 * ProtocolError and never written as something else.
 */
export class Writer {
  #buffer: Buffer
  at = 0

  constructor(sizeBytes: number = DEFAULT_SIZE_BYTES) {
    this.#buffer = Buffer.allocUnsafe(sizeBytes)
  }

  /** What was written since the last reset, as a view. */
  take(): Buffer {
    return this.#buffer.subarray(0, this.at)
  }

  /** Starts over in the same memory: views taken before now show what is written next. */
  reset(): void {
    this.at = 0
  }

  bool(value: boolean): void {
    if (typeof value !== 'boolean') throw new ProtocolError(`${String(value)} is not a boolean`)
    this.#room(1)
    this.#buffer[this.at++] = value ? 1 : 0
  }

  int8(value: number): void {
    if ((value << 24) >> 24 !== value) outOfRange(value, 'int8')
    this.#room(1)
    this.#buffer[this.at++] = value
  }

  int16(value: number): void {
    if ((value << 16) >> 16 !== value) outOfRange(value, 'int16')
    this.#put16(value)
  }

  uint16(value: number): void {
    if ((value & 0xffff) !== value) outOfRange(value, 'uint16')
    this.#put16(value)
  }

  int32(value: number): void {
    if ((value | 0) !== value) outOfRange(value, 'int32')
    this.#put32(value)
  }

  uint32(value: number): void {
    if (value >>> 0 !== value) outOfRange(value, 'uint32')
    this.#put32(value | 0)
  }

  int64(value: number): void {
    if (!Number.isSafeInteger(value)) {
      if (value !== INT64_MAX) outOfRange(value, 'int64')
      this.#put32(0x7fffffff)
      this.#put32(-1)
      return
    }
    const high = Math.floor(value / 0x1_0000_0000)
    this.#put32(high)
    this.#put32((value - high * 0x1_0000_0000) | 0)
  }

  float64(value: number): void {
    if (typeof value !== 'number') outOfRange(value, 'float64')
    this.#room(8)
    this.at = this.#buffer.writeDoubleBE(value, this.at)
  }

  uvarint(value: number): void {
    if (value >>> 0 !== value) outOfRange(value, 'uvarint')
    this.#room(5)
    let rest = value
    while (rest > 0x7f) {
      this.#buffer[this.at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#buffer[this.at++] = rest
  }

  varint(value: number): void {
    if ((value | 0) !== value) outOfRange(value, 'varint')
    this.uvarint(((value << 1) ^ (value >> 31)) >>> 0)
  }

  varlong(value: number): void {
    // Zigzag doubles the value, so one bit less than int64 fits.
    let rest = value < 0 ? -2 * value - 1 : 2 * value
    if (!Number.isSafeInteger(rest)) outOfRange(value, 'varlong')
    this.#room(10)
    while (rest > 0x7f) {
      this.#buffer[this.at++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.#buffer[this.at++] = rest
  }

  uuid(value: string): void {
    this.#room(16)
    if (value.length !== 22 || this.#buffer.write(value, this.at, 16, 'base64url') !== 16) {
      throw new ProtocolError(`'${value}' is not a uuid of 22 base64url characters`)
    }
    this.at += 16
  }

  string(value: string): void {
    if (value === null) nullValue('string')
    const start = this.at
    this.at += 2
    const length = this.#text(value)
    this.#buffer[start] = length >> 8
    this.#buffer[start + 1] = length
  }

  nullableString(value: string | null): void {
    if (value === null) this.#put16(-1)
    else this.string(value)
  }

  compactString(value: string): void {
    if (value === null) nullValue('string')
    if (value.length <= 42) {
      // At most 126 bytes of UTF-8, so the length takes one byte and can be filled in afterwards.
      const start = this.at++
      // The length first: writing the text may move everything to a larger buffer.
      const length = this.#text(value)
      this.#buffer[start] = length + 1
      return
    }
    const length = Buffer.byteLength(value)
    if (length > MAX_STRING_BYTES) longString(length)
    this.uvarint(length + 1)
    this.#text(value)
  }

  compactNullableString(value: string | null): void {
    if (value === null) this.uvarint(0)
    else this.compactString(value)
  }

  bytes(value: Uint8Array): void {
    if (value === null) nullValue('bytes')
    this.int32(value.length)
    this.raw(value)
  }

  nullableBytes(value: Uint8Array | null): void {
    if (value === null) this.#put32(-1)
    else this.bytes(value)
  }

  compactBytes(value: Uint8Array): void {
    if (value === null) nullValue('bytes')
    this.uvarint(value.length + 1)
    this.raw(value)
  }

  compactNullableBytes(value: Uint8Array | null): void {
    if (value === null) this.uvarint(0)
    else this.compactBytes(value)
  }

  /** The bytes themselves, without a length. */
  raw(value: Uint8Array): void {
    this.#room(value.length)
    this.#buffer.set(value, this.at)
    this.at += value.length
  }

  /** The element count of an array; -1 is null. */
  count(count: number): void {
    this.int32(count)
  }

  compactCount(count: number): void {
    this.uvarint(count + 1)
  }

  /** Opens a tagged field; what is written until endTag() with the returned position is its content. */
  beginTag(tag: number): number {
    this.uvarint(tag)
    this.#room(1)
    return this.at++
  }

  endTag(start: number): void {
    const size = this.at - start - 1
    // One byte was kept for the size. The few tagged fields that need more are moved by what is missing.
    let extra = 0
    for (let rest = size >>> 7; rest > 0; rest >>>= 7) extra++
    if (extra > 0) {
      this.#room(extra)
      this.#buffer.copyWithin(start + 1 + extra, start + 1, this.at)
    }
    let rest = size
    for (let at = start; at < start + extra; at++) {
      this.#buffer[at] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#buffer[start + extra] = rest
    this.at += extra
  }

  /** Overwrites an int32 written before, such as the size in front of a frame. */
  setInt32(at: number, value: number): void {
    if ((value | 0) !== value) outOfRange(value, 'int32')
    if (!(at >= 0 && at + 4 <= this.at)) throw new ProtocolError(`nothing was written at byte ${at} yet`)
    this.#buffer.writeInt32BE(value, at)
  }

  #put16(value: number): void {
    this.#room(2)
    const buffer = this.#buffer
    const at = this.at
    buffer[at] = value >> 8
    buffer[at + 1] = value
    this.at = at + 2
  }

  #put32(value: number): void {
    this.#room(4)
    const buffer = this.#buffer
    const at = this.at
    buffer[at] = value >> 24
    buffer[at + 1] = value >> 16
    buffer[at + 2] = value >> 8
    buffer[at + 3] = value
    this.at = at + 4
  }

  /** Appends the text at `at` as UTF-8 and gives its length in bytes. */
  #text(value: string): number {
    const length = value.length
    if (length > MAX_STRING_BYTES) longString(length)
    this.#room(length * 3)
    const buffer = this.#buffer
    const start = this.at
    if (length <= SHORT_TEXT) {
      let index = 0
      for (; index < length; index++) {
        const code = value.charCodeAt(index)
        if (code > 0x7f) break
        buffer[start + index] = code
      }
      if (index === length) {
        this.at = start + length
        return length
      }
    }
    const written = buffer.write(value, start)
    if (written > MAX_STRING_BYTES) longString(written)
    this.at = start + written
    return written
  }

  #room(sizeBytes: number): void {
    const needed = this.at + sizeBytes
    if (needed <= this.#buffer.length) return
    const bigger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, needed))
    this.#buffer.copy(bigger, 0, 0, this.at)
    this.#buffer = bigger
  }
}

function outOfRange(value: unknown, type: string): never {
  throw new ProtocolError(`${String(value)} does not fit ${type}`)
}

function nullValue(type: string): never {
  throw new ProtocolError(`null where a ${type} must be`)
}

function longString(length: number): never {
  throw new ProtocolError(`string of ${length} bytes is longer than ${MAX_STRING_BYTES}`)
}
