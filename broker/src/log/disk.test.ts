import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BrokerError, StorageError } from '../base/errors.ts'
import { RealDisk } from '../platform/real-disk.ts'
import { SeededRandom } from '../testing/simulation/seeded-random.ts'
import { SimulatedDisk } from '../testing/simulation/simulated-disk.ts'
import type { Disk } from './disk.ts'
import { MemoryDisk } from './memory-disk.ts'

interface Fixture {
  readonly disk: Disk
  readonly root: string
  readonly openFileCount: () => number
  readonly end: () => void
}

function memory(): Fixture {
  const disk = new MemoryDisk()
  disk.makeDirectory('/data')
  return { disk, root: '/data', openFileCount: () => disk.openFileCount, end() {} }
}

function real(): Fixture {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'disk-test-'))
  const disk = new RealDisk()
  return { disk, root, openFileCount: () => disk.openFileCount, end: () => fs.rmSync(root, { recursive: true }) }
}

function simulated(): Fixture {
  const simulatedDisk = new SimulatedDisk({ random: new SeededRandom(1) })
  simulatedDisk.prepare('/data')
  const disk = simulatedDisk.mount()
  return { disk, root: '/data', openFileCount: () => disk.openFileCount, end() {} }
}

function errnoOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof StorageError) return error.errno
    throw error
  }
  return 'none'
}

