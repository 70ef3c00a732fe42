import { readBatches, readRecords, type RecordBatch } from '@millrace/protocol'
import type { BrokerServices } from '../../handlers/services.ts'
import type { Partition } from '../../partition/partition.ts'
import type { MountedDisk } from './simulated-disk.ts'

/** What a log held, as it was seen to grow; a later process must find it again. */
interface Shadow {
  readonly topic: string
  readonly name: string
  readonly isCompacted: boolean
  end: number
  highWatermark: number
  logStart: number
  /** The checksum of each batch by its base offset, or the records of a compacted log by their offset. */
  readonly content: Map<number, string>
  /** The sequence that comes next, by producer and epoch. */
  readonly sequences: Map<string, number>
  /** Whether producers may be unknown here that have written before. */
  hasForgotten: boolean
  isDoomed: boolean
}

/**
 * Looks into the broker after every step of a simulation and says what must never be: offsets out of order, a high
 * watermark that goes back, gaps in sequences, and, after a crash, a log that is not a beginning of what it was or that
 * lost what could be read before.
 */
export class Observer {
  readonly violations: string[] = []
  readonly #isLossy: boolean
  readonly #shadows = new Map<string, Shadow>()
  #services: BrokerServices | null = null
  #mount: MountedDisk | null = null

  /** `isLossy`: a crash may take topics, and clients go on with new ones as if they were the old. */
  constructor(options: { readonly isLossy: boolean }) {
    this.#isLossy = options.isLossy
  }

  /** A process has opened its logs. `mayHaveLost`: what was not synced may be gone, by the promise that was given. */
  opened(services: BrokerServices, mount: MountedDisk, mayHaveLost: boolean): void {
    this.#services = services
    this.#mount = mount
    for (const partition of services.partitions.all()) {
      const shadow = this.#shadows.get(idOf(partition))
      if (shadow !== undefined) this.#compare(shadow, partition, mayHaveLost)
    }
  }

  /** Somebody asked for the topic to be deleted: until it is, its records may go as well as stay. */
  deleting(topic: string): void {
    for (const shadow of this.#shadows.values()) if (shadow.topic === topic) shadow.isDoomed = true
  }

  died(): void {
    this.#services = null
    this.#mount = null
  }

  check(): void {
    if (this.#services === null) return
    for (const partition of this.#services.partitions.all()) this.#checkOne(partition)
  }

  #checkOne(partition: Partition): void {
    const { log, offsets } = partition
    if (log.isClosed) return
    const shadow = this.#shadowOf(partition)
    const { logStart, lastStable, highWatermark, end } = offsets
    if (!(logStart <= lastStable && lastStable <= highWatermark && highWatermark <= end))
      this.#violated(shadow, `offsets out of order: ${logStart}, ${lastStable}, ${highWatermark}, ${end}`)
    if (end !== log.endOffset && !partition.isOffline)
      this.#violated(shadow, `the partition ends at ${end}, its log at ${log.endOffset}`)
    if (highWatermark < shadow.highWatermark)
      this.#violated(shadow, `the high watermark went back from ${shadow.highWatermark} to ${highWatermark}`)
    shadow.highWatermark = highWatermark
    if (logStart < shadow.logStart)
      this.#violated(shadow, `the log start went back from ${shadow.logStart} to ${logStart}`)
    if (logStart > shadow.logStart) this.#checkShortened(shadow, partition)
    shadow.logStart = logStart
    if (log.endOffset > shadow.end) this.#absorb(shadow, partition)
  }

  /** Retention by size leaves at least so much. Nothing else moves the start of these logs. */
  #checkShortened(shadow: Shadow, { log }: Partition): void {
    const { retentionBytes } = log.config
    if (retentionBytes < 0) return
    let keptBytes = 0
    for (const segment of log.segments) if (segment.baseOffset >= log.logStartOffset) keptBytes += segment.sizeBytes
    if (keptBytes < retentionBytes)
      this.#violated(shadow, `retention left ${keptBytes} bytes, ${retentionBytes} were to be kept`)
  }

  #absorb(shadow: Shadow, partition: Partition, isNew = true): void {
    for (const batch of this.#batches(partition, shadow.end)) {
      // The one that holds `from` may begin before it.
      if (batch.baseOffset < shadow.end) continue
      if (isNew && batch.baseOffset !== shadow.end)
        this.#violated(shadow, `a batch was appended at ${batch.baseOffset}, the end was ${shadow.end}`)
      if (isNew) this.#checkSequence(shadow, batch)
      for (const [offset, text] of contentOf(batch, shadow.isCompacted)) shadow.content.set(offset, text)
      shadow.end = batch.lastOffset + 1
    }
  }

