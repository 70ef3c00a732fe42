import type { WindowClosing } from '../operators/window-closing.ts'
import type { Serde } from '../serdes/serde.ts'
import { windowed } from '../serdes/windowed.ts'
import type { OperatorTask, StreamEmit, TableEmit } from '../topology/operator.ts'
import type { GraphNode } from '../topology/graph.ts'
import { windowView } from '../topology/table-view.ts'
import type { Windowed } from '../windowed.ts'
import type { Builder, StreamHandle } from './builder.ts'
import type { Late, WindowedResult } from './windowed-result.ts'

/** What every windowed aggregation ends with: the node, its table, and the stream of late records where it is wanted. */
export function windowedTable<K, V, A, L extends Late>(
  builder: Builder,
  handle: StreamHandle<K, V>,
  parts: {
    readonly name: string
    readonly storeName: string
    readonly keySerde: Serde<K>
    readonly valueSerde: Serde<A>
    readonly closing: WindowClosing
    readonly late: L | undefined
    readonly operator: (
      task: OperatorTask,
      next: TableEmit<Windowed<K>, A>,
      late: StreamEmit<Windowed<K>, V>,
    ) => StreamEmit<K, V>
  },
): WindowedResult<K, V, A, L> {
  const { graph } = builder
  const { name, storeName } = parts
  const node = graph.addProcessorWithLate(name, [handle.node], parts.operator, [storeName])
  const keySerde = windowed(parts.keySerde)
  const results = builder.table<Windowed<K>, A>({
    node,
    keySerde,
    valueSerde: parts.valueSerde,
    sources: handle.sources,
    isVersioned: false,
    closing: parts.closing,
    needs: { oldValues: true },
    requireOldValues: () => {},
    view: () => windowView<K, A>(storeName),
  })
  if (parts.late !== 'side-output') return results as WindowedResult<K, V, A, L>
  const lateNode: GraphNode = graph.addLateOutput(`${name}-late`, node)
  const late = builder.stream<Windowed<K>, V>({
    node: lateNode,
    keySerde,
    valueSerde: handle.valueSerde,
    needsRepartition: false,
    sources: handle.sources,
  })
  return { results, late } as WindowedResult<K, V, A, L>
}