describe.each([
  { name: 'MemoryDisk', make: memory },
  { name: 'RealDisk', make: real },
  { name: 'SimulatedDisk', make: simulated },
])('$name', ({ make }) => {
  let disk: Disk
  let root: string
  let fixture: Fixture

  beforeEach(() => {
    fixture = make()
    ;({ disk, root } = fixture)
  })
  afterEach(() => fixture.end())

  function contentOf(name: string): string | null {
    return disk.readFile(`${root}/${name}`)?.toString() ?? null
  }

  it('appends, reads anywhere, and truncates', () => {
    const file = disk.open(`${root}/f`, { create: true })
    file.append(Buffer.from('hello world'))
    file.append(Buffer.from('..., again'), 3, 10)
    expect(file.size).toBe(18)
    const into = Buffer.alloc(10, '_')
    expect(file.read(into, 2, 5, 6)).toBe(5)
    expect(into.toString()).toBe('__world___')
    expect(file.read(into, 0, 10, 14)).toBe(4)
    expect(into.subarray(0, 4).toString()).toBe('gain')
    expect(file.read(into, 0, 10, 18)).toBe(0)
    file.truncate(5)
    expect(file.size).toBe(5)
    file.append(Buffer.from('!'))
    file.close()
    expect(contentOf('f')).toBe('hello!')
    expect(fixture.openFileCount()).toBe(0)
  })

  it('opens what is there with its content, and only creates when asked to', () => {
    expect(errnoOf(() => disk.open(`${root}/none`))).toBe('ENOENT')
    disk.writeFile(`${root}/f`, Buffer.from('abc'))
    const file = disk.open(`${root}/f`, { create: true })
    expect(file.size).toBe(3)
    file.append(Buffer.from('def'))
    file.close()
    expect(contentOf('f')).toBe('abcdef')
  })

  it('says what failed: the operation, the path and the errno', () => {
    expect(() => disk.open(`${root}/none`)).toThrow(`open ${root}/none: ENOENT`)
    expect(errnoOf(() => disk.open(root))).toBe('EISDIR')
    expect(errnoOf(() => disk.readFile(root))).toBe('EISDIR')
    expect(errnoOf(() => disk.open(`${root}/none/f`, { create: true }))).toBe('ENOENT')
    expect(errnoOf(() => disk.writeFile(`${root}/none/f`, Buffer.alloc(1)))).toBe('ENOENT')
    expect(errnoOf(() => disk.rename(`${root}/none`, `${root}/other`))).toBe('ENOENT')
    disk.writeFile(`${root}/f`, Buffer.alloc(1))
    expect(errnoOf(() => disk.list(`${root}/f`))).toBe('ENOTDIR')
    expect(errnoOf(() => disk.open(`${root}/f`).truncate(2))).toBe('EINVAL')
  })

  it('refuses a file that was closed, and closes twice without harm', async () => {
    const file = disk.open(`${root}/f`, { create: true })
    file.close()
    file.close()
    expect(errnoOf(() => file.append(Buffer.alloc(1)))).toBe('EBADF')
    expect(errnoOf(() => file.read(Buffer.alloc(1), 0, 1, 0))).toBe('EBADF')
    await expect(file.sync()).rejects.toThrow('EBADF')
  })

  it('lists names in order and tells files from directories', () => {
    disk.makeDirectory(`${root}/b/c`)
    disk.makeDirectory(`${root}/b`)
    disk.writeFile(`${root}/a`, Buffer.alloc(0))
    disk.writeFile(`${root}/b/z`, Buffer.alloc(0))
    expect(disk.list(root)).toEqual(['a', 'b'])
    expect(disk.list(`${root}/b`)).toEqual(['c', 'z'])
    expect(disk.list(`${root}/none`)).toEqual([])
    expect([disk.isDirectory(`${root}/b`), disk.isDirectory(`${root}/a`), disk.isDirectory(`${root}/none`)]).toEqual([
      true,
      false,
      false,
    ])
    expect([disk.exists(`${root}/b/z`), disk.exists(`${root}/b/y`)]).toEqual([true, false])
  })

  it('renames files over others, and directories with what is in them', () => {
    disk.writeFile(`${root}/new`, Buffer.from('new'))
    disk.writeFile(`${root}/old`, Buffer.from('old'))
    disk.rename(`${root}/new`, `${root}/old`)
    expect([contentOf('new'), contentOf('old')]).toEqual([null, 'new'])
    disk.makeDirectory(`${root}/d/e`)
    disk.writeFile(`${root}/d/e/f`, Buffer.from('deep'))
    disk.rename(`${root}/d`, `${root}/g`)
    expect([contentOf('d/e/f'), contentOf('g/e/f')]).toEqual([null, 'deep'])
  })

  it('removes files and whole directories, and does not mind what is missing', () => {
    disk.makeDirectory(`${root}/d/e`)
    disk.writeFile(`${root}/d/e/f`, Buffer.from('deep'))
    disk.writeFile(`${root}/f`, Buffer.from('flat'))
    disk.remove(`${root}/d`)
    disk.remove(`${root}/f`)
    disk.remove(`${root}/f`)
    expect(disk.list(root)).toEqual([])
  })

  it('keeps an open file readable after its name is gone', () => {
    const file = disk.open(`${root}/f`, { create: true })
    file.append(Buffer.from('still here'))
    disk.remove(`${root}/f`)
    const into = Buffer.alloc(5)
    file.read(into, 0, 5, 0)
    expect(into.toString()).toBe('still')
    file.close()
  })

  it('syncs files and directories', async () => {
    const file = disk.open(`${root}/f`, { create: true })
    file.append(Buffer.from('x'))
    await Promise.all([file.sync(), file.sync(), disk.syncDirectory(root)])
    const closing = file.sync()
    file.close()
    await closing
    expect(fixture.openFileCount()).toBe(0)
    await expect(disk.syncDirectory(`${root}/none`)).rejects.toThrow('ENOENT')
  })

  it('gives a lock to one holder at a time', () => {
    const lock = disk.lock(`${root}/.lock`)
    expect(() => disk.lock(`${root}/.lock`)).toThrow(BrokerError)
    expect(() => disk.lock(`${root}/.lock`)).toThrow(/in use by this process/)
    lock.release()
    expect(disk.exists(`${root}/.lock`)).toBe(false)
    const next = disk.lock(`${root}/.lock`)
    lock.release()
    expect(() => disk.lock(`${root}/.lock`)).toThrow(/in use/)
    next.release()
  })

  it('holds exactly the bytes appended and not truncated, whatever the order', () => {
    const step = fc.oneof(
      fc.uint8Array({ minLength: 0, maxLength: 5000 }).map((bytes) => ({ bytes })),
      fc.double({ min: 0, max: 1, noNaN: true }).map((keep) => ({ keep })),
    )
    let count = 0
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), fc.nat(), fc.nat(), (steps, from, length) => {
        const name = `${root}/f${count++}`
        const file = disk.open(name, { create: true })
        let expected = Buffer.alloc(0)
        for (const part of steps) {
          if ('bytes' in part) {
            file.append(part.bytes)
            expected = Buffer.concat([expected, part.bytes])
          } else {
            file.truncate(Math.floor(expected.length * part.keep))
            expected = expected.subarray(0, Math.floor(expected.length * part.keep))
          }
          expect(file.size).toBe(expected.length)
        }
        const at = from % (expected.length + 1)
        const into = Buffer.alloc(length % 10_000)
        const read = file.read(into, 0, into.length, at)
        expect(into.subarray(0, read)).toEqual(expected.subarray(at, at + into.length))
        file.close()
        expect(disk.readFile(name)).toEqual(expected)
      }),
      { numRuns: 60 },
    )
  })
})

