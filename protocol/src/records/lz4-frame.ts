import { DecompressionError, OutputTooLargeError } from './compressions.ts'
import { findMatches } from './match-finder.ts'
import { xxhash32 } from './xxhash32.ts'

/**
 * LZ4 frames: what Kafka calls lz4 in a record batch.
 *
 *   frame: uint32 magic, uint8 flags, uint8 block size code, [uint64 content size], [uint32 dictionary id],
 *          uint8 header checksum, blocks, uint32 0, [uint32 content checksum]
 *   block: uint32 size (top bit: stored as it is), bytes, [uint32 checksum]
 *
 * All numbers are little endian. Clients differ: Java writes independent blocks without content size (and reads nothing
 * else), librdkafka lets blocks refer back into the ones before, others add checksums.
 */

/**
 * The content of one or more frames. All kinds of frames are read, and all checksums that are there are checked.
 *
 * Two passes. The first walks the lengths alone and so knows the size of the output before anything is allocated; the
 * native libraries allocate as they go and can only be stopped afterwards. They also take a cut-off frame for a whole
 * one, which would let a broken batch pass as a shorter one.
 */
export function readLz4Frames(input: Buffer, maxOutputBytes: number): Buffer {
  const outputBytes = outputBytesOf(input, maxOutputBytes)
  const output = Buffer.allocUnsafe(outputBytes)
  let at = 0
  let written = 0
  while (at < input.length) {
    const frame = frameHeaderAt(input, at)
    const frameStart = written
    at += frame.headerBytes
    for (;;) {
      const sizeField = uint32At(input, at)
      at += 4
      if (sizeField === 0) break
      const size = sizeField & ~STORED_FLAG
      if (frame.hasBlockChecksum) expectChecksum(input, at + size, xxhash32(input, at, at + size), 'block')
      if (sizeField >= STORED_FLAG) {
        input.copy(output, written, at, at + size)
        written += size
      } else {
        written = expandBlock(input, at, at + size, output, written, frame.isLinked ? frameStart : written)
      }
      at += size + (frame.hasBlockChecksum ? 4 : 0)
    }
    if (frame.hasContentChecksum) {
      expectChecksum(input, at, xxhash32(output, frameStart, written), 'content')
      at += 4
    }
  }
  return output
}

/** One frame of independent blocks, for where the native library cannot be loaded. */
export function writeLz4Frame(bytes: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from(WRITTEN_HEADER)]
  for (let at = 0; at < bytes.length; at += WRITTEN_BLOCK_BYTES) {
    const end = Math.min(at + WRITTEN_BLOCK_BYTES, bytes.length)
    const block = compressBlock(bytes, at, end)
    const isSmaller = block.length < end - at
    const size = Buffer.allocUnsafe(4)
    size.writeUInt32LE(isSmaller ? block.length : STORED_FLAG + end - at)
    parts.push(size, isSmaller ? block : bytes.subarray(at, end))
  }
  parts.push(Buffer.alloc(4))
  return Buffer.concat(parts)
}

const FRAME_MAGIC = 0x184d2204
/** Magic, flags for version 1 and independent blocks, the code of 64 KiB, and the checksum of these. */
const WRITTEN_HEADER = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]
const WRITTEN_BLOCK_BYTES = 64 * 1024
const STORED_FLAG = 0x80000000
const MIN_MATCH = 4

interface FrameHeader {
  readonly headerBytes: number
  readonly maxBlockBytes: number
  readonly contentBytes: number | null
  /** Matches may reach into the blocks before, up to the start of the frame. */
  readonly isLinked: boolean
  readonly hasBlockChecksum: boolean
  readonly hasContentChecksum: boolean
}

