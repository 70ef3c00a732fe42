import assert from 'node:assert/strict'
import { compile } from './compile.ts'
import { interpret } from './interpret.ts'
import { ProtocolError } from './protocol-error.ts'
import { Reader } from './reader.ts'
import type { Decoded, Fields, Input, Message } from './schema.ts'
import { Writer } from './writer.ts'

export interface Codec<T, I = T> {
  /** Reads one message from where the reader stands. Bytes behind the message are left to the caller. */
  decode(reader: Reader): T
  encode(writer: Writer, value: I): void
}

const codecs = new Map<object, Codec<unknown, never>[]>()
let canCompile = true

/** The codec of a message at one version, made when it is first asked for. */
export function codec<F extends Fields>(message: Message<F>, version: number): Codec<Decoded<F>, Input<F>> {
  const made = codecs.get(message)?.[version]
  if (made !== undefined) return made as Codec<Decoded<F>, Input<F>>
  assert(version >= message.minVersion && version <= message.maxVersion, `${message.name} has no version ${version}`)
  const fresh = make(message, version)
  let versions = codecs.get(message)
  if (versions === undefined) codecs.set(message, (versions = []))
  versions[version] = fresh
  return fresh
}

function make<F extends Fields>(message: Message<F>, version: number): Codec<Decoded<F>, Input<F>> {
  if (!canCompile) return interpret(message, version)
  try {
    return compile(message, version)
  } catch (error) {
    // `node --disallow-code-generation-from-strings` forbids it, for the whole process.
    if (!(error instanceof EvalError)) throw error
    canCompile = false
    return interpret(message, version)
  }
}

/** The bytes of one message, in memory of their own. */
export function encodeMessage<F extends Fields>(message: Message<F>, version: number, value: Input<F>): Buffer {
  const writer = new Writer(256)
  codec(message, version).encode(writer, value)
  return writer.take()
}

/** The message in `bytes`. Bytes behind it are ignored, as Kafka does. */
export function decodeMessage<F extends Fields>(message: Message<F>, version: number, bytes: Buffer): Decoded<F> {
  return codec(message, version).decode(new Reader(bytes))
}

/** The form of keys and values in internal topics: an int16 with the version, then the message. */
export function encodeVersioned<F extends Fields>(message: Message<F>, version: number, value: Input<F>): Buffer {
  const writer = new Writer(256)
  writer.int16(version)
  codec(message, version).encode(writer, value)
  return writer.take()
}

/** Reads the version and the message of it; a version that the table does not have is refused with ProtocolError. */
export function decodeVersioned<F extends Fields>(
  message: Message<F>,
  bytes: Buffer,
): { readonly version: number; readonly value: Decoded<F> } {
  const reader = new Reader(bytes)
  const version = reader.int16()
  if (version < message.minVersion || version > message.maxVersion) {
    throw new ProtocolError(`${message.name} has no version ${version}`)
  }
  return { version, value: codec(message, version).decode(reader) }
}
