import {
  hopping,
  int64,
  session,
  string,
  topic,
  topology,
  tumbling,
  type Stream,
  type Topic,
  type Topology,
} from '@millrace/streams'

export const queries = [
  'map',
  'count',
  'windowed',
  'words',
  'join',
  'q0',
  'q1',
  'q2',
  'q3',
  'q5',
  'q7',
  'q8',
  'q11',
] as const
export type Query = (typeof queries)[number]

/** The topics that each query reads. */
export const inputsOf: Readonly<Record<Query, readonly Input[]>> = {
  map: ['events'],
  count: ['events'],
  windowed: ['events'],
  words: ['lines'],
  join: ['left', 'right'],
  q0: ['bids'],
  q1: ['bids'],
  q2: ['bids'],
  q3: ['auctions', 'persons'],
  q5: ['bids'],
  q7: ['bids'],
  q8: ['persons', 'auctions'],
  q11: ['bids'],
}
/** How many records each query reads: what takes Kafka Streams some ten seconds on two cores. */
export const recordsOf: Readonly<Record<Query, number>> = {
  map: 1_500_000,
  count: 1_000_000,
  windowed: 800_000,
  words: 300_000,
  join: 800_000,
  q0: 1_500_000,
  q1: 1_500_000,
  q2: 1_500_000,
  q3: 500_000,
  q5: 150_000,
  q7: 800_000,
  q8: 500_000,
  q11: 400_000,
}

/** Where a query reads two topics, each has half of the records. */
export function shareOf(query: Query, records: number): number {
  return Math.floor(records / inputsOf[query].length)
}

/** How many records are counted: those that are read, and those that come out of the repartition topic. */
export function countedOf(query: Query, records: number): number {
  if (query === 'words') return 6 * records
  if (query === 'q5' || query === 'q7' || query === 'q11') return 2 * records
  return query === 'q8' ? 3 * shareOf(query, records) : inputsOf[query].length * shareOf(query, records)
}

export function inputTopic(input: Input, records: number): string {
  return `in-${input}-${records}`
}

/** Whose results are a table: of them only the last of each key is defined, since Kafka Streams' caches leave some out. */
export const tables: ReadonlySet<Query> = new Set(['count', 'windowed', 'words', 'q3', 'q5', 'q7', 'q11'])

export type Input = 'events' | 'lines' | 'left' | 'right' | 'bids' | 'auctions' | 'persons'

const text = (name: string): Topic<string, string> => topic(name, { key: string(), value: string() })
const numbers = (name: string): Topic<string, number> => topic(name, { key: string(), value: int64() })

/**
 * The same queries as in KafkaStreamsJob.java; `seen` is called for every record that is read or was
 * repartitioned, `touched` for those of later stages.
 */
export function build(
  query: Query,
  options: { readonly application: string; readonly outTopic: string; readonly records: number },
  { seen, touched }: { readonly seen: () => void; readonly touched: () => void },
): Topology {
  const built = topology(options.application)
  const out = options.outTopic
  const { records } = options
  const source = (input: Input): Stream<string, string> => built.stream(text(inputTopic(input, records))).peek(seen)
  const key = string()
  const bids = (): Stream<string, string> => source('bids')
  switch (query) {
    case 'map':
      source('events')
        .filter((_key, value) => value[0] !== 'z')
        .mapValues((value) => value.toUpperCase())
        .to(text(out))
      break
    case 'count':
      source('events').groupByKey().count({ name: 'counts' }).toStream().to(numbers(out))
      break
    case 'windowed':
      source('events')
        .groupByKey()
        .windowedBy(tumbling('10s'))
        .count({ name: 'windows' })
        .toStream()
        .selectKey((window) => `${window.key}@${window.startMs}`)
        .to(numbers(out))
      break
    case 'words':
      source('lines')
        .flatMapValues((line) => line.split(' '))
        .selectKey((_key, word) => word, { key })
        .repartition({ name: 'words' })
        .peek(seen)
        .groupByKey()
        .count({ name: 'word-counts' })
        .toStream()
        .to(numbers(out))
      break
    case 'join':
      source('left')
        .join(source('right'), (left, right) => left + right, { within: '10s', name: 'joined' })
        .to(text(out))
      break
    case 'q0':
      bids().to(text(out))
      break
    case 'q1':
      bids()
        .mapValues((bid) => {
          const [auction, bidder, price] = bid.split(',')
          return `${auction},${bidder},${Math.round(Number(price) * 0.908)}`
        })
        .to(text(out))
      break
    case 'q2':
      bids()
        .filter((_key, bid) => Number(bid.slice(0, bid.indexOf(','))) % 123 === 0)
        .to(text(out))
      break
    case 'q3': {
      const auctions = source('auctions')
        .filter((_key, auction) => auction.endsWith(',10'))
        .toTable({ name: 'auctions' })
      const persons = source('persons')
        .filter((_key, person) => /,(OR|ID|CA)$/.test(person))
        .toTable({ name: 'persons' })
      const combined = (auction: string, person: string): string => {
        touched()
        return `${person},${auction}`
      }
      auctions
        .join(persons, combined, {
          on: (auction: string) => auction.slice(0, auction.indexOf(',')),
          name: 'local-items',
        })
        .toStream()
        .to(text(out))
      break
    }
    case 'q5':
      bids()
        .selectKey((_key, bid) => bid.slice(0, bid.indexOf(',')), { key })
        .repartition({ name: 'by-auction' })
        .peek(seen)
        .groupByKey()
        .windowedBy(hopping('10s', { advance: '2s' }))
        .count({ name: 'bids-by-auction' })
        .toStream()
        .map((window, count) => [String(window.startMs), String(count)], { key, value: string() })
        .repartition({ name: 'by-window' })
        .peek(touched)
        .groupByKey()
        .reduce((most, count) => (Number(count) > Number(most) ? count : most), { name: 'hottest' })
        .toStream()
        .to(text(out))
      break
    case 'q7':
      bids()
        .map((_key, bid) => ['all', bid.slice(bid.lastIndexOf(',') + 1)], { key, value: string() })
        .repartition({ name: 'all-bids' })
        .peek(seen)
        .groupByKey()
        .windowedBy(tumbling('10s'))
        .reduce((most, price) => (Number(price) > Number(most) ? price : most), { name: 'highest' })
        .toStream()
        .selectKey((window) => String(window.startMs))
        .to(text(out))
      break
    case 'q8':
      source('persons')
        .join(
          source('auctions')
            .selectKey((_key, auction) => auction.slice(0, auction.indexOf(',')), { key })
            .repartition({ name: 'by-seller' })
            .peek(seen),
          (person, auction) => `${person},${auction}`,
          { within: '10s', name: 'new-sellers' },
        )
        .to(text(out))
      break
    case 'q11':
      bids()
        .selectKey((_key, bid) => bid.slice(bid.indexOf(',') + 1, bid.lastIndexOf(',')), { key })
        .repartition({ name: 'by-bidder' })
        .peek(seen)
        .groupByKey()
        .windowedBy(session('10s'))
        .count({ name: 'sessions' })
        .toStream()
        .selectKey((window) => `${window.key}@${window.startMs}-${window.endMs}`)
        .to(numbers(out))
      break
  }
  return built
}
