// A stream-processing application on real input, killed with -9 half-way: 20,000 flights joined with their airports,
// delays per airport in hopping windows, days of traffic as sessions, the worst airports of each window. Everything it
// writes is compared with what plain loops over the file compute.
//
//   npm run demo:streams                                  starts a broker of its own, in this process and in memory
//   npm run demo:streams -- --bootstrap 127.0.0.1:9092    uses the one that runs there; only a failed run leaves its
//                                                         topics behind, to be looked at
//
// The application is the first part, up to runJob(). It runs in a process of its own, which is this file again.

import { fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  hopping,
  int64,
  json,
  run,
  session,
  showProgress,
  string,
  topic,
  topology,
  windowed,
  type Windowed,
} from '@millrace/streams'
import { type Admin, Kafka, logLevel, Partitioners, type Producer } from 'kafkajs'
import { Broker } from 'millrace'

const TIME_LIMIT_MS = 120_000
const PARTITIONS = 6
const CHUNK = 500
const HOUR_MS = 3_600_000

/** Delays are summed up for a day, four times a day; a flight that is reported an hour after that is late. */
const WINDOW = { sizeMs: 24 * HOUR_MS, advanceMs: 6 * HOUR_MS, graceMs: HOUR_MS }
/** Six hours without a departure end an airport's day; no flight of the file is reported after the grace. */
const SESSION = { gapMs: 6 * HOUR_MS, graceMs: 12 * HOUR_MS }
const TOP = 3
/** An airport with fewer flights in a window is not among its worst. */
const TOP_FLIGHTS = 5

interface Airport {
  readonly name: string
  readonly city: string
}

interface Flight {
  /** Its place in the order of reports: a flight is reported when it has left, which may be hours after its time. */
  readonly number: number
  /** `2001/01/01 00:47`, on the clock of the airport; read here as if all of them were in UTC. */
  readonly date: string
  readonly delay: number
  readonly origin: string
  readonly destination: string
}

interface Departure {
  readonly number: number
  readonly delay: number
  readonly city: string
}

interface Delays {
  readonly flights: number
  readonly minutes: number
  /** The number of the last flight in it. */
  readonly last: number
  readonly city: string
}

interface Entry {
  readonly origin: string
  readonly city: string
  readonly mean: number
}

function topicsOf(name: string) {
  return {
    airports: topic(`airports-${name}`, { key: string(), value: json<Airport>() }),
    flights: topic(`flights-${name}`, { key: string(), value: json<Flight>() }),
    delays: topic(`delays-${name}`, { key: windowed(string()), value: json<Delays>() }),
    late: topic(`late-${name}`, { key: windowed(string()), value: json<Departure>() }),
    sessions: topic(`sessions-${name}`, { key: windowed(string()), value: json<Delays>() }),
    top: topic(`top-${name}`, { key: int64(), value: json<readonly Entry[]>() }),
  }
}

let flightsSeen = 0

function flightDelays(name: string) {
  const { airports, flights, delays, late, sessions, top } = topicsOf(name)
  const app = topology(`flight-delays-${name}`)

  const departures = app
    .stream(flights)
    .peek(() => void flightsSeen++)
    .join(
      app.table(airports, { name: 'airports' }),
      ({ number, delay }, { city }): Departure => ({ number, delay, city }),
      { name: 'with-airport' },
    )
    .groupByKey()

  const daily = departures
    .windowedBy(hopping(WINDOW.sizeMs, { advance: WINDOW.advanceMs, grace: WINDOW.graceMs }))
    .aggregate({
      name: 'delays',
      serde: json<Delays>(),
      emit: 'on-window-close',
      late: 'side-output',
      init: noDelays,
      add: (_origin, departure, sum) => withDeparture(sum, departure),
    })
  daily.results.toStream().to(delays)
  daily.late.to(late)

  departures
    .windowedBy(session(SESSION.gapMs, { grace: SESSION.graceMs }))
    .aggregate({
      name: 'sessions',
      serde: json<Delays>(),
      init: noDelays,
      add: (_origin, departure, sum) => withDeparture(sum, departure),
      merge: (_origin, left, right) => ({
        flights: left.flights + right.flights,
        minutes: left.minutes + right.minutes,
        last: Math.max(left.last, right.last),
        city: right.city,
      }),
    })
    .toStream()
    .to(sessions)

  // Finals of one window come from every partition: this is where they meet, through a topic of the library's own.
  daily.results
    .toStream()
    .filter((_, sum): sum is Delays => sum !== null && sum.flights >= TOP_FLIGHTS)
    .map(
      ({ key, startMs }, { city, minutes, flights: count }) => [startMs, { origin: key, city, mean: minutes / count }],
      {
        key: int64(),
        value: json<Entry>(),
      },
    )
    .groupByKey()
    .aggregate({
      name: 'top-delays',
      serde: json<readonly Entry[]>(),
      init: (): readonly Entry[] => [],
      add: (_startMs, entry, worst) => worstOf([...worst.filter(({ origin }) => origin !== entry.origin), entry]),
    })
    .toStream()
    .to(top)

  return app
}

