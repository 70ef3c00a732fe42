import { int32, int64, message, string, uuid } from '../schema.ts'

// Keys and values begin with an int16: encodeVersioned() and decodeVersioned() write and read it with the message. In a
// value it is the version of the message. In a key it tells the kinds of records in the topic apart, of which 0 and 1
// are
// offsets and 2 is a group; the tables of the keys have these numbers as their versions.

/** The key of a committed offset in __consumer_offsets. Kind 0 is of Kafka before 0.9 and has the same fields. */
export const offsetCommitKey = message({
  name: 'OffsetCommitKey',
  versions: '0-1',
  flexible: 'none',
  fields: {
    group: string(),
    topic: string(),
    partition: int32(),
  },
})

/** A committed offset. Without a value (a tombstone) the commit is gone. */
export const offsetCommitValue = message({
  name: 'OffsetCommitValue',
  versions: '0-4',
  flexible: '4+',
  fields: {
    offset: int64(),
    // -1: the consumer did not say.
    leaderEpoch: int32({ versions: '3+', default: -1 }),
    metadata: string(),
    commitTimestamp: int64(),
    // -1: offsets.retention.minutes decides.
    expireTimestamp: int64({ versions: '1', default: -1 }),
    topicId: uuid({ versions: '4+', tag: 0 }),
  },
})
