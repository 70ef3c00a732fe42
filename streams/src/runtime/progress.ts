import type { Metrics } from './app.ts'

const WIDTH = 24

/**
 * One line about an application for a terminal, with a bar while state is being restored:
 *
 *     restoring [############............] 50 %  1_200 of 2_400 changes, 2 stores to go
 *     running   3 tasks  12_000 records/s  lag 42
 */
export function progressLine(metrics: Metrics): string {
  const open = metrics.restore.filter(({ isStandby, offset, endOffset }) => !isStandby && offset < endOffset)
  if (open.length === 0) {
    const lag = metrics.lag.reduce((sum, one) => sum + (one.lag ?? 0), 0)
    const rate = group(Math.round(metrics.recordsPerSecond))
    return `${metrics.state.padEnd(9)} ${metrics.tasks.active.length} tasks  ${rate} records/s  lag ${group(lag)}`
  }
  const active = metrics.restore.filter(({ isStandby }) => !isStandby)
  const all = active.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)
  const done = active.reduce(
    (sum, { startOffset, offset, endOffset }) => sum + Math.min(offset, endOffset) - startOffset,
    0,
  )
  const share = all === 0 ? 1 : done / all
  const filled = Math.round(share * WIDTH)
  const bar = '#'.repeat(filled) + '.'.repeat(WIDTH - filled)
  const stores = open.length === 1 ? '1 store' : `${open.length} stores`
  return `restoring [${bar}] ${Math.floor(share * 100)} %  ${group(done)} of ${group(all)} changes, ${stores} to go`
}

function group(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, '_')
}
