import type { Serde } from '../serdes/serde.ts'

export type MapKey = string | number

/**
 * A key as key of a Map: strings and numbers as they are, everything else by its bytes. The prefix keeps an object from
 * meeting a string that happens to spell its bytes.
 */
export function mapKey(key: unknown, serde: Serde<unknown>): MapKey {
  if (typeof key === 'string' || typeof key === 'number') return key
  return `\u0000${asBuffer(serde.serialize(key)).toString('latin1')}`
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
