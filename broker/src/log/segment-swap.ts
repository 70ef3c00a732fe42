import { batchSizeAt, lastOffsetAt } from '@millrace/protocol'
import { BatchCursor } from './batch-cursor.ts'
import type { Disk } from './disk.ts'
import { CLEANED_SUFFIX, DELETED_SUFFIX, LOG_SUFFIX, SWAP_SUFFIX } from './log-files.ts'
import { FILE_SUFFIXES, type LogSegment } from './log-segment.ts'

const HEADER_WINDOW_BYTES = 64 * 1024

/**
 * Puts cleaned segments in the place of those they were made of, by three rounds of renames, each made durable before the
 * next, so that whatever of them a crash leaves, `finishSwap` finds the old segments or the cleaned ones:
 *
 * 1. `.cleaned` to `.swap`, from the last segment to the first: as long as a `.cleaned` is there, the swap has not begun;
 * 2. the old segments to `.deleted`;
 * 3. `.swap` to the names of the log.
 *
 * The log reads from the old segments until the last round, which is taken within one turn of the event loop.
 */
export class SegmentSwap {
  readonly cleaned: readonly LogSegment[]
  readonly replaced: readonly LogSegment[]
  readonly #rounds: (() => void)[]

  /** Both in order of their offsets. The cleaned ones are sealed and durable, with names that end in `.cleaned`. */
  constructor(cleaned: readonly LogSegment[], replaced: readonly LogSegment[], onDone: () => void) {
    this.cleaned = cleaned
    this.replaced = replaced
    this.#rounds = [
      () => {
        for (const segment of [...cleaned].reverse()) segment.changeSuffix(SWAP_SUFFIX)
      },
      () => {
        for (const segment of replaced) segment.changeSuffix(DELETED_SUFFIX)
      },
      () => {
        for (const segment of cleaned) segment.changeSuffix('')
        onDone()
      },
    ]
  }

  get isDone(): boolean {
    return this.#rounds.length === 0
  }

  /** Takes the next round of renames; the caller makes them durable. */
  step(): void {
    this.#rounds[0]?.()
    this.#rounds.shift()
  }

  /** Takes the rounds that are left at once, for a log that must change in another way right now. */
  finish(): void {
    while (!this.isDone) this.step()
  }
}

/**
 * What is to be done, before a log is opened, about a swap that a crash cut off: one that had not begun is undone, any
 * other is brought to its end, by Kafka's rules. Like the swap it goes by rounds, durable one by one, so that a crash here
 * does no harm either.
 */
export async function finishSwap(disk: Disk, directory: string): Promise<void> {
  for (const round of roundsToFinish(disk, directory)) {
    round()
    await disk.syncDirectory(directory)
  }
}

/** The same at once, for a directory where that was done, or where no power cut is to be feared. */
export function finishSwapNow(disk: Disk, directory: string): void {
  for (const round of roundsToFinish(disk, directory)) round()
}

function* roundsToFinish(disk: Disk, directory: string): Generator<() => void, void, undefined> {
  const names = disk.list(directory)
  const remove = (doomed: readonly string[]) => () => {
    for (const name of doomed) disk.remove(`${directory}/${name}`)
  }

  const drafts = names.filter((name) => name.endsWith(CLEANED_SUFFIX))
  // A swap of several segments begins with the last: a draft that is left says that the first round did not end.
  const firstDraft = drafts.reduce((first, name) => Math.min(first, offsetIn(name)), Infinity)
  const swaps = names.filter((name) => name.endsWith(SWAP_SUFFIX) && offsetIn(name) < firstDraft)
  const undone = names.filter((name) => name.endsWith(SWAP_SUFFIX) && offsetIn(name) >= firstDraft)
  if (undone.length > 0) yield remove(undone)
  if (drafts.length > 0) yield remove(drafts)
  if (swaps.length === 0) return

  let start = Infinity
  let end = -1
  for (const name of swaps.filter(isLog)) {
    start = Math.min(start, offsetIn(name))
    end = Math.max(end, endOf(disk, `${directory}/${name}`, offsetIn(name)))
  }
  // The old segments that the second round had not come to. One of them has the name of the first cleaned one.
  yield remove(
    names.filter((name) => {
      const offset = offsetIn(name)
      return offset >= start && offset < end && FILE_SUFFIXES.some((kind) => name.endsWith(kind))
    }),
  )
  // The logs first: as long as one has its old name, all of this is done again.
  swaps.sort((a, b) => Number(isLog(b)) - Number(isLog(a)))
  yield () => {
    for (const name of swaps) disk.rename(`${directory}/${name}`, `${directory}/${name.slice(0, -SWAP_SUFFIX.length)}`)
  }
}

/** Removes the drafts that are not those of `cleaned`: a compaction was given up and could not take them away. */
export function removeOtherDrafts(disk: Disk, directory: string, cleaned: readonly LogSegment[]): void {
  const own = new Set(cleaned.map((segment) => segment.baseOffset))
  for (const name of disk.list(directory)) {
    if (name.endsWith(CLEANED_SUFFIX) && !own.has(offsetIn(name))) disk.remove(`${directory}/${name}`)
  }
}

/** The offset behind the last batch of a segment in a swap. Its indexes may have got their names already. */
function endOf(disk: Disk, path: string, baseOffset: number): number {
  const file = disk.open(path)
  const cursor = new BatchCursor(file, HEADER_WINDOW_BYTES)
  let end = baseOffset
  for (let position = 0; cursor.moveTo(position) && cursor.problem() === null;) {
    end = lastOffsetAt(cursor.buffer, cursor.at) + 1
    position += batchSizeAt(cursor.buffer, cursor.at)
  }
  file.close()
  return end
}

function isLog(swapName: string): boolean {
  return swapName.endsWith(LOG_SUFFIX + SWAP_SUFFIX)
}

/** The offset that a name begins with; NaN for the name of another file. */
function offsetIn(name: string): number {
  return /^\d{20}\./.test(name) ? Number(name.slice(0, 20)) : NaN
}
