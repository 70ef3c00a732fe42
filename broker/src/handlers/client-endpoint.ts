import type { RequestContext } from './handler.ts'

/**
 * The address at which this client reaches the broker again: the one its listener advertises, or without such the one it
 * dialled, which works for everybody who got here without a port being forwarded.
 */
export function clientEndpoint(context: RequestContext): { readonly host: string; readonly port: number } {
  const { listenerHost, listenerPort, services } = context
  const { listeners } = services.config
  const listener = listeners.find(({ port }) => port === listenerPort) ?? listeners[0]
  return listener?.advertised ?? { host: listenerHost, port: listenerPort }
}
