import { expect, it } from 'vitest'
import { observe } from './program.ts'
import { describeJava } from './suite.ts'

describeJava("Java's admin client", (broker, shell) => {
  const look = (theme: string) => observe(shell, 'AdminThemes', theme, broker.bootstrap)

  it('creates, grows and deletes topics, by name and by id', async () => {
    expect(await look('topics')).toEqual({
      'validate only': 'NONE',
      create: 'NONE',
      created: [3, 1, '1000', 'DYNAMIC_TOPIC_CONFIG', 'DEFAULT_CONFIG'],
      'has an id': true,
      'with defaults': 'NONE',
      'with an assignment': 'NONE',
      refused: {
        again: 'TOPIC_ALREADY_EXISTS',
        'no partitions': 'INVALID_PARTITIONS',
        '3 replicas': 'INVALID_REPLICATION_FACTOR',
        'invalid name': 'INVALID_TOPIC_EXCEPTION',
        'dots only': 'INVALID_TOPIC_EXCEPTION',
        'long name': 'INVALID_TOPIC_EXCEPTION',
        'bad value': 'INVALID_CONFIG',
        'unknown setting': 'INVALID_CONFIG',
        'no such broker': 'INVALID_REPLICA_ASSIGNMENT',
        'a gap': 'INVALID_REPLICA_ASSIGNMENT',
      },
      listed: [true, false],
      'more partitions, validate only': 'NONE',
      'more partitions': 'NONE',
      'one more, assigned': 'NONE',
      'partitions refused': [
        'INVALID_PARTITIONS',
        'INVALID_PARTITIONS',
        'INVALID_REPLICA_ASSIGNMENT',
        'UNKNOWN_TOPIC_OR_PARTITION',
      ],
      'delete by id': 'NONE',
      'delete by an absent id': 'UNKNOWN_TOPIC_ID',
      'delete by an absent name': 'UNKNOWN_TOPIC_OR_PARTITION',
      'created again with another id': true,
    })
  })

  it('describes topics, also in several answers', async () => {
    expect(await look('describe-topics')).toEqual({
      'by name': [3, false, 2, 1, [1], [1], 0, 0],
      'absent name': 'UNKNOWN_TOPIC_OR_PARTITION',
      operations: ['ALTER', 'ALTER_CONFIGS', 'CREATE', 'DELETE', 'DESCRIBE', 'DESCRIBE_CONFIGS', 'READ', 'WRITE'],
      'by id': true,
      'absent id': 'UNKNOWN_TOPIC_ID',
      'two partitions at a time': [
        [0, 1, 2],
        [0, 1, 2],
        [0, 1, 2],
      ],
    })
  })

  it('describes and changes settings of topics, of one broker and of all', async () => {
    expect(await look('configs')).toEqual({
      'retention.ms': ['1000', 'DYNAMIC_TOPIC_CONFIG', 'LONG', false, false, true],
      'synonyms of segment.bytes': ['log.segment.bytes=1073741824 DEFAULT_CONFIG'],
      types: {
        'cleanup.policy': 'LIST',
        'min.cleanable.dirty.ratio': 'DOUBLE',
        preallocate: 'BOOLEAN',
        'segment.bytes': 'INT',
      },
      'node.id': ['1', 'INT', true],
      'offsets.topic.num.partitions': ['4', 'INT', true],
      'set at the start': 'STATIC_BROKER_CONFIG',
      'absent topic': 'UNKNOWN_TOPIC_OR_PARTITION',
      'several at once': [
        '604800000 DEFAULT_CONFIG',
        'delete,compact DYNAMIC_TOPIC_CONFIG',
        '1048576 DYNAMIC_TOPIC_CONFIG',
      ],
      subtracted: ['compact DYNAMIC_TOPIC_CONFIG'],
      refused: ['INVALID_CONFIG', 'INVALID_CONFIG', 'INVALID_CONFIG', 'UNKNOWN_TOPIC_OR_PARTITION', 'INVALID_REQUEST'],
      'validated only': ['NONE', 'INVALID_CONFIG'],
      'one good, one bad': ['NONE', 'UNKNOWN_TOPIC_OR_PARTITION'],
      'of every broker': ['70000000 DYNAMIC_DEFAULT_BROKER_CONFIG'],
      'of one broker': ['80000000 DYNAMIC_BROKER_CONFIG'],
      'inherited by the topic': ['80000000 DYNAMIC_BROKER_CONFIG'],
      'only the dynamic ones': ['70000000 DYNAMIC_DEFAULT_BROKER_CONFIG'],
      "back to every broker's": ['70000000 DYNAMIC_DEFAULT_BROKER_CONFIG'],
      'back to the default': ['null DEFAULT_CONFIG'],
    })
  })

  it('lists offsets by every specification', async () => {
    const none = [-1, -1, -1]
    const both = (zero: number[], one: number[]) => [zero, one]
    expect(await look('list-offsets')).toEqual({
      earliest: both([0, -1, 0], [0, -1, 0]),
      latest: both([5, -1, 0], [0, -1, 0]),
      'max timestamp': both([2, 1_050_000, 0], none),
      'between two records': both([1, 1_020_000, 0], none),
      'exact time': both([2, 1_050_000, 0], none),
      'after all': both(none, none),
      'earliest local': both([0, -1, 0], [0, -1, 0]),
      'latest tiered': both(none, none),
      'earliest pending upload': both(none, none),
      'latest committed': 5,
      'absent topic': 'UNKNOWN_TOPIC_OR_PARTITION',
    })
  })

  it('deletes records', async () => {
    expect(await look('delete-records')).toEqual({
      'before 3 of 5': 3,
      'before 9 of 1': 'OFFSET_OUT_OF_RANGE',
      earliest: [3, -1, 0],
      all: 5,
      'earliest and latest': [
        [5, -1, 0],
        [5, -1, 0],
      ],
    })
  })

  it('lists, describes and deletes groups', async () => {
    const active = 'active Stable Classic consumer'
    const empty = 'empty Empty Classic'
    expect(await look('groups')).toEqual({
      'listed, all': [active, empty],
      'listed, stable': [active],
      'listed, empty': [empty],
      'listed, classic': [active, empty],
      'listed, of the new type': [],
      'listed, of consumers': [active, empty],
      described: ['Stable', 'Classic', 'range', false, 1, 1],
      member: ['member', '/127.0.0.1', true, false, 2],
      'described, empty': ['Empty', true],
      'described, absent': 'GROUP_ID_NOT_FOUND',
      'described as classic': 'Stable',
      deleted: ['NON_EMPTY_GROUP', 'NONE', 'GROUP_ID_NOT_FOUND'],
      'offsets deleted of a topic in use': 'GROUP_SUBSCRIBED_TO_TOPIC',
      'deleted when empty': 'NONE',
    })
  })

  it('removes members of a group, by instance and all', async () => {
    expect(await look('members')).toEqual({
      'by instance': ['NONE', 'UNKNOWN_MEMBER_ID'],
      left: 1,
      all: 'NONE',
      'left after that': 0,
    })
  })

  it('alters, lists and deletes the offsets of groups', async () => {
    expect(await look('group-offsets')).toEqual({
      altered: ['NONE', 'NONE', 'UNKNOWN_TOPIC_OR_PARTITION'],
      'all of one group': [2, 5, 0, 'a note', 7, -1, ''],
      'some of another': [1, true],
      'of an unused group': 0,
      deleted: 'NONE',
      left: [1],
      'of an absent group': 'GROUP_ID_NOT_FOUND',
    })
  })

  it('describes the cluster, its features, log directories and internal topics', async () => {
    expect(await look('cluster')).toEqual({
      described: [1, true, 1, 22],
      operations: [
        'ALTER',
        'ALTER_CONFIGS',
        'CLUSTER_ACTION',
        'CREATE',
        'DESCRIBE',
        'DESCRIBE_CONFIGS',
        'IDEMPOTENT_WRITE',
      ],
      'log directory': [1, true, [0, 1]],
      sizes: [true, 0],
      'directory of a replica': true,
      'hidden unless asked for': true,
      'is internal': true,
      features: 'NONE',
    })
  })

  it('reassigns partitions as far as one node can', async () => {
    expect(await look('reassignments')).toEqual({
      listed: 0,
      'listed of one': 0,
      'to where it is': 'NONE',
      'to no such broker': 'INVALID_REPLICA_ASSIGNMENT',
      cancel: 'NO_REASSIGNMENT_IN_PROGRESS',
      'of an absent topic': 'UNKNOWN_TOPIC_OR_PARTITION',
      replicas: [[1]],
    })
  })
})
