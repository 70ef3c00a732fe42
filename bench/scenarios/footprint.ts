import { kafka, ours, pause, startBroker } from '../measure/brokers.ts'
import { load, withTopic } from '../measure/load.ts'
import { residentMegabytes } from '../measure/proc.ts'
import type { Scenario } from './scenario.ts'

/** After a start, until what it needed only then is given back. */
const SETTLE_MS = 8000

export const footprintScenarios: readonly Scenario[] = [
  {
    name: 'footprint',
    title: 'Start of a new data directory until the first Metadata answer, and memory idle and after load',
    contestants: [ours, kafka],
    metrics: [
      { key: 'startMs', label: 'start', unit: 'ms', bars: [{ ratioAtMost: 1 / 12 }] },
      { key: 'idle', label: 'resident memory, idle', unit: 'MB', bars: [{ atMost: 80 }] },
      { key: 'loaded', label: 'resident memory, loaded', unit: 'MB', bars: [{ atMost: 150 }] },
      { key: 'peak', label: 'resident memory, peak', unit: 'MB' },
      { key: 'stopMs', label: 'clean stop', unit: 'ms' },
    ],
    settings: { idleAfterSeconds: SETTLE_MS / 1000, load: '64 KB batches, then single records over 64 connections' },
    async ownRound(contestant, { seconds }) {
      const broker = await startBroker(contestant)
      try {
        await pause(SETTLE_MS)
        const idle = residentMegabytes(broker.pid).now
        const loads = [
          { batchBytes: 65_536, connections: 1, inFlight: 5 },
          { batchRecords: 1, connections: 64, inFlight: 5 },
        ]
        for (const flags of loads) {
          await withTopic(broker, 1, (topic) => load('produce', broker, { topic, seconds, ...flags }))
        }
        const { now: loaded, peak } = residentMegabytes(broker.pid)
        const stopStartMs = performance.now()
        await broker.stop()
        return { startMs: broker.startMs, idle, loaded, peak, stopMs: performance.now() - stopStartMs }
      } finally {
        await broker.stop()
      }
    },
  },
]
