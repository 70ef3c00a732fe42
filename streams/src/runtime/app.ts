import { createHash } from 'node:crypto'
import { apis } from '@millrace/protocol'
import { Cluster } from '../client/cluster.ts'
import { durationMs, type Duration } from '../duration.ts'
import { StreamsError } from '../errors.ts'
import { StoreQuery, type LocalStore, type QueryableApp } from '../interactive/store-query.ts'
import type { Serde } from '../serdes/serde.ts'
import type { StateStore } from '../state/store.ts'
import { lastResort } from '../topology/error-handler.ts'
import type { TopologyPlan } from '../topology/plan.ts'
import type { DropReason, TaskContext, TaskTopology } from '../topology/task-topology.ts'
import { GlobalTables } from './global-tables.ts'
import type { WorkerAssignment } from './membership.ts'
import type { RunOptions, StreamsLogger } from './options.ts'
import { prepareSerdes } from './prepare-serdes.ts'
import { prepare, type Plan } from './prepare.ts'
import { Rate } from './rate.ts'
import { RestoreWatch, type RestoreSummary } from './restore-watch.ts'
import type { RestoreProgress } from './restorer.ts'
import { MemoryState, StateDirectory } from './state-directory.ts'
import type { StreamTask } from './stream-task.ts'
import { subTopologyOf, taskId, type TaskId } from './task-id.ts'
import { settingsOf } from './settings.ts'
import { Worker, type WorkerSettings } from './worker.ts'

/** What `run` needs of a topology. */
export interface RunnableTopology {
  /** The application: prefix of its internal topics, id of its group. */
  readonly name: string
  plan(): TopologyPlan
  instantiate(subTopologyId: number, context: TaskContext): TaskTopology
  describe(): string
}

export interface RunHooks {
  /** Awaited when all is checked and made, before the group is joined. */
  readonly prepared?: () => Promise<void>
}

export interface PartitionLag {
  readonly topic: string
  readonly partition: number
  /** Records (offsets) behind the end; null before the first answer of the broker. */
  readonly lag: number | null
}

/** One task that is at work here. */
export interface TaskMetrics {
  readonly taskId: TaskId
  /** Since the task came here. */
  readonly recordsProcessed: number
  readonly recordsPerSecond: number
  readonly lag: number
  /** The largest timestamp seen; -1 before the first. */
  readonly streamTimeMs: number
}

export interface StoreMetrics {
  readonly taskId: TaskId
  readonly store: string
  /** In memory: all of them where the store is, the cached ones of a store on disk. */
  readonly entryCount: number
  /** Null for a store in memory. */
  readonly diskBytes: number | null
  /** Changes that wait for the next commit, about. */
  readonly unflushedBytes: number
}

export interface Metrics {
  readonly state: AppState
  readonly recordsProcessed: number
  readonly recordsSent: number
  readonly recordsRestored: number
  /** Over the last ten seconds, like the other rates. */
  readonly recordsPerSecond: number
  readonly sentPerSecond: number
  readonly restoredPerSecond: number
  readonly recordsDropped: Readonly<Partial<Record<DropReason, number>>>
  readonly lag: readonly PartitionLag[]
  /** Of all partitions whose lag is known. */
  readonly totalLag: number
  readonly tasks: {
    readonly active: readonly TaskId[]
    readonly restoring: readonly TaskId[]
    readonly standby: readonly TaskId[]
  }
  readonly work: readonly TaskMetrics[]
  readonly stores: readonly StoreMetrics[]
  readonly restore: readonly RestoreProgress[]
  readonly commitCount: number
  readonly rebalanceCount: number
  /** Sent and not acknowledged. */
  readonly unsentBytes: number
}

export type AppState = 'starting' | 'rebalancing' | 'running' | 'closing' | 'closed' | 'failed'

