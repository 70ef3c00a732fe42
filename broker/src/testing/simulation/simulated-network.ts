import { BrokerError } from '../../base/errors.ts'
import type { Listener, Network, Receiver, Socket } from '../../network/network.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { SimulatedClock } from './simulated-clock.ts'

/** What a client hears of its connection. */
export interface ClientEnd {
  received(bytes: Buffer): void
  /** Refused, closed by the broker, or reset. Called once at most, and not for what the client closed itself. */
  closed(): void
}

export interface ClientConnection {
  send(bytes: Uint8Array): void
  close(): void
}

export interface NetworkWeather {
  /** How long bytes are on their way. */
  readonly latencyMs: () => number
  /** Whether bytes arrive in pieces. */
  readonly splits: boolean
}

/**
 * A network whose bytes take time, arrive in pieces, and in another order between connections; within one they keep their
 * order. Connections can be cut, with or without anybody hearing of it.
 */
export class SimulatedNetwork {
  readonly #clock: SimulatedClock
  readonly #random: SeededRandom
  readonly #weather: NetworkWeather
  readonly #listeners = new Map<
    number,
    { readonly accept: (socket: Socket) => Receiver; readonly owner: ProcessNetwork }
  >()
  readonly #connections = new Set<Connection>()

  constructor(options: {
    readonly clock: SimulatedClock
    readonly random: SeededRandom
    readonly weather: NetworkWeather
  }) {
    this.#clock = options.clock
    this.#random = options.random
    this.#weather = options.weather
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  /** The network as one process of a broker sees it. */
  attach(): ProcessNetwork {
    return new ProcessNetwork({
      listen: (port, accept, owner) => this.#listen(port, accept, owner),
      close: (port, owner) => {
        if (this.#listeners.get(port)?.owner === owner) this.#listeners.delete(port)
      },
      ended: (owner, isHeard) => this.#ended(owner, isHeard),
    })
  }

  connect(port: number, client: ClientEnd): ClientConnection {
    const connection = new Connection({
      client,
      clock: this.#clock,
      random: this.#random,
      weather: this.#weather,
      closed: () => this.#connections.delete(connection),
    })
    this.#connections.add(connection)
    connection.opens(() => this.#listeners.get(port) ?? null, port)
    return connection
  }

  /** Cuts one of the connections that are open; `isHeard` false leaves both sides waiting for bytes that never come. */
  cutOne(isHeard: boolean): void {
    const open = [...this.#connections]
    if (open.length > 0) this.#random.pick(open).cut(isHeard)
  }

  #listen(port: number, accept: (socket: Socket) => Receiver, owner: ProcessNetwork): void {
    if (this.#listeners.has(port)) throw new BrokerError('ADDRESS_IN_USE', `port ${port} is in use by another program`)
    this.#listeners.set(port, { accept, owner })
  }

  #ended(owner: ProcessNetwork, isHeard: boolean): void {
    for (const [port, listener] of this.#listeners) if (listener.owner === owner) this.#listeners.delete(port)
    for (const connection of this.#connections) if (connection.owner === owner) connection.brokerDied(isHeard)
  }
}

interface ProcessNetworkOptions {
  readonly listen: (port: number, accept: (socket: Socket) => Receiver, owner: ProcessNetwork) => void
  readonly close: (port: number, owner: ProcessNetwork) => void
  readonly ended: (owner: ProcessNetwork, isHeard: boolean) => void
}

/** The network of one process: `end` is the death of it. */
export class ProcessNetwork implements Network {
  readonly #options: ProcessNetworkOptions
  #isEnded = false

  constructor(options: ProcessNetworkOptions) {
    this.#options = options
  }

  async listen(
    address: { readonly host: string; readonly port: number },
    accept: (socket: Socket) => Receiver,
  ): Promise<Listener> {
    if (this.#isEnded) throw new BrokerError('ADDRESS_UNAVAILABLE', 'the process is dead')
    this.#options.listen(address.port, accept, this)
    return {
      host: address.host,
      port: address.port,
      close: async () => this.#options.close(address.port, this),
    }
  }

  /** Its connections are gone; whether the clients hear of it depends on who is left to tell them. */
  end(isHeard: boolean): void {
    this.#isEnded = true
    this.#options.ended(this, isHeard)
  }
}

/** One connection with what is under way on it in both directions. */
class Connection implements ClientConnection {
  readonly #client: ClientEnd
  readonly #clock: SimulatedClock
  readonly #random: SeededRandom
  readonly #weather: NetworkWeather
  readonly #onClosed: () => void
  #receiver: Receiver | null = null
  owner: ProcessNetwork | null = null
  readonly #toBroker: Buffer[] = []
  readonly #toClient: Buffer[] = []
  #toClientBytes = 0
  #region: Uint8Array = Buffer.alloc(0)
  #isPaused = false
  #isDeliveringToBroker = false
  #isDeliveringToClient = false
  /** Nothing arrives any more in either direction, and nobody is told. */
  #isSilent = false
  #isClientClosed = false
  #isBrokerClosed = false

  constructor(options: {
    readonly client: ClientEnd
    readonly clock: SimulatedClock
    readonly random: SeededRandom
    readonly weather: NetworkWeather
    readonly closed: () => void
  }) {
    this.#client = options.client
    this.#clock = options.clock
    this.#random = options.random
    this.#weather = options.weather
    this.#onClosed = options.closed
  }

  opens(
    listener: () => { readonly accept: (socket: Socket) => Receiver; readonly owner: ProcessNetwork } | null,
    port: number,
  ): void {
    this.#later('connect', () => {
      if (this.#isClientClosed) return
      const found = listener()
      if (found === null) {
        this.#isBrokerClosed = true
        this.#tellClient()
        return
      }
      this.owner = found.owner
      this.#receiver = found.accept(this.#socket(port))
      if (this.#isBrokerClosed) return
      this.#region = this.#receiver.region()
      this.#deliverToBroker()
    })
  }

  send(bytes: Uint8Array): void {
    if (this.#isClientClosed) return
    for (const piece of this.#pieces(Buffer.from(bytes))) this.#toBroker.push(piece)
    this.#deliverToBroker()
  }

  /** What is under way to the broker may still arrive. */
  close(): void {
    if (this.#isClientClosed) return
    this.#isClientClosed = true
    this.#onClosed()
    if (this.#isSilent) return
    this.#later('client closed', () => this.#endBroker())
  }

  cut(isHeard: boolean): void {
    if (!isHeard) {
      this.#isSilent = true
      return
    }
    this.#endBroker()
    this.#tellClient()
  }

  brokerDied(isHeard: boolean): void {
    this.#isBrokerClosed = true
    this.#receiver = null
    if (isHeard) this.#later('reset', () => this.#tellClient())
    else this.#isSilent = true
  }

  #socket(port: number): Socket {
    // A getter of a literal would not see the private field of this object by `this`.
    const queuedBytes = (): number => this.#toClientBytes
    return {
      remoteHost: '127.0.0.1',
      localHost: '127.0.0.1',
      localPort: port,
      get queuedBytes() {
        return queuedBytes()
      },
      write: (buffers) => {
        if (this.#isBrokerClosed) return
        for (const piece of this.#pieces(Buffer.concat(buffers))) {
          this.#toClient.push(piece)
          this.#toClientBytes += piece.length
        }
        this.#deliverToClient()
      },
      pause: () => {
        this.#isPaused = true
      },
      resume: () => {
        this.#isPaused = false
        this.#deliverToBroker()
      },
      destroy: () => {
        if (this.#isBrokerClosed) return
        this.#endBroker()
        // Behind what is under way.
        if (this.#toClient.length === 0) this.#later('broker closed', () => this.#tellClient())
      },
    }
  }

  #deliverToBroker(): void {
    if (this.#isDeliveringToBroker || this.#isPaused || this.#receiver === null || this.#toBroker.length === 0) return
    this.#isDeliveringToBroker = true
    this.#later('request', () => {
      this.#isDeliveringToBroker = false
      if (this.#receiver === null || this.#isPaused || this.#isSilent) return
      const bytes = this.#toBroker.shift()!
      const count = Math.min(this.#region.length, bytes.length)
      this.#region.set(bytes.subarray(0, count))
      if (count < bytes.length) this.#toBroker.unshift(bytes.subarray(count))
      const receiver = this.#receiver
      receiver.received(count)
      // Closed while it worked on them.
      if (this.#isBrokerClosed) return
      this.#region = receiver.region()
      this.#deliverToBroker()
    })
  }

  #deliverToClient(): void {
    if (this.#isDeliveringToClient || this.#toClient.length === 0) return
    this.#isDeliveringToClient = true
    this.#later('response', () => {
      this.#isDeliveringToClient = false
      if (this.#isSilent) return
      const bytes = this.#toClient.shift()!
      this.#toClientBytes -= bytes.length
      if (!this.#isClientClosed) this.#client.received(bytes)
      if (this.#toClient.length > 0) this.#deliverToClient()
      else if (this.#isBrokerClosed) this.#tellClient()
      else if (this.#receiver !== null) this.#receiver.drained()
    })
  }

  #endBroker(): void {
    if (this.#isBrokerClosed) return
    this.#isBrokerClosed = true
    const receiver = this.#receiver
    this.#receiver = null
    receiver?.closed()
  }

  #tellClient(): void {
    if (this.#isClientClosed || this.#isSilent) return
    this.#isClientClosed = true
    this.#onClosed()
    this.#client.closed()
  }

  #pieces(bytes: Buffer): Buffer[] {
    if (bytes.length === 0) return []
    if (!this.#weather.splits || bytes.length < 2 || this.#random.chance(0.8)) return [bytes]
    const at = this.#random.between(1, bytes.length - 1)
    return [bytes.subarray(0, at), bytes.subarray(at)]
  }

  #later(what: string, run: () => void): void {
    this.#clock.schedule(what, this.#weather.latencyMs(), run)
  }
}
