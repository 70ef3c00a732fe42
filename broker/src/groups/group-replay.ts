import { readEndTransactionMarker, readRecords, type BatchRecord, type RecordBatch } from '@millrace/protocol'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import { ClassicGroup } from './classic-group.ts'
import type { CommittedOffsets } from './committed-offsets.ts'
import type { GroupSettings } from './group-events.ts'
import { decodeGroupRecord, type GroupRecord } from './group-records.ts'

/**
 * Rebuilds what one partition of __consumer_offsets says: its groups, as they were when they were last stored, and
 * their offsets. The groups do not live yet, because a later record may replace them.
 */
export class GroupReplay {
  readonly groups = new Map<string, ClassicGroup>()
  readonly #offsets: CommittedOffsets
  readonly #settings: GroupSettings
  readonly #clock: Clock
  readonly #logger: Logger

  constructor(options: {
    /** Takes the offsets. */
    readonly offsets: CommittedOffsets
    readonly settings: GroupSettings
    readonly clock: Clock
    readonly logger: Logger
  }) {
    this.#offsets = options.offsets
    this.#settings = options.settings
    this.#clock = options.clock
    this.#logger = options.logger
  }

  /** Returns how many records there were. */
  replay(batch: RecordBatch): number {
    const records = readRecords(batch)
    for (const stored of records) {
      if (batch.isControl) {
        const marker = readEndTransactionMarker(stored)
        if (marker !== null) this.#offsets.endTransaction(batch.producerId, marker.isCommit)
        continue
      }
      const record = this.#decode(stored)
      if (record !== null) this.#apply(record, batch)
    }
    return records.length
  }

  #apply(record: GroupRecord, { isTransactional, producerId }: RecordBatch): void {
    const { groupId } = record
    if (record.kind === 'group') {
      if (record.value === null) this.groups.delete(groupId)
      else this.groups.set(groupId, ClassicGroup.restore(groupId, this.#settings, record.value))
      return
    }
    const { topic, partition, value } = record
    if (value === null) {
      this.#offsets.delete(groupId, topic, partition)
      return
    }
    // Offsets of a group that nobody ever joined have no group record.
    if (!this.groups.has(groupId)) {
      this.groups.set(groupId, new ClassicGroup(groupId, this.#settings, this.#clock.nowMs()))
    }
    if (isTransactional) this.#offsets.setPending(producerId, groupId, topic, partition, value)
    else this.#offsets.set(groupId, topic, partition, value)
  }

  #decode(stored: BatchRecord): GroupRecord | null {
    try {
      return decodeGroupRecord(stored)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      // Of a later version, perhaps; the rest is not worth less for it.
      this.#logger.warn('group record not understood', { offset: stored.offset, error: error.message })
      return null
    }
  }
}
