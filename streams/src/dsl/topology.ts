import { durationMs, type Duration } from '../duration.ts'
import { TopologyError } from '../errors.ts'
import { tableSource, type Materialization } from '../operators/table-source.ts'
import type { Serde } from '../serdes/serde.ts'
import { describeTopology } from '../topology/describe.ts'
import { TopologyGraph, type GraphSource } from '../topology/graph.ts'
import { drawTopology } from '../topology/mermaid.ts'
import { planTopology, type TopologyPlan } from '../topology/plan.ts'
import { nodeGroups } from '../topology/sub-topologies.ts'
import { storeView } from '../topology/table-view.ts'
import type { SubTopology, TaskContext, TaskTopology } from '../topology/task-topology.ts'
import { Task } from '../topology/task.ts'
import { storeBasics, type Builder, type StoreOptions } from './builder.ts'
import { GlobalTable } from './global-table.ts'
import { Stream, type OnError } from './stream.ts'
import { Table } from './table.ts'
import type { Topic } from './topic.ts'

/**
 * What an application does, as a value: streams and tables, and what becomes of them. Building it does no I/O; `run`
 * gives it brokers, `testDriver` a made-up clock. The name is the application's: the prefix of its topics and the id of
 * its group.
 */
export class Topology {
  readonly name: string
  readonly #graph = new TopologyGraph()
  readonly #streamSources = new Set<GraphSource>()
  readonly #builder: Builder = {
    graph: this.#graph,
    stream: (handle) => new Stream(this.#builder, handle),
    table: (handle) => new Table(this.#builder, handle),
  }

  constructor(name: string) {
    if (!/^[a-zA-Z0-9._-]{1,200}$/.test(name)) {
      throw new TopologyError(`${JSON.stringify(name)} names no application: letters, digits, dots, dashes only`)
    }
    this.name = name
  }

  stream<K, V>(topic: Topic<K, V>, options: OnError = {}): Stream<K, V> {
    const node = this.#source(topic, 'stream', options)
    return this.#builder.stream<K, V>({
      node,
      keySerde: topic.key,
      valueSerde: topic.value,
      needsRepartition: false,
      sources: [node.name],
    })
  }

  /** Reads a topic as a table. `versioned` keeps that much history, for joins as of a record's time. */
  table<K, V>(
    topic: Topic<K, V>,
    options: OnError & StoreOptions<V> & { readonly versioned?: Duration } = {},
  ): Table<K, V> {
    const storeName = this.#graph.storeName(options.name, `${topic.name}-`)
    const isVersioned = options.versioned !== undefined
    const source = this.#source(topic, 'table', options)
    const materialization: Materialization = { storeName: null, isVersioned }
    const node = this.#graph.addProcessor(
      this.#graph.generateName('KTABLE-SOURCE-'),
      [source],
      tableSource<K, V>(materialization),
    )
    const materialize = (): void => {
      if (materialization.storeName !== null) return
      materialization.storeName = storeName
      const value = (options.serde ?? topic.value) as Serde<unknown>
      const basics = storeBasics(storeName, options, topic.key as Serde<unknown>, value)
      this.#graph.addStore(
        options.versioned === undefined
          ? { kind: 'key-value', ...basics }
          : { kind: 'versioned', historyRetentionMs: durationMs(options.versioned), ...basics },
      )
      node.stores.push(storeName)
    }
    if (options.name !== undefined || isVersioned) materialize()
    return this.#builder.table<K, V>({
      node,
      keySerde: topic.key,
      valueSerde: topic.value,
      sources: [source.name],
      isVersioned,
      closing: null,
      needs: { oldValues: false },
      requireOldValues: materialize,
      view() {
        materialize()
        return storeView(storeName, isVersioned)
      },
    })
  }

  /** A table that every process reads whole, so that any key can be looked up in it. */
  globalTable<K, V>(topic: Topic<K, V>, options: OnError & StoreOptions<V> = {}): GlobalTable<K, V> {
    const storeName = this.#graph.storeName(options.name, `${topic.name}-`)
    const source = this.#source(topic, 'global', options)
    const value = (options.serde ?? topic.value) as Serde<unknown>
    // The topic itself is what a global store is restored from.
    const basics = storeBasics(storeName, { ...options, changelog: false }, topic.key as Serde<unknown>, value)
    this.#graph.addStore({ kind: 'key-value', ...basics })
    this.#graph.globalStores.add(storeName)
    this.#graph.addProcessor(
      this.#graph.generateName('KTABLE-SOURCE-'),
      [source],
      tableSource<K, V>({ storeName, isVersioned: false }),
      [storeName],
    )
    return new GlobalTable(storeName)
  }

  /** Sub-topologies, stores and internal topics: what must exist before tasks can start. */
  plan(): TopologyPlan {
    return planTopology(this.name, this.#graph)
  }

  get subTopologies(): readonly SubTopology[] {
    return this.plan().subTopologies
  }

  /** One sub-topology for one partition. Opens its stores through the context. */
  instantiate(subTopologyId: number, context: TaskContext): TaskTopology {
    const group = nodeGroups(this.#graph)[subTopologyId]
    if (group === undefined) throw new TopologyError(`${this.name} has no sub-topology ${subTopologyId}`)
    return new Task(this.#graph, group, context)
  }

  /** The topology in the text form of Kafka Streams. */
  describe(): string {
    return describeTopology(this.#graph)
  }

  /** The topology as a Mermaid flow chart. */
  mermaid(): string {
    return drawTopology(this.#graph)
  }

  #source<K, V>(topic: Topic<K, V>, kind: 'stream' | 'table' | 'global', options: OnError): GraphSource {
    const name = this.#graph.generateName('KSTREAM-SOURCE-')
    const isGlobal = kind === 'global'
    for (const node of this.#graph.nodes) {
      if (node.kind !== 'source' || node.isInternal || node.topic !== topic.name) continue
      const isSame = node.keySerde === topic.key && node.valueSerde === topic.value
      if (isSame && kind === 'stream' && this.#streamSources.has(node)) return node
      throw new TopologyError(
        `${topic.name} is read twice, differently: use the stream or table of the first time again`,
      )
    }
    const source = this.#graph.addSource({
      name,
      topic: topic.name,
      isInternal: false,
      isGlobal,
      keySerde: topic.key as Serde<unknown>,
      valueSerde: topic.value as Serde<unknown>,
      onError: options.onError ?? null,
    })
    if (kind === 'stream') this.#streamSources.add(source)
    return source
  }
}

/** Starts a topology. */
export function topology(name: string): Topology {
  return new Topology(name)
}
