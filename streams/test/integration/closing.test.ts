import { apis, ErrorCode } from '@millrace/protocol'
import { afterEach, expect, it, vi } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { Cluster } from '../../src/client/cluster.ts'
import { KafkaError } from '../../src/client/errors.ts'
import { committedOffsets } from '../../src/client/offsets.ts'
import { partitionKey } from '../../src/client/topic-partition.ts'
import { string, topic, topology, type Topology } from '../../src/index.ts'
import { describeApps } from '../kit.ts'

describeApps('the end of an application', (kit) => {
  afterEach(() => vi.restoreAllMocks())

  async function aCopy(process: (value: string) => void = () => {}): Promise<{ app: Topology; input: string }> {
    const name = uniqueName('copying')
    const text = { key: string(), value: string() }
    const [input, output] = [topic(`${name}-in`, text), topic(`${name}-out`, text)]
    const app = topology(name)
    app
      .stream(input)
      .process<string, string>(
        (context) => ({
          process(key, value, timestampMs) {
            process(value)
            context.forward(key, value, timestampMs)
          },
          close: () => process('close'),
        }),
        { name: 'copy' },
      )
      .to(output)
    await kit.createTopics({ name: input.name, partitions: 1 }, { name: output.name, partitions: 1 })
    return { app, input: input.name }
  }

  /** The application's commits are refused so many times, as in a rebalance. */
  function refuseCommits(times: number): void {
    let refusals = 0
    const coordinated = Cluster.prototype.coordinated
    vi.spyOn(Cluster.prototype, 'coordinated').mockImplementation(function (this: Cluster, ...args) {
      const api = args[2] as object
      const isCommit = api === apis.offsetCommit || api === apis.txnOffsetCommit
      if (!isCommit || ++refusals > times) return coordinated.apply(this, args)
      return Promise.reject(new KafkaError(args[2].name, ErrorCode.rebalanceInProgress, 'the test'))
    })
  }

  const committed = async (group: string, input: string): Promise<number | undefined> =>
    (await committedOffsets(kit.cluster, group, null, { requireStable: true })).get(partitionKey(input, 0))?.offset

  it.each(['at-least-once', 'exactly-once'] as const)(
    'makes its last commit, %s, although that is refused while the group is in a rebalance',
    async (guarantee) => {
      const { app, input } = await aCopy()
      const running = await kit.start(app, { guarantee, commitInterval: '1h' })
      await kit.send(input, [{ key: 'a', value: 'x' }])
      await until(() => running.metrics().recordsProcessed === 1, { what: 'the record' })
      refuseCommits(2)
      await running.close()
      expect(await committed(app.name, input)).toBe(1)
      expect(running.failure).toBeNull()
    },
  )

  it('says so when that does not succeed in its time', async () => {
    const { app, input } = await aCopy()
    const warnings: string[] = []
    const logger = { info() {}, warn: (text: string) => void warnings.push(text) }
    const running = await kit.start(app, { commitInterval: '1h', closeTimeout: 300, logger })
    await kit.send(input, [{ key: 'a', value: 'x' }])
    await until(() => running.metrics().recordsProcessed === 1, { what: 'the record' })
    refuseCommits(Infinity)
    await running.close()
    expect(warnings).toEqual([
      `${app.name} worker 0: closes without its last commit: what was done since the one before is done again`,
    ])
  })

  it('comes also when a processor fails to close, with the failure that it ends for', async () => {
    const { app, input } = await aCopy((value) => {
      throw new Error(`${value} is not liked`)
    })
    const warnings: string[] = []
    const logger = { info() {}, warn: (text: string) => void warnings.push(text) }
    await using running = await kit.start(app, { logger })
    await kit.send(input, [{ key: 'a', value: 'x' }])
    await until(() => running.failure !== null, { what: 'the failure' })
    await running.closed
    expect(running.failure!.message).toContain('x is not liked')
    expect(warnings).toEqual([`${app.name} worker 0: task 0_0 did not end as it should: close is not liked`])
  })
})
