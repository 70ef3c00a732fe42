import { metadataRecord } from './metadata-record.ts'
import { array, int32, int8, string, uuid } from '../schema.ts'

/** A topic exists. Its partitions follow in records of their own. */
export const topicRecord = metadataRecord({
  key: 2,
  name: 'TopicRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    name: string(),
    topicId: uuid(),
  },
})

/** A partition exists, in the state it was created with or, in a snapshot, the state it has. */
export const partitionRecord = metadataRecord({
  key: 3,
  name: 'PartitionRecord',
  versions: '0-2',
  flexible: '0+',
  fields: {
    partitionId: int32({ default: -1 }),
    topicId: uuid(),
    // In order of preference.
    replicas: array(int32()),
    isr: array(int32()),
    removingReplicas: array(int32()),
    addingReplicas: array(int32()),
    // -1: none.
    leader: int32({ default: -1 }),
    // 1 after an unclean election, until the new leader has cleaned up.
    leaderRecoveryState: int8({ tag: 0, default: 0 }),
    leaderEpoch: int32({ default: -1 }),
    // Grows with every change of the partition; AlterPartition of the leader must name the current one.
    partitionEpoch: int32({ default: -1 }),
    // The log directory of each replica, in the order of `replicas`.
    directories: array(uuid(), { versions: '1+' }),
    eligibleLeaderReplicas: array(int32(), { versions: '2+', nullable: true, tag: 1, default: null }),
    lastKnownElr: array(int32(), { versions: '2+', nullable: true, tag: 2, default: null }),
  },
})

/** What changed in a partition. A field that is absent did not change. */
export const partitionChangeRecord = metadataRecord({
  key: 5,
  name: 'PartitionChangeRecord',
  versions: '0-2',
  flexible: '0+',
  fields: {
    partitionId: int32({ default: -1 }),
    topicId: uuid(),
    // For this and the arrays below null means unchanged.
    isr: array(int32(), { nullable: true, tag: 0, default: null }),
    // -1: there is none now, -2: unchanged.
    leader: int32({ tag: 1, default: -2 }),
    replicas: array(int32(), { nullable: true, tag: 2, default: null }),
    removingReplicas: array(int32(), { nullable: true, tag: 3, default: null }),
    addingReplicas: array(int32(), { nullable: true, tag: 4, default: null }),
    // -1: unchanged.
    leaderRecoveryState: int8({ tag: 5, default: -1 }),
    directories: array(uuid(), { versions: '1+', nullable: true, tag: 8, default: null }),
    eligibleLeaderReplicas: array(int32(), { versions: '2+', nullable: true, tag: 6, default: null }),
    lastKnownElr: array(int32(), { versions: '2+', nullable: true, tag: 7, default: null }),
  },
})

/** A topic is gone, and its partitions with it. */
export const removeTopicRecord = metadataRecord({
  key: 9,
  name: 'RemoveTopicRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    topicId: uuid(),
  },
})

/** Forgets the eligible leader replicas of a topic, or with an empty name of all topics. */
export const clearElrRecord = metadataRecord({
  key: 28,
  name: 'ClearElrRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    topicName: string(),
  },
})
