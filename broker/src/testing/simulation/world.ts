import { apis, ErrorCode } from '@millrace/protocol'
import { crc32c } from '@millrace/native'
import { StorageError } from '../../base/errors.ts'
import type { LogFields, Logger } from '../../base/logger.ts'
import { Broker } from '../../broker.ts'
import { BrokerConfig, developmentDefaults } from '../../config/broker-config.ts'
import { check } from './checker.ts'
import { History } from './history.ts'
import { Observer } from './observer.ts'
import { SeededRandom } from './seeded-random.ts'
import { RequestLost, SimulatedClient } from './simulated-client.ts'
import { SimulatedClock, type ClockLifetime } from './simulated-clock.ts'
import {
  DONE,
  SimulatedDisk,
  type DiskCall,
  type DiskOperation,
  type DiskOutcome,
  type MountedDisk,
} from './simulated-disk.ts'
import { SimulatedNetwork, type ProcessNetwork } from './simulated-network.ts'
import {
  administrator,
  committedOffset,
  committer,
  follower,
  groupMember,
  idempotentProducer,
  plainProducer,
  readAll,
  tourist,
  type MadeTopics,
  type Stage,
  type Target,
} from './workload.ts'

export interface SimulationOptions {
  readonly seed: number
  /** Calls back when all that is due at once has been done: `process.nextTick`, of which the core knows nothing. */
  readonly nextTurn: (callback: () => void) => void
  /** How much clients do before the end begins. */
  readonly operations?: number
  /** Gets a line for each thing that happens, for whoever looks into a seed. */
  readonly trace?: (line: string) => void
}

export interface SimulationResult {
  readonly seed: number
  /** The same for the same seed and code. */
  readonly traceHash: string
  readonly operations: number
  readonly events: number
  readonly simulatedMs: number
  readonly incidents: Readonly<Record<string, number>>
  /** Empty if all is well. */
  readonly failures: readonly string[]
}

/** What may happen to the broker in this seed. */
interface Scenario {
  readonly acksAfter: 'write' | 'fsync'
  readonly hasPowerCuts: boolean
  readonly settings: Readonly<Record<string, string>>
  readonly topicConfigs: Readonly<Record<string, Readonly<Record<string, string>>>>
}

interface Process {
  readonly mount: MountedDisk
  readonly clock: ClockLifetime
  readonly network: ProcessNetwork
  broker: Broker | null
  isDead: boolean
}

const PORT = 9092
const DATA_DIR = '/data'
/** Of the world's time. A workload that has not come to its end by then never will. */
const LIMIT_MS = 60_000
const EVENTS_MAX = 2_000_000
const FAILURES_MAX = 20

const PLAIN: readonly Target[] = [0, 1].map((partition) => ({ topic: 'plain', partition, hasKeys: false }))
const SIZED: Target = { topic: 'sized', partition: 0, hasKeys: false }
const COMPACT: Target = { topic: 'compact', partition: 0, hasKeys: true }
const SOLO: Target = { topic: 'plain', partition: 0, hasKeys: false }
const CHANGES: readonly DiskOperation[] = [
  'create',
  'append',
  'truncate',
  'writeFile',
  'makeDirectory',
  'rename',
  'remove',
  'sync',
  'syncDirectory',
]

/** Lets a broker and its clients live through what the seed has in store for them, and judges what they did and saw. */
export function simulate(options: SimulationOptions): Promise<SimulationResult> {
  return new World(options).run()
}

/**
 * A broker, its clients, and everything between them in one process, from a seed. Time passes only by events; between two
 * of them every promise that can settle does. What goes wrong does so by the seed: calls to the disk that fail, processes
 * that die at one, machines that lose power, connections that are cut.
 */
class World {
  readonly #options: SimulationOptions
  readonly #random: SeededRandom
  readonly #clock: SimulatedClock
  readonly #disk: SimulatedDisk
  readonly #network: SimulatedNetwork
  readonly #scenario: Scenario
  readonly #history = new History()
  readonly #observer: Observer
  readonly #made: MadeTopics = new Map()
  readonly #failures: string[] = []
  readonly #incidents: Record<string, number> = {}
  #process: Process | null = null
  #operations = 0
  #events = 0
  #traceHash = 0
  #isEnding = false
  #isCalm = false
  /** Calls to the disk until the process dies, and how; Infinity when it does not. */
  #callsLeft = Infinity
  #diesByPowerCut = false
  /** The operation of which the next call fails. */
  #failing: { readonly operation: DiskOperation; readonly errno: string } | null = null
  #hasFailed = false
  #hasSyncFailed = false
  /** Resolves who waits for the process to be dead. */
  #onDeath: (() => void) | null = null
  #wasPowerCut = false

