export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** A key for maps. A topic name has no '/', so different partitions have different keys. */
export function partitionKey(topic: string, partition: number): string {
  return `${topic}/${partition}`
}

/** How people and Kafka's own tools write it. */
export function partitionName({ topic, partition }: TopicPartition): string {
  return `${topic}-${partition}`
}

/** The same partitions, grouped by topic in the order of first appearance. */
export function byTopic<T extends TopicPartition>(partitions: Iterable<T>): Map<string, T[]> {
  const topics = new Map<string, T[]>()
  for (const one of partitions) {
    const same = topics.get(one.topic)
    if (same === undefined) topics.set(one.topic, [one])
    else same.push(one)
  }
  return topics
}
