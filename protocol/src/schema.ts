// The vocabulary in which Kafka's messages are written down. A message is a table of fields in wire order; each field
// says its type and the versions that carry it. The TypeScript types of decoded and encodable objects are inferred from
// the table, so the table is the only place where a message is described.

/** `'3+'`, `'0-12'`, `'4'` or `'none'`: the message versions for which something holds. */
export type Versions = `${number}+` | `${number}-${number}` | `${number}` | 'none'

interface ScalarTypes {
  bool: boolean
  int8: number
  int16: number
  uint16: number
  int32: number
  uint32: number
  /** A 64-bit integer as a plain number; the codec refuses what a double cannot hold exactly, see INT64_MAX. */
  int64: number
  float64: number
  /** Kafka's own text form: 16 bytes as base64url without padding, 22 characters. */
  uuid: string
  string: string
  /** A view into the frame it was decoded from, not a copy. */
  bytes: Buffer
  /** Record batches, left undecoded: a view into the frame, like `bytes`. */
  records: Buffer
}
export type ScalarType = keyof ScalarTypes

/**
 * Java's Long.MAX_VALUE, which Kafka uses for "no bound". It is the one integer beyond 2^53 that is read and written
 * (as the nearest double, which no offset or timestamp can equal).
 */
export const INT64_MAX: number = 2 ** 63

export const ZERO_UUID = 'AAAAAAAAAAAAAAAAAAAAAA'

export interface FieldOptions {
  /** Left out when the field is in every version in which its surroundings are. */
  readonly versions?: Versions
  readonly nullable?: true | Versions
  /** The field travels in the tag section of its struct, and only when it differs from its default. */
  readonly tag?: number
  /** Needed only when the field was an ordinary one before it became tagged. */
  readonly tagged?: Versions
  /**
   * What the field is where the version does not carry it; without it 0, false, '', no elements, or a struct of such.
   */
  readonly default?: number | boolean | string | null
  /**
   * The encoding of this field's length stays the old one even in flexible versions (client id of the request header).
   */
  readonly flexible?: false
}

/**
 * One field of a table. `$decoded`, `$input` and `$optional` exist for the type checker alone: the type that a decoder
 * gives, the type that an encoder takes, and whether an encoder may be given nothing.
 */
export class Field<T = unknown, I = unknown, Optional extends boolean = boolean> {
  declare readonly $decoded: T
  declare readonly $input: I
  declare readonly $optional: Optional
  readonly type: ScalarType | 'array' | 'struct'
  /** What an array is made of. */
  readonly element: Field | null
  /** What a struct is made of. */
  readonly fields: Fields | null
  readonly options: FieldOptions

  constructor(
    type: ScalarType | 'array' | 'struct',
    element: Field | null,
    fields: Fields | null,
    options: FieldOptions,
  ) {
    this.type = type
    this.element = element
    this.fields = fields
    this.options = options
  }
}

export interface Fields {
  readonly [name: string]: Field
}

/** What a decoder gives: every field in every version, so that code which reads it needs no test of the version. */
export type Decoded<F extends Fields> = { -readonly [K in keyof F]: F[K]['$decoded'] }

type OptionalNames<F extends Fields> = { [K in keyof F]: F[K]['$optional'] extends true ? K : never }[keyof F]

/**
 * What an encoder takes: a field may be left out when it has a default, is tagged, or is not in every version. For a
 * table that is not known more closely, as in code that handles any API, that is any object.
 */
export type Input<F extends Fields> = string extends keyof F
  ? object
  : { readonly [K in Exclude<keyof F, OptionalNames<F>>]: F[K]['$input'] } & {
      readonly [K in OptionalNames<F>]?: F[K]['$input'] | undefined
    }

type Nullable<T, O> = O extends { readonly nullable: true | Versions } ? T | null : T
type IsOptional<O> = O extends
  | { readonly default: unknown }
  | { readonly tag: number }
  | { readonly versions: Versions }
  ? true
  : false
type FieldOf<T, I, O> = Field<Nullable<T, O>, Nullable<I, O>, IsOptional<O>>
// The options of a field that was given none.
type Plain = Record<never, never>

const PLAIN: FieldOptions = {}

function scalar<S extends ScalarType>(type: S) {
  return <const O extends FieldOptions = Plain>(options?: O): FieldOf<ScalarTypes[S], ScalarTypes[S], O> =>
    new Field(type, null, null, options ?? PLAIN) as FieldOf<ScalarTypes[S], ScalarTypes[S], O>
}
export const bool = scalar('bool')
export const int8 = scalar('int8')
export const int16 = scalar('int16')
export const uint16 = scalar('uint16')
export const int32 = scalar('int32')
export const uint32 = scalar('uint32')
export const int64 = scalar('int64')
export const float64 = scalar('float64')
export const uuid = scalar('uuid')
export const string = scalar('string')
export const bytes = scalar('bytes')
export const records = scalar('records')