function noDelays(): Delays {
  return { flights: 0, minutes: 0, last: -1, city: '' }
}

/**
 * At least once: after a crash a flight may come again. Those of an airport come in the order of their numbers, so one
 * that is not above the last is in the sum already.
 */
function withDeparture(sum: Delays, { number, delay, city }: Departure): Delays {
  if (number <= sum.last) return sum
  return { flights: sum.flights + 1, minutes: sum.minutes + delay, last: number, city }
}

function worstOf(entries: readonly Entry[]): readonly Entry[] {
  return entries.toSorted((a, b) => b.mean - a.mean || (a.origin < b.origin ? -1 : 1)).slice(0, TOP)
}

/** Runs the application and answers questions about its state, until it is told to stop. */
async function runJob(bootstrap: string, name: string, stateDir: string): Promise<void> {
  const app = await run(flightDelays(name), {
    brokers: [bootstrap],
    stateDir,
    commitInterval: '1s',
    // So that the group soon finds out about a killed process.
    sessionTimeout: '6s',
    heartbeatInterval: '200ms',
  })

  using _progress = showProgress(app)
  const answer = async (path: string): Promise<unknown> => {
    const [, what, key = ''] = path.split('/')
    switch (what) {
      case 'progress':
        return { flights: flightsSeen }
      case 'top':
        return [...app.query<number, readonly Entry[]>('top-delays').all()]
      case 'airports':
        return {
          openWindows: await app.query<string, Delays>('delays').windows(key),
          sessions: await app.query<string, Delays>('sessions').windows(key),
        }
      default:
        return null
    }
  }
  const server = createServer((request, response) => {
    answer(request.url ?? '').then(
      (found) => response.writeHead(found === null ? 404 : 200).end(JSON.stringify(found)),
      (error: unknown) => response.writeHead(500).end(JSON.stringify(String(error))),
    )
  })
  server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))

  const stop = (): void => void app.close()
  process.once('SIGTERM', stop)
  process.once('disconnect', stop)
  await app.closed
  server.close()
  server.closeAllConnections()
  if (process.connected) process.disconnect()
  if (app.failure !== null) throw app.failure
}

// Here the application ends, and what follows feeds it, kills it and looks at its results.

/** The application's process, as its parent sees it. One that ends by itself ends the demo. */
class Job {
  readonly #child: ChildProcess
  readonly #port: Promise<number>
  readonly #ended: Promise<NodeJS.Signals | number | null>
  #isWanted = true
  #stderr = ''

  constructor(bootstrap: string, name: string, stateDir: string) {
    this.#child = fork(import.meta.filename, ['job', bootstrap, name, stateDir], { silent: true })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
      for (const line of text.split('\n')) if (/^restor(ing|ed)/.test(line)) console.log(`job: ${line}`)
    })
    this.#port = new Promise((resolve) => {
      this.#child.once('message', (message) => resolve((message as { port: number }).port))
    })
    this.#ended = new Promise((resolve) => this.#child.once('close', (code, signal) => resolve(signal ?? code)))
    void this.#ended.then((how) => this.#isWanted && giveUp(`the job ended with ${how}: ${this.#stderr.trim()}`))
    process.once('exit', () => this.#child.kill('SIGKILL'))
  }

  async ask<T>(path: string): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${await this.#port}/${path}`)
    const text = await response.text()
    check(response.ok, `the job answered ${response.status} to /${path}: ${text}`)
    return JSON.parse(text) as T
  }

  /** How many flights this process has processed. */
  async flights(): Promise<number> {
    return (await this.ask<{ flights: number }>('progress')).flights
  }

  /** Tells how it ended: a signal, or an exit code. */
  end(signal: NodeJS.Signals): Promise<NodeJS.Signals | number | null> {
    this.#isWanted = false
    this.#child.kill(signal)
    return this.#ended
  }
}

