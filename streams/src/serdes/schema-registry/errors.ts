import { StreamsError } from '../../errors.ts'

/** What a registry answered instead of what was asked: `status` of HTTP, and its own code, such as 40403. */
export class SchemaRegistryError extends StreamsError {
  readonly status: number
  readonly errorCode: number
  readonly subject: string | null

  constructor(message: string, about: { status: number; errorCode: number; subject: string | null }) {
    super('schema-registry', message)
    this.status = about.status
    this.errorCode = about.errorCode
    this.subject = about.subject
  }
}

/**
 * No registry answers, or none gives what a reader needs, without saying that it does not exist. Never the fault of a
 * record, so it ends the application instead of going to a handler.
 */
export class SchemaRegistryUnreachableError extends StreamsError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super('connection-failed', message, options)
  }
}

export const SUBJECT_NOT_FOUND = 40_401
export const VERSION_NOT_FOUND = 40_402
export const SCHEMA_NOT_FOUND = 40_403
