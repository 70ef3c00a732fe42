import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import kafkajs from 'kafkajs'
import { compressFrameSync, decompressFrameSync } from 'lz4-napi'
import { compressSync, uncompressSync } from 'snappy'

/** kafkajs brings gzip only; the others are registered by whoever wants them, once per process. */
export function registerCodecs(): void {
  const { CompressionCodecs, CompressionTypes } = kafkajs
  CompressionCodecs[CompressionTypes.Snappy] = () => ({
    compress: async ({ buffer }: Encoder) => compressSync(buffer),
    decompress: async (buffer: Buffer) => unsnappy(buffer),
  })
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: async ({ buffer }: Encoder) => compressFrameSync(buffer),
    decompress: async (buffer: Buffer) => decompressFrameSync(buffer),
  })
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async ({ buffer }: Encoder) =>
      zstdCompressSync(buffer, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
    decompress: async (buffer: Buffer) => zstdDecompressSync(buffer),
  })
}

interface Encoder {
  readonly buffer: Buffer
}

// Java's snappy stream: 8 bytes of magic, two version numbers, then blocks behind their sizes.
const javaMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])

function unsnappy(bytes: Buffer): Buffer {
  if (!bytes.subarray(0, 8).equals(javaMagic)) return uncompressSync(bytes) as Buffer
  const blocks: Buffer[] = []
  for (let at = 16; at < bytes.length;) {
    const size = bytes.readInt32BE(at)
    blocks.push(uncompressSync(bytes.subarray(at + 4, at + 4 + size)) as Buffer)
    at += 4 + size
  }
  return Buffer.concat(blocks)
}
