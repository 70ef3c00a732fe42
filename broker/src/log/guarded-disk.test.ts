import { describe, expect, it } from 'vitest'
import type { StorageError } from '../base/errors.ts'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import { GuardedDisk } from './guarded-disk.ts'
import { MemoryDisk } from './memory-disk.ts'

function world() {
  const faulty = new FaultyDisk(new MemoryDisk())
  const told = { failures: [] as StorageError[], outOfSpace: 0, written: 0 }
  const disk = new GuardedDisk(faulty, {
    failed: (cause) => void told.failures.push(cause),
    outOfSpace: () => void told.outOfSpace++,
    written: (byteCount) => void (told.written += byteCount),
  })
  disk.makeDirectory('/d')
  const file = disk.open('/d/f', { create: true })
  file.append(Buffer.from('abc'))
  return { disk, faulty, file, told }
}

async function outcome(work: () => unknown): Promise<unknown> {
  try {
    return await work()
  } catch (error) {
    return error
  }
}

describe('GuardedDisk', () => {
  it.each(['append', 'truncate', 'sync', 'writeFile', 'rename', 'remove', 'create'] as const)(
    'S9: makes no change after a %s that failed, and fails each with that error; reads go on',
    async (operation) => {
      const { disk, faulty, file, told } = world()
      const changes: readonly (() => unknown)[] = [
        () => file.append(Buffer.from('d')),
        () => file.truncate(1),
        () => file.sync(),
        () => disk.syncDirectory('/d'),
        () => disk.writeFile('/d/g', Buffer.from('g')),
        () => disk.rename('/d/f', '/d/g'),
        () => disk.remove('/d/f'),
        () => disk.open('/d/new', { create: true }),
        () => disk.makeDirectory('/d/e'),
      ]
      faulty.fail([operation])
      const names = ['append', 'truncate', 'sync', '', 'writeFile', 'rename', 'remove', 'create']
      const first = await outcome(changes[names.indexOf(operation)]!)
      expect(told.failures).toEqual([first])
      expect(disk.failure).toBe(first)
      // The disk would work again.
      faulty.fail([])
      const made = faulty.changes.length
      const left = disk.list('/d')
      for (const change of changes) expect(await outcome(change)).toBe(first)
      expect(faulty.changes.length).toBe(made)
      expect(told.failures).toHaveLength(1)
      const bytes = Buffer.alloc(3)
      expect(file.read(bytes, 0, 3, 0)).toBe(3)
      expect(disk.open('/d/f', { create: true }).size).toBe(file.size)
      expect(disk.list('/d')).toEqual(left)
    },
  )

  it.each(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENOENT'])(
    'S10 S16: goes on after a write that failed by %s',
    async (errno) => {
      const { disk, faulty, file, told } = world()
      faulty.fail(['append'], errno)
      expect(await outcome(() => file.append(Buffer.from('d')))).toMatchObject({ errno })
      faulty.fail([])
      expect(disk.failure).toBeNull()
      expect(told).toMatchObject({ failures: [], outOfSpace: errno === 'ENOSPC' || errno === 'EDQUOT' ? 1 : 0 })
      file.truncate(3)
      file.append(Buffer.from('de'))
      // The half that a failed write left is no written byte.
      expect(told.written).toBe(5)
    },
  )

  it('S10: takes a sync that found no room for a failure, as the bytes are lost', async () => {
    const { disk, faulty, file, told } = world()
    faulty.fail(['sync'], 'ENOSPC')
    const error = await outcome(() => file.sync())
    expect(error).toMatchObject({ errno: 'ENOSPC' })
    expect(disk.failure).toBe(error)
    expect(told.outOfSpace).toBe(0)
  })
})
