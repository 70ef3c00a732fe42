import { ErrorCode } from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StorageError } from '../base/errors.ts'
import { compactNow } from '../testing/compaction.ts'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import { LOG_PATH, openLog } from '../testing/logs.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { TransactionModel, readAsClient, valuesBatch, type ModelBatch } from '../testing/transaction-model.ts'
import { dirtyPart } from './dirty-part.ts'
import type { Disk } from './disk.ts'
import { fileName, offsetOfFile } from './log-files.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { PartitionLog } from './partition-log.ts'

const PLAIN = -1
const IDEMPOTENT = 1
const TRANSACTIONAL = [2, 3, 4, 5] as const

type Step =
  | { readonly do: 'write'; readonly producer: number; readonly count: number; readonly isGathered: boolean }
  | { readonly do: 'end'; readonly producer: number; readonly isCommit: boolean; readonly version: 1 | 2 }
  | { readonly do: 'replicate' | 'truncate' | 'delete' | 'start'; readonly share: number }
  | { readonly do: 'roll' | 'flush' | 'close' | 'compact' }
  | { readonly do: 'crash'; readonly junk: number }

const producer = fc.constantFrom(PLAIN, IDEMPOTENT, ...TRANSACTIONAL)
const share = fc.double({ min: 0, max: 1, noNaN: true })
const write: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('write'),
  producer,
  count: fc.integer({ min: 1, max: 4 }),
  isGathered: fc.boolean(),
})
const end: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('end'),
  producer: fc.constantFrom(...TRANSACTIONAL),
  isCommit: fc.boolean(),
  version: fc.constantFrom(1, 2),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: write },
  { weight: 7, arbitrary: end },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('replicate'), share }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('truncate', 'delete', 'start'), share }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('roll', 'flush', 'close', 'compact') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash'), junk: fc.integer({ min: 0, max: 80 }) }) },
)

/** A log that is written to, cut and reopened, beside the model of it. */
class Run {
  readonly clock = new ManualClock()
  readonly model = new TransactionModel()
  readonly #isCompacted: boolean
  memory = new MemoryDisk()
  log: PartitionLog
  /** What was appended and not answered for, as the log failed in it. */
  pending: ModelBatch[] = []
  highWatermark = 0
  /** Of each producer: epoch, next sequence, and whether it has a transaction open. */
  readonly #producers = new Map<number, { epoch: number; sequence: number; isOpen: boolean }>()
  #written = 0

  constructor(isCompacted: boolean, over: (disk: MemoryDisk) => Disk = (disk) => disk) {
    this.#isCompacted = isCompacted
    this.log = this.open({ disk: over(this.memory) })
  }

  open(options: Parameters<typeof openLog>[0]): PartitionLog {
    const config = {
      segmentBytes: 600,
      indexIntervalBytes: 100,
      isCompacted: this.#isCompacted,
      isDeleted: !this.#isCompacted,
      deleteRetentionMs: 0,
    }
    return openLog({ disk: this.memory, clock: this.clock, config, ...options })
  }

  async take(step: Step): Promise<void> {
    const { log, model } = this
    if (step.do === 'write') return this.#write(step.producer, step.count, step.isGathered)
    this.writeGathered()
    switch (step.do) {
      case 'end':
        return this.#end(step.producer, step.isCommit, step.version)
      case 'replicate':
        for (const { lastOffset } of model.batches) {
          const share = (lastOffset + 1) / log.endOffset
          if (share <= step.share) this.highWatermark = Math.max(this.highWatermark, lastOffset + 1)
        }
        return
      case 'truncate': {
        const stable = log.lastStableOffset(this.highWatermark)
        // Only what is not replicated can be cut off; and a producer that had begun there is one that this log does not know.
        const offset = model.batches.findLast(({ baseOffset }) => baseOffset >= this.highWatermark)?.baseOffset
        if (offset === undefined || offset <= stable) return
        log.truncateTo(offset)
        model.truncateTo(offset)
        this.#forgetProducers()
        return
      }
      case 'start':
        return log.advanceLogStartOffset(Math.round(this.highWatermark * step.share))
      case 'delete':
        log.advanceLogStartOffset(Math.round(log.lastStableOffset(this.highWatermark) * step.share))
        await log.deleteSegmentsBelowStart()
        return
      case 'roll':
        return log.roll()
      case 'flush':
        return log.flush()
      case 'close':
        log.seal()
        await log.flush()
        log.close()
        this.log = this.open({ logStartOffset: log.logStartOffset, cleanedTo: log.cleanedTo })
        this.highWatermark = this.log.endOffset
        return
      case 'crash':
        return this.#crash(step.junk)
      case 'compact':
        if (!this.#isCompacted) return
        this.clock.advance(1)
        await compactNow(log, this.clock, {
          upTo: dirtyPart(log, { stableTo: log.lastStableOffset(this.highWatermark), nowMs: 0 }).upTo,
        })
    }
  }

  /** What is above the recovery point of indexes and snapshots may be anything after a crash. */
  #crash(junk: number): void {
    const { recoveryPoint, logStartOffset, cleanedTo, segments } = this.log
    this.memory = this.memory.copy()
    for (const name of this.memory.list(LOG_PATH)) {
      const index = offsetOfFile(name, '.txnindex')
      const next = segments.find(({ baseOffset }) => index !== null && baseOffset > index)?.baseOffset ?? Infinity
      if (index !== null && next > recoveryPoint) this.memory.writeFile(`${LOG_PATH}/${name}`, Buffer.alloc(junk, junk))
      const snapshot = offsetOfFile(name, '.snapshot')
      if (snapshot !== null && snapshot > recoveryPoint) this.memory.remove(`${LOG_PATH}/${name}`)
    }
    this.log = this.open({ isCleanShutdown: false, recoveryPoint, logStartOffset, cleanedTo })
    this.highWatermark = this.log.endOffset
  }

