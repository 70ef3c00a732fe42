/**
 * CRC-32C (Castagnoli), the checksum of record batches and of log recovery, by slicing: sixteen table look-ups for
 * sixteen bytes, none of which waits for another, so the processor overlaps them.
 *
 * Long runs are read as 32-bit words, which is half the work of reading bytes. That needs a view of the buffer for the
 * call, so short runs, where making it would cost more than it saves, go by eight bytes at a time.
 */
const POLYNOMIAL_REVERSED = 0x82f63b78

const SLICES = 16
const WORDS_PAY_FROM_BYTES = 512
const isLittleEndian = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1

const tables = slicingTables()

/** The checksum of `bytes[start, end)` as an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, start: number, end: number): number {
  if (!(start >= 0 && start <= end && end <= bytes.length)) {
    throw new RangeError(`crc32c of [${start}, ${end}) in ${bytes.length} bytes`)
  }
  if (end - start < WORDS_PAY_FROM_BYTES || !isLittleEndian) return ~byBytes(-1, bytes, start, end) >>> 0

  const aligned = start + (-(bytes.byteOffset + start) & 3)
  const wordCount = ((end - aligned) >>> 4) << 2
  let crc = byBytes(-1, bytes, start, aligned)
  crc = byWords(crc, new Int32Array(bytes.buffer, bytes.byteOffset + aligned, wordCount))
  return ~byBytes(crc, bytes, aligned + wordCount * 4, end) >>> 0
}

function byBytes(initial: number, bytes: Uint8Array, start: number, end: number): number {
  let crc = initial
  let at = start
  for (const sliced = end - 7; at < sliced; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc =
      tables[0x700 | (crc & 0xff)]! ^
      tables[0x600 | ((crc >>> 8) & 0xff)]! ^
      tables[0x500 | ((crc >>> 16) & 0xff)]! ^
      tables[0x400 | (crc >>> 24)]! ^
      tables[0x300 | bytes[at + 4]!]! ^
      tables[0x200 | bytes[at + 5]!]! ^
      tables[0x100 | bytes[at + 6]!]! ^
      tables[bytes[at + 7]!]!
  }
  for (; at < end; at++) crc = tables[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8)
  return crc
}

/** The number of words is a multiple of four. */
function byWords(initial: number, words: Int32Array): number {
  let crc = initial
  for (let i = 0; i < words.length; i += 4) {
    const a = crc ^ words[i]!
    const b = words[i + 1]!
    const c = words[i + 2]!
    const d = words[i + 3]!
    crc =
      tables[0xf00 | (a & 0xff)]! ^
      tables[0xe00 | ((a >>> 8) & 0xff)]! ^
      tables[0xd00 | ((a >>> 16) & 0xff)]! ^
      tables[0xc00 | (a >>> 24)]! ^
      tables[0xb00 | (b & 0xff)]! ^
      tables[0xa00 | ((b >>> 8) & 0xff)]! ^
      tables[0x900 | ((b >>> 16) & 0xff)]! ^
      tables[0x800 | (b >>> 24)]! ^
      tables[0x700 | (c & 0xff)]! ^
      tables[0x600 | ((c >>> 8) & 0xff)]! ^
      tables[0x500 | ((c >>> 16) & 0xff)]! ^
      tables[0x400 | (c >>> 24)]! ^
      tables[0x300 | (d & 0xff)]! ^
      tables[0x200 | ((d >>> 8) & 0xff)]! ^
      tables[0x100 | ((d >>> 16) & 0xff)]! ^
      tables[d >>> 24]!
  }
  return crc
}

/** Sixteen tables of 256 in a row: table k tells what a byte does to the checksum after k further zero bytes. */
function slicingTables(): Int32Array {
  const all = new Int32Array(SLICES * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL_REVERSED : crc >>> 1
    all[byte] = crc
  }
  for (let at = 256; at < all.length; at++) {
    const shorter = all[at - 256]!
    all[at] = all[shorter & 0xff]! ^ (shorter >>> 8)
  }
  return all
}
