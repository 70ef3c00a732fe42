import {
  apis,
  ErrorCode,
  ZERO_UUID,
  type Api,
  type Decoded,
  type Fields,
  type Input,
  type ResponseOf,
} from '@millrace/protocol'
import { ConnectionError, isStaleMetadata, KafkaError, UnsupportedError } from './errors.ts'
import { StreamsError } from '../errors.ts'
import { PlatformaticTransport, type ConnectionOptions } from './platformatic-transport.ts'
import { retrying, type RetryOptions } from './retry.ts'
import type { BrokerAddress, KafkaTransport, Lane } from './transport.ts'

export interface ClusterOptions extends ConnectionOptions {
  /** `host:port` of some brokers; the others are learned from them. */
  readonly brokers: readonly string[]
  /** Another way to reach brokers, for tests; without it connections of @platformatic/kafka. */
  readonly transport?: KafkaTransport
}

export interface PartitionMetadata {
  readonly partition: number
  /** -1 while there is none. */
  readonly leader: number
  readonly leaderEpoch: number
}

export interface TopicMetadata {
  readonly name: string
  /** ZERO_UUID from a broker that has no topic ids. */
  readonly id: string
  /** By partition number. */
  readonly partitions: readonly PartitionMetadata[]
}

export interface ClusterRequest {
  readonly lane?: Lane
  readonly signal?: AbortSignal | undefined
  /** The newest version that the caller's body is right for, if not the newest of all. */
  readonly maxVersion?: number
}

/** A body, or how it looks in the version that was agreed on. */
export type Body<I> = I | ((version: number) => I)

export type CoordinatorKind = 'group' | 'transaction'

interface VersionRange {
  readonly min: number
  readonly max: number
}

interface BrokerApis {
  readonly versions: ReadonlyMap<number, VersionRange>
  /** Levels of the features that the cluster has agreed on. */
  readonly features: ReadonlyMap<string, number>
}

const CLIENT_SOFTWARE = { clientSoftwareName: 'millrace-streams', clientSoftwareVersion: '0.1.0' }
const DEFAULT_PORT = 9092
const API_VERSIONS_VERSION = 3
/** Before this one a coordinator is asked for one at a time. */
const MANY_COORDINATORS_VERSION = 4

/**
 * What a client knows of a cluster: brokers, leaders of the topics in use, coordinators, and which versions each broker
 * speaks. Everything in it may be out of date; an answer that says so is met by `refresh` and another try, for which
 * `retry` is the common way.
 *
 * Shared by all clients of a process; requests may be made at the same time.
 */
export class Cluster implements AsyncDisposable {
  readonly #transport: KafkaTransport
  readonly #bootstrap: readonly BrokerAddress[]
  readonly #brokers = new Map<number, BrokerAddress>()
  readonly #topics = new Map<string, TopicMetadata>()
  readonly #topicNames = new Map<string, string>()
  readonly #watched = new Set<string>()
  readonly #apis = new Map<string, Promise<BrokerApis>>()
  readonly #coordinators = new Map<string, number>()
  #refreshing: Promise<void> | null = null
  #nextBroker = 0
  clusterId: string | null = null

  /** Resolves when one of the brokers has answered; fails with one error that names all that did not. */
  static async connect(options: ClusterOptions): Promise<Cluster> {
    if (options.brokers.length === 0)
      throw new StreamsError('invalid-option', 'brokers: at least one host:port is needed')
    const bootstrap = options.brokers.map(parseAddress)
    const transport = options.transport ?? (await PlatformaticTransport.open(options))
    const cluster = new Cluster(transport, bootstrap)
    try {
      await cluster.refresh()
    } catch (error) {
      await transport.close()
      throw error
    }
    return cluster
  }

  private constructor(transport: KafkaTransport, bootstrap: readonly BrokerAddress[]) {
    this.#transport = transport
    this.#bootstrap = bootstrap
  }