  #write(id: number, count: number, isGathered: boolean): void {
    const state = this.#stateOf(id)
    const inTransaction = id > IDEMPOTENT
    const values = Array.from({ length: count }, () => `v${this.#written++}`)
    const batch = valuesBatch(values, { id, epoch: state.epoch, sequence: state.sequence, inTransaction })
    const { log, model } = this
    const asked = inTransaction && !log.producers.hasOngoingTransaction(id, state.epoch)
    expect(asked).toBe(inTransaction && !state.isOpen)
    const baseOffset = model.end + this.pending.reduce((sum, { values }) => sum + values.length, 0)
    const kind = inTransaction ? 'transactional' : 'data'
    const written: ModelBatch = { baseOffset, lastOffset: baseOffset + count - 1, producerId: id, kind, values }
    this.pending.push(written)
    const options = { origin: 'client', leaderEpoch: 0, isGathered } as const
    const refused = log.append(batch, 0, batch.length, options)
    // Without the coordinator's word no transaction begins, and its word is needed for the first batch alone.
    if (asked) expect(refused.errorCode).toBe(ErrorCode.invalidTxnState)
    const result = asked ? log.append(batch, 0, batch.length, { ...options, isAdmitted: true }) : refused
    expect(result).toMatchObject({ errorCode: ErrorCode.none, baseOffset })
    const again = valuesBatch(values, { id, epoch: state.epoch, sequence: state.sequence, inTransaction })
    if (id !== PLAIN) {
      const { isDuplicate, baseOffset: known } = log.append(again, 0, again.length, options)
      expect([isDuplicate, known]).toEqual([true, baseOffset])
    }
    state.sequence += count
    state.isOpen = inTransaction
    if (!isGathered) this.writeGathered()
  }

  /** Until here nobody has been answered. */
  writeGathered(): void {
    this.log.writeGathered()
    this.model.batches.push(...this.pending.splice(0))
  }

  #end(id: number, isCommit: boolean, version: 1 | 2): void {
    const { log, model } = this
    const state = this.#stateOf(id)
    const base = { producerId: id, coordinatorEpoch: 0, isCommit, transactionVersion: version }
    if (version === 2 && state.isOpen) {
      // The end of an earlier transaction, which comes late.
      const late = log.appendMarker({ ...base, producerEpoch: state.epoch }, 0)
      expect(late.errorCode).toBe(ErrorCode.invalidProducerEpoch)
    }
    if (version === 2) {
      state.epoch++
      state.sequence = 0
    }
    const marker = { ...base, producerEpoch: state.epoch }
    const { end } = model
    const kind = isCommit ? 'commit' : 'abort'
    this.pending.push({ baseOffset: end, lastOffset: end, producerId: id, kind, values: [] })
    expect(log.appendMarker(marker, 0)).toMatchObject({ errorCode: ErrorCode.none, baseOffset: end })
    state.isOpen = false
    model.batches.push(...this.pending.splice(0))
  }

  #stateOf(id: number): { epoch: number; sequence: number; isOpen: boolean } {
    const state = this.#producers.get(id) ?? { epoch: 0, sequence: 0, isOpen: false }
    this.#producers.set(id, state)
    return state
  }

  /** After a truncation a producer goes on with what the log knows of it. */
  #forgetProducers(): void {
    const known = new Map(this.log.producers.entries().map((entry) => [entry.producerId, entry]))
    for (const [id, state] of this.#producers) {
      const entry = known.get(id)
      // A producer that the log does not know any more comes with an epoch that it has never seen.
      if (entry === undefined) Object.assign(state, { epoch: state.epoch + 1, sequence: 0, isOpen: false })
      else
        Object.assign(state, {
          epoch: entry.epoch,
          sequence: entry.lastSequence + 1,
          isOpen: entry.currentTxnFirstOffset >= 0,
        })
    }
  }

  check(from: number, maxBytes: number): void {
    const { log, model, highWatermark } = this
    expect(log.endOffset).toBe(model.end)
    const stable = log.lastStableOffset(highWatermark)
    expect(stable).toBe(model.lastStableOffset(log.logStartOffset, highWatermark))
    expect(log.logStartOffset).toBeLessThanOrEqual(stable)

    const values: string[] = []
    const start = log.logStartOffset + Math.round((stable - log.logStartOffset) * from)
    for (let offset = start; offset < stable;) {
      const bytes = log.read(offset, maxBytes, { maxOffset: stable, atLeastOneBatch: true })
      if (bytes.length === 0) break
      const seen = readAsClient(bytes, offset, log.abortedTransactionsIn(offset, bytes))
      values.push(...seen.values)
      offset = seen.next
    }
    expect(values).toEqual(model.committed(start, stable))
  }

  /** Compaction drops the entries of transactions that have nothing left, so it is not asked of a compacted log. */
  checkIndex(): void {
    const { log, model } = this
    const listed = log.abortedTransactions(log.logStartOffset, log.endOffset)
    const expected = model.aborted().filter(({ lastOffset }) => lastOffset >= log.logStartOffset)
    expect(listed.map(({ producerId, firstOffset, lastOffset }) => ({ producerId, firstOffset, lastOffset }))).toEqual(
      expected,
    )
  }
}

