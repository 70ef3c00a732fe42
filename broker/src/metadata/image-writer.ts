import assert from 'node:assert/strict'
import { BrokerError } from '../base/errors.ts'
import type { MetadataRecord } from '@millrace/protocol'
import type { MetadataChange } from './cluster-changes.ts'
import {
  ResourceType,
  type BrokerImage,
  type ClusterImage,
  type PartitionImage,
  type TopicImage,
} from './cluster-image.ts'
import { collisionKey, isInternalTopic } from './topic-names.ts'

type ValueOf<T extends MetadataRecord['type']> = Extract<MetadataRecord, { type: T }>['value']

const NO_CONFIGS: ReadonlyMap<string, string> = new Map()
const NO_CHANGE = -2

/**
 * Builds a ClusterImage out of metadata records. It is the one place that knows what a record means, so that the image
 * after a restart is the image before it. Records are applied batch by batch, since a batch takes effect as a whole.
 */
export class ImageWriter {
  readonly image: ClusterImage
  readonly #topics = new Map<string, TopicImage>()
  readonly #names = new Map<string, string>()
  readonly #collisions = new Map<string, Set<string>>()
  readonly #brokers = new Map<number, BrokerImage>()
  readonly #features = new Map<string, number>()
  /** By `type:name` of the resource. */
  readonly #configs = new Map<string, Map<string, string>>()
  #nextProducerId = 0
  #nextOffset = 0
  #batch: Batch = new Batch()

  constructor(clusterId: string) {
    this.image = this.#view(clusterId)
  }

  /** Applies the records of one batch, whose last record is at `nextOffset - 1`, and tells what they changed. */
  apply(records: readonly MetadataRecord[], nextOffset: number): MetadataChange[] {
    for (const record of records) this.#applyOne(record)
    this.#nextOffset = nextOffset
    const changes = this.#finish(this.#batch)
    this.#batch = new Batch()
    return changes
  }

