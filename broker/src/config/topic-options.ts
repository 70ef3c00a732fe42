import { boolean, double, int, list, long, string, type Option } from './option.ts'

/** The settings of a topic. What a topic does not set comes from the broker, by the names in `brokerNamesOfTopic`. */
export const topicOptions: readonly Option[] = [
  list('cleanup.policy', 'delete', 'What happens to old segments: delete, compact, or both.', {
    oneOf: ['compact', 'delete'],
  }),
  long('retention.ms', 604800000, 'How long records are kept; -1 for ever.', { min: -1 }),
  long('retention.bytes', -1, 'Size of a partition above which its oldest segments go; -1 for any size.'),
  int('segment.bytes', 1073741824, 'Size at which a partition starts a new segment file.', { min: 1048576 }),
  int('internal.segment.bytes', null, 'The same without its lower bound, for tests.', { isInternal: true }),
  long('segment.ms', 604800000, 'Age at which a partition starts a new segment file.', { min: 1 }),
  long('segment.jitter.ms', 0, 'Random part taken off the age, so that segments do not all roll at once.', { min: 0 }),
  int('segment.index.bytes', 10485760, 'Largest offset index; a full one starts a new segment.', { min: 4 }),
  int('index.interval.bytes', 4096, 'Bytes between two entries of the offset index.', { min: 0 }),
  long('file.delete.delay.ms', 60000, 'How long the file of a deleted segment stays.', { min: 0 }),
  boolean('preallocate', false, 'Whether a new segment file gets its full size at once.'),
  int('max.message.bytes', 1048588, 'Largest record batch, compressed, with its header.', { min: 0 }),
  string(
    'message.timestamp.type',
    'CreateTime',
    "Whose clock stamps a record: the producer's (CreateTime) or the broker's (LogAppendTime).",
    { oneOf: ['CreateTime', 'LogAppendTime'] },
  ),
  long(
    'message.timestamp.before.max.ms',
    '9223372036854775807',
    "How far before the broker's clock a producer's timestamp may be.",
    { min: 0 },
  ),
  long('message.timestamp.after.max.ms', 3600000, "How far after the broker's clock a producer's timestamp may be.", {
    min: 0,
  }),
  string('compression.type', 'producer', 'Compression of stored batches; producer keeps what the producer chose.', {
    oneOf: ['uncompressed', 'zstd', 'lz4', 'snappy', 'gzip', 'producer'],
  }),
  int('compression.gzip.level', -1, 'Level for gzip when the broker compresses.', { min: 1, max: 9, or: -1 }),
  int('compression.lz4.level', 9, 'Level for lz4 when the broker compresses.', { min: 1, max: 17 }),
  int('compression.zstd.level', 3, 'Level for zstd when the broker compresses.', { min: -131072, max: 22 }),
  double('min.cleanable.dirty.ratio', 0.5, 'Share of a log that must be uncompacted before it is compacted.', {
    min: 0,
    max: 1,
  }),
  long('min.compaction.lag.ms', 0, 'Age below which a record is not compacted.', { min: 0 }),
  long('max.compaction.lag.ms', '9223372036854775807', 'Age at which a record is compacted whatever the ratio.', {
    min: 1,
  }),
  long('delete.retention.ms', 86400000, 'How long a tombstone stays after a compaction.', { min: 0 }),
  long('flush.messages', '9223372036854775807', 'Records after which a partition is synced to disk.', { min: 1 }),
  long('flush.ms', '9223372036854775807', 'Time after which a partition is synced to disk.', { min: 0 }),
  int('min.insync.replicas', 1, 'Replicas that must have a record before a produce with acks=all is answered.', {
    min: 1,
    missing: 'replication',
    isHarmless: true,
  }),
  boolean(
    'unclean.leader.election.enable',
    false,
    'Whether a replica that is behind may become leader when no other is left.',
    { missing: 'replication', isHarmless: true },
  ),
  list(
    'leader.replication.throttled.replicas',
    '',
    'Replicas whose leader sends at a limited rate, as partition:broker; * for all.',
    { shape: 'throttled replicas', missing: 'replication', isHarmless: true },
  ),
  list(
    'follower.replication.throttled.replicas',
    '',
    'Replicas whose follower fetches at a limited rate, as partition:broker; * for all.',
    { shape: 'throttled replicas', missing: 'replication', isHarmless: true },
  ),
  long(
    'local.retention.ms',
    -2,
    'Like retention.ms, for the part of a tiered log that is on the node; -2 for the same.',
    { min: -2, missing: 'tiered storage' },
  ),
  long(
    'local.retention.bytes',
    -2,
    'Like retention.bytes, for the part of a tiered log that is on the node; -2 for the same.',
    { min: -2, missing: 'tiered storage' },
  ),
  boolean('remote.storage.enable', false, 'Whether old segments may go to other storage.', {
    missing: 'tiered storage',
  }),
  boolean('remote.log.copy.disable', false, 'Whether no more segments go to other storage.', {
    missing: 'tiered storage',
  }),
  boolean(
    'remote.log.delete.on.disable',
    false,
    'Whether what is in other storage goes when remote.storage.enable is taken back.',
    { missing: 'tiered storage' },
  ),
]

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000

