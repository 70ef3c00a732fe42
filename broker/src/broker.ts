import { ErrorCode, errorName } from '@millrace/protocol'
import { BrokerError } from './base/errors.ts'
import type { Clock, Timer } from './base/clock.ts'
import { hostPort } from './base/host-port.ts'
import { silentLogger, type Logger } from './base/logger.ts'
import type { Random } from './base/random.ts'
import { BrokerConfig, developmentDefaults } from './config/broker-config.ts'
import { splitList } from './config/option.ts'
import { GroupCoordinator } from './groups/coordinator.ts'
import { advertisedApis, handlers } from './handlers/index.ts'
import type { BrokerServices } from './handlers/services.ts'
import { writeMarker } from './handlers/transaction-markers.ts'
import type { Disk } from './log/disk.ts'
import { GroupCommit } from './log/group-commit.ts'
import { LogDirectories } from './log/log-directories.ts'
import type { OnCorruption } from './log/log-directory.ts'
import { MemoryDisk } from './log/memory-disk.ts'
import { LocalMetadata } from './metadata/local-metadata.ts'
import { logConfig, metadataLogConfig } from './metadata/topic-config.ts'
import { CLUSTER_METADATA, CLUSTER_METADATA_ID, CONSUMER_OFFSETS, TRANSACTION_STATE } from './metadata/topic-names.ts'
import { Dispatcher } from './network/dispatch.ts'
import type { Network } from './network/network.ts'
import { Server } from './network/server.ts'
import { Durability } from './partition/durability.ts'
import { FETCH_SESSION_EVICTION_MS, FetchSessions } from './partition/fetch-session.ts'
import { Housekeeping } from './partition/housekeeping.ts'
import type { AcksAfter, Partition } from './partition/partition.ts'
import { Partitions } from './partition/partitions.ts'
import { ProducerIds } from './partition/producer-ids.ts'
import { recordsAhead } from './partition/records-ahead.ts'
import { Scrubber, type ScrubTotals } from './partition/scrubber.ts'
import { RealDisk } from './platform/real-disk.ts'
import { systemClock } from './platform/system-clock.ts'
import { systemRandom } from './platform/system-random.ts'
import { TcpNetwork } from './platform/tcp-network.ts'
import { TransactionCoordinator } from './transactions/coordinator.ts'
import { abortOrphans } from './transactions/orphans.ts'
import type { TransactionMarkers } from './transactions/transaction-topic.ts'

export interface BrokerOptions {
  /** Port to listen on at 127.0.0.1; 0, the default, takes a free one. */
  readonly port?: number
  readonly host?: string
  readonly nodeId?: number
  /** Where data is kept. Without it, and without the setting log.dirs, everything is in memory and gone with the broker. */
  readonly dataDir?: string
  /** Kafka settings by their names, as in server.properties: `{ 'num.partitions': '3' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Gets the broker's log lines; without it they are dropped. */
  readonly logger?: Logger
}

export interface TopicOptions {
  /** 1 when not given. */
  readonly partitions?: number
  /** Topic settings by Kafka's names: `{ 'retention.ms': '-1' }`. */
  readonly configs?: Readonly<Record<string, string>>
}

/** How the data of a broker is, for health checks. */
export interface StorageStatus {
  readonly directories: readonly {
    readonly path: string
    /** A write or a sync failed: nothing is written there before the next start. */
    readonly isOffline: boolean
    /** Clients cannot append for want of room. */
    readonly isFull: boolean
    /** Null in memory, and of a directory that is offline. */
    readonly freeBytes: number | null
    readonly totalBytes: number | null
  }[]
  /** Why the log of a partition could not be opened, by `<topic>-<partition>`. */
  readonly offlinePartitions: ReadonlyMap<string, string>
  readonly scrubbed: ScrubTotals
}

/** What a broker is made of: its configuration and its ties to the world. */
export interface BrokerParts {
  readonly config: BrokerConfig
  /** Null keeps everything in memory. */
  readonly dataDir: string | null
  /** All data directories, where there are several; `dataDir` is the first of them then. */
  readonly dataDirs?: readonly string[]
  readonly logger: Logger
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly network: Network
  /** Gets what the broker is made of inside, before the first client can connect: how the simulator looks into it. */
  readonly opened?: (services: BrokerServices) => void
}