  #applyOne(record: MetadataRecord): void {
    switch (record.type) {
      case 'topicRecord':
        return this.#createTopic(record.value)
      case 'partitionRecord':
        return this.#createPartition(record.value)
      case 'partitionChangeRecord':
        return this.#changePartition(record.value)
      case 'removeTopicRecord':
        return this.#removeTopic(record.value)
      case 'configRecord':
        return this.#configure(record.value)
      case 'featureLevelRecord':
        if (record.value.featureLevel === 0) this.#features.delete(record.value.name)
        else this.#features.set(record.value.name, record.value.featureLevel)
        this.#batch.featuresChanged = true
        return
      case 'registerBrokerRecord':
        return this.#registerBroker(record.value)
      case 'brokerRegistrationChangeRecord':
        return this.#changeBroker(record.value)
      case 'unregisterBrokerRecord':
        this.#brokers.delete(record.value.brokerId)
        this.#batch.brokersChanged = true
        return
      case 'producerIdsRecord':
        this.#nextProducerId = record.value.nextProducerId
        return
      case 'noOpRecord':
      case 'registerControllerRecord':
      case 'zkMigrationStateRecord':
        return
      case 'fenceBrokerRecord':
      case 'unfenceBrokerRecord':
      case 'clearElrRecord':
      case 'clientQuotaRecord':
      case 'delegationTokenRecord':
      case 'removeDelegationTokenRecord':
      case 'userScramCredentialRecord':
      case 'removeUserScramCredentialRecord':
      case 'accessControlEntryRecord':
      case 'removeAccessControlEntryRecord':
      case 'unregisterControllerRecord':
      case 'beginTransactionRecord':
      case 'endTransactionRecord':
      case 'abortTransactionRecord':
        // To run on without it would be to run on metadata that others do not have.
        throw new BrokerError(
          'UNSUPPORTED_METADATA',
          `the metadata log has a ${record.type}, which is not supported yet`,
        )
    }
  }

  #createTopic({ name, topicId }: ValueOf<'topicRecord'>): void {
    assert(!this.#topics.has(name), 'a topic is created once')
    const topic: TopicImage = { name, id: topicId, isInternal: isInternalTopic(name), partitions: [] }
    this.#topics.set(name, topic)
    this.#names.set(topicId, name)
    const key = collisionKey(name)
    if (key !== null) {
      const colliding = this.#collisions.get(key)
      if (colliding) colliding.add(name)
      else this.#collisions.set(key, new Set([name]))
    }
    this.#batch.created.add(topicId)
  }

  #createPartition(record: ValueOf<'partitionRecord'>): void {
    const partitions = this.#partitionsOf(record.topicId)
    assert(record.partitionId === partitions.length, 'the partitions of a topic are numbered without a gap')
    partitions.push({
      index: record.partitionId,
      replicas: record.replicas,
      isr: record.isr,
      leader: record.leader,
      leaderEpoch: record.leaderEpoch,
      partitionEpoch: record.partitionEpoch,
      directories: record.directories,
      leaderRecoveryState: record.leaderRecoveryState,
      elr: record.eligibleLeaderReplicas ?? [],
      lastKnownElr: record.lastKnownElr ?? [],
      addingReplicas: record.addingReplicas,
      removingReplicas: record.removingReplicas,
    })
  }

  #changePartition(record: ValueOf<'partitionChangeRecord'>): void {
    const partitions = this.#partitionsOf(record.topicId)
    const before = partitions[record.partitionId]
    assert(before, 'only a partition that exists changes')
    const hasLeader = record.leader !== NO_CHANGE
    const replicas = record.replicas ?? before.replicas
    partitions[record.partitionId] = {
      index: before.index,
      replicas,
      isr: record.isr ?? before.isr,
      leader: hasLeader ? record.leader : before.leader,
      // A record that names a leader starts a new epoch, even if it is the same one.
      leaderEpoch: hasLeader ? before.leaderEpoch + 1 : before.leaderEpoch,
      partitionEpoch: before.partitionEpoch + 1,
      directories: record.directories ?? before.directories,
      leaderRecoveryState: record.leaderRecoveryState < 0 ? before.leaderRecoveryState : record.leaderRecoveryState,
      elr: record.eligibleLeaderReplicas ?? before.elr,
      lastKnownElr: record.lastKnownElr ?? before.lastKnownElr,
      addingReplicas: record.addingReplicas ?? before.addingReplicas,
      removingReplicas: record.removingReplicas ?? before.removingReplicas,
    }
    this.#batch.changedPartitions.add(`${record.topicId}:${record.partitionId}`)
  }

  #removeTopic({ topicId }: ValueOf<'removeTopicRecord'>): void {
    const topic = this.image.topicById(topicId)
    assert(topic, 'only a topic that exists is deleted')
    this.#topics.delete(topic.name)
    this.#names.delete(topicId)
    const key = collisionKey(topic.name)
    if (key !== null) {
      const colliding = this.#collisions.get(key)!
      colliding.delete(topic.name)
      if (colliding.size === 0) this.#collisions.delete(key)
    }
    // The settings go with the topic, without records of their own.
    this.#configs.delete(resourceKey(ResourceType.topic, topic.name))
    this.#batch.deleted.push(topic)
  }

  #configure({ resourceType, resourceName, name, value }: ValueOf<'configRecord'>): void {
    const key = resourceKey(resourceType, resourceName)
    let settings = this.#configs.get(key)
    if (!settings) this.#configs.set(key, (settings = new Map()))
    if (value === null) settings.delete(name)
    else settings.set(name, value)
    if (settings.size === 0) this.#configs.delete(key)
    if (resourceType === ResourceType.topic) this.#batch.configuredTopics.add(resourceName)
    else if (resourceType === ResourceType.group) this.#batch.configuredGroups.add(resourceName)
    else if (resourceType === ResourceType.broker) this.#batch.brokersConfigured = true
  }

  #registerBroker(record: ValueOf<'registerBrokerRecord'>): void {
    this.#brokers.set(record.brokerId, {
      id: record.brokerId,
      epoch: record.brokerEpoch,
      incarnationId: record.incarnationId,
      endpoints: record.endPoints.map(({ name, host, port }) => ({ name, host, port })),
      rack: record.rack,
      isFenced: record.fenced,
      directories: record.logDirs,
    })
    this.#batch.brokersChanged = true
  }

  #changeBroker({ brokerId, fenced, logDirs }: ValueOf<'brokerRegistrationChangeRecord'>): void {
    const before = this.#brokers.get(brokerId)
    assert(before, 'only a registered broker changes')
    this.#brokers.set(brokerId, {
      ...before,
      isFenced: fenced === 0 ? before.isFenced : fenced > 0,
      directories: logDirs.length === 0 ? before.directories : logDirs,
    })
    this.#batch.brokersChanged = true
  }

  /** The partitions of a topic as this batch leaves them so far. */
  #partitionsOf(topicId: string): PartitionImage[] {
    const draft = this.#batch.drafts.get(topicId)
    if (draft) return draft
    const topic = this.image.topicById(topicId)
    assert(topic, 'only a topic that exists has partitions')
    const fresh = [...topic.partitions]
    this.#batch.drafts.set(topicId, fresh)
    return fresh
  }

  #finish(batch: Batch): MetadataChange[] {
    const changes: MetadataChange[] = batch.deleted.map((topic) => ({ kind: 'topic-deleted', topic }))
    for (const [topicId, partitions] of batch.drafts) {
      const before = this.image.topicById(topicId)
      // A topic that was deleted behind its change in the same batch.
      if (!before) continue
      const topic: TopicImage = { ...before, partitions }
      this.#topics.set(topic.name, topic)
      if (batch.created.has(topicId)) continue
      const from = before.partitions.length
      if (partitions.length > from) changes.push({ kind: 'partitions-added', topic, from })
      for (const partition of partitions.slice(0, from)) {
        if (!batch.changedPartitions.has(`${topicId}:${partition.index}`)) continue
        changes.push({ kind: 'partition-changed', topic, partition })
      }
    }
    for (const topicId of batch.created) {
      const topic = this.image.topicById(topicId)
      if (!topic) continue
      changes.push({ kind: 'topic-created', topic })
      batch.configuredTopics.delete(topic.name)
    }
    for (const name of batch.configuredTopics) changes.push({ kind: 'topic-config-changed', name })
    for (const name of batch.configuredGroups) changes.push({ kind: 'group-config-changed', name })
    if (batch.brokersConfigured) changes.push({ kind: 'broker-config-changed' })
    if (batch.brokersChanged) changes.push({ kind: 'brokers-changed' })
    if (batch.featuresChanged) changes.push({ kind: 'features-changed' })
    return changes
  }

  #view(clusterId: string): ClusterImage {
    const configs = (type: number, name: string): ReadonlyMap<string, string> =>
      this.#configs.get(resourceKey(type, name)) ?? NO_CONFIGS
    const nextProducerId = (): number => this.#nextProducerId
    const nextOffset = (): number => this.#nextOffset
    return {
      clusterId,
      topics: this.#topics,
      brokers: this.#brokers,
      features: this.#features,
      get nextProducerId() {
        return nextProducerId()
      },
      get nextOffset() {
        return nextOffset()
      },
      topicById: (id) => {
        const name = this.#names.get(id)
        return name === undefined ? undefined : this.#topics.get(name)
      },
      topicCollidingWith: (name) => {
        const key = collisionKey(name)
        const [first] = (key !== null && this.#collisions.get(key)) || []
        return first === undefined ? undefined : this.#topics.get(first)
      },
      topicConfigs: (name) => configs(ResourceType.topic, name),
      brokerConfigs: (id) => configs(ResourceType.broker, String(id)),
      configs,
      configured: (type) => {
        const prefix = `${type}:`
        return [...this.#configs.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length))
      },
    }
  }
}

/** What the records of one batch have touched so far. */
class Batch {
  readonly created = new Set<string>()
  readonly deleted: TopicImage[] = []
  readonly drafts = new Map<string, PartitionImage[]>()
  readonly changedPartitions = new Set<string>()
  readonly configuredTopics = new Set<string>()
  readonly configuredGroups = new Set<string>()
  brokersConfigured = false
  brokersChanged = false
  featuresChanged = false
}

function resourceKey(type: number, name: string): string {
  return `${type}:${name}`
}
