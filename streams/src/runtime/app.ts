import { createHash } from 'node:crypto'
import { Cluster } from '../client/cluster.ts'
import { endTxn } from '../client/transaction-apis.ts'
import { durationMs, type Duration } from '../duration.ts'
import { StreamsError } from '../errors.ts'
import { StoreQuery, type LocalStore, type QueryableApp } from '../interactive/store-query.ts'
import type { Serde } from '../serdes/serde.ts'
import type { StateStore } from '../state/store.ts'
import { fail } from '../topology/error-handler.ts'
import type { TopologyPlan } from '../topology/plan.ts'
import type { DropReason, TaskContext, TaskTopology } from '../topology/task-topology.ts'
import { GlobalTables } from './global-tables.ts'
import type { WorkerAssignment } from './membership.ts'
import type { RunOptions, StreamsLogger } from './options.ts'
import { prepare, type Plan } from './prepare.ts'
import type { RestoreProgress } from './restorer.ts'
import { MemoryState, StateDirectory } from './state-directory.ts'
import type { StreamTask } from './stream-task.ts'
import { subTopologyOf, taskId, type TaskId } from './task-id.ts'
import { Worker, type WorkerSettings } from './worker.ts'

/** What `run` needs of a topology. */
export interface RunnableTopology {
  /** The application: prefix of its internal topics, id of its group. */
  readonly name: string
  plan(): TopologyPlan
  instantiate(subTopologyId: number, context: TaskContext): TaskTopology
  describe(): string
}

export interface PartitionLag {
  readonly topic: string
  readonly partition: number
  /** Records (offsets) behind the end; null before the first answer of the broker. */
  readonly lag: number | null
}

export interface Metrics {
  readonly state: AppState
  readonly recordsProcessed: number
  readonly recordsSent: number
  readonly recordsRestored: number
  /** Records a second since the previous call of `metrics`, or since the start. */
  readonly recordsPerSecond: number
  readonly recordsDropped: Readonly<Partial<Record<DropReason, number>>>
  readonly lag: readonly PartitionLag[]
  readonly tasks: {
    readonly active: readonly TaskId[]
    readonly restoring: readonly TaskId[]
    readonly standby: readonly TaskId[]
  }
  readonly stores: readonly { readonly taskId: TaskId; readonly store: string; readonly entryCount: number }[]
  readonly restore: readonly RestoreProgress[]
  readonly commitCount: number
  readonly rebalanceCount: number
  /** Sent and not acknowledged. */
  readonly unsentBytes: number
}

export type AppState = 'starting' | 'rebalancing' | 'running' | 'closing' | 'closed' | 'failed'

const COMMIT_INTERVAL_MS = 30_000
const TRANSACTION_INTERVAL_MS = 100
const TRANSACTION_TIMEOUT_MS = 60_000
const SESSION_TIMEOUT_MS = 10_000
const HEARTBEAT_INTERVAL_MS = 1_000
const REBALANCE_TIMEOUT_MS = 60_000
const CLOSE_TIMEOUT_MS = 30_000
/** A cluster may be away for so long before an application gives up. */
const DELIVERY_TIMEOUT_MS = 5 * 60_000

/**
 * A topology at work in this process. The tasks of the application are spread over all processes that run it; `close`
 * commits and hands this process's tasks to the others.
 */
export class StreamsApp implements AsyncDisposable {
  readonly applicationId: string
  readonly #cluster: Cluster
  readonly #plan: Plan
  readonly #workers: readonly Worker[]
  readonly #globals: GlobalTables
  readonly #state: MemoryState | StateDirectory
  readonly #closeTimeoutMs: number
  readonly #leaves: boolean
  #hosts: WorkerAssignment['hosts'] = {}
  #failure: Error | null = null
  #closing: Promise<void> | null = null
  #isClosed = false
  #measured = { atMs: performance.now(), records: 0 }
  readonly #closed: Promise<void>
  #onClosed!: () => void

