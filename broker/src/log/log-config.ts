import type { TimestampType } from '@millrace/protocol'

/** The codec a topic stores its batches with; 'producer' keeps what the producer chose, 'uncompressed' stores none. */
export type TopicCompression = 'producer' | 'uncompressed' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/**
 * The settings of one topic as its logs use them: Kafka's topic settings with their defaults resolved, as plain numbers.
 * Limits that Kafka writes as 9223372036854775807 or -1 for "none" are Infinity and -1 as noted, and a log may be given a
 * new one at any time (`PartitionLog.config`).
 */
export interface LogConfig {
  /** segment.bytes: a segment rolls before it would grow beyond this, and no batch is larger. */
  readonly segmentBytes: number
  /** segment.ms: a segment rolls when a batch is this much younger than its first one. */
  readonly segmentMs: number
  /** segment.jitter.ms: up to this much is taken off segmentMs, so that logs made together do not roll together. */
  readonly segmentJitterMs: number
  /** segment.index.bytes: an index that is full rolls its segment. */
  readonly segmentIndexBytes: number
  /** index.interval.bytes: about one index entry per so many bytes of log. */
  readonly indexIntervalBytes: number
  /** max.message.bytes: the largest batch of a client, with its header, compressed as it is. */
  readonly maxMessageBytes: number
  /** message.timestamp.type */
  readonly messageTimestampType: TimestampType
  /** message.timestamp.before.max.ms; Infinity for no bound. */
  readonly timestampBeforeMaxMs: number
  /** message.timestamp.after.max.ms; Infinity for no bound. */
  readonly timestampAfterMaxMs: number
  /** compression.type */
  readonly compressionType: TopicCompression
  /** cleanup.policy has 'compact': every record needs a key. */
  readonly isCompacted: boolean
  /** cleanup.policy has 'delete'. */
  readonly isDeleted: boolean
  /** retention.ms; -1 keeps for ever. */
  readonly retentionMs: number
  /** retention.bytes; -1 keeps everything. */
  readonly retentionBytes: number
  /** delete.retention.ms: how long compaction keeps tombstones. */
  readonly deleteRetentionMs: number
  /** min.compaction.lag.ms */
  readonly minCompactionLagMs: number
  /** max.compaction.lag.ms; Infinity for no bound. */
  readonly maxCompactionLagMs: number
  /** min.cleanable.dirty.ratio */
  readonly minCleanableDirtyRatio: number
  /** file.delete.delay.ms */
  readonly fileDeleteDelayMs: number
  /** flush.messages; Infinity leaves it to the checkpoints. */
  readonly flushMessages: number
  /** flush.ms; Infinity leaves it to the checkpoints. */
  readonly flushMs: number
  /** min.insync.replicas; asked by the partition, not by the log. */
  readonly minInsyncReplicas: number
}

/** Kafka 4.4's defaults for a topic that sets nothing. */
export const defaultLogConfig: LogConfig = {
  segmentBytes: 1024 * 1024 * 1024,
  segmentMs: 7 * 24 * 60 * 60 * 1000,
  segmentJitterMs: 0,
  segmentIndexBytes: 10 * 1024 * 1024,
  indexIntervalBytes: 4096,
  maxMessageBytes: 1024 * 1024 + 12,
  messageTimestampType: 'CreateTime',
  timestampBeforeMaxMs: Infinity,
  timestampAfterMaxMs: 60 * 60 * 1000,
  compressionType: 'producer',
  isCompacted: false,
  isDeleted: true,
  retentionMs: 7 * 24 * 60 * 60 * 1000,
  retentionBytes: -1,
  deleteRetentionMs: 24 * 60 * 60 * 1000,
  minCompactionLagMs: 0,
  maxCompactionLagMs: Infinity,
  minCleanableDirtyRatio: 0.5,
  fileDeleteDelayMs: 60 * 1000,
  flushMessages: Infinity,
  flushMs: Infinity,
  minInsyncReplicas: 1,
}
