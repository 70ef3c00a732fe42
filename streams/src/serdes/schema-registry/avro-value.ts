/** An Avro schema as JSON has it. */
export type AvroSchema =
  | string
  | readonly AvroSchema[]
  | { readonly type: AvroSchema | string; readonly [attribute: string]: unknown }

/**
 * The type of the values of an Avro schema that is written in the program. `unknown` where the schema alone does not say:
 * names of other types, logical types with a conversion, unions of more than one type beside null.
 */
export type AvroValue<S> = S extends keyof Primitives
  ? Primitives[S]
  : S extends readonly unknown[]
    ? UnionValue<S>
    : S extends { readonly type: 'record'; readonly fields: infer F extends readonly Field[] }
      ? { -readonly [One in F[number] as One['name']]: AvroValue<One['type']> }
      : S extends { readonly type: 'array'; readonly items: infer Items }
        ? AvroValue<Items>[]
        : S extends { readonly type: 'map'; readonly values: infer Values }
          ? Record<string, AvroValue<Values>>
          : S extends { readonly type: 'enum'; readonly symbols: readonly (infer Symbol)[] }
            ? Symbol
            : S extends { readonly type: 'fixed' }
              ? Buffer
              : S extends { readonly type: infer Inner extends keyof Primitives }
                ? Primitives[Inner]
                : unknown

interface Primitives {
  null: null
  boolean: boolean
  int: number
  long: number
  float: number
  double: number
  bytes: Buffer
  string: string
}

interface Field {
  readonly name: string
  readonly type: unknown
}

type UnionValue<S extends readonly unknown[]> = S extends readonly ['null', infer One]
  ? AvroValue<One> | null
  : S extends readonly [infer One, 'null']
    ? AvroValue<One> | null
    : S extends readonly [infer One]
      ? AvroValue<One>
      : unknown
