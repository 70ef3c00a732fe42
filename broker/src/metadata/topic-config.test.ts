import { describe, expect, it } from 'vitest'
import { BrokerConfig } from '../config/broker-config.ts'
import { defaultLogConfig } from '../log/log-config.ts'
import { logConfig, metadataLogConfig } from './topic-config.ts'

const NONE = new Map<string, string>()

describe('logConfig', () => {
  it('is Kafka’s for a topic and a broker that set nothing', () => {
    expect(logConfig(BrokerConfig.from(), NONE)).toEqual(defaultLogConfig)
  })

  it('takes the topic’s settings over the broker’s', () => {
    const config = BrokerConfig.from({
      sets: ['log.retention.hours=1', 'log.segment.bytes=2000000', 'message.max.bytes=77'],
    })
    const settings = new Map([
      ['segment.bytes', ' 3000000 '],
      ['cleanup.policy', 'compact, delete'],
    ])
    expect(logConfig(config, settings)).toMatchObject({
      retentionMs: 3_600_000,
      segmentBytes: 3_000_000,
      maxMessageBytes: 77,
      isCompacted: true,
      isDeleted: true,
    })
  })

  it('reads the largest long as no bound, and as no retention', () => {
    const max = '9223372036854775807'
    const settings = new Map([
      ['retention.ms', max],
      ['segment.ms', max],
      ['retention.bytes', '-7'],
    ])
    expect(logConfig(BrokerConfig.from(), settings)).toMatchObject({
      retentionMs: -1,
      retentionBytes: -1,
      segmentMs: Infinity,
      maxCompactionLagMs: Infinity,
    })
  })

  it('lets tests have small segments', () => {
    expect(logConfig(BrokerConfig.from(), new Map([['internal.segment.bytes', '100']])).segmentBytes).toBe(100)
  })
})

describe('metadataLogConfig', () => {
  it('keeps everything whatever the broker’s topics do', () => {
    const config = BrokerConfig.from({
      sets: ['log.cleanup.policy=compact', 'log.retention.ms=5', 'log.roll.jitter.ms=9'],
    })
    expect(metadataLogConfig(config)).toMatchObject({
      isCompacted: false,
      retentionMs: -1,
      retentionBytes: -1,
      segmentJitterMs: 0,
      messageTimestampType: 'CreateTime',
    })
  })
})
