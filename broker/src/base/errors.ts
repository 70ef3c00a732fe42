/** What the world may do to the broker: a disk that fails, a port in use, a setting out of range. `code` is stable. */
export class BrokerError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** A file operation failed. `errno` is the system's name for the reason, such as ENOSPC. */
export class StorageError extends BrokerError {
  readonly path: string
  readonly errno: string

  constructor(operation: string, path: string, cause: unknown) {
    const errno = (cause as { code?: string }).code ?? 'EIO'
    super('STORAGE_ERROR', `${operation} ${path}: ${errno}`, { cause })
    this.path = path
    this.errno = errno
  }
}

/** Stored bytes are not what was written. Says which file, where, and what is wrong there. */
export class CorruptLogError extends BrokerError {
  readonly file: string
  readonly position: number

  constructor(file: string, position: number, reason: string) {
    super('CORRUPT_LOG', `${file}: at byte ${position}: ${reason}`)
    this.file = file
    this.position = position
  }
}

/** A setting, flag or argument that cannot be used. Names it, its value and what is allowed. */
export class ConfigError extends BrokerError {
  readonly setting: string

  constructor(setting: string, value: unknown, allowed: string) {
    super('INVALID_CONFIG', `${setting}=${String(value)}: ${allowed}`)
    this.setting = setting
  }
}