const MEMORY_DIRECTORY = '/memory'
/** How often recovery points are written where everything is synced: how far a start after a crash reads back. */
const RECOVERY_POINT_INTERVAL_MS = 1000
/** Of requests that have not arrived whole; Kafka's own default is no bound at all. */
const RECEIVED_BYTES_MAX = 128 * 1024 * 1024
/** Of responses that have not been taken. */
const OUTGOING_BYTES_MAX = 256 * 1024 * 1024
const LOOPBACK = '127.0.0.1'
const EVERY_INTERFACE = new Set(['', '::', '0.0.0.0'])

/**
 * A Kafka broker in this process. Many can run beside each other; each is its own cluster of one node.
 *
 *     await using broker = await Broker.start()
 *     const kafka = new Kafka({ brokers: [broker.bootstrap] })
 */
export class Broker implements AsyncDisposable {
  /** `host:port` of the first listener, for a client's list of brokers. */
  readonly bootstrap: string
  readonly host: string
  readonly port: number
  readonly dataDir: string | null
  /**
   * Resolves when the broker has been closed. Rejects with a StorageError when it had to close itself, as no data directory
   * is left that it could go on with. `close` rejects with the same then.
   */
  readonly closed: Promise<void>
  readonly #endClosed: (end: Promise<void>) => void
  readonly #services: BrokerServices
  readonly #durability: Durability
  readonly #directories: LogDirectories
  readonly #server: Server
  #checkpointTimer: Timer | null = null
  #recoveryPointTimer: Timer | null = null
  /** How to end the waits of waitForLag. */
  readonly #waits = new Set<() => void>()
  readonly #housekeeping: Housekeeping
  readonly #scrubber: Scrubber
  #closing: Promise<void> | null = null

  /**
   * Starts a broker inside this process and resolves when clients can connect. Fails with a BrokerError: ConfigError for
   * a setting, ADDRESS_IN_USE for a port, DIRECTORY_LOCKED for a data directory that another broker has.
   */
  static async start(options: BrokerOptions = {}): Promise<Broker> {
    const { host = LOOPBACK, port = 0, nodeId, dataDir, settings = {}, logger = silentLogger } = options
    const sets = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
    // Said in any case: a node's id is never a default to who asks for its settings, as in Kafka.
    if (settings['node.id'] === undefined || nodeId !== undefined) sets.push(`node.id=${nodeId ?? 1}`)
    if (settings['listeners'] === undefined) sets.push(`listeners=PLAINTEXT://${hostPort(host, port)}`)
    const config = BrokerConfig.from({ defaults: developmentDefaults, sets })
    const dataDirs = dataDir === undefined ? splitList(settings['log.dirs'] ?? settings['log.dir'] ?? '') : [dataDir]
    return Broker.run(systemParts({ config, dataDir: dataDirs[0] ?? null, dataDirs, logger }))
  }

  /** Starts a broker from its parts: what `start`, the command line and the simulator have in common. */
  static async run(parts: BrokerParts): Promise<Broker> {
    const { config, logger } = parts
    for (const warning of config.warnings) logger.warn(warning)
    const reserveBytes = config.int('log.dir.reserve.bytes')
    const directories = await LogDirectories.open({
      disk: parts.disk,
      paths: parts.dataDir === null ? [MEMORY_DIRECTORY] : (parts.dataDirs ?? [parts.dataDir]),
      mainPath: parts.dataDir === null ? null : config.get('metadata.log.dir'),
      metadataTopic: CLUSTER_METADATA,
      nodeId: config.nodeId,
      random: parts.random,
      clock: parts.clock,
      logger,
      producerIdExpirationMs: config.int('producer.id.expiration.ms'),
      onCorruption: config.text('recovery.on.corruption') as OnCorruption,
      ...(reserveBytes < 0 ? {} : { reserveBytes }),
    })
    let services: BrokerServices | null = null
    let server: Server | null = null
    try {
      const durability = new Durability()
      services = openServices(parts, directories, durability)
      if (!directories.isCleanShutdown) await endOrphans(services, durability)
      // What a crash left in the system's memory alone is shown to nobody before the disk has it.
      await durability.allDurable()?.catch(() => undefined)
      // How far back the next start would have to go, and that what this one cut off is not missed again. Without it that
      // one finds the same as this one: no reason not to go on, as long as the directory does.
      if (!directories.isCleanShutdown) await directories.saveOffsets()
      parts.opened?.(services)
      const dispatcher = new Dispatcher({ services, durability, handlers, advertised: advertisedApis })
      const requestBytesMax = config.int('queued.max.request.bytes')
      server = new Server({
        clock: parts.clock,
        network: parts.network,
        logger,
        dispatcher,
        durability,
        limits: {
          frameBytesMax: config.int('socket.request.max.bytes'),
          get connectionsMax() {
            return config.int('max.connections')
          },
          idleMsMax: config.int('connections.max.idle.ms'),
          receivedBytesMax: requestBytesMax > 0 ? requestBytesMax : RECEIVED_BYTES_MAX,
          outgoingBytesMax: OUTGOING_BYTES_MAX,
        },
      })
      const addresses: { host: string; port: number }[] = []
      for (const { host, port, advertised } of config.listeners) {
        addresses.push(await server.listen({ host, port }, advertised))
      }
      if (directories.failure !== null) throw directories.failure
      return new Broker(parts, { services, durability, directories, server, address: addresses[0]! })
    } catch (error) {
      await server?.close()
      services?.transactions.close()
      services?.groups.close()
      services?.partitions.close()
      // The first failure is the one that tells.
      await directories.close().catch(() => undefined)
      throw error
    }
  }

