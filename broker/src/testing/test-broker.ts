import assert from 'node:assert/strict'
import { buildBatch, ZERO_UUID, apis, type Api } from '@millrace/protocol'
import { Broker, type BrokerParts } from '../broker.ts'
import { BrokerConfig, developmentDefaults } from '../config/broker-config.ts'
import { silentLogger, type Logger } from '../base/logger.ts'
import type { BrokerServices } from '../handlers/services.ts'
import type { Disk } from '../log/disk.ts'
import { MemoryDisk } from '../log/memory-disk.ts'
import { systemRandom } from '../platform/system-random.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryNetwork } from './memory-network.ts'
import { WireClient } from './wire-client.ts'

/** A whole broker without a system call: its disk, network and clock are in memory and stand still until told. */
export interface TestBroker {
  readonly broker: Broker
  readonly clock: ManualClock
  readonly network: MemoryNetwork
  readonly connect: () => WireClient
  /** What the broker is made of, for what no request shows. */
  readonly services: BrokerServices
}

export async function startTestBroker(
  options: {
    readonly settings?: Readonly<Record<string, string>>
    readonly disk?: Disk
    readonly clock?: ManualClock
    readonly network?: MemoryNetwork
    readonly logger?: Logger
  } = {},
): Promise<TestBroker> {
  const { clock = new ManualClock(), disk = new MemoryDisk(), network = new MemoryNetwork() } = options
  // Nothing here outlives the process, and a test that waits for a sync says so.
  const settings = { listeners: 'PLAINTEXT://127.0.0.1:0', 'acks.after': 'write', ...options.settings }
  const sets = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
  const config = BrokerConfig.from({ defaults: developmentDefaults, sets })
  let services: BrokerServices | null = null as BrokerServices | null
  const parts: BrokerParts = {
    config,
    dataDir: '/data',
    logger: options.logger ?? silentLogger,
    clock,
    random: systemRandom,
    disk,
    network,
    opened: (opened) => {
      services = opened
    },
  }
  const broker = await Broker.run(parts)
  assert(services)
  return { broker, clock, network, services, connect: () => new WireClient(network, broker.port) }
}

/** A batch of `count` records with values `v0`, `v1`, ... */
export function aBatch(count: number, options: Partial<Parameters<typeof buildBatch>[0]> = {}): Buffer {
  const records = Array.from({ length: count }, (_, index) => ({ key: null, value: Buffer.from(`v${index}`) }))
  return buildBatch({ records, nowMs: 1_700_000_000_000, ...options })
}

/** The id of a topic, as Metadata gives it. */
export async function topicIdOf(client: WireClient, name: string): Promise<string> {
  const { topics } = await client.request(apis.metadata, 12, {
    topics: [{ topicId: ZERO_UUID, name }],
    allowAutoTopicCreation: false,
    includeTopicAuthorizedOperations: false,
  })
  return topics[0]!.topicId
}

/** Every version of an API that a client may send. */
export function versionsOf(api: Api, from: number = api.minVersion): number[] {
  return Array.from({ length: api.maxVersion - from + 1 }, (_, index) => from + index)
}
