import { expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { int64, string, topic, topology } from '../../src/index.ts'
import { describeApps } from '../kit.ts'

describeApps(
  'an application whose broker goes away',
  (kit) => {
    it('goes on when the broker is back, with nothing lost', async () => {
      const name = uniqueName('away')
      const events = topic(`${name}-in`, { key: string(), value: string() })
      const output = topic(`${name}-out`, { key: string(), value: int64() })
      const app = topology(name)
      app
        .stream(events)
        .groupBy((_, value) => value)
        .count({ name: 'counts' })
        .toStream()
        .to(output)
      await kit.createTopics({ name: events.name, partitions: 2 }, { name: output.name, partitions: 1 })
      const count = async (key: string): Promise<number> =>
        (await kit.latest(output.name, (value) => int64().deserialize(value)))[key] ?? 0
      const some = Array.from({ length: 100 }, (_, i) => ({ key: `e${i}`, value: `k${i % 10}` }))

      // Patient enough to be a member still when a broker that takes its time is back.
      await using running = await kit.start(app, { sessionTimeout: '30s' })
      await kit.send(events.name, some)
      await until(async () => (await count('k9')) === 10, { what: 'a hundred counted' })
      await running.commit()
      for (let round = 1; round <= 3; round++) {
        await kit.broker.restart()
        await kit.send(events.name, some)
        await until(async () => (await count('k9')) === 10 + 10 * round, { what: `round ${round}`, timeoutMs: 30_000 })
        await running.commit()
      }
      await until(() => running.metrics().lag.every(({ lag }) => lag === 0), { what: 'end of all partitions' })
      for (let k = 0; k < 10; k++) {
        await until(async () => (await count(`k${k}`)) === 40, { what: `forty of k${k}`, timeoutMs: 30_000 })
      }
      expect(running.failure).toBeNull()
    })
  },
  { persistent: true },
)
