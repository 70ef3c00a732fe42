import { apis, buildBatch, ErrorCode, errorName } from '@millrace/protocol'
import { until } from '../harness/index.ts'
import type { RequestSocket } from './request-socket.ts'

const STEPS = 25
const PARTITIONS = [0, 1, 2, 3] as const
const OPERATIONS = [
  'begin',
  'begin as who I was',
  'add',
  'add',
  'add',
  'end with a new epoch',
  'end with a new epoch',
  'end',
  'write, which adds',
  'write, which adds',
  'write',
  'add offsets',
  'commit offset',
  'commit offset, which adds',
] as const

/**
 * A producer that a seed sends through requests of every kind, version and state, most of them right and many wrong: of an
 * epoch before or behind its own, of another id, for a transaction that is not there. `run` gives a line for each, with
 * what was asked, what was answered and what became of the transaction.
 */
export class Walk {
  readonly #socket: RequestSocket
  readonly #topic: string
  readonly #transactionalId: string
  readonly #groupId: string
  #random: number
  /** The id that the producer got first; others are only told apart from it. */
  #firstId = -1
  #producerId = -1
  #epoch = -1
  /** By partition and epoch. */
  readonly #sequences = new Map<string, number>()

  constructor(
    socket: RequestSocket,
    options: { readonly topic: string; readonly name: string; readonly seed: number },
  ) {
    this.#socket = socket
    this.#topic = options.topic
    this.#transactionalId = `${options.name}-${options.seed}`
    this.#groupId = `${options.name}-group-${options.seed}`
    this.#random = options.seed * 7919
  }

  async run(): Promise<string[]> {
    await this.#ready(1, this.#transactionalId)
    await this.#ready(0, this.#groupId)
    const lines: string[] = []
    for (let step = 0; step < STEPS; step++) {
      const said = await this.#take(step === 0 ? 'begin' : this.#pick(OPERATIONS), step)
      lines.push(`${said} => ${await this.#state()}`)
      if (step % 5 === 4) lines.push(`offsets: ${await this.#offsets()}`)
    }
    return lines
  }