  /** Checks, prepares and starts; resolves when the application is a member of its group. */
  static async run(topology: RunnableTopology, options: RunOptions): Promise<StreamsApp> {
    const settings = settingsOf(options)
    const workers = options.workers ?? 1
    if (!Number.isInteger(workers) || workers < 1) {
      throw new StreamsError('invalid-option', `workers: ${workers} is not a number of workers`)
    }
    const topologyPlan = topology.plan()
    const logger = options.logger ?? processWarnings
    warnOfGeneratedNames(topology.name, topologyPlan, logger)
    const cluster = await Cluster.connect(options)
    let state: MemoryState | StateDirectory | null = null
    try {
      if (settings.guarantee === 'exactly-once') {
        for (const id of cluster.brokerIds) await cluster.versionOf(id, endTxn)
      }
      const plan = await prepare(cluster, {
        applicationId: topology.name,
        topology: topologyPlan,
        replicationFactor: options.replicationFactor ?? -1,
        allowsOrphans: options.onTopologyChange === 'ignore',
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      })
      await cluster.watch(plan.partitionCounts.keys())
      state = await openState(options, topology.name)
      const globals = new GlobalTables(cluster, { topology, plan, isolation: settings.isolation })
      await globals.fill()
      return new StreamsApp({ topology, cluster, plan, state, globals, settings, logger, options, workers })
    } catch (error) {
      state?.close()
      await cluster.close()
      throw error
    }
  }

