import { randomBytes } from 'node:crypto'
import type { Random } from '../base/random.ts'

/** The machine's source of randomness. */
export const systemRandom: Random = {
  u32: () => randomBytes(4).readUInt32BE(),
  bytes: (count) => randomBytes(count),
  uuid() {
    for (;;) {
      const bytes = randomBytes(16)
      bytes[6] = (bytes[6]! & 0x0f) | 0x40
      bytes[8] = (bytes[8]! & 0x3f) | 0x80
      const text = bytes.toString('base64url')
      // Kafka never generates an id that a command line would take for an option.
      if (!text.startsWith('-')) return text
    }
  },
}
