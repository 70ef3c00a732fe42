import type { Clock, Timer } from '../base/clock.ts'
import type { PartitionLog } from '../log/partition-log.ts'

/**
 * Syncs a log whose acknowledgements say "written" and no more: once `flush.messages` records are not synced, and
 * `flush.ms` after the first of them, by the settings that the log has then. Nobody waits for it: it bounds what a power
 * cut can take. With Kafka's defaults it does nothing.
 */
export class FlushInterval {
  readonly #log: PartitionLog
  readonly #clock: Clock
  readonly #failed: (cause: unknown) => void
  /** Records appended since the last sync began. */
  #records = 0
  #timer: Timer | null = null
  #isSyncing = false
  /** The next sync was due while one was under way. */
  #isDue = false
  #isStopped = false

  constructor(log: PartitionLog, clock: Clock, failed: (cause: unknown) => void) {
    this.#log = log
    this.#clock = clock
    this.#failed = failed
  }

  appended(recordCount: number): void {
    const { flushMessages, flushMs } = this.#log.config
    if ((flushMessages === Infinity && flushMs === Infinity) || this.#isStopped) return
    this.#records += recordCount
    if (this.#records >= flushMessages) this.#sync()
    else if (flushMs !== Infinity && this.#records > 0)
      this.#timer ??= this.#clock.setTimer(flushMs, () => this.#sync())
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#timer = null
  }

  #sync(): void {
    this.#timer?.cancel()
    this.#timer = null
    if (this.#isStopped || this.#records === 0) return
    // One at a time; what was due meanwhile comes when it has ended.
    this.#isDue = this.#isSyncing
    if (this.#isSyncing) return
    this.#records = 0
    this.#isSyncing = true
    this.#log.flush().then(
      () => {
        this.#isSyncing = false
        if (this.#isDue) this.#sync()
      },
      (cause: unknown) => {
        this.#isSyncing = false
        if (!this.#isStopped) this.#failed(cause)
      },
    )
  }
}
