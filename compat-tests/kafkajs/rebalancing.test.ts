import kafkajs, {
  type Consumer,
  type ConsumerCrashEvent,
  type ConsumerGroupJoinEvent,
  type PartitionAssigner,
} from 'kafkajs'
import { expect, it } from 'vitest'
import { type BrokerUnderTest, describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from './clients.ts'

const { AssignerProtocol } = kafkajs
const { roundRobin } = kafkajs.PartitionAssigners
const partitionCount = 6

describeBroker('kafkajs members of one group', {}, (broker) => {
  it('consumer.run: three members join and leave under load and every message is processed', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions: partitionCount })
    const group = new Group(broker, topic)
    const load = startLoad(broker, topic)

    await group.join('a')
    await group.settlesOn(['a'])
    await load.reaches(300)
    await group.join('b')
    await group.join('c')
    await group.settlesOn(['a', 'b', 'c'])
    await load.reaches(load.sent + 300)
    await group.leave('a')
    await group.settlesOn(['b', 'c'])
    await load.reaches(load.sent + 300)
    await group.join('a')
    await group.settlesOn(['a', 'b', 'c'])
    await group.leave('b')
    await group.leave('c')
    await group.settlesOn(['a'])
    const sent = await load.stop()

    await until(() => group.distinct().size >= sent, { what: `${sent} messages, each at least once` })
    expect(group.distinct().size).toBe(sent)
    expect(group.generations().size).toBeGreaterThan(3)
    expect(group.repeatedInOneGeneration()).toEqual([])
    expect(group.outOfOrder()).toEqual([])
  })

  it('consumer.run: a member that is gone without a word is replaced after its session timeout', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions: partitionCount })
    const group = new Group(broker, topic)
    await group.join('stays')
    await group.join('hangs', { sessionTimeout: 700 })
    await group.settlesOn(['stays', 'hangs'])

    // A handler that never comes back sends no heartbeat.
    const release = group.hang('hangs')
    const producer = await aProducer(kafka)
    const messages = Array.from({ length: partitionCount }, (_, partition) => ({ partition, value: `${partition}` }))
    await producer.send({ topic, messages })

    await until(() => group.distinct('stays').size === partitionCount, { what: 'all messages at the one that stays' })
    const [description] = (await (await anAdmin(kafka)).describeGroups([group.id])).groups
    expect(description?.members).toHaveLength(1)
    release()
  })

  it('consumer.run with several assigners: the group takes one that all members have', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions: 4 })
    const groupId = uniqueName('group')
    const joins: ConsumerGroupJoinEvent['payload'][] = []
    for (const partitionAssigners of [[everythingTo('leader'), roundRobin], [roundRobin]]) {
      const consumer = await aConsumer(kafka, { groupId, partitionAssigners })
      await consumer.subscribe({ topics: [topic] })
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => joins.push(payload))
      await consumer.run({ eachMessage: async () => {} })
    }

    await until(() => joins.length >= 3, { what: 'second generation with both members' })
    expect(joins.map(({ groupProtocol }) => groupProtocol)).toEqual([
      'everything to leader',
      'RoundRobinAssigner',
      'RoundRobinAssigner',
    ])
    const partitions = joins.slice(1).flatMap(({ memberAssignment }) => memberAssignment[topic])
    expect(partitions).toHaveLength(4)
    expect(new Set(partitions)).toEqual(new Set([0, 1, 2, 3]))
  })

  it('consumer.run with an assigner that the group does not have: the member is refused', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const groupId = uniqueName('group')
    const first = await aConsumer(kafka, { groupId, partitionAssigners: [roundRobin] })
    await first.subscribe({ topics: [topic] })
    await first.run({ eachMessage: async () => {} })

    const second = await aConsumer(kafka, { groupId, partitionAssigners: [everythingTo('leader')] })
    await second.subscribe({ topics: [topic] })
    const crashed = new Promise<ConsumerCrashEvent>((resolve) => second.on(second.events.CRASH, resolve))
    await second.run({ eachMessage: async () => {} })

    expect((await crashed).payload).toMatchObject({
      groupId,
      restart: false,
      error: { type: 'INCONSISTENT_GROUP_PROTOCOL', code: 23 },
    })
  })

  it.each([
    ['below', 50],
    ['above', 1_800_001],
  ])(
    'consumer.run with a session timeout %s what the broker allows: the member is refused',
    async (_, sessionTimeout) => {
      const kafka = kafkaOf(broker)
      const consumer = await aConsumer(kafka, { sessionTimeout, heartbeatInterval: 10 })
      await consumer.subscribe({ topics: [await aTopic(kafka)] })
      const crashed = new Promise<ConsumerCrashEvent>((resolve) => consumer.on(consumer.events.CRASH, resolve))
      await consumer.run({ eachMessage: async () => {} })
      expect((await crashed).payload.error).toMatchObject({ type: 'INVALID_SESSION_TIMEOUT', code: 26 })
    },
  )

  it('consumer.describeGroup: the group as its coordinator sees it', async () => {
    const kafka = kafkaOf(broker, { clientId: 'described' })
    const topic = await aTopic(kafka, { partitions: 2 })
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic] })
    const joined = new Promise<ConsumerGroupJoinEvent>((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve))
    await consumer.run({ eachMessage: async () => {} })
    const { groupId, memberId } = (await joined).payload

    const group = await consumer.describeGroup()
    expect(group).toMatchObject({
      groupId,
      state: 'Stable',
      protocolType: 'consumer',
      protocol: 'RoundRobinAssigner',
      members: [{ memberId, clientId: 'described', clientHost: '/127.0.0.1' }],
    })
    expect(AssignerProtocol.MemberMetadata.decode(group.members[0]!.memberMetadata)?.topics).toEqual([topic])
    const { assignment } = AssignerProtocol.MemberAssignment.decode(group.members[0]!.memberAssignment)!
    expect(assignment).toEqual({ [topic]: [0, 1] })
  })
})

