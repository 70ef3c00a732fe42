import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Random } from '../base/random.ts'
import type { BrokerConfig } from '../config/broker-config.ts'
import type { GroupCoordinator } from '../groups/coordinator.ts'
import type { LocalMetadata } from '../metadata/local-metadata.ts'
import type { FetchSessions } from '../partition/fetch-session.ts'
import type { Partitions } from '../partition/partitions.ts'
import type { ProducerIds } from '../partition/producer-ids.ts'
import type { TransactionCoordinator } from '../transactions/coordinator.ts'

/** An API as ApiVersions shows it, which may be less than what its table can encode. */
export interface AdvertisedApi {
  readonly apiKey: number
  readonly minVersion: number
  readonly maxVersion: number
}

/** The parts of a broker that answer requests; put together in `broker.ts`. */
export interface BrokerServices {
  readonly nodeId: number
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly config: BrokerConfig
  readonly metadata: LocalMetadata
  readonly partitions: Partitions
  readonly producerIds: ProducerIds
  readonly fetchSessions: FetchSessions
  readonly groups: GroupCoordinator
  readonly transactions: TransactionCoordinator
  readonly advertisedApis: readonly AdvertisedApi[]
}
