import { BrokerError, StorageError } from '../base/errors.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Random } from '../base/random.ts'
import { directoryName, type TopicPartition } from '../base/topic-partition.ts'
import { checkpointText, parseCheckpoint, parseOffset, writeDurably } from './checkpoint-file.ts'
import type { Disk, DiskLock, DiskSpace } from './disk.ts'
import { GuardedDisk } from './guarded-disk.ts'
import type { LogConfig } from './log-config.ts'
import { readMetaProperties, writeMetaProperties } from './meta-properties.ts'
import { PartitionLog } from './partition-log.ts'
import { readTopicId } from './partition-metadata.ts'
import { finishSwap } from './segment-swap.ts'

const LOCK_FILE = '.lock'
const CLEAN_SHUTDOWN_FILE = '.kafka_cleanshutdown'
const RECOVERY_POINTS_FILE = 'recovery-point-offset-checkpoint'
const LOG_STARTS_FILE = 'log-start-offset-checkpoint'
const HIGH_WATERMARKS_FILE = 'replication-offset-checkpoint'
const CLEANED_OFFSETS_FILE = 'cleaner-offset-checkpoint'
const DELETED_SUFFIX = '-delete'
const STRAY_SUFFIX = '-stray'
const NAME_BYTES_MAX = 255
/** Logs that are made durable at the same time when the directory closes. */
const FLUSHES_AT_ONCE = 16
/** How often the room that is left is looked at, as others fill the file system and make room on it. */
const SPACE_CHECK_MS = 1000
/** Appended bytes after which it is looked at, at the least. */
const SPACE_CHECK_BYTES = 1024 * 1024
/** The reserve where none is set: a part of the file system, and no more than so many bytes. */
const RESERVE_PART = 0.02
const RESERVE_BYTES_MAX = 1024 * 1024 * 1024

/** `recovery.on.corruption`: what becomes of a log that is damaged where it was durable. */
export type OnCorruption = 'fail' | 'truncate'

export interface LogDirectoryOptions {
  readonly disk: Disk
  readonly path: string
  readonly nodeId: number
  /** Without it, the one the directory has, or a new one. */
  readonly clusterId?: string
  readonly random: Random
  readonly clock: Clock
  readonly logger: Logger
  readonly producerIdExpirationMs: number
  /** 'fail' when not given. */
  readonly onCorruption?: OnCorruption
  /** Room that is left to the broker's own logs: below it clients cannot append. Without it 2 %, at most 1 GiB. */
  readonly reserveBytes?: number
}

/**
 * One data directory of a node: its lock, its identity, and the logs in it.
 *
 * `open` takes the lock, so that no second broker writes here, and says whether the last one closed it in order; the logs
 * are opened one by one as the metadata knows them. `close` makes everything durable and leaves the mark of an orderly
 * end. The files are Kafka's: `meta.properties`, the three offset checkpoints, `.kafka_cleanshutdown`, and one directory
 * `<topic>-<partition>` per log, which is renamed to `<topic>-<partition>.<id>-delete` before it is removed.
 *
 * The first write or sync that fails takes all of it offline until the next start (GuardedDisk).
 */
export class LogDirectory {
  readonly path: string
  readonly directoryId: string
  readonly clusterId: string
  readonly nodeId: number
  /** Whether whoever had the directory before closed it in order, so that its logs are as they were written. */
  readonly isCleanShutdown: boolean
  readonly #options: LogDirectoryOptions
  readonly #disk: GuardedDisk
  readonly #lock: DiskLock
  readonly #failureListeners: ((cause: StorageError) => void)[] = []
  #isFull = false
  #bytesToSpaceCheck = SPACE_CHECK_BYTES
  #spaceTimer: Timer | null = null
  readonly #logs = new Map<string, PartitionLog>()
  readonly #recoveryPoints: Map<string, number>
  readonly #logStartOffsets: Map<string, number>
  readonly #cleanedOffsets: Map<string, number>
  /** Logs that were not opened yet, or could not be. What the checkpoints say of them stays, as does their state. */
  readonly #unopened = new Set<string>()
  /** Of which the checkpoints may tell what was true of an earlier log of that name. */
  readonly #outdated = new Set<string>()
  #writes: Promise<void> = Promise.resolve()
  /** Directories that are renamed and not removed yet. */
  readonly #doomed: string[] = []
  #removal: Timer | null = null
  #checkpoints: Promise<void> = Promise.resolve()
  readonly #checkpointTexts = new Map<string, string>()
  #closing: Promise<void> | null = null

