import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import { Connection, type ConnectionLimits } from './connection.ts'
import type { Dispatcher } from './dispatch.ts'
import type { Durability } from '../partition/durability.ts'
import type { Listener, Network } from './network.ts'
import { OutgoingBytes } from './outgoing-bytes.ts'
import { ReceiveBudget } from './receive-budget.ts'
import { SendBuffers } from './send-buffers.ts'

/** How often idle connections are looked for. */
const SWEEP_INTERVAL_MS = 10_000

export interface ServerLimits extends ConnectionLimits {
  /** `max.connections`, of all listeners together. */
  readonly connectionsMax: number
  /** `connections.max.idle.ms`; -1 keeps idle connections for ever. */
  readonly idleMsMax: number
  /** Of requests that have not arrived whole, see ReceiveBudget. */
  readonly receivedBytesMax: number
  /** Of responses that have not been taken, see OutgoingBytes. */
  readonly outgoingBytesMax: number
}

/** Accepts connections on the listeners of a node and keeps track of them until it is closed. */
export class Server {
  readonly #clock: Clock
  readonly #network: Network
  readonly #logger: Logger
  readonly #dispatcher: Dispatcher
  readonly #durability: Durability
  readonly #limits: ServerLimits
  readonly #budget: ReceiveBudget
  readonly #outgoing: OutgoingBytes
  readonly #sendBuffers = new SendBuffers()
  readonly #connections = new Set<Connection>()
  readonly #listeners: Listener[] = []
  #sweepTimer: Timer | null = null
  #isClosed = false

  constructor(options: {
    readonly clock: Clock
    readonly network: Network
    readonly logger: Logger
    readonly dispatcher: Dispatcher
    readonly durability: Durability
    /** Looked at each time, as some of them change while the node runs. */
    readonly limits: ServerLimits
  }) {
    this.#clock = options.clock
    this.#network = options.network
    this.#logger = options.logger
    this.#dispatcher = options.dispatcher
    this.#durability = options.durability
    this.#limits = options.limits
    this.#budget = new ReceiveBudget(options.limits.receivedBytesMax)
    this.#outgoing = new OutgoingBytes(options.limits.outgoingBytesMax)
    this.#scheduleSweep()
  }

  /** `advertised` is what the listener's clients are told to connect to; null for the address that they dialled. */
  async listen(
    address: { readonly host: string; readonly port: number },
    advertised: { readonly host: string; readonly port: number } | null,
  ): Promise<Listener> {
    const listener = await this.#network.listen(address, (socket) => {
      const connection = new Connection(socket, {
        dispatcher: this.#dispatcher,
        durability: this.#durability,
        advertised,
        limits: this.#limits,
        budget: this.#budget,
        outgoing: this.#outgoing,
        sendBuffers: this.#sendBuffers,
        logger: this.#logger,
        onClosed: (closed) => this.#connections.delete(closed),
      })
      if (this.#isClosed || this.#connections.size >= this.#limits.connectionsMax) connection.close()
      else this.#connections.add(connection)
      return connection
    })
    this.#listeners.push(listener)
    return listener
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#sweepTimer?.cancel()
    for (const connection of [...this.#connections]) connection.close()
    await Promise.all(this.#listeners.map((listener) => listener.close()))
  }

  #scheduleSweep(): void {
    this.#sweepTimer = this.#clock.setTimer(SWEEP_INTERVAL_MS, () => {
      this.#sweep()
      this.#scheduleSweep()
    })
  }

  #sweep(): void {
    const { idleMsMax } = this.#limits
    for (const connection of [...this.#connections]) {
      const idleMs = connection.sweep() * SWEEP_INTERVAL_MS
      if (idleMsMax >= 0 && idleMs > idleMsMax) connection.close()
    }
  }
}