  #checkSequence(shadow: Shadow, batch: RecordBatch): void {
    const { producerId, producerEpoch, baseSequence, recordCount } = batch
    if (producerId < 0 || baseSequence < 0) return
    const producer = `${producerId}/${producerEpoch}`
    const expected = shadow.sequences.get(producer) ?? (shadow.hasForgotten || this.#isLossy ? baseSequence : 0)
    if (baseSequence !== expected)
      this.#violated(shadow, `producer ${producer} wrote sequence ${baseSequence}, ${expected} was next`)
    shadow.sequences.set(producer, baseSequence + recordCount)
  }

  #compare(shadow: Shadow, partition: Partition, mayHaveLost: boolean): void {
    const { log } = partition
    // Nothing orders what a power cut leaves of things that were never synced: any earlier state may be back.
    if (mayHaveLost || shadow.isDoomed) {
      shadow.content.clear()
      shadow.end = log.logStartOffset
      shadow.highWatermark = 0
      shadow.logStart = log.logStartOffset
      shadow.hasForgotten = true
      this.#absorb(shadow, partition, false)
      shadow.end = log.endOffset
      this.#rebuildSequences(shadow, partition)
      return
    }
    if (log.endOffset < shadow.highWatermark)
      this.#violated(
        shadow,
        `the log ends at ${log.endOffset} after a crash; up to ${shadow.highWatermark} it was read`,
      )
    if (log.endOffset > shadow.end) {
      // Written in the very step in which the process died.
      this.#absorb(shadow, partition)
    }
    for (const batch of this.#batches(partition, log.logStartOffset)) {
      for (const [offset, text] of contentOf(batch, shadow.isCompacted)) {
        const before = shadow.content.get(offset)
        if (before !== text)
          this.#violated(shadow, `offset ${offset} is ${text} after a crash and was ${before ?? 'nothing'} before`)
      }
    }
    const isCut = log.endOffset < shadow.end
    for (const offset of shadow.content.keys()) if (offset >= log.endOffset) shadow.content.delete(offset)
    shadow.end = log.endOffset
    shadow.highWatermark = Math.min(shadow.highWatermark, log.endOffset)
    const mayBeShortened = log.config.retentionBytes >= 0 || shadow.isCompacted || shadow.highWatermark === 0
    if (log.logStartOffset > shadow.logStart && !mayBeShortened)
      this.#violated(shadow, `the log starts at ${log.logStartOffset} after a crash and started at ${shadow.logStart}`)
    shadow.logStart = log.logStartOffset
    if (isCut) this.#rebuildSequences(shadow, partition)
  }

  /** What was cut off is sent again. */
  #rebuildSequences(shadow: Shadow, partition: Partition): void {
    shadow.sequences.clear()
    // Of others the batches are gone, by retention or compaction.
    shadow.hasForgotten = true
    if (shadow.isCompacted) return
    for (const { producerId, producerEpoch, baseSequence, recordCount } of this.#batches(partition, 0)) {
      if (producerId >= 0) shadow.sequences.set(`${producerId}/${producerEpoch}`, baseSequence + recordCount)
    }
  }

  #batches(partition: Partition, from: number): RecordBatch[] {
    const { log } = partition
    return this.#mount!.lookedAt(() =>
      [...log.batches(Math.max(from, log.logStartOffset))].flatMap((bytes) => [...readBatches(bytes)]),
    )
  }

  #shadowOf(partition: Partition): Shadow {
    const id = idOf(partition)
    let shadow = this.#shadows.get(id)
    if (shadow === undefined) {
      shadow = {
        topic: partition.topicPartition.topic,
        name: `${partition.topicPartition.topic}-${partition.topicPartition.partition}`,
        isCompacted: partition.log.config.isCompacted,
        end: 0,
        highWatermark: 0,
        logStart: 0,
        content: new Map(),
        sequences: new Map(),
        hasForgotten: false,
        isDoomed: false,
      }
      this.#shadows.set(id, shadow)
    }
    return shadow
  }

  #violated(shadow: Shadow, text: string): void {
    this.violations.push(`${shadow.name}: ${text}`)
  }
}

function idOf(partition: Partition): string {
  return `${partition.topicId} ${partition.topicPartition.partition}`
}

function contentOf(batch: RecordBatch, isCompacted: boolean): [number, string][] {
  // The base offset lies outside of the checksum.
  if (!isCompacted) return [[batch.baseOffset, `crc ${batch.buffer.readUInt32BE(batch.start + 17)}`]]
  if (batch.isControl) return []
  return readRecords(batch).map(({ offset, key, value }) => [
    offset,
    `${key?.toString('latin1') ?? ''}=${value?.toString('latin1') ?? 'null'}`,
  ])
}
