import assert from 'node:assert/strict'
import {
  ControlType,
  ErrorCode,
  buildBatch,
  buildControlBatch,
  decodeMetadataRecord,
  encodeMessage,
  encodeMetadataRecord,
  leaderChangeMessage,
  readBatches,
  readRecords,
  type MetadataRecord,
  type MetadataRecordInput,
} from '@millrace/protocol'
import type { Clock } from '../base/clock.ts'
import { BrokerError, CorruptLogError, StorageError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { Random } from '../base/random.ts'
import type { BrokerConfig } from '../config/broker-config.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { MetadataChange } from './cluster-changes.ts'
import type { BrokerImage, ClusterImage, EndpointImage, TopicImage } from './cluster-image.ts'
import {
  planIncremental,
  planReplacement,
  type ConfigOperation,
  type ConfigResource,
  type ConfigUpdate,
} from './config-update.ts'
import { ImageWriter } from './image-writer.ts'
import type { MetadataListener, MetadataSource } from './metadata-source.ts'
import { planPartitions, type NewPartitions } from './new-partitions.ts'
import { planTopic, type NewTopic } from './new-topic.ts'
import { RECORDS_PER_OPERATION_MAX, accepted, refused, type Refusal } from './refusal.ts'
import { CONSUMER_OFFSETS, TRANSACTION_STATE, isInternalTopic } from './topic-names.ts'

/** metadata.version 4.3-IV0, which fixes the versions of the records below. */
const METADATA_VERSION = 30
/** What this broker could do; which level of it holds is in the image. */
export const SUPPORTED_FEATURES = [
  { name: 'metadata.version', minVersion: METADATA_VERSION, maxVersion: METADATA_VERSION },
  { name: 'transaction.version', minVersion: 0, maxVersion: 2 },
] as const
const REGISTER_BROKER_VERSION = 4
const PARTITION_VERSION = 2
const PARTITION_CHANGE_VERSION = 2
const UNFENCE = -1
const PLAINTEXT = 0
const PRODUCER_IDS_PER_BLOCK = 1000

export interface LocalMetadataOptions {
  /** The log of `__cluster_metadata-0`, opened with `metadataLogConfig`. */
  readonly log: PartitionLog
  readonly config: BrokerConfig
  readonly nodeId: number
  readonly clusterId: string
  /** The ids of the node's data directories. */
  readonly directoryIds: readonly string[]
  /** The directory of each of so many new partitions; without it they are spread evenly. */
  readonly place?: (partitionCount: number) => readonly string[]
  /** Where clients reach the node, as it registers itself. */
  readonly endpoints: readonly EndpointImage[]
  /**
   * Whether the node went down in order. After a crash its logs may have lost their unsynced ends, so every partition
   * gets a new leader epoch, by which consumers find out (KIP-320).
   */
  readonly isCleanShutdown: boolean
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface TopicResult extends Refusal {
  /** The topic created, or the one that would be; null when it was refused. */
  readonly topic: TopicImage | null
}

/**
 * The metadata of a node that is alone: its own controller over a local metadata log, which holds Kafka's own records.
 *
 * Every change is one batch and so takes effect whole or not at all; it is in the log before it is in the image, and
 * listeners hear of it before the method returns. A log that fails leaves the image as it was: the change is refused with
 * KAFKA_STORAGE_ERROR, and `allocateProducerIds` throws StorageError. What a client may get wrong is a Refusal too. Not
 * responsible for the logs of the partitions: listeners make those.
 */
export class LocalMetadata implements MetadataSource {
  readonly #log: PartitionLog
  readonly #config: BrokerConfig
  readonly #nodeId: number
  readonly #directoryIds: readonly string[]
  readonly #place: (partitionCount: number) => readonly string[]
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #writer: ImageWriter
  readonly #listeners = new Set<MetadataListener>()
  #leaderEpoch = 0

  /** Replays the log and registers the node for this start. Listeners come later and hear only what changes from then on. */
  static open(options: LocalMetadataOptions): LocalMetadata {
    const metadata = new LocalMetadata(options)
    metadata.#replay()
    metadata.#beginEpoch()
    metadata.#register(options.endpoints)
    if (!options.isCleanShutdown) metadata.#renewLeaderEpochs()
    return metadata
  }

  private constructor(options: LocalMetadataOptions) {
    assert(options.directoryIds.length > 0, 'a node has a data directory')
    this.#log = options.log
    this.#config = options.config
    this.#nodeId = options.nodeId
    this.#directoryIds = options.directoryIds
    this.#place = options.place ?? ((partitionCount) => this.#spread(partitionCount))
    this.#clock = options.clock
    this.#random = options.random
    this.#logger = options.logger
    this.#writer = new ImageWriter(options.clusterId)
  }

  get image(): ClusterImage {
    return this.#writer.image
  }

  /** The epoch of this start: one above that of the start before. */
  get leaderEpoch(): number {
    return this.#leaderEpoch
  }

  get ownBroker(): BrokerImage {
    const broker = this.image.brokers.get(this.#nodeId)
    assert(broker, 'the node is registered from its start on')
    return broker
  }

  subscribe(listener: MetadataListener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  createTopic(request: NewTopic): TopicResult {
    const planned = planTopic(this.image, this.#config, request)
    if (!Array.isArray(planned)) return { ...planned, topic: null }
    const { name, configs = new Map(), validateOnly = false } = request
    const topicId = this.#random.uuid()
    const records: MetadataRecordInput[] = [{ type: 'topicRecord', version: 0, value: { name, topicId } }]
    for (const [key, value] of configs) records.push(configRecord({ type: 2, name }, key, value))
    records.push(...this.#partitionRecords(topicId, 0, planned))
    if (validateOnly) return { ...accepted, topic: preview(records, this.image.clusterId) }
    const failure = this.#attempt(records)
    if (failure !== null) return { ...failure, topic: null }
    const topic = this.image.topics.get(name)
    assert(topic)
    this.#logger.info('created topic', { topic: name, id: topicId, partitions: topic.partitions.length })
    return { ...accepted, topic }
  }

  /** Creates one of the broker's own topics with the settings it needs; the topic that is there when it exists. */
  createInternalTopic(name: string): TopicResult {
    const existing = this.image.topics.get(name)
    if (existing) return { ...accepted, topic: existing }
    assert(isInternalTopic(name), `${name} is a topic of the broker`)
    const config = this.#config
    // With fewer brokers than asked for, Kafka refuses and clients wait for brokers that a node alone never gets.
    const replicas = (setting: string): number => Math.min(config.int(setting), this.image.brokers.size)
    if (name === CONSUMER_OFFSETS) {
      return this.createTopic({
        name,
        partitionCount: config.int('offsets.topic.num.partitions'),
        replicationFactor: replicas('offsets.topic.replication.factor'),
        configs: new Map([
          ['cleanup.policy', 'compact'],
          ['compression.type', 'producer'],
          ['segment.bytes', config.text('offsets.topic.segment.bytes')],
        ]),
      })
    }
    assert(name === TRANSACTION_STATE, `${name} has a feature behind it`)
    return this.createTopic({
      name,
      partitionCount: config.int('transaction.state.log.num.partitions'),
      replicationFactor: replicas('transaction.state.log.replication.factor'),
      configs: new Map([
        ['cleanup.policy', 'compact'],
        ['compression.type', 'uncompressed'],
        ['min.insync.replicas', String(replicas('transaction.state.log.min.isr'))],
        ['segment.bytes', config.text('transaction.state.log.segment.bytes')],
        ['unclean.leader.election.enable', 'false'],
      ]),
    })
  }

  deleteTopic(target: { readonly name: string } | { readonly id: string }): Refusal {
    const byName = 'name' in target
    const topic = byName ? this.image.topics.get(target.name) : this.image.topicById(target.id)
    if (!topic) {
      return byName
        ? refused(ErrorCode.unknownTopicOrPartition, 'This server does not host this topic-partition.')
        : refused(ErrorCode.unknownTopicId, 'This server does not host this topic ID.')
    }
    const failure = this.#attempt([{ type: 'removeTopicRecord', version: 0, value: { topicId: topic.id } }])
    if (failure !== null) return failure
    this.#logger.info('deleted topic', { topic: topic.name, id: topic.id })
    return accepted
  }

  createPartitions(request: NewPartitions): Refusal {
    const planned = planPartitions(this.image, request)
    if (!Array.isArray(planned)) return planned
    if (request.validateOnly === true) return accepted
    const topic = this.image.topics.get(request.name)
    assert(topic)
    return this.#attempt(this.#partitionRecords(topic.id, topic.partitions.length, planned)) ?? accepted
  }

  /** Gives a resource exactly these settings. */
  alterConfigs(
    resource: ConfigResource,
    settings: readonly { readonly name: string; readonly value: string | null }[],
    options: { readonly validateOnly?: boolean } = {},
  ): Refusal {
    return this.#configure(resource, planReplacement(this.image, this.#config, resource, settings), options)
  }

  incrementalAlterConfigs(
    resource: ConfigResource,
    operations: readonly ConfigOperation[],
    options: { readonly validateOnly?: boolean } = {},
  ): Refusal {
    return this.#configure(resource, planIncremental(this.image, this.#config, resource, operations), options)
  }

  /** A run of producer ids that was never handed out and never will be again. */
  allocateProducerIds(): { first: number; count: number } {
    const first = this.image.nextProducerId
    const nextProducerId = first + PRODUCER_IDS_PER_BLOCK
    const { id: brokerId, epoch: brokerEpoch } = this.ownBroker
    this.#commit([{ type: 'producerIdsRecord', version: 0, value: { brokerId, brokerEpoch, nextProducerId } }])
    return { first, count: PRODUCER_IDS_PER_BLOCK }
  }

  #configure(
    resource: ConfigResource,
    planned: Refusal | ConfigUpdate,
    { validateOnly = false }: { readonly validateOnly?: boolean },
  ): Refusal {
    if ('errorCode' in planned) return planned
    if (validateOnly || planned.size === 0) return accepted
    return this.#attempt([...planned].map(([name, value]) => configRecord(resource, name, value))) ?? accepted
  }

  #partitionRecords(topicId: string, from: number, replicas: readonly number[][]): MetadataRecordInput[] {
    const directories = this.#place(replicas.length)
    return replicas.map((brokerIds, i) => {
      const directory = directories[i]!
      return {
        type: 'partitionRecord',
        version: PARTITION_VERSION,
        value: {
          partitionId: from + i,
          topicId,
          replicas: brokerIds,
          isr: brokerIds,
          removingReplicas: [],
          addingReplicas: [],
          leader: brokerIds[0]!,
          leaderEpoch: 0,
          partitionEpoch: 0,
          directories: brokerIds.map(() => directory),
        },
      }
    })
  }

  #spread(partitionCount: number): string[] {
    // A running count over all partitions would cost a scan; starting at a random directory spreads as well.
    const directoryCount = this.#directoryIds.length
    const start = directoryCount === 1 ? 0 : this.#random.u32() % directoryCount
    return Array.from({ length: partitionCount }, (_, i) => this.#directoryIds[(start + i) % directoryCount]!)
  }

  #replay(): void {
    for (const bytes of this.#log.batches()) {
      for (const batch of readBatches(bytes)) {
        this.#leaderEpoch = Math.max(this.#leaderEpoch, batch.leaderEpoch)
        if (batch.isControl) continue
        let records: MetadataRecord[]
        try {
          records = readRecords(batch).map(({ value }) => {
            assert(value, 'a metadata record has a value')
            return decodeMetadataRecord(value)
          })
        } catch (cause) {
          const reason = cause instanceof Error ? cause.message : String(cause)
          throw new CorruptLogError(this.#log.directory, batch.start, `offset ${batch.baseOffset}: ${reason}`)
        }
        this.#writer.apply(records, batch.lastOffset + 1)
      }
    }
    const level = this.image.features.get('metadata.version') ?? METADATA_VERSION
    if (level > METADATA_VERSION) {
      throw new BrokerError(
        'UNSUPPORTED_METADATA',
        `${this.#log.directory}: metadata.version is ${level}, this version reads up to ${METADATA_VERSION}`,
      )
    }
    this.#applyBrokerConfigs()
  }

  /** Each start is an epoch of the metadata log, as if its single voter had elected itself again. */
  #beginEpoch(): void {
    this.#leaderEpoch += 1
    const self = { voterId: this.#nodeId }
    const value = encodeMessage(leaderChangeMessage, 0, {
      version: 0,
      leaderId: this.#nodeId,
      voters: [self],
      grantingVoters: [self],
    })
    const nowMs = this.#clock.nowMs()
    this.#append(buildControlBatch({ type: ControlType.leaderChange, value, nowMs }))
  }

  #register(endpoints: readonly EndpointImage[]): void {
    this.#finalizeFeatures()
    const brokerId = this.#nodeId
    const brokerEpoch = this.#log.endOffset
    this.#commit([
      {
        type: 'registerBrokerRecord',
        version: REGISTER_BROKER_VERSION,
        value: {
          brokerId,
          incarnationId: this.#random.uuid(),
          brokerEpoch,
          endPoints: endpoints.map(({ name, host, port }) => ({ name, host, port, securityProtocol: PLAINTEXT })),
          features: SUPPORTED_FEATURES.map(({ name, minVersion, maxVersion }) => ({
            name,
            minSupportedVersion: minVersion,
            maxSupportedVersion: maxVersion,
          })),
          rack: this.#config.get('broker.rack'),
          logDirs: this.#directoryIds,
        },
      },
    ])
    this.#commit([
      { type: 'brokerRegistrationChangeRecord', version: 0, value: { brokerId, brokerEpoch, fenced: UNFENCE } },
    ])
  }

  /** A node that is alone decides by itself: its settings say what level a feature has. */
  #finalizeFeatures(): void {
    const levels = new Map([
      ['metadata.version', this.image.features.get('metadata.version') ?? METADATA_VERSION],
      ['transaction.version', this.#config.int('transaction.version')],
    ])
    const records: MetadataRecordInput[] = []
    for (const [name, featureLevel] of levels) {
      if ((this.image.features.get(name) ?? 0) === featureLevel) continue
      records.push({ type: 'featureLevelRecord', version: 0, value: { name, featureLevel } })
    }
    if (records.length > 0) this.#commit(records)
  }

  #renewLeaderEpochs(): void {
    const records: MetadataRecordInput[] = []
    for (const topic of this.image.topics.values()) {
      for (const { index, leader } of topic.partitions) {
        if (leader !== this.#nodeId) continue
        const value = { partitionId: index, topicId: topic.id, leader }
        records.push({ type: 'partitionChangeRecord', version: PARTITION_CHANGE_VERSION, value })
      }
    }
    for (let at = 0; at < records.length; at += RECORDS_PER_OPERATION_MAX) {
      this.#commit(records.slice(at, at + RECORDS_PER_OPERATION_MAX))
    }
  }

  /** Makes a change that a client asked for; the refusal, if the log cannot take it. */
  #attempt(records: readonly MetadataRecordInput[]): Refusal | null {
    let values: readonly Buffer[]
    try {
      values = this.#write(records)
    } catch (cause) {
      if (!(cause instanceof StorageError)) throw cause
      this.#logger.error('a change of the metadata was refused: its log failed', { error: cause.message })
      return refused(ErrorCode.kafkaStorageError, `the metadata log failed: ${cause.errno}`)
    }
    this.#apply(values)
    return null
  }

  #commit(records: readonly MetadataRecordInput[]): void {
    this.#apply(this.#write(records))
  }

  #write(records: readonly MetadataRecordInput[]): readonly Buffer[] {
    const values = records.map(encodeMetadataRecord)
    this.#append(buildBatch({ records: values.map((value) => ({ key: null, value })), nowMs: this.#clock.nowMs() }))
    return values
  }

  #apply(values: readonly Buffer[]): void {
    // What was written is read back, so that the state now and the state after a restart come from the same bytes.
    const changes = this.#writer.apply(values.map(decodeMetadataRecord), this.#log.endOffset)
    if (changes.some(({ kind }) => kind === 'broker-config-changed')) this.#applyBrokerConfigs()
    this.#tell(changes)
  }

  #append(batch: Buffer): void {
    const result = this.#log.append(batch, 0, batch.length, {
      origin: 'coordinator',
      leaderEpoch: this.#leaderEpoch,
    })
    assert.equal(result.errorCode, ErrorCode.none, result.errorMessage ?? 'the metadata log takes its own batches')
  }

  #applyBrokerConfigs(): void {
    this.#config.applyDynamic(this.image.brokerConfigs(this.#nodeId), this.image.brokerConfigs(''))
  }

  #tell(changes: readonly MetadataChange[]): void {
    for (const listener of this.#listeners) listener(changes)
  }
}

function configRecord(resource: ConfigResource, name: string, value: string | null): MetadataRecordInput {
  const { type: resourceType, name: resourceName } = resource
  return { type: 'configRecord', version: 0, value: { resourceType, resourceName, name, value } }
}

/** The topic that the records would make. */
function preview(records: readonly MetadataRecordInput[], clusterId: string): TopicImage {
  const writer = new ImageWriter(clusterId)
  writer.apply(
    records.map((record) => decodeMetadataRecord(encodeMetadataRecord(record))),
    0,
  )
  const [topic] = writer.image.topics.values()
  assert(topic)
  return topic
}
