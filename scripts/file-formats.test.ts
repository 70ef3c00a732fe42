// The worked example of docs/FILE-FORMATS.md is what the log writes, byte for byte.
import { buildBatch } from '@millrace/protocol'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { MemoryDisk } from '../broker/src/log/memory-disk.ts'
import { append, LOG_PATH, openLog } from '../broker/src/testing/logs.ts'

const document = readFileSync(join(import.meta.dirname, '..', 'docs', 'FILE-FORMATS.md'), 'utf8')
const newYearMs = Date.UTC(2026, 0, 1)

function bytes(text: string): Buffer {
  return Buffer.from(text)
}

/** The example of the document: two batches of producer 7, the second one with an entry in both indexes. */
function writeExample(): MemoryDisk {
  const disk = new MemoryDisk()
  const log = openLog({ disk, config: { indexIntervalBytes: 64, timestampAfterMaxMs: Infinity } })
  const producer = { producerId: 7, producerEpoch: 0 }
  const paid = { key: bytes('o1'), value: bytes('paid'), headers: [{ key: 'via', value: bytes('web') }] }
  append(log, buildBatch({ records: [paid], ...producer, baseSequence: 0, nowMs: newYearMs }), { leaderEpoch: 3 })
  const later = [
    { key: bytes('o1'), value: bytes('sent'), timestampMs: newYearMs + 1000 },
    { key: bytes('o2'), value: null, timestampMs: newYearMs + 1001 },
  ]
  append(log, buildBatch({ records: later, ...producer, baseSequence: 1 }), { leaderEpoch: 3 })
  log.close()
  return disk
}

/** Sixteen bytes a line, as `hexdump -C` prints them. */
function hexdump(content: Buffer): string {
  const lines: string[] = []
  for (let at = 0; at < content.length; at += 16) {
    const row = [...content.subarray(at, at + 16)]
    const hex = row.map((byte, index) => byte.toString(16).padStart(2, '0') + (index === 7 ? ' ' : '')).join(' ')
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex.padEnd(48)}  |${text}|`)
  }
  return `${lines.join('\n')}\n`
}

it('the example holds every file of its partition, as the log writes it', () => {
  const shown = Object.fromEntries(
    [...document.matchAll(/^`(\S+)`:?\n\n```hexdump\n([\s\S]*?)^```/gm)].map(([, name, dump]) => [name!, dump!]),
  )
  const disk = writeExample()
  const written = Object.fromEntries(
    disk.list(LOG_PATH).map((name) => [name, hexdump(disk.readFile(`${LOG_PATH}/${name}`)!)]),
  )

  expect(Object.keys(written).length).toBeGreaterThan(4)
  expect(shown).toEqual(written)
})
