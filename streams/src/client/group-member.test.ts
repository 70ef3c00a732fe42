import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { describeBroker, uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { createTopics } from './admin.ts'
import { Cluster } from './cluster.ts'
import {
  GroupMember,
  type GroupAssignment,
  type GroupHandler,
  type GroupOptions,
  type GroupParticipant,
} from './group-member.ts'
import { commitOffsets, committedOffsets } from './offsets.ts'
import { partitionKey, type TopicPartition } from './topic-partition.ts'

vi.setConfig({ testTimeout: 30_000, hookTimeout: 120_000 })

describeBroker('a group member', {}, (broker) => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await Cluster.connect({ brokers: [broker.bootstrap] })
    await createTopics(cluster, [{ name: 't', partitions: 4 }])
  })
  afterAll(() => cluster.close())

  const partition = (index: number): TopicPartition => ({ topic: 't', partition: index })

  /** Takes its share of four partitions, and writes down what happens to it. */
  class Sharer implements GroupHandler {
    readonly events: string[] = []
    readonly member: GroupMember
    owned: TopicPartition[] = []
    failure: Error | null = null
    /** What a revocation waits for. */
    release: Promise<void> = Promise.resolve()

    constructor(groupId: string, options: Partial<GroupOptions> = {}) {
      this.member = new GroupMember(
        cluster,
        { groupId, protocolName: 'share', heartbeatIntervalMs: 30, sessionTimeoutMs: 500, ...options },
        this,
      )
    }

    get numbers(): number[] {
      return this.owned.map((one) => one.partition)
    }

    subscription() {
      return { topics: ['t'], owned: this.owned, userData: Buffer.from(this.numbers.join()) }
    }

    /** Even shares; a partition that somebody else still owns is given to nobody. */
    assign(participants: readonly GroupParticipant[]): Promise<Map<string, GroupAssignment>> {
      const members = participants.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1))
      const owners = new Map(members.flatMap((one) => one.owned.map((own) => [own.partition, one.memberId])))
      return Promise.resolve(
        new Map(
          members.map(({ memberId, owned, userData }, index) => {
            this.events.push(
              ...(String(userData) === owned.map((one) => one.partition).join() ? [] : ['wrong metadata']),
            )
            const share = [0, 1, 2, 3].filter((number) => number % members.length === index)
            const free = share.filter((number) => (owners.get(number) ?? memberId) === memberId)
            return [memberId, { partitions: free.map(partition), userData: Buffer.from(memberId) }]
          }),
        ),
      )
    }

    async assigned({ partitions, userData }: GroupAssignment): Promise<boolean> {
      if (String(userData) !== this.member.identity.memberId) this.events.push('wrong assignment')
      const revoked = this.owned.filter((own) => !partitions.some((one) => one.partition === own.partition))
      if (revoked.length > 0) {
        this.events.push(`revoking ${revoked.map((one) => one.partition).join()}`)
        await this.release
      }
      this.owned = [...partitions]
      this.events.push(`has ${this.numbers.join()}`)
      return revoked.length > 0
    }

    lost(): Promise<void> {
      this.events.push('lost')
      this.owned = []
      return Promise.resolve()
    }

    failed(error: Error): void {
      this.failure = error
    }
  }

  it('gets everything alone, and its share when another one comes', async () => {
    const groupId = uniqueName('share')
    const first = new Sharer(groupId)
    first.member.start()
    await until(() => first.owned.length === 4, { what: 'all partitions' })
    const second = new Sharer(groupId)
    second.member.start()
    await until(() => first.owned.length === 2 && second.owned.length === 2, { what: 'even shares' })
    expect([...first.numbers, ...second.numbers].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3])
    await first.member.close({ leaves: true })
    await until(() => second.owned.length === 4, { what: 'what the other had' })
    await second.member.close({ leaves: true })
  })

  it('keeps what it gives up from others until it is done with it', async () => {
    const groupId = uniqueName('share')
    const first = new Sharer(groupId, { sessionTimeoutMs: 5_000 })
    first.member.start()
    await until(() => first.owned.length === 4, { what: 'all partitions' })
    let done!: () => void
    first.release = new Promise((resolve) => (done = resolve))
    const second = new Sharer(groupId, { sessionTimeoutMs: 5_000 })
    second.member.start()
    await until(() => first.events.at(-1)?.startsWith('revoking') === true, { what: 'revocation' })
    await until(() => second.events.length > 0, { what: 'first assignment of the second' })
    expect(second.events).toEqual(['has '])
    // Its work of before is still committed as that of a member.
    await commitOffsets(cluster, first.member.identity, [{ ...partition(1), offset: 11 }])
    expect(second.owned).toEqual([])
    done()
    await until(() => second.owned.length === 2, { what: 'what the first gave up' })
    expect((await committedOffsets(cluster, groupId, [partition(1)])).get(partitionKey('t', 1))?.offset).toBe(11)
    await Promise.all([first, second].map(({ member }) => member.close({ leaves: true })))
  })

  it('is followed after its session when it does not leave, and its commits are refused from then on', async () => {
    const groupId = uniqueName('share')
    const gone = new Sharer(groupId)
    gone.member.start()
    await until(() => gone.owned.length === 4, { what: 'all partitions' })
    const heir = new Sharer(groupId)
    heir.member.start()
    await until(() => heir.owned.length === 2, { what: 'even shares' })
    const { identity } = gone.member
    await gone.member.close({ leaves: false })
    await until(() => heir.owned.length === 4, { what: 'what the silent one had' })
    await expect(commitOffsets(cluster, identity, [{ ...partition(0), offset: 1 }])).rejects.toMatchObject({
      code: expect.stringMatching(/UNKNOWN_MEMBER_ID|ILLEGAL_GENERATION/) as string,
    })
    await heir.member.close({ leaves: true })
  })

  it('hears that it is no member any more, and joins again', async () => {
    const groupId = uniqueName('share')
    const member = new Sharer(groupId)
    member.member.start()
    await until(() => member.owned.length === 4, { what: 'all partitions' })
    const { memberId } = member.member.identity
    // An administrator removes it.
    const { apis } = await import('@millrace/protocol')
    await cluster.coordinated(
      'group',
      groupId,
      apis.leaveGroup,
      { groupId, members: [{ memberId }] },
      { codeOf: ({ errorCode }) => errorCode },
    )
    await until(() => member.events.at(-1) === 'has 0,1,2,3' && member.events.includes('lost'), {
      what: 'a new membership',
    })
    expect(member.events).toEqual(['has 0,1,2,3', 'lost', 'has 0,1,2,3'])
    expect(member.member.identity.memberId).not.toBe(memberId)
    await member.member.close({ leaves: true })
  })

  it('cannot be in a group of members that assign in another way', async () => {
    const groupId = uniqueName('share')
    const first = new Sharer(groupId)
    first.member.start()
    await until(() => first.owned.length === 4, { what: 'all partitions' })
    const other = new Sharer(groupId, { protocolName: 'other' })
    other.member.start()
    await until(() => other.failure !== null, { what: 'failure' })
    expect(other.failure).toMatchObject({ code: 'INCONSISTENT_GROUP_PROTOCOL' })
    await Promise.all([first, other].map(({ member }) => member.close({ leaves: true })))
  })
})
