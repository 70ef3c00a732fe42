import { readTime, writeTime } from '../serdes/windowed.ts'
import type { TimedLayout } from './timed-layout.ts'

/** Key, start, sequence: the changelog of Kafka Streams' window stores. The end follows from the window's size. */
export function windowLayout(sizeMs: number): TimedLayout {
  return {
    suffixBytes: 12,
    writeSuffix(into, at, startMs, _endMs, sequence) {
      writeTime(into, startMs, at)
      into.writeUInt32BE(sequence, at + 8)
    },
    readSuffix(from, at) {
      const startMs = readTime(from, at)
      return { startMs, endMs: startMs + sizeMs, sequence: from.readUInt32BE(at + 8) }
    },
    timeMs: (_startMs, endMs) => endMs,
  }
}

/** Key, end, start: the changelog of Kafka Streams' session stores. */
export const sessionLayout: TimedLayout = {
  suffixBytes: 16,
  writeSuffix(into, at, startMs, endMs) {
    writeTime(into, endMs, at)
    writeTime(into, startMs, at + 8)
  },
  readSuffix(from, at) {
    return { startMs: readTime(from, at + 8), endMs: readTime(from, at), sequence: 0 }
  },
  timeMs: (_startMs, endMs) => endMs,
}

/** Key, time waited for, time of the record, sequence. */
export const timeOrderedLayout: TimedLayout = {
  suffixBytes: 20,
  writeSuffix(into, at, startMs, endMs, sequence) {
    writeTime(into, startMs, at)
    writeTime(into, endMs, at + 8)
    into.writeUInt32BE(sequence, at + 16)
  },
  readSuffix(from, at) {
    return { startMs: readTime(from, at), endMs: readTime(from, at + 8), sequence: from.readUInt32BE(at + 16) }
  },
  timeMs: (startMs) => startMs,
}
