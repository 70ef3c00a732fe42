// Prints the source of a compiled codec: `node -C source scripts/protocol-show.ts produce 9`, or of a single message, as
// in `fetchResponse 12` or `partitionRecord 2`.
import * as protocol from '@millrace/protocol'
import type { Message } from '@millrace/protocol'
import { codecSource } from '../protocol/src/compile.ts'

const USAGE = 'usage: protocol-show <api or message> <version>, as in: produce 9, FetchResponse 12, partitionRecord 2'

/** The sources of the messages that `name` means at this version: two for an API, one for a message. */
export function sourcesOf(name: string, version: number): string[] {
  const found = messages().filter((message) => {
    const wanted = name.toLowerCase()
    return [wanted, `${wanted}request`, `${wanted}response`].includes(message.name.toLowerCase())
  })
  if (found.length === 0) throw new RangeError(`there is no API and no message ${name}`)
  return found.map((message) => {
    if (!(version >= message.minVersion && version <= message.maxVersion)) {
      throw new RangeError(`${message.name} has the versions ${message.minVersion} to ${message.maxVersion}`)
    }
    return `// ${message.name}, version ${version}\n${codecSource(message, version)}`
  })
}

function messages(): Message[] {
  const ofApis = Object.values<protocol.Api>(protocol.apis).flatMap(({ request, response }) => [request, response])
  const others = Object.values<unknown>(protocol).filter(
    (value): value is Message => typeof value === 'object' && value !== null && 'flexibleFrom' in value,
  )
  return [...ofApis, ...others]
}

if (import.meta.main) {
  const [name, version] = process.argv.slice(2)
  try {
    if (name === undefined || version === undefined) throw new RangeError(USAGE)
    console.log(sourcesOf(name, Number(version)).join('\n'))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    console.error(error.message)
    process.exitCode = 2
  }
}
