import type { Spec, SpecOutput } from '../spec.ts'

interface ModelRecord {
  readonly side: 'left' | 'right'
  readonly key: string
  readonly value: string
  readonly ts: number
  /** Stored for partners of the other side. */
  isKept: boolean
  /** Waits for its null result. */
  isWaiting: boolean
}

export interface JoinOutcome {
  readonly steps: readonly (readonly SpecOutput[])[]
  /** Kafka's gate, a lower bound for the earliest waiting record, held a null result back past its window's close (Q1). */
  readonly isHeldBack: boolean
}

/**
 * Stream-stream joins by rules J1 to J5, the slow way: every record against every other. Follows Kafka's gate alongside
 * to say whether Kafka would emit a null result later than the first record past its close.
 */
export function joinModel(spec: Spec): JoinOutcome {
  const join = spec.nodes.find((node) => node.op === 'join')!
  const { before, after, grace = 0 } = join.window as { before: number; after: number; grace?: number }
  const [leftTopic] = (join.in as readonly string[]).map((id) => spec.nodes.find((node) => node.id === id)!.topic)
  const out = spec.nodes.find((node) => node.op === 'to')!.topic!
  const retention = before + after + grace
  const records: ModelRecord[] = []
  const kafka = new KafkaGate()
  const observed = { left: -1, right: -1 }
  let streamTime = -1
  let isHeldBack = false

  const lookAhead = (side: 'left' | 'right'): number => (side === 'left' ? after : before)
  const lookBack = (side: 'left' | 'right'): number => (side === 'left' ? before : after)
  const alone = ({ side, value }: Pick<ModelRecord, 'side' | 'value'>): string =>
    side === 'left' ? `${value}+null` : `null+${value}`

  const steps = spec.input.map((input) => {
    const outputs: SpecOutput[] = []
    if ('advanceWallClock' in input) return outputs
    const { key, value, ts } = input
    const side = input.topic === leftTopic ? 'left' : 'right'
    const isOuter = join.kind === 'outer' || (join.kind === 'left' && side === 'left')
    const emit = (recordKey: string | null, result: string, time: number): void => {
      outputs.push({ topic: out, key: recordKey, value: result, ts: time })
    }
    streamTime = Math.max(streamTime, ts)
    if (key === null) {
      if (isOuter && value !== null) emit(null, alone({ side, value }), ts)
      return outputs
    }
    if (value !== null) {
      if (ts === streamTime) {
        const closed = records.filter((r) => r.isWaiting && r.ts + lookAhead(r.side) + grace < streamTime)
        closed.sort((a, b) => a.ts - b.ts || (a.side === b.side ? 0 : a.side === 'right' ? -1 : 1) || compare(a, b))
        for (const record of closed) {
          record.isWaiting = false
          emit(record.key, alone(record), record.ts)
        }
        if (kafka.step(streamTime, lookAhead(side), lookAhead, grace)) isHeldBack = true
      }
      const partners = records
        .filter((r) => r.isKept && r.side !== side && r.key === key)
        .filter((r) => r.ts >= ts - lookBack(side) && r.ts <= Math.max(0, ts + lookAhead(side)))
        .toSorted((a, b) => a.ts - b.ts)
      for (const partner of partners) {
        partner.isWaiting = false
        kafka.forget(partner.side, key, partner.ts)
        emit(key, side === 'left' ? `${value}+${partner.value}` : `${partner.value}+${value}`, Math.max(ts, partner.ts))
      }
      const record: ModelRecord = { side, key, value, ts, isKept: false, isWaiting: false }
      if (partners.length === 0 && isOuter) {
        if (ts + lookAhead(side) < streamTime) emit(key, alone(record), ts)
        else {
          record.isWaiting = true
          kafka.wait(side, key, ts)
        }
      }
      records.push(record)
    }
    observed[side] = Math.max(observed[side], ts)
    const newest = records.at(-1)
    if (value !== null && newest !== undefined) newest.isKept = true
    for (const record of records) {
      if (record.ts <= observed[record.side] - retention) record.isKept = false
    }
    return outputs
  })
  return { steps, isHeldBack: isHeldBack || kafka.isBehind(streamTime, lookAhead, grace) }
}

function compare(left: ModelRecord, right: ModelRecord): number {
  return left.key < right.key ? -1 : left.key > right.key ? 1 : 0
}

interface Waiting {
  readonly side: 'left' | 'right'
  readonly key: string
  readonly ts: number
}

/**
 * When Kafka Streams 4.3 looks for closed windows: only if the earliest waiting record, as far as it remembers, is
 * past the window of the side that just got a record; and what it remembers afterwards is the first record it left.
 */
class KafkaGate {
  #minTime = Number.POSITIVE_INFINITY
  #waiting: Waiting[] = []

  wait(side: 'left' | 'right', key: string, ts: number): void {
    this.#minTime = Math.min(this.#minTime, ts)
    this.#waiting.push({ side, key, ts })
  }

  forget(side: 'left' | 'right', key: string, ts: number): void {
    this.#waiting = this.#waiting.filter((w) => w.side !== side || w.key !== key || w.ts !== ts)
  }

  /** Whether a closed window stays unmentioned at this step. */
  step(
    streamTime: number,
    ownLookAhead: number,
    lookAhead: (side: 'left' | 'right') => number,
    grace: number,
  ): boolean {
    if (this.#minTime + ownLookAhead + grace < streamTime) {
      this.#minTime = Number.POSITIVE_INFINITY
      const order = (w: Waiting): string => `${String(w.ts).padStart(9, '0')} ${w.side === 'left' ? 1 : 0} ${w.key}`
      const open = { left: false, right: false }
      const emitted = new Set<Waiting>()
      for (const w of this.#waiting.toSorted((a, b) => (order(a) < order(b) ? -1 : order(a) > order(b) ? 1 : 0))) {
        this.#minTime = w.ts
        if (open.left && open.right) break
        if (w.ts + lookAhead(w.side) + grace >= streamTime) open[w.side] = true
        else emitted.add(w)
      }
      this.#waiting = this.#waiting.filter((w) => !emitted.has(w))
    }
    return this.isBehind(streamTime, lookAhead, grace)
  }

  isBehind(streamTime: number, lookAhead: (side: 'left' | 'right') => number, grace: number): boolean {
    return this.#waiting.some((w) => w.ts + lookAhead(w.side) + grace < streamTime)
  }
}
