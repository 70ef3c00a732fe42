import { beforeAll, describe, expect, it } from 'vitest'
import { describeBroker, missing } from '../harness/index.ts'
import { install, observe } from './program.ts'

const reason = missing('python3')

// A transaction that is left open is to be aborted soon after its time is up.
const settings = { 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '500' }

describe.skipIf(reason !== null)(`librdkafka${reason === null ? '' : `: ${reason}`}`, () => {
  beforeAll(install)

  describeBroker('with a broker', { settings }, (broker) => {
    const records = (theme: string) => observe('records', theme, broker.bootstrap)
    const positions = (theme: string) => observe('positions', theme, broker.bootstrap)
    const groups = (theme: string) => observe('groups', theme, broker.bootstrap)
    const transactions = (theme: string) => observe('transactions', theme, broker.bootstrap)
    const administration = (theme: string) => observe('administration', theme, broker.bootstrap)

    it('reads records as it sent them, with every compression', async () => {
      const intact = { errors: [], equal: true, headers: true, offsets: true }
      expect(await records('codecs')).toEqual({
        none: intact,
        gzip: intact,
        snappy: intact,
        lz4: intact,
        zstd: intact,
      })
    })

    it('produces with each level of acknowledgement', async () => {
      expect(await records('acks')).toEqual({ stored: ['acks 0', 'acks 1', 'acks all'] })
    })

    it('keeps the order of two idempotent producers with many requests in flight', async () => {
      const inOrder = { errors: [], 'in order': true, 'offsets as acknowledged': true }
      expect(await records('idempotence')).toEqual({ a: inOrder, b: inOrder })
    })

    it('reports the delivery of each record or why it was refused', async () => {
      expect(await records('reports')).toEqual({
        'create time': ['NONE', 1, 0, [1, 1_700_000_000_000]],
        'latency and topic': [true, true],
        'append time': ['NONE', 2, true],
        'append time as acknowledged': true,
        '2000 bytes where 1000 are allowed': 'MSG_SIZE_TOO_LARGE',
        '900 bytes where 1000 are allowed': 'NONE',
        'no key on a compacted topic': 'INVALID_RECORD',
        'a key on a compacted topic': 'NONE',
        'a partition that is not there': '_UNKNOWN_PARTITION',
        'a topic that is not there': 'UNKNOWN_TOPIC_OR_PART',
        'a topic that is not there, with automatic creation': 'NONE',
        'an invalid topic name': 'TOPIC_EXCEPTION',
      })
    })

    it('gets records that are larger than a fetch may be', async () => {
      expect(await records('large')).toEqual({ intact: true })
    })

    it('finds 20,000 records where their reports said', async () => {
      expect(await records('many')).toEqual({
        errors: 0,
        'found where acknowledged': true,
        'sum of the ends': 20_000,
        'partitions used': 4,
      })
    })

    it('knows the watermarks, asked for or remembered', async () => {
      expect(await positions('watermarks')).toEqual({
        asked: [
          [0, 10],
          [0, 0],
        ],
        'remembered from the fetch': 10,
        'of an absent partition': '_UNKNOWN_PARTITION',
      })
    })

    it('seeks, and resets as configured when the place is beyond the end', async () => {
      expect(await positions('seek')).toEqual({
        beginning: '0',
        'offset 7': '7',
        'offset 3': '3',
        position: 4,
        end: '_PARTITION_EOF',
        '3 before the end': '7',
        'beyond the end': '_AUTO_OFFSET_RESET',
        'beyond the end, reset to earliest': '0',
        'beyond the end, reset to latest': '_PARTITION_EOF',
      })
    })

    it('pauses and resumes a partition', async () => {
      expect(await positions('pause')).toEqual({
        'while one is paused': [true],
        'nothing more': true,
        'after resume': ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
      })
    })

    it('finds offsets for times', async () => {
      expect(await positions('times')).toEqual({
        'before all': [0, -1],
        exact: [3, -1],
        between: [4, -1],
        'after all': [-1, -1],
        'read from a time': ['6', '7', '8', '9'],
      })
    })

    it('lists all topics with a request that carries three bytes too many, and goes on', async () => {
      const everything = { listed: 3, error: null, brokers: 1, 'cluster id': true, controller: true }
      expect(await positions('topics')).toEqual({
        'all, 0': everything,
        'one, 0': [1, true],
        'all, 1': everything,
        'one, 1': [1, true],
        'all, 2': everything,
        'one, 2': [1, true],
        'an absent one': 'UNKNOWN_TOPIC_OR_PART',
        'not created by asking': false,
      })
    })

    const underLoad = (protocol: string, givenUp: number) => ({
      'one member owns': [0, 1, 2, 3, 4, 5],
      'two members own': [0, 1, 2, 3, 4, 5],
      'the first gave up': [givenUp],
      'three members own': [0, 1, 2, 3, 4, 5],
      described: ['STABLE', protocol, ['a', 'b', 'c']],
      'two remain and own': [0, 1, 2, 3, 4, 5],
      'one remains and owns': [0, 1, 2, 3, 4, 5],
      'out of order, missing or twice': {},
      'enough records to tell': true,
      lost: [],
    })

    it('consumes each record once while members of a group join and leave', async () => {
      expect(await groups('range')).toEqual(underLoad('range', 6))
    })

    it('does the same by cooperative rebalancing, in which a member keeps what it may keep', async () => {
      expect(await groups('cooperative')).toEqual(underLoad('cooperative-sticky', 3))
    })

    it('restarts a static member unnoticed and fences its twin', async () => {
      expect(await groups('static')).toEqual({
        'another member id': true,
        'calls of the other meanwhile': 0,
        'the fenced one is told': '_FATAL',
      })
    })

    it('commits by message, by offset, from the store, in the background and on close', async () => {
      expect(await groups('commits')).toEqual({
        'nothing committed yet': [-1001, -1001],
        'by message': [4, -1001],
        'by offset': [6, 0],
        metadata: 'a note',
        'absent partition': 'UNKNOWN_TOPIC_OR_PART',
        position: [10, 0],
        'goes on at': '10',
        stored: [12, 0],
        'nothing new to commit': '_NO_OFFSET',
        automatic: [null, 13],
        'on close': 5,
      })
    })

    it('loses its partitions when it does not poll, and its late commit is refused', async () => {
      expect(await groups('fencing')).toEqual({
        'commit of the slow one': 'UNKNOWN_MEMBER_ID',
        'the slow one is told': '_MAX_POLL_EXCEEDED',
      })
    })

    it('creates, grows, describes and deletes topics', async () => {
      expect(await administration('topics')).toEqual({
        'validate only': 'NONE',
        create: 'NONE',
        again: 'TOPIC_ALREADY_EXISTS',
        'with 3 replicas': 'INVALID_REPLICATION_FACTOR',
        'with an invalid name': 'TOPIC_EXCEPTION',
        'with an assignment': 'NONE',
        'with an assignment to no broker': 'INVALID_REPLICA_ASSIGNMENT',
        'with a bad setting': 'INVALID_CONFIG',
        'more partitions, validate only': 'NONE',
        'more partitions': 'NONE',
        'fewer partitions': 'INVALID_PARTITIONS',
        'partitions of an absent topic': 'UNKNOWN_TOPIC_OR_PART',
        described: {
          name: true,
          internal: false,
          partitions: [0, 1, 2, 3, 4],
          leader: 1,
          replicas: [1],
          isr: [1],
          'has an id': true,
        },
        'described, absent': 'UNKNOWN_TOPIC_OR_PART',
        delete: ['NONE', 'UNKNOWN_TOPIC_OR_PART'],
        'created again': 'NONE',
        'has another id': true,
      })
    })

    it('describes and changes settings of topics and of the broker', async () => {
      expect(await administration('configs')).toEqual({
        'of the topic': {
          'retention.ms': ['1000', 'DYNAMIC_TOPIC_CONFIG', false],
          'cleanup.policy': ['delete', 'DEFAULT_CONFIG', false],
          'segment.bytes': ['1073741824', 'DEFAULT_CONFIG', false],
        },
        'of the broker': {
          'offsets.topic.num.partitions': ['4', 'STATIC_BROKER_CONFIG', true],
          'log.retention.hours': ['168', 'DEFAULT_CONFIG', true],
          'auto.create.topics.enable': ['true', 'STATIC_BROKER_CONFIG', true],
        },
        synonyms: { 'retention.ms': '1000' },
        'validate only': 'NONE',
        'SET segment.bytes': 'NONE',
        'after SET segment.bytes': ['1048576', 'DYNAMIC_TOPIC_CONFIG', false],
        'APPEND cleanup.policy': 'NONE',
        'after APPEND cleanup.policy': ['delete,compact', 'DYNAMIC_TOPIC_CONFIG', false],
        'DELETE retention.ms': 'NONE',
        'after DELETE retention.ms': ['604800000', 'DEFAULT_CONFIG', false],
        'SUBTRACT cleanup.policy': 'NONE',
        'after SUBTRACT cleanup.policy': ['compact', 'DYNAMIC_TOPIC_CONFIG', false],
        refused: ['INVALID_CONFIG', 'INVALID_CONFIG', 'INVALID_CONFIG', 'UNKNOWN_TOPIC_OR_PART', 'INVALID_REQUEST'],
        replace: 'NONE',
        'after the replacement': {
          'max.message.bytes': ['2000', 'DYNAMIC_TOPIC_CONFIG', false],
          'cleanup.policy': ['delete', 'DEFAULT_CONFIG', false],
          'segment.bytes': ['1073741824', 'DEFAULT_CONFIG', false],
        },
        'set of the broker': 'NONE',
        'of the broker after that': {
          'log.retention.bytes': ['1000000', 'DYNAMIC_BROKER_CONFIG', false],
          'log.retention.ms': [null, 'DEFAULT_CONFIG', false],
        },
        'inherited by the topic': { 'retention.bytes': ['1000000', 'DYNAMIC_BROKER_CONFIG', false] },
        'delete of the broker': 'NONE',
        'of the broker as before': {
          'log.retention.bytes': ['-1', 'DEFAULT_CONFIG', false],
          'log.retention.ms': [null, 'DEFAULT_CONFIG', false],
        },
      })
    })

    it('commits and aborts transactions over partitions', async () => {
      expect(await transactions('endings')).toEqual({
        committed: true,
        everything: 19,
        'an empty one': ['NONE', 'NONE'],
      })
    })

    it('waits with what is behind an open transaction', async () => {
      expect(await transactions('holding')).toEqual({
        'while it is open': ['before'],
        'its end': 1,
        'when it is aborted': ['before', 'quick', 'behind'],
      })
    })

    it('commits offsets with a transaction', async () => {
      expect(await transactions('offsets')).toEqual({
        committed: 2,
        aborted: 2,
        'of a member that left': ['UNKNOWN_MEMBER_ID', 'abortable'],
      })
    })

    it('fences a producer whose transactional id another one has taken', async () => {
      expect(await transactions('fencing')).toEqual({
        'commit of the zombie': ['_FENCED', 'fatal'],
        seen: ['of the successor'],
      })
    })

    it('copies each record once, with transactions that are aborted on the way', async () => {
      expect(await transactions('copying')).toEqual({ 'exactly once': true, 'with aborted ones': true })
    })

    it('cannot commit a transaction that took too long', async () => {
      expect(await transactions('timing_out')).toEqual({ commit: '_FENCED' })
    })

    it('lists, describes and deletes groups', async () => {
      expect(await administration('groups')).toEqual({
        // A group that has only offsets is a simple one: its protocol type is empty.
        listed: { active: ['STABLE', false], empty: ['EMPTY', true] },
        'listed as stable': { active: ['STABLE', false] },
        'listed as empty': { empty: ['EMPTY', true] },
        described: {
          state: 'STABLE',
          type: 'CLASSIC',
          assignor: 'range',
          coordinator: 1,
          client: 'member',
          member: true,
          host: '127.0.0.1',
          instance: null,
          assigned: [0, 1],
        },
        'described, empty': 'EMPTY',
        'described, absent': 'DEAD',
        'by the older call': ['Stable', 'range', 'Empty', 1],
        deleted: ['NON_EMPTY_GROUP', 'NONE', 'GROUP_ID_NOT_FOUND'],
        'deleted when empty': 'NONE',
        'listed after that': {},
      })
    })

    it('lists and alters the offsets of a group', async () => {
      expect(await administration('offsets')).toEqual({
        altered: 'NONE',
        all: [
          [0, 5, null],
          [1, 7, null],
        ],
        some: [
          [1, 7, null],
          [9, -1001, null],
        ],
        'of a group that has none': [],
        'for an absent topic': 'UNKNOWN_TOPIC_OR_PART',
        'while the group has members': 'UNKNOWN_MEMBER_ID',
        'left as they were': [
          [0, 5, null],
          [1, 7, null],
        ],
      })
    })

    it('lists offsets of every kind and deletes records', async () => {
      const none = [-1, -1, null]
      expect(await administration('records')).toEqual({
        earliest: [
          [0, -1, 0],
          [0, -1, 0],
        ],
        latest: [
          [5, -1, 0],
          [0, -1, 0],
        ],
        'largest timestamp': [[2, 1_050_000, 0], none],
        'by time': [[1, 1_020_000, 0], none],
        'after all': [none, none],
        'of an absent topic': '_NOENT',
        'delete before 2': ['NONE', 2],
        'delete before 1': ['NONE', 2],
        'delete beyond the end': ['OFFSET_OUT_OF_RANGE', false],
        'earliest after that': [
          [2, -1, 0],
          [0, -1, 0],
        ],
        'delete all': ['NONE', 5],
        'earliest after all': [
          [5, -1, 0],
          [0, -1, 0],
        ],
      })
    })

    it('describes the cluster and what one may do with it', async () => {
      expect(await administration('cluster')).toEqual({
        described: {
          'cluster id': true,
          nodes: [1],
          controller: 1,
          address: true,
          operations: [
            'ALTER',
            'ALTER_CONFIGS',
            'CLUSTER_ACTION',
            'CREATE',
            'DESCRIBE',
            'DESCRIBE_CONFIGS',
            'IDEMPOTENT_WRITE',
          ],
        },
      })
    })
  })
})
