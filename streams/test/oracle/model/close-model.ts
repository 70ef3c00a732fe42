import { runSpec } from '../run-spec.ts'
import type { Spec, SpecOutput } from '../spec.ts'
import { byTopic, target } from './session-model.ts'

export interface CloseOutcome {
  readonly steps: readonly (readonly SpecOutput[])[]
  /** With its default retention Kafka's store had forgotten a window when that became final (Q2). */
  readonly isForgotten: boolean
}

interface Result {
  readonly output: SpecOutput
  readonly key: string
  readonly start: number
  readonly end: number
}

/**
 * On-window-close by rule S1, from what the same windows say on every update: the last word on each window, at the
 * first record after which it takes no more.
 */
export function closeModel(spec: Spec): CloseOutcome {
  const windowed = spec.nodes.find((node) => node.op === 'windowedBy')!
  const aggregation = spec.nodes.find((node) => node.op === 'count' || node.op === 'concat')!
  const { type, grace = 0, size = 0 } = windowed.window!
  const updates = { ...spec, nodes: spec.nodes.map((node) => (node === windowed ? { ...node, emit: 'update' } : node)) }
  const topic = target(spec, aggregation.id!)!
  const retention = aggregation.retention ?? (type === 'sliding' ? 2 : 1) * size + grace
  const waiting = new Map<string, Result>()
  let streamTime = -1
  let newestStart = -1
  let isForgotten = false
  const steps = runSpec(updates).steps.map(({ out }, index) => {
    const input = spec.input[index]!
    const isCounted =
      !('advanceWallClock' in input) && input.key !== null && (type !== 'sliding' || input.value !== null)
    if (isCounted) streamTime = Math.max(streamTime, input.ts)
    for (const output of out) {
      const [, key, start, end] = /^(.*)@(\d+)\/(\d+)$/.exec(output.key!)!
      waiting.set(output.key!, { output, key: key!, start: Number(start), end: Number(end) })
      newestStart = Math.max(newestStart, Number(start))
    }
    const isFinal = ({ end }: Result): boolean =>
      type === 'sliding' ? end + grace < streamTime : end + grace <= streamTime
    const finals = [...waiting.values()].filter(isFinal)
    finals.sort((a, b) => a.end - b.end || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    for (const { output, start } of finals) {
      if (start <= newestStart - retention) isForgotten = true
      waiting.delete(output.key!)
    }
    return byTopic(
      spec,
      finals.map(({ output }) => ({ ...output, topic })),
    )
  })
  return { steps, isForgotten }
}
