import { Worker } from 'node:worker_threads'
import { StreamsError } from '../../errors.ts'
import type { StreamsLogger } from '../options.ts'
import {
  receivedError,
  withBuffers,
  type Answers,
  type FromThread,
  type Question,
  type Status,
  type ThreadData,
} from './messages.ts'

export interface ThreadEvents {
  readonly logger: StreamsLogger | null
  onStatus(): void
  /** The thread is gone: closed as it was told to, or with an error. */
  onEnd(error: Error | null): void
}

/** One thread, as its owner sees it. */
export class ThreadHandle {
  readonly #worker: Worker
  readonly #events: ThreadEvents
  readonly #questions = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  #nextQuestion = 0
  #hasEnded = false
  status: Status | null = null
  /** Why the thread has ended by itself; null while it has not. */
  failure: Error | null = null
  /** Resolves with the application's id when the thread is a member of the group; fails when it cannot start. */
  readonly started: Promise<string>
  #onStarted!: (applicationId: string) => void
  #onRefused!: (error: Error) => void
  /** Resolves when the thread only waits for `join`; fails when it cannot start. */
  readonly prepared: Promise<void>
  #onPrepared!: () => void
  readonly exited: Promise<void>

  constructor(data: ThreadData, events: ThreadEvents) {
    this.#events = events
    this.started = new Promise((resolve, reject) => {
      this.#onStarted = resolve
      this.#onRefused = reject
    })
    this.prepared = new Promise((resolve, reject) => {
      this.#onPrepared = resolve
      this.started.catch(reject)
    })
    this.prepared.catch(() => {})
    const isSource = import.meta.url.endsWith('.ts')
    this.#worker = new Worker(new URL(isSource ? './thread.ts' : './thread.js', import.meta.url), {
      workerData: data,
      // From its sources the library is only found by whoever looks for them.
      ...(isSource ? { execArgv: [...process.execArgv, '-C', 'source'] } : {}),
    })
    this.#worker.on('message', (message: FromThread) => this.#hear(message))
    this.#worker.on('error', (error: unknown) => this.#end(error instanceof Error ? error : new Error(String(error))))
    this.exited = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.#end(new StreamsError('closed', `a thread of the application ended with code ${code}`))
        resolve()
      })
    })
  }

  /** Asks the thread, between two turns of its event loop. */
  ask<Q extends Question>(question: Q): Promise<Answers[Q['what']]> {
    if (this.#hasEnded) return Promise.reject(new StreamsError('closed', 'the application has ended'))
    return new Promise((resolve, reject) => {
      const id = this.#nextQuestion++
      // First, because a key that cannot be sent throws, and nobody would answer.
      this.#worker.postMessage({ kind: 'ask', id, question })
      this.#questions.set(id, { resolve, reject })
    })
  }

  /** Lets the thread become a member of the group. */
  join(): void {
    this.#worker.postMessage({ kind: 'join' })
  }

  /** Has the application of the thread commit and hand over, or not start any more; `exited` resolves when it has. */
  close(): void {
    this.#worker.postMessage({ kind: 'close' })
  }

  /** Ends the thread where it is. */
  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }

  #hear(message: FromThread): void {
    switch (message.kind) {
      case 'prepared':
        this.#onPrepared()
        return
      case 'started':
        this.status = message.status
        this.#onStarted(message.applicationId)
        this.#events.onStatus()
        return
      case 'status':
        this.status = message.status
        this.#events.onStatus()
        return
      case 'answer': {
        this.status = message.status
        this.#take(message.id)?.resolve(withBuffers(message.value) as never)
        this.#events.onStatus()
        return
      }
      case 'refused':
        this.#take(message.id)?.reject(receivedError(message.error))
        return
      case 'log':
        this.#events.logger?.[message.level](message.message)
        return
      case 'ended':
        if (message.status !== null) this.status = message.status
        this.#end(message.error === null ? null : receivedError(message.error))
        return
    }
  }

  #take(id: number): { resolve: (value: never) => void; reject: (error: Error) => void } | undefined {
    const question = this.#questions.get(id)
    this.#questions.delete(id)
    return question
  }

  #end(error: Error | null): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.failure = error
    const reason = error ?? new StreamsError('closed', 'the application has ended')
    this.#onRefused(reason)
    for (const { reject } of this.#questions.values()) reject(reason)
    this.#questions.clear()
    this.#events.onEnd(error)
  }
}
