import assert from 'node:assert/strict'
import type { Clock } from '../../base/clock.ts'
import { BrokerError, StorageError } from '../../base/errors.ts'
import type { Disk, DiskFile, DiskLock } from '../../log/disk.ts'
import type { SeededRandom } from './seeded-random.ts'

/** What disks write as a whole or not at all, mostly. */
const SECTOR_BYTES = 512

export type DiskOperation =
  | 'create'
  | 'append'
  | 'truncate'
  | 'writeFile'
  | 'makeDirectory'
  | 'rename'
  | 'remove'
  | 'sync'
  | 'syncDirectory'
  | 'read'

/** One call to a disk, as whoever decides about faults sees it before it is carried out. */
export interface DiskCall {
  readonly operation: DiskOperation
  readonly path: string
}

/**
 * What becomes of a call. A failed or cut off append or writeFile leaves `share` (0 to 1) of its bytes. After 'crash' the
 * mount is dead: whoever decided has to say what that does to the world.
 */
export type DiskOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'fails'; readonly errno: string; readonly share: number }
  | { readonly kind: 'crash'; readonly share: number }

export const DONE: DiskOutcome = { kind: 'done' }

/** How much of what was not synced a power cut leaves. */
export type PowerCutFate = 'nothing' | 'prefix' | 'any subset' | 'zero tail' | 'everything'

export const POWER_CUT_FATES: readonly PowerCutFate[] = ['nothing', 'prefix', 'any subset', 'zero tail', 'everything']

interface Extent {
  readonly start: number
  readonly end: number
}

/** A sync under way, with the bytes as they were when it began. */
interface Flight {
  readonly extents: readonly (Extent & { readonly bytes: Buffer })[]
  readonly size: number
  isCancelled: boolean
}

type NameChange =
  | { readonly kind: 'link'; readonly name: string; readonly node: Node }
  | { readonly kind: 'unlink'; readonly name: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }

type Node = FileNode | DirectoryNode

export interface SimulatedDiskOptions {
  readonly random: SeededRandom
  /** With it, the sync of a path takes `syncMs` of its time; without, it ends at once. */
  readonly clock?: Clock
  readonly syncMs?: (path: string) => number
  /** Asked before every call; without it nothing fails. */
  readonly decide?: (call: DiskCall) => DiskOutcome
}

/**
 * A disk that knows what is durable. What a file was given since its last sync, and what a directory was told of names
 * since its own, is pending: the process sees it, and so does one that starts after a kill, but a power cut leaves any part
 * of it. Processes reach it through `mount`; a mount dies with its process.
 *
 * A sync that fails behaves as Linux does: the bytes count as clean from then on, so that a second sync answers well and
 * does not make them durable.
 */
export class SimulatedDisk {
  readonly #root = new DirectoryNode()
  readonly #random: SeededRandom
  readonly #clock: Clock | null
  readonly #syncMs: (path: string) => number
  readonly #decide: (call: DiskCall) => DiskOutcome
  readonly #mounts = new Set<MountedDisk>()

  constructor(options: SimulatedDiskOptions) {
    this.#random = options.random
    this.#clock = options.clock ?? null
    this.#syncMs = options.syncMs ?? (() => 0)
    this.#decide = options.decide ?? (() => DONE)
  }

  /** The disk as one process sees it. */
  mount(): MountedDisk {
    const mount = new MountedDisk({
      root: this.#root,
      decide: (call) => this.#decide(call),
      flown: (path, file) => this.#fly(path, file),
      synced: (path, directory) => this.#flyNames(path, directory),
    })
    this.#mounts.add(mount)
    return mount
  }

  /** Directories that were there, durably, before anybody used the disk. */
  prepare(path: string): void {
    let directory = this.#root
    for (const name of namesOf(path)) {
      const node = new DirectoryNode()
      directory.live.set(name, node)
      directory.durable.set(name, node)
      directory = node
    }
  }

  /** The processes die, the system goes on: everything written stays. */
  kill(): void {
    for (const mount of this.#mounts) mount.die()
    this.#mounts.clear()
  }

  /** The machine stops: of what is pending, a part is left, which without a `fate` is another for each file. */
  powerCut(fate: PowerCutFate | null = null): void {
    this.kill()
    this.#root.settle(this.#random, fate)
  }

  /** Turns one bit of a durable file, as decay does. False if there is no such byte. */
  flipBit(path: string, position: number, bit: number): boolean {
    const file = find(this.#root, path)
    if (!(file instanceof FileNode) || position >= file.size) return false
    file.flipBit(position, bit)
    return true
  }

  /** Resolves when the bytes that the file holds now are durable. */
  #fly(path: string, file: FileNode): Promise<void> {
    const flight = file.beginSync()
    return this.#after(path, () => file.endSync(flight))
  }

  #flyNames(path: string, directory: DirectoryNode): Promise<void> {
    const changes = directory.beginSync()
    return this.#after(path, () => directory.endSync(changes))
  }