let progress = 'nothing has happened yet'

async function main(): Promise<void> {
  const { values: options } = parseArgs({ options: { bootstrap: { type: 'string' } } })
  await using broker = options.bootstrap === undefined ? await Broker.start({ port: 0 }) : null
  const bootstrap = options.bootstrap ?? broker!.bootstrap
  const name = `${process.pid}-${Date.now()}`
  const stateDir = mkdtempSync(join(tmpdir(), 'millrace-demo-'))
  process.once('exit', () => rmSync(stateDir, { recursive: true, force: true, maxRetries: 3 }))
  const topics = topicsOf(name)

  const airports = loadAirports()
  const flights = loadFlights()
  console.log(`${count(flights.length)} flights, ${count(airports.size)} airports, broker at ${bootstrap}\n`)

  const kafka = new Kafka({ clientId: 'demo', brokers: [bootstrap], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({
    topics: Object.values(topics).map((one) => ({ topic: one.name, numPartitions: PARTITIONS })),
  })

  // Which flights are late depends on what else its partition has, so it is noted down where each airport goes.
  const partitions = new Map<string, number>()
  const partitioner = Partitioners.DefaultPartitioner()
  const producer = kafka.producer({
    createPartitioner: () => (args) => {
      const partition = partitioner(args)
      partitions.set(String(args.message.key), partition)
      return partition
    },
  })
  await producer.connect()
  await produceAirports(producer, topics.airports.name, airports, timeMs(flights[0]!) - 24 * HOUR_MS)

  const half = flights.length / 2
  const first = new Job(bootstrap, name, stateDir)
  await produceFlights(producer, topics.flights.name, flights.slice(0, half))
  await untilCommitted(admin, name, topics.flights.name)
  // Some more, so that it has work in hand that nobody knows of.
  await produceFlights(producer, topics.flights.name, flights.slice(half, half + 2 * CHUNK))
  const seen = await until('flights beyond the last commit', async () => {
    const done = await first.flights()
    return done >= half + CHUNK / 2 ? done : null
  })
  const ending = await first.end('SIGKILL')
  check(ending === 'SIGKILL', `the job was to be killed, it ended with ${ending}`)
  console.log(`killed with -9 after ${count(seen)} flights, ${count(seen - half)} of them after its last commit`)

  await produceFlights(producer, topics.flights.name, flights.slice(half + 2 * CHUNK))
  await producer.disconnect()
  const second = new Job(bootstrap, name, stateDir)
  await untilCommitted(admin, name, topics.flights.name)
  await untilCommitted(admin, name, `flight-delays-${name}-top-delays-repartition`)
  const rest = await second.flights()
  const again = seen + rest - flights.length
  check(again > 0, 'no flight came twice, so the kill tested nothing')
  console.log(`restarted: ${count(rest)} flights more, ${count(again)} or more of them for the second time\n`)

  progress = 'all flights are processed, and the results are read'
  const expected = expectedResults(flights, airports, partitions)
  const written = await readResults(kafka, admin, name)
  const matching = compareResults(expected, written)
  console.log('what it wrote is what plain loops over the file compute:')
  console.log(`  ${count(matching.finals).padStart(7)} final results of an airport in a window`)
  console.log(`  ${count(matching.late).padStart(7)} times a flight was too late for a window, in a topic of their own`)
  console.log(`  ${count(matching.sessions).padStart(7)} sessions: the days of traffic of each airport`)
  console.log(`  ${count(matching.top).padStart(7)} windows with their worst airports\n`)
  await askJob(second, expected)

  const code = await second.end('SIGTERM')
  check(code === 0, `the job was told to stop and ended with ${code}`)
  const ours = (await admin.listTopics()).filter((one) => one.includes(name))
  await admin.deleteTopics({ topics: ours })
  await admin.deleteGroups([`flight-delays-${name}`])
  await admin.disconnect()
  const results = `${count(matching.finals)} windows, ${count(matching.sessions)} sessions, ${count(matching.late)} late`
  console.log(`\ndemo passed: ${count(flights.length)} flights, killed half-way, nothing lost: ${results}`)
}

async function produceAirports(
  producer: Producer,
  name: string,
  airports: ReadonlyMap<string, Airport>,
  time: number,
): Promise<void> {
  // Older than every flight, so that a task reads them first.
  const messages = [...airports].map(([iata, airport]) => ({
    key: iata,
    value: JSON.stringify(airport),
    timestamp: String(time),
  }))
  await producer.send({ topic: name, messages })
}

async function produceFlights(producer: Producer, name: string, flights: readonly Flight[]): Promise<void> {
  for (let at = 0; at < flights.length; at += CHUNK) {
    const messages = flights.slice(at, at + CHUNK).map((flight) => ({
      key: flight.origin,
      value: JSON.stringify(flight),
      timestamp: String(timeMs(flight)),
    }))
    await producer.send({ topic: name, messages })
    progress = `the flights up to ${flights[at + messages.length - 1]!.number} are produced`
  }
}

/** Until the application has processed and committed everything that is in the topic now. */
async function untilCommitted(admin: Admin, name: string, topicName: string): Promise<void> {
  const ends = new Map((await admin.fetchTopicOffsets(topicName)).map(({ partition, high }) => [partition, high]))
  await until(`commit of all of ${topicName}`, async () => {
    const [committed] = await admin.fetchOffsets({ groupId: `flight-delays-${name}`, topics: [topicName] })
    return committed!.partitions.every(({ partition, offset }) => {
      const end = ends.get(partition)!
      return end === '0' || offset === end
    })
  })
}

interface Results {
  /** By airport and start of the window. */
  readonly delays: Map<string, Delays>
  /** Flights that were late for a window, by flight, airport and start. */
  readonly late: Set<string>
  /** By airport, start and end. */
  readonly sessions: Map<string, Delays>
  readonly top: Map<string, readonly Entry[]>
}

/** What the topics say: the last value of each key, nothing where that is a tombstone. */
async function readResults(kafka: Kafka, admin: Admin, name: string): Promise<Results> {
  const { delays, late, sessions, top } = topicsOf(name)
  const left = new Map<string, number>()
  for (const { name: one } of [delays, late, sessions, top]) {
    for (const { partition, high } of await admin.fetchTopicOffsets(one)) {
      if (high !== '0') left.set(`${one} ${partition}`, Number(high))
    }
  }
  const results: Results = { delays: new Map(), late: new Set(), sessions: new Map(), top: new Map() }
  const place = ({ key, startMs }: Windowed<string>): string => `${key} ${startMs}`
  const sessionPlace = (found: Windowed<string>): string => `${place(found)} ${found.endMs}`
  const put = <V>(into: Map<string, V>, key: string, value: V | null): void => {
    if (value === null) into.delete(key)
    else into.set(key, value)
  }
  const consumer = kafka.consumer({ groupId: `demo-results-${name}`, maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topics: [delays, late, sessions, top].map((one) => one.name), fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error))
    void consumer.run({
      async eachMessage({ topic: from, partition, message: { key, value, offset } }) {
        if (from === top.name)
          put(results.top, String(top.key.deserialize(key!)), value && top.value.deserialize(value))
        else if (from === delays.name)
          put(results.delays, place(delays.key.deserialize(key!)), value && delays.value.deserialize(value))
        else if (from === late.name)
          results.late.add(`${late.value.deserialize(value!).number} ${place(late.key.deserialize(key!))}`)
        else
          put(
            results.sessions,
            sessionPlace(sessions.key.deserialize(key!)),
            value && sessions.value.deserialize(value),
          )
        if (Number(offset) + 1 >= (left.get(`${from} ${partition}`) ?? Infinity)) left.delete(`${from} ${partition}`)
        if (left.size === 0) resolve()
      },
    })
  })
  await consumer.disconnect()
  await admin.deleteGroups([`demo-results-${name}`])
  return results
}

