import type { Logger } from '../base/logger.ts'
import { Output } from '../handlers/output.ts'
import type { Durability } from '../partition/durability.ts'
import type { Dispatcher } from './dispatch.ts'
import type { Receiver, Socket } from './network.ts'
import type { OutgoingBytes, SlowReader } from './outgoing-bytes.ts'
import type { BudgetHolder, ReceiveBudget } from './receive-budget.ts'
import { ReceiveBuffer } from './receive-buffer.ts'

/** Responses that the peer has not taken: above this, no further request of the connection is begun. */
const QUEUED_BYTES_MAX = 1024 * 1024
/** Requests that are answered and wait for their writes to be durable: above this, no further one is begun. */
const HELD_RESPONSES_MAX = 256
/** Requests that wait behind an unanswered one: above this, the connection is not read from. */
const WAITING_BYTES_MAX = 256 * 1024

/** Responses that may go out when those before them have, and what they acknowledge is durable. */
interface HeldResponses {
  readonly parts: readonly Buffer[]
  isReady: boolean
}

export interface ConnectionLimits {
  /** `socket.request.max.bytes` */
  readonly frameBytesMax: number
}

/**
 * One client connection: requests are answered one after the other, in order, as Kafka does. What arrives behind a
 * request that waits stays in the receive buffer, and beyond a bound in the kernel's.
 */
export class Connection implements Receiver, BudgetHolder, SlowReader {
  readonly socket: Socket
  readonly clientHost: string
  readonly endpoint: { readonly host: string; readonly port: number }
  readonly #dispatcher: Dispatcher
  readonly #durability: Durability
  readonly #logger: Logger
  readonly #onClosed: (connection: Connection) => void
  readonly #budget: ReceiveBudget
  readonly #outgoing: OutgoingBytes
  readonly #buffer: ReceiveBuffer
  readonly #output = new Output()
  readonly #held: HeldResponses[] = []
  readonly #closeListeners = new Set<() => void>()
  #isAnswering = false
  /** Whether the rest of a request may not be received yet. */
  #waitsForBudget = false
  #holdsBudget = false
  #isReading = true
  #isProcessing = false
  #isClosed = false
  /** Whether anything arrived since the last sweep for idle connections. */
  #wasActive = true

