import { describe, expect, it } from 'vitest'
import { consumerFigures, producerFigures } from './clients.ts'

describe('what ProducerPerformance prints', () => {
  const total =
    '2000000 records sent, 412345.6 records/sec (39.32 MB/sec), 3.20 ms avg latency, 215.00 ms max latency, ' +
    '1 ms 50th, 5 ms 95th, 11 ms 99th, 40 ms 99.9th.'

  it('is read from its last line', () => {
    const text = `1000000 records sent, 200000.0 records/sec (19.07 MB/sec), 9.0 ms avg latency, 99.0 ms max latency.\n${total}\n`
    expect(producerFigures(text, 2_000_000)).toEqual({ recordRate: 412345.6, ackP50: 1, ackP99: 11, ackP999: 40 })
  })

  it('is a failure when it sent something else', () => {
    expect(() => producerFigures(total, 1_000_000)).toThrow('did not finish')
    expect(() => producerFigures('TimeoutException', 1_000_000)).toThrow('did not finish')
  })
})

describe('what ConsumerPerformance prints', () => {
  const line =
    '2026-01-01 10:00:00:000, 2026-01-01 10:00:08:000, 762.94, 95.4, 8000000, 997000.5, 3100, 4900, 155.7, 1632653.1'

  it('is read with and without the time of joining', () => {
    expect(consumerFigures(`${line}\n`, 8_000_000)).toEqual({ consumeRate: 1632653.1, withJoinRate: 997000.5 })
  })

  it('is a failure when records are missing', () => {
    expect(() => consumerFigures(line, 9_000_000)).toThrow('did not finish')
  })
})
