import type { Clock, Timer } from '../../base/clock.ts'
import type { SeededRandom } from './seeded-random.ts'

interface Event {
  readonly dueMs: number
  /** Decides between events that are due at the same moment. */
  readonly tie: number
  readonly sequence: number
  readonly what: string
  run: (() => void) | null
}

/**
 * The time of a simulated world, and the row of all that will happen in it. Nothing happens but by `step`, which goes to
 * the next event; those of one moment come in an order that the seed decides.
 */
export class SimulatedClock implements Clock {
  /** What the wall clock shows when the monotonic one shows 0. */
  wallOffsetMs = 1_767_225_600_000
  readonly #random: SeededRandom
  /** A binary heap, the earliest first. */
  readonly #events: Event[] = []
  #monoMs = 0
  #sequence = 0

  constructor(random: SeededRandom) {
    this.#random = random
  }

  nowMs(): number {
    return Math.floor(this.wallOffsetMs + this.#monoMs)
  }

  monoMs(): number {
    return this.#monoMs
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    return this.schedule('timer', delayMs, callback)
  }

  /** As `setTimer`, with a word for the trace. */
  schedule(what: string, delayMs: number, run: () => void): Timer {
    const dueMs = this.#monoMs + Math.max(0, delayMs)
    const event: Event = { dueMs, tie: this.#random.u32(), sequence: this.#sequence++, what, run }
    this.#push(event)
    return {
      cancel: () => {
        event.run = null
      },
    }
  }

  /** A clock whose timers fire until it is ended: that of one process. */
  lifetime(): ClockLifetime {
    return new ClockLifetime(this)
  }

  /** Goes to the next event and lets it happen; says what it was, or null when nothing will ever happen again. */
  step(): string | null {
    for (let event = this.#pop(); event !== undefined; event = this.#pop()) {
      if (event.run === null) continue
      this.#monoMs = event.dueMs
      event.run()
      return event.what
    }
    return null
  }

  #push(event: Event): void {
    const heap = this.#events
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #pop(): Event | undefined {
    const heap = this.#events
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || first === last) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

/** The clock of one process: when that dies, its timers never fire. */
export class ClockLifetime implements Clock {
  readonly #clock: SimulatedClock
  #isEnded = false

  constructor(clock: SimulatedClock) {
    this.#clock = clock
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  monoMs(): number {
    return this.#clock.monoMs()
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    return this.#clock.schedule('timer', delayMs, () => {
      if (!this.#isEnded) callback()
    })
  }

  end(): void {
    this.#isEnded = true
  }
}

function isBefore(a: Event, b: Event): boolean {
  if (a.dueMs !== b.dueMs) return a.dueMs < b.dueMs
  if (a.tie !== b.tie) return a.tie < b.tie
  return a.sequence < b.sequence
}