/** An array of scalars, `array(int32())`, or of structs, `array({ index: int32() })`. */
export function array<T, I, B extends boolean, const O extends FieldOptions = Plain>(
  of: Field<T, I, B>,
  options?: O,
): FieldOf<T[], readonly I[], O>
export function array<F extends Fields, const O extends FieldOptions = Plain>(
  of: F,
  options?: O,
): FieldOf<Decoded<F>[], readonly Input<F>[], O>
export function array(of: Field | Fields, options?: FieldOptions): Field {
  const element = of instanceof Field ? of : new Field('struct', null, of, PLAIN)
  return new Field('array', element, null, options ?? PLAIN)
}

export function struct<F extends Fields, const O extends FieldOptions = Plain>(
  fields: F,
  options?: O,
): FieldOf<Decoded<F>, Input<F>, O> {
  return new Field('struct', null, fields, options ?? PLAIN) as FieldOf<Decoded<F>, Input<F>, O>
}

export interface MessageSpec<F extends Fields> {
  readonly name: string
  readonly versions: Versions
  /** The versions with compact lengths and tag sections (KIP-482): open at the top, or none. */
  readonly flexible: `${number}+` | 'none'
  readonly fields: F
}

export interface Message<F extends Fields = Fields> extends MessageSpec<F> {
  readonly minVersion: number
  readonly maxVersion: number
  /** The first flexible version; Infinity when there is none. */
  readonly flexibleFrom: number
}

/** A message that is no API: a header, or the key or value of an internal record. */
export function message<F extends Fields>(spec: MessageSpec<F>): Message<F> {
  const { low, high } = versionRange(spec.versions)
  const flexibleFrom = versionRange(spec.flexible).low
  return { ...spec, minVersion: low, maxVersion: high, flexibleFrom }
}

export interface Api<Q extends Fields = Fields, R extends Fields = Fields> {
  readonly key: number
  /** Kafka's name, as in `ListOffsets`. */
  readonly name: string
  readonly minVersion: number
  readonly maxVersion: number
  readonly flexibleFrom: number
  readonly request: Message<Q>
  readonly response: Message<R>
}

/** The table of one API: its key, the versions it speaks, and the two messages of it. */
export function api<Q extends Fields, R extends Fields>(spec: {
  readonly key: number
  readonly name: string
  readonly versions: Versions
  readonly flexible: `${number}+` | 'none'
  readonly request: Q
  readonly response: R
}): Api<Q, R> {
  const { key, name, versions, flexible } = spec
  const request = message({ name: `${name}Request`, versions, flexible, fields: spec.request })
  const response = message({ name: `${name}Response`, versions, flexible, fields: spec.response })
  const { minVersion, maxVersion, flexibleFrom } = request
  return { key, name, minVersion, maxVersion, flexibleFrom, request, response }
}

export type MessageOf<M> = M extends Message<infer F> ? Decoded<F> : never
export type MessageInput<M> = M extends Message<infer F> ? Input<F> : never
export type RequestOf<A> = A extends { readonly request: Message<infer F> } ? Decoded<F> : never
export type ResponseOf<A> = A extends { readonly response: Message<infer F> } ? Decoded<F> : never
export type RequestInput<A> = A extends { readonly request: Message<infer F> } ? Input<F> : never
export type ResponseInput<A> = A extends { readonly response: Message<infer F> } ? Input<F> : never

/** Both ends inclusive; `none` is the range that begins at Infinity. */
export function versionRange(versions: Versions): { low: number; high: number } {
  if (versions === 'none') return { low: Infinity, high: -Infinity }
  if (versions.endsWith('+')) return { low: Number(versions.slice(0, -1)), high: Infinity }
  const [low, high] = versions.split('-').map(Number) as [number, number?]
  return { low, high: high ?? low }
}

export function includes(versions: Versions | undefined, version: number): boolean {
  if (versions === undefined) return true
  const { low, high } = versionRange(versions)
  return version >= low && version <= high
}

/** Whether the field may be null at this version. */
export function isNullable(field: Field, version: number): boolean {
  const { nullable } = field.options
  return nullable === true || (nullable !== undefined && includes(nullable, version))
}

/** Whether the field is in the message at this version at all, tagged or not. */
export function isPresent(field: Field, version: number): boolean {
  return includes(field.options.versions, version)
}

/** Whether the field, where present, travels in the tag section. */
export function isTagged(field: Field, version: number): boolean {
  return field.options.tag !== undefined && includes(field.options.tagged, version)
}

/** Whether an encoder may be given undefined for the field and then writes the default. */
export function isOptional(field: Field): boolean {
  const { options } = field
  return options.default !== undefined || options.tag !== undefined || options.versions !== undefined
}
