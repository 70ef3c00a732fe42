import { connect } from 'node:net'

// Metadata version 1: size, API key, version, correlation id, no client id, and no topics.
const request = Buffer.from('0000000e' + '0003' + '0001' + '00000001' + 'ffff' + '00000000', 'hex')

/** Asks a broker once: true when it answers and knows at least one broker, as it does when clients can use it. */
export function answersMetadata(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    let received: Buffer = Buffer.alloc(0)
    const finish = (answers: boolean): void => {
      socket.destroy()
      resolve(answers)
    }
    socket.setTimeout(2000, () => finish(false))
    socket.on('error', () => finish(false))
    socket.on('close', () => finish(false))
    socket.on('connect', () => socket.write(request))
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      // Size, correlation id, number of brokers.
      if (received.length >= 12 && received.length >= 4 + received.readInt32BE(0)) finish(received.readInt32BE(8) > 0)
    })
  })
}
