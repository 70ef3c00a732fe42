import { join } from 'node:path'
import { durationMs, type Duration } from '../../duration.ts'
import { StreamsError } from '../../errors.ts'
import type { Answer, Row, WindowRow } from '../../interactive/store-query.ts'
import type { AppState, Metrics } from '../app.ts'
import type { RunOptions } from '../options.ts'
import { RestoreWatch, type RestoreSummary } from '../restore-watch.ts'
import { settingsOf } from '../settings.ts'
import { mergedMetrics, mergedState } from './merged-metrics.ts'
import type { ThreadOptions } from './messages.ts'
import { ThreadHandle } from './thread-handle.ts'

const CLOSE_TIMEOUT_MS = 30_000
const RESTORE_EVERY_MS = 100
/** What a thread may need beyond the close timeout that it keeps itself. */
const EXIT_MS = 5_000

/**
 * A topology at work in several threads of this process, each a member of the group with connections, state and tasks of
 * its own. Functions do not cross threads, so it is made from the module that exports the topology, which every thread
 * imports for itself; what a module keeps in variables is kept once per thread.
 */
export class ThreadedApp implements AsyncDisposable {
  readonly applicationId: string
  readonly #threads: ThreadHandle[]
  readonly #closeTimeoutMs: number
  #failure: Error | null = null
  #closing: Promise<void> | null = null
  #isClosed = false
  readonly closed: Promise<void>
  #onClosed!: () => void
  readonly #waiting = new Set<() => void>()

  /** Starts threads that check and prepare all that can be, and lets them join the group when each has. */
  static async run(module: URL, options: RunOptions): Promise<ThreadedApp> {
    settingsOf(options)
    const count = options.workers ?? 1
    const closeTimeoutMs = durationMs(options.closeTimeout ?? CLOSE_TIMEOUT_MS)
    const { logger = null, signal, openBacking, workers: _, ...rest } = options
    if (openBacking !== undefined) {
      throw new StreamsError('invalid-option', 'openBacking is a function, and functions do not cross threads')
    }
    const listeners: { onStatus: () => void; onEnd: (error: Error | null) => void } = { onStatus() {}, onEnd() {} }
    const events = {
      logger,
      onStatus: () => listeners.onStatus(),
      onEnd: (error: Error | null) => listeners.onEnd(error),
    }
    const start = (index: number): ThreadHandle => {
      const data = { module: module.href, options: optionsOf(rest, index), isLogged: logger !== null }
      try {
        return new ThreadHandle(data, events)
      } catch (cause) {
        if ((cause as Error).name !== 'DataCloneError') throw cause
        throw new StreamsError('invalid-option', `options for threads have to be data: ${(cause as Error).message}`, {
          cause,
        })
      }
    }
    signal?.throwIfAborted()
    const threads = Array.from({ length: count }, (_unused, index) => start(index))
    const stopped = aborted(signal)
    try {
      await Promise.race([stopped, Promise.all(threads.map(({ prepared }) => prepared))])
      // Together, so that the group gives each thread the tasks whose state it has.
      for (const thread of threads) thread.join()
      const started = Promise.all(threads.map((thread) => thread.started))
      const [applicationId] = await Promise.race([stopped, started])
      const app = new ThreadedApp(applicationId!, threads, closeTimeoutMs)
      listeners.onStatus = () => app.#tellWaiting()
      listeners.onEnd = (error) => app.#ended(error)
      // Some may have ended while the last one started.
      for (const thread of threads) if (thread.failure !== null) app.#ended(thread.failure)
      if (signal?.aborted === true) void app.close()
      signal?.addEventListener('abort', () => void app.close(), { once: true })
      return app
    } catch (error) {
      // Some may be members of the group, which they have to leave.
      if (signal?.aborted === true) await closeAll(threads, closeTimeoutMs)
      else await Promise.all(threads.map((thread) => thread.terminate()))
      throw error
    }
  }

