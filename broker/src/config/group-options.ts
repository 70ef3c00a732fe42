import { boolean, int, string, type Option } from './option.ts'

export const groupOptions: readonly Option[] = [
  int('consumer.session.timeout.ms', 45000, 'Session timeout of the members, in the consumer protocol.', { min: 1 }),
  int('consumer.heartbeat.interval.ms', 5000, 'How often the members send heartbeats, in the consumer protocol.', {
    min: 1,
  }),
  int('consumer.assignment.interval.ms', 1000, 'Shortest time between two assignments, in the consumer protocol.', {
    min: 0,
  }),
  int('share.session.timeout.ms', 45000, 'Session timeout of the members of a share group.', { min: 1 }),
  int('share.heartbeat.interval.ms', 5000, 'How often the members of a share group send heartbeats.', { min: 1 }),
  int('share.assignment.interval.ms', 1000, 'Shortest time between two assignments of a share group.', { min: 0 }),
  int('share.record.lock.duration.ms', 30000, 'How long a member of a share group holds a record it was given.', {
    min: 1000,
  }),
  int('share.delivery.count.limit', 5, 'How often a record is delivered to a share group before it is given up.', {
    min: 2,
  }),
  int('share.partition.max.record.locks', 2000, 'Records of a partition that a share group may hold at a time.', {
    min: 100,
  }),
  string(
    'share.auto.offset.reset',
    'latest',
    'Where a share group starts: latest, earliest, or by_duration: and an ISO 8601 duration.',
    { shape: 'offset reset' },
  ),
  string('share.isolation.level', 'read_uncommitted', 'Whether a share group sees records of open transactions.', {
    oneOf: ['read_committed', 'read_uncommitted'],
  }),
  boolean('share.renew.acknowledge.enable', true, 'Whether a member of a share group may renew its hold on a record.'),
  int('streams.session.timeout.ms', 45000, 'Session timeout of the members of a streams group.', { min: 1 }),
  int('streams.heartbeat.interval.ms', 5000, 'How often the members of a streams group send heartbeats.', { min: 1 }),
  int('streams.assignment.interval.ms', 1000, 'Shortest time between two assignments of a streams group.', { min: 0 }),
  int(
    'streams.initial.rebalance.delay.ms',
    3000,
    'How long an empty streams group waits for more members before its first assignment.',
    { min: 0 },
  ),
  int('streams.num.standby.replicas', 0, "Standby copies of each task's state.", { min: 0 }),
]