describe('transactions in a log', () => {
  it('show a reader of committed data what was committed, whatever the log went through', async () => {
    let stepCount = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 60 }),
        fc.boolean(),
        share,
        fc.constantFrom(1, 200, 500, 100_000),
        async (steps, isCompacted, from, maxBytes) => {
          const run = new Run(isCompacted)
          for (const next of steps) {
            await run.take(next)
            stepCount++
            if (run.pending.length > 0) continue
            run.check(from, maxBytes)
            if (!isCompacted) run.checkIndex()
          }
        },
      ),
      { numRuns: 300 },
    )
    expect(stepCount).toBeGreaterThan(1000)
  })

  it('are as they were answered after the disk died at any moment', async () => {
    let deaths = 0
    const calm = fc.oneof(
      { weight: 5, arbitrary: write },
      { weight: 5, arbitrary: end },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('roll', 'flush') }) as fc.Arbitrary<Step> },
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(calm, { minLength: 5, maxLength: 40 }),
        fc.nat(120),
        fc.nat(20),
        share,
        async (steps, changes, again, from) => {
          let faulty!: FaultyDisk
          const run = new Run(false, (disk) => (faulty = new FaultyDisk(disk)))
          faulty.dieAfter(changes)
          try {
            for (const next of steps) await run.take(next)
            run.writeGathered()
          } catch (cause) {
            if (!(cause instanceof StorageError)) throw cause
            deaths++
          }
          const { recoveryPoint } = run.log
          // The start after it may die as well.
          const dying = new FaultyDisk(run.memory)
          dying.dieAfter(again)
          try {
            run.open({ disk: dying, isCleanShutdown: false, recoveryPoint })
          } catch (cause) {
            if (!(cause instanceof StorageError)) throw cause
            deaths++
          }
          run.log = run.open({ isCleanShutdown: false, recoveryPoint })
          // What nobody was told of may be there, from its beginning on.
          for (const batch of run.pending) if (batch.lastOffset < run.log.endOffset) run.model.batches.push(batch)
          run.highWatermark = run.log.endOffset
          run.check(from, 500)
          run.checkIndex()
        },
      ),
      { numRuns: 300 },
    )
    expect(deaths).toBeGreaterThan(50)
  })

  // Markers have the time of the clock, and would begin a segment by that.
  const config = { segmentMs: Number.MAX_SAFE_INTEGER }

  /** Offsets 0-2: a transaction of producer 2, aborted; a closed segment, and an open one with a record. */
  function withAborted(disk: MemoryDisk, over: Disk = disk): PartitionLog {
    const log = openLog({ disk: over, config })
    const batch = valuesBatch(['a', 'b'], { id: 2, epoch: 0, sequence: 0, inTransaction: true })
    log.append(batch, 0, batch.length, { origin: 'client', leaderEpoch: 0, isAdmitted: true })
    expect(log.appendMarker({ ...marker, isCommit: false }, 0).errorCode).toBe(ErrorCode.none)
    log.roll()
    const behind = valuesBatch(['c'], { id: PLAIN, epoch: 0, sequence: 0, inTransaction: false })
    log.append(behind, 0, behind.length, { origin: 'client', leaderEpoch: 0 })
    return log
  }
  const marker = {
    producerId: 2,
    producerEpoch: 0,
    coordinatorEpoch: 0,
    isCommit: true,
    transactionVersion: 1,
  } as const
  const aborted = [{ producerId: 2, firstOffset: 0, lastOffset: 2, lastStableOffset: 3 }]
  const indexPath = `${LOG_PATH}/${fileName(0, '.txnindex')}`

  it('have an index that is built again where it is damaged, also after an orderly end', () => {
    const disk = new MemoryDisk()
    withAborted(disk).close()
    const good = disk.readFile(indexPath)!
    for (const damaged of [good.subarray(0, 20), Buffer.alloc(34), Buffer.concat([good, good])]) {
      disk.writeFile(indexPath, damaged)
      const log = openLog({ disk })
      expect(log.abortedTransactions(0, 4)).toEqual(aborted)
      expect(disk.readFile(indexPath)).toEqual(good)
      log.close()
    }
  })

  it('take the log out of use when an aborted one cannot be noted, and are noted by the next start', async () => {
    const memory = new MemoryDisk()
    const disk = new FaultyDisk(memory)
    const log = openLog({ disk, config })
    const batch = valuesBatch(['a', 'b'], { id: 2, epoch: 0, sequence: 0, inTransaction: true })
    log.append(batch, 0, batch.length, { origin: 'client', leaderEpoch: 0, isAdmitted: true })
    // The index is the one file that is new.
    disk.fail(['create'])
    expect(() => log.appendMarker({ ...marker, isCommit: false }, 0)).toThrow(StorageError)
    disk.fail([])
    await expect(log.flush()).rejects.toThrow(StorageError)
    expect(() => log.append(batch, 0, batch.length, { origin: 'client', leaderEpoch: 0 })).toThrow(StorageError)
    log.abandon()
    expect(openLog({ disk: memory, isCleanShutdown: false }).abortedTransactions(0, 3)).toEqual(aborted)
  })

  it('stay open when there was no room to note the aborted one, and are ended later', () => {
    for (const errno of ['ENOSPC', 'EMFILE']) {
      const disk = new FaultyDisk(new MemoryDisk())
      const log = openLog({ disk, config })
      const batch = valuesBatch(['a', 'b'], { id: 2, epoch: 0, sequence: 0, inTransaction: true })
      log.append(batch, 0, batch.length, { origin: 'client', leaderEpoch: 0, isAdmitted: true })
      // The index is the one file that is new.
      disk.fail(['create'], errno)
      expect(() => log.appendMarker({ ...marker, isCommit: false }, 0)).toThrow(StorageError)
      expect([log.hasFailed, log.endOffset, log.lastStableOffset(2)]).toEqual([false, 2, 0])
      expect(log.producers.hasOngoingTransaction(2, 0)).toBe(true)
      disk.fail([])
      expect(log.appendMarker({ ...marker, isCommit: false }, 0)).toMatchObject({ errorCode: 0, baseOffset: 2 })
      expect(log.abortedTransactions(0, 3)).toEqual(aborted)
      expect(log.lastStableOffset(3)).toBe(3)
      log.close()
    }
  })

  it('are undecided until their marker is replicated, also after what followed it was cut off', () => {
    const log = withAborted(new MemoryDisk())
    expect(log.lastStableOffset(2)).toBe(0)
    log.truncateTo(3)
    expect([log.lastStableOffset(2), log.lastStableOffset(3)]).toEqual([0, 3])
  })

  it('take their index along when their segment goes', async () => {
    const disk = new MemoryDisk()
    const log = withAborted(disk)
    log.advanceLogStartOffset(3)
    await log.deleteSegmentsBelowStart()
    expect(disk.exists(`${indexPath}.deleted`)).toBe(true)
    expect(disk.exists(indexPath)).toBe(false)
    log.close()
    expect(openLog({ disk, logStartOffset: 3 }).abortedTransactions(3, 4)).toEqual([])
    expect(disk.list(LOG_PATH).filter((name) => name.includes('txnindex'))).toEqual([])
  })

  it('leave an index without its log for the next start to remove', () => {
    const disk = new MemoryDisk()
    withAborted(disk).close()
    disk.remove(`${LOG_PATH}/${fileName(0, '.log')}`)
    openLog({ disk, logStartOffset: 3 })
    expect(disk.exists(indexPath)).toBe(false)
  })
})
