import assert from 'node:assert/strict'
import { checkpointText, parseCheckpoint, parseOffset, replaceFile } from './checkpoint-file.ts'
import type { Disk } from './disk.ts'
import { LEADER_EPOCHS_FILE } from './log-files.ts'

export interface LeaderEpoch {
  readonly epoch: number
  readonly startOffset: number
}

/** What Kafka answers for an epoch that a log knows nothing about. */
export const UNKNOWN_EPOCH = -1
export const UNKNOWN_OFFSET = -1

/**
 * Which leader epoch began at which offset of a partition: what a follower or a consumer compares to find where its log
 * and the leader's part (KIP-101, KIP-320). Both numbers grow from entry to entry.
 *
 * Kept in `leader-epoch-checkpoint`, which is written at each change and made durable with the log. It can be rebuilt
 * from the batch headers, and recovery does that for the part of the log it scans.
 */
export class LeaderEpochs {
  readonly path: string
  readonly #disk: Disk
  #entries: LeaderEpoch[] = []
  #isUnsynced = false

  constructor(disk: Disk, directory: string) {
    this.#disk = disk
    this.path = `${directory}/${LEADER_EPOCHS_FILE}`
  }

  get entries(): readonly LeaderEpoch[] {
    return this.#entries
  }

  /** The latest epoch, or -1. */
  get latestEpoch(): number {
    return this.#entries.at(-1)?.epoch ?? UNKNOWN_EPOCH
  }

  /** Whether the file changed since `synced`. */
  get isUnsynced(): boolean {
    return this.#isUnsynced
  }

  synced(): void {
    this.#isUnsynced = false
  }

  /** Nothing is known of how durable the file is: whoever wrote it has died. */
  distrust(): void {
    this.#isUnsynced = this.#disk.exists(this.path)
  }

  /** Reads the file; false if it is absent or not to be understood, and then there are no entries. */
  load(): boolean {
    const lines = parseCheckpoint(this.#disk.readFile(this.path), 2)
    const entries: LeaderEpoch[] = []
    for (const [epochWord, offsetWord] of lines ?? []) {
      const epoch = parseOffset(epochWord)
      const startOffset = parseOffset(offsetWord)
      const last = entries.at(-1)
      if (epoch === null || startOffset === null) return false
      if (last !== undefined && (epoch <= last.epoch || startOffset < last.startOffset)) return false
      entries.push({ epoch, startOffset })
    }
    this.#entries = entries
    return lines !== null
  }

  /** Notes that `epoch` begins at `startOffset`. A known epoch stays where it is, and later ones are forgotten. */
  assign(epoch: number, startOffset: number): void {
    assert(epoch >= 0 && startOffset >= 0)
    const last = this.#entries.at(-1)
    if (last !== undefined && last.epoch === epoch && last.startOffset <= startOffset) return
    let kept = this.#entries.length
    while (kept > 0 && this.#conflicts(this.#entries[kept - 1]!, epoch, startOffset)) kept--
    this.#change([...this.#entries.slice(0, kept), { epoch, startOffset }])
  }

  /**
   * Where the asked epoch ends in this log whose end is `logEndOffset`, and the epoch that this is true of: the largest
   * one known that is not above the asked one. An epoch above all known ones gives -1 and -1.
   */
  endOffsetFor(epoch: number, logEndOffset: number): { epoch: number; endOffset: number } {
    if (epoch === UNKNOWN_EPOCH) return { epoch: UNKNOWN_EPOCH, endOffset: UNKNOWN_OFFSET }
    if (epoch === this.latestEpoch) return { epoch, endOffset: logEndOffset }
    const next = this.#entries.findIndex((entry) => entry.epoch > epoch)
    if (next < 0) return { epoch: UNKNOWN_EPOCH, endOffset: UNKNOWN_OFFSET }
    const endOffset = this.#entries[next]!.startOffset
    return { epoch: next === 0 ? epoch : this.#entries[next - 1]!.epoch, endOffset }
  }

  /** The epoch in which `offset` was or would be written, or -1. */
  epochAt(offset: number): number {
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      if (this.#entries[i]!.startOffset <= offset) return this.#entries[i]!.epoch
    }
    return UNKNOWN_EPOCH
  }

  /** Forgets the epochs that begin at `endOffset` or later. */
  truncateFromEnd(endOffset: number): void {
    const kept = this.#entries.filter((entry) => entry.startOffset < endOffset)
    if (kept.length < this.#entries.length) this.#change(kept)
  }

  /** Forgets what lies before `startOffset`; the epoch it falls into begins there now. */
  truncateFromStart(startOffset: number): void {
    const first = this.#entries.findLastIndex((entry) => entry.startOffset <= startOffset)
    if (first < 0 || this.#entries[first]!.startOffset === startOffset) {
      if (first > 0) this.#change(this.#entries.slice(first))
      return
    }
    this.#change([{ epoch: this.#entries[first]!.epoch, startOffset }, ...this.#entries.slice(first + 1)])
  }

  clear(): void {
    if (this.#entries.length > 0) this.#change([])
  }

  #conflicts(entry: LeaderEpoch, epoch: number, startOffset: number): boolean {
    return entry.epoch >= epoch || entry.startOffset >= startOffset
  }

  #change(entries: LeaderEpoch[]): void {
    const text = checkpointText(entries.map((entry) => `${entry.epoch} ${entry.startOffset}`))
    replaceFile(this.#disk, this.path, Buffer.from(text))
    this.#entries = entries
    this.#isUnsynced = true
  }
}
