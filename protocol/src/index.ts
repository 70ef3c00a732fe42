export * from './apis/index.ts'
export * from './codec.ts'
export * from './consumer-protocol.ts'
export * from './error-codes.ts'
export * from './files/producer-snapshot.ts'
export * from './headers.ts'
export * from './internal-topics/index.ts'
export * from './kraft/index.ts'
export { ProtocolError } from './protocol-error.ts'
export { Reader } from './reader.ts'
export * from './records/index.ts'
export * as schema from './schema.ts'
export {
  INT64_MAX,
  ZERO_UUID,
  type Api,
  type Decoded,
  type Field,
  type Fields,
  type Input,
  type Message,
  type MessageInput,
  type MessageOf,
  type RequestInput,
  type RequestOf,
  type ResponseInput,
  type ResponseOf,
} from './schema.ts'
export { Writer } from './writer.ts'
