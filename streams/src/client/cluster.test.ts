import { apis, ErrorCode, type Api } from '@millrace/protocol'
import { expect, it } from 'vitest'
import { Cluster, parseAddress } from './cluster.ts'
import { ConnectionError } from './errors.ts'
import type { BrokerAddress, KafkaTransport, TransportRequest } from './transport.ts'

type Answer = (request: object, version: number, to: BrokerAddress) => object

/** Brokers that say what the test wants; addresses without an answer cannot be reached. */
class FakeBrokers implements KafkaTransport {
  readonly asked: string[] = []
  readonly answers = new Map<string, Answer>()
  down = new Set<string>()
  offered: readonly Api[] = [apis.metadata, apis.findCoordinator, apis.heartbeat, apis.listGroups]
  maxVersion = 99

  constructor() {
    this.on('ApiVersions', () => ({
      errorCode: 0,
      apiKeys: this.offered.map(({ key, minVersion, maxVersion }) => ({
        apiKey: key,
        minVersion,
        maxVersion: Math.min(maxVersion, this.maxVersion),
      })),
      finalizedFeatures: [],
    }))
    const broker = (nodeId: number) => ({ nodeId, host: `b${nodeId}`, port: 1, rack: null })
    this.on('Metadata', () => ({
      brokers: [broker(1), broker(2)],
      clusterId: 'c',
      controllerId: 1,
      topics: [],
      errorCode: 0,
    }))
  }

  on(api: string, answer: Answer): void {
    this.answers.set(api, answer)
  }

