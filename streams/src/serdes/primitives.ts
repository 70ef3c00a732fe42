import { StreamsError } from '../errors.ts'
import type { Serde } from './serde.ts'

/** UTF-8 text. */
export function string(): Serde<string> {
  return STRING
}

/** Raw bytes; `deserialize` copies, so that a value outlives the fetched batch it came in. */
export function bytes(): Serde<Uint8Array> {
  return BYTES
}

/** Big-endian 32-bit integer, as Kafka's IntegerSerializer. */
export function int32(): Serde<number> {
  return INT32
}

/** Big-endian 64-bit integer, as Kafka's LongSerializer; a number beyond 2^53 is refused rather than rounded. */
export function int64(): Serde<number> {
  return INT64
}

/** Big-endian IEEE 754, as Kafka's DoubleSerializer. */
export function double(): Serde<number> {
  return DOUBLE
}

/** JSON text in UTF-8. The type parameter is a promise of the caller; `validated` checks it at run time. */
export function json<T>(): Serde<T> {
  return JSON_SERDE as Serde<T>
}

const STRING: Serde<string> = {
  name: 'string',
  isPrimitive: true,
  serialize: (value) => Buffer.from(value, 'utf8'),
  deserialize: (bytes) => bytes.toString('utf8'),
}

const BYTES: Serde<Uint8Array> = {
  name: 'bytes',
  serialize: (value) => value,
  deserialize: (bytes) => Buffer.from(bytes),
}

const INT32: Serde<number> = {
  name: 'int32',
  isPrimitive: true,
  serialize(value) {
    if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0x7fff_ffff) throw notA('int32', value)
    const bytes = Buffer.allocUnsafe(4)
    bytes.writeInt32BE(value)
    return bytes
  },
  deserialize(bytes) {
    if (bytes.length !== 4) throw wrongSize('int32', 4, bytes.length)
    return bytes.readInt32BE()
  },
}

const INT64: Serde<number> = {
  name: 'int64',
  isPrimitive: true,
  serialize(value) {
    if (!Number.isSafeInteger(value)) throw notA('int64 within 2^53', value)
    const bytes = Buffer.allocUnsafe(8)
    const high = Math.floor(value / 0x1_0000_0000)
    bytes.writeInt32BE(high, 0)
    bytes.writeUInt32BE(value - high * 0x1_0000_0000, 4)
    return bytes
  },
  deserialize(bytes) {
    if (bytes.length !== 8) throw wrongSize('int64', 8, bytes.length)
    const value = bytes.readInt32BE(0) * 0x1_0000_0000 + bytes.readUInt32BE(4)
    if (!Number.isSafeInteger(value)) throw notA('int64 within 2^53', value)
    return value
  },
}

const DOUBLE: Serde<number> = {
  name: 'double',
  isPrimitive: true,
  serialize(value) {
    if (typeof value !== 'number') throw notA('double', value)
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeDoubleBE(value)
    return bytes
  },
  deserialize(bytes) {
    if (bytes.length !== 8) throw wrongSize('double', 8, bytes.length)
    return bytes.readDoubleBE()
  },
}

const JSON_SERDE: Serde<unknown> = {
  name: 'json',
  serialize(value) {
    const text = JSON.stringify(value) as string | undefined
    if (text === undefined) throw notA('JSON value', value)
    return Buffer.from(text, 'utf8')
  },
  deserialize: (bytes) => JSON.parse(bytes.toString('utf8')) as unknown,
}

function notA(what: string, value: unknown): StreamsError {
  return new StreamsError('serialization', `not an ${what}: ${String(value)}`)
}

function wrongSize(what: string, wanted: number, found: number): StreamsError {
  return new StreamsError('deserialization', `an ${what} has ${wanted} bytes, the record has ${found}`)
}