  private constructor(parts: {
    readonly topology: RunnableTopology
    readonly cluster: Cluster
    readonly plan: Plan
    readonly state: MemoryState | StateDirectory
    readonly globals: GlobalTables
    readonly settings: WorkerSettings
    readonly logger: StreamsLogger
    readonly options: RunOptions
    readonly workers: number
  }) {
    const { topology, cluster, plan, state, globals, settings, options } = parts
    this.applicationId = topology.name
    this.#cluster = cluster
    this.#plan = plan
    this.#state = state
    this.#globals = globals
    this.#closeTimeoutMs = durationMs(options.closeTimeout ?? CLOSE_TIMEOUT_MS)
    // A member with a name is about to come back; the others need not take over for that long.
    this.#leaves = options.instanceId === undefined
    this.#closed = new Promise((resolve) => (this.#onClosed = resolve))
    const environment = {
      applicationId: topology.name,
      processId: state.processId,
      cluster,
      plan,
      topologyHash: createHash('sha256').update(topology.describe()).digest('base64url').slice(0, 16),
      instantiate: (id: number, context: TaskContext) => topology.instantiate(id, context),
      globalStore: (name: string) => globals.store(name),
      location: state,
      settings,
      logger: parts.logger,
      storedTasks: () => state.storedTasks(),
      onHosts: (hosts: WorkerAssignment['hosts']) => (this.#hosts = hosts),
      onFailure: (error: Error) => this.#fail(error),
    }
    this.#workers = Array.from({ length: parts.workers }, (_, index) => new Worker(environment, index))
    globals.follow((error) => this.#fail(error))
    for (const worker of this.#workers) worker.start()
    options.signal?.addEventListener('abort', () => void this.close(), { once: true })
  }

  /** Under which the group knows this process; the same after a restart over the same state directory. */
  get processId(): string {
    return this.#state.processId
  }

  /** Why the application has ended by itself; null while it has not. */
  get failure(): Error | null {
    return this.#failure
  }

  /** Resolves when the application has ended, after `close` or after a failure. */
  get closed(): Promise<void> {
    return this.#closed
  }

  get state(): AppState {
    if (this.#isClosed) return this.#failure === null ? 'closed' : 'failed'
    if (this.#closing !== null) return 'closing'
    if (this.#workers.some(({ assignmentCount }) => assignmentCount === 0)) return 'starting'
    return this.#workers.some(({ restoringTasks }) => restoringTasks.length > 0) ? 'rebalancing' : 'running'
  }

  /** Tasks that are at work in this process. */
  get activeTasks(): readonly TaskId[] {
    return this.#workers.flatMap(({ tasks }) => tasks.map(({ id }) => id))
  }

  /** Stores the progress of everything now instead of at the next interval. */
  async commit(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.commitNow()))
  }

  metrics(): Metrics {
    const workers = this.#workers
    const tasks = workers.flatMap((worker) => worker.tasks)
    const recordsProcessed = sum(workers.map((worker) => worker.recordsProcessed))
    const nowMs = performance.now()
    const seconds = Math.max(0.001, (nowMs - this.#measured.atMs) / 1000)
    const recordsPerSecond = Math.max(0, recordsProcessed - this.#measured.records) / seconds
    this.#measured = { atMs: nowMs, records: recordsProcessed }
    return {
      state: this.state,
      recordsProcessed,
      recordsPerSecond,
      recordsSent: sum(workers.map(({ producer }) => producer.recordsSent)),
      recordsRestored: sum(workers.map(({ restorer }) => restorer.recordsRestored)),
      recordsDropped: droppedBy(tasks),
      lag: tasks.flatMap((task) => task.lag()),
      tasks: {
        active: tasks.map(({ id }) => id),
        restoring: workers.flatMap(({ restoringTasks }) => restoringTasks),
        standby: workers.flatMap(({ standbyTasks }) => [...standbyTasks.keys()]),
      },
      stores: tasks.flatMap(({ id, stores }) =>
        stores.all.map(({ name, entryCount }) => ({ taskId: id, store: name, entryCount })),
      ),
      restore: workers.flatMap(({ restorer }) => restorer.progress()),
      commitCount: sum(workers.map(({ commitCount }) => commitCount)),
      rebalanceCount: sum(workers.map(({ rebalanceCount }) => rebalanceCount)),
      unsentBytes: sum(workers.map(({ producer }) => producer.bufferedBytes)),
    }
  }

  /** Commits, hands the tasks over and ends, within the close timeout. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /**
   * Ends as a killed process does: nothing is committed, and the group finds out by the session timeout. For tests of
   * what happens then.
   */
  async kill(): Promise<void> {
    this.#closing ??= Promise.all(this.#workers.map((worker) => worker.abandon())).then(() => this.#end())
    await this.#closing
  }

  /**
   * Reads a store by its name.
   *
   *     const answer = await app.query<string, number>('by-word').get('the')
   *     console.log(answer.isLocal ? answer.value : `ask ${answer.owner}`)
   */
  query<K, V>(store: string): StoreQuery<K, V> {
    return new StoreQuery(this.#queryable, store)
  }

  /** What the topology was found to be on this cluster. */
  get plan(): Plan {
    return this.#plan
  }

  get #queryable(): QueryableApp {
    const definitionOf = (name: string) => {
      for (const subTopology of this.#plan.subTopologies) {
        const definition = subTopology.stores.find((store) => store.name === name)
        if (definition !== undefined && !subTopology.isGlobal) return { subTopology, definition }
      }
      return null
    }
    return {
      localStores: (name) => this.#localStores(name),
      globalStore: (name) => (this.#globals.has(name) ? this.#globals.store(name) : null),
      layoutOf: (name): { partitionCount: number; keySerde: Serde<unknown> } | null => {
        const found = definitionOf(name)
        if (found === null) return null
        const { subTopology, definition } = found
        const partitionCount = this.#plan.tasks.filter(({ id }) => subTopologyOf(id) === subTopology.id).length
        return { partitionCount, keySerde: definition.keySerde }
      },
      ownerOf: (name, partition) => this.#hostOf(taskId(definitionOf(name)!.subTopology.id, partition)),
    }
  }

  #localStores(name: string): readonly LocalStore[] {
    return this.#workers.flatMap(({ tasks }) =>
      tasks.flatMap(({ partition, stores }) =>
        stores.all.filter((store: StateStore) => store.name === name).map((store) => ({ partition, store })),
      ),
    )
  }

  /** Where the active task is, as of the latest rebalance; null when no instance there tells its address. */
  #hostOf(id: TaskId): string | null {
    for (const [host, { active }] of Object.entries(this.#hosts)) if (active.includes(id)) return host
    return null
  }

  async #close(): Promise<void> {
    const timeoutMs = this.#closeTimeoutMs
    await Promise.all(this.#workers.map((worker) => worker.close({ leaves: this.#leaves, timeoutMs })))
    await this.#end()
  }

  async #end(): Promise<void> {
    this.#globals.close()
    await this.#cluster.close()
    this.#state.close()
    this.#isClosed = true
    this.#onClosed()
  }

  #fail(error: Error): void {
    this.#failure ??= error
    // What goes wrong in the end of an application that has failed is not what is wrong with it.
    this.close().catch(() => {})
  }
}

function settingsOf(options: RunOptions): WorkerSettings {
  const isExactlyOnce = options.guarantee === 'exactly-once'
  const ms = (duration: Duration | undefined, otherwise: number): number =>
    duration === undefined ? otherwise : durationMs(duration)
  return {
    guarantee: options.guarantee ?? 'at-least-once',
    transactionTimeoutMs: ms(options.transactionTimeout, TRANSACTION_TIMEOUT_MS),
    isolation: isExactlyOnce ? 'read-committed' : 'read-uncommitted',
    commitIntervalMs: ms(options.commitInterval, isExactlyOnce ? TRANSACTION_INTERVAL_MS : COMMIT_INTERVAL_MS),
    standbyReplicas: options.standbyReplicas ?? 0,
    offsetReset: options.offsetReset ?? 'earliest',
    maxTaskIdleMs: options.maxTaskIdle === -1 ? -1 : ms(options.maxTaskIdle, 0),
    bufferBytes: options.bufferBytes ?? null,
    endpoint: options.endpoint ?? null,
    instanceId: options.instanceId ?? null,
    sessionTimeoutMs: ms(options.sessionTimeout, SESSION_TIMEOUT_MS),
    heartbeatIntervalMs: ms(options.heartbeatInterval, HEARTBEAT_INTERVAL_MS),
    rebalanceTimeoutMs: ms(options.rebalanceTimeout, REBALANCE_TIMEOUT_MS),
    onDeserializationError: options.onDeserializationError ?? fail(),
    onProcessingError: options.onProcessingError ?? fail(),
    onProductionError: options.onProductionError ?? fail(),
    producer: { deliveryTimeoutMs: DELIVERY_TIMEOUT_MS, ...options.producer },
  }
}

const processWarnings: StreamsLogger = {
  info() {},
  warn: (message) => process.emitWarning(message, { code: 'MILLRACE_STREAMS' }),
}

function warnOfGeneratedNames(application: string, { generatedNames }: TopologyPlan, logger: StreamsLogger): void {
  if (generatedNames.length === 0) return
  logger.warn(
    `${application}: ${generatedNames.join(', ')} ${generatedNames.length === 1 ? 'is' : 'are'} named by position, ` +
      'and a change of the topology would leave that state behind: give the operators names',
  )
}

async function openState(options: RunOptions, applicationId: string): Promise<MemoryState | StateDirectory> {
  if (options.stateDir === undefined) return new MemoryState()
  const openBacking = options.openBacking ?? (await import('../state/lmdb/open-lmdb.ts')).openLmdb
  return new StateDirectory(options.stateDir, applicationId, (directory) => openBacking(directory))
}

function droppedBy(tasks: readonly StreamTask[]): Partial<Record<DropReason, number>> {
  const dropped: Partial<Record<DropReason, number>> = {}
  for (const { recordsDropped } of tasks) {
    for (const [reason, count] of recordsDropped) dropped[reason] = (dropped[reason] ?? 0) + count
  }
  return dropped
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
