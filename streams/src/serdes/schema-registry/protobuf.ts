import { fromBinary, toBinary, type DescFile, type DescMessage, type MessageShape } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { StreamsError } from '../../errors.ts'
import type { Serde } from '../serde.ts'
import { RegistrySerde, type SchemaFormat, type SchemaReader, type SchemaWriter } from './registry-serde.ts'
import type { Schema, SchemaReference, SchemaRegistry } from './registry.ts'
import { encodeMessageIndexes, HEADER_BYTES, skipMessageIndexes } from './wire-format.ts'

/**
 * Protobuf by @bufbuild/protobuf, in the wire format of a schema registry. `message` is the schema that protoc-gen-es
 * generated; values have its type.
 *
 *     import { OrderSchema } from './gen/orders_pb.js'
 *     const orders = topic('orders', { key: string(), value: protobuf(registry, OrderSchema) })
 *
 * What others wrote with another version of the message is read by Protobuf's own rules, by field numbers, so reading
 * asks the registry for nothing. Files that the message's file imports are registered under their names.
 */
export function protobuf<M extends DescMessage>(registry: SchemaRegistry, message: M): Serde<MessageShape<M>> {
  return new RegistrySerde<MessageShape<M>>(registry, new ProtobufFormat(registry, message))
}

class ProtobufFormat<M extends DescMessage> implements SchemaFormat<MessageShape<M>> {
  readonly type = 'PROTOBUF'
  readonly needsWriterSchema = false
  readonly recordName: string
  readonly #registry: SchemaRegistry
  readonly #message: M
  readonly #indexes: Buffer

  constructor(registry: SchemaRegistry, message: M) {
    this.#registry = registry
    this.#message = message
    this.recordName = message.typeName
    this.#indexes = encodeMessageIndexes(indexesOf(message))
  }

  schema(resolve: (subject: string, schema: Schema) => Promise<number>): Promise<Schema> {
    return this.#schemaOf(this.#message.file, resolve)
  }

  writer(): SchemaWriter<MessageShape<M>> {
    const message = this.#message
    const indexes = this.#indexes
    return (value, header) => {
      let encoded: Uint8Array
      try {
        encoded = toBinary(message, value)
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause)
        throw new StreamsError('serialization', `not a ${message.typeName}: ${reason}`, { cause })
      }
      const bytes = Buffer.allocUnsafe(HEADER_BYTES + indexes.length + encoded.length)
      header.copy(bytes)
      indexes.copy(bytes, HEADER_BYTES)
      bytes.set(encoded, HEADER_BYTES + indexes.length)
      return bytes
    }
  }

  reader(): SchemaReader<MessageShape<M>> {
    const message = this.#message
    // A copy, because fields of bytes, and fields that are not known, are kept as views of what is read.
    return (bytes) => fromBinary(message, Uint8Array.from(bytes.subarray(skipMessageIndexes(bytes, HEADER_BYTES))))
  }

  /** A file as the registry takes it without its .proto text: its descriptor in base64. */
  async #schemaOf(file: DescFile, resolve: (subject: string, schema: Schema) => Promise<number>): Promise<Schema> {
    const references: SchemaReference[] = []
    for (const dependency of file.dependencies) {
      const name = dependency.proto.name
      if (KNOWN_TO_REGISTRIES.some((directory) => name.startsWith(directory))) continue
      const schema = await this.#schemaOf(dependency, resolve)
      await resolve(name, schema)
      const found = await this.#registry.lookup(name, schema)
      references.push({ name, subject: name, version: found?.version ?? 1 })
    }
    const text = Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)).toString('base64')
    return { type: 'PROTOBUF', text, references }
  }
}

const KNOWN_TO_REGISTRIES = ['google/protobuf/', 'google/type/', 'confluent/']

/** The place of a message in its file: its index among the file's, or those of the messages around it first. */
function indexesOf(message: DescMessage): number[] {
  const siblings = message.parent?.nestedMessages ?? message.file.messages
  return [...(message.parent === undefined ? [] : indexesOf(message.parent)), siblings.indexOf(message)]
}
