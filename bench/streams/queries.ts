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
export type Input = 'events' | 'lines' | 'left' | 'right' | 'bids' | 'auctions' | 'persons'

const text = (name: string): Topic<string, string> => topic(name, { key: string(), value: string() })
const numbers = (name: string): Topic<string, number> => topic(name, { key: string(), value: int64() })

/** The same queries as in KafkaStreamsJob.java; `seen` is called for every record that is read. */
export function build(
  query: Query,
  { prefix, application }: { readonly prefix: string; readonly application: string },
  seen: () => void,
): Topology {
  const built = topology(application)
  const out = `${prefix}${query}-ts-out`
  const source = (input: Input): Stream<string, string> => built.stream(text(prefix + input)).peek(seen)
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
        .groupBy((_key, word) => word, { name: 'words' })
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
      auctions
        .join(persons, (auction, person) => `${person},${auction}`, {
          on: (auction: string) => auction.slice(0, auction.indexOf(',')),
          name: 'local-items',
        })
        .toStream()
        .to(text(out))
      break
    }
    case 'q5':
      bids()
        .groupBy((_key, bid) => bid.slice(0, bid.indexOf(',')), { name: 'by-auction' })
        .windowedBy(hopping('10s', { advance: '2s' }))
        .count({ name: 'bids-by-auction' })
        .toStream()
        .map((window, count) => [String(window.startMs), String(count)], { key: string(), value: string() })
        .groupByKey({ name: 'by-window' })
        .reduce((most, count) => (Number(count) > Number(most) ? count : most), { name: 'hottest' })
        .toStream()
        .to(text(out))
      break
    case 'q7':
      bids()
        .map((_key, bid) => ['all', bid.slice(bid.lastIndexOf(',') + 1)], { key: string(), value: string() })
        .groupByKey({ name: 'all-bids' })
        .windowedBy(tumbling('10s'))
        .reduce((most, price) => (Number(price) > Number(most) ? price : most), { name: 'highest' })
        .toStream()
        .selectKey((window) => String(window.startMs))
        .to(text(out))
      break
    case 'q8':
      source('persons')
        .join(
          source('auctions').selectKey((_key, auction) => auction.slice(0, auction.indexOf(',')), { key: string() }),
          (person, auction) => `${person},${auction}`,
          { within: '10s', name: 'new-sellers' },
        )
        .to(text(out))
      break
    case 'q11':
      bids()
        .groupBy((_key, bid) => bid.slice(bid.indexOf(',') + 1, bid.lastIndexOf(',')), { name: 'by-bidder' })
        .windowedBy(session('10s'))
        .count({ name: 'sessions' })
        .toStream()
        .selectKey((window) => `${window.key}@${window.startMs}`)
        .to(numbers(out))
      break
  }
  return built
}
