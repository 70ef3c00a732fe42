import { crc32c } from '@millrace/native'
import { ProtocolError, Reader, codec, encodeVersioned, int32At, producerSnapshot, setInt32 } from '@millrace/protocol'

/** One producer as a snapshot keeps it: its last batch only. -1 stands for "none" in every field. */
export interface ProducerSnapshotEntry {
  readonly producerId: number
  readonly epoch: number
  readonly lastSequence: number
  readonly lastOffset: number
  /** Last offset minus first offset of the last batch. */
  readonly offsetDelta: number
  readonly timestamp: number
  readonly coordinatorEpoch: number
  readonly currentTxnFirstOffset: number
}

const VERSION = 1
/** Positions: the version takes two bytes, the checksum the four behind it, and covers the rest. */
const CRC = 2
const ENTRIES = 6

/** The bytes of a `.snapshot` file as Apache Kafka writes it. */
export function encodeProducerSnapshot(producerEntries: readonly ProducerSnapshotEntry[]): Buffer {
  const bytes = encodeVersioned(producerSnapshot, VERSION, { crc: 0, producerEntries })
  setInt32(bytes, CRC, crc32c(bytes, ENTRIES, bytes.length))
  return bytes
}

/** The producers of a snapshot, or null if the bytes are not one: torn, of another version, or with a wrong checksum. */
export function decodeProducerSnapshot(bytes: Buffer): readonly ProducerSnapshotEntry[] | null {
  if (bytes.length < ENTRIES || bytes.readInt16BE() !== VERSION) return null
  if (int32At(bytes, CRC) >>> 0 !== crc32c(bytes, ENTRIES, bytes.length)) return null
  try {
    return codec(producerSnapshot, VERSION).decode(new Reader(bytes, CRC)).producerEntries
  } catch (cause) {
    if (cause instanceof ProtocolError || cause instanceof RangeError) return null
    throw cause
  }
}