  /**
   * Fails with a BrokerError: DIRECTORY_LOCKED if another broker has the directory, INCONSISTENT_DIRECTORY if it is that
   * of another node or cluster, STORAGE_ERROR if it cannot be written to.
   */
  static async open(options: LogDirectoryOptions): Promise<LogDirectory> {
    const { disk, path, logger } = options
    await makeDurably(disk, path)
    const lock = disk.lock(`${path}/${LOCK_FILE}`)
    try {
      let properties = readMetaProperties(disk, path)
      const isNew = properties === null
      if (properties !== null) checkOwner(properties, options)
      properties ??= {
        clusterId: options.clusterId ?? options.random.uuid(),
        nodeId: options.nodeId,
        directoryId: options.random.uuid(),
      }
      if (isNew) await writeMetaProperties(disk, path, properties)
      const marker = `${path}/${CLEAN_SHUTDOWN_FILE}`
      // A directory that is new was not left in disorder either. One that holds logs is not new: its identity is gone.
      const isEmpty = !disk.list(path).some((name) => parseDirectoryName(name) !== null)
      const isCleanShutdown = (isNew && isEmpty) || disk.exists(marker)
      // It must be gone for good before the first write, or a crash would look like an orderly end.
      disk.remove(marker)
      await disk.syncDirectory(path)
      if (!isCleanShutdown) {
        logger.warn('the data directory was not closed in order, its logs are recovered', { path })
        for (const name of disk.list(path)) {
          if (parseDirectoryName(name) !== null) await finishSwap(disk, `${path}/${name}`)
        }
      }
      return new LogDirectory(options, lock, properties, isCleanShutdown)
    } catch (cause) {
      lock.release()
      throw cause
    }
  }

