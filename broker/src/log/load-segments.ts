import { baseOffsetAt, batchSizeAt, lastOffsetAt } from '@millrace/protocol'
import type { Logger } from '../base/logger.ts'
import { BatchCursor } from './batch-cursor.ts'
import type { Disk, DiskFile } from './disk.ts'
import type { LogConfig } from './log-config.ts'
import {
  CUT_SUFFIX,
  DELETED_SUFFIX,
  LOG_SUFFIX,
  OFFSET_INDEX_SUFFIX,
  TIME_INDEX_SUFFIX,
  fileName,
  offsetOfFile,
} from './log-files.ts'
import { FILE_SUFFIXES, LogSegment } from './log-segment.ts'
import { recoverSegment } from './recover-segment.ts'
import { finishSwapNow } from './segment-swap.ts'

/** What a change of several files that did not come to its end leaves behind; all of it can go. */
const DRAFT_SUFFIXES = ['.tmp', DELETED_SUFFIX]
const COPY_BYTES = 1024 * 1024
const HEADER_WINDOW_BYTES = 4096

export interface LoadOptions {
  readonly disk: Disk
  readonly directory: string
  readonly config: LogConfig
  readonly logger: Logger
  readonly nowMs: number
  readonly isCleanShutdown: boolean
  readonly recoveryPoint: number
  readonly logStartOffset: number
}

export interface LoadedSegments {
  /** In order; at least one, and the last is the active one. */
  readonly segments: LogSegment[]
  readonly endOffset: number
  /** Everything from here on was read and checked, the rest is as it was closed; Infinity if nothing was. */
  readonly recoveredFrom: number
}

/**
 * Opens the segments in a partition's directory and finds where the log ends.
 *
 * After a clean shutdown the last index entry and the headers behind it tell. Otherwise the segments that reach beyond
 * the recovery point are read batch by batch, and the log ends before the first bad one: what follows, whole segments
 * included, leaves the log, and one copy of it stays as `*.cut`.
 */
export function loadSegments(options: LoadOptions): LoadedSegments {
  const { disk, directory, config, logger, nowMs } = options
  finishSwapNow(disk, directory)
  const bases = tidy(disk, directory)
  dropBelow(options.logStartOffset, bases, disk, directory)
  const segments: LogSegment[] = []
  let endOffset = options.logStartOffset
  let recoveredFrom = Infinity

  for (const [i, base] of bases.entries()) {
    const segment = LogSegment.open(disk, directory, base, nowMs)
    const isLast = i === bases.length - 1
    const nextBase = bases[i + 1] ?? Infinity
    // A clean shutdown synced everything, and so did whoever moved the recovery point.
    const mayBeTorn = isLast || (!options.isCleanShutdown && nextBase > options.recoveryPoint)
    if (options.isCleanShutdown || nextBase <= options.recoveryPoint) {
      const nextOffset = isLast ? cleanEndOf(segment, config) : hasSoundIndexes(segment, config) ? nextBase : null
      if (nextOffset !== null) {
        segments.push(segment)
        endOffset = nextOffset
        continue
      }
      logger.warn('indexes are missing or damaged and are built again', { segment: segment.path })
    }

    // The log may start within its first segment; what lies before the start is whole all the same.
    const firstOffset = segments.length === 0 ? base : Math.max(base, endOffset)
    if (!mayBeTorn) {
      rebuildIndexes(segment, config, logger)
      segments.push(segment)
      endOffset = nextBase
      continue
    }

    recoveredFrom = Math.min(recoveredFrom, base)
    const isBehindGap = segments.length > 0 && base !== endOffset && !config.isCompacted
    const recovered = isBehindGap
      ? { validBytes: 0, nextOffset: endOffset, problem: `the segment before ends at offset ${endOffset}` }
      : recoverSegment(segment, firstOffset, config.indexIntervalBytes)
    endOffset = recovered.nextOffset
    segments.push(segment)
    if (recovered.problem === null) {
      if (!isLast) segment.seal()
      continue
    }
    const cutBytes = cutOff(disk, segment, recovered.validBytes, directory, bases.slice(i + 1))
    if (isBehindGap) segments.pop()!.delete()
    logger.warn('the log ends before its first bad batch; what followed is kept as *.cut', {
      segment: segment.path,
      position: recovered.validBytes,
      problem: recovered.problem,
      cutBytes,
      endOffset,
      isBelowRecoveryPoint: endOffset < options.recoveryPoint,
    })
    break
  }

  if (segments.length > 0 && endOffset < options.logStartOffset) {
    logger.warn('the log ends before its start offset and begins again there', { directory, endOffset })
    for (const segment of segments.splice(0)) segment.delete()
  }
  if (segments.length === 0) {
    endOffset = options.logStartOffset
    segments.push(LogSegment.create(disk, directory, endOffset, nowMs))
  }
  return { segments, endOffset, recoveredFrom }
}