/** An assigner of a name of its own that gives all partitions to the member that assigns. */
function everythingTo(whom: string): PartitionAssigner {
  return ({ cluster }) => ({
    name: `everything to ${whom}`,
    version: 0,
    protocol: ({ topics }) => ({
      name: `everything to ${whom}`,
      metadata: AssignerProtocol.MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }),
    }),
    async assign({ members, topics }) {
      const assignment = Object.fromEntries(
        topics.map((topic) => [topic, cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)]),
      )
      return members.map(({ memberId }, index) => ({
        memberId,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({
          version: 0,
          assignment: index === 0 ? assignment : {},
          userData: Buffer.alloc(0),
        }),
      }))
    },
  })
}

/** One stretch of a member's life between two rebalances. */
interface Stint {
  readonly member: string
  readonly partitions: readonly number[]
  /** Known from the first heartbeat or commit on; the event of joining does not carry it. */
  generation: number | undefined
  readonly processed: { readonly partition: number; readonly offset: number; readonly value: string }[]
}

/** Members of one consumer group, and everything they processed. */
class Group {
  readonly id = uniqueName('group')
  readonly #broker: BrokerUnderTest
  readonly #topic: string
  readonly #members = new Map<string, Consumer>()
  readonly #stints: Stint[] = []
  readonly #hanging = new Map<string, Promise<void>>()

  constructor(broker: BrokerUnderTest, topic: string) {
    this.#broker = broker
    this.#topic = topic
  }

