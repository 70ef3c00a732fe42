import type { Windowed } from '../windowed.ts'
import { remotesOf, type Serde } from './serde.ts'

/** Key bytes, then start and end as 64-bit integers: sorts by key and start, and keeps windows of any length. */
export function windowed<K>(key: Serde<K>): Serde<Windowed<K>> {
  return {
    name: `windowed ${key.name}`,
    ...remotesOf(key),
    serialize(value) {
      const keyBytes = key.serialize(value.key)
      const bytes = Buffer.allocUnsafe(keyBytes.length + 16)
      bytes.set(keyBytes)
      writeTime(bytes, value.startMs, keyBytes.length)
      writeTime(bytes, value.endMs, keyBytes.length + 8)
      return bytes
    },
    deserialize(bytes) {
      const at = bytes.length - 16
      return {
        key: key.deserialize(bytes.subarray(0, at)),
        startMs: readTime(bytes, at),
        endMs: readTime(bytes, at + 8),
      }
    },
  }
}

/** Big-endian int64 of a millisecond time; never negative, so that bytes sort as numbers do. */
export function writeTime(bytes: Buffer, timeMs: number, at: number): void {
  const high = Math.floor(timeMs / 0x1_0000_0000)
  bytes.writeInt32BE(high, at)
  bytes.writeUInt32BE(timeMs - high * 0x1_0000_0000, at + 4)
}

export function readTime(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4)
}