/** Bad batches of a closed segment are decay and not a torn tail. What is readable of the segment stays so. */
function rebuildIndexes(segment: LogSegment, config: LogConfig, logger: Logger): void {
  const { problem, validBytes } = recoverSegment(segment, segment.baseOffset, config.indexIntervalBytes)
  if (problem !== null) {
    logger.error('batches of a closed segment are damaged', { segment: segment.path, position: validBytes, problem })
  }
  segment.seal()
}

/** Removes drafts and indexes without a log, and answers the base offsets of the segments in order. */
function tidy(disk: Disk, directory: string): number[] {
  const bases: number[] = []
  for (const name of disk.list(directory)) {
    const base = offsetOfFile(name, LOG_SUFFIX)
    if (base !== null) bases.push(base)
    else if (DRAFT_SUFFIXES.some((suffix) => name.endsWith(suffix))) disk.remove(`${directory}/${name}`)
  }
  bases.sort((a, b) => a - b)
  const known = new Set(bases)
  for (const name of disk.list(directory)) {
    const base = offsetOfFile(name, OFFSET_INDEX_SUFFIX) ?? offsetOfFile(name, TIME_INDEX_SUFFIX)
    if (base !== null && !known.has(base)) disk.remove(`${directory}/${name}`)
  }
  return bases
}

/**
 * Removes the segments that end at or before the start of the log. Retention writes down the start before it renames
 * anything, so what it did not come to must not stay: with a gap behind it, it would be taken for the log's good part.
 */
function dropBelow(logStartOffset: number, bases: number[], disk: Disk, directory: string): void {
  while (bases.length > 1 && bases[1]! <= logStartOffset) {
    const base = bases.shift()!
    for (const kind of FILE_SUFFIXES) disk.remove(`${directory}/${fileName(base, kind)}`)
  }
}

/** Whether the indexes can be those of the segment as it was closed. */
function hasSoundIndexes(segment: LogSegment, config: LogConfig): boolean {
  const { offsetIndex, timeIndex, sizeBytes } = segment
  if (!segment.hadIndexes || !offsetIndex.isSound || !timeIndex.isSound) return false
  if (sizeBytes === 0) return offsetIndex.count === 0 && timeIndex.count === 0
  // All but the last batch of a segment without entries fit between two of them.
  const mayBeEmpty = sizeBytes <= config.indexIntervalBytes + config.maxMessageBytes
  return offsetIndex.count === 0 ? mayBeEmpty : offsetIndex.lastPosition < sizeBytes
}

/** The end offset of the last segment after a clean shutdown, or null if it does not look as it was closed. */
function cleanEndOf(segment: LogSegment, config: LogConfig): number | null {
  const { offsetIndex, sizeBytes } = segment
  if (!hasSoundIndexes(segment, config)) return null
  if (sizeBytes === 0) return segment.baseOffset

  const cursor = new BatchCursor(segment.file, HEADER_WINDOW_BYTES)
  let position = offsetIndex.lastPosition
  let nextOffset = -1
  while (position < sizeBytes) {
    if (!cursor.moveTo(position) || cursor.problem() !== null) return null
    const { buffer, at } = cursor
    if (baseOffsetAt(buffer, at) < Math.max(nextOffset, segment.baseOffset)) return null
    const lastOffset = lastOffsetAt(buffer, at)
    // The last entry speaks of the batch it points to.
    if (nextOffset < 0 && offsetIndex.count > 0 && lastOffset !== offsetIndex.lastOffset) return null
    nextOffset = lastOffset + 1
    position += batchSizeAt(buffer, at)
  }
  return nextOffset
}

/** Cuts the segment at `position` and takes the later ones away; what leaves the log replaces what an earlier cut kept. */
function cutOff(disk: Disk, segment: LogSegment, position: number, directory: string, laterBases: number[]): number {
  for (const name of disk.list(directory)) if (name.endsWith(CUT_SUFFIX)) disk.remove(`${directory}/${name}`)
  let cutBytes = segment.sizeBytes - position
  if (cutBytes > 0) {
    const aside = disk.open(segment.path + CUT_SUFFIX, { create: true })
    copyTail(segment.file, position, aside)
    aside.close()
  }
  segment.cutAt(position)
  segment.seal()
  for (const base of laterBases) {
    const later = LogSegment.open(disk, directory, base, 0)
    cutBytes += later.sizeBytes
    disk.rename(later.path, later.path + CUT_SUFFIX)
    later.delete()
  }
  return cutBytes
}

function copyTail(from: DiskFile, position: number, to: DiskFile): void {
  const chunk = Buffer.allocUnsafe(Math.min(COPY_BYTES, from.size - position))
  for (let at = position; at < from.size;) {
    const read = from.read(chunk, 0, chunk.length, at)
    to.append(chunk, 0, read)
    at += read
  }
}
