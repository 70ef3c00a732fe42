import { array, int16, int32, int64, message, string, struct, uint16, uuid } from '../schema.ts'

// The values of control records in __cluster_metadata and its snapshots. Which one it is says the key of the record
// (ControlRecordType); the version to decode with is the int16 every one of them begins with.

const voter = {
  voterId: int32(),
  voterDirectoryId: uuid({ versions: '1+' }),
}

/** The first record of every epoch of the quorum: who leads it and who voted for that. */
export const leaderChangeMessage = message({
  name: 'LeaderChangeMessage',
  versions: '0-1',
  flexible: '0+',
  fields: {
    // The version of this message itself, readable before one knows it.
    version: int16(),
    leaderId: int32(),
    voters: array(voter),
    grantingVoters: array(voter),
  },
})

/** The first record of a snapshot. */
export const snapshotHeaderRecord = message({
  name: 'SnapshotHeaderRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    version: int16(),
    // When the last record that the snapshot covers was appended.
    lastContainedLogTimestamp: int64(),
  },
})

/** The last record of a snapshot: without it the file is cut off. */
export const snapshotFooterRecord = message({
  name: 'SnapshotFooterRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    version: int16(),
  },
})

/** The level of kraft.version, which decides whether voters can change (KIP-853). */
export const kraftVersionRecord = message({
  name: 'KRaftVersionRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    version: int16(),
    kRaftVersion: int16(),
  },
})

/** The voters of the quorum and where to reach them (KIP-853). */
export const votersRecord = message({
  name: 'VotersRecord',
  versions: '0',
  flexible: '0+',
  fields: {
    version: int16(),
    voters: array({
      voterId: int32(),
      voterDirectoryId: uuid(),
      endpoints: array({
        name: string(),
        host: string(),
        port: uint16(),
      }),
      kRaftVersionFeature: struct({
        minSupportedVersion: int16(),
        maxSupportedVersion: int16(),
      }),
    }),
  },
})
