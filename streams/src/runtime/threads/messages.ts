// What a thread and its owner say to each other. Everything is copied on the way, so it is all data.
import { StreamsError, type StreamsErrorCode } from '../../errors.ts'
import type { Answer, WindowRow } from '../../interactive/store-query.ts'
import type { AppState, Metrics } from '../app.ts'
import type { RunOptions } from '../options.ts'

/** Options that can be sent to a thread: all but functions. */
export type ThreadOptions = Omit<RunOptions, 'logger' | 'signal' | 'openBacking' | 'workers'>

export interface ThreadData {
  readonly module: string
  readonly options: ThreadOptions
  /** Whether its owner has a logger; without one warnings are the process's. */
  readonly isLogged: boolean
}

export type ToThread =
  | { readonly kind: 'join' }
  | { readonly kind: 'close' }
  | { readonly kind: 'ask'; readonly id: number; readonly question: Question }

export type Question =
  | { readonly what: 'commit' }
  | { readonly what: 'metrics' }
  | { readonly what: 'get'; readonly store: string; readonly key: unknown }
  | {
      readonly what: 'windows'
      readonly store: string
      readonly key: unknown
      readonly from?: number
      readonly to?: number
    }
  | { readonly what: 'range'; readonly store: string; readonly from: unknown; readonly to: unknown }
  | { readonly what: 'all'; readonly store: string }
  | { readonly what: 'owner'; readonly store: string; readonly key: unknown }

/** The answers to questions, by what was asked. */
export interface Answers {
  commit: null
  metrics: null
  get: Answer<unknown>
  windows: Answer<WindowRow<unknown, unknown>[]>
  range: readonly unknown[]
  all: readonly unknown[]
  owner: { readonly isLocal: boolean; readonly owner: string | null }
}

/** What came from a thread, with the Buffers that it was sent with: on the way they become plain Uint8Arrays. */
export function withBuffers(value: unknown): unknown {
  return revived(value, new Set())
}

function revived(value: unknown, seen: Set<object>): unknown {
  if (typeof value !== 'object' || value === null || seen.has(value)) return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  seen.add(value)
  if (value instanceof Map) {
    const entries = [...(value as Map<unknown, unknown>)]
    value.clear()
    for (const [key, one] of entries) value.set(revived(key, seen), revived(one, seen))
  } else if (value instanceof Set) {
    const members = [...(value as Set<unknown>)]
    value.clear()
    for (const one of members) value.add(revived(one, seen))
  } else if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) {
    const fields = value as Record<string, unknown>
    for (const [name, one] of Object.entries(fields)) {
      if (typeof one === 'object') fields[name] = revived(one, seen)
    }
  }
  return value
}

export type FromThread =
  /** All is checked and made that can be before the group is joined. */
  | { readonly kind: 'prepared' }
  | { readonly kind: 'started'; readonly applicationId: string; readonly status: Status }
  | { readonly kind: 'status'; readonly status: Status }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown; readonly status: Status }
  | { readonly kind: 'refused'; readonly id: number; readonly error: SentError }
  | { readonly kind: 'log'; readonly level: 'info' | 'warn'; readonly message: string }
  | { readonly kind: 'ended'; readonly error: SentError | null; readonly status: Status | null }

/** How a thread is doing, told with everything that it says. */
export interface Status {
  readonly state: AppState
  readonly metrics: Metrics
}

export interface SentError {
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly code: string | null
  readonly topic: string | null
  readonly partition: number | null
  readonly offset: number | null
  readonly cause: SentError | null
}

/** A chain of causes that goes in a circle has no end. */
const CAUSES_MAX = 5

export function sentError(error: unknown): SentError {
  return sent(error, CAUSES_MAX)
}

function sent(error: unknown, causesLeft: number): SentError {
  const thrown = error instanceof Error ? error : new Error(String(error))
  const isStreams = thrown instanceof StreamsError
  return {
    name: thrown.name,
    message: thrown.message,
    stack: thrown.stack ?? '',
    code: isStreams ? thrown.code : null,
    topic: isStreams ? thrown.topic : null,
    partition: isStreams ? thrown.partition : null,
    offset: isStreams ? thrown.offset : null,
    cause: thrown.cause instanceof Error && causesLeft > 0 ? sent(thrown.cause, causesLeft - 1) : null,
  }
}

/** The error as it was thrown in its thread, with the stack it had there. */
export function receivedError({ name, message, stack, code, topic, partition, offset, cause }: SentError): Error {
  const because = cause === null ? {} : { cause: receivedError(cause) }
  const error =
    code === null
      ? new Error(message, because)
      : new StreamsError(code as StreamsErrorCode, message, {
          ...(topic === null ? {} : { topic }),
          ...(partition === null ? {} : { partition }),
          ...(offset === null ? {} : { offset }),
          ...because,
        })
  error.name = name
  error.stack = stack
  return error
}