  async join(member: string, options: { sessionTimeout?: number } = {}): Promise<void> {
    const consumer = await aConsumer(kafkaOf(this.#broker), { groupId: this.id, ...options })
    this.#members.set(member, consumer)
    await consumer.subscribe({ topics: [this.#topic], fromBeginning: true })
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      const partitions = payload.memberAssignment[this.#topic] ?? []
      this.#stints.push({ member, partitions, generation: undefined, processed: [] })
    })
    const learnGeneration = (generation: number): void => {
      const stint = this.#stintOf(member)
      if (stint !== undefined) stint.generation ??= generation
    }
    consumer.on(consumer.events.HEARTBEAT, ({ payload }) => learnGeneration(payload.groupGenerationId))
    consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => learnGeneration(payload.groupGenerationId))
    await consumer.run({
      eachMessage: async ({ partition, message }) => {
        await this.#hanging.get(member)
        const value = message.value!.toString()
        this.#stintOf(member)!.processed.push({ partition, offset: Number(message.offset), value })
      },
    })
  }

  async leave(member: string): Promise<void> {
    await this.#members.get(member)!.disconnect()
    this.#members.delete(member)
  }

  /** Makes the member's handler wait until the returned function is called. */
  hang(member: string): () => void {
    let release = (): void => {}
    this.#hanging.set(member, new Promise((resolve) => (release = resolve)))
    return release
  }

  /** Waits until exactly these members share all partitions, each with at least one. */
  async settlesOn(members: readonly string[]): Promise<void> {
    await until(
      () => {
        const current = members.map((member) => this.#stintOf(member))
        if (current.some((stint) => stint === undefined || stint.partitions.length === 0)) return false
        const dealt = current.flatMap((stint) => stint!.partitions).toSorted((a, b) => a - b)
        return dealt.length === partitionCount && dealt.every((partition, index) => partition === index)
      },
      { what: `group of ${members.join(', ')} that shares all partitions` },
    )
  }

  /** The messages that were processed at least once, by one member or by any. */
  distinct(member?: string): Set<string> {
    const stints = this.#stints.filter((stint) => member === undefined || stint.member === member)
    return new Set(stints.flatMap(({ processed }) => processed.map(({ value }) => value)))
  }

  generations(): Set<number | undefined> {
    return new Set(this.#stints.map(({ generation }) => generation))
  }

  /** Messages that two members, or one twice, processed in the same generation. */
  repeatedInOneGeneration(): string[] {
    const seen = new Set<string>()
    const repeated: string[] = []
    for (const [index, { generation = `stint ${index}`, processed }] of this.#stints.entries()) {
      for (const { partition, offset } of processed) {
        const place = `generation ${generation}, partition ${partition}, offset ${offset}`
        if (seen.has(place)) repeated.push(place)
        seen.add(place)
      }
    }
    return repeated
  }

  /** Messages that did not follow their predecessor in the partition, while one member had it. */
  outOfOrder(): string[] {
    return this.#stints.flatMap(({ member, processed }) => {
      const next = new Map<number, number>()
      return processed.flatMap(({ partition, offset }) => {
        const expected = next.get(partition) ?? offset
        next.set(partition, offset + 1)
        return offset === expected ? [] : [`${member}: ${offset} instead of ${expected} in partition ${partition}`]
      })
    })
  }

  #stintOf(member: string): Stint | undefined {
    return this.#stints.findLast((stint) => stint.member === member)
  }
}

interface Load {
  readonly sent: number
  reaches(count: number): Promise<void>
  /** Stops and tells how many messages were acknowledged. */
  stop(): Promise<number>
}

/** Sends numbered messages over all partitions, one small batch after the other, until it is stopped. */
function startLoad(broker: BrokerUnderTest, topic: string): Load {
  let sent = 0
  let isStopping = false
  const run = async (): Promise<void> => {
    const producer = await aProducer(kafkaOf(broker), { idempotent: true })
    while (!isStopping) {
      const messages = Array.from({ length: 30 }, (_, index) => {
        const number = sent + index
        return { partition: number % partitionCount, value: `${number}` }
      })
      await producer.send({ topic, messages })
      sent += messages.length
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const running = run()
  return {
    get sent() {
      return sent
    },
    reaches: async (count) => {
      await until(() => sent >= count, { what: `${count} messages sent` })
    },
    async stop() {
      isStopping = true
      await running
      return sent
    },
  }
}