interface Expected extends Results {
  /** Windows that still take flights, like `delays`. */
  readonly open: Map<string, Delays>
}

/** The same from the file, without streams, stores or clocks. */
function expectedResults(
  flights: readonly Flight[],
  airports: ReadonlyMap<string, Airport>,
  partitions: ReadonlyMap<string, number>,
): Expected {
  const delays = new Map<string, Delays>()
  const late = new Set<string>()
  /** Of each partition: the latest time of a flight that has been reported. */
  const latestMs: number[] = Array.from({ length: PARTITIONS }, () => 0)
  const add = (sum: Delays | undefined, { number, delay, origin }: Flight): Delays => ({
    flights: (sum?.flights ?? 0) + 1,
    minutes: (sum?.minutes ?? 0) + delay,
    last: Math.max(sum?.last ?? -1, number),
    city: airports.get(origin)!.city,
  })
  const { sizeMs, advanceMs, graceMs } = WINDOW
  for (const flight of flights) {
    const time = timeMs(flight)
    const partition = partitions.get(flight.origin)!
    latestMs[partition] = Math.max(latestMs[partition]!, time)
    const newestStartMs = time - (time % advanceMs)
    for (let startMs = newestStartMs; startMs > time - sizeMs; startMs -= advanceMs) {
      const place = `${flight.origin} ${startMs}`
      if (startMs + sizeMs + graceMs <= latestMs[partition]!) late.add(`${flight.number} ${place}`)
      else delays.set(place, add(delays.get(place), flight))
    }
  }

  const open = new Map<string, Delays>()
  const top = new Map<string, readonly Entry[]>()
  for (const [place, sum] of delays) {
    const [origin, start] = place.split(' ') as [string, string]
    if (Number(start) + sizeMs + graceMs > latestMs[partitions.get(origin)!]!) {
      open.set(place, sum)
      delays.delete(place)
    } else if (sum.flights >= TOP_FLIGHTS) {
      const entry = { origin, city: sum.city, mean: sum.minutes / sum.flights }
      top.set(start, worstOf([...(top.get(start) ?? []), entry]))
    }
  }

  const sessions = new Map<string, Delays>()
  for (const own of Map.groupBy(flights, ({ origin }) => origin).values()) {
    const inTime = own.toSorted((a, b) => timeMs(a) - timeMs(b))
    for (let at = 0; at < inTime.length;) {
      const startMs = timeMs(inTime[at]!)
      let endMs = startMs
      let sum: Delays | undefined
      for (; at < inTime.length && timeMs(inTime[at]!) <= endMs + SESSION.gapMs; at++) {
        endMs = timeMs(inTime[at]!)
        sum = add(sum, inTime[at]!)
      }
      sessions.set(`${own[0]!.origin} ${startMs} ${endMs}`, sum!)
    }
  }
  return { delays, late, sessions, top, open }
}

