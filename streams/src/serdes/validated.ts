import { StreamsError } from '../errors.ts'
import { json } from './primitives.ts'
import { remotesOf, type Serde } from './serde.ts'

/** The part of the Standard Schema interface (zod, valibot, arktype and others implement it) that a serde needs. */
export interface StandardSchema<Output> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined
  }
}

type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] }

/**
 * Checks every value that is read against a Standard Schema validator, whose output type becomes the value's type.
 * `through` is the encoding underneath, JSON unless given.
 */
export function validated<Output>(
  schema: StandardSchema<Output>,
  through: Serde<unknown> = json<unknown>(),
): Serde<Output> {
  return {
    name: `${through.name} validated by ${schema['~standard'].vendor}`,
    ...remotesOf(through),
    serialize: (value) => through.serialize(value),
    deserialize(bytes) {
      const result = schema['~standard'].validate(through.deserialize(bytes))
      if (result instanceof Promise) {
        throw new StreamsError('deserialization', 'this schema validates asynchronously; a serde is synchronous')
      }
      if (result.issues !== undefined) {
        const issues = result.issues.map((issue) => `${path(issue.path)}${issue.message}`).join('; ')
        throw new StreamsError('deserialization', `the value does not fit its schema: ${issues}`)
      }
      return result.value
    },
  }
}

function path(keys: readonly unknown[] | undefined): string {
  if (keys === undefined || keys.length === 0) return ''
  const names = keys.map((key) => (typeof key === 'object' && key !== null && 'key' in key ? key.key : key))
  return `${names.map(String).join('.')}: `
}
