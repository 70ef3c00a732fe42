import { StreamsError } from '../errors.ts'

/** What user code that is called asynchronously may look at. */
export interface CallContext {
  /** Aborted when the call takes longer than its timeout, or its task is given up: nobody waits for it any more. */
  readonly signal: AbortSignal
  /** 1 for the first call for this value, 2 for the first repetition. */
  readonly attempt: number
}

/**
 * A call of user code that can be repeated. Its owner starts it and looks at its state; an answer that comes after the
 * owner has lost patience changes nothing.
 */
export class AsyncCall<T> {
  state: 'waiting' | 'running' | 'done' | 'failed' = 'waiting'
  /** While it waits, when it may start; while it runs, when it has taken too long. */
  dueMs = 0
  attempt = 0
  result: T | undefined = undefined
  error: unknown = null
  readonly #run: (context: CallContext) => PromiseLike<T> | T
  readonly #timeoutMs: number
  readonly #onSettled: () => void
  #controller: AbortController | null = null

  constructor(run: (context: CallContext) => PromiseLike<T> | T, timeoutMs: number, onSettled: () => void) {
    this.#run = run
    this.#timeoutMs = timeoutMs
    this.#onSettled = onSettled
  }

  start(nowMs: number): void {
    this.state = 'running'
    this.attempt++
    this.dueMs = nowMs + this.#timeoutMs
    const controller = new AbortController()
    this.#controller = controller
    void this.#settle(controller)
  }

  /** A call that has taken too long has failed, whatever it does from now on. */
  expire(nowMs: number): void {
    if (this.state !== 'running' || nowMs < this.dueMs) return
    const error = new StreamsError('timeout', `no answer within ${this.#timeoutMs} ms`)
    this.state = 'failed'
    this.error = error
    this.cancel(error)
  }

  waitUntil(dueMs: number): void {
    this.state = 'waiting'
    this.dueMs = dueMs
  }

  /** Whoever is still at work on it is told not to. */
  cancel(reason: Error): void {
    const controller = this.#controller
    this.#controller = null
    controller?.abort(reason)
  }

  async #settle(controller: AbortController): Promise<void> {
    try {
      const result = await this.#run({ signal: controller.signal, attempt: this.attempt })
      if (this.#controller !== controller) return
      this.result = result
      this.state = 'done'
    } catch (error) {
      if (this.#controller !== controller) return
      this.error = error
      this.state = 'failed'
    }
    this.#controller = null
    this.#onSettled()
  }
}