const SAMPLE_MS = 1_000
const RESTORE_EVERY_MS = 100
const CLOSE_TIMEOUT_MS = 30_000

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
  readonly #rates = {
    processed: new Rate(performance.now()),
    sent: new Rate(performance.now()),
    restored: new Rate(performance.now()),
  }
  readonly #taskRates = new Map<StreamTask, Rate>()
  readonly #sampling: NodeJS.Timeout
  readonly #waiting = new Set<() => void>()
  readonly #closed: Promise<void>
  #onClosed!: () => void

  /** Checks, prepares and starts; resolves when the application is a member of its group. */
  static async run(topology: RunnableTopology, options: RunOptions, hooks: RunHooks = {}): Promise<StreamsApp> {
    const settings = settingsOf(options)
    const workers = options.workers ?? 1
    const topologyPlan = topology.plan()
    const logger = options.logger ?? processWarnings
    warnOfGeneratedNames(topology.name, topologyPlan, logger)
    const cluster = await Cluster.connect(options)
    let state: MemoryState | StateDirectory | null = null
    try {
      if (settings.guarantee === 'exactly-once') {
        for (const id of cluster.brokerIds) await cluster.versionOf(id, apis.endTxn)
      }
      const plan = await prepare(cluster, {
        applicationId: topology.name,
        topology: topologyPlan,
        replicationFactor: options.replicationFactor ?? -1,
        deadLetterTopics: deadLetterTopicsOf(settings),
        allowsOrphans: options.onTopologyChange === 'ignore',
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      })
      await prepareSerdes(topology, { signal: options.signal })
      await cluster.watch(plan.partitionCounts.keys())
      state = await openState(options, topology.name)
      const globals = new GlobalTables(cluster, { topology, plan, isolation: settings.isolation })
      await globals.fill()
      await hooks.prepared?.()
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
      onTasksChanged: () => this.#tellWaiting(),
      onFailure: (error: Error) => this.#fail(error),
    }
    this.#workers = Array.from({ length: parts.workers }, (_, index) => new Worker(environment, index))
    this.#sampling = setInterval(() => this.#sample(), SAMPLE_MS)
    this.#sampling.unref()
    globals.follow((error) => this.#fail(error))
    for (const worker of this.#workers) worker.start()
    if (options.signal?.aborted === true) void this.close()
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
    const nowMs = performance.now()
    const { processed, sent, restored } = this.#counts()
    const lag = tasks.flatMap((task) => task.lag())
    return {
      state: this.state,
      recordsProcessed: processed,
      recordsPerSecond: this.#rates.processed.perSecond(nowMs, processed),
      recordsSent: sent,
      sentPerSecond: this.#rates.sent.perSecond(nowMs, sent),
      recordsRestored: restored,
      restoredPerSecond: this.#rates.restored.perSecond(nowMs, restored),
      recordsDropped: droppedBy(tasks),
      lag,
      totalLag: totalOf(lag),
      tasks: {
        active: tasks.map(({ id }) => id),
        restoring: workers.flatMap(({ restoringTasks }) => restoringTasks),
        standby: workers.flatMap(({ standbyTasks }) => [...standbyTasks.keys()]),
      },
      work: tasks.map((task) => ({
        taskId: task.id,
        recordsProcessed: task.recordsProcessed,
        recordsPerSecond: this.#taskRates.get(task)?.perSecond(nowMs, task.recordsProcessed) ?? 0,
        lag: totalOf(task.lag()),
        streamTimeMs: task.streamTimeMs,
      })),
      stores: tasks.flatMap(({ id, stores }) =>
        stores.all.map(({ name, entryCount, unflushedBytes }) => ({
          taskId: id,
          store: name,
          entryCount,
          diskBytes: this.#state.diskBytes(id, name),
          unflushedBytes,
        })),
      ),
      restore: workers.flatMap(({ restorer }) => restorer.progress()),
      commitCount: sum(workers.map(({ commitCount }) => commitCount)),
      rebalanceCount: sum(workers.map(({ rebalanceCount }) => rebalanceCount)),
      unsentBytes: sum(workers.map(({ producer }) => producer.bufferedBytes)),
    }
  }

  /**
   * Resolves when every task that this process was given has its state and is at work; fails when the application ends
   * before that. A later rebalance can bring tasks that are restored again.
   */
  async running(): Promise<void> {
    while (this.state !== 'running') {
      if (this.#closing !== null || this.#isClosed) {
        throw this.#failure ?? new StreamsError('closed', `${this.applicationId} was closed before it was at work`)
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  /**
   * How far the state of this process's tasks is, every so often, until all of it is there.
   *
   *     for await (const { share, remainingMs } of app.restoring()) console.log(share, remainingMs)
   */
  async *restoring(every: Duration = RESTORE_EVERY_MS): AsyncGenerator<RestoreSummary, void, void> {
    const look = this.watchRestore()
    for (let isDone = false; !isDone;) {
      const summary = look()
      yield summary
      isDone = summary.isDone
      if (isDone) return
      let timer: NodeJS.Timeout | undefined
      const pause = new Promise<void>((resolve) => (timer = setTimeout(resolve, durationMs(every))))
      await Promise.race([pause, this.running()])
      clearTimeout(timer)
    }
  }

  /** A function that answers how far the restore is; its answers count from this call. */
  watchRestore(): () => RestoreSummary {
    const watch = new RestoreWatch(performance.now())
    return () =>
      watch.look(
        this.#workers.flatMap(({ restorer }) => restorer.progress()),
        this.state === 'running',
        performance.now(),
      )
  }

  /** Commits, hands the tasks over and ends, within the close timeout. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    this.#tellWaiting()
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
    clearInterval(this.#sampling)
    this.#globals.close()
    await this.#cluster.close()
    this.#state.close()
    this.#isClosed = true
    this.#tellWaiting()
    this.#onClosed()
  }

  #counts(): { readonly processed: number; readonly sent: number; readonly restored: number } {
    const workers = this.#workers
    return {
      processed: sum(workers.map((worker) => worker.recordsProcessed)),
      sent: sum(workers.map((worker) => worker.recordsSent)),
      restored: sum(workers.map(({ restorer }) => restorer.recordsRestored)),
    }
  }

  #sample(): void {
    const nowMs = performance.now()
    const counts = this.#counts()
    this.#rates.processed.sample(nowMs, counts.processed)
    this.#rates.sent.sample(nowMs, counts.sent)
    this.#rates.restored.sample(nowMs, counts.restored)
    const tasks = new Set(this.#workers.flatMap((worker) => worker.tasks))
    for (const task of this.#taskRates.keys()) if (!tasks.has(task)) this.#taskRates.delete(task)
    for (const task of tasks) {
      const rate = this.#taskRates.get(task)
      if (rate === undefined) this.#taskRates.set(task, new Rate(nowMs, task.recordsProcessed))
      else rate.sample(nowMs, task.recordsProcessed)
    }
  }

  #tellWaiting(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  #fail(error: Error): void {
    this.#failure ??= error
    // What goes wrong in the end of an application that has failed is not what is wrong with it.
    this.close().catch(() => {})
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

function totalOf(lags: readonly PartitionLag[]): number {
  return sum(lags.map(({ lag }) => lag ?? 0))
}

function deadLetterTopicsOf(settings: WorkerSettings): string[] {
  const { onDeserializationError, onProcessingError, onProductionError } = settings
  return [onDeserializationError, onProcessingError, onProductionError].map(lastResort).flatMap((handler) => {
    return handler.kind === 'dead-letter' ? [handler.topic] : []
  })
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
