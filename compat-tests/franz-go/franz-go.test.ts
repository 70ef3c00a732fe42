import { beforeAll, describe, expect, it } from 'vitest'
import { describeBroker, missing } from '../harness/index.ts'
import { build, observe } from './program.ts'

const reason = missing('go')

describe.skipIf(reason !== null)(`franz-go${reason === null ? '' : `: ${reason}`}`, () => {
  beforeAll(build)

  describeBroker('with a broker', {}, (broker) => {
    describe('records', () => {
      it('come back as they were sent, with every compression, and are stored in it', async () => {
        const codec = (id: number) => ({
          'stored as': id,
          equal: true,
          offsets: [0, 49],
          tombstone: true,
          null: [true, false],
        })
        expect(await observe('codecs', broker.bootstrap)).toEqual({
          none: codec(0),
          gzip: codec(1),
          snappy: codec(2),
          lz4: codec(3),
          zstd: codec(4),
        })
      })

      it('are stored with each level of acknowledgement', async () => {
        expect(await observe('acks', broker.bootstrap)).toEqual({ stored: ['none', 'leader', 'all'] })
      })

      it('carry the id and epoch of the idempotent producer that sent them', async () => {
        expect(await observe('idempotence', broker.bootstrap)).toEqual({
          'producer ids': { valid: true, differ: true, epoch: 0 },
          stored: { count: 21, "first's id": true, "second's id": true, epochs: [0, 0] },
        })
      })

      it('are found at the partition and offset that the acknowledgement named', async () => {
        expect(await observe('partitioning', broker.bootstrap)).toEqual({ 'found where the acknowledgement said': 40 })
      })

      it('are refused where the topic does not take them', async () => {
        expect(await observe('refusals', broker.bootstrap)).toEqual({
          '2000 bytes where 1000 are allowed': 'MESSAGE_TOO_LARGE',
          '900 bytes where 1000 are allowed': 'NONE',
          'no key on a compacted topic': 'INVALID_RECORD',
          'a key on a compacted topic': 'NONE',
          'a topic that is not there': 'UNKNOWN_TOPIC_OR_PARTITION',
          'a topic that is not there, with automatic creation': 'NONE',
        })
      })

      it('arrive even when each is larger than a fetch may be', async () => {
        expect(await observe('large-records', broker.bootstrap)).toEqual({ intact: 6 })
      })

      it('are read from the start, an offset, the end or a time, while other offsets lead to a reset', async () => {
        expect(await observe('seek', broker.bootstrap)).toEqual({
          start: '0',
          'offset 7': '7',
          '3 before the end': '7',
          'after a timestamp': '4',
          'reset from beyond the end': '0',
          'set to 4': '4',
          'set to 8 while paused': '8',
        })
      })

      it('of topics that match a pattern are consumed, also when the topic comes later', async () => {
        expect(await observe('regex', broker.bootstrap)).toEqual({ values: ['first', 'second'] })
      })
    })

    describe('transactions', () => {
      it('are seen when they are committed, and closed to a producer that was replaced', async () => {
        expect(await observe('transactions', broker.bootstrap)).toEqual({
          described: ['Ongoing', true],
          listed: true,
          committed: ['0', '2', '4'],
          'the zombie is fenced': true,
          'committed after that': ['0', '2', '4', 'of its successor'],
        })
      })

      it('of sessions that come and go copy each record once', async () => {
        expect(await observe('transact', broker.bootstrap)).toEqual({ 'each once': true })
      })
    })

    describe('a group', () => {
      const underLoad = (protocol: string, revoked: number) => ({
        'given up by the first when the second came': [revoked],
        described: {
          state: 'Stable',
          type: 'consumer',
          protocol,
          clients: ['a', 'b', 'c'],
          partitions: 6,
          topics: true,
        },
        'out of order, missing or twice': [],
        'enough records to tell': true,
        'state after the last left': 'Empty',
      })

      it('of three members that join and leave under load consumes each record once, by the range assignor', async () => {
        expect(await observe('range', broker.bootstrap)).toEqual(underLoad('range', 6))
      })

      it('does the same by cooperative rebalancing, in which a member keeps what it may keep', async () => {
        expect(await observe('cooperative', broker.bootstrap)).toEqual(underLoad('cooperative-sticky', 3))
      })

      it('lets a static member restart without a rebalance and an administrator remove it', async () => {
        expect(await observe('static-member', broker.bootstrap)).toEqual({
          instances: ['instance-a', 'instance-b'],
          'another member id for the restarted': true,
          'revocations of the other': 0,
          'removed by an administrator': {
            'instance-a': 'NONE',
            'instance-b': 'NONE',
            'instance-x': 'UNKNOWN_MEMBER_ID',
          },
          'state after that': 'Empty',
        })
      })

      it('goes on from its committed offset', async () => {
        expect(await observe('resume', broker.bootstrap)).toEqual({
          'after the commit of record 3': '4',
          'after the commit of all': ['10'],
        })
      })

      it('has its offsets committed, fetched and deleted by an administrator', async () => {
        expect(await observe('offsets', broker.bootstrap)).toEqual({
          commit: 'NONE',
          'partition 0': [5, -1, 'a note'],
          'partition 1': [0, 0, ''],
          'of a group that has none': -1,
          'of two groups at once': [2, 0],
          'commit for an absent topic': 'UNKNOWN_TOPIC_OR_PARTITION',
          'commit for an absent partition': 'UNKNOWN_TOPIC_OR_PARTITION',
          delete: 'NONE',
          'left after the delete': [false, 0],
        })
      })

      it('has a lag, with and without members', async () => {
        expect(await observe('lag', broker.bootstrap)).toEqual({
          'without a member': ['Empty', 3, 0, 3],
          'with a member': ['Stable', 'member', 0],
          'consumed from the committed offsets': { '0': ['2', '3', '4'] },
        })
      })

      it('is listed, described and deleted according to its state', async () => {
        expect(await observe('groups', broker.bootstrap)).toEqual({
          listed: { active: ['Stable', 'consumer'], empty: ['Empty', ''] },
          'listed as stable': [true, false],
          coordinator: ['NONE', 1],
          described: {
            request: ['NONE'],
            active: ['Stable', 'NONE'],
            empty: ['Empty', 'NONE'],
            absent: ['Dead', 'GROUP_ID_NOT_FOUND'],
          },
          deleted: { active: 'NON_EMPTY_GROUP', empty: 'NONE', absent: 'GROUP_ID_NOT_FOUND' },
          'offsets deleted of a topic in use': 'GROUP_SUBSCRIBED_TO_TOPIC',
          'deleted when empty': 'NONE',
          'listed after that': false,
        })
      })
    })

    describe('administration', () => {
      it('creates, grows, lists and deletes topics and refuses what is not valid', async () => {
        expect(await observe('topics', broker.bootstrap)).toEqual({
          'validate only': 'NONE',
          create: ['NONE', 3, 1, '1000'],
          'with defaults': 'NONE',
          again: 'TOPIC_ALREADY_EXISTS',
          'with 0 partitions': 'INVALID_PARTITIONS',
          'with 3 replicas': 'INVALID_REPLICATION_FACTOR',
          'with an invalid name': 'INVALID_TOPIC_EXCEPTION',
          'with an unknown setting': 'INVALID_CONFIG',
          listed: [3, true, false, [1]],
          'two partitions more': 'NONE',
          'fewer partitions': 'INVALID_PARTITIONS',
          'the same number': 'INVALID_PARTITIONS',
          partitions: 5,
          delete: ['NONE', 'UNKNOWN_TOPIC_OR_PARTITION'],
          'created again': ['NONE', true],
        })
      })

      it('reads and changes settings and knows where each value comes from', async () => {
        const from = (retention: string, policy: string, segment = '1073741824 DEFAULT_CONFIG') => ({
          'retention.ms': retention,
          'cleanup.policy': policy,
          'segment.bytes': segment,
        })
        const [defaultRetention, defaultPolicy] = ['604800000 DEFAULT_CONFIG', 'delete DEFAULT_CONFIG']
        expect(await observe('configs', broker.bootstrap)).toEqual({
          default: from(defaultRetention, defaultPolicy),
          set: ['NONE', from('5000 DYNAMIC_TOPIC_CONFIG', defaultPolicy)],
          append: ['NONE', from('5000 DYNAMIC_TOPIC_CONFIG', 'delete,compact DYNAMIC_TOPIC_CONFIG')],
          subtract: ['NONE', from('5000 DYNAMIC_TOPIC_CONFIG', 'compact DYNAMIC_TOPIC_CONFIG')],
          delete: ['NONE', from(defaultRetention, 'compact DYNAMIC_TOPIC_CONFIG')],
          refused: ['INVALID_CONFIG', 'INVALID_CONFIG', 'INVALID_CONFIG'],
          replace: ['NONE', from(defaultRetention, defaultPolicy, '1048576 DYNAMIC_TOPIC_CONFIG')],
          'of an absent topic': 'UNKNOWN_TOPIC_OR_PARTITION',
          'of the broker': {
            'offsets.topic.num.partitions': '4 STATIC_BROKER_CONFIG',
            'auto.create.topics.enable': 'true STATIC_BROKER_CONFIG',
            'log.retention.ms': ' DEFAULT_CONFIG',
          },
        })
      })

      it('finds offsets by place and by time', async () => {
        const both = (zero: number[], one: number[]) => ({ '0': zero, '1': one })
        expect(await observe('list-offsets', broker.bootstrap)).toEqual({
          start: both([0, -1, 0], [0, -1, 0]),
          end: both([5, -1, 0], [0, -1, 0]),
          committed: both([5, -1, 0], [0, -1, 0]),
          'after a time between two records': both([1, 1_020_000, 0], [0, -1, 0]),
          'after the exact time of a record': both([2, 1_050_000, 0], [0, -1, 0]),
          'after the last': both([5, -1, 0], [0, -1, 0]),
          'of the largest timestamp': both([2, 1_050_000, 0], [-1, -1, -1]),
          'of an absent topic': 'UNKNOWN_TOPIC_OR_PARTITION',
          'end of leader epoch 0': ['NONE', 0, 5],
        })
      })

      it('deletes records up to an offset', async () => {
        expect(await observe('delete-records', broker.bootstrap)).toEqual({
          'before 5': ['NONE', 5],
          'before 5 again': ['NONE', 5],
          'before 3, which are gone': ['NONE', 5],
          'beyond the end': ['OFFSET_OUT_OF_RANGE', -1],
          start: 5,
          'consumed from 1': ['5', '6', '7'],
          all: ['NONE', 8],
        })
      })

      it('describes the cluster, its versions and its log directories', async () => {
        expect(await observe('cluster', broker.bootstrap)).toMatchObject({
          metadata: [1, true, 22],
          versions: { Produce: [0, 13], Fetch: [4, 18], ApiVersions: [0, expect.any(Number)] },
          telemetry: false,
          'log directories': [2, true],
          reassignments: 0,
        })
      })
    })
  })
})