function compareResults(expected: Expected, found: Results): Record<'finals' | 'late' | 'sessions' | 'top', number> {
  compareMaps('window', expected.delays, found.delays)
  compareMaps('session', expected.sessions, found.sessions)
  compareMaps('ranking of window', expected.top, found.top)
  for (const place of expected.late) check(found.late.has(place), `flight ${place} was late and was not reported`)
  for (const place of found.late) {
    // A flight that counted and came again after the kill may be late by then. One that did not count is lost.
    const [, origin, start] = place.split(' ')
    const isCounted = expected.delays.has(`${origin} ${start}`)
    check(expected.late.has(place) || isCounted, `flight ${place} was reported as late and was not`)
  }
  return {
    finals: expected.delays.size,
    late: expected.late.size,
    sessions: expected.sessions.size,
    top: expected.top.size,
  }
}

function compareMaps<V>(what: string, expected: ReadonlyMap<string, V>, found: ReadonlyMap<string, V>): void {
  for (const [key, value] of expected) {
    const wanted = JSON.stringify(value)
    const got = JSON.stringify(found.get(key)) ?? 'nothing'
    check(got === wanted, `${what} ${key} should be ${wanted} and is ${got}`)
  }
  for (const key of found.keys()) check(expected.has(key), `${what} ${key} should not be there`)
}

