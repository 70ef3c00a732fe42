import { describe, expect, it } from 'vitest'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import { checkpointText, parseCheckpoint, parseOffset, replaceFile, writeDurably } from './checkpoint-file.ts'
import { MemoryDisk } from './memory-disk.ts'

function disks() {
  const disk = new MemoryDisk()
  disk.makeDirectory('/data')
  disk.writeFile('/data/f', Buffer.from('old'))
  return { disk, faulty: new FaultyDisk(disk) }
}

describe('a file that is replaced', () => {
  it('S6: is durable before it takes the name, and the name after that', async () => {
    const { disk, faulty } = disks()
    await writeDurably(faulty, '/data/f', 'new')
    expect(faulty.changes).toEqual(['writeFile /data/f.tmp', 'sync /data/f.tmp', 'rename /data/f.tmp', 'sync /data'])
    expect(String(disk.readFile('/data/f'))).toBe('new')
  })

  it('S6: is the old or the new one whenever the machine dies', async () => {
    for (let dieAfter = 0; dieAfter < 4; dieAfter++) {
      const { disk, faulty } = disks()
      faulty.dieAfter(dieAfter)
      await expect(writeDurably(faulty, '/data/f', 'new')).rejects.toThrow('ESHUTDOWN')
      expect(String(disk.readFile('/data/f'))).toBe(dieAfter < 3 ? 'old' : 'new')
    }
  })

  it('S6: is the old one if the new one cannot be written', () => {
    const { disk, faulty } = disks()
    faulty.fail(['writeFile'], 'ENOSPC')
    expect(() => replaceFile(faulty, '/data/f', Buffer.from('new'))).toThrow('ENOSPC')
    expect(String(disk.readFile('/data/f'))).toBe('old')
  })
})

describe('a checkpoint', () => {
  it('S6: has the text of Kafka, to the last newline', () => {
    expect(checkpointText([])).toBe('0\n0\n')
    expect(checkpointText(['orders 0 4711', 'orders 1 815'])).toBe('0\n2\norders 0 4711\norders 1 815\n')
  })

  it('is read as it was written', () => {
    expect(parseCheckpoint(Buffer.from('0\n1\norders 0 4711\n'), 3)).toEqual([['orders', '0', '4711']])
    expect(parseCheckpoint(Buffer.from('0\n0\n'), 3)).toEqual([])
  })

  it.each(['', '0', '0\n', '1\n0\n', '0\n2\na 0 1\n', '0\n1\na 0 1', '0\n1\na 0\n', '0\n1\na 0 1\n\n', '\0\0\0\0'])(
    'is none if it is %j',
    (text) => {
      expect(parseCheckpoint(Buffer.from(text), 3)).toBeNull()
    },
  )

  it('holds offsets that a number holds exactly', () => {
    expect(['0', '9007199254740991', '9007199254740992', '-1', '1.5', '', 'x', undefined].map(parseOffset)).toEqual([
      0,
      9007199254740991,
      null,
      null,
      null,
      null,
      null,
      null,
    ])
  })
})
