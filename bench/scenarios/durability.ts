import { type Contestant, kafka, ours } from '../measure/brokers.ts'
import { metric } from './figures.ts'
import { producing } from './produce.ts'
import type { Scenario } from './scenario.ts'

const synced: readonly Contestant[] = [
  { ...ours, name: 'millrace fsync', settings: { 'acks.after': 'fsync' } },
  { ...kafka, name: 'Kafka fsync', settings: { 'log.flush.interval.messages': '1' } },
  // The same promise as `acks.after=write`: how much of it a sync costs.
  { ...kafka, name: 'Kafka page cache' },
]

export const durabilityScenarios: readonly Scenario[] = [
  producing({
    name: 'fsync-64k',
    title: 'Acknowledged after fsync: one partition, 100 B records, 64 KB batches, acks=all',
    contestants: synced,
    metrics: [
      metric.recordRate({ ratioAtLeast: 5 }, { ratioAtLeast: 0.7, against: 'Kafka page cache' }),
      metric.ackP50(),
      metric.ackP99(),
      metric.cpu(),
    ],
    flags: { recordBytes: 100, batchBytes: 65_536, acks: 'all', connections: 1, inFlight: 5 },
  }),
  producing({
    name: 'fsync-single',
    title: 'Acknowledged after fsync: requests of one record over 16 connections, 1 in flight',
    contestants: synced,
    metrics: [metric.requestRate({ ratioAtLeast: 5 }), metric.ackP50(), metric.ackP99()],
    flags: { recordBytes: 100, batchRecords: 1, acks: 'all', connections: 16, inFlight: 1 },
  }),
  producing({
    name: 'fsync-50k',
    title: 'Acknowledged after fsync: 50 K records/s offered in batches of 100, acks=all',
    contestants: synced,
    metrics: [metric.ackP50(), metric.ackP99({ ratioAtMost: 1 }), metric.ackP999(), metric.heldShare()],
    flags: { recordBytes: 100, batchRecords: 100, acks: 'all', rate: 50_000, connections: 1, inFlight: 5 },
  }),
]