  private constructor(
    parts: BrokerParts,
    made: {
      readonly services: BrokerServices
      readonly durability: Durability
      readonly directories: LogDirectories
      readonly server: Server
      readonly address: { readonly host: string; readonly port: number }
    },
  ) {
    this.#services = made.services
    this.#durability = made.durability
    this.#directories = made.directories
    this.#server = made.server
    this.host = EVERY_INTERFACE.has(made.address.host) ? LOOPBACK : made.address.host
    this.port = made.address.port
    this.bootstrap = hostPort(this.host, this.port)
    this.dataDir = parts.dataDir
    const closed = Promise.withResolvers<void>()
    this.closed = closed.promise
    this.#endClosed = closed.resolve
    // Nobody has to look at it.
    this.closed.catch(() => undefined)
    this.#scheduleCheckpoint()
    if (acksAfterOf(parts) === 'fsync') this.#scheduleRecoveryPoints()
    const { partitions } = made.services
    this.#housekeeping = new Housekeeping({ ...parts, partitions, directory: made.directories })
    this.#housekeeping.start()
    this.#scrubber = new Scrubber({ ...parts, partitions })
    this.#scrubber.start()
    made.directories.onFailure(() => {
      if (made.directories.failure === null || this.#closing !== null) return
      parts.logger.error('the broker closes: it cannot go on without the data directory that failed')
      // The failure is what `closed` rejects with.
      this.close().catch(() => undefined)
    })
  }

  /** How the broker's data is: its directories, the partitions that are offline and why, and what scrubbing found. */
  get storage(): StorageStatus {
    const directories = this.#directories.usage().map(({ path, isOffline, isFull, space }) => ({
      path,
      isOffline,
      isFull,
      freeBytes: space?.freeBytes ?? null,
      totalBytes: space?.totalBytes ?? null,
    }))
    return {
      directories,
      offlinePartitions: this.#services.partitions.absent,
      scrubbed: this.#scrubber.totals,
    }
  }

  /** Creates a topic; resolves when it can be written to. Fails with a BrokerError whose code is Kafka's error name. */
  async createTopic(name: string, options: TopicOptions = {}): Promise<void> {
    const { errorCode, errorMessage } = this.#services.metadata.createTopic({
      name,
      partitionCount: options.partitions ?? 1,
      replicationFactor: 1,
      configs: new Map(Object.entries(options.configs ?? {})),
      validateOnly: false,
    })
    if (errorCode === ErrorCode.none) {
      await this.#durability.allDurable()
      return
    }
    throw new BrokerError(
      errorName(errorCode),
      `topic ${name} was not created: ${errorMessage ?? errorName(errorCode)}`,
    )
  }

  /**
   * Resolves when the group has at most `lag` records left to commit over all partitions of the topics that it reads;
   * records of transactions that are open or were aborted do not count. Replaces the sleep in a test. Fails with a BrokerError: TIMEOUT, which says what the lag is, or CLOSED.
   */
  async waitForLag(group: string, lag: number, options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const timeoutMs = options.timeoutMs ?? 10_000
    const { clock, groups } = this.#services
    if (this.#lagOf(group, lag) <= lag) return
    await new Promise<void>((resolve, reject) => {
      const done = (finish: () => void) => {
        timer.cancel()
        unsubscribe()
        this.#waits.delete(end)
        finish()
      }
      const end = () =>
        done(() => reject(new BrokerError('CLOSED', `the broker was closed while group ${group} was waited for`)))
      this.#waits.add(end)
      const timer = clock.setTimer(timeoutMs, () =>
        done(() => {
          const now = this.#lagOf(group, Infinity)
          const state = now === Infinity ? 'has neither members nor offsets' : `still has a lag of ${now}`
          reject(new BrokerError('TIMEOUT', `group ${group} ${state} after ${timeoutMs} ms; ${lag} was waited for`))
        }),
      )
      const unsubscribe = groups.onGroupChange(group, () => {
        if (this.#lagOf(group, lag) <= lag) done(resolve)
      })
    })
  }

  /** Closes connections, files and timers; nothing of the broker is left. Data stays when it has a directory. */
  close(): Promise<void> {
    if (this.#closing === null) {
      this.#closing = this.#close()
      this.#endClosed(this.#closing)
    }
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#checkpointTimer?.cancel()
    this.#recoveryPointTimer?.cancel()
    for (const end of [...this.#waits]) end()
    await this.#server.close()
    await this.#scrubber.close()
    await this.#housekeeping.close()
    this.#services.transactions.close()
    this.#services.groups.close()
    this.#services.partitions.close()
    await this.#directories.close()
  }

  /** Infinity when nothing is known of the group; not exact where it is more than `enough`. */
  #lagOf(group: string, enough: number): number {
    const { groups, partitions } = this.#services
    const topics = groups.topicsOf(group)
    if (topics.length === 0) return Infinity
    let lag = 0
    for (const topic of topics) {
      for (const partition of partitions.ofTopic(topic)) {
        const committed = groups.committedOffset(group, topic, partition.topicPartition.partition)
        lag += recordsAhead(partition, committed ?? 0, enough)
        if (lag > enough) return lag
      }
    }
    return lag
  }

  #scheduleCheckpoint(): void {
    if (this.#closing !== null) return
    const { clock, config } = this.#services
    this.#checkpointTimer = clock.setTimer(config.int('log.flush.offset.checkpoint.interval.ms'), () => {
      void this.#saved(this.#directories.checkpoint()).then(() => this.#scheduleCheckpoint())
    })
  }

  #scheduleRecoveryPoints(): void {
    if (this.#closing !== null) return
    this.#recoveryPointTimer = this.#services.clock.setTimer(RECOVERY_POINT_INTERVAL_MS, () => {
      void this.#saved(this.#directories.saveRecoveryPoints()).then(() => this.#scheduleRecoveryPoints())
    })
  }

  /** A failure of the disk ends in its log lines, so a rejection is a mistake in the code, which must not end the process. */
  #saved(work: Promise<void>): Promise<void> {
    return work.catch((error: unknown) => {
      this.#services.logger.error('a checkpoint was not made', {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      })
    })
  }
}

