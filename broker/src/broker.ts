import { ErrorCode, errorName } from '@millrace/protocol'
import { BrokerError } from './base/errors.ts'
import type { Clock, Timer } from './base/clock.ts'
import { silentLogger, type Logger } from './base/logger.ts'
import type { Random } from './base/random.ts'
import { BrokerConfig, developmentDefaults } from './config/broker-config.ts'
import { GroupCoordinator } from './groups/coordinator.ts'
import { advertisedApis, handlers } from './handlers/index.ts'
import type { BrokerServices } from './handlers/services.ts'
import type { Disk } from './log/disk.ts'
import { GroupCommit } from './log/group-commit.ts'
import { LogDirectory } from './log/log-directory.ts'
import { MemoryDisk } from './log/memory-disk.ts'
import { LocalMetadata } from './metadata/local-metadata.ts'
import { logConfig, metadataLogConfig } from './metadata/topic-config.ts'
import { CLUSTER_METADATA, CLUSTER_METADATA_ID, CONSUMER_OFFSETS } from './metadata/topic-names.ts'
import { Dispatcher } from './network/dispatch.ts'
import type { Network } from './network/network.ts'
import { OutgoingBytes } from './network/outgoing-bytes.ts'
import { ReceiveBudget } from './network/receive-budget.ts'
import { Server } from './network/server.ts'
import { Durability } from './partition/durability.ts'
import { FETCH_SESSION_EVICTION_MS, FetchSessions } from './partition/fetch-session.ts'
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
  readonly #directory: LogDirectory
  readonly #servers: readonly Server[]
  readonly #checkpoints: Timer[]
  #closing: Promise<void> | null = null

  /**
   * Starts a broker inside this process and resolves when clients can connect. Fails with a BrokerError: ConfigError for
   * a setting, ADDRESS_IN_USE for a port, DIRECTORY_LOCKED for a data directory that another broker has.
   */
  static async start(options: BrokerOptions = {}): Promise<Broker> {
    const { host = LOOPBACK, port = 0, nodeId, dataDir, settings = {}, logger = silentLogger } = options
    const sets = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
    if (nodeId !== undefined) sets.push(`node.id=${nodeId}`)
    if (settings['listeners'] === undefined) sets.push(`listeners=PLAINTEXT://${host}:${port}`)
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
    const servers: Server[] = []
    try {
      const durability = new Durability()
      const services = openServices(parts, directory, durability)
      const dispatcher = new Dispatcher({ services, handlers, advertised: advertisedApis })
      const requestBytesMax = config.int('queued.max.request.bytes')
      const budgets = {
        budget: new ReceiveBudget(requestBytesMax > 0 ? requestBytesMax : RECEIVED_BYTES_MAX),
        outgoing: new OutgoingBytes(OUTGOING_BYTES_MAX),
      }
      const addresses: { host: string; port: number }[] = []
      for (const listener of config.listeners) {
        const server = new Server({
          clock: parts.clock,
          network: parts.network,
          logger,
          dispatcher,
          durability,
          budgets,
          limits: {
            frameBytesMax: config.int('socket.request.max.bytes'),
            connectionsMax: config.int('max.connections'),
            idleMsMax: config.int('connections.max.idle.ms'),
          },
        })
        servers.push(server)
        const host = listener.host === '' ? '::' : listener.host
        addresses.push(await server.listen({ host, port: listener.port }, listener.advertised))
      }
      return new Broker(parts, { services, directory, servers, address: addresses[0]! })
    } catch (error) {
      for (const server of servers) await server.close()
      await directory.close()
      throw error
    }
  }

  private constructor(
    parts: BrokerParts,
    made: {
      readonly services: BrokerServices
      readonly directory: LogDirectory
      readonly servers: readonly Server[]
      readonly address: { readonly host: string; readonly port: number }
    },
  ) {
    this.#services = made.services
    this.#directory = made.directory
    this.#servers = made.servers
    this.host = made.address.host === '::' || made.address.host === '0.0.0.0' ? LOOPBACK : made.address.host
    this.port = made.address.port
    this.bootstrap = `${this.host.includes(':') ? `[${this.host}]` : this.host}:${this.port}`
    this.dataDir = parts.dataDir
    this.#checkpoints = []
    this.#scheduleCheckpoint(parts.clock, parts.config.int('log.flush.offset.checkpoint.interval.ms'))
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
    if (errorCode === ErrorCode.none) return
    throw new BrokerError(
      errorName(errorCode),
      `topic ${name} was not created: ${errorMessage ?? errorName(errorCode)}`,
    )
  }

  /**
   * Resolves when the group has at most `lag` records left to commit over all partitions of the topics that it reads.
   * Replaces the sleep in a test. Fails with a BrokerError of code TIMEOUT that says what the lag is.
   */
  async waitForLag(group: string, lag: number, options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const timeoutMs = options.timeoutMs ?? 10_000
    const { clock, groups } = this.#services
    if (this.#lagOf(group) <= lag) return
    await new Promise<void>((resolve, reject) => {
      const done = (finish: () => void) => {
        timer.cancel()
        unsubscribe()
        finish()
      }
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
    for (const timer of this.#checkpoints) timer.cancel()
    await Promise.all(this.#servers.map((server) => server.close()))
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

  #scheduleCheckpoint(clock: Clock, intervalMs: number): void {
    this.#checkpoints[0] = clock.setTimer(intervalMs, () => {
      void this.#directory.checkpoint()
      this.#scheduleCheckpoint(clock, intervalMs)
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
    const commit = new GroupCommit(metadataLog, {
      durable: () => {},
      failed: (error) => logger.error('the metadata log could not be made durable', { error: String(error) }),
    })
    metadata.subscribe(() => durability.appended(commit))
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
