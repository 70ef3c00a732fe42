// The main job on real input: 20,000 flights through a topic of six partitions, read by a group of three, then read
// again from a moment in time. Everything but the first lines of main() is plain kafkajs and runs on any Kafka:
//
//   npm run demo                                  starts a broker of its own, in this process and in memory
//   npm run demo -- --bootstrap 127.0.0.1:9092    uses the one that runs there; only a failed run
//                                                leaves its topic behind, to be looked at

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Admin, type Consumer, Kafka, logLevel, Partitioners } from 'kafkajs'
import { Broker } from 'millrace'

const TIME_LIMIT_MS = 60_000
const PARTITIONS = 6
const MEMBERS = 3
const REWIND_TO_MS = Date.UTC(2001, 2, 1)

const run = `${process.pid}-${Date.now()}`
const topic = `flights-${run}`
const groupId = `flight-delays-${run}`

interface Flight {
  /** Its line in the file, which is sorted by time. */
  readonly number: number
  /** `2001/01/01 00:47`, on the clock of the airport; read here as if all of them were in UTC. */
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

/** A flight as a consumer got it. */
interface Arrival {
  readonly flight: Flight
  readonly key: string
  readonly timestampMs: number
  readonly partition: number
  readonly offset: number
  readonly member: number
}

let progress = 'nothing has happened yet'

async function main(): Promise<void> {
  const { values: options } = parseArgs({ options: { bootstrap: { type: 'string' } } })
  await using broker = options.bootstrap === undefined ? await Broker.start({ port: 0 }) : null
  const bootstrap = options.bootstrap ?? broker!.bootstrap

  const flights = loadFlights()
  const first = flights[0]!.date
  const last = flights.at(-1)!.date
  console.log(`${count(flights.length)} flights from ${first} to ${last}, broker at ${bootstrap}\n`)

  const kafka = new Kafka({ clientId: 'demo', brokers: [bootstrap], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()

  await produce(kafka, admin, flights)

  const arrivals = await consume(kafka, flights.length)
  checkDelivery(flights, arrivals)
  await checkNothingLeft(admin)
  const shares = Array.from({ length: MEMBERS }, (_, member) => arrivals.filter((a) => a.member === member).length)
  console.log(`consumed ${count(arrivals.length)} by ${MEMBERS} members (${shares.map(count).join(' + ')}):`)
  console.log('each flight exactly once, and those of an airport in order\n')
  printDelays(arrivals)

  const replayed = await rewindAndReplay(kafka, admin, arrivals)

  await admin.deleteTopics({ topics: [topic] })
  await admin.deleteGroups([groupId])
  await admin.disconnect()
  console.log(`\ndemo passed: ${count(arrivals.length)} flights delivered, ${count(replayed)} replayed`)
}

/** The keys decide the partition, so the flights of one airport stay in order, whoever reads them. */
async function produce(kafka: Kafka, admin: Admin, flights: readonly Flight[]): Promise<void> {
  // The flights are of 2001: with the usual retention of a week the broker would delete them at once.
  const configEntries = [{ name: 'retention.ms', value: '-1' }]
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1, configEntries }] })

  // Idempotent: a batch that is sent again after a lost answer is stored once.
  const producer = kafka.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  const startMs = performance.now()
  for (let at = 0; at < flights.length; at += 1000) {
    const messages = flights.slice(at, at + 1000).map((flight) => ({
      key: flight.origin,
      value: JSON.stringify(flight),
      timestamp: String(timeMs(flight)),
    }))
    await producer.send({ topic, messages })
    progress = `${count(at + messages.length)} of ${count(flights.length)} flights were produced`
  }
  const tookMs = Math.round(performance.now() - startMs)
  await producer.disconnect()
  console.log(`produced ${count(flights.length)} flights into ${PARTITIONS} partitions in ${tookMs} ms`)
}

