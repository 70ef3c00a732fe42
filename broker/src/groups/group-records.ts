import {
  decodeVersioned,
  encodeVersioned,
  groupMetadataKey,
  groupMetadataValue,
  offsetCommitKey,
  offsetCommitValue,
  type BatchRecord,
  type RecordInput,
} from '@millrace/protocol'
import type { CommittedOffset } from './committed-offsets.ts'
import type { GroupSnapshot } from './group-events.ts'

// The kind of a record in __consumer_offsets stands in the first two bytes of its key. Kind 0 is of Kafka before 0.9 and
// reads like kind 1; what is above 2 belongs to protocols other than the classic one.
const OFFSET_KIND = 1
const GROUP_KIND = 2

// What Kafka 4.3 writes. Only version 1 carries an expiry of the client's choice.
const OFFSET_VERSION = 4
const OFFSET_VERSION_WITH_EXPIRY = 1
const GROUP_VERSION = 3

/** A record of __consumer_offsets; `value` is null in a tombstone. */
export type GroupRecord =
  | {
      readonly kind: 'offset'
      readonly groupId: string
      readonly topic: string
      readonly partition: number
      readonly value: CommittedOffset | null
    }
  | { readonly kind: 'group'; readonly groupId: string; readonly value: GroupSnapshot | null }

export function encodeGroupRecord(record: GroupRecord): RecordInput {
  return record.kind === 'offset' ? encodeOffset(record) : encodeGroup(record.groupId, record.value)
}

/**
 * Null for a record that says nothing about classic groups and their offsets. Throws a RangeError for one that should
 * but cannot be read.
 */
export function decodeGroupRecord({ key, value, offset }: BatchRecord): GroupRecord | null {
  if (key === null || key.length < 2) return null
  const kind = key.readInt16BE(0)
  if (kind === 0 || kind === OFFSET_KIND) {
    const { group, topic, partition } = decodeVersioned(offsetCommitKey, key).value
    return { kind: 'offset', groupId: group, topic, partition, value: value && decodeOffset(value, offset) }
  }
  if (kind === GROUP_KIND) {
    const { group } = decodeVersioned(groupMetadataKey, key).value
    return { kind: 'group', groupId: group, value: value && decodeGroup(value) }
  }
  return null
}

function encodeOffset(record: Extract<GroupRecord, { kind: 'offset' }>): RecordInput {
  const { groupId: group, topic, partition, value } = record
  const key = encodeVersioned(offsetCommitKey, OFFSET_KIND, { group, topic, partition })
  if (value === null) return { key, value: null }
  const version = value.expireTimestampMs === -1 ? OFFSET_VERSION : OFFSET_VERSION_WITH_EXPIRY
  return {
    key,
    value: encodeVersioned(offsetCommitValue, version, {
      offset: value.offset,
      leaderEpoch: value.leaderEpoch,
      metadata: value.metadata,
      commitTimestamp: value.commitTimestampMs,
      expireTimestamp: value.expireTimestampMs,
      topicId: value.topicId,
    }),
  }
}

function decodeOffset(bytes: Buffer, recordOffset: number): CommittedOffset {
  const { value } = decodeVersioned(offsetCommitValue, bytes)
  return {
    offset: value.offset,
    leaderEpoch: value.leaderEpoch,
    metadata: value.metadata,
    commitTimestampMs: value.commitTimestamp,
    expireTimestampMs: value.expireTimestamp,
    topicId: value.topicId,
    recordOffset,
  }
}

function encodeGroup(group: string, snapshot: GroupSnapshot | null): RecordInput {
  const key = encodeVersioned(groupMetadataKey, GROUP_KIND, { group })
  if (snapshot === null) return { key, value: null }
  return {
    key,
    value: encodeVersioned(groupMetadataValue, GROUP_VERSION, {
      protocolType: snapshot.protocolType ?? '',
      generation: snapshot.generationId,
      protocol: snapshot.protocolName,
      leader: snapshot.leader,
      currentStateTimestamp: snapshot.stateTimestampMs ?? -1,
      members: snapshot.members.map((member) => ({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        rebalanceTimeout: member.rebalanceTimeoutMs,
        sessionTimeout: member.sessionTimeoutMs,
        subscription: member.metadata,
        assignment: member.assignment,
      })),
    }),
  }
}

function decodeGroup(bytes: Buffer): GroupSnapshot {
  const { value } = decodeVersioned(groupMetadataValue, bytes)
  return {
    protocolType: value.protocolType === '' ? null : value.protocolType,
    generationId: value.generation,
    protocolName: value.protocol,
    leader: value.leader,
    stateTimestampMs: value.currentStateTimestamp === -1 ? null : value.currentStateTimestamp,
    members: value.members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      // Version 0 had none.
      rebalanceTimeoutMs: member.rebalanceTimeout === -1 ? member.sessionTimeout : member.rebalanceTimeout,
      sessionTimeoutMs: member.sessionTimeout,
      // Copies: the group outlives the bytes that were read from the log.
      metadata: Buffer.from(member.subscription),
      assignment: Buffer.from(member.assignment),
    })),
  }
}