  private constructor(
    options: LogDirectoryOptions,
    lock: DiskLock,
    properties: { readonly clusterId: string; readonly directoryId: string },
    isCleanShutdown: boolean,
  ) {
    this.#options = options
    this.#disk = new GuardedDisk(options.disk, {
      failed: (cause) => this.#failed(cause),
      outOfSpace: () => this.#checkSpace(),
      written: (byteCount) => {
        this.#bytesToSpaceCheck -= byteCount
        if (this.#bytesToSpaceCheck <= 0) this.#checkSpace()
      },
    })
    this.#lock = lock
    this.path = options.path
    this.nodeId = options.nodeId
    this.clusterId = properties.clusterId
    this.directoryId = properties.directoryId
    this.isCleanShutdown = isCleanShutdown
    this.#recoveryPoints = readOffsets(this.#disk, `${this.path}/${RECOVERY_POINTS_FILE}`)
    this.#logStartOffsets = readOffsets(this.#disk, `${this.path}/${LOG_STARTS_FILE}`)
    this.#cleanedOffsets = readOffsets(this.#disk, `${this.path}/${CLEANED_OFFSETS_FILE}`)
    for (const name of this.#disk.list(this.path)) {
      if (name.endsWith(DELETED_SUFFIX)) this.#doomed.push(`${this.path}/${name}`)
      else if (parseDirectoryName(name) !== null) this.#unopened.add(name)
    }
    this.#removeSoon()
    this.#checkSpace()
    this.#checkSpaceSoon()
  }

  /** What took the directory offline. Nothing is written or synced any more; reads go on. */
  get failure(): StorageError | null {
    return this.#disk.failure
  }

  /** Whether there is no more room than the reserve: only what the broker itself must remember is written. */
  get isFull(): boolean {
    return this.#isFull
  }

  /** The size of the file system and what is free of it, or null where there is no end of room. */
  space(): DiskSpace | null {
    return this.#disk.space(this.path)
  }

  /** Calls back when the directory goes offline, not within the call that finds it so. */
  onFailure(listener: (cause: StorageError) => void): void {
    this.#failureListeners.push(listener)
  }

  get logCount(): number {
    return this.#logs.size
  }

  /** The logs that are open. */
  get logs(): IterableIterator<PartitionLog> {
    return this.#logs.values()
  }

  /** The partitions that have a directory here, with the topic id in it, whether they are open or not. */
  partitions(): { readonly topicPartition: TopicPartition; readonly topicId: string | null }[] {
    const found: { topicPartition: TopicPartition; topicId: string | null }[] = []
    for (const name of this.#disk.list(this.path)) {
      const topicPartition = parseDirectoryName(name)
      if (topicPartition === null || !this.#disk.isDirectory(`${this.path}/${name}`)) continue
      found.push({ topicPartition, topicId: readTopicId(this.#disk, `${this.path}/${name}`) })
    }
    return found
  }

  /**
   * Opens or creates the log of a partition. A directory that belongs to an earlier topic of the same name, which was
   * deleted while this node did not look, is set aside as `-stray`.
   */
  openLog(topicPartition: TopicPartition, topicId: string, config: LogConfig): PartitionLog {
    const name = directoryName(topicPartition)
    const directory = `${this.path}/${name}`
    const storedId = readTopicId(this.#disk, directory)
    const isOther = storedId !== null && storedId !== topicId
    if (isOther) this.#setAside(topicPartition, STRAY_SUFFIX)
    // What the checkpoints say is of an earlier log of that name, if of any.
    if (isOther || storedId === null) this.#forget(name)
    const isOutdated = this.#outdated.has(name)
    this.#unopened.add(name)
    const log = PartitionLog.open({
      disk: this.#disk,
      directory,
      topicPartition,
      topicId,
      config,
      clock: this.#options.clock,
      logger: this.#options.logger,
      isCleanShutdown: this.isCleanShutdown,
      onCorruption: this.#options.onCorruption ?? 'fail',
      recoveryPoint: this.#recoveryPoints.get(name) ?? 0,
      logStartOffset: this.#logStartOffsets.get(name) ?? 0,
      cleanedTo: this.#cleanedOffsets.get(name) ?? null,
      producerIdExpirationMs: this.#options.producerIdExpirationMs,
      // Or a crash would give the new log the start and the recovery point of the old one.
      ...(isOutdated ? { beforeDurable: () => this.#writeCheckpoints() } : {}),
    })
    this.#unopened.delete(name)
    this.#forgetLoaded(name)
    this.#logs.set(name, log)
    // Nor is it left to the next checkpoint where nobody waits for the disk: the new log would look like one cut short.
    if (isOutdated) this.#saveOffsetsSoon()
    return log
  }

  #saveOffsetsSoon(): void {
    this.saveOffsets().catch((cause: unknown) => {
      if (!(cause instanceof StorageError)) throw cause
      this.#options.logger.error('the offsets of a data directory could not be saved', {
        path: this.path,
        error: cause.message,
      })
    })
  }

  /** Ends a log and takes its directory out of sight at once; its files are removed one after the other from then on. */
  deleteLog(topicPartition: TopicPartition): void {
    const name = directoryName(topicPartition)
    this.#forget(name)
    this.#logs.get(name)?.abandon()
    this.#logs.delete(name)
    this.#unopened.delete(name)
    if (!this.#disk.exists(`${this.path}/${name}`)) return
    this.#doomed.push(this.#setAside(topicPartition, DELETED_SUFFIX))
    this.#removeSoon()
  }

  /** Takes the directory of a partition that the metadata does not know out of the way, keeping its files. */
  setAsideStray(topicPartition: TopicPartition): void {
    if (this.#logs.has(directoryName(topicPartition))) return
    const path = this.#setAside(topicPartition, STRAY_SUFFIX)
    this.#unopened.delete(directoryName(topicPartition))
    this.#options.logger.warn('a partition that no topic has is set aside', { path })
  }

  /**
   * Makes the closed segments durable, forgets idle producers and writes down how far recovery would have to go back.
   * Called every minute or so. A failure of the disk is logged and no rejection: it has taken the directory offline, or
   * the next call tries again.
   */
  checkpoint(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.failure !== null) return
      try {
        for (const log of Array.from(this.#logs.values())) {
          log.expireProducers()
          await this.#flushClosedSegments(log)
        }
        if (this.#closing === null) await this.#writeCheckpoints()
      } catch (cause) {
        if (!(cause instanceof StorageError)) throw cause
        this.#options.logger.error('the checkpoint of a data directory failed', {
          path: this.path,
          error: cause.message,
        })
      }
    })
  }

  /** Writes down, durably, where logs start, up to where they are compacted and how far recovery would have to go back. */
  saveOffsets(): Promise<void> {
    return this.#inTurn(() => (this.#closing === null ? this.#writeCheckpoints() : undefined))
  }

  /** Writes down how far recovery would have to go back, for logs that are synced all the time. Fails as `checkpoint` does. */
  saveRecoveryPoints(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.failure !== null || this.#closing !== null) return
      try {
        await this.#oneWrite(() => this.#writeIfChanged(RECOVERY_POINTS_FILE, this.#recoveryPointLines()))
      } catch (cause) {
        if (!(cause instanceof StorageError)) throw cause
        this.#options.logger.error('the recovery points could not be saved', { path: this.path, error: cause.message })
      }
    })
  }

  /** Runs work on the checkpoints one after the other; one that fails does not keep the next from its turn. */
  #inTurn(work: () => Promise<void> | undefined): Promise<void> {
    const done = this.#checkpoints.then(work)
    this.#checkpoints = done.catch(() => undefined)
    return done
  }

  /** A log that fails by itself, as one whose files are gone, does not keep the others from their checkpoint. */
  async #flushClosedSegments(log: PartitionLog): Promise<void> {
    try {
      await log.flushClosedSegments()
    } catch (cause) {
      if (!(cause instanceof StorageError) || this.failure !== null) throw cause
      this.#options.logger.error('a log could not be made durable', { directory: log.directory, error: cause.message })
    }
  }

  /**
   * Makes every log durable, closes it, marks the orderly end and gives the lock back. If something fails, the mark is not
   * made, everything else is given back all the same, and the first failure is thrown.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#removal?.cancel()
    this.#removal = null
    this.#spaceTimer?.cancel()
    try {
      await this.#checkpoints
      if (this.failure !== null) throw this.failure
      const logs = [...this.#logs.values()]
      for (const log of logs) log.seal()
      const rest = logs.values()
      await Promise.all(
        Array.from({ length: FLUSHES_AT_ONCE }, async () => {
          for (const log of rest) await log.flush()
        }),
      )
      for (const log of logs) log.close()
      await this.#writeCheckpoints()
      // The next start is to look at them as this one did.
      if (this.#unopened.size > 0) return
      await writeDurably(this.#disk, `${this.path}/${CLEAN_SHUTDOWN_FILE}`, '{"version":0,"brokerEpoch":-1}')
    } finally {
      for (const log of this.#logs.values()) log.abandon()
      this.#lock.release()
    }
  }

  /** What the checkpoints of the start say of a log, which is out of date from now on. */
  #forget(name: string): void {
    const isKnown = this.#logs.has(name) || this.#recoveryPoints.has(name) || this.#cleanedOffsets.has(name)
    if (isKnown || this.#logStartOffsets.has(name)) this.#outdated.add(name)
    this.#forgetLoaded(name)
  }

  #forgetLoaded(name: string): void {
    this.#recoveryPoints.delete(name)
    this.#logStartOffsets.delete(name)
    this.#cleanedOffsets.delete(name)
  }

  #writeCheckpoints(): Promise<void> {
    return this.#oneWrite(async () => {
      const outdated = [...this.#outdated]
      await this.#writeAll()
      for (const name of outdated) this.#outdated.delete(name)
    })
  }

  /** One after the other, as they share their files. */
  #oneWrite(work: () => Promise<void>): Promise<void> {
    const done = this.#writes.then(work)
    this.#writes = done.catch(() => undefined)
    return done
  }

  async #writeAll(): Promise<void> {
    const logStarts: string[] = []
    const ends: string[] = []
    const cleaned: string[] = []
    for (const { topicPartition, logStartOffset, endOffset, cleanedTo } of this.#logs.values()) {
      const name = `${topicPartition.topic} ${topicPartition.partition}`
      if (logStartOffset > 0) logStarts.push(`${name} ${logStartOffset}`)
      // Of a partition without replicas the high watermark is its end.
      ends.push(`${name} ${endOffset}`)
      if (cleanedTo !== null) cleaned.push(`${name} ${cleanedTo}`)
    }
    logStarts.push(...this.#unopenedLines(this.#logStartOffsets))
    cleaned.push(...this.#unopenedLines(this.#cleanedOffsets))
    await this.#writeIfChanged(RECOVERY_POINTS_FILE, this.#recoveryPointLines())
    await this.#writeIfChanged(LOG_STARTS_FILE, logStarts)
    await this.#writeIfChanged(HIGH_WATERMARKS_FILE, ends)
    if (cleaned.length > 0 || this.#disk.exists(`${this.path}/${CLEANED_OFFSETS_FILE}`)) {
      await this.#writeIfChanged(CLEANED_OFFSETS_FILE, cleaned)
    }
  }

  #recoveryPointLines(): string[] {
    const lines = this.#unopenedLines(this.#recoveryPoints)
    for (const { topicPartition, recoveryPoint } of this.#logs.values()) {
      lines.push(`${topicPartition.topic} ${topicPartition.partition} ${recoveryPoint}`)
    }
    return lines
  }

  #unopenedLines(offsets: ReadonlyMap<string, number>): string[] {
    const lines: string[] = []
    for (const name of this.#unopened) {
      const offset = offsets.get(name)
      if (offset !== undefined) lines.push(`${name.replace(/-(\d+)$/, ' $1')} ${offset}`)
    }
    return lines
  }

  async #writeIfChanged(name: string, lines: readonly string[]): Promise<void> {
    const text = checkpointText(lines)
    if (this.#checkpointTexts.get(name) === text) return
    await writeDurably(this.#disk, `${this.path}/${name}`, text)
    this.#checkpointTexts.set(name, text)
  }

  #setAside(topicPartition: TopicPartition, suffix: string): string {
    const ending = `-${topicPartition.partition}.${this.#options.random.bytes(16).toString('hex')}${suffix}`
    const path = `${this.path}/${topicPartition.topic.slice(0, NAME_BYTES_MAX - ending.length)}${ending}`
    this.#disk.rename(`${this.path}/${directoryName(topicPartition)}`, path)
    return path
  }

  #failed(cause: StorageError): void {
    this.#options.logger.error('a data directory is offline until the next start: a write or a sync failed', {
      path: this.path,
      error: cause.message,
    })
    this.#isFull = false
    this.#spaceTimer?.cancel()
    // An append may be under way, and is to end before others hear of it.
    queueMicrotask(() => {
      for (const listener of this.#failureListeners) listener(cause)
    })
  }

  #checkSpace(): void {
    const space = this.space()
    if (space === null || this.failure !== null) return
    const { reserveBytes = Math.min(RESERVE_BYTES_MAX, Math.ceil(space.totalBytes * RESERVE_PART)) } = this.#options
    const spareBytes = space.freeBytes - reserveBytes
    // Halving the way to the reserve, it is not passed by much whatever the rate of the producers.
    this.#bytesToSpaceCheck = Math.max(SPACE_CHECK_BYTES, spareBytes / 2)
    // With a reserve of 0 the writes themselves find out, each anew.
    const isFull = reserveBytes > 0 && spareBytes < 0
    if (isFull === this.#isFull) return
    this.#isFull = isFull
    const fields = { path: this.path, freeBytes: space.freeBytes, reserveBytes }
    if (isFull) this.#options.logger.error('the disk is full: clients cannot append until there is room', fields)
    else this.#options.logger.info('there is room on the disk again: clients can append', fields)
  }

  #checkSpaceSoon(): void {
    if (this.space() === null || this.#closing !== null || this.failure !== null) return
    this.#spaceTimer = this.#options.clock.setTimer(SPACE_CHECK_MS, () => {
      this.#checkSpace()
      this.#checkSpaceSoon()
    })
  }

  /** One file at a time, as removing a large one takes a while. What is left when the directory closes goes at the next start. */
  #removeSoon(): void {
    if (this.#removal !== null || this.#doomed.length === 0 || this.#closing !== null) return
    this.#removal = this.#options.clock.setTimer(0, () => {
      this.#removal = null
      const directory = this.#doomed[0]!
      try {
        const [file] = this.#disk.list(directory)
        this.#disk.remove(file === undefined ? directory : `${directory}/${file}`)
        if (file === undefined) this.#doomed.shift()
      } catch (cause) {
        if (!(cause instanceof StorageError)) throw cause
        this.#doomed.shift()
        this.#options.logger.warn('a deleted partition could not be removed', { directory, error: cause.message })
      }
      this.#removeSoon()
    })
  }
}

