import type { Spec, SpecNode, SpecOutput } from '../spec.ts'

interface ModelSession {
  readonly key: string
  start: number
  end: number
  value: string
}

export interface SessionOutcome {
  readonly steps: readonly (readonly SpecOutput[])[]
  /** A record met, or made, a session that ends exactly where Kafka's store has just forgotten it (Q4). */
  readonly isOnTheEdge: boolean
  /** Stream time stood exactly on the end, plus gap and grace, of a session that still took records (Q4). */
  readonly isFinalTooEarly: boolean
}

/**
 * Sessions by rules W4, W5, W6 and S1, the slow way: all sessions in one list, everything looked at for every record.
 * Says also where the input stands on the edge on which Kafka Streams differs.
 */
export function sessionModel(spec: Spec): SessionOutcome {
  const windowed = spec.nodes.find((node) => node.op === 'windowedBy')!
  const aggregation = spec.nodes.find((node) => node.op === 'count' || node.op === 'concat')!
  const { gap, grace = 0 } = windowed.window as { gap: number; grace?: number }
  const isClose = windowed.emit === 'close'
  const updates = isClose ? undefined : target(spec, aggregation.id!)
  const suppress = spec.nodes.find((node) => node.op === 'suppress')
  const finals = isClose ? target(spec, aggregation.id!) : suppress && target(spec, suppress.id!)
  const isCount = aggregation.op === 'count'
  const add = (total: string, value: string | null): string =>
    isCount ? String(Number(total) + 1) : `${total}+${value}`
  const merge = (left: string, right: string): string =>
    isCount ? String(Number(left) + Number(right)) : `${left}&${right}`

  let open: ModelSession[] = []
  let streamTime = -1
  // What `suppress` sees of time are the results' timestamps: the ends of sessions.
  let resultTime = -1
  let isOnTheEdge = false
  let isFinalTooEarly = false
  const waiting = new Map<string, ModelSession>()

  const steps = spec.input.map((input) => {
    const out: SpecOutput[] = []
    if ('advanceWallClock' in input || input.key === null) return out
    const { key, value, ts } = input
    streamTime = Math.max(streamTime, ts)
    const close = streamTime - gap - grace
    const emit = (session: ModelSession, result: string | null): void => {
      if (updates !== undefined) out.push(record(updates, session, result))
      resultTime = Math.max(resultTime, session.end)
      if (result === null) waiting.delete(id(session))
      else waiting.set(id(session), { ...session, value: result })
    }
    const touched = open.filter(
      (session) => session.key === key && session.end >= ts - gap && session.start <= ts + gap,
    )
    const merged: ModelSession = {
      key,
      start: Math.min(ts, ...touched.map((session) => session.start)),
      end: Math.max(ts, ...touched.map((session) => session.end)),
      value: isCount ? '0' : '',
    }
    for (const session of touched) merged.value = merge(merged.value, session.value)
    if (merged.end >= close) {
      if (merged.end === close || touched.some((session) => session.end === close)) isOnTheEdge = true
      merged.value = add(merged.value, value)
      open = open.filter((session) => !touched.includes(session))
      if (merged.start !== ts || merged.end !== ts) for (const session of touched) emit(session, null)
      open.push(merged)
      open.sort((left, right) => left.start - right.start)
      emit(merged, merged.value)
    }
    open = open.filter((session) => session.end >= close)
    const time = isClose ? streamTime : resultTime
    const done = [...waiting.values()].filter((session) => session.end + gap + grace < time)
    if ([...waiting.values()].some((session) => session.end + gap + grace === time)) isFinalTooEarly = true
    done.sort((left, right) => left.end - right.end || (left.key < right.key ? -1 : left.key > right.key ? 1 : 0))
    for (const session of done) {
      waiting.delete(id(session))
      if (finals !== undefined) out.push(record(finals, session, session.value))
    }
    return out
  })
  return { steps: steps.map((out) => byTopic(spec, out)), isOnTheEdge, isFinalTooEarly }
}

function id({ key, start, end }: ModelSession): string {
  return `${key}@${start}/${end}`
}

function record(topic: string, session: ModelSession, value: string | null): SpecOutput {
  return { topic, key: id(session), value, ts: session.end }
}

/** The topic that a node's results are written to. */
export function target(spec: Spec, nodeId: string): string | undefined {
  return spec.nodes.find((node: SpecNode) => node.op === 'to' && node.in === nodeId)?.topic
}

/** A step lists its output topic by topic. */
export function byTopic(spec: Spec, out: readonly SpecOutput[]): readonly SpecOutput[] {
  const topics = spec.nodes.flatMap((node) => (node.op === 'to' ? [node.topic!] : []))
  return topics.flatMap((topic) => out.filter((output) => output.topic === topic))
}