  get brokerIds(): readonly number[] {
    return [...this.#brokers.keys()]
  }

  close(): Promise<void> {
    return this.#transport.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** One request to one broker (its node id), or to any (null), in the newest version that both sides speak. */
  async request<Q extends Fields, R extends Fields>(
    to: number | null,
    api: Api<Q, R>,
    body: Body<Input<Q>>,
    options: ClusterRequest = {},
  ): Promise<Decoded<R>> {
    if (to !== null) {
      const address = this.#brokers.get(to)
      if (address === undefined) throw new ConnectionError(`node ${to}`, `node ${to} is not part of the cluster`)
      return this.#requestAt(address, api, body, options)
    }
    const failures: Error[] = []
    for (const address of this.#candidates()) {
      try {
        return await this.#requestAt(address, api, body, options)
      } catch (error) {
        if (!(error instanceof ConnectionError) || !error.isRetriable) throw error
        failures.push(error)
      }
    }
    const names = this.#bootstrap.map(({ host, port }) => `${host}:${port}`).join(', ')
    const reasons = [...new Set(failures.map(({ message }) => message))].join('; ')
    const cause = failures.length === 1 ? failures[0] : new AggregateError(failures)
    throw new ConnectionError(names, `no broker of ${names} can be reached: ${reasons}`, { cause })
  }

  /** The version in which a request to this broker would go out. */
  async versionOf(to: number, api: Api, maxVersion?: number): Promise<number> {
    const address = this.#brokers.get(to)
    if (address === undefined) throw new ConnectionError(`node ${to}`, `node ${to} is not part of the cluster`)
    return agree(address, await this.#apisOf(address), api, maxVersion)
  }

  /** The level of a finalized feature as any broker tells it; 0 when there is none. */
  async featureLevel(name: string): Promise<number> {
    const { features } = await this.#apisOf(this.#candidates()[0]!)
    return features.get(name) ?? 0
  }

  /** Repeats what fails for a passing reason; metadata is read anew when the failure says that it is old. */
  retry<T>(attempt: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
    const onFailure = async (error: unknown): Promise<void> => {
      await options.onFailure?.(error)
      if (!isStaleMetadata(error)) return
      // The attempt that follows tells more than this one would.
      await this.refresh(options.signal).catch(() => {})
    }
    return retrying(attempt, { ...options, onFailure })
  }

  /** Keeps these topics in the metadata from now on, and waits until they are there. Unknown ones stay absent. */
  async watch(topics: Iterable<string>, signal?: AbortSignal): Promise<void> {
    let isNew = false
    for (const topic of topics) {
      isNew ||= !this.#topics.has(topic)
      this.#watched.add(topic)
    }
    if (!isNew) return
    await this.#refreshing?.catch(() => {})
    await this.refresh(signal)
  }

  topic(name: string): TopicMetadata | undefined {
    return this.#topics.get(name)
  }

  topicNameOf(id: string): string | undefined {
    return this.#topicNames.get(id)
  }

  /** The node that leads the partition, -1 while none is known. */
  leaderOf(topic: string, partition: number): number {
    return this.#topics.get(topic)?.partitions[partition]?.leader ?? -1
  }

  /** Reads the metadata of the watched topics anew; calls that come meanwhile wait for the same answer. */
  refresh(signal?: AbortSignal): Promise<void> {
    this.#refreshing ??= this.#refresh(signal).finally(() => (this.#refreshing = null))
    return this.#refreshing
  }

  /** What the cluster knows of these topics right now (null: of all); absent ones are missing in the answer. */
  async describeTopics(names: readonly string[] | null, signal?: AbortSignal): Promise<Map<string, TopicMetadata>> {
    const response = await this.#metadata(names, signal)
    const topics = new Map<string, TopicMetadata>()
    for (const topic of response.topics) {
      if (topic.errorCode === ErrorCode.unknownTopicOrPartition) continue
      if (topic.errorCode !== ErrorCode.none && topic.errorCode !== ErrorCode.leaderNotAvailable) {
        throw new KafkaError('Metadata', topic.errorCode, `topic ${topic.name}`)
      }
      topics.set(topic.name!, topicMetadata(topic))
    }
    return topics
  }

  /**
   * A request to the coordinator of a group or transactional id. `codeOf` finds the error code that decides whether the
   * answer came from the wrong coordinator, or one that is not ready; then it is looked up again and asked again.
   */
  coordinated<Q extends Fields, R extends Fields>(
    kind: CoordinatorKind,
    key: string,
    api: Api<Q, R>,
    body: Body<Input<Q>>,
    options: ClusterRequest & { readonly codeOf: (response: Decoded<R>) => number; readonly timeoutMs?: number },
  ): Promise<Decoded<R>> {
    const attempt = async (): Promise<Decoded<R>> => {
      const node = await this.#coordinator(kind, key, options.signal)
      const response = await this.request(node, api, body, options)
      const errorCode = options.codeOf(response)
      if (NO_COORDINATOR.has(errorCode)) throw new KafkaError(api.name, errorCode, `${kind} ${key}`)
      return response
    }
    const { signal, timeoutMs } = options
    return this.retry(attempt, {
      signal,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      onFailure: () => void this.#coordinators.delete(`${kind} ${key}`),
    })
  }

  async #coordinator(kind: CoordinatorKind, key: string, signal?: AbortSignal): Promise<number> {
    const id = `${kind} ${key}`
    const known = this.#coordinators.get(id)
    if (known !== undefined) return known
    const keyType = kind === 'group' ? 0 : 1
    const response = await this.request(
      null,
      apis.findCoordinator,
      (version) => (version >= MANY_COORDINATORS_VERSION ? { keyType, coordinatorKeys: [key] } : { keyType, key }),
      { signal, maxVersion: 5 },
    )
    const found = response.coordinators[0] ?? response
    if (found.errorCode !== ErrorCode.none) {
      throw new KafkaError('FindCoordinator', found.errorCode, id, found.errorMessage)
    }
    this.#brokers.set(found.nodeId, { host: found.host, port: found.port })
    this.#coordinators.set(id, found.nodeId)
    return found.nodeId
  }

  async #requestAt<Q extends Fields, R extends Fields>(
    address: BrokerAddress,
    api: Api<Q, R>,
    body: Body<Input<Q>>,
    { lane, signal, maxVersion }: ClusterRequest,
  ): Promise<Decoded<R>> {
    const version = agree(address, await this.#apisOf(address), api, maxVersion)
    const input = typeof body === 'function' ? (body as (version: number) => Input<Q>)(version) : body
    return this.#transport.request(address, api, version, input, { ...(lane === undefined ? {} : { lane }), signal })
  }

  #apisOf(address: BrokerAddress): Promise<BrokerApis> {
    const key = `${address.host}:${address.port}`
    const known = this.#apis.get(key)
    if (known !== undefined) return known
    const asked = this.#askVersions(address)
    this.#apis.set(key, asked)
    asked.catch(() => this.#apis.delete(key))
    return asked
  }

  async #askVersions(address: BrokerAddress): Promise<BrokerApis> {
    const ask = (version: number): Promise<ResponseOf<typeof apis.apiVersions>> =>
      this.#transport.request(address, apis.apiVersions, version, CLIENT_SOFTWARE)
    let response = await ask(API_VERSIONS_VERSION).catch((error: unknown) => {
      // A broker that does not know the version answers in the form of version 0, which cannot be read as another.
      if (error instanceof RangeError) return null
      throw error
    })
    if (response === null || response.errorCode === ErrorCode.unsupportedVersion) response = await ask(0)
    if (response.errorCode !== ErrorCode.none) {
      throw new KafkaError('ApiVersions', response.errorCode, `${address.host}:${address.port}`)
    }
    const { apiKeys, finalizedFeatures } = response
    return {
      versions: new Map(
        apiKeys.map(({ apiKey, minVersion, maxVersion }) => [apiKey, { min: minVersion, max: maxVersion }]),
      ),
      features: new Map(finalizedFeatures.map(({ name, maxVersionLevel }) => [name, maxVersionLevel])),
    }
  }

  async #refresh(signal?: AbortSignal): Promise<void> {
    const response = await this.#metadata([...this.#watched], signal)
    if (response.brokers.length > 0) {
      this.#brokers.clear()
      for (const { nodeId, host, port } of response.brokers) this.#brokers.set(nodeId, { host, port })
    }
    this.clusterId = response.clusterId
    for (const topic of response.topics) {
      const name = topic.name!
      const before = this.#topics.get(name)
      if (topic.errorCode !== ErrorCode.none && topic.errorCode !== ErrorCode.leaderNotAvailable) {
        // A topic can be unknown to a broker that has just started; what was known before is better than nothing.
        if (topic.errorCode === ErrorCode.unknownTopicOrPartition) this.#topics.delete(name)
        continue
      }
      if (before !== undefined && before.id !== topic.topicId) this.#topicNames.delete(before.id)
      this.#topics.set(name, topicMetadata(topic))
      if (topic.topicId !== ZERO_UUID) this.#topicNames.set(topic.topicId, name)
    }
  }

