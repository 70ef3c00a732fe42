import { createRequire } from 'node:module'
import type * as ZlibModule from 'node:zlib'
import { DecompressionError, OutputTooLargeError, type Compression } from './compressions.ts'
import { readLz4Frames, writeLz4Frame } from './lz4-frame.ts'
import { compressSnappyBlock, readSnappy, writeSnappy } from './snappy-block.ts'

/**
 * The codecs of record batches. Everything is synchronous, and a library is loaded when a codec first needs it: a broker
 * that stores what its producers compressed, which is nearly all it does, loads none.
 *
 * gzip and zstd are Node's. LZ4 and Snappy are read by code of this folder, which knows what will come out before it
 * allocates, and written by native libraries where those can be loaded.
 */
export function compress(compression: Compression, bytes: Buffer): Buffer {
  switch (compression) {
    case 'none':
      return bytes
    case 'gzip':
      return zlib().gzipSync(bytes)
    case 'snappy':
      return writeSnappy(bytes, snappyBlockCompressor())
    case 'lz4':
      return lz4FrameCompressor()(bytes)
    case 'zstd':
      return zlib().zstdCompressSync(bytes)
  }
}

/**
 * The bytes that were compressed. Throws DecompressionError for malformed input and for output of more than
 * `maxOutputBytes`, the latter without having allocated more than that.
 */
export function decompress(compression: Compression, bytes: Buffer, maxOutputBytes: number): Buffer {
  switch (compression) {
    case 'none':
      if (bytes.length > maxOutputBytes) throw new OutputTooLargeError('none', maxOutputBytes)
      return bytes
    case 'gzip':
      return inflate('gzip', maxOutputBytes, 0, (limit) => zlib().gunzipSync(bytes, limit))
    case 'snappy':
      return readSnappy(bytes, maxOutputBytes)
    case 'lz4':
      return readLz4Frames(bytes, maxOutputBytes)
    case 'zstd':
      return readZstdFrames(bytes, maxOutputBytes)
  }
}

/** Node stops behind the first frame and says nothing of what follows, so the frames are counted here. */
function readZstdFrames(bytes: Buffer, maxOutputBytes: number): Buffer {
  const contents: Buffer[] = []
  let total = 0
  let at = 0
  do {
    const rest = at === 0 ? bytes : bytes.subarray(at)
    let consumed = 0
    const content = inflate('zstd', maxOutputBytes, total, (limit) => {
      const { buffer, engine } = zlib().zstdDecompressSync(rest, { ...limit, info: true }) as unknown as WithInfo
      consumed = engine.bytesWritten
      return buffer
    })
    if (consumed <= 0) throw new DecompressionError('zstd', `byte ${at}: no frame`)
    at += consumed
    total += content.length
    contents.push(content)
  } while (at < bytes.length)
  return contents.length === 1 ? contents[0]! : Buffer.concat(contents)
}

/** What the synchronous functions of node:zlib answer with the option `info`. */
interface WithInfo {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}

type Limit = { readonly maxOutputLength: number }

/** Runs a function of node:zlib that may give what is left of the limit after `usedBytes`. */
function inflate(
  compression: Compression,
  maxOutputBytes: number,
  usedBytes: number,
  run: (limit: Limit) => Buffer,
): Buffer {
  const leftBytes = maxOutputBytes - usedBytes
  let output: Buffer
  try {
    // A limit of 0 would be refused as an argument, so an output of one byte is caught below.
    output = run({ maxOutputLength: Math.max(1, leftBytes) })
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause
    const isTooLarge = 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE'
    if (isTooLarge) throw new OutputTooLargeError(compression, maxOutputBytes, { cause })
    throw new DecompressionError(compression, cause.message, { cause })
  }
  if (output.length > leftBytes) throw new OutputTooLargeError(compression, maxOutputBytes)
  return output
}

const require = createRequire(import.meta.url)

const zlib = (): typeof ZlibModule => require('node:zlib') as typeof ZlibModule

type Compressor = (bytes: Buffer) => Buffer

let snappyCompressor: Compressor | null = null
let lz4Compressor: Compressor | null = null

function snappyBlockCompressor(): Compressor {
  snappyCompressor ??= loaded<{ compressSync: Compressor }>('snappy')?.compressSync ?? compressSnappyBlock
  return snappyCompressor
}

function lz4FrameCompressor(): Compressor {
  lz4Compressor ??= loaded<{ compressFrameSync: Compressor }>('lz4-napi')?.compressFrameSync ?? writeLz4Frame
  return lz4Compressor
}

/** Null where the library, or its binary for this platform, is missing; the callers have something in its place. */
function loaded<Library>(name: string): Library | null {
  try {
    return require(name) as Library
  } catch {
    return null
  }
}
