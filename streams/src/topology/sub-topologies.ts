import type { GraphNode, TopologyGraph } from './graph.ts'

export interface NodeGroup {
  readonly id: number
  readonly nodes: readonly GraphNode[]
  readonly isGlobal: boolean
}

/**
 * Nodes that must run in the same task: connected by an edge or by a store. Numbered by their first node in order of
 * creation, global tables included, as Kafka Streams numbers them.
 */
export function nodeGroups(graph: TopologyGraph): readonly NodeGroup[] {
  const parents = new Map<GraphNode, GraphNode>()
  const root = (node: GraphNode): GraphNode => {
    let at = node
    for (let parent = parents.get(at); parent !== undefined; parent = parents.get(at)) at = parent
    return at
  }
  const unite = (left: GraphNode, right: GraphNode): void => {
    const [leftRoot, rightRoot] = [root(left), root(right)]
    if (leftRoot !== rightRoot) parents.set(rightRoot, leftRoot)
  }
  const storeOwners = new Map<string, GraphNode>()
  for (const node of graph.nodes) {
    for (const parent of node.parents) unite(parent, node)
    if (node.kind !== 'processor') continue
    for (const store of node.stores) {
      // Every task reads a global store: it does not tie its readers together.
      if (graph.globalStores.has(store)) continue
      const owner = storeOwners.get(store)
      if (owner === undefined) storeOwners.set(store, node)
      else unite(owner, node)
    }
  }
  const groups = new Map<GraphNode, GraphNode[]>()
  for (const node of graph.nodes) {
    const group = groups.get(root(node))
    if (group === undefined) groups.set(root(node), [node])
    else group.push(node)
  }
  return [...groups.values()].map((nodes, id) => ({
    id,
    nodes,
    isGlobal: nodes.some((node) => node.kind === 'source' && node.isGlobal),
  }))
}
