import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { describeBroker, uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { createTopics } from '../client/admin.ts'
import { Cluster } from '../client/cluster.ts'
import { Producer } from '../client/producer.ts'
import { Transaction } from '../client/transaction.ts'
import { string } from '../index.ts'
import type { KeyValueStore } from '../state/key-value-store.ts'
import type { StoreDefinition } from '../state/store.ts'
import { Restorer } from './restorer.ts'
import { MemoryState } from './state-directory.ts'
import { TaskStores } from './task-stores.ts'

vi.setConfig({ testTimeout: 30_000, hookTimeout: 120_000 })

describeBroker('a restore of committed records', {}, (broker) => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await Cluster.connect({ brokers: [broker.bootstrap] })
  })
  afterAll(() => cluster.close())

  it('is not done before the transactions that were open when it began have ended', async () => {
    const application = uniqueName('restoring')
    const changelog = `${application}-state-changelog`
    await createTopics(cluster, [{ name: changelog, partitions: 1 }])
    await cluster.watch([changelog])
    const transaction = new Transaction(cluster, { transactionalId: uniqueName('tx') })
    const producer = new Producer(cluster, { transaction })
    producer.send(changelog, 0, Buffer.from('k'), Buffer.from('v'), 1)
    await producer.flush()

    const definition = {
      kind: 'key-value',
      name: 'state',
      hasChangelog: true,
      keySerde: string(),
      valueSerde: string(),
    }
    const stores = new TaskStores('0_0', application, [definition as StoreDefinition], new MemoryState())
    const errors: unknown[] = []
    const restorer = new Restorer(cluster, {
      isolation: 'read-committed',
      onData() {},
      onError: (error) => errors.push(error),
      onStorageFailure: (_stores, error) => errors.push(error),
    })
    restorer.add(stores, { isStandby: false })
    await until(() => restorer.progress().length === 1, { what: 'the end of the changelog' })
    restorer.step()
    expect(restorer.isDone('0_0')).toBe(false)
    await transaction.commit()
    await until(() => (restorer.step(), restorer.isDone('0_0')), { what: 'the restore' })
    expect((stores.get('state') as KeyValueStore<string, string>).get('k')).toBe('v')
    expect(errors).toEqual([])
    restorer.close()
    producer.close()
  })
})
