import kafkajs, { type PartitionerArgs } from 'kafkajs'
import { expect, it } from 'vitest'
import { describeBroker } from '../harness/index.ts'
import { aProducer, aTopic, kafkaOf } from './clients.ts'
import { read } from './reading.ts'

const { Partitioners } = kafkajs

// Hashes that Kafka's own client computes for these keys (its murmur2, as its unit tests give them).
const javaHashes = new Map([
  ['21', -973_932_308],
  ['foobar', -790_332_482],
  ['a-little-bit-long-string', -985_981_536],
  ['a-little-bit-longer-string', -1_486_304_829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58_897_971],
  ['abc', 479_470_107],
])

const partitions = 5
const keys = [...javaHashes.keys()]

describeBroker('kafkajs partitions', {}, (broker) => {
  it.each(['DefaultPartitioner', 'JavaCompatiblePartitioner'] as const)(
    'producer.send with the %s: a key goes where the Java client sends it',
    async (name) => {
      const places = await placesOf(Partitioners[name])
      const expected = keys.map((key) => [key, (javaHashes.get(key)! & 0x7f_ff_ff_ff) % partitions])
      expect(places).toEqual(Object.fromEntries(expected))
    },
  )

  it('producer.send with the LegacyPartitioner: a key always goes to the same partition', async () => {
    const places = await placesOf(Partitioners.LegacyPartitioner)
    expect(Object.keys(places).toSorted()).toEqual(keys.toSorted())
    expect(await placesOf(Partitioners.LegacyPartitioner)).toEqual(places)
  })

  it('producer.send with a partitioner of its own: it is given the metadata and its answer counts', async () => {
    const seen: PartitionerArgs[] = []
    const places = await placesOf(() => (args) => {
      seen.push(args)
      return (args.message.key as string).length % partitions
    })

    expect(places).toEqual(Object.fromEntries(keys.map((key) => [key, key.length % partitions])))
    const metadata = seen[0]!.partitionMetadata
    expect(new Set(metadata.map(({ partitionId }) => partitionId))).toEqual(new Set([0, 1, 2, 3, 4]))
    expect(metadata.every(({ partitionErrorCode }) => partitionErrorCode === 0)).toBe(true)
  })

  it('producer.send with a partition in the message: the partitioner is overruled', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions })
    const producer = await aProducer(kafka)
    await producer.send({ topic, messages: [4, 3, 2, 1, 0].map((partition) => ({ partition, value: `${partition}` })) })

    const messages = await read(kafka, topic, 5)
    expect(messages.map(({ partition, value }) => `${partition}` === value)).toEqual(Array(5).fill(true))
    expect(new Set(messages.map(({ partition }) => partition)).size).toBe(5)
  })

  it('producer.send without keys: the messages spread over all partitions', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions: 3 })
    const producer = await aProducer(kafka)
    await producer.send({ topic, messages: Array.from({ length: 30 }, (_, index) => ({ value: `${index}` })) })

    const counts = [0, 0, 0]
    for (const { partition } of await read(kafka, topic, 30)) counts[partition]!++
    expect(counts).toEqual([10, 10, 10])
  })

  /** Sends each key twice and tells in which partition both arrived. */
  async function placesOf(createPartitioner: () => (args: PartitionerArgs) => number): Promise<Record<string, number>> {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions })
    const producer = await aProducer(kafka, { createPartitioner })
    await producer.send({ topic, messages: [...keys, ...keys].map((key) => ({ key, value: 'x' })) })

    const places: Record<string, number> = {}
    for (const { key, partition } of await read(kafka, topic, 2 * keys.length)) {
      expect(places[key!] ?? partition).toBe(partition)
      places[key!] = partition
    }
    return places
  }
})
