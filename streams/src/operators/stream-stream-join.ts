import { remotesOf, type Serde } from '../serdes/serde.ts'
import type { JoinWindowStore } from '../state/join-window-store.ts'
import type { TimedEntry, TimedStore } from '../state/timed-store.ts'
import type { Operator, OperatorTask, StreamEmit } from '../topology/operator.ts'

export interface JoinWindows {
  /** A right record may be this much earlier than the left one. */
  readonly beforeMs: number
  /** A right record may be this much later than the left one. */
  readonly afterMs: number
  readonly graceMs: number
}

export type JoinSide = 'left' | 'right'

export interface StreamStreamJoin<K, L, R, O> {
  readonly windows: JoinWindows
  readonly leftStore: string
  readonly rightStore: string
  /** Where unmatched records wait for the end of their window; null for inner joins. */
  readonly unmatchedStore: string | null
  readonly isLeftOuter: boolean
  readonly isRightOuter: boolean
  readonly joiner: (left: L | null, right: R | null, key: K) => O
}

/** An unmatched record: its side, as the place in the store's order, is in `endMs`. */
const RIGHT = 0
const LEFT = 1

interface Unmatched<L, R> {
  readonly side: number
  readonly value: L | R
}

/** The side, then the value in the serde of that side. */
export function unmatchedSerde<L, R>(left: Serde<L>, right: Serde<R>): Serde<Unmatched<L, R>> {
  return {
    name: `${left.name} or ${right.name}`,
    ...remotesOf(left, right),
    serialize({ side, value }) {
      const valueBytes = side === LEFT ? left.serialize(value as L) : right.serialize(value as R)
      const bytes = Buffer.allocUnsafe(1 + valueBytes.length)
      bytes[0] = side
      bytes.set(valueBytes, 1)
      return bytes
    },
    deserialize(bytes) {
      const side = bytes[0]!
      return { side, value: (side === LEFT ? left : right).deserialize(bytes.subarray(1)) }
    },
  }
}

/** The places in time of an unmatched record: its own time, its side, and the time at which its window has closed. */
export function unmatchedLayoutTimeMs(windows: JoinWindows, timestampMs: number, side: number): number {
  return timestampMs + (side === LEFT ? windows.afterMs : windows.beforeMs) + windows.graceMs
}

/**
 * One side of a join of two streams: puts each record with every record of the other side that is close enough in time.
 *
 * The result has the later of both timestamps. A record that found nobody waits, where its side is outer, until stream
 * time has passed its window and grace, and then comes out with null for the other side. Both sides share stream time,
 * which null keys and values advance, too.
 */
export function joinSide<K, L, R, O>(
  join: StreamStreamJoin<K, L, R, O>,
  side: JoinSide,
): Operator<StreamEmit<K, L | R>, StreamEmit<K, O>> {
  const { windows, joiner } = join
  const isLeft = side === 'left'
  const isOuter = isLeft ? join.isLeftOuter : join.isRightOuter
  const beforeMs = isLeft ? windows.beforeMs : windows.afterMs
  const afterMs = isLeft ? windows.afterMs : windows.beforeMs
  const ownSide = isLeft ? LEFT : RIGHT
  const combine = (key: K, own: L | R, other: L | R | null): O =>
    isLeft ? joiner(own as L, other as R | null, key) : joiner(other as L | null, own as R, key)

  return (task, next) => {
    const shared = task.shared(join, () => new SharedJoinState<K, L, R>(task, join))
    const others = task.store(isLeft ? join.rightStore : join.leftStore) as JoinWindowStore<K, L | R>
    const { unmatched } = shared

    return (key, value, timestampMs) => {
      if (timestampMs > shared.streamMs) shared.streamMs = timestampMs
      if (key === null || key === undefined) {
        if (isOuter && value !== null && value !== undefined) next(key, combine(key, value, null), timestampMs)
        else task.drop('null-key')
        return
      }
      if (value === null || value === undefined) {
        task.drop('null-value')
        return
      }
      if (unmatched !== null && timestampMs === shared.streamMs) shared.emitClosed(next)

      const fromMs = Math.max(0, timestampMs - beforeMs)
      const toMs = Math.max(0, timestampMs + afterMs)
      let isMatched = false
      const count = others.find(key, fromMs, toMs)
      for (let index = 0; index < count; index++) {
        const otherMs = others.startMs(index)
        isMatched = true
        if (unmatched !== null) forget(unmatched, key, otherMs, 1 - ownSide)
        next(key, combine(key, value, others.value(index)), timestampMs > otherMs ? timestampMs : otherMs)
      }
      if (isMatched || !isOuter) return
      // Too old already for a partner in order: it does not wait, and may still be joined by one that is late itself.
      if (toMs < shared.streamMs) next(key, combine(key, value, null), timestampMs)
      else {
        const closedMs = unmatchedLayoutTimeMs(windows, timestampMs, ownSide)
        unmatched!.insertDuplicate(key, timestampMs, ownSide, { side: ownSide, value }, timestampMs, closedMs)
      }
    }
  }
}

