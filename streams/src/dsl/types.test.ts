import { describe, expectTypeOf, it } from 'vitest'
import {
  idempotentSink,
  int64,
  json,
  session,
  skip,
  string,
  topic,
  topology,
  tumbling,
  validated,
  windowed,
  type GlobalTable,
  type Serde,
  type SinkRow,
  type StandardSchema,
  type Stream,
  type Table,
  type Timers,
  type Windowed,
} from '../index.ts'

interface Order {
  readonly id: string
  readonly amount: number
}
interface Payment {
  readonly method: string
}

interface View {
  readonly kind: 'view'
  readonly page: string
}
interface Purchase {
  readonly kind: 'purchase'
  readonly cents: number
}

const orders = topic('orders', { key: string(), value: json<Order>() })
const events = topic('events', { key: string(), value: json<View | Purchase>() })
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

  it('writes a stream to a topic of wider values, and to no narrower one', () => {
    const wide = topic('wide', { key: string(), value: json<{ readonly id: string }>() })
    const wrong = (): void => {
      orderStream.to(wide)
      orderStream.mapValues((order) => (order.amount > 0 ? order : null)).to(orders)
      // @ts-expect-error not every record with an id is an order
      app.stream(wide).to(orders)
    }
    expectTypeOf(wrong).returns.toBeVoid()
  })

  it('narrows values by predicates, those with an error handler and those of branches as well', () => {
    const stream = app.stream(events)
    type Purchases = Stream<string, Purchase>
    const isPurchase = (_key: string, event: View | Purchase): event is Purchase => event.kind === 'purchase'
    expectTypeOf(stream.filter((_key, event) => event.kind === 'purchase')).toEqualTypeOf<Purchases>()
    expectTypeOf(stream.filter(isPurchase, { onError: skip() })).toEqualTypeOf<Purchases>()
    expectTypeOf(stream.filter((key) => key !== '', { onError: skip() })).toEqualTypeOf<typeof stream>()
    const maybe = app.stream(topic('maybe', { key: string(), value: json<Order | null>() }))
    expectTypeOf(maybe.filter((_key, order) => order !== null)).toEqualTypeOf<Stream<string, Order>>()
    const { purchases, odd, rest } = stream.split({ purchases: isPurchase, odd: (key) => key.length % 2 === 1 })
    expectTypeOf(purchases).toEqualTypeOf<Purchases>()
    expectTypeOf(odd).toEqualTypeOf<typeof stream>()
    expectTypeOf(rest).toEqualTypeOf<typeof stream>()
    const table = stream.toTable({ name: 'latest-event' })
    expectTypeOf(table.filter(isPurchase)).toEqualTypeOf<Table<string, Purchase>>()
  })

  it('takes the type of an aggregate from its serde, or else from its first value', () => {
    interface Account {
      readonly cents: number
      readonly last?: string
    }
    const grouped = orderStream.groupByKey()
    const accounts = grouped.aggregate({
      serde: json<Account>(),
      init: () => ({ cents: 0 }),
      add(_key, order, account) {
        expectTypeOf(account).toEqualTypeOf<Account>()
        return { cents: account.cents + order.amount, last: order.id }
      },
    })
    expectTypeOf(accounts).toEqualTypeOf<Table<string, Account>>()
    const largest = grouped.aggregate({
      serde: json<Order>(),
      init: () => null,
      add(_key, order, best) {
        expectTypeOf(best).toEqualTypeOf<Order | null>()
        return best === null || order.amount > best.amount ? order : best
      },
    })
    expectTypeOf(largest).toEqualTypeOf<Table<string, Order>>()
    const ids = { serde: json<string[]>(), init: () => [] }
    const add = (_key: string, order: Order, all: string[]): string[] => [...all, order.id]
    expectTypeOf(grouped.aggregate({ ...ids, add })).toEqualTypeOf<Table<string, string[]>>()
    const perMinute = grouped.windowedBy(tumbling('1m')).aggregate({ ...ids, add, late: 'side-output' })
    expectTypeOf(perMinute.results).toEqualTypeOf<Table<Windowed<string>, string[]>>()
    const visits = grouped.windowedBy(session('1m')).aggregate({
      ...ids,
      add: (_key, order, all) => [...all, order.id],
      merge: (_key, left, right) => [...left, ...right],
    })
    expectTypeOf(visits).toEqualTypeOf<Table<Windowed<string>, string[]>>()
    const byAmount = grouped
      .count({ name: 'orders-per-key' })
      .groupBy((key, count) => [count, key] as const)
      .aggregate({
        ...ids,
        add: (_count, key, all) => [...all, key],
        subtract: (_count, key, all) => all.filter((one) => one !== key),
      })
    expectTypeOf(byAmount).toEqualTypeOf<Table<number, string[]>>()
    const wrong = (): void => {
      // @ts-expect-error what `add` returns has to be what `init` began
      grouped.aggregate({ init: () => 0, add: () => 'one' })
      // @ts-expect-error and, with a serde, what that writes
      grouped.aggregate({ serde: json<Account>(), init: () => ({ cents: 0 }), add: () => ({ cents: 'none' }) })
    }
    expectTypeOf(wrong).returns.toBeVoid()
  })

  it('knows the rows of a foreign-key join without being told', () => {
    const ordersById = app.table(topic('orders-by-id', { key: string(), value: json<Order>() }))
    const byMethod = app.table(topic('by-method', { key: int64(), value: json<Payment>() }))
    const sameKeys = ordersById.join(paymentTable, (order, payment) => ({ order, payment }), {
      name: 'by-text',
      on(order) {
        expectTypeOf(order).toEqualTypeOf<Order>()
        return order.id
      },
    })
    expectTypeOf(sameKeys).toEqualTypeOf<Table<string, { order: Order; payment: Payment }>>()
    const otherKeys = ordersById.leftJoin(byMethod, (order, payment) => ({ order, payment }), {
      on: (order) => order.amount,
    })
    expectTypeOf(otherKeys).toEqualTypeOf<Table<string, { order: Order; payment: Payment | null }>>()
    const wrong = (): void => {
      // @ts-expect-error the other table's keys are numbers
      ordersById.join(byMethod, (order) => order, { on: (order) => order.id })
      // @ts-expect-error tables with different keys are joined by a foreign key
      ordersById.join(byMethod, (order) => order)
    }
    expectTypeOf(wrong).returns.toBeVoid()
  })

  it('knows what a function answers later, and what a sink and a timer are given', () => {
    const looked = orderStream.mapValuesAsync(async (order, key, { signal, attempt }) => {
      expectTypeOf(order).toEqualTypeOf<Order>()
      expectTypeOf(key).toEqualTypeOf<string>()
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>()
      expectTypeOf(attempt).toEqualTypeOf<number>()
      return Promise.resolve(order.amount)
    })
    expectTypeOf(looked).toEqualTypeOf<Stream<string, number>>()
    expectTypeOf(orderStream.mapValuesAsync((order) => order.id)).toEqualTypeOf<Stream<string, string>>()
    orderStream.sink(
      idempotentSink({
        name: 'order-sink',
        write(rows, { signal }) {
          expectTypeOf(rows).toEqualTypeOf<readonly SinkRow<string, Order>[]>()
          expectTypeOf(signal).toEqualTypeOf<AbortSignal>()
        },
      }),
    )
    const timed = orderStream.process<string, number>(
      (context) => {
        expectTypeOf(context.timers).toEqualTypeOf<Timers<string>>()
        return {
          process: (key, _order, timestampMs) => context.timers.set(key, timestampMs + 1, 'wall-clock'),
          onTimer(key, timeMs) {
            expectTypeOf(key).toEqualTypeOf<string>()
            context.forward(key, timeMs, timeMs)
          },
        }
      },
      { name: 'timed', timers: ['wall-clock'] },
    )
    expectTypeOf(timed).toEqualTypeOf<Stream<string, number>>()
    const wide = idempotentSink<string, { readonly id: string }>({ name: 'wide', write() {} })
    const wrong = (): void => {
      orderStream.sink(wide)
      // @ts-expect-error payments have no id
      paymentStream.sink(wide)
      // @ts-expect-error there is no clock of that name
      orderStream.process(() => ({ process() {} }), { timers: ['moon-time'] })
      // @ts-expect-error results are in the order of the records, of their keys, or in none
      orderStream.mapValuesAsync((order) => order, { order: 'random' })
    }
    expectTypeOf(wrong).returns.toBeVoid()
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
