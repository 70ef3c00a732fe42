import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import { Connection, type ConnectionLimits } from './connection.ts'
import type { Dispatcher } from './dispatch.ts'
import type { Durability } from '../partition/durability.ts'
import type { Listener, Network } from './network.ts'
import type { OutgoingBytes } from './outgoing-bytes.ts'
import type { ReceiveBudget } from './receive-budget.ts'

/** How often idle connections are looked for. */
const SWEEP_INTERVAL_MS = 10_000

export interface ServerLimits extends ConnectionLimits {
  /** `max.connections` */
  readonly connectionsMax: number
  /** `connections.max.idle.ms`; -1 keeps idle connections for ever. */
  readonly idleMsMax: number
}

/** What the connections of all listeners share. */
export interface ServerBudgets {
  readonly budget: ReceiveBudget
  readonly outgoing: OutgoingBytes
}

/** Accepts connections on one listener and keeps track of them until it is closed. */
export class Server {
  readonly #clock: Clock
  readonly #network: Network
  readonly #logger: Logger
  readonly #dispatcher: Dispatcher
  readonly #durability: Durability
  readonly #limits: ServerLimits
  readonly #budgets: ServerBudgets
  /** Each open connection with the number of sweeps that found it idle. */
  readonly #connections = new Map<Connection, number>()
  #listener: Listener | null = null
  #sweepTimer: Timer | null = null

  constructor(options: {
    readonly clock: Clock
    readonly network: Network
    readonly logger: Logger
    readonly dispatcher: Dispatcher
    readonly durability: Durability
    readonly limits: ServerLimits
    readonly budgets: ServerBudgets
  }) {
    this.#clock = options.clock
    this.#network = options.network
    this.#logger = options.logger
    this.#dispatcher = options.dispatcher
    this.#durability = options.durability
    this.#limits = options.limits
    this.#budgets = options.budgets
  }

  get connectionCount(): number {
    return this.#connections.size
  }

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
        ...this.#budgets,
        logger: this.#logger,
        onClosed: (closed) => this.#connections.delete(closed),
      })
      if (this.#listener === null || this.#connections.size >= this.#limits.connectionsMax) {
        connection.close()
        return connection
      }
      this.#connections.set(connection, 0)
      return connection
    })
    this.#listener = listener
    this.#scheduleSweep()
    return listener
  }

  async close(): Promise<void> {
    this.#sweepTimer?.cancel()
    const listener = this.#listener
    this.#listener = null
    for (const connection of [...this.#connections.keys()]) connection.close()
    await listener?.close()
  }

  #scheduleSweep(): void {
    this.#sweepTimer = this.#clock.setTimer(SWEEP_INTERVAL_MS, () => {
      this.#sweep()
      this.#scheduleSweep()
    })
  }

  #sweep(): void {
    for (const [connection, idleSweeps] of [...this.#connections]) {
      const idle = connection.sweep() ? idleSweeps + 1 : 0
      this.#connections.set(connection, idle)
      if (this.#limits.idleMsMax >= 0 && idle * SWEEP_INTERVAL_MS > this.#limits.idleMsMax) connection.close()
    }
  }
}
