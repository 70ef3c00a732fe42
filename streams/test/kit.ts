import { afterAll, beforeAll, vi } from 'vitest'
import {
  describeBroker,
  until,
  type BrokerUnderTest,
  type StartBrokerOptions,
} from '../../compat-tests/harness/index.ts'
import { createTopics, type NewTopic } from '../src/client/admin.ts'
import { Cluster } from '../src/client/cluster.ts'
import { Producer } from '../src/client/producer.ts'
import type { Topology } from '../src/index.ts'
import type { StreamsApp } from '../src/runtime/app.ts'
import type { RunOptions } from '../src/runtime/options.ts'
import { run } from '../src/runtime/run.ts'
import { readTopic, type ReadRecord } from './reading.ts'

export interface SentRecord {
  readonly key?: string | null
  readonly value: string | Buffer | null
  readonly ts?: number
  readonly partition?: number
}

/** What an integration test does with a broker besides running applications on it. */
export interface Kit {
  readonly broker: BrokerUnderTest
  readonly brokers: readonly string[]
  readonly cluster: Cluster
  createTopics(...topics: readonly NewTopic[]): Promise<void>
  send(topic: string, records: readonly SentRecord[]): Promise<void>
  read(topic: string): Promise<ReadRecord[]>
  /** The last value of each key, decoded. */
  latest<T>(topic: string, decode: (value: Buffer) => T): Promise<Record<string, T>>
  /** Starts an application with short intervals and waits until it works on all that it was given. */
  start(topology: Topology, options?: Partial<RunOptions>): Promise<StreamsApp>
}

/** Short intervals, so that a test sees at once what takes seconds in production. */
const quick = { commitInterval: 20, heartbeatInterval: 50, sessionTimeout: '1s' } as const

export function describeApps(name: string, suite: (kit: Kit) => void, options: StartBrokerOptions = {}): void {
  vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })
  describeBroker(name, options, (broker) => {
    let cluster: Cluster
    let producer: Producer
    beforeAll(async () => {
      cluster = await Cluster.connect({ brokers: [broker.bootstrap] })
      producer = new Producer(cluster)
    })
    afterAll(async () => {
      producer.close()
      await cluster.close()
    })
    const kit: Kit = {
      broker,
      get brokers() {
        return [broker.bootstrap]
      },
      get cluster() {
        return cluster
      },
      async createTopics(...topics) {
        await createTopics(cluster, topics)
      },
      async send(topic, records) {
        for (const { key = null, value, ts = 0, partition = null } of records) {
          const bytes = value === null ? null : Buffer.from(value as string)
          producer.send(topic, partition, key === null ? null : Buffer.from(key), bytes, ts)
        }
        await producer.flush()
      },
      read: (topic) => readTopic(cluster, topic),
      async latest(topic, decode) {
        const records = await readTopic(cluster, topic)
        return Object.fromEntries(
          records.flatMap(({ key, value }) => (value === null ? [] : [[key ?? '', decode(value)]])),
        )
      },
      async start(topology, options = {}) {
        const app = await run(topology, { brokers: [broker.bootstrap], ...quick, ...options })
        await until(() => app.failure !== null || app.state === 'running', { what: `${topology.name} at work` })
        if (app.failure !== null) throw app.failure
        return app
      },
    }
    suite(kit)
  })
}
