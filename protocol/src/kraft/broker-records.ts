import { metadataRecord } from './metadata-record.ts'
import { array, bool, int16, int32, int64, int8, string, uint16, uuid } from '../schema.ts'

/** A broker process registered. It is fenced until it has caught up. */
export const registerBrokerRecord = metadataRecord({
  key: 0,
  name: 'RegisterBrokerRecord',
  versions: '0-4',
  flexible: '0+',
  fields: {
    brokerId: int32(),
    isMigratingZkBroker: bool({ versions: '2+', default: false }),
    // New with every start of the process.
    incarnationId: uuid(),
    // The offset of this record: what the broker must name in its heartbeats.
    brokerEpoch: int64(),
    endPoints: array({
      name: string(),
      host: string(),
      port: uint16(),
      securityProtocol: int16(),
    }),
    features: array({
      name: string(),
      minSupportedVersion: int16(),
      maxSupportedVersion: int16(),
    }),
    rack: string({ nullable: true }),
    fenced: bool({ default: true }),
    inControlledShutdown: bool({ versions: '1+', default: false }),
    logDirs: array(uuid(), { versions: '3+', tag: 0 }),
    // Directories that take no new replicas; null until the broker has said so in a heartbeat.
    cordonedLogDirs: array(uuid(), { versions: '4+', nullable: true, tag: 1, default: null }),
  },
})

/** What changed in the registration of a broker. */
export const brokerRegistrationChangeRecord = metadataRecord({
  key: 17,
  name: 'BrokerRegistrationChangeRecord',
  versions: '0-3',
  flexible: '0+',
  fields: {
    brokerId: int32(),
    brokerEpoch: int64(),
    // 1: fenced, -1: no longer, 0: unchanged.
    fenced: int8({ tag: 0 }),
    // 1: it is shutting down, 0: unchanged.
    inControlledShutdown: int8({ versions: '1+', tag: 1 }),
    logDirs: array(uuid(), { versions: '2+', tag: 2 }),
    // Null: unchanged.
    cordonedLogDirs: array(uuid(), { versions: '3+', nullable: true, tag: 3, default: null }),
  },
})

/** A broker was removed from the cluster for good. */
export const unregisterBrokerRecord = metadataRecord({
  key: 1,
  name: 'UnregisterBrokerRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    brokerId: int32(),
    brokerEpoch: int64(),
  },
})

/** A broker stopped sending heartbeats; it leaves every ISR. Written before BrokerRegistrationChangeRecord existed. */
export const fenceBrokerRecord = metadataRecord({
  key: 7,
  name: 'FenceBrokerRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    id: int32(),
    epoch: int64(),
  },
})

/** A broker is alive again. Written before BrokerRegistrationChangeRecord existed. */
export const unfenceBrokerRecord = metadataRecord({
  key: 8,
  name: 'UnfenceBrokerRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    id: int32(),
    epoch: int64(),
  },
})

/** A controller process registered. */
export const registerControllerRecord = metadataRecord({
  key: 27,
  name: 'RegisterControllerRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    controllerId: int32(),
    incarnationId: uuid(),
    zkMigrationReady: bool(),
    endPoints: array({
      name: string(),
      host: string(),
      port: uint16(),
      securityProtocol: int16(),
    }),
    features: array({
      name: string(),
      minSupportedVersion: int16(),
      maxSupportedVersion: int16(),
    }),
  },
})

/** A controller was removed from the cluster. */
export const unregisterControllerRecord = metadataRecord({
  key: 29,
  name: 'UnregisterControllerRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    controllerId: int32(),
  },
})
