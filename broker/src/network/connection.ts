import { apis } from '@millrace/protocol'
import { BrokerError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { Output, type Part } from '../handlers/output.ts'
import type { FileSlice } from '../log/file-slice.ts'
import type { Durability } from '../partition/durability.ts'
import type { Dispatcher } from './dispatch.ts'
import type { Receiver, Socket } from './network.ts'
import type { OutgoingBytes, SlowReader } from './outgoing-bytes.ts'
import type { BudgetHolder, ReceiveBudget } from './receive-budget.ts'
import { ReceiveBuffer } from './receive-buffer.ts'
import { SEND_BUFFER_BYTES, type SendBuffers } from './send-buffers.ts'

/** Responses that the peer has not taken or not been given: above this, no further request of the connection is begun. */
const UNSENT_BYTES_MAX = 1024 * 1024
/** Requests that are answered and wait for their writes to be durable: above this, no further one is begun. */
const HELD_RESPONSES_MAX = 256
/** Requests that wait behind an unanswered one: above this, the connection is not read from. */
const WAITING_BYTES_MAX = 256 * 1024

/** Responses that may go out when those before them have, and what they acknowledge is durable. */
interface HeldResponses {
  readonly parts: readonly Part[]
  readonly sizeBytes: number
  isReady: boolean
}

/** What a connection needs of it. */
export type ConnectionDurability = Pick<
  Durability,
  'requestBegins' | 'takeBarrier' | 'isGathering' | 'hasGathered' | 'writeGathered'
>

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
  readonly #dispatcher: Pick<Dispatcher, 'dispatch'>
  readonly #durability: ConnectionDurability
  readonly #logger: Logger
  readonly #onClosed: (connection: Connection) => void
  readonly #budget: ReceiveBudget
  readonly #outgoing: OutgoingBytes
  readonly #sendBuffers: SendBuffers
  readonly #buffer: ReceiveBuffer
  readonly #output = new Output()
  readonly #held: HeldResponses[] = []
  #heldBytes = 0
  readonly #closeListeners = new Set<() => void>()
  #isAnswering = false
  /** Whether the rest of a request may not be received yet. */
  #waitsForBudget = false
  #isReading = true
  #isProcessing = false
  #isClosed = false
  /** Whether anything arrived since the last sweep for idle connections, and what the peer had not taken then. */
  #wasActive = true
  #queuedBytesAtSweep = 0
  #idleSweeps = 0

  constructor(
    socket: Socket,
    options: {
      readonly dispatcher: Pick<Dispatcher, 'dispatch'>
      readonly durability: ConnectionDurability
      /** What the listener advertises; null for the address that the client dialled. */
      readonly advertised: { readonly host: string; readonly port: number } | null
      readonly limits: ConnectionLimits
      readonly budget: ReceiveBudget
      readonly outgoing: OutgoingBytes
      readonly sendBuffers: SendBuffers
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
    this.#sendBuffers = options.sendBuffers
    this.#logger = options.logger
    this.#onClosed = options.onClosed
    this.#buffer = new ReceiveBuffer(options.limits.frameBytesMax)
  }

  get isClosed(): boolean {
    return this.#isClosed
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
    this.#outgoing.forget(this)
    this.#onClosed(this)
  }

  get queuedBytes(): number {
    return this.socket.queuedBytes
  }

  dropSlow(): void {
    this.#logger.warn('connection closed: its responses are not being read, and their memory is needed', {
      client: this.clientHost,
      queuedBytes: this.queuedBytes,
    })
    this.close()
  }

  granted(bytes: number): void {
    this.#waitsForBudget = false
    this.#buffer.grant(bytes)
    this.#readOrNot()
  }

  reclaim(): void {
    if (this.#buffer.grantedBytes > 0 && this.#buffer.shrink()) this.#budget.release(this)
  }

  close(): void {
    this.socket.destroy()
    this.closed()
  }

  /**
   * Called at intervals; returns how many of them in a row the peer has let pass without a byte from or to it. A request
   * that stopped half-way is as idle as none; one that waits here is not.
   */
  sweep(): number {
    const { queuedBytes } = this.socket
    const waitsForUs = this.#isAnswering || this.#held.length > 0 || this.#waitsForBudget
    const wasIdle = !this.#wasActive && !waitsForUs && queuedBytes === this.#queuedBytesAtSweep
    this.#wasActive = false
    this.#queuedBytesAtSweep = queuedBytes
    this.#idleSweeps = wasIdle ? this.#idleSweeps + 1 : 0
    if (wasIdle && this.#buffer.shrink()) this.#budget.release(this)
    return this.#idleSweeps
  }

  #process(): void {
    // A handler may complete another connection's fetch, and that one this connection's: never enter twice.
    if (this.#isProcessing) return
    this.#isProcessing = true
    try {
      // What went out may have made room for more.
      do this.#answerWaiting()
      while (this.#flush() && !this.#isBlocked)
    } finally {
      this.#isProcessing = false
    }
    this.#askForBudget()
    this.#readOrNot()
  }

  #answerWaiting(): void {
    while (!this.#isClosed && !this.#isBlocked) {
      const sizeBytes = this.#buffer.nextFrameBytes()
      if (sizeBytes === -1) return
      if (sizeBytes === -2) {
        this.#refuse('frame size out of range')
        return
      }
      const start = this.#buffer.takeFrame(sizeBytes)
      const isProduce = sizeBytes >= 2 && this.#buffer.bytes.readInt16BE(start) === apis.produce.key
      if (!isProduce && !this.#writeGathered()) return
      this.#durability.isGathering = isProduce && (this.#durability.hasGathered || this.#buffer.nextFrameBytes() >= 0)
      try {
        this.#answer(start, start + sizeBytes)
      } finally {
        this.#durability.isGathering = false
      }
    }
  }

  /** Comes before everything that makes an append visible, and before the receive buffer is used again. */
  #writeGathered(): boolean {
    if (!this.#durability.hasGathered) return true
    if (this.#durability.writeGathered()) {
      this.#holdUntilDurable()
      return true
    }
    this.#logger.warn('connection closed: what it sent could not be written', { client: this.clientHost })
    this.close()
    return false
  }

  #askForBudget(): void {
    if (this.#isClosed || this.#waitsForBudget || this.#isBlocked) return
    const growthBytes = this.#buffer.growthBytes
    if (growthBytes === 0) {
      if (this.#budget.hasWaiters) this.reclaim()
    } else if (this.#budget.take(growthBytes, this)) {
      this.#buffer.grant(growthBytes)
    } else {
      this.#waitsForBudget = true
    }
  }

  #answer(start: number, end: number): void {
    let pending: Promise<void> | null
    // What was gathered is answered for together.
    if (!this.#durability.hasGathered) this.#durability.requestBegins()
    try {
      pending = this.#dispatcher.dispatch(this.#buffer.bytes, start, end, this, this.#output)
    } catch (error) {
      this.#failed(error)
      return
    }
    if (pending === null) {
      if (!this.#durability.hasGathered) this.#holdUntilDurable()
      return
    }
    this.#isAnswering = true
    pending.then(
      () => {
        this.#isAnswering = false
        if (!this.#isClosed) this.#process()
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
    let held: HeldResponses
    try {
      held = this.#hold(false)
    } catch (error) {
      this.#failed(error)
      return
    }
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

  #hold(isReady: boolean): HeldResponses {
    const { sizeBytes } = this.#output
    // A slice is good for this turn alone.
    const parts = this.#output.take().map((part) => (Buffer.isBuffer(part) ? part : bytesOf(part)))
    const held: HeldResponses = { parts, sizeBytes, isReady }
    this.#held.push(held)
    this.#heldBytes += sizeBytes
    return held
  }

  get #isBlocked(): boolean {
    if (this.#isAnswering || this.#held.length >= HELD_RESPONSES_MAX) return true
    return this.socket.queuedBytes + this.#heldBytes + this.#output.sizeBytes > UNSENT_BYTES_MAX
  }

  /** What may go out now, in order: held responses up to the first that is not ready, then what was made last. */
  #ready(): readonly Part[] {
    if (this.#held.length === 0) return this.#output.isEmpty ? [] : this.#output.take()
    const parts: Part[] = []
    while (this.#held[0]?.isReady) {
      const held = this.#held.shift()!
      this.#heldBytes -= held.sizeBytes
      parts.push(...held.parts)
    }
    if (this.#output.isEmpty) return parts
    if (this.#held.length === 0) return [...parts, ...this.#output.take()]
    this.#hold(true)
    return parts
  }

  /** Returns whether anything went out. */
  #flush(): boolean {
    if (!this.#writeGathered() || this.#isClosed) return false
    if (this.#held.length === 0 && this.#sendWritten()) return true
    let writtenBytes = 0
    let buffers: Buffer[] = []
    try {
      const parts = this.#ready()
      if (parts.length === 0) return false
      for (const part of parts) {
        writtenBytes += part.length
        if (Buffer.isBuffer(part)) {
          buffers.push(part)
          continue
        }
        // A response has a head.
        const head = buffers.pop()!
        if (buffers.length > 0) this.socket.write(buffers)
        buffers = []
        this.#sendSlice(head, part)
      }
    } catch (cause) {
      if (!(cause instanceof BrokerError)) throw cause
      // Half of a response is out.
      this.#logger.warn('connection closed: stored records cannot be read', {
        client: this.clientHost,
        error: cause.message,
      })
      this.close()
      return false
    }
    if (buffers.length > 0) this.socket.write(buffers)
    this.#outgoing.update(this, writtenBytes)
    return true
  }

  /** Most answers are small and go out at once, without a copy. False when there is something else to send, or nothing. */
  #sendWritten(): boolean {
    const written = this.#output.written()
    if (written === null || this.socket.sendNow === undefined) return false
    const sentBytes = this.socket.sendNow(written)
    this.#output.drop(sentBytes)
    if (sentBytes < written.length) return false
    this.#outgoing.update(this, sentBytes)
    return true
  }

  /** What the socket does not take at once is read, and waits for it in memory. */
  #sendSlice(head: Buffer, slice: FileSlice): void {
    const sentBytes = this.socket.sendStored?.(head, slice) ?? 0
    if (sentBytes < head.length) this.socket.write([sentBytes === 0 ? head : head.subarray(sentBytes)])
    for (let at = Math.max(0, sentBytes - head.length); at < slice.length; at += SEND_BUFFER_BYTES) {
      const buffer = this.#sendBuffers.take()
      const piece = buffer.subarray(0, Math.min(SEND_BUFFER_BYTES, slice.length - at))
      slice.read(piece, at)
      this.socket.write([piece], () => this.#sendBuffers.giveBack(buffer))
    }
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
    this.#closeInOrder()
  }

  #failed(error: unknown): void {
    if (this.#isClosed) return
    if (error instanceof RangeError) {
      this.#refuse(error.message)
      return
    }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#logger.error('connection closed: a request could not be answered', { client: this.clientHost, error: text })
    this.#closeInOrder()
  }

  /** The requests before the one that cannot be answered have their answers. */
  #closeInOrder(): void {
    if (!this.#output.isInFrame) this.#flush()
    this.close()
  }
}

function bytesOf(slice: FileSlice): Buffer {
  const bytes = Buffer.allocUnsafe(slice.length)
  slice.read(bytes, 0)
  return bytes
}
