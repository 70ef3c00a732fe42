import { describe, expect, it } from 'vitest'
import { canonical, complaint, splitList } from './option.ts'
import { brokerOption, groupOption, topicOption } from './options.ts'
import { validateTopicConfig, validateTopicConfigs } from './topic-settings.ts'

const ofTopic = (name: string, value: string): string | null => validateTopicConfig(name, value)

describe('the options', () => {
  it('have a default that is itself valid', () => {
    const options = [...brokerOption.values(), ...topicOption.values(), ...groupOption.values()]
    expect(options.length).toBeGreaterThan(380)
    for (const option of options) {
      expect(option.default === null ? null : complaint(option, option.default), option.name).toBeNull()
    }
  })

  it('have a one-line description each', () => {
    for (const { name, doc } of [...brokerOption.values(), ...topicOption.values(), ...groupOption.values()]) {
      expect(doc, name).toMatch(/^[^\n]{10,}$/)
    }
  })
})

describe('validateTopicConfig', () => {
  // Words and verdicts of Kafka 4.3.1 for the same values.
  it.each([
    ['retention.ms', 'abc', 'Invalid value abc for configuration retention.ms: Not a number of type LONG'],
    ['retention.ms', '-5', 'Invalid value -5 for configuration retention.ms: Value must be at least -1'],
    ['retention.ms', '1.5', 'Invalid value 1.5 for configuration retention.ms: Not a number of type LONG'],
    ['retention.ms', '', 'Invalid value  for configuration retention.ms: Not a number of type LONG'],
    [
      'retention.ms',
      '9223372036854775808',
      'Invalid value 9223372036854775808 for configuration retention.ms: Not a number of type LONG',
    ],
    [
      'segment.bytes',
      '99999999999',
      'Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT',
    ],
    ['segment.bytes', '10', 'Invalid value 10 for configuration segment.bytes: Value must be at least 1048576'],
    ['segment.bytes', '0x100000', 'Invalid value 0x100000 for configuration segment.bytes: Not a number of type INT'],
    [
      'cleanup.policy',
      'compact,foo',
      'Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete',
    ],
    ['cleanup.policy', 'delete,', "Configuration 'cleanup.policy' values must not be empty."],
    [
      'compression.type',
      'lzo',
      'Invalid value lzo for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer',
    ],
    [
      'preallocate',
      'yes',
      'Invalid value yes for configuration preallocate: Expected value to be either true or false',
    ],
    [
      'min.cleanable.dirty.ratio',
      '2.0',
      'Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1',
    ],
    [
      'min.cleanable.dirty.ratio',
      'x',
      'Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE',
    ],
    ['nope', '1', 'Unknown topic config name: nope'],
    [
      'compression.gzip.level',
      '0',
      'Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1',
    ],
    [
      'leader.replication.throttled.replicas',
      'x',
      "Invalid value [x] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
    ],
  ])('refuses %s=%s in Kafka’s words', (name, value, message) => {
    expect(ofTopic(name, value)).toBe(message)
  })

  it.each([
    ['retention.ms', ' 12 '],
    ['retention.ms', '9223372036854775807'],
    ['segment.bytes', '+2000000'],
    ['cleanup.policy', ''],
    ['cleanup.policy', 'compact, delete'],
    ['preallocate', 'TRUE'],
    ['compression.gzip.level', '-1'],
    ['leader.replication.throttled.replicas', '0:1,1:2'],
    ['leader.replication.throttled.replicas', '*'],
    ['internal.segment.bytes', '100'],
    ['retention.bytes', '-7'],
  ])('takes %s=%s as Kafka does', (name, value) => {
    expect(ofTopic(name, value)).toBeNull()
  })
})

describe('validateTopicConfigs', () => {
  it('refuses lags of compaction that contradict each other', () => {
    const settings = new Map([
      ['min.compaction.lag.ms', '10'],
      ['max.compaction.lag.ms', '5'],
    ])
    expect(validateTopicConfigs(settings)).toBe(
      'conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)',
    )
  })

  it('refuses tiered storage, which there is none of', () => {
    expect(validateTopicConfigs(new Map([['remote.storage.enable', 'true']]))).toMatch(/^Tiered Storage/)
  })
})

describe('canonical', () => {
  it('shows values as Kafka does after parsing them', () => {
    expect(canonical(topicOption.get('retention.ms')!, ' +077 ')).toBe('77')
    expect(canonical(topicOption.get('retention.ms')!, '9223372036854775807')).toBe('9223372036854775807')
    expect(canonical(topicOption.get('cleanup.policy')!, 'compact, delete')).toBe('compact,delete')
    expect(canonical(topicOption.get('preallocate')!, 'FALSE')).toBe('false')
  })
})

describe('splitList', () => {
  it('has no entry for the empty text', () => {
    expect(splitList(' ')).toEqual([])
    expect(splitList('a, b')).toEqual(['a', 'b'])
  })
})
