import type { LoadLine } from '../measure/load.ts'
import type { Bar, Figures, Metric } from './scenario.ts'

/** The metrics that most scenarios report, with the bars of the one that asks. */
export const metric = {
  recordRate: (...bars: Bar[]): Metric => ({ key: 'recordRate', label: 'records', unit: '/s', bars }),
  requestRate: (...bars: Bar[]): Metric => ({ key: 'requestRate', label: 'requests', unit: '/s', bars }),
  consumeRate: (...bars: Bar[]): Metric => ({ key: 'consumeRate', label: 'records consumed', unit: '/s', bars }),
  megabytes: (): Metric => ({ key: 'megabytes', label: 'bytes', unit: 'MB/s' }),
  consumeMegabytes: (...bars: Bar[]): Metric => ({
    key: 'consumeMegabytes',
    label: 'bytes consumed',
    unit: 'MB/s',
    bars,
  }),
  ackP50: (): Metric => ({ key: 'ackP50', label: 'acknowledgement p50', unit: 'ms' }),
  ackP99: (...bars: Bar[]): Metric => ({ key: 'ackP99', label: 'acknowledgement p99', unit: 'ms', bars }),
  ackP999: (): Metric => ({ key: 'ackP999', label: 'acknowledgement p99.9', unit: 'ms' }),
  endToEndP50: (): Metric => ({ key: 'endToEndP50', label: 'end to end p50', unit: 'ms' }),
  endToEndP99: (...bars: Bar[]): Metric => ({ key: 'endToEndP99', label: 'end to end p99', unit: 'ms', bars }),
  endToEndP999: (): Metric => ({ key: 'endToEndP999', label: 'end to end p99.9', unit: 'ms' }),
  cpu: (...bars: Bar[]): Metric => ({ key: 'cpu', label: 'broker CPU per record', unit: 'µs', bars }),
  memory: (...bars: Bar[]): Metric => ({ key: 'memory', label: 'resident memory after it', unit: 'MB', bars }),
  heldShare: (...bars: Bar[]): Metric => ({ key: 'heldShare', label: 'of the offered rate', unit: '%', bars }),
} as const

/** Figures out of what the load generator printed. */
export function figuresOf(line: LoadLine): Figures {
  const figures: Record<string, number | undefined> = {
    recordRate: line.produced?.recordsPerSecond,
    requestRate: line.produced?.requestsPerSecond,
    megabytes: line.produced?.megabytesPerSecond,
    consumeRate: line.fetched?.recordsPerSecond,
    consumeMegabytes: line.fetched?.megabytesPerSecond,
    ackP50: line.ackMs?.p50,
    ackP99: line.ackMs?.p99,
    ackP999: line.ackMs?.p999,
    endToEndP50: line.endToEndMs?.p50,
    endToEndP99: line.endToEndMs?.p99,
    endToEndP999: line.endToEndMs?.p999,
    cpu: line.brokerCpuMicrosPerRecord,
    loadCpu: line.loadCpuSeconds / line.seconds,
    heldShare: heldPercent(line),
  }
  return Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== undefined)) as Figures
}

/** How much of what was offered was acknowledged in time. */
export function heldPercent(line: LoadLine): number | undefined {
  if (line.offeredPerSecond === undefined) return undefined
  return ((line.produced?.recordsPerSecond ?? 0) / line.offeredPerSecond) * 100
}
