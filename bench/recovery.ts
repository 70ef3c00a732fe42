// How long a start takes after a crash: `npm run bench:recovery [-- --mb 960 --batch-kb 64]`.
//
// A broker is filled, killed with SIGKILL and started again on the same data directory; what is measured is the time from
// the spawn to the first answered Metadata request. The log is one segment of one partition. Of its size a part was synced
// (`acks.after=fsync`) and the rest only written (`acks.after=write`): that rest is what a start has to check. The page cache
// is warm, as after a crash of the process; after a crash of the machine the same bytes come from the disk.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { apis, buildBatch, codec, Reader, requestHeaderVersion, Writer, type Api } from '@millrace/protocol'
import { answersMetadata } from './measure/metadata-probe.ts'
import { cpuSeconds } from './measure/proc.ts'
import { BackgroundProcess } from './measure/processes.ts'

const command = resolve(import.meta.dirname, '..', 'broker', 'bin', 'millrace.js')
const IN_FLIGHT = 16
const MB = 1024 * 1024
const STARTS = 3

const { values } = parseArgs({
  options: { mb: { type: 'string', default: '960' }, 'batch-kb': { type: 'string', default: '64' } },
})
const batchBytes = Number(values['batch-kb']) * 1024
const totalMb = Number(values.mb)

/** What a start reads back, of `totalMb`. */
const shares = [0, 1 / 16, 1 / 4, 1 / 2, 1]

console.log(
  `one partition of ${totalMb} MB in one segment, batches of ${batchBytes / 1024} KB, Node ${process.version}`,
)
console.log('')
console.log(
  `| not synced, MB | after SIGKILL, ms, the fastest of ${STARTS} | of that CPU, ms | after SIGTERM, ms | of that CPU, ms |`,
)
console.log('|---|---|---|---|---|')
for (const share of shares) {
  const unsyncedMb = Math.round(totalMb * share)
  const { killed, closed } = await measure(totalMb - unsyncedMb, unsyncedMb)
  const cells = [unsyncedMb, killed.wallMs, killed.cpuMs, closed.wallMs, closed.cpuMs].map((cell) => cell.toFixed(0))
  console.log(`| ${cells.join(' | ')} |`)
}

interface StartTime {
  readonly wallMs: number
  readonly cpuMs: number
}

async function measure(syncedMb: number, unsyncedMb: number): Promise<{ killed: StartTime; closed: StartTime }> {
  const workDir = mkdtempSync(join(tmpdir(), 'bench-recovery-'))
  try {
    const first = await start(workDir, 'fsync')
    await createTopic(first.port)
    await fill(first.port, syncedMb)
    // The recovery points are written once a second.
    await new Promise((done) => setTimeout(done, 1500))
    await first.child.stop('SIGKILL')

    const times: StartTime[] = []
    for (let i = 0; i < STARTS; i++) {
      const broker = await start(workDir, 'write')
      if (i > 0) times.push(broker.time)
      // Only the first of these writes; the others find the log as it was left, with nothing of it synced.
      else await fill(broker.port, unsyncedMb)
      await broker.child.stop('SIGKILL')
    }
    const last = await start(workDir, 'write')
    times.push(last.time)
    await last.child.stop('SIGTERM')
    const clean = await start(workDir, 'write')
    await clean.child.stop('SIGTERM')
    const fastest = times.reduce((least, time) => (time.wallMs < least.wallMs ? time : least))
    return { killed: fastest, closed: clean.time }
  } finally {
    rmSync(workDir, { recursive: true, force: true })
  }
}

async function start(workDir: string, acksAfter: string) {
  const port = await freePort()
  // The log is one segment, and no checkpoint of the minute falls into the measurement.
  const sets = [`acks.after=${acksAfter}`, 'log.flush.offset.checkpoint.interval.ms=3600000', 'log.retention.ms=-1']
  const args = ['-C', 'source', command, 'start', '--port', String(port), '--data', join(workDir, 'data')]
  const startMs = performance.now()
  const child = BackgroundProcess.start(
    process.execPath,
    [...args, ...sets.flatMap((set) => ['--set', set])],
    join(workDir, 'out.log'),
    { cwd: workDir },
  )
  while (!(await answersMetadata(port))) {
    if (child.hasEnded) throw new Error(`the broker ended while it started:\n${child.log}`)
    await new Promise((done) => setTimeout(done, 2))
  }
  const time = { wallMs: performance.now() - startMs, cpuMs: cpuSeconds(child.pid) * 1000 }
  return { port, child, time }
}

async function createTopic(port: number): Promise<void> {
  const topic = { name: 't', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
  const socket = connect(port, '127.0.0.1')
  socket.write(frame(apis.createTopics, 7, { topics: [topic], timeoutMs: 10_000 }))
  await once(socket, 'data')
  socket.destroy()
}

/** Writes so many MB with some requests in flight, and resolves when all are answered. */
async function fill(port: number, mb: number): Promise<void> {
  const count = Math.round((mb * MB) / batchBytes)
  if (count === 0) return
  const value = Buffer.alloc(Math.min(1000, batchBytes - 100), 'x')
  const records = buildBatch({
    records: Array.from({ length: Math.max(1, Math.floor(batchBytes / 1010)) }, () => ({ key: null, value })),
    nowMs: Date.now(),
  })
  const request = frame(apis.produce, 9, {
    acks: -1,
    timeoutMs: 30_000,
    topicData: [{ name: 't', partitionData: [{ index: 0, records }] }],
  })
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  let sent = 0
  let answered = 0
  let rest = Buffer.alloc(0)
  await new Promise<void>((done, fail) => {
    socket.on('error', fail)
    socket.on('close', () => fail(new Error('the broker closed the connection')))
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
        check(rest.subarray(4, 4 + rest.readInt32BE(0)))
        rest = rest.subarray(4 + rest.readInt32BE(0))
        answered++
        if (sent < count) send(socket)
      }
      if (answered === count) done()
    })
    const send = (to: Socket) => {
      sent++
      to.write(request)
    }
    while (sent < Math.min(IN_FLIGHT, count)) send(socket)
  })
  socket.destroy()
}

function check(answer: Buffer): void {
  // Behind the correlation id there is an empty tag section.
  const { responses } = codec(apis.produce.response, 9).decode(new Reader(answer, 5)) as {
    responses: { partitionResponses: { errorCode: number }[] }[]
  }
  const { errorCode } = responses[0]!.partitionResponses[0]!
  if (errorCode !== 0) throw new Error(`a produce was answered with error ${errorCode}`)
}

function frame(api: Api, version: number, body: object): Buffer {
  const writer = new Writer()
  writer.int32(0)
  writer.int16(api.key)
  writer.int16(version)
  writer.int32(1)
  writer.nullableString('bench')
  if (requestHeaderVersion(api, version) >= 2) writer.uvarint(0)
  codec(api.request, version).encode(writer, body)
  writer.setInt32(0, writer.at - 4)
  return Buffer.from(writer.take())
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await once(server.close(), 'close')
  return port
}