/** The running job's own state, over HTTP: what it has is what it wrote. */
async function askJob(job: Job, expected: Expected): Promise<void> {
  const rows = await job.ask<{ key: number; value: readonly Entry[] }[]>('top')
  compareMaps('ranking of window', expected.top, new Map(rows.map(({ key, value }) => [String(key), value])))

  const origin = 'ATL'
  interface Windows {
    readonly value: readonly (Windowed<string> & { readonly value: Delays })[]
  }
  const { openWindows, sessions } = await job.ask<Record<'openWindows' | 'sessions', Windows>>(`airports/${origin}`)
  const open = new Map(openWindows.value.map(({ key, startMs, value }) => [`${key} ${startMs}`, value]))
  const expectedOpen = new Map([...expected.open].filter(([place]) => place.startsWith(origin)))
  check(expectedOpen.size > 0, `no window of ${origin} is open at the end`)
  compareMaps('open window', expectedOpen, open)
  for (const { key, startMs, endMs, value } of sessions.value) {
    const place = `${key} ${startMs} ${endMs}`
    const [wanted, got] = [JSON.stringify(expected.sessions.get(place)), JSON.stringify(value)]
    check(got === wanted, `session ${place} should be ${wanted} and is ${got}`)
  }
  check(sessions.value.length > 0, `no session of ${origin} is kept at the end`)

  const asked = `${count(rows.length)} rankings, and of ${origin} ${open.size} windows and ${sessions.value.length}`
  console.log(`asked over HTTP: ${asked} session(s) that still take flights\n`)
  console.log('  the worst days, by the mean delay of their worst airport')
  const worst = rows.toSorted((a, b) => b.value[0]!.mean - a.value[0]!.mean)
  for (const { key, value } of worst.slice(0, 5)) {
    const airports = value.map(({ origin: iata, city, mean }) => `${iata} ${city} ${mean.toFixed(0)} min`)
    console.log(`  ${new Date(key).toISOString().slice(0, 16).replace('T', ' ')}  ${airports.join(', ')}`)
  }
}

/** In the order of their reports. */
function loadFlights(): Flight[] {
  const rows = JSON.parse(readDataset('flights-20k.json')) as Omit<Flight, 'number'>[]
  const reportedMs = (row: Omit<Flight, 'number'>): number => timeMs(row) + row.delay * 60_000
  return rows
    .toSorted((a, b) => reportedMs(a) - reportedMs(b))
    .map(({ date, delay, origin, destination }, number) => ({ number, date, delay, origin, destination }))
}

/** By airport code; the columns are `iata,name,city,state,...`, a name with a comma is in quotes. */
function loadAirports(): Map<string, Airport> {
  const [, ...rows] = readDataset('airports.csv').matchAll(/^(\w+),(?:"((?:[^"]|"")*)"|([^,]*)),([^,]*),/gm)
  return new Map(rows.map(([, iata, quoted, plain, city]) => [iata!, { name: quoted ?? plain!, city: city! }]))
}

function readDataset(file: string): string {
  return readFileSync(new URL(`../data/${file}`, import.meta.resolve('vega-datasets')), 'utf8')
}

function timeMs({ date }: Pick<Flight, 'date'>): number {
  return Date.parse(`${date.replaceAll('/', '-').replace(' ', 'T')}:00Z`)
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function check(isTrue: boolean, otherwise: string): asserts isTrue {
  if (!isTrue) throw new Error(otherwise)
}

/** Asks again and again; the time limit of the whole demo is the one of this, too. */
async function until<T>(what: string, condition: () => Promise<T>): Promise<NonNullable<T>> {
  for (;;) {
    progress = `waiting for ${what}`
    const found = await condition()
    if (found !== null && found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function giveUp(why: string): never {
  console.error(isJob ? why : `demo failed: ${why}`)
  // Not by itself: a connection that is still open would keep the process alive.
  process.exit(1)
}

const isJob = process.argv[2] === 'job'
const timeLimit = setTimeout(() => giveUp(`not done after ${TIME_LIMIT_MS / 1000} s; ${progress}`), TIME_LIMIT_MS)

try {
  if (isJob) await runJob(process.argv[3]!, process.argv[4]!, process.argv[5]!)
  else await main()
} catch (error) {
  giveUp(error instanceof Error ? error.message : String(error))
}
clearTimeout(timeLimit)