function frameHeaderAt(input: Buffer, start: number): FrameHeader {
  if (input.length - start < 7) throw malformed(start, 'a frame header that is cut off')
  if (uint32At(input, start) !== FRAME_MAGIC) throw malformed(start, 'no frame magic')
  const flags = input[start + 4]!
  const blockSizeCode = input[start + 5]!
  if (flags >>> 6 !== 1 || (flags & 0x02) !== 0) throw malformed(start + 4, `frame flags ${flags}`)
  if ((flags & 0x01) !== 0) throw malformed(start + 4, 'a frame that needs a dictionary')
  if ((blockSizeCode & 0x8f) !== 0 || blockSizeCode < 0x40)
    throw malformed(start + 5, `block size code ${blockSizeCode}`)
  let at = start + 6
  let contentBytes: number | null = null
  if ((flags & 0x08) !== 0) {
    if (input.length - at < 9) throw malformed(start, 'a frame header that is cut off')
    contentBytes = uint32At(input, at) + uint32At(input, at + 4) * 2 ** 32
    at += 8
  }
  if (input[at] !== ((xxhash32(input, start + 4, at) >>> 8) & 0xff))
    throw malformed(at, 'wrong checksum of the frame header')
  return {
    headerBytes: at + 1 - start,
    maxBlockBytes: 2 ** (8 + 2 * (blockSizeCode >>> 4)),
    contentBytes,
    isLinked: (flags & 0x20) === 0,
    hasBlockChecksum: (flags & 0x10) !== 0,
    hasContentChecksum: (flags & 0x04) !== 0,
  }
}

/** The first pass: every length is in bounds, and the sum of the blocks is what the frames say and the caller allows. */
function outputBytesOf(input: Buffer, maxOutputBytes: number): number {
  if (input.length === 0) throw malformed(0, 'no frame')
  let at = 0
  let total = 0
  while (at < input.length) {
    const frame = frameHeaderAt(input, at)
    const frameStart = total
    at += frame.headerBytes
    for (;;) {
      if (input.length - at < 4) throw malformed(at, 'a frame without end mark')
      const sizeField = uint32At(input, at)
      at += 4
      if (sizeField === 0) break
      const size = sizeField & ~STORED_FLAG
      const checksumBytes = frame.hasBlockChecksum ? 4 : 0
      if (size > frame.maxBlockBytes || size + checksumBytes > input.length - at) {
        throw malformed(at, `a block of ${size} bytes, ${input.length - at} are left`)
      }
      const expanded = sizeField >= STORED_FLAG ? size : expandedBytes(input, at, at + size)
      if (expanded > frame.maxBlockBytes) {
        throw malformed(at, `a block that grows to ${expanded} bytes, the frame allows ${frame.maxBlockBytes}`)
      }
      total += expanded
      if (total > maxOutputBytes) throw new OutputTooLargeError('lz4', maxOutputBytes)
      at += size + checksumBytes
    }
    if (frame.contentBytes !== null && frame.contentBytes !== total - frameStart) {
      throw malformed(at, `${total - frameStart} bytes in a frame that says ${frame.contentBytes}`)
    }
    if (frame.hasContentChecksum) {
      if (input.length - at < 4) throw malformed(at, 'a content checksum that is cut off')
      at += 4
    }
  }
  return total
}

/**
 * What a block grows to. A block is a run of sequences: a token of two half bytes (literal length, match length - 4; 15
 * means that more length bytes follow), the literals, and a match as distance back. The last sequence has no match.
 */
function expandedBytes(input: Buffer, start: number, end: number): number {
  let at = start
  let total = 0
  while (at < end) {
    const token = input[at++]!
    let literalBytes = token >>> 4
    if (literalBytes === 15) {
      let more = 255
      while (more === 255 && at < end) {
        more = input[at++]!
        literalBytes += more
      }
      if (more === 255) throw malformed(at, 'a length that does not end')
    }
    at += literalBytes
    total += literalBytes
    if (at >= end) {
      if (at > end) throw malformed(start, 'literals reach past the end of their block')
      return total
    }
    if (end - at < 2) throw malformed(at, 'a match that is cut off')
    at += 2
    let matchBytes = token & 15
    if (matchBytes === 15) {
      let more = 255
      while (more === 255 && at < end) {
        more = input[at++]!
        matchBytes += more
      }
      if (more === 255) throw malformed(at, 'a length that does not end')
    }
    total += matchBytes + MIN_MATCH
  }
  throw malformed(end, 'a block that ends with a match')
}

