/** A partition of a topic by name, as in the name of its directory: `orders-3`. */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export function directoryName({ topic, partition }: TopicPartition): string {
  return `${topic}-${partition}`
}
