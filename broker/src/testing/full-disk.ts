import { StorageError } from '../base/errors.ts'
import type { DiskFile, DiskSpace } from '../log/disk.ts'
import { MemoryDisk } from '../log/memory-disk.ts'

/** A disk in memory with as much room as the test says. An append that finds too little takes what there is, as write(2). */
export class FullDisk extends MemoryDisk {
  readonly #totalBytes: number
  freeBytes: number

  constructor(totalBytes: number) {
    super()
    this.#totalBytes = totalBytes
    this.freeBytes = totalBytes
  }

  override open(path: string, options?: { readonly create?: boolean }): DiskFile {
    const file = super.open(path, options)
    const append = file.append.bind(file)
    const truncate = file.truncate.bind(file)
    file.append = (bytes, start = 0, end = bytes.length) => {
      const room = Math.min(end - start, this.freeBytes)
      this.freeBytes -= room
      append(bytes, start, start + room)
      if (room < end - start) throw new StorageError('append to', path, { code: 'ENOSPC' })
    }
    file.truncate = (size) => {
      this.freeBytes += file.size - size
      truncate(size)
    }
    return file
  }

  space(): DiskSpace {
    return { totalBytes: this.#totalBytes, freeBytes: this.freeBytes }
  }
}
