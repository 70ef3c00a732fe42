import { ConfigError } from '../base/errors.ts'
import { splitList } from './option.ts'

/** An address clients connect to, and the one they are told of. */
export interface Listener {
  readonly name: string
  /** Empty for every interface. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** What Metadata answers; null for the address the client dialled. */
  readonly advertised: { readonly host: string; readonly port: number } | null
}

interface ListenerSettings {
  readonly listeners: string
  readonly advertised: string | null
  readonly protocols: string
  readonly controllerListeners: string
}

const ENDPOINT = /^([^:/\s]+):\/\/(?:\[([0-9a-fA-F:.%]+)\]|([^:/\s[\]]*)):(\d{1,5})$/

/** The listeners of the settings, without those for controllers: the node is its own controller and calls itself. */
export function parseListeners(settings: ListenerSettings): Listener[] {
  const protocols = parseProtocols(settings.protocols)
  const controllers = splitList(settings.controllerListeners).map((name) => name.toUpperCase())
  const advertised = new Map(
    splitList(settings.advertised ?? '').map((text) => {
      const endpoint = parseEndpoint('advertised.listeners', text)
      if (endpoint.host === '0.0.0.0' || endpoint.host === '::') {
        throw new ConfigError('advertised.listeners', text, 'no client can connect to this address: use a routable one')
      }
      return [endpoint.name, endpoint]
    }),
  )

  const listeners: Listener[] = []
  for (const text of splitList(settings.listeners)) {
    const { name, host, port } = parseEndpoint('listeners', text)
    if (controllers.includes(name)) continue
    if (listeners.some((other) => other.name === name)) {
      throw new ConfigError('listeners', settings.listeners, `two listeners are named ${name}`)
    }
    const protocol = protocols.get(name)
    if (protocol === undefined) {
      throw new ConfigError('listeners', text, `listener.security.protocol.map has no protocol for ${name}`)
    }
    // A listener that asks for encryption or passwords must not come up without.
    if (protocol !== 'PLAINTEXT')
      throw new ConfigError('listeners', text, `${protocol} is not there yet, only PLAINTEXT`)
    const told = advertised.get(name)
    listeners.push({
      name,
      host,
      port,
      advertised: told ? { host: told.host === '' ? 'localhost' : told.host, port: told.port } : null,
    })
    advertised.delete(name)
  }
  if (listeners.length === 0) {
    throw new ConfigError('listeners', settings.listeners, 'no listener for clients: NAME://host:port')
  }
  for (const name of advertised.keys()) {
    if (controllers.includes(name)) continue
    throw new ConfigError('advertised.listeners', settings.advertised, `listeners has none named ${name}`)
  }
  return listeners
}

export function isLoopback({ host }: Listener): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}

function parseEndpoint(setting: string, text: string): { name: string; host: string; port: number } {
  const match = ENDPOINT.exec(text)
  const port = Number(match?.[4])
  if (!match || port > 65535)
    throw new ConfigError(setting, text, 'NAME://host:port expected, as PLAINTEXT://127.0.0.1:9092')
  return { name: match[1]!.toUpperCase(), host: match[2] ?? match[3]!, port }
}

function parseProtocols(text: string): Map<string, string> {
  return new Map(
    splitList(text).map((entry) => {
      const [name, protocol] = entry.split(':')
      if (!name || !protocol) {
        throw new ConfigError('listener.security.protocol.map', text, 'NAME:PROTOCOL expected, separated by commas')
      }
      return [name.trim().toUpperCase(), protocol.trim().toUpperCase()]
    }),
  )
}
