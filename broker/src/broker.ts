import { ErrorCode, errorName } from '@millrace/protocol'
import { BrokerError } from './base/errors.ts'
import type { Clock, Timer } from './base/clock.ts'
import { hostPort } from './base/host-port.ts'
import { silentLogger, type Logger } from './base/logger.ts'
import type { Random } from './base/random.ts'
import { BrokerConfig, developmentDefaults } from './config/broker-config.ts'
import { GroupCoordinator } from './groups/coordinator.ts'
import { advertisedApis, handlers } from './handlers/index.ts'
import type { BrokerServices } from './handlers/services.ts'
import type { Disk } from './log/disk.ts'
import { LogDirectory } from './log/log-directory.ts'
import { MemoryDisk } from './log/memory-disk.ts'
import { LocalMetadata } from './metadata/local-metadata.ts'
import { logConfig, metadataLogConfig } from './metadata/topic-config.ts'
import { CLUSTER_METADATA, CLUSTER_METADATA_ID, CONSUMER_OFFSETS } from './metadata/topic-names.ts'
import { Dispatcher } from './network/dispatch.ts'
import type { Network } from './network/network.ts'
import { Server } from './network/server.ts'
import { Durability } from './partition/durability.ts'
import { FETCH_SESSION_EVICTION_MS, FetchSessions } from './partition/fetch-session.ts'
import { Housekeeping } from './partition/housekeeping.ts'
import type { AcksAfter } from './partition/partition.ts'
import { Partitions } from './partition/partitions.ts'
import { ProducerIds } from './partition/producer-ids.ts'
import { RealDisk } from './platform/real-disk.ts'
import { systemClock } from './platform/system-clock.ts'
import { systemRandom } from './platform/system-random.ts'
import { TcpNetwork } from './platform/tcp-network.ts'

export interface BrokerOptions {
  /** Port to listen on at 127.0.0.1; 0, the default, takes a free one. */
  readonly port?: number
  readonly host?: string
  readonly nodeId?: number
  /** Where data is kept. Without it everything is in memory and gone with the broker. */
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

/** What a broker is made of: its configuration and its ties to the world. */
export interface BrokerParts {
  readonly config: BrokerConfig
  /** Null keeps everything in memory. */
  readonly dataDir: string | null
  readonly logger: Logger
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly network: Network
}

const MEMORY_DIRECTORY = '/memory'
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
  readonly #services: BrokerServices
  readonly #durability: Durability
  readonly #directory: LogDirectory
  readonly #server: Server
  #checkpointTimer: Timer | null = null
  /** How to end the waits of waitForLag. */
  readonly #waits = new Set<() => void>()
  readonly #housekeeping: Housekeeping
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
    return Broker.run(systemParts({ config, dataDir: dataDir ?? null, logger }))
  }

  /** Starts a broker from its parts: what `start`, the command line and the simulator have in common. */
  static async run(parts: BrokerParts): Promise<Broker> {
    const { config, logger } = parts
    for (const warning of config.warnings) logger.warn(warning)
    const directory = await LogDirectory.open({
      disk: parts.disk,
      path: parts.dataDir ?? MEMORY_DIRECTORY,
      nodeId: config.nodeId,
      random: parts.random,
      clock: parts.clock,
      logger,
      producerIdExpirationMs: config.int('producer.id.expiration.ms'),
    })
    let services: BrokerServices | null = null
    let server: Server | null = null
    try {
      const durability = new Durability()
      services = openServices(parts, directory, durability)
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
      return new Broker(parts, { services, durability, directory, server, address: addresses[0]! })
    } catch (error) {
      await server?.close()
      services?.groups.close()
      services?.partitions.close()
      // The first failure is the one that tells.
      await directory.close().catch(() => undefined)
      throw error
    }
  }

  private constructor(
    parts: BrokerParts,
    made: {
      readonly services: BrokerServices
      readonly durability: Durability
      readonly directory: LogDirectory
      readonly server: Server
      readonly address: { readonly host: string; readonly port: number }
    },
  ) {
    this.#services = made.services
    this.#durability = made.durability
    this.#directory = made.directory
    this.#server = made.server
    this.host = EVERY_INTERFACE.has(made.address.host) ? LOOPBACK : made.address.host
    this.port = made.address.port
    this.bootstrap = hostPort(this.host, this.port)
    this.dataDir = parts.dataDir
    this.#scheduleCheckpoint()
    const { partitions } = made.services
    this.#housekeeping = new Housekeeping({ ...parts, partitions, directory: made.directory })
    this.#housekeeping.start()
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
   * Resolves when the group has at most `lag` records left to commit over all partitions of the topics that it reads.
   * Replaces the sleep in a test. Fails with a BrokerError: TIMEOUT, which says what the lag is, or CLOSED.
   */
  async waitForLag(group: string, lag: number, options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const timeoutMs = options.timeoutMs ?? 10_000
    const { clock, groups } = this.#services
    if (this.#lagOf(group) <= lag) return
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
          const now = this.#lagOf(group)
          const state = now === Infinity ? 'has neither members nor offsets' : `still has a lag of ${now}`
          reject(new BrokerError('TIMEOUT', `group ${group} ${state} after ${timeoutMs} ms; ${lag} was waited for`))
        }),
      )
      const unsubscribe = groups.onGroupChange(group, () => {
        if (this.#lagOf(group) <= lag) done(resolve)
      })
    })
  }

  /** Closes connections, files and timers; nothing of the broker is left. Data stays when it has a directory. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#checkpointTimer?.cancel()
    for (const end of [...this.#waits]) end()
    await this.#server.close()
    await this.#housekeeping.close()
    this.#services.groups.close()
    this.#services.partitions.close()
    await this.#directory.close()
  }

  /** Infinity when nothing is known of the group. */
  #lagOf(group: string): number {
    const { groups, partitions } = this.#services
    const topics = groups.topicsOf(group)
    if (topics.length === 0) return Infinity
    let lag = 0
    for (const topic of topics) {
      for (const { topicPartition, offsets } of partitions.ofTopic(topic)) {
        const committed = groups.committedOffset(group, topic, topicPartition.partition) ?? offsets.logStart
        lag += Math.max(0, offsets.highWatermark - Math.max(committed, offsets.logStart))
      }
    }
    return lag
  }

  #scheduleCheckpoint(): void {
    const { clock, config } = this.#services
    this.#checkpointTimer = clock.setTimer(config.int('log.flush.offset.checkpoint.interval.ms'), () => {
      // A failure of the disk ends in its log lines, so a rejection is a mistake in the code.
      void this.#directory.checkpoint().then(() => {
        if (this.#closing === null) this.#scheduleCheckpoint()
      })
    })
  }
}

