import assert from 'node:assert/strict'
import type { BrokerConfig } from '../config/broker-config.ts'
import { splitList } from '../config/option.ts'
import { topicValue } from '../config/topic-settings.ts'
import type { LogConfig, TopicCompression } from '../log/log-config.ts'

/**
 * The settings of a topic's logs: its own over the broker's over the defaults. A number that Kafka writes as
 * 9223372036854775807 for "no bound" becomes Infinity.
 */
export function logConfig(config: BrokerConfig, overrides: ReadonlyMap<string, string>): LogConfig {
  const text = (name: string): string => {
    const { value } = topicValue(config, overrides, name)
    assert(value !== null, `${name} has a value`)
    return value.trim()
  }
  const int = (name: string): number => Number(text(name))
  const bounded = (name: string): number => {
    const value = Number(text(name))
    return value > Number.MAX_SAFE_INTEGER ? Infinity : value
  }
  const policies = splitList(text('cleanup.policy'))
  const segmentBytes = overrides.has('internal.segment.bytes') ? int('internal.segment.bytes') : int('segment.bytes')
  return {
    segmentBytes,
    segmentMs: bounded('segment.ms'),
    segmentJitterMs: bounded('segment.jitter.ms'),
    segmentIndexBytes: int('segment.index.bytes'),
    indexIntervalBytes: int('index.interval.bytes'),
    maxMessageBytes: int('max.message.bytes'),
    messageTimestampType: text('message.timestamp.type') as LogConfig['messageTimestampType'],
    timestampBeforeMaxMs: bounded('message.timestamp.before.max.ms'),
    timestampAfterMaxMs: bounded('message.timestamp.after.max.ms'),
    compressionType: text('compression.type') as TopicCompression,
    isCompacted: policies.includes('compact'),
    isDeleted: policies.includes('delete'),
    retentionMs: noneBelowZero(bounded('retention.ms')),
    retentionBytes: noneBelowZero(bounded('retention.bytes')),
    deleteRetentionMs: bounded('delete.retention.ms'),
    minCompactionLagMs: bounded('min.compaction.lag.ms'),
    maxCompactionLagMs: bounded('max.compaction.lag.ms'),
    minCleanableDirtyRatio: int('min.cleanable.dirty.ratio'),
    fileDeleteDelayMs: bounded('file.delete.delay.ms'),
    flushMessages: bounded('flush.messages'),
    flushMs: bounded('flush.ms'),
    minInsyncReplicas: int('min.insync.replicas'),
  }
}

const METADATA_BATCH_BYTES_MAX = 8 * 1024 * 1024

/** The settings of `__cluster_metadata`: it keeps everything, whatever the broker's defaults for topics are. */
export function metadataLogConfig(config: BrokerConfig): LogConfig {
  return {
    ...logConfig(
      config,
      new Map([
        ['cleanup.policy', 'delete'],
        ['message.timestamp.type', 'CreateTime'],
      ]),
    ),
    segmentBytes: config.int(
      config.get('internal.metadata.log.segment.bytes') === null
        ? 'metadata.log.segment.bytes'
        : 'internal.metadata.log.segment.bytes',
    ),
    segmentMs: config.int('metadata.log.segment.ms'),
    segmentJitterMs: 0,
    maxMessageBytes: METADATA_BATCH_BYTES_MAX,
    compressionType: 'producer',
    timestampBeforeMaxMs: Infinity,
    timestampAfterMaxMs: Infinity,
    retentionMs: -1,
    retentionBytes: -1,
  }
}

// Kafka takes any negative number for "no limit".
function noneBelowZero(value: number): number {
  return value < 0 || value === Infinity ? -1 : value
}
