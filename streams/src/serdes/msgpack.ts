import { Packr } from 'msgpackr'
import type { Serde } from './serde.ts'

/**
 * MessagePack by msgpackr, without its record extension, so that any MessagePack reader understands the bytes. The
 * serde of values whose type only the program knows: intermediate results in stores and repartition topics.
 */
export function msgpack<T>(): Serde<T> {
  return MSGPACK as Serde<T>
}

const packr = new Packr({ useRecords: false, int64AsType: 'number' })

const MSGPACK: Serde<unknown> = {
  name: 'msgpack',
  serialize: (value) => packr.pack(value),
  // Strings and numbers are copied while unpacking; binary values are views, which the caller's batch would overwrite.
  deserialize: (bytes) => detached(packr.unpack(bytes)),
}

function detached(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const element: unknown = value[index]
      if (typeof element === 'object' && element !== null) value[index] = detached(element)
    }
  } else if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    const fields = value as Record<string, unknown>
    for (const name in fields) {
      const field = fields[name]
      if (typeof field === 'object' && field !== null) fields[name] = detached(field)
    }
  }
  return value
}
