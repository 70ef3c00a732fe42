import { StreamsError } from '../errors.ts'
import type { Serde } from '../serdes/serde.ts'
import type { TimedEntry, TimedStore } from '../state/timed-store.ts'
import type { Clock, OperatorTask } from '../topology/operator.ts'

/** Timers of the keys of a processor. They are state: they survive a restart, and move with their partition. */
export interface Timers<K> {
  /**
   * Has `onTimer` called for the key when its time has come, once however often it is set. Event time has come when
   * stream time is there; a time that is past comes after the current record. `event-time` unless given.
   */
  set(key: K, timeMs: number, clock?: Clock): void
  /** False when there was none. */
  delete(key: K, timeMs: number, clock?: Clock): boolean
  /** The times that are set for the key, in order. */
  of(key: K, clock?: Clock): readonly number[]
}

export interface TimerStores {
  readonly clock: Clock
  readonly store: string
}

type Ring<K> = (key: K, timeMs: number, clock: Clock) => void

/** The timers of one task; `ring` is called for each in the order of times, then of the bytes of the keys. */
export function openTimers<K>(
  task: OperatorTask,
  node: string,
  stores: readonly TimerStores[],
  ring: Ring<K>,
): Timers<K> {
  const clocks = new Map(stores.map(({ clock, store }) => [clock, new ClockTimers<K>(task, node, clock, store, ring)]))
  const timersOf = (clock: Clock): ClockTimers<K> => {
    const timers = clocks.get(clock)
    if (timers !== undefined) return timers
    throw new StreamsError('unknown-store', `${node} has no timers by ${clock}: name it in its option timers`)
  }
  return {
    set: (key, timeMs, clock = 'event-time') => timersOf(clock).set(key, timeMs),
    delete: (key, timeMs, clock = 'event-time') => timersOf(clock).delete(key, timeMs),
    of: (key, clock = 'event-time') => timersOf(clock).of(key),
  }
}

class ClockTimers<K> {
  readonly #task: OperatorTask
  readonly #node: string
  readonly #clock: Clock
  readonly #store: TimedStore<K, boolean>
  readonly #ring: Ring<K>
  readonly #setAlarm: (dueMs: number) => void
  #alarmMs = Number.POSITIVE_INFINITY
  /** The time of the timer that is ringing; -1 while none is. */
  #ringingMs = -1

  constructor(task: OperatorTask, node: string, clock: Clock, store: string, ring: Ring<K>) {
    this.#task = task
    this.#node = node
    this.#clock = clock
    this.#store = task.store(store) as TimedStore<K, boolean>
    this.#ring = ring
    this.#setAlarm = task.alarm(clock, (nowMs) => this.#run(nowMs))
    task.onInitialize(() => this.#wait())
  }

  set(key: K, timeMs: number): void {
    if (!Number.isSafeInteger(timeMs) || timeMs < 0) {
      throw new StreamsError('invalid-option', `${this.#node}: ${timeMs} is not a time for a timer`)
    }
    if (timeMs <= this.#ringingMs) {
      throw new StreamsError('invalid-option', `${this.#node}: a timer at ${this.#ringingMs} set one for ${timeMs}`)
    }
    if (this.#find(key, timeMs) !== undefined) return
    this.#store.insert(key, timeMs, timeMs, true, Math.max(0, this.#task.timestampMs))
    if (timeMs >= this.#alarmMs) return
    this.#alarmMs = timeMs
    this.#setAlarm(timeMs)
  }

  delete(key: K, timeMs: number): boolean {
    const entry = this.#find(key, timeMs)
    if (entry === undefined) return false
    this.#store.remove(entry)
    return true
  }

  of(key: K): readonly number[] {
    return this.#store.group(key)?.entries.map(({ startMs }) => startMs) ?? []
  }

  #run(nowMs: number): void {
    const store = this.#store
    const due = [...store.takeDue(nowMs)]
    let at = 0
    try {
      while (at < due.length) {
        const entry = due[at++]!
        const { group, startMs } = entry
        // Deleted by one that rang before it.
        if (!group.entries.includes(entry)) continue
        store.remove(entry)
        this.#ringingMs = startMs
        this.#ring(group.key, startMs, this.#clock)
        // What it has set for a time before the next one rings before that.
        const nextMs = due[at]?.startMs ?? nowMs
        if (store.quietUntilMs <= nextMs) due.splice(at, 0, ...store.takeDue(nextMs))
      }
    } finally {
      this.#ringingMs = -1
      for (const entry of due.slice(at)) {
        if (entry.group.entries.includes(entry)) store.reschedule(entry, entry.startMs)
      }
      this.#wait()
    }
  }

  #wait(): void {
    this.#alarmMs = this.#store.quietUntilMs
    this.#setAlarm(this.#alarmMs)
  }

  #find(key: K, timeMs: number): TimedEntry<K, boolean> | undefined {
    return this.#store.group(key)?.entries.find(({ startMs }) => startMs === timeMs)
  }
}

/** A timer is its key and its time: there is nothing else to say of it. */
export const timerSerde: Serde<boolean> = {
  name: 'timer',
  serialize: () => SET,
  deserialize: () => true,
}

const SET = Buffer.of(1)