  #after(path: string, work: () => void): Promise<void> {
    if (this.#clock === null) {
      work()
      return Promise.resolve()
    }
    // The system's own clock: a sync that a process asked for before it died is carried out all the same.
    return new Promise((resolve) => {
      this.#clock!.setTimer(this.#syncMs(path), () => {
        work()
        resolve()
      })
    })
  }
}

interface MountOptions {
  readonly root: DirectoryNode
  readonly decide: (call: DiskCall) => DiskOutcome
  readonly flown: (path: string, file: FileNode) => Promise<void>
  readonly synced: (path: string, directory: DirectoryNode) => Promise<void>
}

/** A SimulatedDisk as one process sees it, until the process dies: then every call fails and no sync ever ends. */
export class MountedDisk implements Disk {
  readonly #options: MountOptions
  readonly #root: DirectoryNode
  readonly #locks = new Set<string>()
  #isDead = false
  #isLookedAt = false
  #openFileCount = 0

  constructor(options: MountOptions) {
    this.#options = options
    this.#root = options.root
  }

  get openFileCount(): number {
    return this.#openFileCount
  }

  get isDead(): boolean {
    return this.#isDead
  }

  die(): void {
    this.#isDead = true
  }

  /** What an observer of the simulation reads meets no fault and is no call of the process. */
  lookedAt<T>(look: () => T): T {
    this.#isLookedAt = true
    try {
      return look()
    } finally {
      this.#isLookedAt = false
    }
  }

