import type { Metrics, StreamsApp } from './app.ts'
import type { RestoreSummary } from './restore-watch.ts'
import type { ThreadedApp } from './threads/threaded-app.ts'

const WIDTH = 24
/** What an application is doing is the first word of each line. */
const STATE_WIDTH = 9
const REDRAW_MS = 250
/** Where lines cannot be redrawn, so that a log is not filled with them. */
const REPEAT_MS = 10_000

/**
 * One line about an application for a terminal, with a bar while state is being restored:
 *
 *     restoring [############............] 50 %  1_200 of 2_400 changes, 2 stores to go
 *     running   3 tasks  12_000 records/s  lag 42
 */
export function progressLine(metrics: Metrics): string {
  const open = metrics.restore.filter(({ isStandby, offset, endOffset }) => !isStandby && offset < endOffset)
  if (open.length === 0) {
    const rate = group(Math.round(metrics.recordsPerSecond))
    const lag = group(metrics.totalLag)
    return `${metrics.state.padEnd(9)} ${metrics.tasks.active.length} tasks  ${rate} records/s  lag ${lag}`
  }
  const active = metrics.restore.filter(({ isStandby }) => !isStandby)
  const total = active.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)
  const restored = active.reduce(
    (sum, { startOffset, offset, endOffset }) => sum + Math.min(offset, endOffset) - startOffset,
    0,
  )
  return barLine({ restored, total, share: total === 0 ? 1 : restored / total, storesToGo: open.length })
}

/** The bar of a restore, with how long it will take once that can be said. */
export function restoreLine(summary: RestoreSummary): string {
  const { restored, isDone, remainingMs, changesPerSecond } = summary
  if (isDone) return `restored  ${group(restored)} changes`
  if (summary.total === 0) return 'waiting   for tasks and what is known of their state'
  const rest = remainingMs === null ? '' : `, ${duration(remainingMs)} at ${group(Math.round(changesPerSecond))}/s`
  return barLine(summary) + rest
}

export interface ShowProgressOptions {
  /** stderr unless given. */
  readonly stream?: { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown }
}

/**
 * Shows how an application is doing until it ends or the result is disposed of: a line that is redrawn on a terminal,
 * elsewhere a line when its state changes and every ten seconds of a restore.
 *
 *     using _progress = showProgress(app)
 */
export function showProgress(
  app: StreamsApp | ThreadedApp,
  { stream = process.stderr }: ShowProgressOptions = {},
): Disposable {
  const isTerminal = stream.isTTY === true
  const restore = app.watchRestore()
  let shown = ''
  let isRestored = false
  let saidAtMs = -Infinity
  const draw = (): void => {
    const summary = restore()
    const metrics = app.metrics()
    const isRestoring = !isRestored && metrics.state !== 'closed' && metrics.state !== 'failed'
    const line = isRestoring ? restoreLine(summary) : progressLine(metrics)
    if (isTerminal) stream.write(`\r\x1b[K${line.slice(0, (stream.columns ?? 80) - 1)}`)
    else {
      const what = isRestoring ? line.slice(0, STATE_WIDTH) : metrics.state
      const isDue = isRestoring && performance.now() - saidAtMs >= REPEAT_MS
      if (what !== shown || isDue) {
        stream.write(`${line}\n`)
        saidAtMs = performance.now()
      }
      shown = what
    }
    isRestored ||= summary.isDone
  }
  draw()
  const timer = setInterval(draw, REDRAW_MS)
  timer.unref()
  let isShowing = true
  const stop = (): void => {
    if (!isShowing) return
    isShowing = false
    clearInterval(timer)
    draw()
    if (isTerminal) stream.write('\n')
  }
  void app.closed.then(stop)
  return { [Symbol.dispose]: stop }
}

function barLine({ restored, total, share, storesToGo }: BarParts): string {
  const filled = Math.round(share * WIDTH)
  const bar = '#'.repeat(filled) + '.'.repeat(WIDTH - filled)
  const stores = storesToGo === 1 ? '1 store' : `${storesToGo} stores`
  return `restoring [${bar}] ${Math.floor(share * 100)} %  ${group(restored)} of ${group(total)} changes, ${stores} to go`
}

type BarParts = Pick<RestoreSummary, 'restored' | 'total' | 'share' | 'storesToGo'>

function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  if (seconds < 100) return `${seconds} s`
  return seconds < 6000 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`
}

function group(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, '_')
}
