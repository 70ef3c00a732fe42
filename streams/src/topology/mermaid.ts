import type { TopologyGraph } from './graph.ts'
import { nodeGroups } from './sub-topologies.ts'

/** A Mermaid flow chart: topics as stadiums, stores as cylinders, a frame around what runs in one task. */
export function drawTopology(graph: TopologyGraph): string {
  const ids = new Map<string, string>()
  const id = (kind: string, name: string): string => {
    const key = `${kind} ${name}`
    if (!ids.has(key)) ids.set(key, `${kind}${ids.size}`)
    return ids.get(key)!
  }
  const lines = ['flowchart TD']
  const topics = new Set<string>()
  const links: string[] = []
  for (const group of nodeGroups(graph)) {
    lines.push(`  subgraph sub${group.id}["${group.isGlobal ? 'global table' : `sub-topology ${group.id}`}"]`)
    const stores = new Set<string>()
    for (const node of group.nodes) {
      const note = node.kind === 'processor' && node.note !== null ? `<br/>${node.note}` : ''
      lines.push(`    ${id('n', node.name)}["${node.name}${note}"]`)
      for (const child of node.children) {
        const arrow = node.lateChildren.includes(child) ? '-. late .->' : '-->'
        links.push(`  ${id('n', node.name)} ${arrow} ${id('n', child.name)}`)
      }
      if (node.kind === 'processor') {
        for (const store of new Set(node.stores)) {
          stores.add(store)
          links.push(`  ${id('n', node.name)} --- ${id('s', store)}`)
        }
      } else {
        topics.add(node.topic)
        const topic = id('t', node.topic)
        links.push(
          node.kind === 'source' ? `  ${topic} --> ${id('n', node.name)}` : `  ${id('n', node.name)} --> ${topic}`,
        )
      }
    }
    for (const store of stores) lines.push(`    ${id('s', store)}[("${store}")]`)
    lines.push('  end')
  }
  for (const topic of topics) lines.push(`  ${id('t', topic)}(["${topic}"])`)
  return [...lines, ...links, ''].join('\n')
}
