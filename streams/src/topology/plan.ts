import type { Serde, SerdeUse } from '../serdes/serde.ts'
import type { StoreDefinition } from '../state/store.ts'
import type { GraphSink, GraphSource, TopologyGraph } from './graph.ts'
import { changelogTopic, internalTopic } from './naming.ts'
import { nodeGroups, type NodeGroup } from './sub-topologies.ts'
import type { InternalTopic, SubTopology } from './task-topology.ts'

export interface TopologyPlan {
  readonly subTopologies: readonly SubTopology[]
  /** Groups of topics (full names) that must have equal partition counts. */
  readonly copartitioned: readonly (readonly string[])[]
  /** Topics outside the application that it reads. */
  readonly sourceTopics: readonly string[]
  /** Topics outside the application that it writes. */
  readonly sinkTopics: readonly string[]
  /** Generated names of stores and repartition topics: a change of the topology changes them, and orphans the state. */
  readonly generatedNames: readonly string[]
  /** Where handlers of the topology send what cannot be processed. */
  readonly deadLetterTopics: readonly string[]
  /** Every serde, and what for. */
  readonly serdes: readonly { readonly serde: Serde<unknown>; readonly use: SerdeUse }[]
}

const DAY_MS = 86_400_000

export function planTopology(applicationId: string, graph: TopologyGraph): TopologyPlan {
  const topicOf = (node: { readonly topic: string; readonly isInternal: boolean }): string =>
    node.isInternal ? internalTopic(applicationId, node.topic) : node.topic
  const sources = graph.nodes.filter((node) => node.kind === 'source')
  const sinks = graph.nodes.filter((node) => node.kind === 'sink')
  const byName = new Map(sources.map((source): [string, GraphSource] => [source.name, source]))
  return {
    subTopologies: nodeGroups(graph).map((group) => subTopology(applicationId, graph, group, topicOf)),
    copartitioned: graph.copartitioned
      .map((names) => [...new Set(names.flatMap((name) => byName.get(name) ?? []).map(topicOf))])
      .filter((topics) => topics.length > 1),
    sourceTopics: [...new Set(sources.filter((source) => !source.isInternal).map(topicOf))],
    sinkTopics: [...new Set(sinks.filter((sink) => !sink.isInternal).map(topicOf))],
    generatedNames: graph.generatedNames.filter((name) => graph.stores.has(name) || graph.repartitionTopics.has(name)),
    deadLetterTopics: [...graph.deadLetterTopics],
    serdes: serdesOf(applicationId, graph, topicOf),
  }
}

function serdesOf(
  applicationId: string,
  graph: TopologyGraph,
  topicOf: (node: GraphSource | GraphSink) => string,
): TopologyPlan['serdes'] {
  const pair = (
    { keySerde, valueSerde }: { readonly keySerde: Serde<unknown>; readonly valueSerde: Serde<unknown> },
    topic: string,
    access: SerdeUse['access'],
  ): TopologyPlan['serdes'] => [
    { serde: keySerde, use: { topic, part: 'key', access } },
    { serde: valueSerde, use: { topic, part: 'value', access } },
  ]
  return [
    ...graph.nodes.flatMap((node) => {
      if (node.kind === 'processor') return []
      const access = node.kind === 'source' ? 'read' : 'write'
      return pair(node, topicOf(node), node.isInternal ? 'internal' : access)
    }),
    ...[...graph.stores.values()].flatMap((store) => {
      const topic = changelogTopic(applicationId, store.name)
      const pairs = pair(store, topic, 'internal')
      if (store.kind !== 'subscription') return pairs
      return [...pairs, { serde: store.primaryKeySerde, use: { topic, part: 'key', access: 'internal' } as const }]
    }),
  ]
}

function subTopology(
  applicationId: string,
  graph: TopologyGraph,
  group: NodeGroup,
  topicOf: (node: { readonly topic: string; readonly isInternal: boolean }) => string,
): SubTopology {
  const { nodes } = group
  const sources = nodes.filter((node) => node.kind === 'source')
  const sinks = nodes.filter((node) => node.kind === 'sink')
  const storeNames = new Set(nodes.flatMap((node) => (node.kind === 'processor' ? node.stores : [])))
  const stores = [...storeNames]
    .filter((name) => group.isGlobal || !graph.globalStores.has(name))
    .map((name) => graph.stores.get(name)!)
  return {
    id: group.id,
    sourceTopics: [...new Set(sources.map(topicOf))],
    sinkTopics: [...new Set(sinks.map(topicOf))],
    stores,
    repartitionTopics: sources
      .filter((source) => source.isInternal)
      .map((source) => ({
        name: topicOf(source),
        kind: 'repartition' as const,
        partitionCount: graph.repartitionTopics.get(source.topic)?.partitionCount ?? null,
        // Records are deleted by the application once it has committed past them.
        configs: { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'segment.bytes': '52428800' },
      })),
    changelogTopics: stores.filter((store) => store.hasChangelog).map((store) => changelog(applicationId, store)),
    isGlobal: group.isGlobal,
  }
}

/** As Kafka Streams configures them: compacted; those of windows also delete what is older than the store keeps. */
function changelog(applicationId: string, store: StoreDefinition): InternalTopic {
  const base = { name: changelogTopic(applicationId, store.name), kind: 'changelog' as const, partitionCount: null }
  switch (store.kind) {
    case 'window':
    case 'session':
    case 'join-window':
      return {
        ...base,
        configs: { 'cleanup.policy': 'compact,delete', 'retention.ms': String(store.retentionMs + DAY_MS) },
      }
    case 'versioned':
      return {
        ...base,
        configs: {
          'cleanup.policy': 'compact',
          'min.compaction.lag.ms': String(store.historyRetentionMs + DAY_MS),
        },
      }
    case 'key-value':
    case 'time-ordered':
    case 'subscription':
      return { ...base, configs: { 'cleanup.policy': 'compact' } }
  }
}
