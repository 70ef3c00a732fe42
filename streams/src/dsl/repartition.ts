import { TopologyError } from '../errors.ts'
import { dropNullKeys } from '../operators/drop-null-keys.ts'
import type { Serde } from '../serdes/serde.ts'
import type { GraphSource } from '../topology/graph.ts'
import { serdeOr, type Builder, type StreamHandle } from './builder.ts'

const GENERATED = /^KSTREAM.*-[0-9]{10}$/

/**
 * Sends a stream through a topic of its own, so that records with the same key meet in the same partition again. `name`
 * is the topic's, without the application before and `-repartition` behind it.
 */
export function repartitioned<K, V>(
  builder: Builder,
  stream: StreamHandle<K, V>,
  name: string,
  options: {
    readonly keySerde?: Serde<K> | null
    readonly valueSerde?: Serde<V> | null
    readonly partitions?: number | undefined
  } = {},
): StreamHandle<K, V> {
  const { graph } = builder
  const topicName = name.endsWith('-repartition') ? name : `${name}-repartition`
  const keySerde = serdeOr(options.keySerde ?? stream.keySerde)
  const valueSerde = serdeOr(options.valueSerde ?? stream.valueSerde)
  const generated = {
    sink: graph.generateName('KSTREAM-SINK-'),
    filter: graph.generateName('KSTREAM-FILTER-'),
    source: graph.generateName('KSTREAM-SOURCE-'),
  }
  // A stream that is grouped or joined several times goes through one topic once.
  const existing = graph.nodes.find((node) => node.kind === 'source' && node.isInternal && node.topic === topicName)
  if (existing?.kind === 'source') {
    const writers = graph.nodes.filter((node) => node.kind === 'sink' && node.topic === topicName)
    if (!writers.every((sink) => sink.parents[0]!.parents[0] === stream.node)) {
      throw new TopologyError(`two streams are repartitioned through ${topicName}: give one of them another name`)
    }
    return { node: existing, keySerde, valueSerde, needsRepartition: false, sources: [existing.name] }
  }
  const isGenerated = GENERATED.test(name)
  if (isGenerated) graph.generatedNames.push(topicName)
  const names = isGenerated
    ? generated
    : { sink: `${topicName}-sink`, filter: `${topicName}-filter`, source: `${topicName}-source` }
  graph.addRepartitionTopic(topicName, options.partitions ?? null)
  const filter = graph.addProcessor(names.filter, [stream.node], dropNullKeys())
  const written = { keySerde: keySerde as Serde<unknown>, valueSerde: valueSerde as Serde<unknown>, onError: null }
  graph.addSink([filter], { name: names.sink, topic: topicName, isInternal: true, partitioner: null, ...written })
  const node: GraphSource = graph.addSource({
    name: names.source,
    topic: topicName,
    isInternal: true,
    isGlobal: false,
    ...written,
  })
  return { node, keySerde, valueSerde, needsRepartition: false, sources: [node.name] }
}
