import { ErrorCode } from '@millrace/protocol'
import { deleteRecords } from '../client/admin.ts'
import type { Cluster } from '../client/cluster.ts'
import { isRetriable, KafkaError } from '../client/errors.ts'
import { Fetcher, type Isolation } from '../client/fetcher.ts'
import {
  GroupMember,
  type GroupAssignment,
  type GroupHandler,
  type GroupParticipant,
  type Subscription,
} from '../client/group-member.ts'
import {
  commitOffsets,
  committedOffsets,
  EARLIEST,
  LATEST,
  listOffsets,
  type PartitionOffset,
} from '../client/offsets.ts'
import { PartitionBuffer } from '../client/partition-buffer.ts'
import { failedRecords, Producer, type FailureResponse, type ProductionFailure } from '../client/producer.ts'
import { partitionKey, type TopicPartition } from '../client/topic-partition.ts'
import { Transaction } from '../client/transaction.ts'
import { StreamsError } from '../errors.ts'
import type { StateStore } from '../state/store.ts'
import { lastResort, retryDelayMs, type ErrorHandler } from '../topology/error-handler.ts'
import type { SubTopology, TaskContext, TaskTopology } from '../topology/task-topology.ts'
import { assignTasks } from './assignor.ts'
import {
  decodeAssignment,
  decodeMember,
  encodeAssignment,
  encodeMetadata,
  type WorkerAssignment,
} from './membership.ts'
import type { Guarantee, StreamsLogger } from './options.ts'
import type { Plan } from './prepare.ts'
import { Restorer } from './restorer.ts'
import { errorHeaders, StreamTask } from './stream-task.ts'
import { partitionOf, subTopologyOf, type TaskId } from './task-id.ts'
import { isStorageFailure, TaskStores, type StateLocation } from './task-stores.ts'

/** What the workers of a process have in common. */
export interface WorkerEnvironment {
  readonly applicationId: string
  readonly processId: string
  readonly cluster: Cluster
  readonly plan: Plan
  readonly topologyHash: string
  readonly instantiate: (subTopologyId: number, context: TaskContext) => TaskTopology
  readonly globalStore: (name: string) => StateStore
  readonly location: StateLocation
  readonly settings: WorkerSettings
  readonly logger: StreamsLogger
  /** Changelog offsets of the state that this process has on disk but no worker has open. */
  storedTasks(): Readonly<Record<string, number>>
  /** Where the tasks of all instances are, as of the latest assignment. */
  onHosts(hosts: WorkerAssignment['hosts']): void
  /** Tasks were assigned, or have got their state: what the application is doing may have changed. */
  onTasksChanged(): void
  onFailure(error: Error): void
}

export interface WorkerSettings {
  readonly guarantee: Guarantee
  readonly transactionTimeoutMs: number
  readonly isolation: Isolation
  readonly commitIntervalMs: number
  readonly standbyReplicas: number
  readonly offsetReset: 'earliest' | 'latest' | 'fail'
  readonly maxTaskIdleMs: number
  readonly bufferBytes: number | null
  readonly endpoint: string | null
  readonly instanceId: string | null
  readonly sessionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly rebalanceTimeoutMs: number
  readonly onDeserializationError: ErrorHandler
  readonly onProcessingError: ErrorHandler
  readonly onProductionError: ErrorHandler
  readonly producer: ConstructorParameters<typeof Producer>[1]
}

/** A task that was assigned, from the first read of its changelogs on. */
interface ActiveTask {
  readonly id: TaskId
  readonly subTopology: SubTopology
  readonly stores: TaskStores
  readonly buffers: readonly PartitionBuffer[]
  readonly streamTimeMs: number
  /** Null while its stores are being restored. */
  task: StreamTask | null
}

const PROTOCOL_NAME = 'millrace-streams'
/** How long tasks work before the event loop gets its turn: sockets, timers, heartbeats. */
const SLICE_MS = 10
const RECORDS_PER_TURN = 256
/** How often time-driven work is looked at while there are no records. */
const IDLE_MS = 100
const UNFLUSHED_BYTES_MAX = 8 * 1024 * 1024
const DELETE_RECORDS_EVERY_MS = 30_000
const COMMIT_TIMEOUT_MS = 30_000
/** A disk that fails again and again is nothing that a new start helps against. */
const STATE_LOSSES_MAX = 3

/**
 * A set of tasks with a consumer and a producer of its own, run by one loop: everything that touches a task happens in
 * that loop, one thing after another, so a task is never processed, committed and given up at the same time.
 *
 * The group decides which tasks. A new task is restored first while the others go on; a task that goes to another
 * worker is committed and closed before the group is told that it is free.
 */