describe('RealDisk', () => {
  let root: string

  beforeEach(() => {
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'disk-test-'))
  })
  afterEach(() => fs.rmSync(root, { recursive: true }))

  it('S16: keeps a bounded number of descriptors and reopens files as they are used', () => {
    const disk = new RealDisk({ maxOpenFiles: 3 })
    const files = Array.from({ length: 10 }, (_, i) => disk.open(`${root}/${i}`, { create: true }))
    for (let round = 0; round < 3; round++) {
      for (const [i, file] of files.entries()) file.append(Buffer.from(`${i}${round} `))
    }
    expect(disk.openFileCount).toBe(3)
    const into = Buffer.alloc(9)
    for (const [i, file] of files.entries()) {
      expect(file.read(into, 0, 9, 0)).toBe(9)
      expect(into.toString()).toBe(`${i}0 ${i}1 ${i}2 `)
      file.close()
    }
    expect(disk.openFileCount).toBe(0)
  })

  it('S16: gives descriptors back when the process may have no more', () => {
    const disk = new RealDisk()
    const files = Array.from({ length: 4 }, (_, i) => disk.open(`${root}/${i}`, { create: true }))
    const whole = fs.openSync
    fs.openSync = ((...args: Parameters<typeof fs.openSync>) => {
      if (disk.openFileCount > 2) throw Object.assign(new Error('too many'), { code: 'EMFILE' })
      return whole(...args)
    }) as typeof fs.openSync
    try {
      files.push(disk.open(`${root}/4`, { create: true }))
    } finally {
      fs.openSync = whole
    }
    expect(disk.openFileCount).toBe(3)
    for (const file of files) file.append(Buffer.from('x'))
    for (const file of files) file.close()
    expect(fs.readdirSync(root).map((name) => fs.readFileSync(`${root}/${name}`, 'utf8'))).toEqual(Array(5).fill('x'))
  })

  it('S16: gives descriptors back for small files and directories too', async () => {
    const disk = new RealDisk()
    fs.writeFileSync(`${root}/small`, 'small')
    const files = Array.from({ length: 4 }, (_, i) => disk.open(`${root}/${i}`, { create: true }))
    const limited = { readFileSync: fs.readFileSync, writeFileSync: fs.writeFileSync, readdirSync: fs.readdirSync }
    const { open } = fs.promises
    let refusals = 0
    const refuse = (most: number): void => {
      if (disk.openFileCount <= most) return
      refusals++
      throw Object.assign(new Error('too many'), { code: 'EMFILE' })
    }
    const scarce =
      (most: number, whole: (...args: never[]) => unknown) =>
      (...args: never[]) => {
        refuse(most)
        return whole(...args)
      }
    Object.assign(fs, {
      readFileSync: scarce(3, limited.readFileSync),
      writeFileSync: scarce(2, limited.writeFileSync),
      readdirSync: scarce(1, limited.readdirSync),
    })
    Object.assign(fs.promises, { open: async (...args: Parameters<typeof open>) => (refuse(0), open(...args)) })
    try {
      expect(String(disk.readFile(`${root}/small`))).toBe('small')
      disk.writeFile(`${root}/small`, Buffer.from('other'))
      expect(disk.list(root)).toEqual(['0', '1', '2', '3', 'small'])
      await disk.syncDirectory(root)
      expect(refusals).toBe(4)
      // None is left to give back.
      Object.assign(fs, { readFileSync: scarce(-1, limited.readFileSync) })
      expect(errnoOf(() => disk.readFile(`${root}/small`))).toBe('EMFILE')
    } finally {
      Object.assign(fs, limited)
      Object.assign(fs.promises, { open })
    }
    for (const file of files) file.append(Buffer.from('x'))
    for (const file of files) file.close()
  })

  it('reads what it may not write, and says why when it is to', async () => {
    for (const code of ['EROFS', 'EACCES', 'EPERM']) {
      const disk = new RealDisk({ maxOpenFiles: 1 })
      fs.writeFileSync(`${root}/f`, 'four')
      const file = disk.open(`${root}/f`)
      const whole = fs.openSync
      fs.openSync = ((path: string, flags: number, mode?: number) => {
        if ((flags & fs.constants.O_RDWR) !== 0) throw Object.assign(new Error('no'), { code })
        return whole(path, flags, mode)
      }) as typeof fs.openSync
      const into = Buffer.alloc(4)
      try {
        expect(file.read(into, 0, 4, 0)).toBe(4)
        expect(String(into)).toBe('four')
        expect(errnoOf(() => file.append(Buffer.from('x')))).toBe(code)
        expect(errnoOf(() => file.truncate(0))).toBe(code)
        await expect(file.sync()).rejects.toMatchObject({ errno: code })
        expect(file.read(into, 0, 4, 0)).toBe(4)
      } finally {
        fs.openSync = whole
      }
      // As it was mounted again for both.
      file.append(Buffer.from('x'))
      file.close()
      expect(disk.openFileCount).toBe(0)
      expect(fs.readFileSync(`${root}/f`, 'utf8')).toBe('fourx')
    }
  })

  it('opens a file that is only looked at without a descriptor', () => {
    const disk = new RealDisk()
    fs.writeFileSync(`${root}/f`, 'four')
    expect(disk.open(`${root}/f`).size).toBe(4)
    expect(disk.openFileCount).toBe(0)
  })

  it('S2: goes on where write(2) took only a part', () => {
    const disk = new RealDisk()
    const file = disk.open(`${root}/f`, { create: true })
    const whole = fs.writeSync
    let calls = 0
    fs.writeSync = ((fd: number, bytes: Buffer, at: number, length: number, position: number) => {
      calls++
      return whole(fd, bytes, at, Math.min(length, 3), position)
    }) as typeof fs.writeSync
    try {
      file.append(Buffer.from('0123456789'))
    } finally {
      fs.writeSync = whole
    }
    file.close()
    expect(calls).toBe(4)
    expect(fs.readFileSync(`${root}/f`, 'utf8')).toBe('0123456789')
  })

  it('S2: fails when write(2) takes nothing', () => {
    const disk = new RealDisk()
    const file = disk.open(`${root}/f`, { create: true })
    const whole = fs.writeSync
    let calls = 0
    fs.writeSync = ((fd: number, bytes: Buffer, at: number, _length: number, position: number) => {
      if (++calls > 10) throw Object.assign(new Error('it is tried for ever'), { code: 'ELOOP' })
      return calls > 1 ? 0 : whole(fd, bytes, at, 3, position)
    }) as typeof fs.writeSync
    try {
      expect(errnoOf(() => file.append(Buffer.from('0123456789')))).toBe('EIO')
    } finally {
      fs.writeSync = whole
    }
    expect(file.size).toBe(3)
    file.close()
  })

  it('S2: knows after a failed append how far the file has grown', () => {
    const disk = new RealDisk()
    const file = disk.open(`${root}/f`, { create: true })
    const whole = fs.writeSync
    let calls = 0
    fs.writeSync = ((fd: number, bytes: Buffer, at: number, length: number, position: number) => {
      if (calls++ > 0) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
      return whole(fd, bytes, at, Math.min(length, 3), position)
    }) as typeof fs.writeSync
    try {
      expect(errnoOf(() => file.append(Buffer.from('0123456789')))).toBe('ENOSPC')
    } finally {
      fs.writeSync = whole
    }
    expect(file.size).toBe(3)
    file.truncate(0)
    file.append(Buffer.from('again'))
    file.close()
    expect(fs.readFileSync(`${root}/f`, 'utf8')).toBe('again')
  })

  it('takes over the lock of a process that is gone, and of another program', () => {
    const disk = new RealDisk()
    for (const stale of ['4194304 boot:1 0\n', `${process.pid} otherboot:17 0\n`, '', 'something else']) {
      fs.writeFileSync(`${root}/.lock`, stale)
      const lock = disk.lock(`${root}/.lock`)
      expect(fs.readFileSync(`${root}/.lock`, 'utf8')).toMatch(new RegExp(`^${process.pid} `))
      lock.release()
      expect(fs.readdirSync(root)).toEqual([])
    }
  })

  it('respects the lock of a process that runs, and names it', () => {
    const parent = process.ppid
    const stat = fs.readFileSync(`/proc/${parent}/stat`, 'utf8')
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    fs.writeFileSync(`${root}/.lock`, `${parent} ${boot}:${ticks} 0\n`)
    const disk = new RealDisk()
    expect(() => disk.lock(`${root}/.lock`)).toThrow(`the data directory ${root} is in use by process ${parent}`)
    expect(fs.readdirSync(root)).toEqual(['.lock'])
  })

  it('fails with a StorageError where it may not write', () => {
    expect(errnoOf(() => new RealDisk().lock(`${root}/none/.lock`))).toBe('ENOENT')
  })
})
