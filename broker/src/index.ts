export { Broker, type BrokerOptions, type StorageStatus, type TopicOptions } from './broker.ts'
export { BrokerError, ConfigError, CorruptLogError, StorageError } from './base/errors.ts'
export type { LogFields, Logger } from './base/logger.ts'
