import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { Broker } from 'millrace'
import { expect, it } from 'vitest'
import { Cluster } from './cluster.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

it.skipIf(!hasOpenssl)('reaches brokers over TLS that it trusts, and no others', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-tls-'))
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const forLocalhost = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, '-days', '2']
  execFileSync('openssl', [...made, ...forLocalhost], { stdio: 'ignore' })
  const ca = readFileSync(cert)

  // The broker itself speaks plain text here; what stands before it ends the encryption.
  let brokerPort = 0
  const proxy = createServer({ key: readFileSync(key), cert: ca }, (client) => {
    const broker = connect(brokerPort, '127.0.0.1')
    client.pipe(broker).pipe(client)
    for (const socket of [client, broker]) socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const { port } = proxy.address() as AddressInfo
  const settings = { 'advertised.listeners': `PLAINTEXT://localhost:${port}` }
  await using broker = await Broker.start({ port: 0, settings })
  brokerPort = broker.port
  await broker.createTopic('t', { partitions: 3 })
  const brokers = [`localhost:${port}`]
  try {
    {
      await using cluster = await Cluster.connect({ brokers, tls: { ca }, tlsServerName: true })
      await cluster.watch(['t'])
      expect(cluster.topic('t')?.partitions).toHaveLength(3)
    }
    await expect(Cluster.connect({ brokers, tls: {} })).rejects.toThrow(/self-signed certificate/)
    await expect(Cluster.connect({ brokers })).rejects.toMatchObject({ code: 'connection-failed' })
  } finally {
    proxy.close()
    rmSync(directory, { recursive: true })
  }
})