/** The second pass over a block. Lengths are in bounds, as the first has shown; distances are looked at here. */
function expandBlock(input: Buffer, start: number, end: number, output: Buffer, to: number, from: number): number {
  let at = start
  let written = to
  for (;;) {
    const token = input[at++]!
    let literalBytes = token >>> 4
    if (literalBytes === 15) {
      let more: number
      do {
        more = input[at++]!
        literalBytes += more
      } while (more === 255)
    }
    if (literalBytes < SHORT_COPY) {
      for (let i = 0; i < literalBytes; i++) output[written + i] = input[at + i]!
    } else {
      input.copy(output, written, at, at + literalBytes)
    }
    at += literalBytes
    written += literalBytes
    if (at === end) return written

    const distance = input[at]! | (input[at + 1]! << 8)
    at += 2
    let matchBytes = (token & 15) + MIN_MATCH
    if (matchBytes === 15 + MIN_MATCH) {
      let more: number
      do {
        more = input[at++]!
        matchBytes += more
      } while (more === 255)
    }
    const matchAt = written - distance
    if (distance === 0 || matchAt < from) throw malformed(at, `a match ${distance} bytes back of ${written - from}`)
    if (matchBytes < SHORT_COPY || distance < matchBytes) {
      // A match may overlap what it writes: then it repeats, which only a copy byte by byte does.
      for (let i = 0; i < matchBytes; i++) output[written + i] = output[matchAt + i]!
    } else {
      output.copyWithin(written, matchAt, matchAt + matchBytes)
    }
    written += matchBytes
  }
}

function compressBlock(bytes: Buffer, start: number, end: number): Buffer {
  // Literals that do not compress cost a length byte for each 255 of them.
  const output = Buffer.allocUnsafe(end - start + Math.ceil((end - start) / 255) + 16)
  let to = 0
  const writeSequence = (literalsAt: number, literalsEnd: number, matchBytes: number, distance: number): void => {
    const literalBytes = literalsEnd - literalsAt
    const matchCode = distance === 0 ? 0 : matchBytes - MIN_MATCH
    output[to++] = (Math.min(literalBytes, 15) << 4) | Math.min(matchCode, 15)
    if (literalBytes >= 15) to = writeLength(output, to, literalBytes - 15)
    to += bytes.copy(output, to, literalsAt, literalsEnd)
    if (distance === 0) return
    output[to++] = distance & 0xff
    output[to++] = distance >>> 8
    if (matchCode >= 15) to = writeLength(output, to, matchCode - 15)
  }
  const lastLiteralsAt = findMatches(bytes, start, end, writeSequence)
  writeSequence(lastLiteralsAt, end, 0, 0)
  return output.subarray(0, to)
}

function writeLength(output: Buffer, start: number, length: number): number {
  let to = start
  let rest = length
  for (; rest >= 255; rest -= 255) output[to++] = 255
  output[to++] = rest
  return to
}

/** Up to here a loop beats the call of a copy. */
const SHORT_COPY = 64

function expectChecksum(input: Buffer, at: number, hash: number, what: string): void {
  if (uint32At(input, at) !== hash) throw malformed(at, `wrong checksum of a ${what}`)
}

function uint32At(input: Buffer, at: number): number {
  return (input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16) | (input[at + 3]! << 24)) >>> 0
}

function malformed(position: number, reason: string): DecompressionError {
  return new DecompressionError('lz4', `byte ${position}: ${reason}`)
}
