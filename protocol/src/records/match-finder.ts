/** What one match of a block is: literals from `literalsAt` up to `matchAt`, then `matchBytes` known from `distance` back. */
export type OnMatch = (literalsAt: number, matchAt: number, matchBytes: number, distance: number) => void

/** Positions of LZ4 and Snappy reach back 16 bits. */
const MAX_DISTANCE = 0xffff
const MIN_MATCH = 4
/** LZ4 wants the last five bytes as literals and no match to start within the last twelve; Snappy does not mind. */
const TAIL_BYTES = 5
const LAST_MATCH_BYTES = 12
const HASH_BITS = 13

const positions = new Int32Array(1 << HASH_BITS)

/**
 * Goes through `input[start, end)` once and reports what repeats, taking the first match it sees: the search that both
 * LZ4 and Snappy are made of, for where their native libraries cannot be loaded. Answers where the literals begin that
 * follow the last match.
 */
export function findMatches(input: Uint8Array, start: number, end: number, onMatch: OnMatch): number {
  // Cleared although every candidate is compared, so that the output depends on the input alone.
  positions.fill(0)
  let literalsAt = start
  let at = start
  while (at < end - LAST_MATCH_BYTES) {
    const word = wordAt(input, at)
    const slot = Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS)
    const candidate = start + positions[slot]!
    positions[slot] = at - start
    if (candidate >= at || at - candidate > MAX_DISTANCE || wordAt(input, candidate) !== word) {
      // The longer nothing repeats, the less is looked at.
      at += 1 + ((at - literalsAt) >>> 6)
      continue
    }
    let matchBytes = MIN_MATCH
    const longest = end - TAIL_BYTES - at
    while (matchBytes < longest && input[candidate + matchBytes] === input[at + matchBytes]) matchBytes++
    onMatch(literalsAt, at, matchBytes, at - candidate)
    at += matchBytes
    literalsAt = at
  }
  return literalsAt
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
