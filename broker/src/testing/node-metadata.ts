import {
  codec,
  Reader,
  Writer,
  type Api,
  type Fields,
  type RequestInput,
  type RequestOf,
  type ResponseInput,
  type ResponseOf,
} from '@millrace/protocol'
import { silentLogger } from '../base/logger.ts'
import { BrokerConfig } from '../config/broker-config.ts'
import type { Handler, RequestContext } from '../handlers/handler.ts'
import type { BrokerServices } from '../handlers/services.ts'
import { MemoryDisk } from '../log/memory-disk.ts'
import { PartitionLog } from '../log/partition-log.ts'
import { LocalMetadata } from '../metadata/local-metadata.ts'
import { metadataLogConfig } from '../metadata/topic-config.ts'
import { CLUSTER_METADATA, CLUSTER_METADATA_ID } from '../metadata/topic-names.ts'
import { systemRandom } from '../platform/system-random.ts'
import { ManualClock } from './manual-clock.ts'

export const CLUSTER_ID = 'MkU3OEVBNTcwNTJENDM1Tk'
export const DIRECTORY_ID = 'LKb5dBBVIW-3CtsyAgcFrg'

export interface NodeMetadata {
  readonly metadata: LocalMetadata
  readonly config: BrokerConfig
  readonly log: PartitionLog
  readonly disk: MemoryDisk
}

/** The metadata of node 1, from the disk of an earlier one or new. */
export function openMetadata(
  options: {
    readonly disk?: MemoryDisk
    readonly sets?: readonly string[]
    readonly isCleanShutdown?: boolean
    readonly directoryIds?: readonly string[]
  } = {},
): NodeMetadata {
  const { disk = new MemoryDisk(), sets = [], isCleanShutdown = true, directoryIds = [DIRECTORY_ID] } = options
  const clock = new ManualClock()
  const config = BrokerConfig.from({ sets })
  const log = PartitionLog.open({
    disk,
    directory: `/data/${CLUSTER_METADATA}-0`,
    topicPartition: { topic: CLUSTER_METADATA, partition: 0 },
    topicId: CLUSTER_METADATA_ID,
    config: metadataLogConfig(config),
    clock,
    logger: silentLogger,
    isCleanShutdown,
    producerIdExpirationMs: 1000,
  })
  const metadata = LocalMetadata.open({
    log,
    config,
    nodeId: config.nodeId,
    clusterId: CLUSTER_ID,
    directoryIds,
    endpoints: [{ name: 'PLAINTEXT', host: '127.0.0.1', port: 9092 }],
    isCleanShutdown,
    clock,
    random: systemRandom,
    logger: silentLogger,
  })
  return { metadata, config, log, disk }
}

/** Asks a handler as a client would: what it is given and what it answers pass through the codecs of the version. */
export async function ask<Q extends Fields, R extends Fields>(
  handler: Handler<Q, R>,
  apiVersion: number,
  request: RequestInput<Api<Q, R>>,
  services: Partial<BrokerServices>,
): Promise<ResponseOf<Api<Q, R>>> {
  const context: RequestContext = {
    services: { nodeId: 1, logger: silentLogger, ...services } as BrokerServices,
    apiVersion,
    correlationId: 1,
    clientId: 'test',
    clientHost: '127.0.0.1',
    endpoint: { host: '10.0.0.7', port: 19092 },
    onClose: () => () => undefined,
  }
  const decoded = recode(handler.api.request, apiVersion, request) as RequestOf<Api<Q, R>>
  const response = (await handler.handle(decoded, context)) as ResponseInput<Api<Q, R>>
  return recode(handler.api.response, apiVersion, response) as ResponseOf<Api<Q, R>>
}

function recode(message: Api['request'], version: number, value: object): unknown {
  const writer = new Writer(1024)
  codec(message, version).encode(writer, value)
  return codec(message, version).decode(new Reader(writer.take()))
}
