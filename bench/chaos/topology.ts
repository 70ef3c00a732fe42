// What is run under kills: words counted behind a repartition topic, counts in windows, two streams joined.
import { int64, string, topic, topology, tumbling, type Topology } from '@millrace/streams'

export const WINDOW_MS = 1000
export const WITHIN_MS = 2000
/** Longer than any run is behind after a kill, so that no record is late and the results depend on the input alone. */
const GRACE = '3h'

export function topicsOf(name: string) {
  const text = (suffix: string) => topic(`${name}-${suffix}`, { key: string(), value: string() })
  const numbers = (suffix: string) => topic(`${name}-${suffix}`, { key: string(), value: int64() })
  return {
    lines: text('lines'),
    events: text('events'),
    left: text('left'),
    right: text('right'),
    words: numbers('words'),
    windows: numbers('windows'),
    pairs: text('pairs'),
  }
}

export function buildTopology(name: string): Topology {
  const { lines, events, left, right, words, windows, pairs } = topicsOf(name)
  const app = topology(name)
  app
    .stream(lines)
    .flatMapValues((line) => line.split(' '))
    .selectKey((_key, word) => word, { key: string() })
    .repartition({ name: 'by-word' })
    .groupByKey()
    .count({ name: 'words' })
    .toStream()
    .to(words)
  app
    .stream(events)
    .groupByKey()
    .windowedBy(tumbling(WINDOW_MS, { grace: GRACE }))
    .count({ name: 'windows' })
    .toStream()
    .selectKey((window) => `${window.key}@${window.startMs}`, { key: string() })
    .to(windows)
  app
    .stream(left)
    .join(app.stream(right), (one, other) => `${one}|${other}`, { within: WITHIN_MS, grace: GRACE, name: 'pairs' })
    .to(pairs)
  return app
}