  open(path: string, options: { readonly create?: boolean } = {}): DiskFile {
    this.#checkAlive('open', path)
    let node = find(this.#root, path)
    if (node === undefined) {
      if (options.create !== true) throw new StorageError('open', path, { code: 'ENOENT' })
      const { directory, name } = this.#parentOf('open', path)
      this.call('create', path)
      node = new FileNode()
      directory.link(name, node)
    }
    if (node instanceof DirectoryNode) throw new StorageError('open', path, { code: 'EISDIR' })
    this.#openFileCount++
    return new MountedFile(path, node, this, () => this.#openFileCount--)
  }

  readFile(path: string): Buffer | null {
    this.#checkAlive('read', path)
    const node = find(this.#root, path)
    if (node === undefined) return null
    if (node instanceof DirectoryNode) throw new StorageError('read', path, { code: 'EISDIR' })
    this.call('read', path)
    return Buffer.from(node.bytes)
  }

  writeFile(path: string, bytes: Uint8Array): void {
    const { directory, name } = this.#parentOf('write', path)
    const there = directory.live.get(name)
    if (there instanceof DirectoryNode) throw new StorageError('write', path, { code: 'EISDIR' })
    let file = there
    const write = (share: number): void => {
      if (file === undefined) {
        file = new FileNode()
        directory.link(name, file)
      }
      file.truncate(0)
      file.append(bytes, 0, Math.floor(bytes.length * share))
    }
    this.call('writeFile', path, write)
    write(1)
  }

  exists(path: string): boolean {
    return find(this.#root, path) !== undefined
  }

  list(path: string): string[] {
    this.#checkAlive('list', path)
    const node = find(this.#root, path)
    if (node === undefined) return []
    if (node instanceof FileNode) throw new StorageError('list', path, { code: 'ENOTDIR' })
    return [...node.live.keys()].sort()
  }

  isDirectory(path: string): boolean {
    return find(this.#root, path) instanceof DirectoryNode
  }

  makeDirectory(path: string): void {
    this.#checkAlive('make directory', path)
    let directory = this.#root
    for (const name of namesOf(path)) {
      let next = directory.live.get(name)
      if (next instanceof FileNode) throw new StorageError('make directory', path, { code: 'EEXIST' })
      if (next === undefined) {
        this.call('makeDirectory', path)
        next = new DirectoryNode()
        directory.link(name, next)
      }
      directory = next
    }
  }

  rename(from: string, to: string): void {
    const moved = find(this.#root, from)
    if (moved === undefined) throw new StorageError('rename', from, { code: 'ENOENT' })
    const target = this.#parentOf('rename', to)
    const replaced = target.directory.live.get(target.name)
    if (replaced instanceof DirectoryNode && (moved instanceof FileNode || replaced.live.size > 0)) {
      throw new StorageError('rename', from, { code: moved instanceof FileNode ? 'EISDIR' : 'ENOTEMPTY' })
    }
    if (replaced instanceof FileNode && moved instanceof DirectoryNode) {
      throw new StorageError('rename', from, { code: 'ENOTDIR' })
    }
    const source = this.#parentOf('rename', from)
    this.call('rename', from)
    if (source.directory === target.directory) {
      source.directory.rename(source.name, target.name)
    } else {
      source.directory.unlink(source.name)
      target.directory.link(target.name, moved)
    }
  }

  remove(path: string): void {
    const node = find(this.#root, path)
    if (node === undefined) {
      this.#checkAlive('remove', path)
      return
    }
    const { directory, name } = this.#parentOf('remove', path)
    this.call('remove', path)
    removeBelow(node)
    directory.unlink(name)
  }

  async syncDirectory(path: string): Promise<void> {
    const node = find(this.#root, path)
    if (!(node instanceof DirectoryNode)) throw new StorageError('sync', path, { code: 'ENOENT' })
    this.call('syncDirectory', path)
    await this.ended(this.#options.synced(path, node))
  }

  lock(path: string): DiskLock {
    const { directory, name } = this.#parentOf('lock', path)
    const key = namesOf(path).join('/')
    if (this.#locks.has(key)) {
      throw new BrokerError('DIRECTORY_LOCKED', `the data directory of ${path} is in use by this process`)
    }
    // The file of a process that died stays, and holds nobody up.
    if (!directory.live.has(name)) {
      this.call('create', path)
      directory.link(name, new FileNode())
    }
    this.#locks.add(key)
    let isHeld = true
    return {
      release: () => {
        if (!isHeld) return
        isHeld = false
        this.#locks.delete(key)
        if (!this.#isDead) this.remove(path)
      },
    }
  }

  /** Carries out what is decided about a call; returns if it is to be done. `part` does a share of it before it fails. */
  call(operation: DiskOperation, path: string, part: (share: number) => void = () => {}): void {
    if (this.#isLookedAt) return
    this.#checkAlive(operation, path)
    const outcome = this.#options.decide({ operation, path })
    if (outcome.kind === 'done') return
    if (outcome.share > 0) part(outcome.share)
    if (outcome.kind === 'fails') throw new StorageError(operation, path, { code: outcome.errno })
    this.die()
    throw new StorageError(operation, path, { code: 'ESHUTDOWN' })
  }

  /** Starts the sync of a file; a failed one leaves its bytes clean and not durable. */
  async syncFile(path: string, file: FileNode): Promise<void> {
    try {
      this.call('sync', path)
    } catch (error) {
      if (!this.#isDead) file.loseUnsynced()
      throw error
    }
    await this.ended(this.#options.flown(path, file))
  }

  /** Resolves as `work` does, unless the process is dead by then. */
  async ended(work: Promise<void>): Promise<void> {
    await work
    if (this.#isDead) await new Promise(() => {})
  }

  #checkAlive(operation: string, path: string): void {
    if (this.#isDead) throw new StorageError(operation, path, { code: 'ESHUTDOWN' })
  }

  #parentOf(operation: string, path: string): { directory: DirectoryNode; name: string } {
    this.#checkAlive(operation, path)
    const names = namesOf(path)
    const name = names.pop()
    const directory = find(this.#root, names.join('/'))
    if (name === undefined || directory === undefined) throw new StorageError(operation, path, { code: 'ENOENT' })
    if (directory instanceof FileNode) throw new StorageError(operation, path, { code: 'ENOTDIR' })
    return { directory, name }
  }
}

class MountedFile implements DiskFile {
  readonly path: string
  readonly #node: FileNode
  readonly #mount: MountedDisk
  readonly #onClose: () => void
  #isClosed = false

  constructor(path: string, node: FileNode, mount: MountedDisk, onClose: () => void) {
    this.path = path
    this.#node = node
    this.#mount = mount
    this.#onClose = onClose
  }

  get size(): number {
    return this.#node.size
  }

  append(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#checkOpen('append to')
    const part = (share: number): void => this.#node.append(bytes, start, start + Math.floor((end - start) * share))
    this.#mount.call('append', this.path, part)
    this.#node.append(bytes, start, end)
  }

  read(into: Uint8Array, intoStart: number, length: number, position: number): number {
    this.#checkOpen('read')
    this.#mount.call('read', this.path)
    const part = this.#node.bytes.subarray(position, position + length)
    into.set(part, intoStart)
    return part.length
  }

  truncate(size: number): void {
    this.#checkOpen('truncate')
    if (size < 0 || size > this.#node.size) throw new StorageError('truncate', this.path, { code: 'EINVAL' })
    this.#mount.call('truncate', this.path)
    this.#node.truncate(size)
  }

  async sync(): Promise<void> {
    this.#checkOpen('sync')
    await this.#mount.syncFile(this.path, this.#node)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#onClose()
  }

  #checkOpen(operation: string): void {
    if (this.#isClosed) throw new StorageError(operation, this.path, { code: 'EBADF' })
  }
}

/** A file: its bytes as processes see them, and as they are on the platter. */
class FileNode {
  #live: Buffer = Buffer.alloc(0)
  #size = 0
  #durable: Buffer = Buffer.alloc(0)
  /** Written since the last sync began. */
  #pending: Extent[] = []
  #flights: Flight[] = []
  /** Counted as clean by a sync that failed. */
  #lost: Extent[] = []
  /** Every size since the durable one. */
  #sizes: number[] = []

  get size(): number {
    return this.#size
  }

  get bytes(): Buffer {
    return this.#live.subarray(0, this.#size)
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    if (end <= start) return
    const size = this.#size + end - start
    if (size > this.#live.length) {
      const grown = Buffer.alloc(Math.max(size, this.#live.length * 2, 256))
      grown.set(this.bytes)
      this.#live = grown
    }
    this.#live.set(bytes.subarray(start, end), this.#size)
    const last = this.#pending.at(-1)
    if (last !== undefined && last.end === this.#size)
      this.#pending[this.#pending.length - 1] = { start: last.start, end: size }
    else this.#pending.push({ start: this.#size, end: size })
    this.#size = size
    this.#sizes.push(size)
  }

  truncate(size: number): void {
    if (size === this.#size) return
    this.#size = size
    this.#sizes.push(size)
  }

  beginSync(): Flight {
    const extents = this.#pending.map(({ start, end }) => ({
      start,
      end,
      // What was cut off since is no longer of interest.
      bytes: Buffer.from(this.#live.subarray(start, Math.max(start, Math.min(end, this.#size)))),
    }))
    this.#pending = []
    const flight: Flight = { extents, size: this.#size, isCancelled: false }
    this.#flights.push(flight)
    return flight
  }

  /** A sync covers those that began before it, whichever ends first. */
  endSync(flight: Flight): void {
    if (flight.isCancelled) return
    const at = this.#flights.indexOf(flight)
    if (at < 0) return
    for (const { extents, size } of this.#flights.splice(0, at + 1)) {
      const durable = Buffer.alloc(size)
      durable.set(this.#durable.subarray(0, size))
      for (const { start, bytes } of extents) {
        if (start < size) durable.set(bytes.subarray(0, size - start), start)
      }
      this.#durable = durable
    }
    this.#sizes = this.#sizes.slice(this.#sizes.lastIndexOf(flight.size) + 1)
  }

  loseUnsynced(): void {
    this.#lost.push(...this.#pending)
    this.#pending = []
  }

  flipBit(position: number, bit: number): void {
    this.#live[position]! ^= 1 << bit
    if (position < this.#durable.length) this.#durable[position]! ^= 1 << bit
  }

  settle(random: SeededRandom, wanted: PowerCutFate | null): void {
    const fate = wanted ?? random.pick(POWER_CUT_FATES)
    const live = this.bytes
    const durable = this.#durable
    const dirty = [...this.#lost, ...this.#flights.flatMap(({ extents }) => extents), ...this.#pending]
    for (const flight of this.#flights) flight.isCancelled = true
    const sizes = [durable.length, ...this.#sizes]
    this.#durable = settledBytes({ live, durable, dirty, lost: this.#lost, sizes }, random, fate)
    this.#live = Buffer.from(this.#durable)
    this.#size = this.#durable.length
    this.#pending = []
    this.#flights = []
    this.#lost = []
    this.#sizes = []
  }
}

function settledBytes(
  file: {
    readonly live: Buffer
    readonly durable: Buffer
    readonly dirty: readonly Extent[]
    readonly lost: readonly Extent[]
    readonly sizes: readonly number[]
  },
  random: SeededRandom,
  fate: PowerCutFate,
): Buffer {
  const { live, durable, dirty, sizes } = file
  if (fate === 'nothing') return durable
  if (fate === 'everything') {
    const bytes = Buffer.from(live)
    // Clean by the count of the system, so that it never wrote them.
    for (const { start, end } of file.lost) {
      bytes.fill(0, start, end)
      bytes.set(durable.subarray(start, Math.min(end, bytes.length)), start)
    }
    return bytes
  }
  if (fate === 'prefix') {
    // As far as the head came, byte by byte; what was there before is overwritten in place.
    const from = Math.min(durable.length, live.length, ...dirty.map(({ start }) => start))
    const to = from + random.below(live.length - from + 1)
    if (to === live.length) return Buffer.from(live)
    const kept = random.chance(0.5) ? durable.subarray(to) : Buffer.alloc(0)
    return Buffer.concat([live.subarray(0, to), kept])
  }
  if (fate === 'zero tail') {
    const size = Math.max(live.length, durable.length)
    const bytes = Buffer.alloc(size)
    bytes.set(durable)
    return bytes.subarray(0, random.chance(0.8) ? size : durable.length + random.below(size - durable.length + 1))
  }
  const bytes = Buffer.alloc(random.pick(sizes))
  bytes.set(durable.subarray(0, bytes.length))
  for (let sector = 0; sector < bytes.length; sector += SECTOR_BYTES) {
    const end = Math.min(sector + SECTOR_BYTES, bytes.length, live.length)
    const isDirty = dirty.some((extent) => extent.start < end && extent.end > sector)
    if (!isDirty || end <= sector || random.chance(0.5)) continue
    // Now and then the power goes while a sector is being written.
    const torn = random.chance(0.05) ? sector + random.below(end - sector) : end
    bytes.set(live.subarray(sector, torn), sector)
  }
  return bytes
}

/** A directory: its names as processes see them, as they are on the platter, and the changes between the two. */
class DirectoryNode {
  readonly live = new Map<string, Node>()
  readonly durable = new Map<string, Node>()
  #pending: NameChange[] = []
  readonly #flights: (readonly NameChange[])[] = []

  link(name: string, node: Node): void {
    this.#change({ kind: 'link', name, node })
  }

  unlink(name: string): void {
    this.#change({ kind: 'unlink', name })
  }

  rename(from: string, to: string): void {
    this.#change({ kind: 'rename', from, to })
  }

  #change(change: NameChange): void {
    this.#pending.push(change)
    apply(this.live, change)
  }

  beginSync(): readonly NameChange[] {
    const changes = this.#pending
    this.#pending = []
    this.#flights.push(changes)
    return changes
  }

  endSync(changes: readonly NameChange[]): void {
    const at = this.#flights.indexOf(changes)
    for (const flight of this.#flights.splice(0, at + 1)) for (const change of flight) apply(this.durable, change)
  }

  settle(random: SeededRandom, wanted: PowerCutFate | null): void {
    const fate = wanted ?? random.pick(POWER_CUT_FATES)
    const changes = [...this.#flights.flat(), ...this.#pending]
    const doneCount = fate === 'everything' ? changes.length : fate === 'nothing' ? 0 : random.below(changes.length + 1)
    const isAnySubset = fate === 'any subset'
    for (const [i, change] of changes.entries()) {
      if (isAnySubset ? random.chance(0.5) : i < doneCount) apply(this.durable, change)
    }
    this.#pending = []
    this.#flights.length = 0
    this.live.clear()
    for (const [name, node] of this.durable) {
      this.live.set(name, node)
      node.settle(random, wanted)
    }
  }
}

function apply(names: Map<string, Node>, change: NameChange): void {
  switch (change.kind) {
    case 'link':
      names.set(change.name, change.node)
      break
    case 'unlink':
      names.delete(change.name)
      break
    case 'rename': {
      const node = names.get(change.from)
      // What was made and never durable cannot have got another name either.
      if (node === undefined) break
      names.delete(change.from)
      names.set(change.to, node)
      break
    }
  }
}

function removeBelow(node: Node): void {
  if (node instanceof FileNode) return
  for (const [name, child] of node.live) {
    removeBelow(child)
    node.unlink(name)
  }
}

function find(root: DirectoryNode, path: string): Node | undefined {
  let node: Node | undefined = root
  for (const name of namesOf(path)) {
    if (!(node instanceof DirectoryNode)) return undefined
    node = node.live.get(name)
  }
  return node
}

function namesOf(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  assert(!names.includes('..'), 'paths lead downwards')
  return names
}
