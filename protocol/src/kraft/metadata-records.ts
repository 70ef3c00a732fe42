import assert from 'node:assert/strict'
import { codec } from '../codec.ts'
import { ProtocolError } from '../protocol-error.ts'
import { Reader } from '../reader.ts'
import type { MessageInput, MessageOf } from '../schema.ts'
import { Writer } from '../writer.ts'
import {
  brokerRegistrationChangeRecord,
  fenceBrokerRecord,
  registerBrokerRecord,
  registerControllerRecord,
  unfenceBrokerRecord,
  unregisterBrokerRecord,
  unregisterControllerRecord,
} from './broker-records.ts'
import {
  abortTransactionRecord,
  beginTransactionRecord,
  endTransactionRecord,
  featureLevelRecord,
  noOpRecord,
  producerIdsRecord,
  zkMigrationStateRecord,
} from './cluster-records.ts'
import { clientQuotaRecord, configRecord } from './config-records.ts'
import {
  accessControlEntryRecord,
  delegationTokenRecord,
  removeAccessControlEntryRecord,
  removeDelegationTokenRecord,
  removeUserScramCredentialRecord,
  userScramCredentialRecord,
} from './security-records.ts'
import {
  clearElrRecord,
  partitionChangeRecord,
  partitionRecord,
  removeTopicRecord,
  topicRecord,
} from './topic-records.ts'

/** By record type, in the order of their keys. */
export const metadataRecords = {
  registerBrokerRecord,
  unregisterBrokerRecord,
  topicRecord,
  partitionRecord,
  configRecord,
  partitionChangeRecord,
  fenceBrokerRecord,
  unfenceBrokerRecord,
  removeTopicRecord,
  delegationTokenRecord,
  userScramCredentialRecord,
  featureLevelRecord,
  clientQuotaRecord,
  producerIdsRecord,
  brokerRegistrationChangeRecord,
  accessControlEntryRecord,
  removeAccessControlEntryRecord,
  noOpRecord,
  zkMigrationStateRecord,
  removeUserScramCredentialRecord,
  beginTransactionRecord,
  endTransactionRecord,
  abortTransactionRecord,
  removeDelegationTokenRecord,
  registerControllerRecord,
  clearElrRecord,
  unregisterControllerRecord,
} as const

export type MetadataRecordType = keyof typeof metadataRecords

/**
 * A record of __cluster_metadata as it is read: `{ type: 'topicRecord', version: 0, value: { name, topicId } }`. A
 * switch over `type` knows the fields of `value`.
 */
export type MetadataRecord = {
  readonly [T in MetadataRecordType]: {
    readonly type: T
    readonly version: number
    readonly value: MessageOf<(typeof metadataRecords)[T]>
  }
}[MetadataRecordType]

/** A record as it is written: fields of `value` that have a default may be left out. */
export type MetadataRecordInput = {
  readonly [T in MetadataRecordType]: {
    readonly type: T
    readonly version: number
    readonly value: MessageInput<(typeof metadataRecords)[T]>
  }
}[MetadataRecordType]

// The version of the frame around every metadata record (KIP-631); there has only been this one.
const FRAME_VERSION = 1

const typeByKey = new Map<number, MetadataRecordType>(
  Object.entries(metadataRecords).map(([type, { key }]) => [key, type as MetadataRecordType]),
)

/** The bytes that are the value of a Kafka record in the metadata log: frame version, key, version, message. */
export function encodeMetadataRecord(record: MetadataRecordInput): Buffer {
  const table = metadataRecords[record.type]
  assert(record.version >= table.minVersion && record.version <= table.maxVersion)
  const writer = new Writer(256)
  writer.uvarint(FRAME_VERSION)
  writer.uvarint(table.key)
  writer.uvarint(record.version)
  codec(table, record.version).encode(writer, record.value as never)
  return writer.take()
}

/** A kind or version that there is no table for is refused: to skip it would be to run on half of the metadata. */
export function decodeMetadataRecord(bytes: Buffer): MetadataRecord {
  const reader = new Reader(bytes)
  const frameVersion = reader.uvarint()
  if (frameVersion !== FRAME_VERSION) throw new ProtocolError(`metadata record in a frame of version ${frameVersion}`)
  const key = reader.uvarint()
  const version = reader.uvarint()
  const type = typeByKey.get(key)
  if (type === undefined) throw new ProtocolError(`metadata record of unknown key ${key}`)
  const table = metadataRecords[type]
  if (version < table.minVersion || version > table.maxVersion) {
    throw new ProtocolError(`${table.name} has no version ${version}`)
  }
  const value = codec(table, version).decode(reader)
  if (reader.remaining > 0) throw new ProtocolError(`${reader.remaining} bytes behind a ${table.name}`)
  return { type, version, value } as MetadataRecord
}