/** The parts of a broker on this machine. */
export function systemParts(own: Pick<BrokerParts, 'config' | 'dataDir' | 'dataDirs' | 'logger'>): BrokerParts {
  const disk = own.dataDir === null ? new MemoryDisk() : new RealDisk()
  return { ...own, clock: systemClock, random: systemRandom, disk, network: new TcpNetwork() }
}

/** In memory there is nothing that an acknowledgement could wait for. */
function acksAfterOf({ config, dataDir }: BrokerParts): AcksAfter {
  return dataDir === null ? 'write' : (config.text('acks.after') as AcksAfter)
}

function openServices(parts: BrokerParts, directories: LogDirectories, durability: Durability): BrokerServices {
  const { config, clock, random, logger } = parts
  const nodeId = config.nodeId
  const acksAfter = acksAfterOf(parts)
  const metadataLog = directories.openMetadataLog(
    { topic: CLUSTER_METADATA, partition: 0 },
    CLUSTER_METADATA_ID,
    metadataLogConfig(config),
  )
  const metadata = LocalMetadata.open({
    log: metadataLog,
    config,
    nodeId,
    clusterId: directories.clusterId,
    directoryIds: directories.directoryIds,
    place: (partitionCount) => directories.place(partitionCount),
    endpoints: config.listeners.map(({ name, host, port, advertised }) => ({ name, host, port, ...advertised })),
    isCleanShutdown: directories.isCleanShutdown,
    clock,
    random,
    logger,
  })
  const partitions = new Partitions({
    nodeId,
    directories,
    metadata,
    logConfig: (topic) => logConfig(config, metadata.image.topicConfigs(topic)),
    acksAfter,
    durability,
    clock,
    logger,
  })
  if (parts.dataDir !== null) {
    const listener = {
      durable: () => {},
      failed: (error: unknown) => logger.error('the metadata log could not be made durable', { error: String(error) }),
    }
    if (acksAfter === 'fsync') {
      const commit = durability.followMetadata(metadataLog, listener)
      metadata.subscribe(() => durability.appended(commit, 0))
    } else {
      // Nobody waits for it, but it is not left to the checkpoints: a topic that a power cut takes back takes all its
      // records along, also those on the disk.
      const commit = new GroupCommit(metadataLog, listener, new Set())
      metadata.subscribe(() => commit.appended(0))
    }
  }
  partitions.open()
  const groups = new GroupCoordinator({ clock, random, config, logger })
  const producerIds = new ProducerIds(() => metadata.allocateProducerIds())
  const transactions = new TransactionCoordinator({
    clock,
    config,
    logger,
    markers: markersOf({ partitions, groups }, durability),
    newProducerId: () => producerIds.next(),
    transactionVersion: () => metadata.image.features.get('transaction.version') ?? 0,
  })
  const services: BrokerServices = {
    nodeId,
    clock,
    random,
    logger,
    config,
    metadata,
    partitions,
    producerIds,
    fetchSessions: new FetchSessions({
      clock,
      random,
      limits: {
        maxSessions: config.int('max.incremental.fetch.session.cache.slots'),
        evictionMs: FETCH_SESSION_EVICTION_MS,
      },
    }),
    groups,
    transactions,
    advertisedApis,
  }
  // Groups first: what takes up the end of a transaction tells them of it.
  loadGroups(services)
  loadTransactions(services)
  metadata.subscribe((changes) => {
    for (const change of changes) {
      if (change.kind === 'topic-created' && change.topic.name === CONSUMER_OFFSETS) loadGroups(services)
      if (change.kind === 'topic-created' && change.topic.name === TRANSACTION_STATE) loadTransactions(services)
      if (change.kind === 'topic-deleted') groups.onTopicDeleted(change.topic.name)
      if (change.kind === 'topic-deleted' && change.topic.name === TRANSACTION_STATE) transactions.unload()
    }
  })
  return services
}

