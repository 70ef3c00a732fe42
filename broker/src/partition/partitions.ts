import { StorageError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { directoryName, type TopicPartition } from '../base/topic-partition.ts'
import type { LogConfig } from '../log/log-config.ts'
import type { LogDirectory } from '../log/log-directory.ts'
import type { MetadataChange } from '../metadata/cluster-changes.ts'
import type { TopicImage } from '../metadata/cluster-image.ts'
import type { MetadataSource } from '../metadata/metadata-source.ts'
import { CLUSTER_METADATA } from '../metadata/topic-names.ts'
import type { Durability } from './durability.ts'
import { Partition, type AcksAfter } from './partition.ts'

/** One data directory and the logs in it, as DescribeLogDirs shows them. */
export interface LogDirectoryUsage {
  readonly path: string
  readonly logs: readonly { readonly topicPartition: TopicPartition; readonly sizeBytes: number }[]
}

/**
 * The partitions that this node leads: opened, created and deleted as the metadata says. It follows the metadata and
 * never changes it.
 */
export class Partitions {
  readonly #nodeId: number
  readonly #directory: LogDirectory
  readonly #metadata: MetadataSource
  readonly #logConfig: (topic: string) => LogConfig
  readonly #acksAfter: AcksAfter
  readonly #durability: Durability
  readonly #logger: Logger
  readonly #byTopic = new Map<string, (Partition | undefined)[]>()
  #unsubscribe: (() => void) | null = null

  constructor(options: {
    readonly nodeId: number
    readonly directory: LogDirectory
    readonly metadata: MetadataSource
    /** The configuration of a topic's logs as the metadata has it now. */
    readonly logConfig: (topic: string) => LogConfig
    readonly acksAfter: AcksAfter
    readonly durability: Durability
    readonly logger: Logger
  }) {
    this.#nodeId = options.nodeId
    this.#directory = options.directory
    this.#metadata = options.metadata
    this.#logConfig = options.logConfig
    this.#acksAfter = options.acksAfter
    this.#durability = options.durability
    this.#logger = options.logger
  }

  /** Opens the log of every partition that the metadata gives this node, and follows the metadata from then on. */
  open(): void {
    for (const topic of this.#metadata.image.topics.values()) this.#openTopic(topic, 0, (_, work) => work())
    for (const { topicPartition } of this.#directory.partitions()) {
      if (topicPartition.topic === CLUSTER_METADATA) continue
      if (this.get(topicPartition.topic, topicPartition.partition) === undefined)
        this.#directory.setAsideStray(topicPartition)
    }
    this.#unsubscribe = this.#metadata.subscribe((changes) => this.#apply(changes))
  }

  get(topic: string, index: number): Partition | undefined {
    return this.#byTopic.get(topic)?.[index]
  }

  topicName(topicId: string): string | null {
    return this.#metadata.image.topicById(topicId)?.name ?? null
  }

  *all(): IterableIterator<Partition> {
    for (const partitions of this.#byTopic.values()) {
      for (const partition of partitions) if (partition !== undefined) yield partition
    }
  }

  /** Of one topic, in order of their index; empty when there is no such topic here. */
  ofTopic(topic: string): Partition[] {
    return (this.#byTopic.get(topic) ?? []).filter((partition) => partition !== undefined)
  }

  logDirectories(): LogDirectoryUsage[] {
    const logs = [...this.all()].map(({ topicPartition, log }) => ({ topicPartition, sizeBytes: log.sizeBytes }))
    return [{ path: this.#directory.path, logs }]
  }

  /** Answers every waiting fetch; the logs are closed by their directory. */
  close(): void {
    this.#unsubscribe?.()
    for (const partition of this.all()) partition.stop()
    this.#byTopic.clear()
  }

  #apply(changes: readonly MetadataChange[]): void {
    for (const change of changes) {
      switch (change.kind) {
        case 'topic-created':
          this.#openTopic(change.topic, 0, this.#attempt)
          break
        case 'partitions-added':
          this.#openTopic(change.topic, change.from, this.#attempt)
          break
        case 'topic-deleted':
          this.#deleteTopic(change.topic)
          break
        case 'topic-config-changed':
          this.#configure(change.name)
          break
        case 'broker-config-changed':
          for (const name of this.#byTopic.keys()) this.#configure(name)
          break
        case 'partition-changed':
        case 'group-config-changed':
        case 'brokers-changed':
        case 'features-changed':
          // One node leads all it has; with a quorum this is where a partition learns its role.
          break
      }
    }
  }

  #openTopic(topic: TopicImage, from: number, run: (topicPartition: TopicPartition, work: () => void) => void): void {
    const config = this.#logConfig(topic.name)
    const partitions = this.#byTopic.get(topic.name) ?? []
    this.#byTopic.set(topic.name, partitions)
    for (const image of topic.partitions) {
      if (image.index < from || !image.replicas.includes(this.#nodeId)) continue
      const topicPartition = { topic: topic.name, partition: image.index }
      run(topicPartition, () => {
        partitions[image.index] = new Partition({
          topicPartition,
          topicId: topic.id,
          log: this.#directory.openLog(topicPartition, topic.id, config),
          leaderEpoch: image.leaderEpoch,
          acksAfter: this.#acksAfter,
          durability: this.#durability,
          logger: this.#logger,
        })
      })
    }
  }

  #deleteTopic(topic: TopicImage): void {
    const partitions = this.ofTopic(topic.name)
    this.#byTopic.delete(topic.name)
    for (const partition of partitions) {
      const { topicPartition } = partition
      partition.stop()
      this.#attempt(topicPartition, () => this.#directory.deleteLog(topicPartition))
      this.#logger.debug('partition deleted', { partition: directoryName(topicPartition) })
    }
  }

  /**
   * What the metadata says holds, whatever the disk does: a partition without a log is unknown to clients, a log without a
   * partition stays, and the next start tries again.
   */
  readonly #attempt = (topicPartition: TopicPartition, work: () => void): void => {
    try {
      work()
    } catch (cause) {
      if (!(cause instanceof StorageError)) throw cause
      this.#logger.error('a change of the metadata is not on the disk', {
        partition: directoryName(topicPartition),
        error: cause.message,
      })
    }
  }

  #configure(topic: string): void {
    if (!this.#byTopic.has(topic)) return
    const config = this.#logConfig(topic)
    for (const partition of this.ofTopic(topic)) partition.log.config = config
  }
}
