// Confluent's framing of a key or value: a zero, the schema's id as a big-endian int32, and then the encoded value.
import { StreamsError } from '../../errors.ts'

export const HEADER_BYTES = 5

export function headerOf(schemaId: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeInt32BE(schemaId, 1)
  return header
}

/** The id of the schema that the bytes were written with. */
export function schemaIdOf(bytes: Buffer, what: string): number {
  if (bytes.length < HEADER_BYTES || bytes[0] !== 0) {
    throw new StreamsError(
      'deserialization',
      `not in the format of a schema registry (a zero and a schema id, then ${what}): ${bytes.length} bytes that begin with ${bytes.subarray(0, HEADER_BYTES).toString('hex')}`,
    )
  }
  return bytes.readInt32BE(1)
}

/** Where in its file a Protobuf message is declared: its index, or those of the messages around it and its own. */
export function encodeMessageIndexes(indexes: readonly number[]): Buffer {
  // The first message of a file is so common that it has a short form.
  if (indexes.length === 1 && indexes[0] === 0) return Buffer.of(0)
  return Buffer.from([indexes.length, ...indexes].flatMap(zigzagVarint))
}

/** The position behind the message indexes that begin at `at`. */
export function skipMessageIndexes(bytes: Buffer, at: number): number {
  let position = at
  const next = (): number => {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[position++]
      if (byte === undefined) break
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
    throw new StreamsError('deserialization', 'the message indexes of a Protobuf value are cut off or malformed')
  }
  const count = next()
  if (count < 0 || count > bytes.length) {
    throw new StreamsError('deserialization', `a Protobuf value claims ${count} message indexes`)
  }
  for (let index = 0; index < count; index++) next()
  return position
}

function zigzagVarint(value: number): number[] {
  const bytes: number[] = []
  let left = value * 2
  for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes.push((left & 0x7f) | 0x80)
  bytes.push(left)
  return bytes
}
