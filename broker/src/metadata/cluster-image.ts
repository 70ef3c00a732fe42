/** One partition as the metadata has it. Values of this type never change; a change makes a new one. */
export interface PartitionImage {
  readonly index: number
  readonly replicas: readonly number[]
  readonly isr: readonly number[]
  /** The leading broker; -1 when there is none. */
  readonly leader: number
  readonly leaderEpoch: number
  readonly partitionEpoch: number
  /** The data directory of each replica, in the order of `replicas`. */
  readonly directories: readonly string[]
  /** 0 when the leader has everything that was acknowledged, 1 after an unclean election. */
  readonly leaderRecoveryState: number
  readonly elr: readonly number[]
  readonly lastKnownElr: readonly number[]
  readonly addingReplicas: readonly number[]
  readonly removingReplicas: readonly number[]
}

export interface TopicImage {
  readonly name: string
  readonly id: string
  readonly isInternal: boolean
  readonly partitions: readonly PartitionImage[]
}

export interface EndpointImage {
  readonly name: string
  readonly host: string
  readonly port: number
}

export interface BrokerImage {
  readonly id: number
  /** The offset of its registration in the metadata log. */
  readonly epoch: number
  readonly incarnationId: string
  readonly endpoints: readonly EndpointImage[]
  readonly rack: string | null
  readonly isFenced: boolean
  readonly directories: readonly string[]
}

/** What settings belong to. The numbers are Kafka's, on the wire and in the metadata log. */
export const ResourceType = { topic: 2, broker: 4, brokerLogger: 8, clientMetrics: 16, group: 32 } as const

/**
 * The cluster as the metadata log describes it up to its end. The object is always the current state: it is read within
 * one turn of the event loop or asked anew; the topics and partitions in it are values that may be kept.
 */
export interface ClusterImage {
  readonly clusterId: string
  readonly topics: ReadonlyMap<string, TopicImage>
  readonly brokers: ReadonlyMap<number, BrokerImage>
  /** Finalized features and their levels. */
  readonly features: ReadonlyMap<string, number>
  /** The first producer id that nobody has been given. */
  readonly nextProducerId: number
  /** The offset behind the last record that is in the image. */
  readonly nextOffset: number
  topicById(id: string): TopicImage | undefined
  /** The topic whose name differs only in `.` against `_`, if there is one. */
  topicCollidingWith(name: string): TopicImage | undefined
  /** What was set for a topic; empty when nothing was. */
  topicConfigs(name: string): ReadonlyMap<string, string>
  /** What was set for a broker, or with '' for all of them. */
  brokerConfigs(id: number | ''): ReadonlyMap<string, string>
  /** What was set for any resource: see ResourceType. */
  configs(resourceType: number, resourceName: string): ReadonlyMap<string, string>
  /** The names of the resources of a type that have settings. */
  configured(resourceType: number): readonly string[]
}
