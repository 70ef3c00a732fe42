import { DecompressionError, OutputTooLargeError } from './compressions.ts'
import { findMatches } from './match-finder.ts'

/**
 * What Kafka's clients call snappy in a record batch is one of two things: a single raw block, or raw blocks in the
 * framing of the Java library, which is what this project writes:
 *
 *   82 'SNAPPY' 00, int32 version, int32 lowest compatible version, { int32 size, raw block }
 */

/**
 * The content of either of the two.
 *
 * A raw block says its output size up front. It is believed only as far as its length allows, so that a few bytes
 * cannot make a large allocation.
 */
export function readSnappy(input: Buffer, maxOutputBytes: number): Buffer {
  if (!startsFrame(input, 0)) {
    const outputBytes = declaredBytes(input, 0, input.length)
    if (outputBytes > maxOutputBytes) throw new OutputTooLargeError('snappy', maxOutputBytes)
    const output = Buffer.allocUnsafe(outputBytes)
    expandBlock(input, 0, input.length, output, 0)
    return output
  }
  const output = Buffer.allocUnsafe(framedBytes(input, maxOutputBytes))
  let written = 0
  for (let at = 0; at < input.length;) {
    // Streams that were appended to one another have the header in the middle; Java reads over it, too.
    if (startsFrame(input, at)) {
      at += FRAME_HEADER_BYTES
      continue
    }
    const size = int32At(input, at)
    at += 4
    written = expandBlock(input, at, at + size, output, written)
    at += size
  }
  return output
}

/** Puts raw blocks made by `compressBlock` into the framing of the Java library, which every client reads. */
export function writeSnappy(bytes: Buffer, compressBlock: (block: Buffer) => Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from(FRAME_HEADER)]
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const block = compressBlock(bytes.subarray(at, at + BLOCK_BYTES))
    const size = Buffer.allocUnsafe(4)
    size.writeInt32BE(block.length)
    parts.push(size, block)
  }
  return Buffer.concat(parts)
}

/** A raw block, for where the native library cannot be loaded. */
export function compressSnappyBlock(block: Buffer): Buffer {
  // Literals cost five bytes at most for each run, and a run ends at a match, which saves one byte or more.
  const output = Buffer.allocUnsafe(block.length + (block.length >>> 2) + 16)
  let to = 0
  let rest = block.length
  for (; rest >= 0x80; rest >>>= 7) output[to++] = (rest & 0x7f) | 0x80
  output[to++] = rest

  const writeLiterals = (from: number, end: number): void => {
    const code = end - from - 1
    if (code < 0) return
    if (code < 60) {
      output[to++] = code << 2
    } else {
      const sizeBytes = code < 2 ** 8 ? 1 : code < 2 ** 16 ? 2 : code < 2 ** 24 ? 3 : 4
      output[to++] = (59 + sizeBytes) << 2
      for (let i = 0; i < sizeBytes; i++) output[to++] = code >>> (8 * i)
    }
    to += block.copy(output, to, from, end)
  }
  const literalsAt = findMatches(block, 0, block.length, (from, matchAt, matchBytes, distance) => {
    writeLiterals(from, matchAt)
    for (let left = matchBytes; left > 0; left -= MAX_COPY_BYTES) {
      output[to++] = ((Math.min(left, MAX_COPY_BYTES) - 1) << 2) | COPY_2
      output[to++] = distance & 0xff
      output[to++] = distance >>> 8
    }
  })
  writeLiterals(literalsAt, block.length)
  return output.subarray(0, to)
}

/** A copy whose distance takes two bytes. */
const COPY_2 = 2
const MAX_COPY_BYTES = 64
const FRAME_HEADER = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00, 0, 0, 0, 1, 0, 0, 0, 1]
const FRAME_HEADER_BYTES = FRAME_HEADER.length
const FRAME_MAGIC_BYTES = 8
const LOWEST_VERSION = 1
const BLOCK_BYTES = 32 * 1024
/** The most that comes out of a byte: a copy of 64 bytes takes three. */
const MAX_EXPANSION = 22
/** Up to here a loop beats the call of a copy. */
const SHORT_COPY = 64

