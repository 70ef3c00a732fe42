export {
  schemaRegistry,
  SchemaRegistry,
  type Fetch,
  type RegisteredSchema,
  type Registration,
  type Schema,
  type SchemaReference,
  type SchemaRegistryOptions,
  type SchemaType,
} from './registry.ts'
export { SchemaRegistryError, SchemaRegistryUnreachableError } from './errors.ts'
export { recordName, topicName, topicRecordName, type SubjectName, type SubjectOf } from './subject-name.ts'