  #metadata(names: readonly string[] | null, signal?: AbortSignal): Promise<ResponseOf<typeof apis.metadata>> {
    return this.request(
      null,
      apis.metadata,
      (version) => ({
        // Version 0 has no way to ask for no topic at all; it is spoken by nothing that this client supports.
        topics: names === null ? (version === 0 ? [] : null) : names.map((name) => ({ name })),
        allowAutoTopicCreation: false,
      }),
      { signal, maxVersion: 12 },
    )
  }

  /** Where a question for any broker may go: the known brokers, another one first each time, then the bootstrap. */
  #candidates(): BrokerAddress[] {
    const known = [...this.#brokers.values()]
    const from = this.#nextBroker++ % Math.max(1, known.length)
    const rotated = [...known.slice(from), ...known.slice(0, from)]
    const isKnown = ({ host, port }: BrokerAddress): boolean =>
      known.some((broker) => broker.host === host && broker.port === port)
    return [...rotated, ...this.#bootstrap.filter((address) => !isKnown(address))]
  }
}

const NO_COORDINATOR: ReadonlySet<number> = new Set([
  ErrorCode.notCoordinator,
  ErrorCode.coordinatorNotAvailable,
  ErrorCode.coordinatorLoadInProgress,
])

function topicMetadata(topic: ResponseOf<typeof apis.metadata>['topics'][number]): TopicMetadata {
  const partitions = topic.partitions
    .map(({ partitionIndex, leaderId, leaderEpoch }) => ({ partition: partitionIndex, leader: leaderId, leaderEpoch }))
    .sort((a, b) => a.partition - b.partition)
  return { name: topic.name!, id: topic.topicId, partitions }
}

function agree(address: BrokerAddress, { versions }: BrokerApis, api: Api, maxVersion = api.maxVersion): number {
  const offered = versions.get(api.key)
  const broker = `${address.host}:${address.port}`
  if (offered === undefined) throw new UnsupportedError(`${broker} does not offer ${api.name}, which is needed here`)
  const version = Math.min(offered.max, api.maxVersion, maxVersion)
  if (version >= Math.max(offered.min, api.minVersion)) return version
  throw new UnsupportedError(
    `${broker} offers ${api.name} ${offered.min}-${offered.max}, this client speaks ${api.minVersion}-${maxVersion}`,
  )
}

/** `host`, `host:port` or `[v6]:port`. */
export function parseAddress(text: string): BrokerAddress {
  const match = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[^:[\]]+))(?::(?<port>\d+))?$/.exec(text.trim())
  const port = Number(match?.groups?.['port'] ?? DEFAULT_PORT)
  const host = match?.groups?.['v6'] ?? match?.groups?.['host']
  if (host === undefined || port < 1 || port > 65_535) {
    throw new StreamsError('invalid-option', `brokers: '${text}' is not host:port`)
  }
  return { host, port }
}