function startsFrame(input: Buffer, at: number): boolean {
  if (input.length - at < FRAME_HEADER_BYTES) return false
  for (let i = 0; i < FRAME_MAGIC_BYTES; i++) if (input[at + i] !== FRAME_HEADER[i]) return false
  return true
}

function framedBytes(input: Buffer, maxOutputBytes: number): number {
  let total = 0
  for (let at = 0; at < input.length;) {
    if (startsFrame(input, at)) {
      const version = int32At(input, at + FRAME_MAGIC_BYTES)
      if (version < LOWEST_VERSION) throw malformed(at, `framing of version ${version}`)
      at += FRAME_HEADER_BYTES
      continue
    }
    if (input.length - at < 4) throw malformed(at, 'a block size that is cut off')
    const size = int32At(input, at)
    at += 4
    if (size < 0 || size > input.length - at) {
      throw malformed(at - 4, `a block of ${size} bytes, ${input.length - at} are left`)
    }
    total += declaredBytes(input, at, at + size)
    if (total > maxOutputBytes) throw new OutputTooLargeError('snappy', maxOutputBytes)
    at += size
  }
  return total
}

/** The output size that a raw block begins with, if it may be believed. */
function declaredBytes(input: Buffer, start: number, end: number): number {
  let declared = 0
  let scale = 1
  let at = start
  for (; ; scale *= 128) {
    if (at >= end || at - start === 5) throw malformed(start, 'an output size that does not end')
    const byte = input[at++]!
    declared += (byte & 0x7f) * scale
    if (byte < 0x80) break
  }
  if (declared > (end - at) * MAX_EXPANSION) throw malformed(start, `${declared} bytes out of ${end - at}`)
  return declared
}

/** Writes what a raw block stands for to `output` from `to` on, and answers where it ends. */
function expandBlock(input: Buffer, start: number, end: number, output: Buffer, to: number): number {
  let at = start
  let declared = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = input[at++]!
    declared += (byte & 0x7f) * scale
    if (byte < 0x80) break
  }
  const outputEnd = to + declared
  let written = to
  while (at < end) {
    const tag = input[at++]!
    if ((tag & 3) === 0) {
      let size = tag >>> 2
      if (size >= 60) {
        const sizeBytes = size - 59
        if (end - at < sizeBytes) throw malformed(at, 'a literal size that is cut off')
        size = 0
        for (let i = sizeBytes - 1; i >= 0; i--) size = size * 256 + input[at + i]!
        at += sizeBytes
      }
      size++
      if (size > end - at || size > outputEnd - written) throw malformed(at, `a literal of ${size} bytes`)
      if (size < SHORT_COPY) for (let i = 0; i < size; i++) output[written + i] = input[at + i]!
      else input.copy(output, written, at, at + size)
      at += size
      written += size
      continue
    }
    let size = (tag >>> 2) + 1
    let distance: number
    if ((tag & 3) === 1) {
      if (at >= end) throw malformed(at, 'a copy that is cut off')
      size = ((tag >>> 2) & 7) + 4
      distance = ((tag >>> 5) << 8) | input[at++]!
    } else if ((tag & 3) === 2) {
      if (end - at < 2) throw malformed(at, 'a copy that is cut off')
      distance = input[at]! | (input[at + 1]! << 8)
      at += 2
    } else {
      if (end - at < 4) throw malformed(at, 'a copy that is cut off')
      distance = (input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16) | (input[at + 3]! << 24)) >>> 0
      at += 4
    }
    const copyAt = written - distance
    if (distance === 0 || copyAt < to || size > outputEnd - written) {
      throw malformed(at, `a copy of ${size} bytes from ${distance} back of ${written - to}`)
    }
    // A copy may overlap what it writes: then it repeats, which only a copy byte by byte does.
    for (let i = 0; i < size; i++) output[written + i] = output[copyAt + i]!
    written += size
  }
  if (written !== outputEnd) throw malformed(end, `${written - to} bytes in a block that says ${declared}`)
  return written
}

function int32At(input: Buffer, at: number): number {
  return (input[at]! << 24) | (input[at + 1]! << 16) | (input[at + 2]! << 8) | input[at + 3]!
}

function malformed(position: number, reason: string): DecompressionError {
  return new DecompressionError('snappy', `byte ${position}: ${reason}`)
}
