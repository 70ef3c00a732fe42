import { ErrorCode } from '@millrace/protocol'
import type { Clock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { directoryName, type TopicPartition } from '../base/topic-partition.ts'
import type { LogConfig } from '../log/log-config.ts'
import type { DirectoryUsage, LogDirectories } from '../log/log-directories.ts'
import type { LogDirectory } from '../log/log-directory.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { MetadataChange } from '../metadata/cluster-changes.ts'
import type { TopicImage } from '../metadata/cluster-image.ts'
import type { MetadataSource } from '../metadata/metadata-source.ts'
import { CLUSTER_METADATA } from '../metadata/topic-names.ts'
import type { Durability } from './durability.ts'
import { Partition, type AcksAfter } from './partition.ts'

/**
 * The partitions that this node leads: opened, created and deleted as the metadata says. It follows the metadata and
 * never changes it. One whose log cannot be opened is absent, with a reason, and the others go on.
 */
export class Partitions {
  readonly #nodeId: number
  readonly #directories: LogDirectories
  readonly #metadata: MetadataSource
  readonly #logConfig: (topic: string) => LogConfig
  readonly #acksAfter: AcksAfter
  readonly #durability: Durability
  readonly #clock: Clock
  readonly #logger: Logger
  /** Why the log of a partition is not there, by the name of its directory. */
  readonly #absent = new Map<string, string>()
  readonly #byTopic = new Map<string, (Partition | undefined)[]>()
  #unsubscribe: (() => void) | null = null

  constructor(options: {
    readonly nodeId: number
    readonly directories: LogDirectories
    readonly metadata: MetadataSource
    /** The configuration of a topic's logs as the metadata has it now. */
    readonly logConfig: (topic: string) => LogConfig
    readonly acksAfter: AcksAfter
    readonly durability: Durability
    readonly clock: Clock
    readonly logger: Logger
  }) {
    this.#nodeId = options.nodeId
    this.#directories = options.directories
    this.#metadata = options.metadata
    this.#logConfig = options.logConfig
    this.#acksAfter = options.acksAfter
    this.#durability = options.durability
    this.#clock = options.clock
    this.#logger = options.logger
    this.#directories.onFailure((directory, cause) => this.#failed(directory, cause.message))
  }

  /** Opens the log of every partition that the metadata gives this node, and follows the metadata from then on. */
  open(): void {
    const known = new Set([directoryName({ topic: CLUSTER_METADATA, partition: 0 })])
    for (const topic of this.#metadata.image.topics.values()) {
      this.#openTopic(topic, 0, false)
      for (const { index } of topic.partitions) known.add(directoryName({ topic: topic.name, partition: index }))
    }
    for (const topicPartition of this.#directories.partitions()) {
      if (!known.has(directoryName(topicPartition))) this.#directories.setAsideStray(topicPartition)
    }
    this.#unsubscribe = this.#metadata.subscribe((changes) => this.#apply(changes))
  }

  get(topic: string, index: number): Partition | undefined {
    return this.#byTopic.get(topic)?.[index]
  }

  /** The error for a partition that `get` does not know: its log is not there, or there is no such partition. */
  absence(topic: string, index: number): number {
    return this.#absent.has(directoryName({ topic, partition: index }))
      ? ErrorCode.kafkaStorageError
      : ErrorCode.unknownTopicOrPartition
  }

  /** The partitions whose logs could not be opened, and why. */
  get absent(): ReadonlyMap<string, string> {
    return this.#absent
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

  logDirectories(): DirectoryUsage[] {
    const isOfTopic = ({ topicPartition }: PartitionLog): boolean => topicPartition.topic !== CLUSTER_METADATA
    return this.#directories.usage().map((usage) => ({ ...usage, logs: usage.logs.filter(isOfTopic) }))
  }

  /** Makes where logs start durable, and answers the partitions of which that failed. */
  async saveLogStarts(): Promise<ReadonlySet<Partition>> {
    const failures = await this.#directories.saveOffsets()
    const failed = new Set<Partition>()
    if (failures.size === 0) return failed
    for (const partition of this.all()) {
      const directory = this.#directories.directoryOf(partition.topicPartition)
      if (directory === undefined || failures.has(directory)) failed.add(partition)
    }
    return failed
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
          this.#openTopic(change.topic, 0, true)
          break
        case 'partitions-added':
          this.#openTopic(change.topic, change.from, true)
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

  #openTopic(topic: TopicImage, from: number, isNew: boolean): void {
    const config = this.#logConfig(topic.name)
    const partitions = this.#byTopic.get(topic.name) ?? []
    this.#byTopic.set(topic.name, partitions)
    for (const image of topic.partitions) {
      if (image.index < from || !image.replicas.includes(this.#nodeId)) continue
      const topicPartition = { topic: topic.name, partition: image.index }
      const directoryId = image.directories[image.replicas.indexOf(this.#nodeId)]!
      this.#attempt(topicPartition, () => {
        const log = this.#directories.openLog(topicPartition, topic.id, config, { directoryId, isNew })
        partitions[image.index] = new Partition({
          topicPartition,
          topicId: topic.id,
          log,
          leaderEpoch: image.leaderEpoch,
          acksAfter: this.#acksAfter,
          durability: this.#durability,
          directory: this.#directories.directoryOf(topicPartition)!,
          clock: this.#clock,
          logger: this.#logger,
        })
      })
    }
  }

  /** A directory is offline, at once and with all that it holds: nothing more is acknowledged, and what was is read on. */
  #failed(directory: LogDirectory, reason: string): void {
    for (const partition of this.all()) {
      if (this.#directories.directoryOf(partition.topicPartition) === directory) partition.stopWrites(reason)
    }
  }

  #deleteTopic(topic: TopicImage): void {
    const partitions = this.#byTopic.get(topic.name) ?? []
    this.#byTopic.delete(topic.name)
    for (const { index } of topic.partitions) {
      const topicPartition = { topic: topic.name, partition: index }
      partitions[index]?.stop()
      this.#attempt(topicPartition, () => this.#directories.deleteLog(topicPartition))
      this.#absent.delete(directoryName(topicPartition))
      this.#logger.debug('partition deleted', { partition: directoryName(topicPartition) })
    }
  }

  /**
   * What the metadata says holds, whatever the disk does: a partition without its log answers with a storage error, a log
   * without a partition stays, and the next start tries again.
   */
  #attempt(topicPartition: TopicPartition, work: () => void): void {
    try {
      work()
    } catch (cause) {
      if (!(cause instanceof BrokerError)) throw cause
      const partition = directoryName(topicPartition)
      this.#absent.set(partition, cause.message)
      this.#logger.error('a partition is offline: its log cannot be used', { partition, error: cause.message })
    }
  }

  #configure(topic: string): void {
    if (!this.#byTopic.has(topic)) return
    const config = this.#logConfig(topic)
    for (const partition of this.ofTopic(topic)) partition.log.config = config
  }
}
