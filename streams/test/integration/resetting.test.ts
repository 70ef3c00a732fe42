import { expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { int64, string, topic, topology } from '../../src/index.ts'
import { resetApplication } from '../../src/runtime/reset.ts'
import { describeApps } from '../kit.ts'

describeApps('resetting an application', (kit) => {
  async function aCount() {
    const name = uniqueName('reset')
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
    const counts = async (): Promise<number[]> =>
      (await kit.read(output.name)).map(({ value }) => int64().deserialize(value!))
    return { name, app, input: events.name, counts }
  }

  it('makes it count everything anew', async () => {
    const { name, app, input, counts } = await aCount()
    await kit.send(
      input,
      Array.from({ length: 5 }, (_, i) => ({ key: String(i), value: 'x' })),
    )
    {
      await using first = await kit.start(app)
      await until(async () => (await counts()).at(-1) === 5, { what: 'five' })
      await expect(resetApplication(app, { brokers: kit.brokers })).rejects.toThrow(`${name} is running`)
      expect(first.failure).toBeNull()
    }
    const dry = await resetApplication(app, { brokers: kit.brokers, dryRun: true })
    const report = await resetApplication(app, { brokers: kit.brokers })
    expect(report).toEqual(dry)
    expect(report.deletedTopics).toEqual([`${name}-counts-changelog`, `${name}-counts-repartition`])
    expect(report.offsets).toEqual([0, 1].map((partition) => ({ topic: input, partition, offset: 0 })))

    const before = (await counts()).length
    await using again = await kit.start(app)
    await until(async () => (await counts()).length > before && (await counts()).at(-1) === 5, { what: 'five again' })
    expect(again.metrics().recordsRestored).toBe(0)
  })

  it('can leave out what is there already', async () => {
    const { app, input, counts } = await aCount()
    await kit.send(input, [{ key: 'a', value: 'x' }])
    await resetApplication(app, { brokers: kit.brokers, to: 'latest' })
    await using running = await kit.start(app)
    await kit.send(input, [{ key: 'a', value: 'x' }])
    await until(async () => (await counts()).length > 0, { what: 'a count' })
    expect(await counts()).toEqual([1])
    expect(running.failure).toBeNull()
  })
})
