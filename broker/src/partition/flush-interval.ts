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
    // One at a time; when it has ended the rest is looked at again.
    if (this.#isSyncing || this.#isStopped || this.#records === 0) return
    this.#records = 0
    this.#isSyncing = true
    this.#log.flush().then(
      () => {
        this.#isSyncing = false
        this.appended(0)
      },
      (cause: unknown) => {
        this.#isSyncing = false
        if (!this.#isStopped) this.#failed(cause)
      },
    )
  }
}
