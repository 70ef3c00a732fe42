import type { Clock, Timer } from './clock.ts'

/** Records replayed in one turn of the event loop; requests of other kinds go on in between. */
const SLICE_RECORDS = 20_000

/** The loading of a coordinator's topic, in slices; at most one at a time. */
export class SlicedLoad {
  readonly #clock: Clock
  #steps: Iterator<number, void> | null = null
  #timer: Timer | null = null
  #waiting: (() => void)[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isUnderWay(): boolean {
    return this.#steps !== null
  }

  /** Runs the first slice at once. A step is the number of records that it has replayed. */
  start(steps: Iterator<number, void>, onEnd: () => void): void {
    this.#steps = steps
    this.#continue(steps, onEnd)
  }

  /** Resolves when nothing is left to load, or the loading is given up. */
  whenOver(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#steps === null) resolve()
      else this.#waiting.push(resolve)
    })
  }

  giveUp(): void {
    this.#timer?.cancel()
    this.#end()
  }

  #continue(steps: Iterator<number, void>, onEnd: () => void): void {
    let records = 0
    for (;;) {
      const step = steps.next()
      if (step.done === true) break
      records += step.value
      if (records < SLICE_RECORDS) continue
      this.#timer = this.#clock.setTimer(0, () => this.#continue(steps, onEnd))
      return
    }
    this.#steps = null
    onEnd()
    this.#end()
  }

  #end(): void {
    this.#steps = null
    this.#timer = null
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
