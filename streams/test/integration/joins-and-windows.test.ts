import { expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { int64, json, string, topic, topology, tumbling, windowed, type Windowed } from '../../src/index.ts'
import { describeApps } from '../kit.ts'

describeApps('joins and windows on a broker', (kit) => {
  it('counts in windows, and gives final results only once their windows are closed', async () => {
    const name = uniqueName('clicks')
    const clicks = topic(`${name}-in`, { key: string(), value: string() })
    const output = topic(`${name}-out`, { key: windowed(string()), value: int64() })
    const app = topology(name)
    app
      .stream(clicks)
      .groupByKey()
      .windowedBy(tumbling(10, { grace: 5 }))
      .count({ name: 'per-window', emit: 'on-window-close' })
      .toStream()
      .to(output)
    await kit.createTopics({ name: clicks.name, partitions: 1 }, { name: output.name, partitions: 1 })
    await using running = await kit.start(app)
    const at = (ts: number, key = 'a') => ({ key, value: 'x', ts })
    await kit.send(clicks.name, [at(0), at(9), at(10), at(14), at(3, 'b'), at(15)])
    // At 15 the window [0, 10) is final; what comes for it now is late.
    await kit.send(clicks.name, [at(2), at(25)])
    await until(async () => (await kit.read(output.name)).length === 3, { what: 'final results of two windows' })
    const results = (await kit.read(output.name)).map(({ keyBytes, value }) => {
      const { key, startMs, endMs } = output.key.deserialize(keyBytes!) as Windowed<string>
      return `${key}@${startMs}-${endMs}=${int64().deserialize(value!)}`
    })
    expect(results).toEqual(['a@0-10=2', 'b@0-10=1', 'a@10-20=3'])
    expect(running.metrics().recordsDropped).toEqual({ late: 1 })
  })

  it('enriches a stream from a table, and from a table that every instance has whole', async () => {
    const name = uniqueName('orders')
    interface Order {
      readonly product: string
      readonly country: string
    }
    const orders = topic(`${name}-orders`, { key: string(), value: json<Order>() })
    const customers = topic(`${name}-customers`, { key: string(), value: string() })
    const countries = topic(`${name}-countries`, { key: string(), value: string() })
    const output = topic(`${name}-out`, { key: string(), value: string() })
    const app = topology(name)
    app
      .stream(orders)
      .join(app.table(customers, { name: 'customers' }), (order, customer) => ({ ...order, customer }), {
        name: 'with-customer',
      })
      .join(
        app.globalTable(countries, { name: 'countries' }),
        (order, country) => `${order.customer}: ${order.product} to ${country}`,
        {
          on: (_, { country }) => country,
          name: 'with-country',
        },
      )
      .to(output)
    await kit.createTopics(
      { name: orders.name, partitions: 3 },
      { name: customers.name, partitions: 3 },
      { name: countries.name, partitions: 2 },
      { name: output.name, partitions: 1 },
    )
    await kit.send(countries.name, [
      { key: 'at', value: 'Austria' },
      { key: 'pt', value: 'Portugal' },
    ])
    await kit.send(customers.name, [
      { key: 'c1', value: 'Ada', ts: 1 },
      { key: 'c2', value: 'Bob', ts: 1 },
    ])
    await kit.send(orders.name, [
      { key: 'c1', value: JSON.stringify({ product: 'tea', country: 'pt' }), ts: 2 },
      { key: 'c2', value: JSON.stringify({ product: 'cup', country: 'at' }), ts: 2 },
      { key: 'nobody', value: JSON.stringify({ product: 'hat', country: 'at' }), ts: 2 },
    ])
    await using running = await kit.start(app)
    const values = async (): Promise<string[]> =>
      (await kit.read(output.name)).map(({ value }) => String(value)).toSorted()
    await until(async () => (await values()).length === 2, { what: 'two enriched orders' })
    expect(await values()).toEqual(['Ada: tea to Portugal', 'Bob: cup to Austria'])

    // A row that comes while the application runs reaches the tasks as well.
    await kit.send(countries.name, [{ key: 'jp', value: 'Japan' }])
    await until(async () => (await running.query<string, string>('countries').get('jp')).isLocal, {
      what: 'the new row',
    })
    await until(
      async () => {
        const answer = await running.query<string, string>('countries').get('jp')
        return answer.isLocal && answer.value === 'Japan'
      },
      { what: 'the new row' },
    )
    await kit.send(orders.name, [{ key: 'c1', value: JSON.stringify({ product: 'fan', country: 'jp' }), ts: 3 }])
    await until(async () => (await values()).includes('Ada: fan to Japan'), { what: 'an order with the new row' })
  })

  it('takes the records of joined topics in the order of their timestamps, also when it has to catch up', async () => {
    const name = uniqueName('catch-up')
    const left = topic(`${name}-left`, { key: string(), value: string() })
    const right = topic(`${name}-right`, { key: string(), value: string() })
    const output = topic(`${name}-out`, { key: string(), value: string() })
    const app = topology(name)
    app
      .stream(left)
      .join(app.table(right, { name: 'right' }), (l, r) => `${l}${r}`, { name: 'joined' })
      .to(output)
    await kit.createTopics(...[left, right, output].map((one) => ({ name: one.name, partitions: 1 })))
    const count = 2_000
    // Every second of the table has its row; the stream's record of the same second comes right behind it.
    await kit.send(
      left.name,
      Array.from({ length: count }, (_, i) => ({ key: 'k', value: `${i}-`, ts: 10 * i + 5 })),
    )
    await kit.send(
      right.name,
      Array.from({ length: count }, (_, i) => ({ key: 'k', value: String(i), ts: 10 * i })),
    )
    await using running = await kit.start(app)
    await until(async () => (await kit.read(output.name)).length === count, { what: 'all joined records' })
    const values = (await kit.read(output.name)).map(({ value }) => String(value))
    expect(values).toEqual(Array.from({ length: count }, (_, i) => `${i}-${i}`))
    expect(running.failure).toBeNull()
  })
})
