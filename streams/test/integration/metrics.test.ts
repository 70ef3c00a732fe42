import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { int64, run, string, topic, topology, type RestoreSummary, type Topology } from '../../src/index.ts'
import { describeApps } from '../kit.ts'

describeApps('an application that is looked at', (kit) => {
  function counting(name: string): Topology {
    const app = topology(name)
    app
      .stream(topic(`${name}-in`, { key: string(), value: string() }))
      .groupByKey()
      .count({ name: 'by-key' })
      .toStream()
      .to(topic(`${name}-out`, { key: string(), value: int64() }))
    return app
  }
  async function aCounting(records: number): Promise<Topology> {
    const app = counting(uniqueName('looked-at'))
    await kit.createTopics({ name: `${app.name}-in`, partitions: 2 }, { name: `${app.name}-out`, partitions: 1 })
    await send(app, records)
    return app
  }
  const send = (app: Topology, records: number) =>
    kit.send(
      `${app.name}-in`,
      Array.from({ length: records }, (_, n) => ({ key: `key ${n}`, value: '', ts: n, partition: n % 2 })),
    )

  it('tells counts and rates, lag, work and state by task', async () => {
    const stateDir = mkdtempSync(join(tmpdir(), 'millrace-metrics-'))
    try {
      const app = await aCounting(1000)
      await using running = await kit.start(app, { stateDir })
      await until(() => running.metrics().recordsProcessed === 1000, { what: 'all records' })
      await running.commit()
      const metrics = running.metrics()
      expect(metrics).toMatchObject({ recordsProcessed: 1000, totalLag: 0, recordsDropped: {} })
      // 1000 results and 1000 changes.
      expect(metrics.recordsSent).toBe(2000)
      expect(metrics.recordsPerSecond).toBeGreaterThan(0)
      expect(metrics.sentPerSecond).toBeGreaterThan(metrics.recordsPerSecond)
      expect(
        metrics.work.map(({ taskId, recordsProcessed, lag, streamTimeMs }) => [
          taskId,
          recordsProcessed,
          lag,
          streamTimeMs,
        ]),
      ).toEqual([
        ['0_0', 500, 0, 998],
        ['0_1', 500, 0, 999],
      ])
      expect(metrics.stores.map(({ taskId, store, unflushedBytes }) => [taskId, store, unflushedBytes])).toEqual([
        ['0_0', 'by-key', 0],
        ['0_1', 'by-key', 0],
      ])
      for (const { diskBytes } of metrics.stores) expect(diskBytes).toBeGreaterThan(4096)
    } finally {
      rmSync(stateDir, { recursive: true, force: true })
    }
  })

  it('shows how its restore goes on, and says when it is at work', async () => {
    const app = await aCounting(4000)
    await (async () => {
      await using first = await kit.start(app)
      await until(() => first.metrics().recordsProcessed === 4000, { what: 'all records' })
    })()
    // Small fetches, so that the restore has many steps.
    await using second = await run(counting(app.name), { brokers: kit.brokers, bufferBytes: 4096 })
    const seen: RestoreSummary[] = []
    for await (const summary of second.restoring('1ms')) seen.push(summary)
    expect(second.state).toBe('running')
    await second.running()
    const last = seen.at(-1)!
    expect(last).toMatchObject({ restored: 4000, total: 4000, share: 1, storesToGo: 0, isDone: true })
    expect(seen.map(({ restored }) => restored)).toEqual(seen.map(({ restored }) => restored).toSorted((a, b) => a - b))
    expect(seen.slice(0, -1).every(({ isDone }) => !isDone)).toBe(true)
    expect(second.metrics().recordsRestored).toBe(4000)
  })

  it('that fails or is closed before it is at work says so to whoever waits', async () => {
    const app = await aCounting(0)
    const other = counting(app.name)
    const closed = await run(other, { brokers: kit.brokers })
    const waiting = closed.running()
    await Promise.all([closed.close(), expect(waiting).rejects.toMatchObject({ code: 'closed' })])
    const filtering = topology(app.name)
    filtering
      .stream(topic(`${app.name}-in`, { key: string(), value: string() }))
      .to(topic(`${app.name}-out`, { key: string(), value: string() }))
    await using _first = await kit.start(app)
    await using refused = await run(filtering, { brokers: kit.brokers, onTopologyChange: 'ignore' })
    await expect(refused.running()).rejects.toMatchObject({ code: 'topology-changed' })
  })
})