  private constructor(applicationId: string, threads: ThreadHandle[], closeTimeoutMs: number) {
    this.applicationId = applicationId
    this.#threads = threads
    this.#closeTimeoutMs = closeTimeoutMs
    this.closed = new Promise((resolve) => (this.#onClosed = resolve))
  }

  /** Why the application has ended by itself: the first failure of a thread, which ends the others. */
  get failure(): Error | null {
    return this.#failure
  }

  get state(): AppState {
    if (this.#isClosed) return this.#failure === null ? 'closed' : 'failed'
    if (this.#closing !== null) return 'closing'
    return mergedState(this.#threads.map(({ status }) => status?.state ?? 'starting'))
  }

  /** As the threads have told a quarter of a second ago or less; `refresh` has them tell now. */
  metrics(): Metrics {
    const all = this.#threads.flatMap(({ status }) => (status === null ? [] : [status.metrics]))
    return mergedMetrics(all, this.state)
  }

  async refresh(): Promise<Metrics> {
    await Promise.all(this.#threads.map((thread) => thread.ask({ what: 'metrics' })))
    return this.metrics()
  }

  /** Stores the progress of everything now instead of at the next interval. */
  async commit(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.ask({ what: 'commit' })))
  }

  /** Resolves when every task of this process is at work; fails when the application ends before that. */
  async running(): Promise<void> {
    while (this.state !== 'running') {
      if (this.#closing !== null || this.#isClosed) {
        throw this.#failure ?? new StreamsError('closed', `${this.applicationId} was closed before it was at work`)
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  /** How far the state of this process's tasks is, every so often, until all of it is there. */
  async *restoring(every: Duration = RESTORE_EVERY_MS): AsyncGenerator<RestoreSummary, void, void> {
    const look = this.watchRestore()
    for (;;) {
      const summary = look()
      yield summary
      if (summary.isDone) return
      let timer: NodeJS.Timeout | undefined
      const pause = new Promise<void>((resolve) => (timer = setTimeout(resolve, durationMs(every))))
      await Promise.race([pause, this.running()])
      clearTimeout(timer)
    }
  }

  watchRestore(): () => RestoreSummary {
    const watch = new RestoreWatch(performance.now())
    return () => watch.look(this.metrics().restore, this.state === 'running', performance.now())
  }

  /** Reads a store by its name, in whichever thread it is. Keys and values are copied between threads. */
  query<K, V>(store: string): ThreadedQuery<K, V> {
    return new ThreadedQuery(this.#threads, store)
  }

  /** Commits, hands the tasks over and ends, within the close timeout. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    this.#tellWaiting()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await closeAll(this.#threads, this.#closeTimeoutMs)
    this.#isClosed = true
    this.#tellWaiting()
    this.#onClosed()
  }

  #ended(error: Error | null): void {
    if (error !== null && this.#closing === null) this.#failure ??= error
    // One thread less is an application that no longer does what it was asked to.
    void this.close()
  }

  #tellWaiting(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

/**
 * Reads a store of an application in threads, as `StoreQuery` does one of this thread. Every answer is a promise, and a
 * copy: what structured cloning does not copy (functions, the classes of objects) is refused or left out.
 */
export class ThreadedQuery<K, V> {
  readonly #threads: readonly ThreadHandle[]
  readonly #store: string

  constructor(threads: readonly ThreadHandle[], store: string) {
    this.#threads = threads
    this.#store = store
  }

  /** The value of a key in a table, null when it has none. */
  get(key: K): Promise<Answer<V | null>> {
    return this.#first((thread) => thread.ask({ what: 'get', store: this.#store, key }) as Promise<Answer<V | null>>)
  }

  /** The windows or sessions of a key that start in `[from, to]`, in the order of their starts. */
  windows(key: K, between: { readonly from?: number; readonly to?: number } = {}): Promise<Answer<WindowRow<K, V>[]>> {
    return this.#first(
      (thread) =>
        thread.ask({ what: 'windows', store: this.#store, key, ...between }) as Promise<Answer<WindowRow<K, V>[]>>,
    )
  }

  /** The rows of this instance with keys in `[from, to]`, thread by thread, within each by partition and key bytes. */
  async *range(from: K | null, to: K | null): AsyncGenerator<Row<K, V>, void, void> {
    for (const thread of this.#threads) {
      yield* (await thread.ask({ what: 'range', store: this.#store, from, to })) as readonly Row<K, V>[]
    }
  }

  /** Every row of this instance, thread by thread; those of windows and sessions have their times. */
  async *all(): AsyncGenerator<Row<K, V> | WindowRow<K, V>, void, void> {
    for (const thread of this.#threads) {
      yield* (await thread.ask({ what: 'all', store: this.#store })) as readonly (Row<K, V> | WindowRow<K, V>)[]
    }
  }

  /** Where a key's state is: whether in a thread of this instance, and the address if not. */
  async owner(key: K): Promise<{ readonly isLocal: boolean; readonly owner: string | null }> {
    const answers = await Promise.all(
      this.#threads.map((thread) => thread.ask({ what: 'owner', store: this.#store, key })),
    )
    return answers.find(({ isLocal }) => isLocal) ?? answers[0]!
  }

  /** The answer of the thread that has the key, or of any that knows which instance has. */
  async #first<T>(ask: (thread: ThreadHandle) => Promise<Answer<T>>): Promise<Answer<T>> {
    const answers = await Promise.all(this.#threads.map(ask))
    return answers.find(({ isLocal }) => isLocal) ?? answers[0]!
  }
}

/** Fails when the signal says stop; never resolves. */
function aborted(signal: AbortSignal | undefined): Promise<never> {
  const stopped = new Promise<never>((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
  stopped.catch(() => {})
  return stopped
}

/** Has all threads commit and leave, and ends those that take too long. */
async function closeAll(threads: readonly ThreadHandle[], closeTimeoutMs: number): Promise<void> {
  for (const thread of threads) thread.close()
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, closeTimeoutMs + EXIT_MS)))
  await Promise.race([Promise.all(threads.map(({ exited }) => exited)), timeout])
  clearTimeout(timer)
  await Promise.all(threads.map((thread) => thread.terminate()))
}

/** Each thread is an instance of its own to the group, and to the disk. */
function optionsOf(options: ThreadOptions, index: number): ThreadOptions {
  const { stateDir, instanceId } = options
  return {
    ...options,
    ...(stateDir === undefined ? {} : { stateDir: join(stateDir, `thread-${index}`) }),
    ...(instanceId === undefined ? {} : { instanceId: `${instanceId}-${index}` }),
  }
}