  constructor(options: SimulationOptions) {
    this.#options = options
    this.#random = new SeededRandom(options.seed)
    this.#clock = new SimulatedClock(this.#random.fork())
    this.#scenario = scenarioOf(this.#random.fork())
    this.#observer = new Observer({ isLossy: this.#isLossy })
    const diskRandom = this.#random.fork()
    this.#disk = new SimulatedDisk({
      random: diskRandom,
      clock: this.#clock,
      syncMs: () => (diskRandom.chance(0.03) ? diskRandom.between(5, 80) : diskRandom.fraction() * 3),
      decide: (call) => this.#decide(call),
    })
    this.#disk.prepare(DATA_DIR)
    const networkRandom = this.#random.fork()
    this.#network = new SimulatedNetwork({
      clock: this.#clock,
      random: networkRandom,
      weather: { latencyMs: () => latencyOf(networkRandom, this.#isCalm), splits: true },
    })
    this.#history.topics.set(SIZED.topic, { isCompacted: false, isShortened: true })
    this.#history.topics.set(COMPACT.topic, { isCompacted: true, isShortened: false })
  }

  async run(): Promise<SimulationResult> {
    let isDone = false
    const story = this.#story().then(
      () => (isDone = true),
      (error: unknown) => {
        isDone = true
        this.#fail(`the workload failed: ${textOf(error)}`)
      },
    )
    await this.#turn()
    while (!isDone) {
      if (!this.#step()) {
        this.#fail('everything waits for something that will never happen')
        break
      }
      await this.#turn()
      this.#observer.check()
      if (this.#clock.monoMs() > LIMIT_MS || this.#events > EVENTS_MAX) {
        this.#fail(`nothing came to its end after ${this.#events} events`)
        break
      }
      if (this.#failures.length + this.#observer.violations.length > FAILURES_MAX) break
    }
    if (isDone) await story
    const anomalies = isDone ? check(this.#history, { nothingIsLost: !this.#isLossy }) : []
    return {
      seed: this.#options.seed,
      traceHash: this.#traceHash.toString(16).padStart(8, '0'),
      operations: this.#operations,
      events: this.#events,
      simulatedMs: Math.round(this.#clock.monoMs()),
      incidents: this.#incidents,
      failures: [
        ...this.#failures,
        ...this.#observer.violations,
        ...anomalies.slice(0, FAILURES_MAX).map(({ kind, text }) => `${kind}: ${text}`),
      ],
    }
  }

  get #isLossy(): boolean {
    return this.#scenario.acksAfter === 'write' && this.#scenario.hasPowerCuts
  }

  /** From the first start to the last look. */
  async #story(): Promise<void> {
    this.#trace(JSON.stringify(this.#scenario))
    await this.#boot()
    await this.#createTopics()
    const stage = this.#stage()
    const fork = (): SeededRandom => this.#random.fork()
    const actors = [
      ...PLAIN.map((target, i) => idempotentProducer(`p${i}`, target, stage, fork())),
      idempotentProducer('s', SIZED, stage, fork()),
      idempotentProducer('c', COMPACT, stage, fork()),
      plainProducer('a', PLAIN, stage, fork()),
      follower('f', this.#random.pick(PLAIN), stage, fork()),
      follower('g', SIZED, stage, fork()),
      groupMember('m', 'readers', PLAIN, stage, fork()),
      groupMember('n', 'readers', PLAIN, stage, fork()),
      committer('solo', SOLO, stage, fork()),
      administrator(['plain', 'sized'], this.#made, stage, fork()),
      tourist(this.#made, stage, fork()),
    ]
    const misfortune = this.#misfortune(fork())
    await misfortune
    this.#isEnding = true
    await Promise.all(actors)
    await this.#lastLook(fork())
  }

  /** Something goes wrong every now and then, until enough was done. */
  async #misfortune(random: SeededRandom): Promise<void> {
    const target = this.#options.operations ?? 1000
    while (this.#operations < target) {
      const until = this.#operations + random.between(30, 200)
      while (this.#operations < Math.min(until, target)) await this.#pause(random.between(1, 20))
      const isPower = this.#scenario.hasPowerCuts && random.chance(0.6)
      switch (random.pick(['die', 'die at call', 'die at call', 'restart', 'disk fails', 'cut', 'silence'] as const)) {
        case 'die':
          this.#die(isPower)
          await this.#rebooted(random)
          break
        case 'die at call': {
          const death = this.#death()
          this.#diesByPowerCut = isPower
          this.#callsLeft = random.between(1, random.pick([10, 40, 200]))
          await death
          await this.#rebooted(random)
          break
        }
        case 'restart':
          await this.#restartInOrder(random)
          break
        case 'disk fails': {
          const operation = random.pick(['append', 'append', 'sync', 'sync', ...CHANGES, 'read'] as const)
          this.#failing = { operation, errno: random.pick(['EIO', 'ENOSPC']) }
          this.#count(`${operation} fails`)
          const until = this.#operations + random.between(20, 60)
          while (this.#operations < until && this.#process !== null) await this.#pause(5)
          this.#failing = null
          if (this.#process !== null && random.chance(0.3)) await this.#restartInOrder(random)
          else if (this.#process !== null) {
            this.#die(isPower)
            await this.#rebooted(random)
          }
          break
        }
        case 'cut':
          this.#count('cut')
          this.#network.cutOne(true)
          break
        case 'silence':
          this.#count('silence')
          this.#network.cutOne(false)
          break
      }
    }
  }

  /** Closes the broker, during which it may die, and starts it again. */
  async #restartInOrder(random: SeededRandom): Promise<void> {
    const living = this.#process!
    this.#count('restart')
    if (!this.#isCalm && random.chance(0.3)) {
      this.#diesByPowerCut = this.#scenario.hasPowerCuts && random.chance(0.6)
      this.#callsLeft = random.between(1, 60)
    }
    const death = this.#death()
    const closed = living.broker!.close().catch((error: unknown) => {
      if (!living.isDead && !(this.#hasFailed && error instanceof StorageError))
        this.#fail(`a broker did not close: ${textOf(error)}`)
    })
    await Promise.race([closed, death])
    this.#callsLeft = Infinity
    if (!living.isDead) {
      this.#stopDisk(false)
      this.#end(living, true)
    }
    await this.#rebooted(random)
  }

  /**
   * After a sync that failed the system takes bytes for written that are not, and no process can find out: whoever runs a
   * broker has to start the machine anew, by which these bytes are gone and the others are not. Who was promised no more
   * than a write is not done that to.
   */
  #stopDisk(isPowerCut: boolean): void {
    if (isPowerCut) this.#disk.powerCut()
    else if (this.#hasSyncFailed && this.#scenario.acksAfter === 'fsync') this.#disk.powerCut('everything')
    else this.#disk.kill()
    this.#hasSyncFailed = false
  }

  /** The last crash or stop, and then what there is to read, when nothing fails any more. */
  async #lastLook(random: SeededRandom): Promise<void> {
    this.#isCalm = true
    this.#callsLeft = Infinity
    this.#failing = null
    if (random.chance(0.7)) {
      this.#die(this.#scenario.hasPowerCuts && random.chance(0.6))
      await this.#rebooted(random)
    }
    await this.#restartInOrder(random)
    this.#trace('last look')
    const stage = this.#stage()
    const client = stage.client()
    for (const target of [...PLAIN, SIZED, COMPACT]) await readAll(client, target, stage, random)
    await this.#insist(() => client.request(apis.findCoordinator, 2, { key: 'readers' }))
    for (const target of PLAIN) await this.#insist(() => committedOffset(client, 'readers', target, stage))
    await this.#insist(() => committedOffset(client, 'solo', SOLO, stage))
    const { topics } = await this.#insist(() => client.request(apis.metadata, 9, { topics: null }))
    this.#judgeTopics(new Map(topics.map(({ name, partitions }) => [name!, partitions.length])))
    await this.#process!.broker!.close()
  }

  #judgeTopics(partitionsOf: ReadonlyMap<string, number>): void {
    if (this.#isLossy) return
    for (const [name, { state, partitionCount }] of this.#made) {
      const found = partitionsOf.get(name) ?? 0
      if (state === 'there' && found < partitionCount)
        this.#fail(`topic ${name} was created with ${partitionCount} partitions and has ${found}`)
      if (state === 'gone' && found > 0) this.#fail(`topic ${name} was deleted and is there`)
    }
  }

  async #createTopics(): Promise<void> {
    const { topicConfigs } = this.#scenario
    const client = this.#stage().client()
    for (const [name, configs] of Object.entries(topicConfigs)) {
      await this.#insist(async () => {
        const topic = {
          name,
          numPartitions: name === 'plain' ? 2 : 1,
          replicationFactor: 1,
          assignments: [],
          configs: Object.entries(configs).map(([config, value]) => ({ name: config, value })),
        }
        const answer = await client.request(apis.createTopics, 4, { topics: [topic] })
        const { errorCode, errorMessage } = answer.topics[0]!
        if (errorCode !== ErrorCode.none && errorCode !== ErrorCode.topicAlreadyExists)
          throw new Error(`topic ${name}: ${errorMessage}`)
        return true
      })
    }
  }

  async #insist<T>(work: () => Promise<T | null>): Promise<T> {
    for (let round = 0; round < 1000; round++) {
      try {
        const result = await work()
        if (result !== null) return result
      } catch (error) {
        if (!(error instanceof RequestLost)) throw error
      }
      await this.#pause(20)
    }
    throw new Error('a request has no answer although nothing fails')
  }

  #stage(): Stage {
    return {
      history: this.#history,
      nowMs: () => this.#clock.monoMs(),
      wallMs: () => this.#clock.nowMs(),
      pause: (ms) => this.#pause(ms),
      client: () => new SimulatedClient({ clock: this.#clock, network: this.#network, port: PORT }),
      operated: () => this.#operations++,
      isEnding: () => this.#isEnding,
      violated: (text) => this.#fail(text),
      deleting: (topic) => this.#observer.deleting(topic),
      isLossy: this.#isLossy,
    }
  }

  /** Starts a broker; resolves when it runs or is dead. */
  async #boot(): Promise<void> {
    const living: Process = {
      mount: this.#disk.mount(),
      clock: this.#clock.lifetime(),
      network: this.#network.attach(),
      broker: null,
      isDead: false,
    }
    this.#process = living
    this.#trace('start')
    const sets = Object.entries(this.#scenario.settings).map(([name, value]) => `${name}=${value}`)
    const mayHaveLost = this.#isLossy && this.#wasPowerCut
    const running = Broker.run({
      config: BrokerConfig.from({ defaults: developmentDefaults, sets }),
      dataDir: DATA_DIR,
      logger: this.#logger(living),
      clock: living.clock,
      random: this.#random.fork(),
      disk: living.mount,
      network: living.network,
      opened: (services) => this.#observer.opened(services, living.mount, mayHaveLost),
    })
    const death = this.#death()
    await Promise.race([
      death,
      running.then(
        (broker) => {
          living.broker = broker
        },
        (error: unknown) => {
          if (living.isDead) return
          if (!(error instanceof StorageError && this.#hasFailed))
            this.#fail(`a broker did not start: ${textOf(error)}`)
          this.#stopDisk(false)
          this.#end(living, true)
        },
      ),
    ])
    if (!living.isDead) this.#wasPowerCut = false
  }

  /** Some time after it died, the broker is started, as often as it takes. */
  async #rebooted(random: SeededRandom): Promise<void> {
    const failureCount = this.#failures.length
    for (let round = 0; this.#process?.broker == null || this.#process.isDead; round++) {
      if (round > 50 || this.#failures.length > failureCount) throw new Error('the broker does not start any more')
      await this.#pause(random.between(1, 300))
      this.#hasFailed = false
      if (!this.#isCalm && round < 3 && random.chance(0.25)) {
        this.#diesByPowerCut = this.#scenario.hasPowerCuts && random.chance(0.6)
        this.#callsLeft = random.between(1, 80)
      }
      await this.#boot()
    }
    this.#callsLeft = Infinity
    // With what was not synced, topics went as well.
    if (this.#isLossy) await this.#createTopics()
  }

  #death(): Promise<void> {
    return new Promise((resolve) => {
      this.#onDeath = resolve
    })
  }

  #die(isPowerCut: boolean): void {
    const living = this.#process
    if (living === null || living.isDead) return
    this.#count(isPowerCut ? 'power cut' : 'kill')
    this.#wasPowerCut ||= isPowerCut
    this.#stopDisk(isPowerCut)
    this.#end(living, !isPowerCut || this.#random.chance(0.3))
  }

  #end(living: Process, isHeard: boolean): void {
    living.isDead = true
    living.mount.die()
    living.clock.end()
    living.network.end(isHeard)
    this.#process = null
    this.#observer.died()
    this.#onDeath?.()
    this.#onDeath = null
  }

  /** What becomes of a call to the disk. */
  #decide(call: DiskCall): DiskOutcome {
    if (this.#isCalm) return DONE
    if (this.#failing !== null && this.#failing.operation === call.operation) {
      const { errno } = this.#failing
      this.#hasFailed = true
      if (call.operation === 'sync') this.#hasSyncFailed = true
      if (this.#random.chance(0.7)) this.#failing = null
      this.#trace(`${call.operation} ${call.path}: ${errno}`)
      return { kind: 'fails', errno, share: this.#random.fraction() }
    }
    if (call.operation === 'read' || this.#callsLeft === Infinity) return DONE
    this.#callsLeft -= 1
    if (this.#callsLeft > 0) return DONE
    this.#callsLeft = Infinity
    const isPowerCut = this.#diesByPowerCut
    this.#trace(`dies at ${call.operation} ${call.path}`)
    // What the process would do now must reach nobody; what the power cut leaves is settled when the call is over.
    const living = this.#process!
    this.#count(isPowerCut ? 'power cut' : 'kill')
    this.#wasPowerCut ||= isPowerCut
    const isHeard = !isPowerCut || this.#random.chance(0.3)
    this.#options.nextTurn(() => {
      this.#stopDisk(isPowerCut)
    })
    living.isDead = true
    living.clock.end()
    living.network.end(isHeard)
    this.#process = null
    this.#observer.died()
    const onDeath = this.#onDeath
    this.#onDeath = null
    this.#options.nextTurn(() => onDeath?.())
    return { kind: 'crash', share: this.#random.fraction() }
  }

  #step(): boolean {
    const living = this.#process
    this.#events++
    try {
      const what = this.#clock.step()
      if (what === null) return false
      this.#fold(what)
    } catch (error) {
      // What the broker did in vain after its disk had died under it.
      const isDying = error instanceof StorageError && error.errno === 'ESHUTDOWN' && living?.isDead !== false
      if (!isDying) this.#fail(`an error that nobody handles: ${textOf(error)}`)
    }
    return true
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#options.nextTurn(resolve))
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.schedule('pause', ms, resolve))
  }

  /** An assertion that fails in a handler ends in a line of the log. */
  #logger(living: Process): Logger {
    const note = (level: string, message: string, fields?: LogFields): void => {
      if (living.isDead) return
      const text = fields === undefined ? message : `${message} ${JSON.stringify(fields)}`
      const isMistake = /assert|TypeError|ReferenceError/i.test(text)
      const isUnexplained = /could not be answered/.test(text) && !this.#hasFailed
      if (level === 'error' && (isMistake || isUnexplained)) this.#fail(text)
      this.#trace(`${level} ${text}`)
    }
    return {
      debug() {},
      info: (message, fields) => note('info', message, fields),
      warn: (message, fields) => note('warn', message, fields),
      error: (message, fields) => note('error', message, fields),
    }
  }

  #count(incident: string): void {
    this.#incidents[incident] = (this.#incidents[incident] ?? 0) + 1
    this.#trace(incident)
  }

  #fail(text: string): void {
    this.#failures.push(text)
    this.#trace(`FAILED ${text}`)
  }

  #trace(text: string): void {
    this.#fold(text)
    this.#options.trace?.(`${this.#clock.monoMs().toFixed(3)} ${text}`)
  }

  #fold(text: string): void {
    const bytes = Buffer.from(`${this.#traceHash} ${this.#clock.monoMs()} ${text}`)
    this.#traceHash = crc32c(bytes, 0, bytes.length)
  }
}

