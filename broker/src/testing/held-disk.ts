import { StorageError } from '../base/errors.ts'
import type { DiskFile } from '../log/disk.ts'
import { MemoryDisk } from '../log/memory-disk.ts'

/** A disk in memory where the sync of a segment ends when the test says so, well or badly. Nothing else is held. */
export class HeldDisk extends MemoryDisk {
  #isHolding = false
  readonly #held: { readonly path: string; readonly resolve: () => void; readonly reject: (error: Error) => void }[] =
    []

  /** The paths of the files whose sync was asked for and has not ended. */
  get heldPaths(): string[] {
    return this.#held.map(({ path }) => path)
  }

  hold(): void {
    this.#isHolding = true
  }

  /** Ends the syncs that are held, and holds no more if `isLast`. */
  release(isLast = false): void {
    this.#isHolding &&= !isLast
    for (const { resolve } of this.#held.splice(0)) resolve()
  }

  /** Ends the syncs that are held of files in a directory of this name. */
  releaseIn(directory: string): void {
    for (const held of this.#held.splice(0)) {
      if (held.path.includes(`/${directory}/`)) held.resolve()
      else this.#held.push(held)
    }
  }

  /** Fails the syncs that are held, or those of files in a directory of this name. */
  failHeld(directory?: string): void {
    for (const held of this.#held.splice(0)) {
      if (directory === undefined || held.path.includes(`/${directory}/`)) {
        held.reject(new StorageError('sync', held.path, { code: 'EIO' }))
      } else {
        this.#held.push(held)
      }
    }
  }

  override copy(): HeldDisk {
    const copied = new HeldDisk()
    const copy = (directory: string): void => {
      copied.makeDirectory(directory)
      for (const name of this.list(directory)) {
        const path = `${directory}/${name}`
        if (this.isDirectory(path)) copy(path)
        else copied.writeFile(path, this.readFile(path)!)
      }
    }
    copy('')
    return copied
  }

  override open(path: string, options?: { readonly create?: boolean }): DiskFile {
    const file = super.open(path, options)
    const sync = file.sync.bind(file)
    file.sync = () => {
      if (!this.#isHolding || !path.endsWith('.log')) return sync()
      return new Promise((resolve, reject) => this.#held.push({ path, resolve, reject }))
    }
    return file
  }
}
