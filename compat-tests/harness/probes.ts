import { connect } from 'node:net'

/**
 * Whether the broker at this port answers a Metadata request with at least one broker: a port that accepts connections
 * is not enough, a starting Kafka lists no broker until its controller has unfenced it.
 */
export async function answersMetadata(port: number): Promise<boolean> {
  const noTopics = Buffer.from('00000000', 'hex')
  const answer = await ask(port, { apiKey: 3, apiVersion: 1, body: noTopics })
  return answer !== null && answer.readInt32BE(0) > 0
}

/** Whether the coordinator of this group can work already: a new `__consumer_offsets` is created and loaded first. */
export async function hasCoordinator(port: number, groupId: string): Promise<boolean> {
  const found = await ask(port, { apiKey: 10, apiVersion: 0, body: text(groupId) })
  if (found === null || found.readInt16BE(0) !== 0) return false
  const oneGroup = Buffer.concat([Buffer.from('00000001', 'hex'), text(groupId)])
  const described = await ask(port, { apiKey: 15, apiVersion: 0, body: oneGroup })
  return described !== null && described.readInt16BE(4) === 0
}

interface Question {
  readonly apiKey: number
  readonly apiVersion: number
  readonly body: Buffer
}

/** The body of the answer to one request of an old version, or null when there is none: no client is ready yet. */
function ask(port: number, { apiKey, apiVersion, body }: Question): Promise<Buffer | null> {
  // Size, API key, version, correlation id, and a client id that is null.
  const head = Buffer.from('00000000' + '0000' + '0000' + '00000001' + 'ffff', 'hex')
  head.writeInt32BE(head.length - 4 + body.length, 0)
  head.writeInt16BE(apiKey, 4)
  head.writeInt16BE(apiVersion, 6)

  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    let received: Buffer = Buffer.alloc(0)
    const finish = (answer: Buffer | null): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(2000, () => finish(null))
    socket.on('error', () => finish(null))
    socket.on('close', () => finish(null))
    socket.on('connect', () => socket.write(Buffer.concat([head, body])))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const sizeBytes = received.length < 4 ? Infinity : 4 + received.readInt32BE(0)
      if (received.length >= sizeBytes) finish(received.subarray(8, sizeBytes))
    })
  })
}

function text(value: string): Buffer {
  const length = Buffer.alloc(2)
  length.writeInt16BE(Buffer.byteLength(value))
  return Buffer.concat([length, Buffer.from(value)])
}
