import { baseOffsetAt, batchSizeAt, lastOffsetAt } from '@millrace/protocol'
import type { Logger } from '../base/logger.ts'
import { CorruptLogError } from '../base/errors.ts'
import { BatchCursor } from './batch-cursor.ts'
import type { Disk, DiskFile } from './disk.ts'
import type { LogConfig } from './log-config.ts'
import {
  CORRUPT_SUFFIX,
  CUT_SUFFIX,
  DELETED_SUFFIX,
  LOG_SUFFIX,
  OFFSET_INDEX_SUFFIX,
  TIME_INDEX_SUFFIX,
  TRANSACTION_INDEX_SUFFIX,
  fileName,
  offsetOfFile,
} from './log-files.ts'
import { FILE_SUFFIXES, LogSegment } from './log-segment.ts'
import { recoverSegment } from './recover-segment.ts'
import { finishSwapNow } from './segment-swap.ts'

/** What a change of several files that did not come to its end leaves behind; all of it can go. */
const DRAFT_SUFFIXES = ['.tmp', DELETED_SUFFIX]
const INDEX_SUFFIXES = [OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX]
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
  /** What becomes of a log that is damaged where it was durable. */
  readonly onCorruption: 'fail' | 'truncate'
  /** Compaction has been here, so that offsets may be missing between batches. */
  readonly wasCompacted: boolean
  readonly logStartOffset: number
}

export interface LoadedSegments {
  /** In order; at least one, and the last is the active one. */
  readonly segments: LogSegment[]
  readonly endOffset: number
  /** Everything from here on was read and checked, the rest is as it was closed; Infinity if nothing was. */
  readonly recoveredFrom: number
  /** Those whose transaction index is not to be believed and is made again, which takes the producers' states. */
  readonly withoutTransactions: ReadonlySet<LogSegment>
}

/**
 * Opens the segments in a partition's directory and finds where the log ends.
 *
 * After a clean shutdown the last index entry and the headers behind it tell. Otherwise what lies beyond the recovery
 * point is read batch by batch, and the log ends before the first bad one: what follows, whole segments included, leaves
 * the log, and one copy of it stays as `*.cut`.
 *
 * A bad batch below the recovery point, or after a clean shutdown, is no torn tail: it was durable, and what stands there
 * now is damage. Then the log is not opened, by a CorruptLogError that leaves the batches as they are, or where that was
 * chosen it ends before the damage, and what follows stays as `*.corrupt`.
 */
export function loadSegments(options: LoadOptions): LoadedSegments {
  const { disk, directory, config, logger, nowMs } = options
  finishSwapNow(disk, directory)
  const bases = tidy(disk, directory)
  dropBelow(options.logStartOffset, bases, disk, directory)
  const durableTo = options.isCleanShutdown ? Infinity : options.recoveryPoint
  const segments: LogSegment[] = []
  const withoutTransactions = new Set<LogSegment>()
  const mayHaveGaps = config.isCompacted || options.wasCompacted
  let endOffset = options.logStartOffset
  let recoveredFrom = Infinity

  try {
    for (const [i, base] of bases.entries()) {
      const segment = LogSegment.open(disk, directory, base, nowMs)
      const isLast = i === bases.length - 1
      const nextBase = bases[i + 1] ?? Infinity
      // A name whose removal was not durable comes back with what was replaced since by other batches.
      const isOverlapping = base < endOffset
      const isBehindGap = segments.length > 0 && (isOverlapping || (base !== endOffset && !mayHaveGaps))
      segments.push(segment)
      if (nextBase <= durableTo) {
        const nextOffset = isLast
          ? cleanEndOf(segment, config)
          : // A segment that ends where the recovery point is may have been closed after that was synced, and its
            // indexes be written and not durable: zeros would make its records older than any retention.
            nextBase < durableTo && hasSoundIndexes(segment, config, nextBase)
            ? nextBase
            : null
        const end = isLast || mayHaveGaps || options.isCleanShutdown ? nextOffset : cleanEndOf(segment, config)
        if (nextOffset !== null && end !== null) {
          endOffset = end
          if (isLast || end === nextOffset) continue
          const problem = `the segment ends at offset ${end}, and the next one begins at ${nextBase}`
          refuseUnlessChosen(options, segment.path, segment.sizeBytes, problem, end)
          cutOff(disk, segment, segment.sizeBytes, directory, bases.slice(i + 1), CORRUPT_SUFFIX)
          logger.warn('a segment is missing; the log ends before it', { directory, problem, endOffset })
          break
        }
        logger.warn('indexes are missing or damaged and are built again', { segment: segment.path })
      }

      // The log may start within its first segment; what lies before the start is whole all the same.
      const firstOffset = segments.length === 1 ? base : Math.max(base, endOffset)
      const recovered = isBehindGap
        ? { readFrom: base, validBytes: 0, nextOffset: endOffset, problem: `the segment before ends at ${endOffset}` }
        : recoverSegment(segment, firstOffset, config.indexIntervalBytes, nextBase <= durableTo ? 0 : durableTo)
      withoutTransactions.add(segment)
      recoveredFrom = Math.min(recoveredFrom, recovered.readFrom)
      endOffset = recovered.nextOffset
      if (recovered.problem === null) {
        if (!isLast) segment.seal()
        continue
      }

      const { problem, validBytes } = recovered
      const isCorrupt = endOffset < durableTo
      if (isCorrupt) refuseUnlessChosen(options, segment.path, validBytes, problem, endOffset)
      const suffix = isCorrupt ? CORRUPT_SUFFIX : CUT_SUFFIX
      const cutBytes = cutOff(disk, segment, validBytes, directory, bases.slice(i + 1), suffix)
      if (isBehindGap) segments.pop()!.delete()
      logger.warn(`the log ends before its first bad batch; what followed is kept as *${suffix}`, {
        segment: segment.path,
        position: validBytes,
        problem,
        cutBytes,
        endOffset,
        wasDurable: isCorrupt,
      })
      break
    }
    // After an orderly end as well: that wrote down where the end is.
    if (endOffset < options.recoveryPoint) {
      const last = segments.at(-1)
      const problem = `the log ends at offset ${endOffset}, and was durable up to ${options.recoveryPoint}`
      refuseUnlessChosen(options, last?.path ?? directory, last?.sizeBytes ?? 0, problem, endOffset)
      logger.warn('the log is shorter than it was', { directory, problem })
    }
  } catch (cause) {
    for (const segment of segments) segment.close()
    // Its indexes would say that all is well to the next start.
    const damaged = segments.at(-1)
    if (cause instanceof CorruptLogError && damaged !== undefined) {
      for (const suffix of INDEX_SUFFIXES) disk.remove(`${directory}/${fileName(damaged.baseOffset, suffix)}`)
    }
    throw cause
  }

  if (segments.length > 0 && endOffset < options.logStartOffset) {
    const suffix = endOffset < options.recoveryPoint || options.isCleanShutdown ? CORRUPT_SUFFIX : CUT_SUFFIX
    logger.warn(`the log ends before its start offset and begins again there; what it held is kept as *${suffix}`, {
      directory,
      endOffset,
    })
    for (const segment of segments.splice(0)) keepAside(disk, segment, suffix)
  }
  if (segments.length === 0) {
    endOffset = options.logStartOffset
    segments.push(LogSegment.create(disk, directory, endOffset, nowMs))
  }
  return { segments, endOffset, recoveredFrom, withoutTransactions }
}

