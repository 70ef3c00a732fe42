import { int32At, setInt32 } from '@millrace/protocol'

const BLOCK_BYTES = 64
/** Where the last block has the length of the message, behind the bit that ends it and zeros. */
const LENGTH_AT = BLOCK_BYTES - 8

/** RFC 1321: the shift of each of the four steps that a round repeats, and the integer part of 2^32 |sin(i)|. */
const SHIFTS = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21]
const SINES = Int32Array.from({ length: 64 }, (_, i) => Math.floor(2 ** 32 * Math.abs(Math.sin(i + 1))) | 0)
/** Both for each of the 64 steps, and the word of the block that it takes. */
const STEP_SHIFTS = Uint8Array.from({ length: 64 }, (_, i) => SHIFTS[(i >> 4) * 4 + (i & 3)]!)
const STEP_WORDS = Uint8Array.from({ length: 64 }, (_, i) => {
  const round = i >> 4
  return (round === 0 ? i : round === 1 ? 5 * i + 1 : round === 2 ? 3 * i + 5 : 7 * i) & 15
})

const words = new Int32Array(16)
const padded = Buffer.alloc(2 * BLOCK_BYTES)

/**
 * The MD5 digest of bytes [start, end) as four words in `digest`, each with its first byte lowest. It tells keys apart
 * for compaction and protects nothing: it is here, and not the platform's, to be called per record without an object.
 */
export function md5(bytes: Uint8Array, start: number, end: number, digest: Int32Array): void {
  digest[0] = 0x67452301
  digest[1] = 0xefcdab89
  digest[2] = 0x98badcfe
  digest[3] = 0x10325476
  let at = start
  for (; at + BLOCK_BYTES <= end; at += BLOCK_BYTES) addBlock(bytes, at, digest)

  const rest = end - at
  const tailBytes = rest < LENGTH_AT ? BLOCK_BYTES : 2 * BLOCK_BYTES
  padded.fill(0, 0, tailBytes)
  for (let i = 0; i < rest; i++) padded[i] = bytes[at + i]!
  padded[rest] = 0x80
  const bits = (end - start) * 8
  setLittleEndian(padded, tailBytes - 8, bits | 0)
  setLittleEndian(padded, tailBytes - 4, Math.floor(bits / 2 ** 32))
  for (let i = 0; i < tailBytes; i += BLOCK_BYTES) addBlock(padded, i, digest)
}

function addBlock(bytes: Uint8Array, at: number, digest: Int32Array): void {
  for (let i = 0; i < 16; i++) words[i] = swapped(int32At(bytes, at + 4 * i))
  let a = digest[0]!
  let b = digest[1]!
  let c = digest[2]!
  let d = digest[3]!
  for (let i = 0; i < 64; i++) {
    const mixed = i < 16 ? (b & c) | (~b & d) : i < 32 ? (d & b) | (~d & c) : i < 48 ? b ^ c ^ d : c ^ (b | ~d)
    const sum = (a + mixed + SINES[i]! + words[STEP_WORDS[i]!]!) | 0
    const shift = STEP_SHIFTS[i]!
    a = d
    d = c
    c = b
    b = (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0
  }
  digest[0] = (digest[0]! + a) | 0
  digest[1] = (digest[1]! + b) | 0
  digest[2] = (digest[2]! + c) | 0
  digest[3] = (digest[3]! + d) | 0
}

function setLittleEndian(bytes: Buffer, at: number, value: number): void {
  setInt32(bytes, at, swapped(value))
}

function swapped(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)
}