/** Keeps a side's records for the other side to find; stands in front of the join, and runs after it. */
export function joinWindow<K, V>(storeName: string, retentionMs: number): Operator<StreamEmit<K, V>, StreamEmit<K, V>> {
  return (task, next) => {
    const store = task.store(storeName) as JoinWindowStore<K, V>
    const forget = (): void => store.forget(store.observedMs - retentionMs)
    // A changelog remembers longer than the store does.
    task.onInitialize(forget)
    return (key, value, timestampMs) => {
      next(key, value, timestampMs)
      if (key === null || key === undefined) return
      store.observe(timestampMs)
      if (value !== null && value !== undefined && timestampMs > store.observedMs - retentionMs) {
        store.put(key, value, timestampMs)
      }
      forget()
    }
  }
}

class SharedJoinState<K, L, R> {
  /** The largest timestamp of both sides. */
  streamMs = -1
  readonly unmatched: TimedStore<K, Unmatched<L, R>> | null
  readonly #join: StreamStreamJoin<K, L, R, unknown>

  constructor(task: OperatorTask, join: StreamStreamJoin<K, L, R, unknown>) {
    this.#join = join
    const left = task.store(join.leftStore) as JoinWindowStore<K, L>
    const right = task.store(join.rightStore) as JoinWindowStore<K, R>
    this.unmatched =
      join.unmatchedStore === null ? null : (task.store(join.unmatchedStore) as TimedStore<K, Unmatched<L, R>>)
    task.onInitialize(() => {
      this.streamMs = Math.max(left.observedMs, right.observedMs, this.unmatched?.observedMs ?? -1)
    })
  }

  emitClosed<O>(next: StreamEmit<K, O>): void {
    const unmatched = this.unmatched!
    const closed = unmatched.takeDue(this.streamMs - 1)
    if (closed.length === 0) return
    const joiner = this.#join.joiner as (left: L | null, right: R | null, key: K) => O
    const ordered = closed.length === 1 ? closed : closed.toSorted((a, b) => byTimeAndSide(unmatched, a, b))
    for (const entry of ordered) {
      const { group, value, startMs, endMs } = entry
      unmatched.remove(entry)
      const result =
        endMs === LEFT ? joiner(value.value as L, null, group.key) : joiner(null, value.value as R, group.key)
      next(group.key, result, startMs)
    }
  }
}

function byTimeAndSide<K, V>(store: TimedStore<K, V>, left: TimedEntry<K, V>, right: TimedEntry<K, V>): number {
  return (
    left.startMs - right.startMs ||
    left.endMs - right.endMs ||
    Buffer.compare(store.keyBytes(left), store.keyBytes(right)) ||
    left.sequence - right.sequence
  )
}

/** The record found a partner: it will have no null result. */
function forget<K, V>(unmatched: TimedStore<K, V>, key: K, timestampMs: number, side: number): void {
  const group = unmatched.group(key)
  if (group === null) return
  for (let index = group.entries.length - 1; index >= 0; index--) {
    const entry = group.entries[index]!
    if (entry.startMs < timestampMs) break
    if (entry.startMs === timestampMs && entry.endMs === side) unmatched.remove(entry)
  }
}
