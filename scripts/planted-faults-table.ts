/** One mistake that somebody could make in the storage of records, and what is expected to notice it. */
export interface PlantedFault {
  readonly name: string
  readonly file: string
  /** A text that is there once. */
  readonly find: string
  readonly replace: string
  /** Files of tests that are asked besides the simulation. */
  readonly tests: readonly string[]
}

const log = 'broker/src/log'
const partition = 'broker/src/partition'

/** The tests must notice every one of them: `scripts/planted-faults.ts` plants them. */
export const plantedFaults: readonly PlantedFault[] = [
  {
    name: 'the sync of a segment is skipped',
    file: `${log}/log-segment.ts`,
    find: '    this.#isUnsynced = false\n    await this.#file.sync()',
    replace: '    this.#isUnsynced = false',
    tests: [],
  },
  {
    name: 'group commit does not sync',
    file: `${log}/group-commit.ts`,
    find: 'this.log.flush().then(',
    replace: 'Promise.resolve().then(',
    tests: ['broker/src/durability.test.ts'],
  },
  {
    name: 'a write is acknowledged before it is durable',
    file: 'broker/src/network/connection.ts',
    find: 'if (barrier === null || this.#output.isEmpty) return',
    replace: 'if (barrier === null || !this.#output.isEmpty) return',
    tests: ['broker/src/durability.test.ts'],
  },
  {
    name: 'an answer tells of metadata that is not durable',
    file: `${partition}/durability.ts`,
    find: '    if (this.#metadata?.isBehind) this.answersFor(this.#metadata)\n',
    replace: '',
    tests: ['broker/src/durability.test.ts'],
  },
  {
    name: 'a repeated batch is acknowledged before the first attempt is durable',
    file: `${partition}/partition.ts`,
    find: '    else this.answersForAppended()\n',
    replace: '',
    tests: ['broker/src/durability.test.ts'],
  },
  {
    name: 'the high watermark is ahead of what is durable',
    file: `${partition}/partition.ts`,
    find: '    this.#durability.appended(this.#commit, sizeBytes)\n',
    replace:
      '    this.#durability.appended(this.#commit, sizeBytes)\n    this.#advanceTo(this.log.endOffset, sizeBytes)\n',
    tests: ['broker/src/durability.test.ts'],
  },
  {
    name: 'after a crash records are shown that are not durable',
    file: 'broker/src/broker.ts',
    find: '      await durability.allDurable()?.catch(() => undefined)\n',
    replace: '',
    tests: ['broker/src/testing/simulation/recovered-tail.test.ts'],
  },
  {
    name: 'a fetch reads beyond the high watermark',
    file: 'broker/src/handlers/01-fetch.ts',
    find: 'maxOffset: isCommitted ? offsets.lastStable : offsets.highWatermark',
    replace: 'maxOffset: isCommitted ? offsets.lastStable : offsets.end',
    tests: ['broker/src/durability.test.ts'],
  },
  {
    name: 'the log grows without the batch',
    file: `${log}/log-segment.ts`,
    find: '    else this.#write(position, bytes, start, end)\n',
    replace: '',
    tests: [`${log}/log-segment.test.ts`],
  },
  {
    name: 'an index entry points behind its batch',
    file: `${log}/log-segment.ts`,
    find: 'this.offsetIndex.append(lastOffset, position)',
    replace: 'this.offsetIndex.append(lastOffset, position + sizeBytes)',
    tests: [`${log}/log-segment.test.ts`],
  },
  {
    name: 'the directory is not synced for new segments',
    file: `${log}/partition-log.ts`,
    find: '      this.#hasUnsyncedNames = false\n      await this.#disk.syncDirectory(this.directory)\n',
    replace: '      this.#hasUnsyncedNames = false\n',
    tests: [],
  },
  {
    name: 'the parent directory is not synced for a new partition',
    file: `${log}/partition-log.ts`,
    find: "      await this.#disk.syncDirectory(this.directory.slice(0, this.directory.lastIndexOf('/')))\n",
    replace: '',
    tests: [],
  },
  {
    name: 'a checkpoint takes its name before it is durable',
    file: `${log}/checkpoint-file.ts`,
    find: '  await syncFile(disk, draft)\n',
    replace: '',
    tests: [`${log}/checkpoint-file.test.ts`],
  },
  {
    name: 'the name of a checkpoint is not made durable',
    file: `${log}/checkpoint-file.ts`,
    find: "  await disk.syncDirectory(path.slice(0, path.lastIndexOf('/')))\n",
    replace: '',
    tests: [`${log}/checkpoint-file.test.ts`],
  },
  {
    name: 'the mark of an orderly end stays',
    file: `${log}/log-directory.ts`,
    find: '      disk.remove(marker)\n',
    replace: '',
    tests: [`${log}/log-directory.test.ts`],
  },
  {
    name: 'the removal of the mark of an orderly end is not durable',
    file: `${log}/log-directory.ts`,
    find: '      disk.remove(marker)\n      await disk.syncDirectory(path)\n',
    replace: '      disk.remove(marker)\n',
    tests: [`${log}/log-directory.test.ts`],
  },
  {
    name: 'recovery believes checksums',
    file: `${log}/recover-segment.ts`,
    find: "return isCrcValidAt(buffer, at) ? null : 'the checksum of the batch is wrong'",
    replace: 'return null',
    tests: [`${log}/recovery.test.ts`],
  },
  {
    name: 'recovery does not cut off a torn tail',
    file: `${log}/load-segments.ts`,
    find: '  segment.cutAt(position)\n',
    replace: '',
    tests: [`${log}/recovery.test.ts`],
  },
  {
    name: 'recovery accepts segments that overlap',
    file: `${log}/load-segments.ts`,
    find: 'const isOverlapping = base < endOffset',
    replace: 'const isOverlapping = false',
    tests: ['broker/src/testing/simulation/found-by-seeds.test.ts'],
  },
  {
    name: 'indexes are believed that were never synced',
    file: `${log}/load-segments.ts`,
    find: 'nextBase < durableTo && hasSoundIndexes(',
    replace: 'hasSoundIndexes(',
    tests: ['broker/src/testing/simulation/found-by-seeds.test.ts'],
  },
  {
    name: 'a new log takes the checkpoints of one that had its name',
    file: `${log}/log-directory.ts`,
    find: '      ...(isOutdated ? { beforeDurable: () => this.#writeCheckpoints() } : {}),\n',
    replace: '',
    tests: ['broker/src/testing/simulation/stale-checkpoint.test.ts'],
  },
  {
    name: 'the recovery point is ahead of what was synced',
    file: `${log}/partition-log.ts`,
    find: 'this.#recoveryPoint = Math.max(this.#recoveryPoint, offset)',
    replace: 'this.#recoveryPoint = Math.max(this.#recoveryPoint, this.#endOffset)',
    tests: [`${log}/partition-log.test.ts`],
  },
  {
    name: 'the snapshot of producers is forgotten',
    file: `${log}/partition-log.ts`,
    find: '        this.producers.restore(entries, nowMs)\n',
    replace: '',
    tests: [`${log}/partition-log.test.ts`],
  },
  {
    name: 'repeated batches are not known again',
    file: `${log}/producer-state.ts`,
    find: "if (again !== null) return { kind: 'duplicate', of: again }",
    replace: 'void again',
    tests: [`${log}/producer-state.test.ts`],
  },
  {
    name: 'a gap in the sequence of a producer is accepted',
    file: `${log}/producer-state.ts`,
    find: 'if (baseSequence === expected) return null',
    replace: 'if (baseSequence >= expected) return null',
    tests: [`${log}/producer-state.test.ts`],
  },
  {
    name: 'one batch of a producer is remembered instead of five',
    file: `${log}/producer-state.ts`,
    find: 'if (producer.batches.length === BATCHES_REMEMBERED) producer.batches.shift()',
    replace: 'producer.batches.length = 0',
    tests: [`${log}/producer-state.test.ts`],
  },
  {
    name: 'closed segments are not synced',
    file: `${log}/partition-log.ts`,
    find: '    await segment.syncBatches()\n    await segment.syncIndexes()\n  }\n\n  async #syncSmallFiles',
    replace: '  }\n\n  async #syncSmallFiles',
    tests: [`${log}/partition-log.test.ts`],
  },
  {
    name: 'retention by size takes one segment too many',
    file: `${log}/retention.ts`,
    find: 'dropWhile(({ sizeBytes }) => (excessBytes -= sizeBytes) >= 0)',
    replace: 'dropWhile(({ sizeBytes }) => (excessBytes -= sizeBytes) >= -sizeBytes)',
    tests: [`${log}/retention.test.ts`],
  },
  {
    name: 'retention takes what is not durable, with the active segment',
    file: `${log}/retention.ts`,
    find: 'if (isEmptyEnd || endOf(first) > options.upTo || !isDue(segment, first)) return',
    replace: 'if (isEmptyEnd || !isDue(segment, first)) return',
    tests: [`${log}/retention.test.ts`],
  },
  {
    name: 'segments are deleted before their start is in the checkpoint',
    file: `${partition}/housekeeping.ts`,
    find: '    if (failure !== null) return this.#notSaved(directory, failure)\n',
    replace: '',
    tests: [`${partition}/housekeeping.test.ts`],
  },
  {
    name: 'compaction keeps tombstones for no time',
    file: `${log}/clean-batch.ts`,
    find: 'const tombstonesStay = horizonMs === NO_HORIZON || nowMs < horizonMs',
    replace: 'const tombstonesStay = false',
    tests: [`${log}/compaction.test.ts`],
  },
  {
    name: 'compaction renames in one round that is not durable',
    file: `${log}/partition-log.ts`,
    find: '        swap.step()\n',
    replace: '        swap.finish()\n',
    tests: [`${log}/compaction-crash.test.ts`],
  },
  {
    name: 'a start undoes a swap of segments that has begun',
    file: `${log}/segment-swap.ts`,
    find: '  if (swaps.length === 0) return\n',
    replace: '  if (swaps.length >= 0) return\n',
    tests: [`${log}/compaction-crash.test.ts`],
  },
  {
    name: 'a commit of an old generation is accepted',
    file: 'broker/src/groups/classic-group.ts',
    find: '    if (errorCode !== ErrorCode.none) return errorCode\n    if (generationId < 0) return ErrorCode.none\n',
    replace: '    if (generationId < 0 || errorCode !== ErrorCode.none) return ErrorCode.none\n',
    tests: ['broker/src/groups/classic-group.test.ts'],
  },
  {
    name: 'committed offsets are not stored',
    file: 'broker/src/groups/coordinator.ts',
    find: '    const { errorCode, baseOffset } = this.#topic.append(shard.partition, batch)\n',
    replace: '    const { errorCode, baseOffset } = { errorCode: ErrorCode.none, baseOffset: batch.length }\n',
    tests: ['broker/src/groups/coordinator.test.ts'],
  },
  {
    name: 'the epoch of a client is ignored',
    file: `${partition}/partition.ts`,
    find: 'return epoch < this.#leaderEpoch ? ErrorCode.fencedLeaderEpoch : ErrorCode.unknownLeaderEpoch',
    replace: 'return ErrorCode.none',
    tests: ['broker/src/broker.test.ts'],
  },
  {
    name: 'a block of producer ids is given out again after a restart',
    file: 'broker/src/metadata/local-metadata.ts',
    find: '    const nextProducerId = first + PRODUCER_IDS_PER_BLOCK\n',
    replace: '    const nextProducerId = first\n',
    tests: ['broker/src/metadata/local-metadata.test.ts'],
  },
]