/** Runs the group until `expected` flights have arrived, from where it left off; in the order of their arrival. */
async function consume(kafka: Kafka, expected: number): Promise<Arrival[]> {
  const arrivals: Arrival[] = []
  let finish!: () => void
  let fail!: (error: Error) => void
  const finished = new Promise<void>((resolve, reject) => {
    finish = resolve
    fail = reject
  })
  if (expected === 0) finish()

  const consumers = Array.from({ length: MEMBERS }, () =>
    // Short times, so that a member soon notices that another one joins.
    kafka.consumer({ groupId, heartbeatInterval: 200, maxWaitTimeInMs: 100 }),
  )
  readOnceComplete(consumers)
  try {
    for (const [member, consumer] of consumers.entries()) {
      consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || fail(payload.error))
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      await consumer.run({
        async eachMessage({ partition, message }) {
          arrivals.push({
            flight: JSON.parse(String(message.value)) as Flight,
            key: String(message.key),
            timestampMs: Number(message.timestamp),
            partition,
            offset: Number(message.offset),
            member,
          })
          progress = `${count(arrivals.length)} of ${count(expected)} flights had arrived`
          if (arrivals.length === expected) finish()
        },
      })
    }
    await finished
  } finally {
    // Each member finishes the batch in hand, commits how far it got, and leaves the group.
    await Promise.all(consumers.map((consumer) => consumer.disconnect()))
  }
  return arrivals
}

/**
 * Holds the members back until each has its share of the partitions. A partition that changes hands while it is being
 * read is read again from the last commit: a consumer group promises at least once. Nothing changes hands here, so
 * the demo may ask for exactly once.
 */
function readOnceComplete(consumers: readonly Consumer[]): void {
  const shares = new Map<Consumer, number>()
  for (const consumer of consumers) {
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      shares.set(consumer, payload.memberAssignment[topic]?.length ?? 0)
      consumer.pause([{ topic }])
      const isComplete = consumers.every((member) => shares.get(member) === PARTITIONS / MEMBERS)
      if (isComplete) for (const member of consumers) member.resume([{ topic }])
    })
  }
}

function checkDelivery(flights: readonly Flight[], arrivals: readonly Arrival[]): void {
  const seen = new Set<number>()
  const lastOfAirport = new Map<string, number>()
  const nextOffset = new Map<number, number>()
  for (const { flight, key, timestampMs, partition, offset } of arrivals) {
    check(!seen.has(flight.number), `flight ${flight.number} arrived twice`)
    seen.add(flight.number)
    check(JSON.stringify(flight) === JSON.stringify(flights[flight.number]), `flight ${flight.number} was changed`)
    check(key === flight.origin, `flight ${flight.number} from ${flight.origin} has the key ${key}`)
    check(timestampMs === timeMs(flight), `flight ${flight.number} of ${flight.date} is stamped ${timestampMs}`)

    const before = lastOfAirport.get(flight.origin) ?? -1
    check(before < flight.number, `flight ${flight.number} from ${flight.origin} arrived after ${before}`)
    lastOfAirport.set(flight.origin, flight.number)

    const expected = nextOffset.get(partition) ?? 0
    check(offset === expected, `partition ${partition} gave offset ${offset} in the place of ${expected}`)
    nextOffset.set(partition, offset + 1)
  }
  check(seen.size === flights.length, `${flights.length - seen.size} flights did not arrive`)
  check(nextOffset.size === PARTITIONS, `only ${nextOffset.size} of ${PARTITIONS} partitions were used`)
}

/** The group's committed offsets are the ends of the partitions: nothing is left to read, nothing comes twice. */
async function checkNothingLeft(admin: Admin): Promise<void> {
  const ends = new Map((await admin.fetchTopicOffsets(topic)).map((end) => [end.partition, end.offset]))
  const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] })
  for (const { partition, offset } of committed!.partitions) {
    const end = ends.get(partition)
    check(offset === end, `partition ${partition} ends at ${end}, the group committed ${offset}`)
  }
}

/**
 * What a rewind to a timestamp promises: each partition continues at its first record that is not older. So nothing
 * from that moment on is missed; where a topic is not sorted by time, older records stored behind that one come again
 * as well. These flights were produced in the order of time, so here no older one does.
 */
