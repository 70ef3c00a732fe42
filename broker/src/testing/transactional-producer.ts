import { apis, buildBatch, ErrorCode, errorName } from '@millrace/protocol'
import type { WireClient } from './wire-client.ts'

const TIMEOUT_MS = 60_000
const ATTEMPTS_MAX = 50

/** A request was answered with an error; `code` is Kafka's name of it. */
export class Refused extends Error {
  readonly code: string

  constructor(what: string, errorCode: number) {
    super(`${what}: ${errorName(errorCode)}`)
    this.code = errorName(errorCode)
  }
}

/**
 * A transactional producer that does what it is told, over one connection. Of the second generation it is a client of
 * KIP-890: partitions join by being written to, and each transaction has an epoch of its own.
 */
export class TransactionalProducer {
  readonly transactionalId: string
  readonly generation: 1 | 2
  producerId = -1
  producerEpoch = -1
  readonly #client: WireClient
  readonly #sequences = new Map<string, number>()

  constructor(client: WireClient, transactionalId: string, generation: 1 | 2) {
    this.#client = client
    this.transactionalId = transactionalId
    this.generation = generation
  }

  /** Waits for a transaction that is about to end, as clients do. */
  async begin(): Promise<void> {
    await this.#client.request(apis.findCoordinator, 4, { keyType: 1, coordinatorKeys: [this.transactionalId] })
    const answer = await this.#retrying(() =>
      this.#client.request(apis.initProducerId, 5, {
        transactionalId: this.transactionalId,
        transactionTimeoutMs: TIMEOUT_MS,
      }),
    )
    expectNone('InitProducerId', answer.errorCode)
    this.#goOnAs(answer)
  }

  async add(topic: string, partition: number): Promise<void> {
    const { resultsByTopicV3AndBelow } = await this.#client.request(apis.addPartitionsToTxn, 3, {
      v3AndBelowTransactionalId: this.transactionalId,
      v3AndBelowProducerId: this.producerId,
      v3AndBelowProducerEpoch: this.producerEpoch,
      v3AndBelowTopics: [{ name: topic, partitions: [partition] }],
    })
    expectNone('AddPartitionsToTxn', resultsByTopicV3AndBelow[0]!.resultsByPartition[0]!.partitionErrorCode)
  }

  async write(topic: string, partition: number, value: string): Promise<void> {
    if (this.generation === 1) await this.add(topic, partition)
    expectNone('Produce', await this.produce(topic, partition, value))
  }

  /** Sends the record as it is, without adding the partition first; the error code. */
  async produce(topic: string, partition: number, value: string, identity = this.identity): Promise<number> {
    const key = `${topic}-${partition}`
    const baseSequence = this.#sequences.get(key) ?? 0
    const records = buildBatch({
      records: [{ key: null, value: Buffer.from(value) }],
      ...identity,
      baseSequence,
      isTransactional: true,
      // When the clocks of tests begin.
      nowMs: 1_767_225_600_000,
    })
    const { responses } = await this.#client.request(apis.produce, this.generation === 1 ? 11 : 12, {
      transactionalId: this.transactionalId,
      acks: -1,
      timeoutMs: 0,
      topicData: [{ name: topic, partitionData: [{ index: partition, records }] }],
    })
    const { errorCode } = responses[0]!.partitionResponses[0]!
    if (errorCode === ErrorCode.none) this.#sequences.set(key, baseSequence + 1)
    return errorCode
  }

  async commitOffset(groupId: string, topic: string, partition: number, offset: number): Promise<void> {
    const { transactionalId, producerId, producerEpoch } = this
    if (this.generation === 1) {
      const added = await this.#client.request(apis.addOffsetsToTxn, 3, {
        transactionalId,
        producerId,
        producerEpoch,
        groupId,
      })
      expectNone('AddOffsetsToTxn', added.errorCode)
    }
    const { topics } = await this.#client.request(apis.txnOffsetCommit, this.generation === 1 ? 3 : 5, {
      transactionalId,
      groupId,
      producerId,
      producerEpoch,
      topics: [
        { name: topic, partitions: [{ partitionIndex: partition, committedOffset: offset, committedMetadata: '' }] },
      ],
    })
    expectNone('TxnOffsetCommit', topics[0]!.partitions[0]!.errorCode)
  }

  async end(isCommit: boolean): Promise<void> {
    expectNone('EndTxn', await this.tryEnd(isCommit))
  }

  /** The error code. */
  async tryEnd(isCommit: boolean, identity = this.identity): Promise<number> {
    const answer = await this.#client.request(apis.endTxn, this.generation === 1 ? 4 : 5, {
      transactionalId: this.transactionalId,
      ...identity,
      committed: isCommit,
    })
    if (answer.errorCode === ErrorCode.none && this.generation === 2) this.#goOnAs(answer)
    return answer.errorCode
  }

  get identity(): { readonly producerId: number; readonly producerEpoch: number } {
    return { producerId: this.producerId, producerEpoch: this.producerEpoch }
  }

  #goOnAs({ producerId, producerEpoch }: { readonly producerId: number; readonly producerEpoch: number }): void {
    // An epoch begins with sequence 0 on every partition.
    this.#sequences.clear()
    this.producerId = producerId
    this.producerEpoch = producerEpoch
  }

  async #retrying<A extends { readonly errorCode: number }>(ask: () => Promise<A>): Promise<A> {
    for (let attempt = 1; ; attempt++) {
      const answer = await ask()
      if (answer.errorCode !== ErrorCode.concurrentTransactions || attempt === ATTEMPTS_MAX) return answer
    }
  }
}

function expectNone(what: string, errorCode: number): void {
  if (errorCode !== ErrorCode.none) throw new Refused(what, errorCode)
}
