import { cooperativeStickyAssigner, MessagesStreamModes } from '@platformatic/kafka'
import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, refusal, type TextConsumer } from './clients.ts'

const partitionCount = 6

describeBroker('@platformatic/kafka members of one group', {}, (broker) => {
  it('consumer.findGroupCoordinator, consumer.joinGroup and consumer.leaveGroup', async () => {
    const topic = await aTopic(broker, { partitions: 2 })
    const consumer = aConsumer(broker)
    consumer.topics.track(topic)
    expect(await consumer.findGroupCoordinator()).toBe(1)
    const memberId = await consumer.joinGroup({})
    expect(memberId).toMatch(/^platformatic-tests-/)
    expect(consumer.assignments).toEqual([{ topic, partitions: [0, 1] }])
    expect(consumer.generationId).toBe(1)

    const admin = anAdmin(broker)
    expect((await admin.describeGroups({ groups: [consumer.groupId] })).get(consumer.groupId)?.members.size).toBe(1)
    // Its types do not say so, but it returns a promise.
    await (consumer.leaveGroup() as unknown as Promise<void>)
    expect((await admin.describeGroups({ groups: [consumer.groupId] })).get(consumer.groupId)?.state).toBe('Empty')
  })

  it.each([
    ['eager', {}],
    [
      'cooperative',
      { protocols: [{ name: 'cooperative-sticky', version: 3 }], partitionAssigner: cooperativeStickyAssigner },
    ],
  ])('consumer.consume: three %s members join and leave under load and no message is lost', async (_, options) => {
    const topic = await aTopic(broker, { partitions: partitionCount })
    const groupId = uniqueName('group')
    const members = new Map<string, TextConsumer>()
    const seen = new Set<string>()
    const join = async (name: string): Promise<void> => {
      const consumer = aConsumer(broker, { groupId, ...options })
      members.set(name, consumer)
      const stream = await consumer.consume({
        topics: [topic],
        mode: MessagesStreamModes.COMMITTED,
        fallbackMode: 'earliest',
      })
      stream.on('data', ({ value }) => seen.add(value))
    }
    const leave = async (name: string): Promise<void> => {
      await members.get(name)!.close(true)
      members.delete(name)
    }
    const settled = (): Promise<boolean> =>
      until(
        () => {
          const dealt = [...members.values()].map((member) =>
            (member.assignments ?? []).flatMap(({ partitions }) => partitions),
          )
          const all = dealt.flat()
          return (
            dealt.every((own) => own.length > 0) &&
            all.length === partitionCount &&
            new Set(all).size === partitionCount
          )
        },
        { what: `group of ${[...members.keys()].join(', ')} that shares all partitions` },
      )

    const load = startLoad(topic)
    await join('a')
    await settled()
    await load.grows(300)
    await join('b')
    await join('c')
    await settled()
    await load.grows(300)
    await leave('a')
    await settled()
    await load.grows(300)
    await leave('b')
    await settled()
    const sent = await load.stop()

    await until(() => seen.size >= sent, { what: `${sent} messages, each at least once` })
    expect(seen.size).toBe(sent)
  })

  it('consumer.joinGroup as a static member: who comes back under the same name gets the same partitions', async () => {
    const topic = await aTopic(broker, { partitions: 4 })
    const groupId = uniqueName('group')
    const other = aConsumer(broker, { groupId, groupInstanceId: 'other' })
    await other.consume({ topics: [topic] })
    // It hears of its replacement only when it asks for something itself.
    const first = aConsumer(broker, { groupId, groupInstanceId: 'mine', heartbeatInterval: 4000, retries: 0 })
    await first.consume({ topics: [topic] })
    await until(() => other.assignments?.[0]?.partitions.length === 2, { what: 'group of two' })
    const { generationId } = first

    const second = aConsumer(broker, { groupId, groupInstanceId: 'mine' })
    await second.consume({ topics: [topic] })
    await until(() => second.assignments?.[0]?.partitions.length === 2, { what: 'assignment of the second' })
    expect(second.assignments).toEqual(first.assignments)
    expect([other.generationId, second.generationId]).toEqual([generationId, generationId])
    // The first one is out: another one has its name now. (A commit of this client does not tell its static name.)
    const commit = first.commit({ offsets: [{ topic, partition: 0, offset: 0n, leaderEpoch: 0 }] })
    expect(await refusal(commit)).toEqual(['UNKNOWN_MEMBER_ID'])
  })

  it('consumer.commit of a member that is not in the group any more is refused', async () => {
    const topic = await aTopic(broker)
    const consumer = aConsumer(broker, { retries: 0, heartbeatInterval: 4000 })
    await consumer.consume({ topics: [topic], autocommit: false })
    const admin = anAdmin(broker)
    await admin.removeMembersFromConsumerGroup({
      groupId: consumer.groupId,
      members: [{ memberId: consumer.memberId! }],
    })
    const commit = consumer.commit({ offsets: [{ topic, partition: 0, offset: 0n, leaderEpoch: 0 }] })
    expect(await refusal(commit)).toEqual(['UNKNOWN_MEMBER_ID'])
  })

  it('consumer.consume: a member that heartbeats no more is replaced after its session timeout', async () => {
    const topic = await aTopic(broker, { partitions: 2 })
    const groupId = uniqueName('group')
    const silent = aConsumer(broker, { groupId, sessionTimeout: 600, heartbeatInterval: 500 })
    silent.topics.track(topic)
    await silent.joinGroup({})
    // Its connections are gone, but it did not leave.
    for (const connection of (await silent.connectToBrokers()).values()) await connection.close()
    await silent.connections.close()

    const next = aConsumer(broker, { groupId })
    await next.consume({ topics: [topic] })
    await until(() => next.assignments?.[0]?.partitions.length === 2, { what: 'all partitions', timeoutMs: 8000 })
    const group = (await anAdmin(broker).describeGroups({ groups: [groupId] })).get(groupId)
    expect([...group!.members.keys()]).toEqual([next.memberId])
  })

  interface Load {
    grows(by: number): Promise<void>
    /** Stops and tells how many messages were acknowledged. */
    stop(): Promise<number>
  }

  /** Sends numbered messages over all partitions, one small batch after the other, until it is stopped. */
  function startLoad(topic: string): Load {
    let sent = 0
    let isStopping = false
    const producer = aProducer(broker, { idempotent: true })
    const run = async (): Promise<void> => {
      while (!isStopping) {
        const messages = Array.from({ length: 30 }, (_, index) => {
          const number = sent + index
          return { topic, partition: number % partitionCount, value: `${number}` }
        })
        await producer.send({ messages })
        sent += messages.length
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
    const running = run()
    return {
      async grows(by) {
        const goal = sent + by
        await until(() => sent >= goal, { what: `${by} more messages sent` })
      },
      async stop() {
        isStopping = true
        await running
        return sent
      },
    }
  }
})