  request(to: BrokerAddress, api: Api, version: number, body: object, options: TransportRequest = {}): Promise<never> {
    this.asked.push(`${to.host} ${api.name} ${version}`)
    options.signal?.throwIfAborted()
    if (this.down.has(to.host)) return Promise.reject(new ConnectionError(to.host, `${to.host} is down`))
    return Promise.resolve().then(() => this.answers.get(api.name)!(body, version, to) as never)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

const connect = (transport: FakeBrokers, brokers = ['b1:1', 'b2:1']): Promise<Cluster> =>
  Cluster.connect({ brokers, transport: transport as unknown as KafkaTransport })

it('asks the next broker when one cannot be reached', async () => {
  const brokers = new FakeBrokers()
  brokers.down.add('b1')
  const cluster = await connect(brokers)
  expect(cluster.brokerIds).toEqual([1, 2])
})

it('speaks the newest version that both sides know, within what the caller can', async () => {
  const brokers = new FakeBrokers()
  brokers.on('Heartbeat', (_, version) => ({ throttleTimeMs: 0, errorCode: version }))
  const cluster = await connect(brokers)
  const body = { groupId: 'g', generationId: 1, memberId: 'm' }
  expect((await cluster.request(1, apis.heartbeat, body)).errorCode).toBe(4)
  expect((await cluster.request(1, apis.heartbeat, body, { maxVersion: 2 })).errorCode).toBe(2)
  expect(await cluster.versionOf(2, apis.heartbeat)).toBe(4)
})

it('says what is missing when a broker does not offer an API', async () => {
  const cluster = await connect(new FakeBrokers())
  await expect(
    cluster.request(1, apis.initProducerId, { transactionalId: null, transactionTimeoutMs: 1 }),
  ).rejects.toThrow('b1:1 does not offer InitProducerId, which is needed here')
})

it('asks in the oldest form when a broker cannot read the question about versions', async () => {
  const brokers = new FakeBrokers()
  const answer = brokers.answers.get('ApiVersions')!
  brokers.on('ApiVersions', (request, version, to) => {
    if (version > 0) throw new RangeError('not the bytes of that version')
    return answer(request, version, to)
  })
  await connect(brokers, ['b1:1'])
  expect(brokers.asked.slice(0, 3)).toEqual(['b1 ApiVersions 3', 'b1 ApiVersions 0', 'b1 Metadata 12'])
})

it('looks the coordinator up again when the one it knew is not it any more', async () => {
  const brokers = new FakeBrokers()
  let coordinator = 1
  brokers.on('FindCoordinator', () => ({
    coordinators: [
      { key: 'g', nodeId: coordinator, host: `b${coordinator}`, port: 1, errorCode: 0, errorMessage: null },
    ],
  }))
  brokers.on('Heartbeat', (_request, _version, { host }) => ({
    errorCode: host === `b${coordinator}` ? ErrorCode.none : ErrorCode.notCoordinator,
  }))
  const cluster = await connect(brokers)
  const beat = () =>
    cluster.coordinated(
      'group',
      'g',
      apis.heartbeat,
      { groupId: 'g', generationId: 1, memberId: 'm' },
      { codeOf: ({ errorCode }) => errorCode },
    )
  await beat()
  coordinator = 2
  brokers.asked.length = 0
  expect((await beat()).errorCode).toBe(ErrorCode.none)
  expect(brokers.asked.filter((line) => !line.includes('ApiVersions'))).toEqual([
    'b1 Heartbeat 4',
    expect.stringContaining('FindCoordinator 5') as string,
    'b2 Heartbeat 4',
  ])
})

it('gives up with the last error when its time is over, and at once when it is told to', async () => {
  const brokers = new FakeBrokers()
  brokers.on('FindCoordinator', () => ({
    coordinators: [
      {
        key: 'g',
        nodeId: -1,
        host: '',
        port: -1,
        errorCode: ErrorCode.coordinatorNotAvailable,
        errorMessage: 'none yet',
      },
    ],
  }))
  const cluster = await connect(brokers)
  const ask = (options: { signal?: AbortSignal; timeoutMs?: number }) =>
    cluster.coordinated(
      'group',
      'g',
      apis.heartbeat,
      { groupId: 'g', generationId: 1, memberId: 'm' },
      { codeOf: ({ errorCode }) => errorCode, ...options },
    )
  await expect(ask({ timeoutMs: 50 })).rejects.toThrow(
    'FindCoordinator of group g: COORDINATOR_NOT_AVAILABLE (none yet)',
  )
  await expect(ask({ signal: AbortSignal.timeout(20) })).rejects.toMatchObject({ name: 'TimeoutError' })
  const reason = new Error('enough')
  await expect(ask({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})

it('keeps what it knows of a topic when a broker has no leader for it at the moment', async () => {
  const brokers = new FakeBrokers()
  let errorCode: number = ErrorCode.none
  const metadata = brokers.answers.get('Metadata')!
  brokers.on('Metadata', (request, version, to) => ({
    ...metadata(request, version, to),
    topics: [
      {
        errorCode,
        name: 't',
        topicId: 'AAAAAAAAAAAAAAAAAAAAAQ',
        isInternal: false,
        partitions: [{ errorCode: 0, partitionIndex: 0, leaderId: errorCode === 0 ? 2 : -1, leaderEpoch: 1 }],
      },
    ],
  }))
  const cluster = await connect(brokers)
  await cluster.watch(['t'])
  expect(cluster.leaderOf('t', 0)).toBe(2)
  expect(cluster.topicNameOf('AAAAAAAAAAAAAAAAAAAAAQ')).toBe('t')
  errorCode = ErrorCode.leaderNotAvailable
  await cluster.refresh()
  expect(cluster.leaderOf('t', 0)).toBe(-1)
  expect(cluster.topic('t')?.partitions).toHaveLength(1)
})

it.each([
  ['localhost', { host: 'localhost', port: 9092 }],
  ['10.0.0.1:1234', { host: '10.0.0.1', port: 1234 }],
  ['[::1]:9', { host: '::1', port: 9 }],
])('reads the address %s', (text, address) => {
  expect(parseAddress(text)).toEqual(address)
})

it.each(['', 'host:', 'host:0', 'host:99999', 'http://host:9092', 'a:b'])('refuses the address %j', (text) => {
  expect(() => parseAddress(text)).toThrow(`brokers: '${text}' is not host:port`)
})