export class Worker implements GroupHandler {
  readonly index: number
  readonly #environment: WorkerEnvironment
  readonly #settings: WorkerSettings
  readonly #cluster: Cluster
  readonly #member: GroupMember
  #producer: Producer
  /** Null with at-least-once. */
  readonly #transaction: Transaction | null
  /**
   * The transaction, open or about to be with what the producer has buffered, holds results of tasks that were dropped,
   * so it must not be committed.
   */
  #isTransactionLost = false
  readonly #fetcher: Fetcher
  readonly #restorer: Restorer
  /** Whether tasks have stopped taking records, and a commit waits for what they have under way. */
  #isSettling = false
  /** Tasks rest until the producer, which was full, has room; null while it has. */
  #draining: Promise<void> | null = null
  /** The group went on without this worker while it was closing. */
  #isOut = false
  readonly #active = new Map<TaskId, ActiveTask>()
  readonly #standby = new Map<TaskId, TaskStores>()
  readonly #commands: (() => Promise<void>)[] = []
  /** Tasks that the latest assignment gave to this worker, active or standby. */
  #assigned: ReadonlySet<TaskId> = new Set()
  readonly #stateLosses = new Map<TaskId, number>()
  /** Repartition records that were processed and committed, to be deleted. */
  readonly #deletable = new Map<string, PartitionOffset>()
  readonly #internalTopics: ReadonlyMap<string, string>
  #deletedAtMs = 0
  #isDeleting = false
  #committedAtMs = performance.now()
  #wake: (() => void) | null = null
  #isAwake = false
  #state: 'running' | 'closing' | 'closed' = 'running'
  #failure: Error | null = null
  #running: Promise<void> | null = null
  #recordsOfClosedTasks = 0
  #recordsOfClosedProducers = 0
  commitCount = 0
  /** Assignments that were taken on. */
  assignmentCount = 0