/** Gives the coordinator its topic, once that is there. */
function loadGroups({ groups, metadata, partitions }: BrokerServices): void {
  const topic = metadata.image.topics.get(CONSUMER_OFFSETS)
  if (topic === undefined) return
  groups.load({
    partitionCount: topic.partitions.length,
    append: (index, batch) => opened(partitions, topic.name, index).append(batch, 0, batch.length, 'coordinator'),
    batches: (index) => opened(partitions, topic.name, index).log.batches(),
  })
}

/** A coordinator does without a partition of its topic that it cannot read. */
function opened(partitions: Partitions, topic: string, index: number): Partition {
  const partition = partitions.get(topic, index)
  if (partition === undefined) throw new BrokerError('PARTITION_OFFLINE', `the log of ${topic}-${index} is offline`)
  return partition
}

/** As loadGroups. */
function loadTransactions({ transactions, metadata, partitions }: BrokerServices): void {
  const topic = metadata.image.topics.get(TRANSACTION_STATE)
  if (topic === undefined) return
  const partition = (index: number): Partition => opened(partitions, topic.name, index)
  transactions.load({
    partitionCount: topic.partitions.length,
    coordinatorEpoch: (index) => topic.partitions[index]!.leaderEpoch,
    append: (index, batch) => partition(index).append(batch, 0, batch.length, 'coordinator'),
    answersFor: (index) => partition(index).answersForAppended(),
    // One that can be read and takes nothing more has failed as well.
    isOnline: (index) => !partition(index).isReadOnly,
    batches: (index) => partition(index).log.batches(),
  })
}

function markersOf(
  services: Pick<BrokerServices, 'partitions' | 'groups'>,
  durability: Durability,
): TransactionMarkers {
  return {
    write: (topic, partition, marker) => writeMarker(services, topic, partition, marker),
    whenSafe: (done) => whenSafe(durability, done),
  }
}

/** Before the first client comes: a producer could go on with a transaction that is about to be aborted. */
async function endOrphans(services: BrokerServices, durability: Durability): Promise<void> {
  const { transactions, partitions, logger } = services
  await transactions.whenLoaded()
  abortOrphans(partitions.all(), transactions, markersOf(services, durability), logger)
}

function whenSafe(durability: Durability, goOn: (isSafe: boolean) => void): void {
  const durable = durability.allDurable()
  if (durable === null) {
    goOn(true)
    return
  }
  void durable.then(
    () => goOn(true),
    () => goOn(false),
  )
}
