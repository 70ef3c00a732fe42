import { TopologyError } from '../errors.ts'
import type { Serde } from '../serdes/serde.ts'
import type { StoreDefinition } from '../state/store.ts'
import type { AsyncOrder } from './async-work.ts'
import type { Emit, Operator, OperatorTask } from './operator.ts'
import { lastResort, type ErrorHandler } from './error-handler.ts'

interface CommonNode {
  readonly name: string
  readonly parents: GraphNode[]
  /** In the order in which they see each record. */
  readonly children: GraphNode[]
  /** Those of `children` that get what came too late instead of the results. */
  readonly lateChildren: GraphNode[]
}

export interface GraphSource extends CommonNode {
  readonly kind: 'source'
  readonly topic: string
  readonly isInternal: boolean
  readonly isGlobal: boolean
  readonly keySerde: Serde<unknown>
  readonly valueSerde: Serde<unknown>
  readonly onError: ErrorHandler | null
}

export interface GraphProcessor extends CommonNode {
  readonly kind: 'processor'
  /** Names of the stores that it reads or writes; nodes that share a store share a task. */
  readonly stores: string[]
  /** What a description says of the node besides its name; part of what instances must agree on. */
  readonly note: string | null
  /** In which order results come out that are waited for; null for a node that waits for nothing. */
  asyncOrder: AsyncOrder | null
  readonly build: (task: OperatorTask, next: Emit, late: Emit) => Emit
}

export interface GraphSink extends CommonNode {
  readonly kind: 'sink'
  readonly topic: string
  readonly isInternal: boolean
  readonly keySerde: Serde<unknown>
  readonly valueSerde: Serde<unknown>
  readonly partitioner: ((key: unknown, value: unknown) => number | null) | null
  readonly onError: ErrorHandler | null
}

export type GraphNode = GraphSource | GraphProcessor | GraphSink

/** A repartition topic, by its name without the application's prefix. */
export interface RepartitionTopic {
  readonly name: string
  partitionCount: number | null
}

/**
 * The nodes, edges, stores and internal topics of a topology while it is being built, named as Kafka Streams names
 * them: one counter for everything, drawn in the same order by the same operations.
 */
export class TopologyGraph {
  /** In the order of creation, parents before children. */
  readonly nodes: GraphNode[] = []
  readonly stores = new Map<string, StoreDefinition>()
  readonly globalStores = new Set<string>()
  readonly repartitionTopics = new Map<string, RepartitionTopic>()
  /** Nodes whose topics must have the same number of partitions, by groups of sources. */
  readonly copartitioned: (readonly string[])[] = []
  /** Generated names of stores and repartition topics: the ones that a change of the topology would orphan. */
  readonly generatedNames: string[] = []
  readonly deadLetterTopics = new Set<string>()
  readonly #names = new Set<string>()
  #nextIndex = 0

  generateName(prefix: string): string {
    return prefix + String(this.#nextIndex++).padStart(10, '0')
  }

  /** Like Kafka Streams: a store that is named does not draw from the counter. */
  storeName(name: string | undefined, prefix: string): string {
    if (name !== undefined) return name
    const generated = this.generateName(`${prefix}STATE-STORE-`)
    this.generatedNames.push(generated)
    return generated
  }

  addStore(definition: StoreDefinition): void {
    if (this.stores.has(definition.name)) {
      throw new TopologyError(`two stores are named ${definition.name}: give one of them another name`)
    }
    this.stores.set(definition.name, definition)
  }

  addSource(source: Omit<GraphSource, 'kind' | 'parents' | 'children' | 'lateChildren'>): GraphSource {
    this.noteHandler(source.onError)
    return this.#add({ kind: 'source', parents: [], children: [], lateChildren: [], ...source }, [])
  }

  addSink(
    parents: readonly GraphNode[],
    sink: Omit<GraphSink, 'kind' | 'parents' | 'children' | 'lateChildren'>,
  ): GraphSink {
    this.noteHandler(sink.onError)
    return this.#add({ kind: 'sink', parents: [], children: [], lateChildren: [], ...sink }, parents)
  }

  addProcessor<In, Out>(
    name: string,
    parents: readonly GraphNode[],
    operator: Operator<In, Out>,
    stores: readonly string[] = [],
    note: string | null = null,
  ): GraphProcessor {
    return this.addProcessorWithLate(name, parents, (task, next: Out) => operator(task, next), stores, note)
  }

  addProcessorWithLate<In, Out, Late>(
    name: string,
    parents: readonly GraphNode[],
    operator: (task: OperatorTask, next: Out, late: Late) => In,
    stores: readonly string[] = [],
    note: string | null = null,
  ): GraphProcessor {
    // The builder has checked that the types of both ends of an edge agree; from here on an edge is an edge.
    const build = operator as unknown as GraphProcessor['build']
    const node = { kind: 'processor' as const, parents: [], children: [], lateChildren: [] }
    return this.#add({ ...node, name, stores: [...stores], note, asyncOrder: null, build }, parents)
  }

  /** A node that gets what is too late for `parent`. */
  addLateOutput(name: string, parent: GraphNode): GraphProcessor {
    const node = this.addProcessor(name, [parent], (_task, next: Emit) => next)
    parent.lateChildren.push(node)
    return node
  }

  addRepartitionTopic(name: string, partitionCount: number | null): void {
    const existing = this.repartitionTopics.get(name)
    if (existing === undefined) this.repartitionTopics.set(name, { name, partitionCount })
    else if (partitionCount !== null) existing.partitionCount = partitionCount
  }

  /** The topic that a handler sends records to must be there before any does. */
  noteHandler(handler: ErrorHandler | null): void {
    const last = handler === null ? null : lastResort(handler)
    if (last?.kind === 'dead-letter') this.deadLetterTopics.add(last.topic)
  }

  /** The nodes that the records of `node` have come through in its task, itself included. */
  ancestors(node: GraphNode): ReadonlySet<GraphNode> {
    const found = new Set([node])
    // A set goes on through what is added while it is gone through.
    for (const one of found) for (const parent of one.parents) found.add(parent)
    return found
  }

  #add<N extends GraphNode>(node: N, parents: readonly GraphNode[]): N {
    if (this.#names.has(node.name)) throw new TopologyError(`two nodes are named ${node.name}`)
    this.#names.add(node.name)
    this.nodes.push(node)
    for (const parent of parents) {
      node.parents.push(parent)
      parent.children.push(node)
    }
    return node
  }
}
