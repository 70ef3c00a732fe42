const SEED = 0x9747b28c
const M = 0x5bd1e995

/**
 * The hash with which Kafka's producers choose a partition for a key (murmur2 of Austin Appleby, with Kafka's seed).
 * Every client must agree on it, or records of one key land in different partitions.
 */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length
  const wholeWords = length & ~3
  let hash = SEED ^ length
  for (let at = 0; at < wholeWords; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    word = Math.imul(word, M)
    word ^= word >>> 24
    hash = Math.imul(hash, M) ^ Math.imul(word, M)
  }
  const rest = length - wholeWords
  if (rest > 2) hash ^= bytes[wholeWords + 2]! << 16
  if (rest > 1) hash ^= bytes[wholeWords + 1]! << 8
  if (rest > 0) hash = Math.imul(hash ^ bytes[wholeWords]!, M)
  hash ^= hash >>> 13
  hash = Math.imul(hash, M)
  return hash ^ (hash >>> 15)
}

/** Where Java's default partitioner puts a key. */
export function partitionOfKey(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7fffffff) % partitionCount
}