  constructor(environment: WorkerEnvironment, index: number) {
    this.index = index
    this.#environment = environment
    this.#cluster = environment.cluster
    const { settings, applicationId, plan } = environment
    this.#settings = settings
    const wakeUp = (): void => this.#wakeUp()
    const onError = (error: Error): void => this.#fail(error)
    const buffer = settings.bufferBytes === null ? {} : { bufferBytes: settings.bufferBytes }
    this.#transaction =
      settings.guarantee === 'exactly-once'
        ? new Transaction(this.#cluster, {
            transactionalId: `${applicationId}-${environment.processId}-${index}`,
            timeoutMs: settings.transactionTimeoutMs,
          })
        : null
    this.#producer = this.#newProducer()
    this.#fetcher = new Fetcher(this.#cluster, {
      isolation: settings.isolation,
      ...buffer,
      onData: wakeUp,
      onError,
      onOutOfRange: (at) => {
        this.#post(() => this.#reset(at)).catch((error: unknown) => this.#fail(error as Error))
      },
    })
    this.#restorer = new Restorer(this.#cluster, {
      isolation: settings.isolation,
      ...buffer,
      onData: wakeUp,
      onError,
      onStorageFailure: (stores, error) => this.#loseState(stores.taskId, error),
    })
    this.#member = new GroupMember(
      this.#cluster,
      {
        groupId: applicationId,
        groupInstanceId: settings.instanceId === null ? null : `${settings.instanceId}-${index}`,
        protocolName: PROTOCOL_NAME,
        sessionTimeoutMs: settings.sessionTimeoutMs,
        heartbeatIntervalMs: settings.heartbeatIntervalMs,
        rebalanceTimeoutMs: settings.rebalanceTimeoutMs,
      },
      this,
    )
    this.#internalTopics = new Map(
      [...plan.repartitionTopics].map((topic) => [topic.slice(applicationId.length + 1), topic]),
    )
  }

  get rebalanceCount(): number {
    return this.#member.rebalanceCount
  }

  get recordsProcessed(): number {
    let records = this.#recordsOfClosedTasks
    for (const { task } of this.#active.values()) records += task?.recordsProcessed ?? 0
    return records
  }

  get recordsSent(): number {
    return this.#recordsOfClosedProducers + this.#producer.recordsSent
  }

  get tasks(): readonly StreamTask[] {
    return [...this.#active.values()].flatMap(({ task }) => (task === null ? [] : [task]))
  }

  get restoringTasks(): readonly TaskId[] {
    return [...this.#active.values()].filter(({ task }) => task === null).map(({ id }) => id)
  }

  get standbyTasks(): ReadonlyMap<TaskId, TaskStores> {
    return this.#standby
  }

  get producer(): Producer {
    return this.#producer
  }

  get restorer(): Restorer {
    return this.#restorer
  }

  start(): void {
    this.#running = this.#run()
    this.#member.start()
  }

  /** Commits, gives up the tasks and leaves the group; what takes longer than `timeoutMs` is left undone. */
  async close(options: { readonly leaves: boolean; readonly timeoutMs: number }): Promise<void> {
    if (this.#state === 'running') this.#state = 'closing'
    this.#wakeUp()
    const { running, timer } = withTimeout(this.#running ?? Promise.resolve(), options.timeoutMs)
    await running
    clearTimeout(timer)
    if (this.#state === 'closing' && this.#isDirty) this.#warnOfUndone()
    this.#state = 'closed'
    this.#fetcher.close()
    this.#restorer.close()
    this.#producer.close()
    for (const run of this.#commands.splice(0)) void run()
    await this.#member.close({ leaves: options.leaves })
  }

  /** Ends at once, as a crash would: nothing is committed and nobody is told. */
  async abandon(): Promise<void> {
    this.#state = 'closed'
    this.#fetcher.close()
    this.#restorer.close()
    this.#producer.close()
    this.#wakeUp()
    for (const run of this.#commands.splice(0)) void run()
    await this.#member.close({ leaves: false })
    await this.#running
  }

  /** Commits now, between two turns of the loop. */
  commitNow(): Promise<void> {
    return this.#post(async () => {
      // Whoever asks for it waits for it, also for what is held up.
      if (this.#producer.isHeldUp) await this.#producer.flush()
      if (await this.#settled()) await this.#commit()
      else this.#isSettling = true
    })
  }

  subscription(): Subscription {
    const { plan, processId, topologyHash } = this.#environment
    const active = [...this.#active.keys()]
    const standby = [...this.#standby.keys()]
    const state = { ...this.#environment.storedTasks() }
    for (const [id, stores] of this.#standby) state[id] = stores.offsetSum
    const userData = encodeMetadata({
      processId,
      active,
      standby,
      state,
      endpoint: this.#settings.endpoint,
      topology: topologyHash,
    })
    const owned = [...this.#active.values()].flatMap(({ buffers }) =>
      buffers.map(({ topic, partition }) => ({ topic, partition })),
    )
    return { topics: plan.sourceTopics, owned, userData }
  }

  async assign(participants: readonly GroupParticipant[]): Promise<Map<string, GroupAssignment>> {
    const members = participants.map(decodeMember)
    const { plan } = this.#environment
    // Whoever was there first sets the topology; an instance of another one is told so instead of getting tasks.
    const first = members.reduce((oldest, member) => (member.generationId > oldest.generationId ? member : oldest))
    const fitting = members.filter(({ topology }) => topology === first.topology)
    const tasks = assignTasks(plan.tasks, fitting, this.#settings.standbyReplicas)
    const hosts: Record<string, { active: TaskId[]; standby: TaskId[] }> = {}
    for (const { memberId, endpoint } of fitting) {
      if (endpoint === null) continue
      const host = (hosts[endpoint] ??= { active: [], standby: [] })
      host.active.push(...tasks.get(memberId)!.active)
      host.standby.push(...tasks.get(memberId)!.standby)
    }
    return Promise.resolve(
      new Map(
        members.map(({ memberId, topology }) => {
          const own = tasks.get(memberId) ?? { active: [], standby: [] }
          const isFitting = topology === first.topology
          const userData = encodeAssignment({ ...own, hosts, ...(isFitting ? {} : { refusal: OTHER_TOPOLOGY }) })
          return [memberId, { partitions: own.active.flatMap((id) => this.#sourcesOf(id)), userData }]
        }),
      ),
    )
  }

  assigned(assignment: GroupAssignment): Promise<boolean> {
    return this.#post(() => this.#takeOn(decodeAssignment(assignment)), false)
  }

  lost(): Promise<void> {
    if (this.#active.size > 0) {
      this.#warn('the group has gone on without this worker: its tasks are given up, uncommitted work is done again')
    }
    if (this.#state !== 'running') this.#isOut = true
    return this.#post(() => Promise.resolve(this.#drop()))
  }

  failed(error: Error): void {
    this.#fail(error)
  }

  async #run(): Promise<void> {
    try {
      // Ends what a predecessor with this transactional id has left open: its records would hold up all readers.
      await this.#transaction?.identity()
      while (this.#state === 'running') {
        await this.#runCommands()
        if (this.#failure !== null) throw this.#failure
        if (this.#isTransactionLost) await this.#startOver()
        const { failure } = this.#producer
        if (failure !== null) {
          if (!this.#hasLostTransaction(failure)) throw failure
          await this.#startOver()
        }
        const isBusy = this.#draining === null && this.#work()
        if (this.#isCommitDue()) await this.#commitSettled(true)
        else if (this.#isSettling && !this.#producer.isHeldUp) await this.#commitSettled(false)
        if (this.#producer.isFull) this.#drain()
        if (this.#draining !== null) await this.#rest()
        else await (isBusy ? immediate() : this.#idle())
      }
      await this.#commitLast()
      this.#drop()
      if (this.#isTransactionLost) await this.#abort()
    } catch (error) {
      this.#drop()
      if (this.#isTransactionLost) await this.#abort()
      if (this.#state === 'closed') return
      this.#state = 'closed'
      this.#environment.onFailure(error as Error)
    }
  }

  /** Nothing is left undone by a clean close: what keeps the commit from being made now is waited for. */
  async #commitLast(): Promise<void> {
    while (this.#state === 'closing') {
      if (!(await this.#settled()) || this.#isOut || this.#isTransactionLost) break
      if (!(await this.#commit())) return
      if (!this.#isDirty) return
      // A rebalance, in which the member goes on to its next identity, or a coordinator that is away.
      await this.#sleep(IDLE_MS)
    }
    if (this.#state === 'closing' && this.#isDirty) this.#warnOfUndone()
  }

  get #isDirty(): boolean {
    return this.tasks.some(({ isDirty }) => isDirty)
  }

  #warnOfUndone(): void {
    this.#warn('closes without its last commit: what was done since the one before is done again')
  }

  /** The tasks rest until the producer has room again. What they wait for may take long, so the loop goes on. */
  #drain(): void {
    this.#draining ??= this.#producer
      .drained()
      // Why it failed is read where the loop looks at the producer.
      .catch(() => {})
      .finally(() => {
        this.#draining = null
        this.#wakeUp()
      })
  }

  async #rest(): Promise<void> {
    if (!this.#isAwake && this.#commands.length === 0) await this.#sleep(IDLE_MS)
    else {
      this.#isAwake = false
      await immediate()
    }
  }

  /**
   * Commits the tasks that have come to rest. Calls that are under way hold up the commit of their task alone; in a
   * transaction, which holds the results of all, that of all.
   */
  async #commitSettled(isDue: boolean): Promise<void> {
    const isOneForAll = this.#transaction !== null
    const asked = [...this.#active.values()].filter(({ task }) => isDue || isOneForAll || task?.isSettling === true)
    const settled = asked.filter((one) => this.#settle(one))
    this.#isSettling = settled.length < asked.length
    if (this.#isSettling && (isOneForAll || settled.length === 0)) return
    await this.#commit(settled, false)
  }

  /** Waits until no call of these tasks is under way; false when that takes too long, or the worker is closed. */
  async #settled(only?: readonly ActiveTask[]): Promise<boolean> {
    const untilMs = performance.now() + this.#settings.rebalanceTimeoutMs / 2
    for (;;) {
      const tasks = this.#transaction === null && only !== undefined ? only : [...this.#active.values()]
      if (tasks.filter((one) => !this.#settle(one)).length === 0) return true
      if (this.#state === 'closed' || (this.#state === 'running' && performance.now() >= untilMs)) return false
      // The others go on meanwhile.
      const isBusy = !this.#producer.isFull && this.#work()
      await (isBusy ? immediate() : this.#sleep(IDLE_MS))
    }
  }

  /** Whether nothing of the task is under way; a task whose state is lost meanwhile has nothing to commit. */
  #settle(one: ActiveTask): boolean {
    let isSettled = true
    this.#guarded(one, (task) => {
      isSettled = task.settle()
      return 0
    })
    return isSettled || this.#active.get(one.id) !== one
  }

  /** After the interval, or before the changes that wait for the commit take too much memory. */
  #isCommitDue(): boolean {
    // A batch that is tried again later would hold up the commit, and the commit all tasks.
    if (this.#producer.isHeldUp) return false
    if (performance.now() - this.#committedAtMs >= this.#settings.commitIntervalMs) return true
    let unflushedBytes = 0
    for (const { stores } of this.#active.values()) unflushedBytes += stores.unflushedBytes
    return unflushedBytes >= UNFLUSHED_BYTES_MAX
  }

  /** Lets every task work for a slice; true when there is more to do at once. */
  #work(): boolean {
    const endMs = performance.now() + SLICE_MS
    const wallClockMs = Date.now()
    let isBusy = this.#restorer.step()
    this.#startRestored()
    for (const one of this.#active.values()) {
      this.#guarded(one, (task) => {
        task.punctuate(wallClockMs)
        return 0
      })
    }
    for (let hasMore = true; hasMore;) {
      hasMore = false
      for (const one of this.#active.values()) {
        if (this.#guarded(one, (task) => task.process(RECORDS_PER_TURN)) === RECORDS_PER_TURN) hasMore = true
        if (performance.now() >= endMs) return true
      }
      if (this.#producer.isFull) return true
      isBusy ||= hasMore
    }
    return isBusy
  }

  /** Lets a task do something; a failure of the disk under its stores costs the task its state and nothing else. */
  #guarded(one: ActiveTask, work: (task: StreamTask) => number): number {
    if (one.task === null) return 0
    try {
      return work(one.task)
    } catch (error) {
      if (!isStorageFailure(error)) throw error
      this.#loseState(one.id, error as Error)
      return 0
    }
  }

  /**
   * The stores of a task cannot be used any more: a file of theirs is damaged, the disk is full or failing. The task
   * starts over from its last commit, with its state from the changelog, in empty stores.
   */
  #loseState(id: TaskId, error: Error): void {
    const losses = (this.#stateLosses.get(id) ?? 0) + 1
    this.#stateLosses.set(id, losses)
    if (losses > STATE_LOSSES_MAX) throw error
    this.#warn(`the state of task ${id} is lost (${error.message}); it is restored from the changelog`)
    const active = this.#active.get(id)
    const stores = active?.stores ?? this.#standby.get(id)
    if (stores === undefined) return
    // Its results cannot be taken out of a transaction, so that is lost as well, and with it the work of all tasks.
    if (this.#transaction !== null && active?.task?.isDirty === true) this.#isTransactionLost = true
    this.#active.delete(id)
    this.#standby.delete(id)
    this.#restorer.remove(id)
    for (const { topic, partition } of active?.buffers ?? []) this.#fetcher.remove(topic, partition)
    this.#recordsOfClosedTasks += active?.task?.recordsProcessed ?? 0
    stores.changes = null
    stores.destroy()
    void this.#post(async () => {
      // Given to another member meanwhile.
      if (!this.#assigned.has(id) || this.#active.has(id) || this.#standby.has(id)) return
      if (active === undefined) this.#beginStandby(id, await this.#openStores(id))
      else await this.#begin(id, await this.#positionsOf([id]))
    }).catch((cause: unknown) => this.#fail(cause as Error))
  }

  /** Waits until something happens, or until it is time to look at the clock. */
  async #idle(): Promise<void> {
    if (this.#isAwake || this.#commands.length > 0) {
      this.#isAwake = false
      await immediate()
      return
    }
    await this.#sleep(this.#idleMs())
  }

  async #sleep(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | null = null
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      timer = setTimeout(resolve, ms)
    })
    if (timer !== null) clearTimeout(timer)
    this.#wake = null
    this.#isAwake = false
  }

  #idleMs(): number {
    const nowMs = performance.now()
    const commitAtMs =
      this.#isSettling || this.#producer.isHeldUp ? Infinity : this.#committedAtMs + this.#settings.commitIntervalMs
    let wakeAtMs = Math.min(nowMs + IDLE_MS, Math.max(nowMs, commitAtMs))
    for (const { task } of this.#active.values()) if (task !== null) wakeAtMs = Math.min(wakeAtMs, task.wakeAtMs)
    return Math.max(1, Math.ceil(wakeAtMs - nowMs))
  }

  #wakeUp(): void {
    this.#isAwake = true
    this.#wake?.()
  }

  /** Has something done by the loop; after its end nothing is done and `otherwise` is the answer. */
  #post(run: () => Promise<void>): Promise<void>
  #post<T>(run: () => Promise<T>, otherwise: T): Promise<T>
  #post<T>(run: () => Promise<T>, otherwise?: T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const command = async (): Promise<void> => {
        if (this.#state !== 'running') {
          resolve(otherwise as T)
          return
        }
        try {
          resolve(await run())
        } catch (error) {
          reject(error as Error)
        }
      }
      if (this.#state === 'running') this.#commands.push(command)
      else void command()
      this.#wakeUp()
    })
  }

  async #runCommands(): Promise<void> {
    for (let run = this.#commands.shift(); run !== undefined; run = this.#commands.shift()) {
      if (this.#isTransactionLost && this.#state === 'running') await this.#startOver()
      await run()
    }
  }

  #warn(message: string): void {
    this.#environment.logger.warn(`${this.#environment.applicationId} worker ${this.index}: ${message}`)
  }

  #info(message: string): void {
    this.#environment.logger.info(`${this.#environment.applicationId} worker ${this.index}: ${message}`)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#wakeUp()
  }

  async #takeOn(assignment: WorkerAssignment): Promise<boolean> {
    if (assignment.refusal !== undefined) throw new StreamsError('topology-changed', assignment.refusal)
    this.#environment.onHosts(assignment.hosts)
    const active = new Set(assignment.active)
    const standby = new Set(assignment.standby)
    this.#assigned = new Set([...active, ...standby])
    const revoked = [...this.#active.values()].filter(({ id }) => !active.has(id))
    const added = assignment.active.filter((id) => !this.#active.has(id))
    // Asked before anything changes: if it fails, nothing has happened, and the group is joined again.
    const positions = await this.#positionsOf(added)
    if (revoked.length > 0 && !(await this.#handOver(revoked))) return true
    // Others than before where the commit made tasks start over.
    for (const { id } of revoked) {
      const one = this.#active.get(id)
      if (one !== undefined) this.#giveUp(one)
    }

    for (const [id, stores] of this.#standby) {
      if (standby.has(id) || active.has(id)) continue
      this.#restorer.remove(id)
      this.#standby.delete(id)
      stores.persist()
      stores.close()
    }
    for (const id of added) await this.#begin(id, positions)
    for (const id of standby) {
      if (this.#standby.has(id) || this.#active.has(id)) continue
      this.#beginStandby(id, await this.#openStores(id))
    }
    this.assignmentCount++
    this.#environment.onTasksChanged()
    this.#info(`works on ${list(assignment.active)}, stands by for ${list(assignment.standby)}`)
    return revoked.length > 0
  }

  /** Commits tasks that go to others; false when nothing is left of any task here. */
  async #handOver(revoked: readonly ActiveTask[]): Promise<boolean> {
    if (await this.#settled(revoked)) return this.#commit(revoked)
    this.#warn('calls are under way for longer than a rebalance can wait: uncommitted work of tasks is done again')
    if (this.#transaction === null) return true
    this.#drop()
    this.#member.fenced()
    return false
  }

  async #begin(id: TaskId, positions: ReadonlyMap<string, PartitionOffset>): Promise<void> {
    const subTopology = this.#subTopologyOf(id)
    const restored = this.#standby.get(id)
    if (restored !== undefined) {
      this.#standby.delete(id)
      this.#restorer.remove(id)
    }
    const stores = restored ?? (await this.#openStores(id))
    const sources = this.#sourcesOf(id).map(({ topic, partition }) => positions.get(partitionKey(topic, partition))!)
    const buffers = sources.map(
      ({ topic, partition, offset }) => new PartitionBuffer(topic, partition, { position: offset }),
    )
    const streamTimeMs = Math.max(-1, ...sources.map(({ metadata }) => streamTimeOf(metadata)))
    this.#active.set(id, { id, subTopology, stores, buffers, streamTimeMs, task: null })
    for (const buffer of buffers) this.#fetcher.add(buffer)
    this.#restorer.add(stores, { isStandby: false })
  }

  #beginStandby(id: TaskId, stores: TaskStores): void {
    this.#standby.set(id, stores)
    this.#restorer.add(stores, { isStandby: true })
  }

  /** Tasks whose stores are complete begin to work. */
  #startRestored(): void {
    for (const one of this.#active.values()) {
      if (one.task !== null || !this.#restorer.isDone(one.id)) continue
      this.#restorer.remove(one.id)
      const { settings, applicationId, globalStore, instantiate } = this.#environment
      one.task = new StreamTask({
        id: one.id,
        applicationId,
        producer: this.#producer,
        stores: one.stores,
        globalStore,
        buffers: one.buffers,
        internalTopics: this.#internalTopics,
        isolation: settings.isolation,
        maxTaskIdleMs: settings.maxTaskIdleMs,
        streamTimeMs: one.streamTimeMs,
        instantiate: (context) => instantiate(one.subTopology.id, context),
        onDeserializationError: settings.onDeserializationError,
        onProcessingError: settings.onProcessingError,
        onProgress: () => this.#wakeUp(),
      })
      this.#environment.onTasksChanged()
    }
  }

  #giveUp(one: ActiveTask): void {
    // Its state was lost, or it has started over: then its place is empty or another's.
    if (this.#active.get(one.id) !== one) return
    this.#active.delete(one.id)
    for (const { topic, partition } of one.buffers) this.#fetcher.remove(topic, partition)
    this.#recordsOfClosedTasks += one.task?.recordsProcessed ?? 0
    if (one.task === null) {
      this.#restorer.remove(one.id)
      one.stores.close()
    } else {
      one.task.close()
    }
  }

  /** Lets go of everything without a commit: it belongs to others, or will be done again. */
  #drop(): void {
    if (this.#transaction !== null && (this.#transaction.isOpen || this.#isDirty)) this.#isTransactionLost = true
    for (const one of this.#active.values()) this.#attempt(one.id, () => this.#giveUp(one))
    for (const [id, stores] of this.#standby) {
      this.#restorer.remove(id)
      this.#attempt(id, () => stores.close())
    }
    this.#standby.clear()
  }

  /** A task that fails to end does not keep the others from ending. */
  #attempt(id: TaskId, close: () => void): void {
    try {
      close()
    } catch (error) {
      this.#warn(`task ${id} did not end as it should: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  /** P3: the transaction is gone, with all results since the last commit; every task goes back to there. */
  async #startOver(): Promise<void> {
    // Those that are being restored have done nothing yet.
    const tasks = [...this.#active.values()].filter(({ task }) => task !== null)
    if (tasks.length > 0) this.#warn('the transaction is lost: every task goes back to its last commit')
    for (const one of tasks) this.#giveUp(one)
    if (this.#state !== 'running') {
      await this.#abort()
      return
    }
    await this.#startNewTransaction()
    const positions = await this.#positionsOf(tasks.map(({ id }) => id))
    for (const { id } of tasks) await this.#begin(id, positions)
  }

  async #startNewTransaction(): Promise<void> {
    await this.#abort()
    this.#recordsOfClosedProducers += this.#producer.recordsSent
    this.#producer = this.#newProducer()
    await this.#transaction!.identity()
  }

  /** What the open transaction holds is given up. If that cannot be said now, the coordinator finds out by its timeout. */
  async #abort(): Promise<void> {
    this.#isTransactionLost = false
    await this.#producer.discard().catch(() => {})
    this.#producer.close()
    await this.#transaction!.abort().catch(() => {})
  }

  #newProducer(): Producer {
    return new Producer(this.#cluster, {
      ...this.#settings.producer,
      onFailure: (failure) => this.#onProductionFailure(failure),
      ...(this.#transaction === null ? {} : { transaction: this.#transaction }),
    })
  }

  #hasLostTransaction(error: unknown): boolean {
    return this.#transaction !== null && error instanceof KafkaError && TRANSACTION_LOST.has(error.errorCode)
  }

  /**
   * Stores the progress of tasks: what their stores changed goes to the changelogs, everything they sent is
   * acknowledged, then the offsets are committed, then the stores are persisted. False: the group has gone on without
   * this worker, and its tasks are dropped.
   */
  async #commit(only?: readonly ActiveTask[], isLast = only !== undefined): Promise<boolean> {
    this.#committedAtMs = performance.now()
    try {
      return await this.#commitTasks(only, isLast)
    } finally {
      const asked = this.#transaction === null && only !== undefined ? only : this.#active.values()
      for (const { task } of asked) task?.resume()
    }
  }

  async #commitTasks(only: readonly ActiveTask[] | undefined, isLast: boolean): Promise<boolean> {
    // A transaction holds the results of all tasks, so all are committed with it.
    const chosen = this.#transaction === null ? only : undefined
    // One that has lost its state since it was asked to come to rest has nothing to commit.
    const asked = (chosen ?? [...this.#active.values()]).filter((one) => this.#active.get(one.id) === one)
    const tasks = asked.flatMap(({ task }) => (task?.isDirty === true ? [task] : []))
    for (const [id, stores] of this.#standby) this.#persist(id, () => stores.persist())
    if (this.#isTransactionLost) {
      await this.#startOver()
      return true
    }
    if (tasks.length === 0) return true
    const { generationId } = this.#member.identity
    let flushed: StreamTask[] = []
    let offsets: PartitionOffset[][] = []
    try {
      // Without a transaction, results are safe before the changelog says that they were emitted: who dies in between
      // emits them again instead of never.
      if (this.#transaction === null && !(await this.#flush(isLast))) return true
      flushed = tasks.filter((task) => this.#persist(task.id, () => task.flush()))
      if (this.#isTransactionLost) {
        await this.#startOver()
        return true
      }
      offsets = flushed.map((task) => [...task.offsets()])
      if (!(await this.#flush(isLast))) return true
      // Its next identity is that of a member to which the tasks do not belong.
      if (this.#isOut) return true
      await this.#commitOffsets(offsets.flat())
    } catch (error) {
      if (this.#hasLostTransaction(error)) {
        await this.#startOver()
        return true
      }
      // A rebalance is being agreed on, or the coordinator is away: the next commit covers this one.
      if (!isLast && (isRebalance(error) || isRetriable(error))) return true
      const isOut = error instanceof KafkaError && OUT_OF_GROUP.has(error.errorCode)
      if (!isLast && isOut && this.#member.hasMovedOn(generationId)) return true
      if (!isOut && !isRebalance(error)) throw error
      this.#warn('the group has gone on without this worker: its tasks are given up, uncommitted work is done again')
      this.#drop()
      this.#member.fenced()
      return false
    }
    this.commitCount++
    for (const [index, task] of flushed.entries()) this.#persist(task.id, () => task.committed(offsets[index]!))
    this.#deleteProcessed(offsets.flat())
    return true
  }

  /** False when a batch is tried again later: unless it is the last chance, the tasks do not wait for that. */
  async #flush(isLast: boolean): Promise<boolean> {
    if (!isLast && this.#state === 'running') return this.#producer.tryFlush()
    await this.#producer.flush()
    return true
  }

  async #commitOffsets(offsets: readonly PartitionOffset[]): Promise<void> {
    const { identity } = this.#member
    if (this.#transaction === null) {
      await commitOffsets(this.#cluster, identity, offsets, { timeoutMs: COMMIT_TIMEOUT_MS })
      return
    }
    await this.#transaction.sendOffsets(identity, offsets)
    await this.#transaction.commit()
  }

  /** Whether the stores of the task did it; otherwise they are lost, and the task with them until it is rebuilt. */
  #persist(id: TaskId, persist: () => void): boolean {
    try {
      persist()
      return true
    } catch (error) {
      if (!isStorageFailure(error)) throw error
      this.#loseState(id, error as Error)
      return false
    }
  }

  /** Records of repartition topics are needed by nobody once they are committed. */
  #deleteProcessed(offsets: readonly PartitionOffset[]): void {
    const { repartitionTopics } = this.#environment.plan
    for (const one of offsets) {
      if (repartitionTopics.has(one.topic) && one.offset > 0) {
        this.#deletable.set(partitionKey(one.topic, one.partition), one)
      }
    }
    const nowMs = performance.now()
    if (this.#deletable.size === 0 || this.#isDeleting || nowMs - this.#deletedAtMs < DELETE_RECORDS_EVERY_MS) return
    this.#deletedAtMs = nowMs
    this.#isDeleting = true
    const before = [...this.#deletable.values()]
    this.#deletable.clear()
    // Without the right to delete, or on a broker that cannot, the topic just keeps its records.
    void deleteRecords(this.#cluster, before)
      .catch(() => {})
      .finally(() => (this.#isDeleting = false))
  }

  /** Where each source partition of new tasks is read from. */
  async #positionsOf(ids: readonly TaskId[]): Promise<Map<string, PartitionOffset>> {
    const partitions = ids.flatMap((id) => this.#sourcesOf(id))
    if (partitions.length === 0) return new Map()
    const { applicationId } = this.#environment
    const positions = await committedOffsets(this.#cluster, applicationId, partitions, { requireStable: true })
    const missing = partitions.filter(({ topic, partition }) => !positions.has(partitionKey(topic, partition)))
    if (missing.length === 0) return positions
    const found = await this.#resetOffsets(missing)
    for (const one of found) positions.set(partitionKey(one.topic, one.partition), one)
    return positions
  }

  async #resetOffsets(partitions: readonly TopicPartition[]): Promise<PartitionOffset[]> {
    const { offsetReset, isolation } = this.#settings
    const wanted = partitions.map(({ topic, partition }) => {
      // What was sent to a repartition topic is work that has been begun: none of it is skipped.
      const isInternal = this.#environment.plan.repartitionTopics.has(topic)
      if (offsetReset === 'fail' && !isInternal) {
        throw new StreamsError(
          'invalid-option',
          `group ${this.#environment.applicationId} has no offset in ${topic}-${partition}, and offsetReset is 'fail'`,
          { topic, partition },
        )
      }
      return { topic, partition, timestampMs: offsetReset === 'latest' && !isInternal ? LATEST : EARLIEST }
    })
    const offsets = await listOffsets(this.#cluster, wanted, { isolation })
    return wanted.map(({ topic, partition }) => ({
      topic,
      partition,
      offset: offsets.get(partitionKey(topic, partition))!,
    }))
  }

  /** The records at the position were deleted: the reset policy says where to go on. */
  async #reset(buffer: PartitionBuffer): Promise<void> {
    const isOurs = [...this.#active.values()].some(({ buffers }) => buffers.includes(buffer))
    if (!isOurs) return
    const [found] = await this.#resetOffsets([buffer])
    const { topic, partition, position } = buffer
    this.#warn(
      `${topic}-${partition} has no records at offset ${position} any more: what was there is left out, ` +
        `and reading goes on at ${found!.offset}`,
    )
    this.#fetcher.seek(buffer.topic, buffer.partition, found!.offset)
  }

  async #onProductionFailure(failure: ProductionFailure): Promise<FailureResponse> {
    const { onProductionError } = this.#settings
    const retryAfterMs = retryDelayMs(onProductionError, failure.failures)
    if (retryAfterMs !== null) return Promise.resolve({ retryAfterMs })
    const handler = lastResort(onProductionError)
    if (handler.kind === 'fail') return Promise.resolve('fail')
    if (handler.kind === 'dead-letter' && handler.topic !== failure.topic) {
      const { topic, partition, error } = failure
      for (const { key, value, timestampMs, headers } of failedRecords(failure.batch)) {
        const about = errorHeaders(error, { topic, partition, offset: -1 })
        this.#producer.send(handler.topic, null, key, value, Math.max(0, timestampMs), [...headers, ...about])
      }
    }
    return Promise.resolve('continue')
  }

  async #openStores(id: TaskId): Promise<TaskStores> {
    const { applicationId, location } = this.#environment
    await location.acquire(id)
    return new TaskStores(id, applicationId, this.#subTopologyOf(id).stores, location)
  }

  #subTopologyOf(id: TaskId): SubTopology {
    const found = this.#environment.plan.subTopologies.find((one) => one.id === subTopologyOf(id))
    if (found === undefined) throw new StreamsError('invalid-topology', `the topology has no task ${id}`)
    return found
  }

  /** The partitions that feed a task: the same one of each source topic that has so many. */
  #sourcesOf(id: TaskId): TopicPartition[] {
    const { partitionCounts } = this.#environment.plan
    const partition = partitionOf(id)
    return this.#subTopologyOf(id)
      .sourceTopics.filter((topic) => partition < (partitionCounts.get(topic) ?? 0))
      .map((topic) => ({ topic, partition }))
  }
}

const OTHER_TOPOLOGY =
  'the other instances of the application run another topology; stop them first, or give this one another name'

/** The group has gone on without the member: what it owned is not its own any more. */
const OUT_OF_GROUP: ReadonlySet<number> = new Set([
  ErrorCode.illegalGeneration,
  ErrorCode.unknownMemberId,
  ErrorCode.fencedInstanceId,
])

/** The transaction cannot be committed any more; with a new one the work goes on. */
const TRANSACTION_LOST: ReadonlySet<number> = new Set([
  ErrorCode.producerFenced,
  ErrorCode.invalidProducerEpoch,
  ErrorCode.invalidProducerIdMapping,
  ErrorCode.invalidTxnState,
  ErrorCode.transactionAbortable,
  ErrorCode.unknownProducerId,
  ErrorCode.outOfOrderSequenceNumber,
])

function isRebalance(error: unknown): boolean {
  return error instanceof KafkaError && error.errorCode === ErrorCode.rebalanceInProgress
}

function streamTimeOf(metadata: string | undefined): number {
  const match = /^stream-time=(\d+)$/.exec(metadata ?? '')
  return match === null ? -1 : Number(match[1])
}

function list(ids: readonly TaskId[]): string {
  return ids.length === 0 ? 'no task' : ids.join(' ')
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function withTimeout(promise: Promise<void>, timeoutMs: number): { running: Promise<void>; timer: NodeJS.Timeout } {
  let timer!: NodeJS.Timeout
  const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeoutMs)))
  return { running: Promise.race([promise, timeout]), timer }
}
