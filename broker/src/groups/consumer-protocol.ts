import { codec, consumerProtocolSubscription, Reader } from '@millrace/protocol'

/** What consumers name their embedded protocol; the only one whose member metadata the broker looks into. */
export const CONSUMER_PROTOCOL_TYPE = 'consumer'

/**
 * The topics in a consumer's subscription, or null when the bytes are no subscription. Every version begins like
 * version 0, so that versions which do not exist yet are understood as well.
 */
export function subscribedTopicsOf(metadata: Buffer): readonly string[] | null {
  try {
    const reader = new Reader(metadata)
    reader.int16()
    return codec(consumerProtocolSubscription, 0).decode(reader).topics
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}
