import { BrokerError, ConfigError, StorageError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { directoryName, type TopicPartition } from '../base/topic-partition.ts'
import type { DiskSpace } from './disk.ts'
import type { LogConfig } from './log-config.ts'
import { LogDirectory, type LogDirectoryOptions } from './log-directory.ts'
import { readMetaProperties } from './meta-properties.ts'
import type { PartitionLog } from './partition-log.ts'

/** Kafka's ids for no directory, a lost one and one that is not known yet. */
const UNASSIGNED_IDS: ReadonlySet<string> = new Set([
  'AAAAAAAAAAAAAAAAAAAAAA',
  'AAAAAAAAAAAAAAAAAAAAAQ',
  'AAAAAAAAAAAAAAAAAAAAAg',
])

/** A directory of a partition's name, and the topic id in it. */
interface HeldLog {
  readonly topicPartition: TopicPartition
  readonly directory: LogDirectory
  readonly topicId: string | null
}

/** A data directory as DescribeLogDirs shows it. */
export interface DirectoryUsage {
  readonly path: string
  readonly isOffline: boolean
  readonly isFull: boolean
  readonly space: DiskSpace | null
  readonly logs: readonly PartitionLog[]
}

export interface LogDirectoriesOptions extends Omit<LogDirectoryOptions, 'path'> {
  /** `log.dirs` */
  readonly paths: readonly string[]
  /** The one that gets the metadata log, unless another one has it already; the first when not given. */
  readonly mainPath?: string | null
  /** The topic of the metadata log. */
  readonly metadataTopic: string
}

/**
 * The data directories of a node and which log is in which of them. One that fails, at the start or later, is offline with
 * its logs, and the others go on; without the one that holds the metadata log there is no node.
 *
 * New logs go where the metadata says, which asks `place` for the directory with the fewest. A log is in one directory: one
 * that is found in two ends the start. Two logs of one name are no such case: a topic was deleted and made again while the
 * directory of the earlier one was offline. Who opens the log knows the id of the topic, and the other is set aside.
 */
export class LogDirectories {
  /** The directory of the metadata log. */
  readonly main: LogDirectory
  readonly #directories: readonly LogDirectory[]
  /** Those that could not be opened, and why. */
  readonly #lost: ReadonlyMap<string, StorageError>
  readonly #byPartition = new Map<string, LogDirectory>()
  /** What was found at the start, by the name of the partition; of several, one at most stays. */
  readonly #found: Map<string, readonly HeldLog[]>
  readonly #logger: Logger
  #closing: Promise<void> | null = null

  /** Fails with a BrokerError as LogDirectory.open does, or with DUPLICATE_PARTITION for a log in two directories. */
  static async open(options: LogDirectoriesOptions): Promise<LogDirectories> {
    const { paths, mainPath, metadataTopic, ...common } = options
    if (typeof mainPath === 'string' && !paths.includes(mainPath)) {
      throw new ConfigError('metadata.log.dir', mainPath, `one of log.dirs: ${paths.join(', ')}`)
    }
    const { logger } = options
    const clusterId = options.clusterId ?? knownClusterId(options)
    const opened: LogDirectory[] = []
    const held: HeldLog[] = []
    const lost = new Map<string, StorageError>()
    try {
      for (const path of paths) {
        try {
          const identity = clusterId ?? opened[0]?.clusterId
          const directory = await LogDirectory.open({
            ...common,
            path,
            ...(identity === undefined ? {} : { clusterId: identity }),
          })
          held.push(...(await logsIn(directory)))
          opened.push(directory)
        } catch (cause) {
          if (!(cause instanceof StorageError) || paths.length === 1) throw cause
          logger.error('a data directory is offline: it could not be opened', { path, error: cause.message })
          lost.set(path, cause)
        }
      }
      const found = byName(held)
      const metadataLog = directoryName({ topic: metadataTopic, partition: 0 })
      const wanted = opened.find(({ path }) => path === (mainPath ?? paths[0]))
      const main = found.get(metadataLog)?.[0]?.directory ?? (lost.size === 0 ? wanted : undefined)
      // Without all directories nobody knows that there is no metadata log yet.
      if (main === undefined) throw [...lost.values()][0]!
      if (main !== wanted) logger.info('the metadata log stays in the data directory that has it', { path: main.path })
      return new LogDirectories(main, opened, lost, found, logger)
    } catch (cause) {
      // The first failure is the one that tells.
      for (const directory of opened) await directory.close().catch(() => undefined)
      throw cause
    }
  }

  private constructor(
    main: LogDirectory,
    directories: readonly LogDirectory[],
    lost: ReadonlyMap<string, StorageError>,
    found: Map<string, readonly HeldLog[]>,
    logger: Logger,
  ) {
    this.main = main
    this.#directories = directories
    this.#lost = lost
    this.#found = found
    this.#logger = logger
    for (const [name, [first, ...others]] of found) {
      if (others.length === 0) this.#byPartition.set(name, first!.directory)
    }
  }

  get clusterId(): string {
    return this.main.clusterId
  }

  get directoryIds(): string[] {
    return this.#directories.map(({ directoryId }) => directoryId)
  }

  /** Whether whoever had the directories before closed all of them in order. */
  get isCleanShutdown(): boolean {
    return this.#lost.size === 0 && this.#directories.every((directory) => directory.isCleanShutdown)
  }

  /** Why the node cannot go on, or null: the directory of the metadata log is offline, or all are. */
  get failure(): StorageError | null {
    return this.main.failure
  }

  /** Calls back each time that a directory goes offline. */
  onFailure(listener: (directory: LogDirectory, cause: StorageError) => void): void {
    for (const directory of this.#directories) directory.onFailure((cause) => listener(directory, cause))
  }

  /** The directories of so many new logs: each in the one that has the fewest by then. */
  place(count: number): string[] {
    const online = this.#online().map((directory) => ({ id: directory.directoryId, logs: directory.logCount }))
    // Of a node that is about to end; what it says now is written nowhere.
    if (online.length === 0) return Array.from({ length: count }, () => this.main.directoryId)
    return Array.from({ length: count }, () => {
      const fewest = online.reduce((least, next) => (next.logs < least.logs ? next : least))
      fewest.logs++
      return fewest.id
    })
  }

  /** The directory that holds the log of a partition, open or not. */
  directoryOf(topicPartition: TopicPartition): LogDirectory | undefined {
    return this.#byPartition.get(directoryName(topicPartition))
  }

  /**
   * Opens the log where it is, or creates it in the directory of that id. Throws DIRECTORY_OFFLINE where it may be in a
   * directory that is not there: a new and empty one in another place would look as if its records had never been. Only of
   * a partition that is new (`isNew`) nobody can have it.
   */
  openLog(
    topicPartition: TopicPartition,
    topicId: string,
    config: LogConfig,
    place: { readonly directoryId: string; readonly isNew: boolean },
  ): PartitionLog {
    const name = directoryName(topicPartition)
    this.#decide(topicPartition, topicId)
    const { directoryId, isNew } = place
    const id = UNASSIGNED_IDS.has(directoryId) ? this.place(1)[0]! : directoryId
    const mayBeLost = !isNew && this.#lost.size > 0
    const directory = this.#byPartition.get(name) ?? (mayBeLost ? null : this.#withId(id))
    if (directory === null || directory.failure !== null) {
      const where =
        directory?.path ?? ([...this.#lost.keys()].join(', ') || `${directoryId}, which log.dirs does not have`)
      throw new BrokerError('DIRECTORY_OFFLINE', `${name} is in a data directory that is offline: ${where}`)
    }
    this.#byPartition.set(name, directory)
    return directory.openLog(topicPartition, topicId, config)
  }

  openMetadataLog(topicPartition: TopicPartition, topicId: string, config: LogConfig): PartitionLog {
    this.#byPartition.set(directoryName(topicPartition), this.main)
    return this.main.openLog(topicPartition, topicId, config)
  }

  deleteLog(topicPartition: TopicPartition): void {
    const name = directoryName(topicPartition)
    const directory = this.#byPartition.get(name)
    this.#byPartition.delete(name)
    directory?.deleteLog(topicPartition)
  }

  /** The partitions that had a directory here at the start. */
  partitions(): TopicPartition[] {
    return Array.from(this.#found.values(), ([first]) => first!.topicPartition)
  }

  /** A directory that fails meanwhile keeps it, and the next start tries again. */
  setAsideStray(topicPartition: TopicPartition): void {
    const name = directoryName(topicPartition)
    this.#decide(topicPartition, null)
    const directory = this.#byPartition.get(name)
    this.#byPartition.delete(name)
    if (directory !== undefined) this.#setAside(directory, topicPartition)
  }

  /** Of several logs of one name keeps the one of the topic with that id; of none, without. */
  #decide(topicPartition: TopicPartition, topicId: string | null): void {
    const name = directoryName(topicPartition)
    const found = this.#found.get(name) ?? []
    this.#found.delete(name)
    if (found.length < 2) return
    for (const held of found) {
      if (held.topicId === topicId) this.#byPartition.set(name, held.directory)
      else this.#setAside(held.directory, topicPartition)
    }
  }

  #setAside(directory: LogDirectory, topicPartition: TopicPartition): void {
    try {
      directory.setAsideStray(topicPartition)
    } catch (cause) {
      if (!(cause instanceof StorageError)) throw cause
      const fields = { path: directory.path, partition: directoryName(topicPartition), error: cause.message }
      this.#logger.error('a partition that no topic has could not be set aside', fields)
    }
  }

  usage(): DirectoryUsage[] {
    const there = this.#directories.map((directory) => ({
      path: directory.path,
      isOffline: directory.failure !== null,
      isFull: directory.isFull,
      space: directory.failure === null ? directory.space() : null,
      logs: [...directory.logs],
    }))
    const lost = Array.from(this.#lost.keys(), (path) => ({
      path,
      isOffline: true,
      isFull: false,
      space: null,
      logs: [],
    }))
    return [...there, ...lost]
  }

  /** As LogDirectory's, for all that are online. */
  async checkpoint(): Promise<void> {
    await Promise.all(this.#online().map((directory) => directory.checkpoint()))
  }

  /** As LogDirectory's, for all of them; answers those that failed, now or before, and why. */
  async saveOffsets(): Promise<ReadonlyMap<LogDirectory, StorageError>> {
    const failures = new Map<LogDirectory, StorageError>()
    await Promise.all(
      this.#directories.map(async (directory) => {
        try {
          if (directory.failure !== null) throw directory.failure
          await directory.saveOffsets()
        } catch (cause) {
          if (!(cause instanceof StorageError)) throw cause
          failures.set(directory, cause)
          const fields = { path: directory.path, error: cause.message }
          this.#logger.error('the offsets of a data directory could not be saved', fields)
        }
      }),
    )
    return failures
  }

  async saveRecoveryPoints(): Promise<void> {
    await Promise.all(this.#online().map((directory) => directory.saveRecoveryPoints()))
  }

  /** Closes all of them; the first failure is thrown when that is done. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const ends = await Promise.allSettled(this.#directories.map((directory) => directory.close()))
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  #online(): LogDirectory[] {
    return this.#directories.filter((directory) => directory.failure === null)
  }

  #withId(directoryId: string): LogDirectory | null {
    return this.#directories.find((directory) => directory.directoryId === directoryId) ?? null
  }
}

/** The cluster of the directories that have one, so that a new one beside them joins it. */
function knownClusterId({ disk, paths }: LogDirectoriesOptions): string | undefined {
  for (const path of paths) {
    try {
      const properties = readMetaProperties(disk, path)
      if (properties !== null) return properties.clusterId
    } catch (cause) {
      // A directory that cannot be read says so when it is opened.
      if (!(cause instanceof StorageError)) throw cause
    }
  }
  return undefined
}

/** What is in a directory that was just opened. It closes again if that cannot be told. */
async function logsIn(directory: LogDirectory): Promise<HeldLog[]> {
  try {
    return directory.partitions().map((held) => ({ ...held, directory }))
  } catch (cause) {
    // The first failure is the one that tells.
    await directory.close().catch(() => undefined)
    throw cause
  }
}

/** Fails with DUPLICATE_PARTITION for two logs that are of one topic, or may be. */
function byName(held: readonly HeldLog[]): Map<string, readonly HeldLog[]> {
  const found = new Map<string, HeldLog[]>()
  for (const log of held) {
    const name = directoryName(log.topicPartition)
    const others = found.get(name) ?? []
    const same = others.find(({ topicId }) => topicId === log.topicId || topicId === null || log.topicId === null)
    if (same !== undefined) {
      throw new BrokerError(
        'DUPLICATE_PARTITION',
        `${name} is in two data directories, ${same.directory.path} and ${log.directory.path}: move one of them away`,
      )
    }
    found.set(name, [...others, log])
  }
  return found
}