/** The log was durable where it is damaged: only who owns the data may choose to go on without it. */
function refuseUnlessChosen(
  { onCorruption }: LoadOptions,
  path: string,
  position: number,
  problem: string,
  endOffset: number,
): void {
  if (onCorruption === 'truncate') return
  throw new CorruptLogError(
    path,
    position,
    `${problem}; it was durable, so nothing is cut off: restore the file, or set recovery.on.corruption=truncate to ` +
      `end the log before it, at offset ${endOffset}, and keep what follows as *${CORRUPT_SUFFIX}`,
  )
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
    const base = INDEX_SUFFIXES.map((suffix) => offsetOfFile(name, suffix)).find((offset) => offset !== null) ?? null
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
function hasSoundIndexes(segment: LogSegment, config: LogConfig, nextOffset: number): boolean {
  const { offsetIndex, timeIndex, transactionIndex, sizeBytes } = segment
  if (!segment.hadIndexes || !offsetIndex.isSound || !timeIndex.isSound) return false
  if (!transactionIndex.isSoundFor(segment.baseOffset, nextOffset)) return false
  if (sizeBytes === 0) return offsetIndex.count === 0 && timeIndex.count === 0
  // All but the last batch of a segment without entries fit between two of them.
  const mayBeEmpty = sizeBytes <= config.indexIntervalBytes + config.maxMessageBytes
  return offsetIndex.count === 0 ? mayBeEmpty : offsetIndex.lastPosition < sizeBytes
}

/** The end offset of the last segment after a clean shutdown, or null if it does not look as it was closed. */
function cleanEndOf(segment: LogSegment, config: LogConfig): number | null {
  const { offsetIndex, sizeBytes } = segment
  if (!hasSoundIndexes(segment, config, Infinity)) return null
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

/**
 * Cuts the segment at `position` and takes the later ones away. Of what leaves the log one cut is kept, the latest; what
 * was durable stays until a person removes it.
 */
function cutOff(
  disk: Disk,
  segment: LogSegment,
  position: number,
  directory: string,
  laterBases: number[],
  suffix: string,
): number {
  if (suffix === CUT_SUFFIX) {
    for (const name of disk.list(directory)) if (name.endsWith(CUT_SUFFIX)) disk.remove(`${directory}/${name}`)
  }
  let cutBytes = segment.sizeBytes - position
  if (cutBytes > 0) {
    const path = freeName(disk, segment.path + suffix)
    const aside = disk.open(path, { create: true })
    copyTail(segment.file, position, aside)
    aside.close()
  }
  segment.cutAt(position)
  segment.seal()
  for (const base of laterBases) {
    const later = LogSegment.open(disk, directory, base, 0)
    cutBytes += later.sizeBytes
    keepAside(disk, later, suffix)
  }
  return cutBytes
}

/** Takes a segment out of the log and keeps its batches. */
function keepAside(disk: Disk, segment: LogSegment, suffix: string): void {
  if (segment.sizeBytes > 0) disk.rename(segment.path, freeName(disk, segment.path + suffix))
  segment.delete()
}

/** `path`, or with a number behind it if an earlier file of that name is there. */
function freeName(disk: Disk, path: string): string {
  let name = path
  for (let count = 1; disk.exists(name); count++) name = `${path}.${count}`
  return name
}

function copyTail(from: DiskFile, position: number, to: DiskFile): void {
  const chunk = Buffer.allocUnsafe(Math.min(COPY_BYTES, from.size - position))
  for (let at = position; at < from.size;) {
    const read = from.read(chunk, 0, chunk.length, at)
    to.append(chunk, 0, read)
    at += read
  }
}