/**
 * The broker settings that stand behind a topic's, the first one that is set wins: 24 in log.retention.hours is
 * 86400000 in retention.ms. A setting without an entry belongs to topics alone.
 */
export const brokerNamesOfTopic: Readonly<
  Record<string, readonly { readonly name: string; readonly unitMs?: number }[]>
> = {
  'cleanup.policy': [{ name: 'log.cleanup.policy' }],
  'compression.gzip.level': [{ name: 'compression.gzip.level' }],
  'compression.lz4.level': [{ name: 'compression.lz4.level' }],
  'compression.type': [{ name: 'compression.type' }],
  'compression.zstd.level': [{ name: 'compression.zstd.level' }],
  'delete.retention.ms': [{ name: 'log.cleaner.delete.retention.ms' }],
  'file.delete.delay.ms': [{ name: 'log.segment.delete.delay.ms' }],
  'flush.messages': [{ name: 'log.flush.interval.messages' }],
  'flush.ms': [{ name: 'log.flush.interval.ms' }, { name: 'log.flush.scheduler.interval.ms' }],
  'index.interval.bytes': [{ name: 'log.index.interval.bytes' }],
  'local.retention.bytes': [{ name: 'log.local.retention.bytes' }],
  'local.retention.ms': [{ name: 'log.local.retention.ms' }],
  'max.compaction.lag.ms': [{ name: 'log.cleaner.max.compaction.lag.ms' }],
  'max.message.bytes': [{ name: 'message.max.bytes' }],
  'message.timestamp.after.max.ms': [{ name: 'log.message.timestamp.after.max.ms' }],
  'message.timestamp.before.max.ms': [{ name: 'log.message.timestamp.before.max.ms' }],
  'message.timestamp.type': [{ name: 'log.message.timestamp.type' }],
  'min.cleanable.dirty.ratio': [{ name: 'log.cleaner.min.cleanable.ratio' }],
  'min.compaction.lag.ms': [{ name: 'log.cleaner.min.compaction.lag.ms' }],
  'min.insync.replicas': [{ name: 'min.insync.replicas' }],
  preallocate: [{ name: 'log.preallocate' }],
  'retention.bytes': [{ name: 'log.retention.bytes' }],
  'retention.ms': [
    { name: 'log.retention.ms' },
    { name: 'log.retention.minutes', unitMs: MINUTE_MS },
    { name: 'log.retention.hours', unitMs: HOUR_MS },
  ],
  'segment.bytes': [{ name: 'log.segment.bytes' }],
  'segment.index.bytes': [{ name: 'log.index.size.max.bytes' }],
  'segment.jitter.ms': [{ name: 'log.roll.jitter.ms' }, { name: 'log.roll.jitter.hours', unitMs: HOUR_MS }],
  'segment.ms': [{ name: 'log.roll.ms' }, { name: 'log.roll.hours', unitMs: HOUR_MS }],
  'unclean.leader.election.enable': [{ name: 'unclean.leader.election.enable' }],
}
