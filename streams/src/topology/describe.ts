import type { GraphNode, GraphProcessor, TopologyGraph } from './graph.ts'
import { nodeGroups, type NodeGroup } from './sub-topologies.ts'

/** The text that Kafka Streams prints for a topology, node for node. */
export function describeTopology(graph: TopologyGraph): string {
  const sizes = subtreeSizes(graph)
  const inOrder = (nodes: readonly GraphNode[]): GraphNode[] =>
    [...nodes].toSorted(
      (left, right) =>
        sizes.get(right)! - sizes.get(left)! || (left.name < right.name ? -1 : left.name > right.name ? 1 : 0),
    )
  const groups = nodeGroups(graph).map((group) => `  ${group.isGlobal ? global(group) : local(group, inOrder)}`)
  return `Topologies:\n ${groups.join('')}`
}

function local(group: NodeGroup, inOrder: (nodes: readonly GraphNode[]) => GraphNode[]): string {
  const names = (nodes: readonly GraphNode[]): string =>
    nodes.length === 0 ? 'none' : nodes.map((node) => node.name).join(', ')
  const lines = inOrder(group.nodes).map((node) => {
    switch (node.kind) {
      case 'source':
        return `Source: ${node.name} (topics: [${node.topic}])\n      --> ${names(node.children)}`
      case 'sink':
        return `Sink: ${node.name} (topic: ${node.topic})\n      <-- ${names(node.parents)}`
      case 'processor':
        return (
          `Processor: ${node.name} (stores: [${[...new Set(node.stores)].join(', ')}]${note(node)})\n` +
          `      --> ${names(node.children)}\n      <-- ${names(node.parents)}`
        )
    }
  })
  return `Sub-topology: ${group.id}\n${lines.map((line) => `    ${line}\n`).join('')}\n`
}

/** Kafka Streams has no such nodes, so nothing of its text is changed by it. */
function note(node: GraphProcessor): string {
  return node.note === null ? '' : `, ${node.note}`
}

function global(group: NodeGroup): string {
  const [source, processor] = group.nodes
  const topic = source?.kind === 'source' ? source.topic : ''
  const store = processor?.kind === 'processor' ? processor.stores[0] : ''
  return (
    `Sub-topology: ${group.id} for global store (will not generate tasks)\n` +
    `    Source: ${source?.name} (topics: [${topic}])\n      --> ${processor?.name}\n` +
    `    Processor: ${processor?.name} (stores: [${store}])\n      --> none\n      <-- ${source?.name}\n`
  )
}

/** How many nodes hang below each node, itself included, each path counted: what the order of the text goes by. */
function subtreeSizes(graph: TopologyGraph): Map<GraphNode, number> {
  const sizes = new Map<GraphNode, number>()
  for (const node of graph.nodes.toReversed()) {
    sizes.set(node, 1 + node.children.reduce((sum, child) => sum + sizes.get(child)!, 0))
  }
  return sizes
}
