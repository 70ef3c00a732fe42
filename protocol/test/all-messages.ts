import * as protocol from '../src/index.ts'
import type { Fields, Message } from '../src/schema.ts'

/** Every table that the package exports, by the name of its message: APIs, headers, records of topics and files. */
export function allMessages(): Map<string, Message> {
  const messages = new Map<string, Message>()
  for (const exported of Object.values<unknown>(protocol))
    if (isMessage(exported)) messages.set(exported.name, exported)
  for (const { request, response } of Object.values<protocol.Api>(protocol.apis)) {
    messages.set(request.name, request)
    messages.set(response.name, response)
  }
  return messages
}

function isMessage(value: unknown): value is Message<Fields> {
  return typeof value === 'object' && value !== null && 'flexibleFrom' in value && 'fields' in value
}
