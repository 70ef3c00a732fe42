import { expect, it } from 'vitest'
import { kafkaTool } from '../harness/index.ts'
import { observe } from './program.ts'
import { describeJava } from './suite.ts'

describeJava("Java's producer and consumer", (broker, shell) => {
  const look = (theme: string) => observe(shell, 'ClientThemes', theme, broker.bootstrap)

  it('pass records unchanged with every compression', async () => {
    const intact = [50, 0, 'CreateTime']
    expect(await look('codecs')).toEqual({ none: intact, gzip: intact, snappy: intact, lz4: intact, zstd: intact })
  })

  it('work with each level of acknowledgement', async () => {
    expect(await look('acks')).toEqual({
      'offset with acks 0': -1,
      'offset with acks 1': 1,
      'offset with acks all': 2,
      stored: ['acks 0', 'acks 1', 'acks all'],
    })
  })

  it('pass 20,000 records in order for each key, with several requests in flight', async () => {
    expect(await look('many')).toEqual({
      partitions: [0, 1, 2, 3],
      failures: [],
      'found where acknowledged': 20_000,
      'in order for each key': true,
    })
  })

  it('are told why a record is refused', async () => {
    expect(await look('refusals')).toEqual({
      '2000 bytes where 1000 are allowed': 'MESSAGE_TOO_LARGE',
      '800 bytes where 1000 are allowed': 'NONE',
      'no key on a compacted topic': 'INVALID_RECORD',
      'a key on a compacted topic': 'NONE',
      'a timestamp before the allowed': 'INVALID_TIMESTAMP',
      // The client waits for a partition that may be about to come until its own time is up.
      'an absent partition': 'REQUEST_TIMED_OUT',
      'an invalid topic': 'INVALID_TOPIC_EXCEPTION',
      'a topic that is created by it': 'NONE',
      'a good record after all that': 'NONE',
    })
  })

  it('get the time of the broker where the topic wants it', async () => {
    expect(await look('append-time')).toEqual({
      type: 'LogAppendTime',
      'time of the broker': true,
      'as acknowledged': true,
    })
  })

  it('pass records that are larger than a fetch may be', async () => {
    expect(await look('large')).toEqual({ intact: 6 })
  })

  it('seek, pause and find offsets for times', async () => {
    expect(await look('positions')).toEqual({
      'beginnings and ends': [0, 10, 0],
      sought: '7',
      "sought with the leader's epoch": '5',
      beginning: '0',
      'position after a poll of 3': 3,
      lag: 7,
      'position at the end': 10,
      'for a time': [4, 1_004_000, 0, true],
      'for a time after all': true,
      'read from the time on': '4',
      'while paused': 0,
      paused: 1,
      resumed: '0',
    })
  })

  it('reset as their policy says', async () => {
    expect(await look('resets')).toEqual({
      earliest: '0',
      'earliest, from beyond the end': '0',
      'by_duration:PT1H': '2',
      'by_duration:PT1H, from beyond the end': '2',
      none: 'NoOffsetForPartitionException',
      'none, from beyond the end': 'OffsetOutOfRangeException',
      latest: '4',
      'latest, from beyond the end': 'no record',
    })
  })

  it('commit synchronously, asynchronously, in the background and on close', async () => {
    expect(await look('commits')).toEqual({
      'none yet': true,
      sync: [4, 0, 'a note'],
      async: ['null', 6],
      'absent partition': 'REQUEST_TIMED_OUT',
      member: [true, true],
      'goes on at': '6',
      'on close': 11,
    })
  })

  const underLoad = (givenUp: number) => ({
    'given up by the first when the second came': [givenUp],
    'out of order, missing or twice': [],
    'enough records to tell': true,
    problems: [],
  })

  it('consume each record once while members of a group join and leave', async () => {
    expect(await look('eager')).toEqual(underLoad(6))
  })

  it('do the same by cooperative rebalancing, in which a member keeps what it may keep', async () => {
    expect(await look('cooperative')).toEqual(underLoad(3))
  })

  it('restart a static member unnoticed and fence the one that has a twin', async () => {
    expect(await look('static-member')).toEqual({
      'gets its partitions back': true,
      'revocations of the other': 0,
      'the one with a twin': ['lost 2', 'fenced'],
    })
  })

  it('take over from a member that does not poll and refuse its commit', async () => {
    expect(await look('fencing')).toEqual({
      'taken over': ['0'],
      'late commit': 'refused',
      'commit of the new owner': 1,
    })
  })

  it('subscribe to a pattern, also for topics that come later', async () => {
    expect(await look('pattern')).toEqual({ values: ['first', 'second'] })
  })

  it("read the internal topic of committed offsets with Kafka's own formatters", async () => {
    const { group, topic } = (await look('committed-group')) as { group: string; topic: string }

    const committed = await internalRecords('OffsetsMessageFormatter', group)
    // The client sends its partitions in no particular order.
    const partition = ({ key }: InternalRecord) => Number(key.data['partition'])
    expect(committed.toSorted((a, b) => partition(a) - partition(b))).toEqual([
      {
        key: { type: 1, data: { group, topic, partition: 0 } },
        value: {
          version: expect.any(Number),
          data: expect.objectContaining({ offset: 3, leaderEpoch: 0, metadata: 'a note' }),
        },
      },
      {
        key: { type: 1, data: { group, topic, partition: 1 } },
        value: {
          version: expect.any(Number),
          data: expect.objectContaining({ offset: 0, leaderEpoch: -1, metadata: '' }),
        },
      },
    ])

    const metadata = await internalRecords('GroupMetadataMessageFormatter', group)
    // Kafka also writes a record for the group as it was before its first generation.
    const first = metadata.find(({ value }) => value?.data['generation'] === 1)
    expect(first).toEqual({
      key: { type: 2, data: { group } },
      value: {
        version: expect.any(Number),
        data: expect.objectContaining({
          protocolType: 'consumer',
          generation: 1,
          protocol: 'range',
          members: [expect.objectContaining({ groupInstanceId: 'known-instance', clientId: 'known-client' })],
        }),
      },
    })
  })

  /**
   * What is in `__consumer_offsets` about a group so far, as a formatter prints it; each prints only its own kind. Only
   * the group's partition is read, because a count of records in several would end anywhere while others are written.
   */
  async function internalRecords(formatter: string, group: string): Promise<InternalRecord[]> {
    const topic = '__consumer_offsets'
    const partition = partitionOf(group)
    const at = ['--bootstrap-server', broker.bootstrap]
    const end = await shell.run(kafkaTool.getOffsets, [...at, '--topic-partitions', `${topic}:${partition}`])
    const count = end.stdout.trim().split(':')[2]!
    const from = ['--topic', topic, '--partition', String(partition), '--offset', 'earliest', '--max-messages', count]
    const format = ['--formatter', `org.apache.kafka.tools.consumer.${formatter}`, '--timeout-ms', '20000']
    const result = await shell.run(kafkaTool.consoleConsumer, [...at, ...from, ...format])
    if (result.exitCode !== 0) throw new Error(`the console consumer failed:\n${result.stderr}`)
    // The formatters print no line break between two records.
    const records = result.stdout.trim().split(/(?<=\})\s*(?=\{"key":)/)
    return records
      .map((record) => JSON.parse(record) as InternalRecord)
      .filter(({ key }) => key.data['group'] === group)
  }
})

/** The partition of `__consumer_offsets` that holds a group: the size of Java's hash of its name, modulo. */
function partitionOf(group: string): number {
  let hash = 0
  for (const letter of group) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0
  // Math.abs as Kafka has it, which for a negative hash is not the same as clearing the sign bit.
  return Math.abs(hash) % 4
}

interface InternalRecord {
  readonly key: { readonly type: number; readonly data: Readonly<Record<string, unknown>> }
  readonly value: { readonly version: number; readonly data: Readonly<Record<string, unknown>> } | null
}
