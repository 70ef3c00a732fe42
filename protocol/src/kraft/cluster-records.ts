import { metadataRecord } from './metadata-record.ts'
import { int16, int32, int64, int8, string } from '../schema.ts'

/** A feature was finalized at a level; 0 takes it back. Every metadata log begins with the one of metadata.version. */
export const featureLevelRecord = metadataRecord({
  key: 12,
  name: 'FeatureLevelRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    name: string(),
    featureLevel: int16(),
  },
})

/** A block of producer ids was handed to a broker; the next block begins at nextProducerId. */
export const producerIdsRecord = metadataRecord({
  key: 15,
  name: 'ProducerIdsRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    brokerId: int32(),
    brokerEpoch: int64({ default: -1 }),
    nextProducerId: int64(),
  },
})

/** Nothing. The leader of the quorum writes it so that a quiet log still moves. */
export const noOpRecord = metadataRecord({
  key: 20,
  name: 'NoOpRecord',
  versions: '0',
  flexible: '0+',
  fields: {},
})

/** From here on records take effect together, at the EndTransactionRecord (KIP-868). */
export const beginTransactionRecord = metadataRecord({
  key: 23,
  name: 'BeginTransactionRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    name: string({ nullable: true, tag: 0, default: null }),
  },
})

/** The records since the BeginTransactionRecord take effect. */
export const endTransactionRecord = metadataRecord({
  key: 24,
  name: 'EndTransactionRecord',
  versions: '0',
  flexible: '0+',
  fields: {},
})

/** The records since the BeginTransactionRecord never were. */
export const abortTransactionRecord = metadataRecord({
  key: 25,
  name: 'AbortTransactionRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    reason: string({ nullable: true, tag: 0, default: null }),
  },
})

/** A trace of clusters that came from ZooKeeper; it has no effect any more. */
export const zkMigrationStateRecord = metadataRecord({
  key: 21,
  name: 'ZkMigrationStateRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    zkMigrationState: int8(),
  },
})
