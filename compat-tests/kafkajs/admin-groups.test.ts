import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from './clients.ts'
import { collect } from './reading.ts'

describeBroker('kafkajs administers groups', {}, (broker) => {
  it('admin.listGroups: groups with and without members', async () => {
    const [running, stopped] = [uniqueName('running'), uniqueName('stopped')]
    await runGroup(running)
    await (await runGroup(stopped)).disconnect()

    const admin = await anAdmin(kafkaOf(broker))
    const { groups } = await admin.listGroups()
    expect(groups).toEqual(
      expect.arrayContaining([
        { groupId: running, protocolType: 'consumer' },
        { groupId: stopped, protocolType: 'consumer' },
      ]),
    )
  })

  it('admin.describeGroups: a group with a member, one without and one that never was', async () => {
    const [running, stopped, missing] = [uniqueName('running'), uniqueName('stopped'), uniqueName('missing')]
    await runGroup(running)
    await (await runGroup(stopped)).disconnect()

    const admin = await anAdmin(kafkaOf(broker))
    const { groups } = await admin.describeGroups([running, stopped, missing])
    expect(Object.fromEntries(groups.map((group) => [group.groupId, group]))).toMatchObject({
      [running]: {
        errorCode: 0,
        state: 'Stable',
        protocolType: 'consumer',
        protocol: 'RoundRobinAssigner',
        members: [{ clientId: 'kafkajs-tests', clientHost: '/127.0.0.1' }],
      },
      [stopped]: { errorCode: 0, state: 'Empty', protocolType: 'consumer', protocol: '', members: [] },
      [missing]: { errorCode: 0, state: 'Dead', protocolType: '', protocol: '', members: [] },
    })
  })

  it('admin.deleteGroups: the group is gone with its offsets', async () => {
    const groupId = uniqueName('group')
    await (await runGroup(groupId)).disconnect()
    const admin = await anAdmin(kafkaOf(broker))
    expect(await admin.fetchOffsets({ groupId })).toHaveLength(1)

    expect(await admin.deleteGroups([groupId])).toMatchObject([{ groupId, errorCode: 0 }])

    expect((await admin.listGroups()).groups.map((group) => group.groupId)).not.toContain(groupId)
    expect(await admin.fetchOffsets({ groupId })).toEqual([])
  })

  it('admin.deleteGroups of a group with members and of none is refused', async () => {
    const [running, missing] = [uniqueName('running'), uniqueName('missing')]
    await runGroup(running)
    const admin = await anAdmin(kafkaOf(broker), { retry: { retries: 0 } })
    await expect(admin.deleteGroups([running])).rejects.toMatchObject({
      name: 'KafkaJSDeleteGroupsError',
      groups: [{ groupId: running, errorCode: 68, error: { type: 'NON_EMPTY_GROUP' } }],
    })
    await expect(admin.deleteGroups([missing])).rejects.toMatchObject({
      groups: [{ groupId: missing, errorCode: 69, error: { type: 'GROUP_ID_NOT_FOUND' } }],
    })
  })

  it('admin.describeGroups while a group is between two generations', async () => {
    const groupId = uniqueName('group')
    const topic = await aTopic(kafkaOf(broker))
    // A member that only heartbeats every second lets the second one wait for it.
    const slow = await aConsumer(kafkaOf(broker), { groupId, heartbeatInterval: 1000, maxWaitTimeInMs: 1000 })
    await slow.subscribe({ topics: [topic] })
    const joined = new Promise((resolve) => slow.on(slow.events.GROUP_JOIN, resolve))
    await slow.run({ eachMessage: async () => {} })
    await joined
    const second = await aConsumer(kafkaOf(broker), { groupId })
    await second.subscribe({ topics: [topic] })
    const running = second.run({ eachMessage: async () => {} })

    const admin = await anAdmin(kafkaOf(broker))
    const states = new Set<string | undefined>()
    await until(
      async () => {
        const [group] = (await admin.describeGroups([groupId])).groups
        states.add(group?.state)
        return group?.state === 'Stable' && group.members.length === 2
      },
      { what: 'stable group of two' },
    )
    await running
    expect(states).toContain('PreparingRebalance')
  })

  /** A group that has read and committed one message, with one member. */
  async function runGroup(groupId: string): Promise<{ disconnect(): Promise<void> }> {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)
    await producer.send({ topic, messages: [{ value: 'x' }] })
    const consumer = await aConsumer(kafka, { groupId })
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const committed = new Promise((resolve) => consumer.on(consumer.events.COMMIT_OFFSETS, resolve))
    await collect(consumer)
    await committed
    return consumer
  }
})
