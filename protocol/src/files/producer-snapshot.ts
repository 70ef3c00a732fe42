import { array, int16, int32, int64, message, uint32 } from '../schema.ts'

/**
 * The content of a `.snapshot` file behind its int16 version 1: the state of every producer at an offset of the log.
 */
export const producerSnapshot = message({
  name: 'ProducerSnapshot',
  versions: '1',
  flexible: 'none',
  fields: {
    // CRC-32C of everything behind it.
    crc: uint32(),
    producerEntries: array({
      producerId: int64(),
      epoch: int16(),
      lastSequence: int32(),
      lastOffset: int64(),
      // The last sequence of the last batch less its first.
      offsetDelta: int32(),
      timestamp: int64(),
      coordinatorEpoch: int32(),
      // -1: no open transaction.
      currentTxnFirstOffset: int64(),
    }),
  },
})