async function rewindAndReplay(kafka: Kafka, admin: Admin, arrivals: readonly Arrival[]): Promise<number> {
  const found = await admin.fetchTopicOffsetsByTimestamp(topic, REWIND_TO_MS)
  // Only a group without members can be rewound. kafkajs joins it for that, and waits 5 s for a fetch that it paused.
  await admin.setOffsets({ groupId, topic, partitions: found })

  console.log(`\nrewound the group to ${new Date(REWIND_TO_MS).toISOString()}\n`)
  console.log('  partition    offset   flights to replay')
  const expected: Arrival[] = []
  for (const { partition, offset } of found.toSorted((a, b) => a.partition - b.partition)) {
    // The broker looked into its index of timestamps. This looks at every flight.
    const stored = arrivals.filter((arrival) => arrival.partition === partition)
    const firstIndex = stored.findIndex(({ flight }) => timeMs(flight) >= REWIND_TO_MS)
    const replay = firstIndex === -1 ? [] : stored.slice(firstIndex)
    const firstOffset = replay[0]?.offset ?? stored.length
    check(Number(offset) === firstOffset, `partition ${partition}: found ${offset}, the flights say ${firstOffset}`)
    expected.push(...replay)
    console.log(
      `  ${String(partition).padStart(9)}${count(firstOffset).padStart(10)}${count(replay.length).padStart(20)}`,
    )
  }

  const replayed = await consume(kafka, expected.length)
  const place = ({ partition, offset }: Arrival): string => `${partition}:${offset}`
  const inOrder = replayed.toSorted((a, b) => a.partition - b.partition)
  for (const [index, arrival] of inOrder.entries()) {
    const due = expected[index]!
    check(place(arrival) === place(due), `the replay gave ${place(arrival)} in the place of ${place(due)}`)
    check(arrival.flight.number === due.flight.number, `another flight came from ${place(due)} than at first`)
  }
  await checkNothingLeft(admin)

  const due = arrivals.filter(({ flight }) => timeMs(flight) >= REWIND_TO_MS).length
  const older = replayed.filter(({ flight }) => timeMs(flight) < REWIND_TO_MS).length
  check(replayed.length - older === due, `${due} flights are of that time or later, ${replayed.length - older} came`)
  console.log(
    `\nreplayed ${count(replayed.length)}: all ${count(due)} flights since then, and ${count(older)} older ones`,
  )
  return replayed.length
}

function printDelays(arrivals: readonly Arrival[]): void {
  const airportNames = loadAirportNames()
  const delaysByOrigin = new Map<string, number[]>()
  for (const { flight } of arrivals) {
    const delays = delaysByOrigin.get(flight.origin)
    if (delays === undefined) delaysByOrigin.set(flight.origin, [flight.delay])
    else delays.push(flight.delay)
  }
  const rows = [...delaysByOrigin].map(([origin, delays]) => {
    const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length
    const late = delays.filter((delay) => delay > 15).length / delays.length
    return { origin, flights: delays.length, mean, late }
  })
  const large = rows.filter((row) => row.flights >= 250).sort((a, b) => b.mean - a.mean)

  console.log(`  ${'origin'.padEnd(54)} flights   mean delay   over 15 min`)
  for (const { origin, flights, mean, late } of large) {
    const name = `${origin}  ${airportNames.get(origin) ?? ''}`.padEnd(54)
    const numbers = [count(flights).padStart(8), `${mean.toFixed(1)} min`.padStart(13), percent(late).padStart(14)]
    console.log(`  ${name}${numbers.join('')}`)
  }
  console.log(`  and ${rows.length - large.length} airports with fewer than 250 flights`)
}

function loadFlights(): Flight[] {
  const rows = JSON.parse(readDataset('flights-20k.json')) as Omit<Flight, 'number'>[]
  return rows.map((row, number) => ({ number, ...row }))
}

/** By airport code; the columns are `iata,name,city,state,...`, a name with a comma is in quotes. */
function loadAirportNames(): Map<string, string> {
  const rows = readDataset('airports.csv').matchAll(/^(\w+),(?:"((?:[^"]|"")*)"|([^,]*)),([^,]*),/gm)
  return new Map([...rows].map(([, iata, quoted, plain, city]) => [iata!, `${quoted ?? plain}, ${city}`]))
}

function readDataset(file: string): string {
  return readFileSync(new URL(`../data/${file}`, import.meta.resolve('vega-datasets')), 'utf8')
}

function timeMs(flight: Flight): number {
  return Date.parse(`${flight.date.replaceAll('/', '-').replace(' ', 'T')}:00Z`)
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}

function check(isTrue: boolean, otherwise: string): asserts isTrue {
  if (!isTrue) throw new Error(otherwise)
}

const timeLimit = setTimeout(() => {
  console.error(`demo failed: not done after ${TIME_LIMIT_MS / 1000} s; ${progress}`)
  process.exit(1)
}, TIME_LIMIT_MS)

try {
  await main()
} catch (error) {
  console.error(`demo failed: ${error instanceof Error ? error.message : String(error)}`)
  // Not by itself: a connection that is still open would keep the process alive.
  process.exit(1)
}
clearTimeout(timeLimit)