/** The parts of a broker on this machine. */
export function systemParts(own: Pick<BrokerParts, 'config' | 'dataDir' | 'logger'>): BrokerParts {
  const disk = own.dataDir === null ? new MemoryDisk() : new RealDisk()
  return { ...own, clock: systemClock, random: systemRandom, disk, network: new TcpNetwork() }
}

function openServices(parts: BrokerParts, directory: LogDirectory, durability: Durability): BrokerServices {
  const { config, clock, random, logger } = parts
  const nodeId = config.nodeId
  const acksAfter = config.text('acks.after') as AcksAfter
  const metadataLog = directory.openLog(
    { topic: CLUSTER_METADATA, partition: 0 },
    CLUSTER_METADATA_ID,
    metadataLogConfig(config),
  )
  const metadata = LocalMetadata.open({
    log: metadataLog,
    config,
    nodeId,
    clusterId: directory.clusterId,
    directoryIds: [directory.directoryId],
    endpoints: config.listeners.map(({ name, host, port, advertised }) => ({ name, host, port, ...advertised })),
    isCleanShutdown: directory.isCleanShutdown,
    clock,
    random,
    logger,
  })
  const partitions = new Partitions({
    nodeId,
    directory,
    metadata,
    logConfig: (topic) => logConfig(config, metadata.image.topicConfigs(topic)),
    acksAfter,
    durability,
    logger,
  })
  if (acksAfter === 'fsync') {
    const commit = durability.followMetadata(metadataLog, {
      durable: () => {},
      failed: (error) => logger.error('the metadata log could not be made durable', { error: String(error) }),
    })
    metadata.subscribe(() => durability.appended(commit, 0))
  }
  partitions.open()
  const groups = new GroupCoordinator({ clock, random, config, logger })
  const services: BrokerServices = {
    nodeId,
    clock,
    random,
    logger,
    config,
    metadata,
    partitions,
    producerIds: new ProducerIds(() => metadata.allocateProducerIds()),
    fetchSessions: new FetchSessions({
      clock,
      random,
      limits: {
        maxSessions: config.int('max.incremental.fetch.session.cache.slots'),
        evictionMs: FETCH_SESSION_EVICTION_MS,
      },
    }),
    groups,
    advertisedApis,
  }
  loadGroups(services)
  metadata.subscribe((changes) => {
    for (const change of changes) {
      if (change.kind === 'topic-created' && change.topic.name === CONSUMER_OFFSETS) loadGroups(services)
      if (change.kind === 'topic-deleted') groups.onTopicDeleted(change.topic.name)
    }
  })
  return services
}

/** Gives the coordinator its topic, once that is there. */
function loadGroups({ groups, partitions }: BrokerServices): void {
  const partitionCount = partitions.ofTopic(CONSUMER_OFFSETS).length
  if (partitionCount === 0) return
  groups.load({
    partitionCount,
    append: (index, batch) => partitions.get(CONSUMER_OFFSETS, index)!.append(batch, 0, batch.length, 'coordinator'),
    batches: (index) => partitions.get(CONSUMER_OFFSETS, index)!.log.batches(),
  })
}