  constructor(
    socket: Socket,
    options: {
      readonly dispatcher: Dispatcher
      readonly durability: Durability
      /** What the listener advertises; null for the address that the client dialled. */
      readonly advertised: { readonly host: string; readonly port: number } | null
      readonly limits: ConnectionLimits
      readonly budget: ReceiveBudget
      readonly outgoing: OutgoingBytes
      readonly logger: Logger
      readonly onClosed: (connection: Connection) => void
    },
  ) {
    this.socket = socket
    this.clientHost = socket.remoteHost
    const { advertised } = options
    this.endpoint = {
      host: advertised?.host ?? socket.localHost,
      port: advertised === null || advertised.port === 0 ? socket.localPort : advertised.port,
    }
    this.#dispatcher = options.dispatcher
    this.#durability = options.durability
    this.#budget = options.budget
    this.#outgoing = options.outgoing
    this.#logger = options.logger
    this.#onClosed = options.onClosed
    this.#buffer = new ReceiveBuffer(options.limits.frameBytesMax)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Whether a request is being answered or bytes of one are here. */
  get isBusy(): boolean {
    return this.#isAnswering || this.#held.length > 0 || this.#buffer.waitingBytes > 0 || this.socket.queuedBytes > 0
  }

  /** Calls back when the connection is gone; returns how to take that back. */
  onClose(callback: () => void): () => void {
    this.#closeListeners.add(callback)
    return () => this.#closeListeners.delete(callback)
  }

  region(): Buffer {
    return this.#buffer.region()
  }

  received(byteCount: number): void {
    this.#buffer.received(byteCount)
    this.#wasActive = true
    this.#process()
  }

  drained(): void {
    this.#outgoing.update(this, 0)
    this.#process()
  }

  closed(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const callback of this.#closeListeners) callback()
    this.#closeListeners.clear()
    this.#budget.release(this)
    this.#outgoing.update(this, 0)
    this.#onClosed(this)
  }

  dropSlow(): void {
    this.#refuse('responses are not being read, and their memory is needed')
  }

  granted(): void {
    this.#waitsForBudget = false
    this.#holdsBudget = true
    this.#readOrNot()
  }

  reclaim(): void {
    if (!this.#holdsBudget || !this.#buffer.shrink()) return
    this.#holdsBudget = false
    this.#budget.release(this)
  }

  close(): void {
    this.socket.destroy()
    this.closed()
  }

  /** Returns whether the connection was idle since the last call, giving its grown buffer back if so. */
  sweep(): boolean {
    const wasIdle = !this.#wasActive && !this.isBusy
    this.#wasActive = false
    if (wasIdle) {
      if (this.#holdsBudget) this.reclaim()
      else this.#buffer.shrink()
    }
    return wasIdle
  }

  #process(): void {
    // A handler may complete another connection's fetch, and that one this connection's: never enter twice.
    if (this.#isProcessing) return
    this.#isProcessing = true
    try {
      while (!this.#isClosed && !this.#isBlocked) {
        const sizeBytes = this.#buffer.nextFrameBytes()
        if (sizeBytes === -1) break
        if (sizeBytes === -2) {
          this.#refuse('frame size out of range')
          return
        }
        const start = this.#buffer.takeFrame(sizeBytes)
        this.#answer(start, start + sizeBytes)
      }
    } finally {
      this.#isProcessing = false
    }
    this.#flush()
    this.#askForBudget()
    this.#readOrNot()
  }

  #askForBudget(): void {
    if (this.#isClosed || this.#waitsForBudget || this.#isAnswering) return
    const growthBytes = this.#buffer.growthBytes
    if (growthBytes === 0) {
      if (this.#holdsBudget && this.#budget.hasWaiters) this.reclaim()
    } else if (this.#budget.take(growthBytes, this)) {
      this.#holdsBudget = true
    } else {
      this.#waitsForBudget = true
    }
  }

  #answer(start: number, end: number): void {
    let pending: Promise<void> | null
    try {
      pending = this.#dispatcher.dispatch(this.#buffer.bytes, start, end, this, this.#output)
    } catch (error) {
      this.#failed(error)
      return
    }
    if (pending === null) {
      this.#holdUntilDurable()
      return
    }
    this.#isAnswering = true
    pending.then(
      () => {
        this.#isAnswering = false
        if (this.#isClosed) return
        this.#holdUntilDurable()
        this.#process()
      },
      (error: unknown) => {
        this.#isAnswering = false
        this.#failed(error)
      },
    )
  }

  /** Keeps the responses made so far back while the writes that they acknowledge are not durable. */
  #holdUntilDurable(): void {
    const barrier = this.#durability.takeBarrier()
    if (barrier === null || this.#output.isEmpty) return
    const held: HeldResponses = { parts: this.#output.take(), isReady: false }
    this.#held.push(held)
    barrier.whenPassed((isDurable) => {
      if (this.#isClosed) return
      if (!isDurable) {
        this.#refuse('what was written could not be made durable')
        return
      }
      held.isReady = true
      // Several may become ready in one turn; the first one in the row sends them all.
      if (this.#held[0] === held) this.#process()
    })
  }

  get #isBlocked(): boolean {
    return this.#isAnswering || this.#held.length >= HELD_RESPONSES_MAX || this.socket.queuedBytes > QUEUED_BYTES_MAX
  }

  /** What may go out now, in order: held responses up to the first that is not ready, then what was made last. */
  #ready(): readonly Buffer[] {
    if (this.#held.length === 0) return this.#output.isEmpty ? [] : this.#output.take()
    const parts: Buffer[] = []
    while (this.#held[0]?.isReady) parts.push(...this.#held.shift()!.parts)
    if (this.#output.isEmpty) return parts
    if (this.#held.length === 0) return [...parts, ...this.#output.take()]
    this.#held.push({ parts: this.#output.take(), isReady: true })
    return parts
  }

  #flush(): void {
    if (this.#isClosed) return
    const parts = this.#ready()
    if (parts.length === 0) return
    this.socket.write(parts)
    const { queuedBytes } = this.socket
    if (queuedBytes > 0) this.#outgoing.update(this, queuedBytes)
  }

  #readOrNot(): void {
    if (this.#isClosed) return
    const shouldRead = !this.#waitsForBudget && (!this.#isBlocked || this.#buffer.waitingBytes < WAITING_BYTES_MAX)
    if (shouldRead === this.#isReading) return
    this.#isReading = shouldRead
    if (shouldRead) this.socket.resume()
    else this.socket.pause()
  }

  #refuse(reason: string): void {
    this.#logger.warn('connection closed: request refused', { client: this.clientHost, reason })
    this.close()
  }

  #failed(error: unknown): void {
    if (this.#isClosed) return
    if (error instanceof RangeError) {
      this.#refuse(error.message)
      return
    }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#logger.error('connection closed: a request could not be answered', { client: this.clientHost, error: text })
    this.close()
  }
}