function scenarioOf(random: SeededRandom): Scenario {
  const acksAfter = random.chance(0.65) ? 'fsync' : 'write'
  const hasPowerCuts = acksAfter === 'fsync' || random.chance(0.3)
  const segmentBytes = (): string => String(random.pick([5000, 8000, 20_000]))
  const settings = {
    listeners: `PLAINTEXT://127.0.0.1:${PORT}`,
    'acks.after': acksAfter,
    'offsets.topic.num.partitions': '2',
    'group.min.session.timeout.ms': '100',
    'log.retention.check.interval.ms': String(random.between(50, 500)),
    'log.initial.task.delay.ms': '50',
    'log.cleaner.backoff.ms': String(random.between(50, 500)),
    'log.segment.delete.delay.ms': String(random.between(0, 300)),
    'log.flush.offset.checkpoint.interval.ms': String(random.between(100, 1000)),
  }
  return {
    acksAfter,
    hasPowerCuts,
    settings,
    topicConfigs: {
      plain: { 'internal.segment.bytes': segmentBytes(), 'index.interval.bytes': String(random.between(1, 3000)) },
      sized: { 'internal.segment.bytes': segmentBytes(), 'retention.bytes': String(random.between(4000, 20_000)) },
      compact: {
        'internal.segment.bytes': segmentBytes(),
        'cleanup.policy': 'compact',
        'min.cleanable.dirty.ratio': '0.01',
        'delete.retention.ms': String(random.pick([0, 1000])),
      },
    },
  }
}

function latencyOf(random: SeededRandom, isCalm: boolean): number {
  if (!isCalm && random.chance(0.002)) return random.between(100, 1200)
  return random.chance(0.03) ? random.fraction() * 30 : random.fraction()
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message).split('\n').slice(0, 6).join('\n') : String(error)
}
