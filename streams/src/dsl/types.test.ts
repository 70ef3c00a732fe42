import { describe, expectTypeOf, it } from 'vitest'
import {
  int64,
  json,
  session,
  string,
  topic,
  topology,
  tumbling,
  validated,
  windowed,
  type GlobalTable,
  type Serde,
  type StandardSchema,
  type Stream,
  type Table,
  type Windowed,
} from '../index.ts'

interface Order {
  readonly id: string
  readonly amount: number
}
interface Payment {
  readonly method: string
}

const orders = topic('orders', { key: string(), value: json<Order>() })
const payments = topic('payments', { key: string(), value: json<Payment>() })
const counts = topic('counts', { key: string(), value: int64() })
const windowCounts = topic('window-counts', { key: windowed(string()), value: int64() })
const texts = topic('texts', { key: string(), value: string() })

const app = topology('types')
const orderStream = app.stream(orders)
const paymentStream = app.stream(payments)
const paymentTable = app.table(topic('payment-table', { key: string(), value: json<Payment>() }))

describe('what the compiler knows', () => {
  it('infers keys and values from topics through the operators', () => {
    expectTypeOf(orderStream).toEqualTypeOf<Stream<string, Order>>()
    expectTypeOf(orderStream.mapValues((order) => order.amount)).toEqualTypeOf<Stream<string, number>>()
    expectTypeOf(orderStream.map((key, order) => [order.amount, key] as const)).toEqualTypeOf<Stream<number, string>>()
    expectTypeOf(orderStream.flatMapValues((order) => [order.id])).toEqualTypeOf<Stream<string, string>>()
    expectTypeOf(orderStream.selectKey((_key, order) => order.amount)).toEqualTypeOf<Stream<number, Order>>()
    const { big, rest } = orderStream.split({ big: (_key, order) => order.amount > 100 })
    expectTypeOf(big).toEqualTypeOf<Stream<string, Order>>()
    expectTypeOf(rest).toEqualTypeOf<Stream<string, Order>>()
  })

  it('knows that the missing side of a join is null, and only that', () => {
    const within = '5m'
    orderStream.join(
      paymentStream,
      (order, payment) => {
        expectTypeOf(order).toEqualTypeOf<Order>()
        expectTypeOf(payment).toEqualTypeOf<Payment>()
      },
      { within },
    )
    const left = orderStream.leftJoin(
      paymentStream,
      (order, payment) => {
        expectTypeOf(order).toEqualTypeOf<Order>()
        expectTypeOf(payment).toEqualTypeOf<Payment | null>()
        return { order, payment }
      },
      { within },
    )
    expectTypeOf(left).toEqualTypeOf<Stream<string, { order: Order; payment: Payment | null }>>()
    orderStream.outerJoin(
      paymentStream,
      (order, payment) => {
        expectTypeOf(order).toEqualTypeOf<Order | null>()
        expectTypeOf(payment).toEqualTypeOf<Payment | null>()
      },
      { within },
    )
    orderStream.leftJoin(paymentTable, (_order, payment) => {
      expectTypeOf(payment).toEqualTypeOf<Payment | null>()
    })
    const everywhere = app.globalTable(topic('everywhere', { key: int64(), value: string() }))
    expectTypeOf(everywhere).toEqualTypeOf<GlobalTable<number, string>>()
    orderStream.join(everywhere, (_order, text) => expectTypeOf(text).toEqualTypeOf<string>(), {
      on: (_key, order) => order.amount,
    })
    const orderTable = app.table(topic('order-table', { key: string(), value: json<Order>() }))
    const byId = orderTable.leftJoin(paymentTable, (order, payment) => ({ order, payment }), {
      on: (order) => order.id,
    })
    expectTypeOf(byId).toEqualTypeOf<Table<string, { order: Order; payment: Payment | null }>>()
  })

  it('gives windowed results windowed keys, and late records a stream of theirs', () => {
    const grouped = orderStream.groupByKey()
    expectTypeOf(grouped.count()).toEqualTypeOf<Table<string, number>>()
    const perMinute = grouped.windowedBy(tumbling('1m')).count()
    expectTypeOf(perMinute).toEqualTypeOf<Table<Windowed<string>, number>>()
    const { results, late } = grouped.windowedBy(tumbling('1m')).count({ late: 'side-output' })
    expectTypeOf(results).toEqualTypeOf<Table<Windowed<string>, number>>()
    expectTypeOf(late).toEqualTypeOf<Stream<Windowed<string>, Order>>()
    const visits = grouped.windowedBy(session('30m', { grace: '5m' })).aggregate({
      name: 'visits',
      init: () => ({ n: 0 }),
      add: (_key, _value, a) => ({ n: a.n + 1 }),
      merge: (_key, a, b) => ({ n: a.n + b.n }),
    })
    expectTypeOf(visits).toEqualTypeOf<Table<Windowed<string>, { n: number }>>()
    const total = grouped
      .cogroup((_key, order, sum: number) => sum + order.amount)
      .and(paymentStream.groupByKey(), (_key, _payment, sum) => sum - 1)
      .aggregate({ init: () => 0 })
    expectTypeOf(total).toEqualTypeOf<Table<string, number>>()
    results.toStream().to(windowCounts)
  })

  it('takes the type of a value from its validator', () => {
    type Named = StandardSchema<{ readonly name: string }>
    expectTypeOf(validated<{ readonly name: string }>)
      .parameter(0)
      .toEqualTypeOf<Named>()
    const serdeOf = (schema: Named) => validated(schema)
    expectTypeOf(serdeOf).returns.toEqualTypeOf<Serde<{ readonly name: string }>>()
  })

  it('does not compile what does not fit', () => {
    const numbers = orderStream.groupByKey().count({ name: 'numbers' }).toStream()
    const sessions = orderStream.groupByKey().windowedBy(session(1))
    const init = (): number => 0
    const add = (): number => 0
    // Only compiled: what the compiler refuses may well fail when it runs.
    const wrong = (): void => {
      numbers.to(counts)
      // @ts-expect-error numbers are not text
      numbers.to(texts)
      // @ts-expect-error the key is not windowed
      numbers.to(windowCounts)
      // @ts-expect-error a stream of numbers cannot be merged with one of orders
      orderStream.merge(orderStream.mapValues((order) => order.amount))
      // @ts-expect-error a stream-stream join needs to know how far apart
      orderStream.join(paymentStream, (order) => order)
      const other = app.globalTable(topic('other', { key: string(), value: string() }))
      // @ts-expect-error a global table is joined by a key that has to be named
      orderStream.join(other, (order) => order)
      // @ts-expect-error '5 minutes' is not a duration
      tumbling('5 minutes')
      // @ts-expect-error a session needs to know how to merge
      sessions.aggregate({ init, add })
    }
    expectTypeOf(wrong).returns.toBeVoid()
  })
})