/** Makes the directory with those above it that are missing, and all of their names durable. */
async function makeDurably(disk: Disk, path: string): Promise<void> {
  const missing: string[] = []
  for (let at = path; !disk.isDirectory(at) && parentOf(at) !== at; at = parentOf(at)) missing.push(at)
  disk.makeDirectory(path)
  for (const made of missing) await disk.syncDirectory(parentOf(made))
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '.' : path.slice(0, Math.max(1, slash))
}

function checkOwner(
  properties: { readonly nodeId: number; readonly clusterId: string },
  options: LogDirectoryOptions,
): void {
  const { path, nodeId, clusterId } = options
  if (properties.nodeId !== nodeId) {
    throw new BrokerError(
      'INCONSISTENT_DIRECTORY',
      `the data directory ${path} belongs to node ${properties.nodeId}, this is node ${nodeId}`,
    )
  }
  if (clusterId !== undefined && properties.clusterId !== clusterId) {
    throw new BrokerError(
      'INCONSISTENT_DIRECTORY',
      `the data directory ${path} belongs to cluster ${properties.clusterId}, this is cluster ${clusterId}`,
    )
  }
}

/** The partition that a directory's name tells, or null: a topic's name may hold dashes, but neither space nor slash. */
function parseDirectoryName(name: string): TopicPartition | null {
  const match = /^([\w.-]+)-(\d{1,10})$/.exec(name)
  return match === null ? null : { topic: match[1]!, partition: Number(match[2]) }
}

/** Offsets by directory name. A checkpoint that cannot be read counts as empty. */
function readOffsets(disk: Disk, path: string): Map<string, number> {
  const offsets = new Map<string, number>()
  for (const [topic, partition, word] of parseCheckpoint(disk.readFile(path), 3) ?? []) {
    const offset = parseOffset(word)
    if (offset !== null) offsets.set(`${topic}-${partition}`, offset)
  }
  return offsets
}