  async #take(operation: (typeof OPERATIONS)[number], step: number): Promise<string> {
    const shift = this.#pick([0, 0, 0, 0, 0, 0, -1, -1, 1, -2])
    const isStranger = this.#chance() < 0.05
    const partition = this.#pick(PARTITIONS)
    const isCommit = this.#chance() < 0.5
    const version = Math.floor(this.#chance() * 5)
    const identity = {
      producerId: isStranger ? this.#producerId + 100_000 : this.#producerId,
      producerEpoch: Math.max(-1, this.#epoch + shift),
    }
    const who = isStranger ? 'as a stranger' : `epoch ${shift < 0 ? shift : `+${shift}`}`
    const transactionalId = this.#transactionalId
    switch (operation) {
      case 'begin':
      case 'begin as who I was': {
        const says = operation === 'begin' ? {} : identity
        const answer = await this.#loaded(() =>
          this.#socket.request(apis.initProducerId, 5, { transactionalId, transactionTimeoutMs: 60_000, ...says }),
        )
        if (answer.errorCode === ErrorCode.none) this.#goOnAs(answer)
        return `${operation}, ${who}: ${errorName(answer.errorCode)} ${this.#told(answer)}`
      }
      case 'add': {
        const name = this.#chance() < 0.1 ? `${this.#topic}-absent` : this.#topic
        const answer = await this.#socket.request(apis.addPartitionsToTxn, Math.min(version, 3), {
          v3AndBelowTransactionalId: transactionalId,
          v3AndBelowProducerId: identity.producerId,
          v3AndBelowProducerEpoch: identity.producerEpoch,
          v3AndBelowTopics: [{ name, partitions: [partition] }],
        })
        const { partitionErrorCode } = answer.resultsByTopicV3AndBelow[0]!.resultsByPartition[0]!
        return `add ${partition} v${Math.min(version, 3)}, ${who}: ${errorName(partitionErrorCode)}`
      }
      case 'end':
      case 'end with a new epoch': {
        const endVersion = operation === 'end' ? version : 5
        const asked = { transactionalId, ...identity, committed: isCommit }
        const answer = await this.#socket.request(apis.endTxn, endVersion, asked)
        if (answer.errorCode === ErrorCode.none && answer.producerId >= 0) this.#goOnAs(answer)
        const verb = isCommit ? 'commit' : 'abort'
        return `${verb} v${endVersion}, ${who}: ${errorName(answer.errorCode)} ${this.#told(answer)}`
      }
      case 'write':
      case 'write, which adds': {
        const produceVersion = operation === 'write' ? 10 + (version % 2) : 12
        const code = await this.#write(
          partition,
          Math.max(identity.producerEpoch, 0),
          identity.producerId,
          produceVersion,
        )
        return `write ${partition} v${produceVersion}, ${who}: ${errorName(code)}`
      }
      case 'add offsets': {
        const asked = { transactionalId, ...identity, groupId: this.#groupId }
        const { errorCode } = await this.#socket.request(apis.addOffsetsToTxn, version, asked)
        return `add offsets v${version}, ${who}: ${errorName(errorCode)}`
      }
      case 'commit offset':
      case 'commit offset, which adds': {
        const commitVersion = operation === 'commit offset' ? version : 5
        const { topics } = await this.#socket.request(apis.txnOffsetCommit, commitVersion, {
          transactionalId,
          groupId: this.#groupId,
          ...identity,
          topics: [
            {
              name: this.#topic,
              partitions: [{ partitionIndex: partition, committedOffset: step, committedMetadata: '' }],
            },
          ],
        })
        return `commit offset ${partition} v${commitVersion}, ${who}: ${errorName(topics[0]!.partitions[0]!.errorCode)}`
      }
    }
  }

  async #write(partition: number, producerEpoch: number, producerId: number, version: number): Promise<number> {
    const key = `${partition}/${producerEpoch}`
    const baseSequence = this.#sequences.get(key) ?? 0
    const value = Buffer.from('written')
    const batch = { records: [{ key: null, value }], producerId, producerEpoch, baseSequence, isTransactional: true }
    const { responses } = await this.#socket.request(apis.produce, version, {
      transactionalId: this.#transactionalId,
      acks: -1,
      timeoutMs: 10_000,
      topicData: [
        {
          name: this.#topic,
          partitionData: [{ index: partition, records: buildBatch({ ...batch, nowMs: Date.now() }) }],
        },
      ],
    })
    const { errorCode } = responses[0]!.partitionResponses[0]!
    if (errorCode === ErrorCode.none) this.#sequences.set(key, baseSequence + 1)
    return errorCode
  }

  /** What has become of the transaction, once nobody has to be told of its end any more. */
  async #state(): Promise<string> {
    const described = async () =>
      (await this.#socket.request(apis.describeTransactions, 0, { transactionalIds: [this.#transactionalId] }))
        .transactionStates[0]!
    await until(async () => !(await described()).transactionState.startsWith('Prepare'), { what: 'end of it' })
    const state = await described()
    if (state.errorCode !== ErrorCode.none) return errorName(state.errorCode)
    const topics = state.topics
      .map(({ topic, partitions }) => {
        // In which partition of the offsets a group is depends on its name.
        if (topic === '__consumer_offsets') return 'offsets'
        return partitions.toSorted((a, b) => a - b).join(' ')
      })
      .toSorted((a, b) => (a < b ? -1 : 1))
    return `${state.transactionState} ${this.#told(state)} [${topics.join(', ')}]`
  }

  /** What the group has; a commit has reached it some time after the transaction has ended. */
  async #offsets(): Promise<string> {
    const { groups } = await this.#socket.request(apis.offsetFetch, 8, {
      groups: [{ groupId: this.#groupId, topics: [{ name: this.#topic, partitionIndexes: [...PARTITIONS] }] }],
      requireStable: true,
    })
    const { partitions } = groups[0]!.topics[0]!
    return partitions.map(({ errorCode, committedOffset }) => (errorCode === 0 ? committedOffset : 'open')).join(' ')
  }

  async #ready(keyType: number, key: string): Promise<void> {
    const find = async (): Promise<boolean> => {
      const { coordinators } = await this.#socket.request(apis.findCoordinator, 4, { keyType, coordinatorKeys: [key] })
      return coordinators[0]!.errorCode === ErrorCode.none
    }
    await until(find, { what: `coordinator of ${key}`, timeoutMs: 30_000 })
  }

  async #loaded<A extends { readonly errorCode: number }>(ask: () => Promise<A>): Promise<A> {
    let answer = await ask()
    const isLoaded = async (): Promise<boolean> => {
      const isBusy =
        answer.errorCode === ErrorCode.coordinatorLoadInProgress || answer.errorCode === ErrorCode.notCoordinator
      if (isBusy) answer = await ask()
      return !isBusy
    }
    await until(isLoaded, { what: 'loaded coordinator', timeoutMs: 30_000 })
    return answer
  }

  #goOnAs({ producerId, producerEpoch }: { readonly producerId: number; readonly producerEpoch: number }): void {
    if (this.#firstId === -1) this.#firstId = producerId
    // An epoch begins with sequence 0 on every partition.
    if (producerId !== this.#producerId || producerEpoch !== this.#epoch) this.#sequences.clear()
    this.#producerId = producerId
    this.#epoch = producerEpoch
  }

  /** The epoch, and the id if it is not the first. */
  #told({ producerId, producerEpoch }: { readonly producerId: number; readonly producerEpoch: number }): string {
    if (producerId === -1) return 'nobody'
    return producerId === this.#firstId ? String(producerEpoch) : `${producerEpoch} of another id`
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#chance() * from.length)]!
  }

  #chance(): number {
    this.#random = (Math.imul(this.#random, 1_664_525) + 1_013_904_223) | 0
    return (this.#random >>> 0) / 2 ** 32
  }
}
