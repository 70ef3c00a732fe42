import { boolean, double, int, javaClass, list, long, password, short, string, type Section } from './option.ts'

/**
 * The settings of a broker: Kafka's names, types, defaults, ranges and update modes (Kafka 4.3), and ours at the top.
 * docs/CONFIGURATION.md is made from these rows.
 */
export const brokerSections: readonly Section[] = [
  {
    title: 'Not in Kafka',
    options: [
      string(
        'acks.after',
        'fsync',
        'What an acknowledgement means: fsync, that the disk has the record; write, that the operating system has it, as in Kafka. In memory there is no difference.',
        { oneOf: ['write', 'fsync'] },
      ),
      string(
        'recovery.on.corruption',
        'fail',
        'What becomes of a log that is damaged where it was durable: fail leaves it as it is and its partition offline, truncate ends it before the damage and keeps what follows aside.',
        { oneOf: ['fail', 'truncate'] },
      ),
      long(
        'log.dir.reserve.bytes',
        -1,
        'Free room of a data directory below which clients cannot append, so that the broker can still write what it must; 0 for none, -1 for 2 % of the file system, at most 1 GiB.',
        { min: -1 },
      ),
      long(
        'scrub.max.bytes.per.second',
        1048576,
        'How fast closed segments are read through in the background to find damage; 0 for not at all.',
        { min: 0 },
      ),
      int(
        'transaction.version',
        2,
        'Level of the feature of this name: 2 gives every transaction of a client that can have it an epoch of its own (KIP-890).',
        { min: 0, max: 2 },
      ),
    ],
  },
  {
    title: 'Node and data',
    options: [
      int('node.id', 1, 'Number of this node; a data directory belongs to one node for good.', { min: 0 }),
      int('broker.id', -1, 'Older name of node.id.'),
      list(
        'process.roles',
        'broker,controller',
        'Roles of the node. A node here is always broker and controller at once.',
        { oneOf: ['broker', 'controller'] },
      ),
      string('broker.rack', null, 'Rack or zone of the node, as Metadata tells it to clients.'),
      list('log.dirs', null, 'Data directories, separated by commas.'),
      list('log.dir', '.millrace', 'Data directory, when log.dirs is not set.'),
      string(
        'metadata.log.dir',
        null,
        'Which of the data directories gets the metadata log; the first when not set. One that has it keeps it.',
      ),
      long(
        'log.dir.failure.timeout.ms',
        30000,
        'How long a broker may fail to tell the controller of a failed directory.',
        { min: 1 },
      ),
      list('cordoned.log.dirs', '', 'Directories that get no new partitions; * for all of them.', {
        update: 'per-broker',
        missing: 'a say in where partitions go',
        isHarmless: true,
      }),
      int('num.recovery.threads.per.data.dir', 2, 'Threads that recover the logs of one directory at a start.', {
        min: 1,
        update: 'cluster-wide',
      }),
    ],
  },
  {
    title: 'Listeners and connections',
    options: [
      list(
        'listeners',
        'PLAINTEXT://127.0.0.1:9092',
        'Addresses to listen on, as NAME://host:port; an empty host is every interface.',
      ),
      list(
        'advertised.listeners',
        null,
        'Addresses that Metadata tells clients; when not set, the address the client dialled.',
      ),
      string(
        'listener.security.protocol.map',
        'SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT',
        'Security protocol of each listener name. Only PLAINTEXT is there so far.',
      ),
      string('inter.broker.listener.name', null, 'Listener that other brokers use.'),
      string(
        'security.inter.broker.protocol',
        'PLAINTEXT',
        'Security protocol between brokers, when inter.broker.listener.name is not set.',
        { oneOf: ['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'] },
      ),
      list(
        'controller.listener.names',
        '',
        'Names of the listeners that only controllers use; the node does not open them.',
      ),
      list('early.start.listeners', null, 'Listeners that open before the node has finished its start.'),
      int('max.connections', 2147483647, 'Connections the node takes at a time.', { min: 0, update: 'cluster-wide' }),
      int('max.connections.per.ip', 2147483647, 'Connections it takes at a time from one address.', {
        min: 0,
        update: 'cluster-wide',
        missing: 'limits on connections by address',
      }),
      string('max.connections.per.ip.overrides', '', 'Exceptions to max.connections.per.ip, as host:count.', {
        update: 'cluster-wide',
        missing: 'limits on connections by address',
      }),
      int('max.connection.creation.rate', 2147483647, 'New connections it takes a second.', {
        min: 0,
        update: 'cluster-wide',
        missing: 'limits on new connections',
      }),
      long('connections.max.idle.ms', 600000, 'A connection without a request for so long is closed.'),
      int('socket.request.max.bytes', 104857600, 'Largest request; a larger one closes its connection.', { min: 1 }),
      int('socket.listen.backlog.size', 50, 'Connections the system queues before they are accepted.', { min: 1 }),
      int('socket.send.buffer.bytes', 102400, "Send buffer of a socket; -1 for the system's own."),
      int('socket.receive.buffer.bytes', 102400, "Receive buffer of a socket; -1 for the system's own."),
      int('queued.max.requests', 500, 'Requests in hand before the node stops to read from connections.', { min: 1 }),
      long(
        'queued.max.request.bytes',
        -1,
        'Bytes of requests in hand before the node stops to read; -1 for no such limit.',
      ),
      int('request.timeout.ms', 30000, 'How long the node waits for an answer of another node.'),
      long(
        'socket.connection.setup.timeout.ms',
        10000,
        'How long the node waits for a connection to another node at first.',
      ),
      long('socket.connection.setup.timeout.max.ms', 30000, 'The longest it waits for one after failures.'),
      int('num.network.threads', 3, 'Threads for the network in Kafka; one event loop does it here.', {
        min: 1,
        update: 'cluster-wide',
      }),
      int('num.io.threads', 8, 'Threads for requests in Kafka; one event loop does it here.', {
        min: 1,
        update: 'cluster-wide',
      }),
      int('background.threads', 10, 'Threads for background work in Kafka; one event loop does it here.', {
        min: 1,
        update: 'cluster-wide',
      }),
    ],
  },
  {
    title: 'Topics',
    options: [
      boolean(
        'auto.create.topics.enable',
        true,
        'Whether a request for the metadata of an unknown topic creates it, when the client asks for that too.',
      ),
      boolean('delete.topic.enable', true, 'Whether topics can be deleted.'),
      int('num.partitions', 1, 'Partitions of a topic created without a count.', { min: 1 }),
      int('default.replication.factor', 1, 'Replicas of a topic created without a number.'),
      int('min.insync.replicas', 1, 'Replicas that must have a record before a produce with acks=all is answered.', {
        min: 1,
        update: 'cluster-wide',
        missing: 'replication',
        isHarmless: true,
      }),
      boolean(
        'unclean.leader.election.enable',
        false,
        'Whether a replica that is behind may become leader when no other is left.',
        { update: 'cluster-wide', missing: 'replication', isHarmless: true },
      ),
      long(
        'unclean.leader.election.interval.ms',
        300000,
        'How often partitions without a leader are looked at for an unclean election.',
        { min: 1, isInternal: true, missing: 'replication', isHarmless: true },
      ),
      int('message.max.bytes', 1048588, 'Largest record batch, compressed, with its header.', {
        min: 0,
        update: 'cluster-wide',
      }),
      string('compression.type', 'producer', 'Compression of stored batches; producer keeps what the producer chose.', {
        oneOf: ['uncompressed', 'zstd', 'lz4', 'snappy', 'gzip', 'producer'],
        update: 'cluster-wide',
      }),
      int('compression.gzip.level', -1, 'Level for gzip when the broker compresses.', {
        min: 1,
        max: 9,
        or: -1,
        update: 'cluster-wide',
      }),
      int('compression.lz4.level', 9, 'Level for lz4 when the broker compresses.', {
        min: 1,
        max: 17,
        update: 'cluster-wide',
      }),
      int('compression.zstd.level', 3, 'Level for zstd when the broker compresses.', {
        min: -131072,
        max: 22,
        update: 'cluster-wide',
      }),
      javaClass('create.topic.policy.class.name', null, 'Java class that checks new topics.', { missing: 'policies' }),
      javaClass('alter.config.policy.class.name', null, 'Java class that checks changes of configs.', {
        missing: 'policies',
      }),
      int('max.request.partition.size.limit', 2000, 'Partitions one answer to DescribeTopicPartitions holds at most.', {
        min: 1,
      }),
    ],
  },
  {
    title: 'Log',
    options: [
      list('log.cleanup.policy', 'delete', 'What happens to old segments: delete, compact, or both.', {
        oneOf: ['compact', 'delete'],
        update: 'cluster-wide',
      }),
      long('log.retention.ms', null, 'How long records are kept; -1 for ever.', { update: 'cluster-wide' }),
      int('log.retention.minutes', null, 'The same in minutes, when log.retention.ms is not set.'),
      int('log.retention.hours', 168, 'The same in hours, when neither of the two is set.'),
      long('log.retention.bytes', -1, 'Size of a partition above which its oldest segments go; -1 for any size.', {
        update: 'cluster-wide',
      }),
      long('log.retention.check.interval.ms', 300000, 'How often the node looks for segments to delete.', { min: 1 }),
      int('log.segment.bytes', 1073741824, 'Size at which a partition starts a new segment file.', {
        min: 1048576,
        update: 'cluster-wide',
      }),
      long('log.segment.delete.delay.ms', 60000, 'How long the file of a deleted segment stays.', {
        min: 0,
        update: 'cluster-wide',
      }),
      long('log.roll.ms', null, 'Age at which a partition starts a new segment file.', { update: 'cluster-wide' }),
      int('log.roll.hours', 168, 'The same in hours, when log.roll.ms is not set.', { min: 1 }),
      long('log.roll.jitter.ms', null, 'Random part taken off the age, so that segments do not all roll at once.', {
        update: 'cluster-wide',
      }),
      int('log.roll.jitter.hours', 0, 'The same in hours, when log.roll.jitter.ms is not set.', { min: 0 }),
      int('log.index.size.max.bytes', 10485760, 'Largest offset index; a full one starts a new segment.', {
        min: 4,
        update: 'cluster-wide',
      }),
      int('log.index.interval.bytes', 4096, 'Bytes between two entries of the offset index.', {
        min: 0,
        update: 'cluster-wide',
      }),
      boolean('log.preallocate', false, 'Whether a new segment file gets its full size at once.', {
        update: 'cluster-wide',
      }),
      string(
        'log.message.timestamp.type',
        'CreateTime',
        "Whose clock stamps a record: the producer's (CreateTime) or the broker's (LogAppendTime).",
        { oneOf: ['CreateTime', 'LogAppendTime'], update: 'cluster-wide' },
      ),
      long(
        'log.message.timestamp.before.max.ms',
        '9223372036854775807',
        "How far before the broker's clock a producer's timestamp may be.",
        { min: 0, update: 'cluster-wide' },
      ),
      long(
        'log.message.timestamp.after.max.ms',
        3600000,
        "How far after the broker's clock a producer's timestamp may be.",
        { min: 0, update: 'cluster-wide' },
      ),
      long('log.flush.interval.messages', '9223372036854775807', 'Records after which a partition is synced to disk.', {
        min: 1,
        update: 'cluster-wide',
      }),
      long(
        'log.flush.interval.ms',
        null,
        'Time after which a partition is synced to disk; log.flush.scheduler.interval.ms when not set.',
        { update: 'cluster-wide' },
      ),
      long(
        'log.flush.scheduler.interval.ms',
        '9223372036854775807',
        'Stands in for log.flush.interval.ms when that is not set. There is no schedule: each partition is synced in its time.',
      ),
      int('log.flush.offset.checkpoint.interval.ms', 60000, 'How often the recovery points are written.', { min: 0 }),
      int('log.flush.start.offset.checkpoint.interval.ms', 60000, 'How often the log start offsets are written.', {
        min: 0,
      }),
      long('log.local.retention.ms', -2, 'Like log.retention.ms, for the part of a tiered log that is on this node.', {
        min: -2,
        update: 'cluster-wide',
        missing: 'tiered storage',
      }),
      long(
        'log.local.retention.bytes',
        -2,
        'Like log.retention.bytes, for the part of a tiered log that is on this node.',
        { min: -2, update: 'cluster-wide', missing: 'tiered storage' },
      ),
      boolean('log.cleaner.enable', true, 'Whether compacted topics are compacted.'),
      int('log.cleaner.threads', 1, 'Threads that compact.', { min: 0, update: 'cluster-wide' }),
      long('log.cleaner.backoff.ms', 15000, 'Pause of the compaction when there is nothing to do.', {
        min: 0,
        update: 'cluster-wide',
      }),
      long('log.cleaner.dedupe.buffer.size', 134217728, 'Memory for the keys of a compaction.', {
        update: 'cluster-wide',
      }),
      int('log.cleaner.io.buffer.size', 524288, 'Memory for reading and writing in a compaction.', {
        min: 0,
        update: 'cluster-wide',
      }),
      double('log.cleaner.io.buffer.load.factor', 0.9, 'How full the table of keys may get.', {
        update: 'cluster-wide',
      }),
      double(
        'log.cleaner.io.max.bytes.per.second',
        '1.7976931348623157E308',
        'Bytes a compaction reads and writes a second.',
        { update: 'cluster-wide' },
      ),
      double(
        'log.cleaner.min.cleanable.ratio',
        0.5,
        'Share of a log that must be uncompacted before it is compacted.',
        { min: 0, max: 1, update: 'cluster-wide' },
      ),
      long('log.cleaner.min.compaction.lag.ms', 0, 'Age below which a record is not compacted.', {
        min: 0,
        update: 'cluster-wide',
      }),
      long(
        'log.cleaner.max.compaction.lag.ms',
        '9223372036854775807',
        'Age at which a record is compacted whatever the ratio.',
        { min: 1, update: 'cluster-wide' },
      ),
      long('log.cleaner.delete.retention.ms', 86400000, 'How long a tombstone stays after a compaction.', {
        min: 0,
        update: 'cluster-wide',
      }),
    ],
  },
  {
    title: 'Metadata log',
    options: [
      int('metadata.log.segment.bytes', 1073741824, 'Size at which the metadata log starts a new segment file.', {
        min: 8388608,
      }),
      long('metadata.log.segment.ms', 604800000, 'Age at which the metadata log starts a new segment file.'),
      long(
        'metadata.log.max.record.bytes.between.snapshots',
        20971520,
        'Bytes of the metadata log after which a snapshot is due.',
        { min: 1, missing: 'metadata snapshots', isHarmless: true },
      ),
      long('metadata.log.max.snapshot.interval.ms', 3600000, 'Age of the last snapshot at which a new one is due.', {
        min: 0,
        missing: 'metadata snapshots',
        isHarmless: true,
      }),
      int(
        'metadata.max.idle.interval.ms',
        500,
        'How often a controller appends a record that says nothing when there is nothing to say.',
        { min: 0 },
      ),
      long(
        'metadata.max.retention.bytes',
        104857600,
        'Size of the metadata log and its snapshots above which old ones go.',
        { missing: 'metadata snapshots', isHarmless: true },
      ),
      long('metadata.max.retention.ms', 604800000, 'Age at which old metadata and snapshots go.', {
        missing: 'metadata snapshots',
        isHarmless: true,
      }),
    ],
  },
  {
    title: 'Fetch and produce',
    options: [
      int('fetch.max.bytes', 57671680, 'Most bytes one answer to Fetch holds, whatever the client asks.', {
        min: 1024,
      }),
      int('max.incremental.fetch.session.cache.slots', 1000, 'Fetch sessions the node keeps.', { min: 0 }),
      int(
        'fetch.purgatory.purge.interval.requests',
        1000,
        'Requests after which Kafka tidies its list of waiting fetches.',
      ),
      int(
        'producer.purgatory.purge.interval.requests',
        1000,
        'Requests after which Kafka tidies its list of waiting produces.',
      ),
      int(
        'delete.records.purgatory.purge.interval.requests',
        1,
        'Requests after which Kafka tidies its list of waiting DeleteRecords.',
      ),
      int(
        'producer.id.expiration.ms',
        86400000,
        'How long a partition remembers an idempotent producer that sends nothing.',
        { min: 1, update: 'cluster-wide' },
      ),
    ],
  },
  {
    title: 'Consumer groups',
    options: [
      int(
        'group.initial.rebalance.delay.ms',
        3000,
        'How long an empty group waits for more members before its first rebalance.',
      ),
      int('group.min.session.timeout.ms', 6000, 'Shortest session timeout a member may ask for.'),
      int('group.max.session.timeout.ms', 1800000, 'Longest session timeout a member may ask for.'),
      int('group.max.size', 2147483647, 'Members a group may have.', { min: 1 }),
      list(
        'group.coordinator.rebalance.protocols',
        'classic',
        'Group protocols the node speaks. The classic one is there so far.',
        { oneOf: ['consumer', 'classic', 'share', 'streams'], missing: 'the consumer protocol' },
      ),
      int('group.coordinator.threads', 4, 'Threads of the group coordinator in Kafka; one event loop does it here.', {
        min: 1,
      }),
      int('group.coordinator.background.threads', 2, 'Threads for slow work of the group coordinator in Kafka.', {
        min: 1,
      }),
      int(
        'group.coordinator.append.linger.ms',
        -1,
        'How long the group coordinator gathers records before it appends them; -1 adapts to the load.',
        { min: -1 },
      ),
      int(
        'group.coordinator.cached.buffer.max.bytes',
        1048588,
        'Largest buffer the group coordinator keeps for reuse.',
        { min: 524288, update: 'cluster-wide' },
      ),
      int('offset.metadata.max.bytes', 4096, 'Longest text a consumer may store with an offset.'),
      int(
        'offsets.topic.num.partitions',
        50,
        'Partitions of __consumer_offsets; not to be changed once the topic exists.',
        { min: 1 },
      ),
      short(
        'offsets.topic.replication.factor',
        3,
        'Replicas of __consumer_offsets; as many as there are brokers when there are fewer.',
        { min: 1 },
      ),
      int('offsets.topic.segment.bytes', 104857600, 'Segment size of __consumer_offsets.', { min: 1 }),
      int('offsets.topic.compression.codec', 0, 'Compression of the batches in __consumer_offsets, as its number.'),
      int('offsets.load.buffer.size', 5242880, 'Bytes read at a time when the offsets are loaded.', { min: 1 }),
      int('offsets.retention.minutes', 10080, 'How long the offsets of an empty group are kept.', { min: 1 }),
      long('offsets.retention.check.interval.ms', 600000, 'How often the node looks for offsets to drop.', { min: 1 }),
      int('offsets.commit.timeout.ms', 5000, 'How long a commit waits for its replicas.', { min: 1 }),
    ],
  },
  {
    title: 'Consumer groups of the consumer protocol (KIP-848)',
    missing: 'the consumer protocol',
    isHarmless: true,
    options: [
      int('group.consumer.session.timeout.ms', 45000, 'Session timeout of the members.', { min: 1 }),
      int('group.consumer.min.session.timeout.ms', 45000, 'Shortest session timeout a group may be given.', { min: 1 }),
      int('group.consumer.max.session.timeout.ms', 60000, 'Longest session timeout a group may be given.', { min: 1 }),
      int('group.consumer.heartbeat.interval.ms', 5000, 'How often the members send heartbeats.', { min: 1 }),
      int('group.consumer.min.heartbeat.interval.ms', 5000, 'Shortest heartbeat interval a group may be given.', {
        min: 1,
      }),
      int('group.consumer.max.heartbeat.interval.ms', 15000, 'Longest heartbeat interval a group may be given.', {
        min: 1,
      }),
      int('group.consumer.assignment.interval.ms', 1000, 'Shortest time between two assignments of a group.', {
        min: 0,
        update: 'cluster-wide',
      }),
      int('group.consumer.min.assignment.interval.ms', 0, 'Shortest assignment interval a group may be given.', {
        min: 0,
      }),
      int('group.consumer.max.assignment.interval.ms', 15000, 'Longest assignment interval a group may be given.', {
        min: 0,
      }),
      list('group.consumer.assignors', 'uniform,range', 'Assignors of the broker; the first is the default.'),
      int('group.consumer.max.size', 2147483647, 'Members a group may have.', { min: 1 }),
      string(
        'group.consumer.migration.policy',
        'bidirectional',
        'In which direction a group may change between the classic and the consumer protocol.',
        { oneOf: ['DISABLED', 'DOWNGRADE', 'UPGRADE', 'BIDIRECTIONAL'], ignoresCase: true },
      ),
    ],
  },
  {
    title: 'Share groups',
    missing: 'share groups',
    isHarmless: true,
    options: [
      int('group.share.session.timeout.ms', 45000, 'Session timeout of the members.', { min: 1 }),
      int('group.share.min.session.timeout.ms', 45000, 'Shortest session timeout a group may be given.', { min: 1 }),
      int('group.share.max.session.timeout.ms', 60000, 'Longest session timeout a group may be given.', { min: 1 }),
      int('group.share.heartbeat.interval.ms', 5000, 'How often the members send heartbeats.', { min: 1 }),
      int('group.share.min.heartbeat.interval.ms', 5000, 'Shortest heartbeat interval a group may be given.', {
        min: 1,
      }),
      int('group.share.max.heartbeat.interval.ms', 15000, 'Longest heartbeat interval a group may be given.', {
        min: 1,
      }),
      int('group.share.assignment.interval.ms', 1000, 'Shortest time between two assignments of a group.', {
        min: 0,
        update: 'cluster-wide',
      }),
      int('group.share.min.assignment.interval.ms', 0, 'Shortest assignment interval a group may be given.', {
        min: 0,
      }),
      int('group.share.max.assignment.interval.ms', 15000, 'Longest assignment interval a group may be given.', {
        min: 0,
      }),
      list('group.share.assignors', 'simple', 'Assignors of the broker.'),
      int('group.share.max.size', 200, 'Members a group may have.', { min: 1, max: 1000 }),
      int('group.share.max.share.sessions', 2000, 'Share sessions the node keeps.', { min: 1 }),
      int('group.share.delivery.count.limit', 5, 'How often a record is delivered before it is given up.', {
        min: 2,
        max: 10,
      }),
      int('group.share.min.delivery.count.limit', 2, 'Smallest delivery count a group may be given.', {
        min: 2,
        max: 5,
      }),
      int('group.share.max.delivery.count.limit', 10, 'Largest delivery count a group may be given.', {
        min: 5,
        max: 25,
      }),
      int('group.share.record.lock.duration.ms', 30000, 'How long a member holds a record it was given.', {
        min: 1000,
        max: 3600000,
      }),
      int('group.share.min.record.lock.duration.ms', 15000, 'Shortest hold a group may be given.', {
        min: 1000,
        max: 30000,
      }),
      int('group.share.max.record.lock.duration.ms', 60000, 'Longest hold a group may be given.', {
        min: 30000,
        max: 3600000,
      }),
      int('group.share.partition.max.record.locks', 2000, 'Records of a partition that may be held at a time.', {
        min: 100,
        max: 10000,
      }),
      int('group.share.min.partition.max.record.locks', 100, 'Smallest number of held records a group may be given.', {
        min: 100,
        max: 2000,
      }),
      int('group.share.max.partition.max.record.locks', 4000, 'Largest number of held records a group may be given.', {
        min: 2000,
        max: 10000,
      }),
      int('share.coordinator.state.topic.num.partitions', 50, 'Partitions of __share_group_state.', { min: 1 }),
      short('share.coordinator.state.topic.replication.factor', 3, 'Replicas of __share_group_state.', { min: 1 }),
      short('share.coordinator.state.topic.min.isr', 2, 'In-sync replicas a write to __share_group_state needs.', {
        min: 1,
      }),
      int('share.coordinator.state.topic.segment.bytes', 104857600, 'Segment size of __share_group_state.', { min: 1 }),
      int('share.coordinator.state.topic.compression.codec', 0, 'Compression of __share_group_state, as its number.'),
      int('share.coordinator.load.buffer.size', 5242880, 'Bytes read at a time when the share state is loaded.', {
        min: 1,
      }),
      int(
        'share.coordinator.snapshot.update.records.per.snapshot',
        500,
        'Updates of a share partition between two snapshots of it.',
        { min: 0, max: 500 },
      ),
      int('share.coordinator.threads', 1, 'Threads of the share coordinator.', { min: 1 }),
      int('share.coordinator.write.timeout.ms', 5000, 'How long a write of share state waits for its replicas.', {
        min: 1,
      }),
      int(
        'share.coordinator.append.linger.ms',
        -1,
        'How long the share coordinator gathers records before it appends them.',
        { min: -1 },
      ),
      int(
        'share.coordinator.cached.buffer.max.bytes',
        1048588,
        'Largest buffer the share coordinator keeps for reuse.',
        { min: 524288, update: 'cluster-wide' },
      ),
      int(
        'share.fetch.purgatory.purge.interval.requests',
        1000,
        'Requests after which Kafka tidies its list of waiting share fetches.',
      ),
    ],
  },
  {
    title: 'Streams groups',
    missing: 'streams groups',
    isHarmless: true,
    options: [
      int('group.streams.session.timeout.ms', 45000, 'Session timeout of the members.', { min: 1 }),
      int('group.streams.min.session.timeout.ms', 45000, 'Shortest session timeout a group may be given.', { min: 1 }),
      int('group.streams.max.session.timeout.ms', 60000, 'Longest session timeout a group may be given.', { min: 1 }),
      int('group.streams.heartbeat.interval.ms', 5000, 'How often the members send heartbeats.', { min: 1 }),
      int('group.streams.min.heartbeat.interval.ms', 5000, 'Shortest heartbeat interval a group may be given.', {
        min: 1,
      }),
      int('group.streams.max.heartbeat.interval.ms', 15000, 'Longest heartbeat interval a group may be given.', {
        min: 1,
      }),
      int('group.streams.assignment.interval.ms', 1000, 'Shortest time between two assignments of a group.', {
        min: 0,
        update: 'cluster-wide',
      }),
      int('group.streams.min.assignment.interval.ms', 0, 'Shortest assignment interval a group may be given.', {
        min: 0,
      }),
      int('group.streams.max.assignment.interval.ms', 15000, 'Longest assignment interval a group may be given.', {
        min: 0,
      }),
      int(
        'group.streams.initial.rebalance.delay.ms',
        3000,
        'How long an empty group waits for more members before its first assignment.',
        { min: 0 },
      ),
      int('group.streams.max.size', 2147483647, 'Members a group may have.', { min: 1 }),
      int('group.streams.num.standby.replicas', 0, "Standby copies of each task's state.", { min: 0 }),
      int('group.streams.max.standby.replicas', 2, 'Most standby copies a group may be given.', { min: 0 }),
    ],
  },
  {
    title: 'Transactions',
    options: [
      int('transaction.max.timeout.ms', 900000, 'Longest transaction timeout a producer may ask for.', { min: 1 }),
      int('transactional.id.expiration.ms', 604800000, 'How long an unused transactional id is remembered.', {
        min: 1,
      }),
      int(
        'transaction.state.log.num.partitions',
        50,
        'Partitions of __transaction_state; not to be changed once the topic exists.',
        { min: 1 },
      ),
      short(
        'transaction.state.log.replication.factor',
        3,
        'Replicas of __transaction_state; as many as there are brokers when there are fewer.',
        { min: 1 },
      ),
      int('transaction.state.log.min.isr', 2, 'In-sync replicas a write to __transaction_state needs.', { min: 1 }),
      int('transaction.state.log.segment.bytes', 104857600, 'Segment size of __transaction_state.', { min: 1 }),
      int('transaction.state.log.load.buffer.size', 5242880, 'Bytes read at a time when transactions are loaded.', {
        min: 1,
      }),
      int(
        'transaction.abort.timed.out.transaction.cleanup.interval.ms',
        10000,
        'How often the node looks for transactions to abort.',
        { min: 1 },
      ),
      int(
        'transaction.remove.expired.transaction.cleanup.interval.ms',
        3600000,
        'How often the node looks for transactional ids to forget.',
        { min: 1 },
      ),
      boolean(
        'transaction.partition.verification.enable',
        true,
        'Whether a partition asks the coordinator before it starts to take part in a transaction.',
        { update: 'cluster-wide' },
      ),
      boolean(
        'transaction.two.phase.commit.enable',
        false,
        'Whether a producer may leave its transactions without a timeout.',
        { missing: 'two-phase commit', isHarmless: false },
      ),
      int(
        'add.partitions.to.txn.retry.backoff.ms',
        20,
        'First wait before the node tries again to add partitions to a transaction.',
        { min: 1 },
      ),
      int('add.partitions.to.txn.retry.backoff.max.ms', 100, 'Longest wait before it tries again.', { min: 0 }),
    ],
  },
  {
    title: 'Replication',
    missing: 'replication',
    isHarmless: true,
    options: [
      long('replica.lag.time.max.ms', 30000, 'A follower that is behind for so long leaves the in-sync replicas.'),
      int('replica.fetch.max.bytes', 1048576, 'Bytes a follower asks for per partition.', { min: 0 }),
      int('replica.fetch.response.max.bytes', 10485760, 'Bytes a follower asks for in all.', { min: 0 }),
      int('replica.fetch.min.bytes', 1, 'Bytes a follower waits for.'),
      int('replica.fetch.wait.max.ms', 500, 'How long a follower waits for them.'),
      int('replica.fetch.backoff.ms', 1000, 'Pause of a follower after an error.', { min: 0 }),
      long('replica.high.watermark.checkpoint.interval.ms', 5000, 'How often the high watermarks are written.'),
      string('replica.selector.class', null, 'Java class that picks the replica a consumer reads from.', {
        missing: 'replication',
        isHarmless: false,
      }),
      int('replica.socket.receive.buffer.bytes', 65536, "Receive buffer of a follower's socket."),
      int('replica.socket.timeout.ms', 30000, 'How long a follower waits for an answer.'),
      int('num.replica.fetchers', 1, 'Connections a follower fetches with from each leader.', {
        min: 1,
        update: 'cluster-wide',
      }),
      int('num.replica.alter.log.dirs.threads', null, 'Threads that move replicas between directories.'),
      boolean('auto.leader.rebalance.enable', true, 'Whether preferred replicas become leaders again by themselves.'),
      long('leader.imbalance.check.interval.seconds', 300, 'How often the leaders are looked at for that.', { min: 1 }),
      boolean(
        'follower.fetch.last.tiered.offset.enable',
        false,
        'Whether a new follower starts at the end of the tiered log.',
        { update: 'cluster-wide', missing: 'tiered storage' },
      ),
    ],
  },
  {
    title: 'Cluster',
    missing: 'clusters',
    isHarmless: true,
    options: [
      int('broker.heartbeat.interval.ms', 2000, 'How often a broker tells the controller that it lives.'),
      int('broker.session.timeout.ms', 9000, 'A broker that does not for so long is fenced.'),
      int('initial.broker.registration.timeout.ms', 60000, 'How long a broker tries to register before it gives up.'),
      boolean('controlled.shutdown.enable', true, 'Whether a broker hands over its partitions before it stops.'),
      list('controller.quorum.voters', '', 'Controllers of the cluster, as id@host:port.'),
      list('controller.quorum.bootstrap.servers', '', 'Addresses to find the controllers at.'),
      boolean('controller.quorum.auto.join.enable', false, 'Whether a controller joins the voters by itself.'),
      int('controller.quorum.append.linger.ms', 25, 'How long a controller gathers records before it appends them.', {
        min: 0,
      }),
      int('controller.quorum.election.timeout.ms', 1000, 'How long a controller waits for votes.', { min: 0 }),
      int('controller.quorum.election.backoff.max.ms', 1000, 'Longest wait before a new election.', { min: 0 }),
      int(
        'controller.quorum.fetch.timeout.ms',
        2000,
        'A controller that cannot fetch for so long starts an election.',
        { min: 0 },
      ),
      int(
        'controller.quorum.fetch.max.bytes',
        1048576,
        'Bytes of the metadata log that one fetch of a controller brings.',
        { min: 1 },
      ),
      int(
        'controller.quorum.fetch.snapshot.max.bytes',
        1048576,
        'Bytes of a snapshot that one fetch of a controller brings.',
        { min: 1 },
      ),
      int('controller.quorum.request.timeout.ms', 2000, 'How long a controller waits for an answer of another.', {
        min: 0,
      }),
      int('controller.quorum.retry.backoff.ms', 20, 'Pause of a controller after a failed request.', { min: 0 }),
      int('controller.socket.timeout.ms', 30000, 'How long a broker waits for an answer of the controller.'),
    ],
  },
  {
    title: 'Quotas',
    missing: 'quotas',
    isHarmless: true,
    options: [
      javaClass('client.quota.callback.class', null, 'Java class that decides client quotas.', {
        missing: 'quotas',
        isHarmless: false,
      }),
      int('quota.window.num', 11, 'Windows over which client quotas are measured.', { min: 1 }),
      int('quota.window.size.seconds', 1, 'Length of such a window.', { min: 1 }),
      int('controller.quota.window.num', 11, 'Windows over which quotas on topic changes are measured.', { min: 1 }),
      int('controller.quota.window.size.seconds', 1, 'Length of such a window.', { min: 1 }),
      int('replication.quota.window.num', 11, 'Windows over which replication quotas are measured.', { min: 1 }),
      int('replication.quota.window.size.seconds', 1, 'Length of such a window.', { min: 1 }),
      int(
        'alter.log.dirs.replication.quota.window.num',
        11,
        'Windows over which moves between directories are measured.',
        { min: 1 },
      ),
      int('alter.log.dirs.replication.quota.window.size.seconds', 1, 'Length of such a window.', { min: 1 }),
    ],
  },
  {
    title: 'Metrics and extensions',
    missing: 'metrics',
    isHarmless: true,
    options: [
      list('metric.reporters', 'org.apache.kafka.common.metrics.JmxReporter', 'Java classes that report metrics.', {
        update: 'cluster-wide',
      }),
      int('metrics.num.samples', 2, 'Samples a metric is computed from.', { min: 1 }),
      long('metrics.sample.window.ms', 30000, 'Length of a sample.', { min: 1 }),
      string('metrics.recording.level', 'INFO', 'How detailed metrics are.'),
      list('kafka.metrics.reporters', '', 'Java classes that report the older metrics.'),
      int('kafka.metrics.polling.interval.secs', 10, 'How often they do.', { min: 1 }),
      int('telemetry.max.bytes', 1048576, 'Largest push of client metrics.', { min: 1 }),
      list('config.providers', '', 'Java classes that resolve ${...} in values.', {
        update: 'cluster-wide',
        missing: 'config providers',
        isHarmless: false,
      }),
      string('security.providers', null, 'Java classes of security providers.'),
    ],
  },
  {
    title: 'Access control and authentication',
    missing: 'access control',
    options: [
      string('authorizer.class.name', '', 'Java class that decides who may do what.'),
      javaClass(
        'principal.builder.class',
        'org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder',
        'Java class that names the peer of a connection.',
        { update: 'per-broker' },
      ),
      long('connections.max.reauth.ms', 0, 'Longest time before a client must authenticate again; 0 for never.'),
      int('connection.failed.authentication.delay.ms', 100, 'How long a failed authentication waits for its answer.', {
        min: 0,
      }),
      password('delegation.token.secret.key', null, 'Secret that delegation tokens are made with.'),
      long('delegation.token.max.lifetime.ms', 604800000, 'Longest life of a delegation token.', { min: 1 }),
      long('delegation.token.expiry.time.ms', 86400000, 'Life of a delegation token that is not renewed.', { min: 1 }),
      long('delegation.token.expiry.check.interval.ms', 3600000, 'How often expired delegation tokens are removed.', {
        min: 1,
      }),
      list('sasl.enabled.mechanisms', 'GSSAPI', 'SASL mechanisms clients may use.', { update: 'per-broker' }),
      string('sasl.mechanism.inter.broker.protocol', 'GSSAPI', 'SASL mechanism between brokers.', {
        update: 'per-broker',
      }),
      string('sasl.mechanism.controller.protocol', 'GSSAPI', 'SASL mechanism towards the controllers.'),
      password('sasl.jaas.config', null, 'Login of a SASL mechanism, in JAAS form.', { update: 'per-broker' }),
      int('sasl.server.max.receive.size', 524288, 'Largest SASL message the node takes.'),
      javaClass('sasl.server.callback.handler.class', null, 'Java class that checks SASL logins.'),
      javaClass('sasl.client.callback.handler.class', null, "Java class that gives the node's own SASL credentials."),
      javaClass('sasl.login.class', null, "Java class of the node's own login."),
      javaClass('sasl.login.callback.handler.class', null, 'Java class that gives the credentials of that login.'),
      int('sasl.login.connect.timeout.ms', null, 'How long a login waits for a connection to its provider.'),
      int('sasl.login.read.timeout.ms', null, 'How long a login waits for an answer of its provider.'),
      double('sasl.login.refresh.window.factor', 0.8, "Share of a login's life after which it is renewed.", {
        update: 'per-broker',
      }),
      double('sasl.login.refresh.window.jitter', 0.05, 'Random part of that.', { update: 'per-broker' }),
      short('sasl.login.refresh.min.period.seconds', 60, 'Shortest time before a login is renewed.', {
        update: 'per-broker',
      }),
      short('sasl.login.refresh.buffer.seconds', 300, "Time kept before a login's end for its renewal.", {
        update: 'per-broker',
      }),
      long('sasl.login.retry.backoff.ms', 100, 'First wait before a login is tried again.'),
      long('sasl.login.retry.backoff.max.ms', 10000, 'Longest wait before a login is tried again.'),
      string('sasl.kerberos.service.name', null, 'Kerberos principal of the brokers.', { update: 'per-broker' }),
      string('sasl.kerberos.kinit.cmd', '/usr/bin/kinit', 'Path of kinit.', { update: 'per-broker' }),
      long('sasl.kerberos.min.time.before.relogin', 60000, 'Shortest time between two Kerberos logins.', {
        update: 'per-broker',
      }),
      list('sasl.kerberos.principal.to.local.rules', 'DEFAULT', 'Rules from Kerberos principals to short names.', {
        update: 'per-broker',
      }),
      double('sasl.kerberos.ticket.renew.jitter', 0.05, 'Random part of the time before a ticket is renewed.', {
        update: 'per-broker',
      }),
      double('sasl.kerberos.ticket.renew.window.factor', 0.8, "Share of a ticket's life after which it is renewed.", {
        update: 'per-broker',
      }),
      string('sasl.oauthbearer.assertion.algorithm', 'RS256', "Algorithm that signs the node's own assertions.", {
        oneOf: ['ES256', 'RS256'],
        ignoresCase: true,
      }),
      string('sasl.oauthbearer.assertion.claim.aud', null, 'Audience in an assertion.'),
      int('sasl.oauthbearer.assertion.claim.exp.seconds', 300, 'Life of an assertion.', { min: 0, max: 86400 }),
      string('sasl.oauthbearer.assertion.claim.iss', null, 'Issuer in an assertion.'),
      boolean('sasl.oauthbearer.assertion.claim.jti.include', false, 'Whether an assertion has an id of its own.'),
      int('sasl.oauthbearer.assertion.claim.nbf.seconds', 60, 'How far before now an assertion starts to be valid.', {
        min: 0,
        max: 3600,
      }),
      string('sasl.oauthbearer.assertion.claim.sub', null, 'Subject in an assertion.'),
      string('sasl.oauthbearer.assertion.file', null, 'File with a ready assertion.'),
      string('sasl.oauthbearer.assertion.private.key.file', null, 'File with the key that signs assertions.'),
      password('sasl.oauthbearer.assertion.private.key.passphrase', null, 'Passphrase of that key.'),
      string('sasl.oauthbearer.assertion.template.file', null, 'File with claims that every assertion gets.'),
      string('sasl.oauthbearer.client.credentials.client.id', null, 'Client id at the token endpoint.'),
      password('sasl.oauthbearer.client.credentials.client.secret', null, 'Client secret at the token endpoint.'),
      int('sasl.oauthbearer.clock.skew.seconds', 30, "Difference of clocks that a token's times are allowed."),
      list('sasl.oauthbearer.expected.audience', '', 'Audiences a token must have one of.'),
      string('sasl.oauthbearer.expected.issuer', null, 'Issuer a token must have.'),
      string('sasl.oauthbearer.jwks.endpoint.url', null, 'Where the keys that check tokens come from.'),
      long('sasl.oauthbearer.jwks.endpoint.refresh.ms', 3600000, 'How often those keys are fetched.'),
      long(
        'sasl.oauthbearer.jwks.endpoint.retry.backoff.ms',
        100,
        'First wait before they are fetched again after an error.',
      ),
      long('sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms', 10000, 'Longest wait before they are fetched again.'),
      javaClass(
        'sasl.oauthbearer.jwt.retriever.class',
        'org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever',
        "Java class that gets the node's own token.",
      ),
      javaClass(
        'sasl.oauthbearer.jwt.validator.class',
        'org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator',
        'Java class that checks tokens.',
      ),
      string('sasl.oauthbearer.scope', null, 'Scope the node asks for at the token endpoint.'),
      string('sasl.oauthbearer.scope.claim.name', 'scope', 'Claim that holds the scope.'),
      string('sasl.oauthbearer.sub.claim.name', 'sub', 'Claim that holds the principal.'),
      string('sasl.oauthbearer.token.endpoint.url', null, 'Where the node gets its own token.'),
    ],
  },
  {
    title: 'TLS',
    missing: 'TLS',
    options: [
      string('ssl.client.auth', 'none', 'Whether clients must show a certificate.', {
        oneOf: ['required', 'requested', 'none'],
        update: 'per-broker',
      }),
      list('ssl.enabled.protocols', 'TLSv1.2,TLSv1.3', 'TLS versions the node takes.', { update: 'per-broker' }),
      string('ssl.protocol', 'TLSv1.3', 'TLS version it prefers.', { update: 'per-broker' }),
      list('ssl.cipher.suites', '', "Cipher suites it takes; the platform's own when empty.", { update: 'per-broker' }),
      string(
        'ssl.endpoint.identification.algorithm',
        'https',
        'How the name of a server is checked against its certificate; empty for not at all.',
        { update: 'per-broker' },
      ),
      string('ssl.principal.mapping.rules', 'DEFAULT', 'Rules from the name in a certificate to the name of a user.'),
      string('ssl.keystore.type', 'JKS', 'Format of the key store.', { update: 'per-broker' }),
      string('ssl.keystore.location', null, 'File of the key store.', { update: 'per-broker' }),
      password('ssl.keystore.password', null, 'Password of the key store.', { update: 'per-broker' }),
      password('ssl.key.password', null, 'Password of the key.', { update: 'per-broker' }),
      password('ssl.keystore.key', null, 'The key itself, as PEM.', { update: 'per-broker' }),
      password('ssl.keystore.certificate.chain', null, 'The certificates of the key, as PEM.', {
        update: 'per-broker',
      }),
      string('ssl.truststore.type', 'JKS', 'Format of the trust store.', { update: 'per-broker' }),
      string('ssl.truststore.location', null, 'File of the trust store.', { update: 'per-broker' }),
      password('ssl.truststore.password', null, 'Password of the trust store.', { update: 'per-broker' }),
      password('ssl.truststore.certificates', null, 'The trusted certificates themselves, as PEM.', {
        update: 'per-broker',
      }),
      string('ssl.keymanager.algorithm', 'SunX509', 'Java algorithm of the key manager.', { update: 'per-broker' }),
      string('ssl.trustmanager.algorithm', 'PKIX', 'Java algorithm of the trust manager.', { update: 'per-broker' }),
      string('ssl.provider', null, 'Java provider of TLS.', { update: 'per-broker' }),
      string('ssl.secure.random.implementation', null, 'Java source of randomness.', { update: 'per-broker' }),
      javaClass('ssl.engine.factory.class', null, 'Java class that makes TLS engines.', { update: 'per-broker' }),
      boolean('ssl.allow.dn.changes', false, 'Whether a new certificate may have another name.'),
      boolean('ssl.allow.san.changes', false, 'Whether a new certificate may lack alternative names of the old one.'),
    ],
  },
  {
    title: 'Tiered storage',
    missing: 'tiered storage',
    options: [
      boolean('remote.log.storage.system.enable', false, 'Whether old segments may go to other storage.'),
      string('remote.log.storage.manager.class.name', null, 'Java class that stores segments elsewhere.'),
      string('remote.log.storage.manager.class.path', null, 'Where that class is found.'),
      string('remote.log.storage.manager.impl.prefix', 'rsm.config.', "Prefix of that class's own settings."),
      string(
        'remote.log.metadata.manager.class.name',
        'org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager',
        'Java class that remembers which segments are elsewhere.',
      ),
      string('remote.log.metadata.manager.class.path', null, 'Where that class is found.'),
      string('remote.log.metadata.manager.impl.prefix', 'rlmm.config.', "Prefix of that class's own settings."),
      string('remote.log.metadata.manager.listener.name', null, 'Listener that class uses.'),
      int(
        'remote.log.metadata.custom.metadata.max.bytes',
        128,
        'Bytes of its own a storage class may keep per segment.',
        { min: 0 },
      ),
      long(
        'remote.log.index.file.cache.total.size.bytes',
        1073741824,
        'Disk space for indexes of segments elsewhere.',
        { min: 1, update: 'cluster-wide' },
      ),
      long('remote.log.manager.task.interval.ms', 30000, 'How often segments are looked at.', { min: 1 }),
      int('remote.log.manager.thread.pool.size', 2, 'Threads that do it.', { min: 1 }),
      int('remote.log.manager.copier.thread.pool.size', 10, 'Threads that copy segments away.', {
        min: 1,
        update: 'cluster-wide',
      }),
      int('remote.log.manager.expiration.thread.pool.size', 10, 'Threads that delete them there.', {
        min: 1,
        update: 'cluster-wide',
      }),
      int('remote.log.manager.follower.thread.pool.size', 2, 'Threads that follow what other nodes copied.', {
        min: 1,
        update: 'cluster-wide',
      }),
      long('remote.log.manager.copy.max.bytes.per.second', '9223372036854775807', 'Bytes copied away a second.', {
        min: 1,
        update: 'cluster-wide',
      }),
      int('remote.log.manager.copy.quota.window.num', 11, 'Windows over which that is measured.', { min: 1 }),
      int('remote.log.manager.copy.quota.window.size.seconds', 1, 'Length of such a window.', { min: 1 }),
      long('remote.log.manager.fetch.max.bytes.per.second', '9223372036854775807', 'Bytes read back a second.', {
        min: 1,
        update: 'cluster-wide',
      }),
      int('remote.log.manager.fetch.quota.window.num', 11, 'Windows over which that is measured.', { min: 1 }),
      int('remote.log.manager.fetch.quota.window.size.seconds', 1, 'Length of such a window.', { min: 1 }),
      int('remote.log.reader.threads', 10, 'Threads that read segments back.', { min: 1, update: 'cluster-wide' }),
      int('remote.log.reader.max.pending.tasks', 100, 'Reads that may wait.', { min: 1 }),
      int('remote.fetch.max.wait.ms', 500, 'How long a fetch waits for a read from other storage.', {
        min: 1,
        update: 'cluster-wide',
      }),
      long('remote.list.offsets.request.timeout.ms', 30000, 'How long ListOffsets waits for one.', {
        min: 1,
        update: 'cluster-wide',
      }),
    ],
  },
  {
    title: 'Internal',
    options: [
      int('producer.id.expiration.check.interval.ms', 600000, 'How often partitions look for producers to forget.', {
        min: 1,
        isInternal: true,
      }),
      long('log.initial.task.delay.ms', 30000, 'How long after its start the node begins to look after its logs.', {
        min: 0,
        isInternal: true,
      }),
      int(
        'internal.metadata.log.segment.bytes',
        null,
        'metadata.log.segment.bytes without its lower bound, for tests.',
        {
          isInternal: true,
        },
      ),
      boolean('unstable.api.versions.enable', false, 'Whether versions of APIs that may still change are offered.', {
        missing: 'an unstable API',
        isInternal: true,
      }),
      boolean(
        'unstable.feature.versions.enable',
        false,
        'Whether levels of features that may still change are offered.',
        {
          missing: 'an unstable feature',
          isInternal: true,
        },
      ),
    ],
  },
]
