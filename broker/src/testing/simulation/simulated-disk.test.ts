import { describe, expect, it } from 'vitest'
import { SeededRandom } from './seeded-random.ts'
import { POWER_CUT_FATES, SimulatedDisk, type DiskOutcome, type PowerCutFate } from './simulated-disk.ts'

function aDisk(decide?: () => DiskOutcome, seed = 1) {
  const disk = new SimulatedDisk({ random: new SeededRandom(seed), ...(decide === undefined ? {} : { decide }) })
  disk.prepare('/data')
  return disk
}

/** A file of which `synced` is durable and `pending` is not, with a durable name. */
async function withPending(disk: SimulatedDisk, synced: string, pending: string): Promise<void> {
  const mount = disk.mount()
  const file = mount.open('/data/f', { create: true })
  file.append(Buffer.from(synced))
  await file.sync()
  await mount.syncDirectory('/data')
  file.append(Buffer.from(pending))
}

function contentOf(disk: SimulatedDisk): string | undefined {
  return disk.mount().readFile('/data/f')?.toString('latin1')
}

/** Everything that a power cut left in so many worlds. */
async function outcomes(fate: PowerCutFate, synced: string, pending: string): Promise<Set<string | undefined>> {
  const found = new Set<string | undefined>()
  for (let seed = 1; seed <= 60; seed++) {
    const disk = aDisk(undefined, seed)
    await withPending(disk, synced, pending)
    disk.powerCut(fate)
    found.add(contentOf(disk))
  }
  return found
}

describe('a simulated disk', () => {
  it('keeps everything when only the process dies, and answers it no more', async () => {
    const disk = aDisk()
    await withPending(disk, 'abc', 'def')
    const mount = disk.mount()
    disk.kill()
    expect(() => mount.readFile('/data/f')).toThrow('ESHUTDOWN')
    expect(contentOf(disk)).toBe('abcdef')
  })

  it('leaves what was synced, and of the rest nothing, a beginning, zeros or all of it', async () => {
    expect(await outcomes('nothing', 'abc', 'def')).toEqual(new Set(['abc']))
    expect(await outcomes('everything', 'abc', 'def')).toEqual(new Set(['abcdef']))
    expect(await outcomes('prefix', 'abc', 'def')).toEqual(new Set(['abc', 'abcd', 'abcde', 'abcdef']))
    const zeros = await outcomes('zero tail', 'abc', 'def')
    expect(zeros).toContain('abc\0\0\0')
    for (const text of zeros) expect(text).toMatch(/^abc\0{0,3}$/)
  })

  it('leaves any subset of the sectors that were written, some of them torn', async () => {
    const sectors = ['a', 'b', 'c'].map((letter) => letter.repeat(512)).join('')
    const shapes = [...(await outcomes('any subset', '', sectors))].map((text) =>
      [0, 512, 1024].map((at) => text![at] ?? '-').join(''),
    )
    expect(new Set(shapes).size).toBeGreaterThan(4)
    // A hole in front of something that is there.
    expect(shapes.some((shape) => /^\0.*[bc]/.test(shape))).toBe(true)
  })

  it.each(POWER_CUT_FATES)('never loses what was synced, whatever else: %s', async (fate) => {
    for (const text of await outcomes(fate, 'x'.repeat(700), 'y'.repeat(700))) {
      expect(text!.slice(0, 700)).toBe('x'.repeat(700))
    }
  })

  it('loses names that the directory was not synced for, and brings old ones back', async () => {
    const disk = aDisk()
    await withPending(disk, 'old', '')
    const mount = disk.mount()
    const draft = mount.open('/data/f.tmp', { create: true })
    draft.append(Buffer.from('new'))
    await draft.sync()
    mount.rename('/data/f.tmp', '/data/f')
    mount.open('/data/g', { create: true })
    mount.makeDirectory('/data/d')
    expect(contentOf(disk)).toBe('new')
    disk.powerCut('nothing')
    expect(disk.mount().list('/data')).toEqual(['f'])
    expect(contentOf(disk)).toBe('old')
  })

  it('keeps a rename that its directory was synced after, with what the file had', async () => {
    const disk = aDisk()
    await withPending(disk, 'old', '')
    const mount = disk.mount()
    mount.writeFile('/data/f.tmp', Buffer.from('new'))
    mount.rename('/data/f.tmp', '/data/f')
    await mount.syncDirectory('/data')
    disk.powerCut('nothing')
    // The name is durable, what is in the file is not.
    expect(contentOf(disk)).toBe('')
  })

  it('brings removed files back, and what was cut off a file', async () => {
    const disk = aDisk()
    await withPending(disk, 'abc', '')
    const mount = disk.mount()
    mount.open('/data/f').truncate(1)
    mount.remove('/data/f')
    expect(mount.list('/data')).toEqual([])
    disk.powerCut('nothing')
    expect(contentOf(disk)).toBe('abc')
  })

  it('loses what a failed sync was to write, although a second one ends well', async () => {
    let fails = false
    const disk = aDisk(() => (fails ? { kind: 'fails', errno: 'EIO', share: 0 } : { kind: 'done' }))
    const mount = disk.mount()
    const file = mount.open('/data/f', { create: true })
    await mount.syncDirectory('/data')
    file.append(Buffer.from('abc'))
    fails = true
    await expect(file.sync()).rejects.toThrow('EIO')
    fails = false
    file.append(Buffer.from('def'))
    await file.sync()
    expect(contentOf(disk)).toBe('abcdef')
    disk.powerCut('everything')
    expect(contentOf(disk)).toBe('\0\0\0def')
  })

  it('writes a part of what fails or of what the process dies in', () => {
    const outcome: DiskOutcome[] = []
    const disk = aDisk(() => outcome.shift() ?? { kind: 'done' })
    const mount = disk.mount()
    const file = mount.open('/data/f', { create: true })
    outcome.push({ kind: 'fails', errno: 'ENOSPC', share: 0.5 })
    expect(() => file.append(Buffer.from('abcd'))).toThrow('ENOSPC')
    expect(file.size).toBe(2)
    outcome.push({ kind: 'crash', share: 0.5 })
    expect(() => file.append(Buffer.from('efgh'))).toThrow('ESHUTDOWN')
    expect(mount.isDead).toBe(true)
    expect(contentOf(disk)).toBe('abef')
  })

  it('turns bits that it is told to', async () => {
    const disk = aDisk()
    await withPending(disk, 'abc', '')
    expect(disk.flipBit('/data/f', 1, 0)).toBe(true)
    expect(contentOf(disk)).toBe('acc')
    expect(disk.flipBit('/data/f', 3, 0)).toBe(false)
  })
})
