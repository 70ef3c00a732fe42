import { durationMs, type Duration } from '../duration.ts'
import { StreamsError } from '../errors.ts'
import { fail } from '../topology/error-handler.ts'
import type { RunOptions } from './options.ts'
import type { WorkerSettings } from './worker.ts'

const COMMIT_INTERVAL_MS = 30_000
const TRANSACTION_INTERVAL_MS = 100
const TRANSACTION_TIMEOUT_MS = 60_000
const SESSION_TIMEOUT_MS = 10_000
const HEARTBEAT_INTERVAL_MS = 1_000
const REBALANCE_TIMEOUT_MS = 60_000
/** A cluster may be away for so long before an application gives up. */
const DELIVERY_TIMEOUT_MS = 5 * 60_000

/** What the options come to, with the defaults of Kafka Streams where nothing is said. */
export function settingsOf(options: RunOptions): WorkerSettings {
  checkOptions(options)
  const isExactlyOnce = options.guarantee === 'exactly-once'
  const ms = (duration: Duration | undefined, otherwise: number): number =>
    duration === undefined ? otherwise : durationMs(duration)
  return {
    guarantee: options.guarantee ?? 'at-least-once',
    transactionTimeoutMs: ms(options.transactionTimeout, TRANSACTION_TIMEOUT_MS),
    isolation: isExactlyOnce ? 'read-committed' : 'read-uncommitted',
    commitIntervalMs: ms(options.commitInterval, isExactlyOnce ? TRANSACTION_INTERVAL_MS : COMMIT_INTERVAL_MS),
    standbyReplicas: options.standbyReplicas ?? 0,
    offsetReset: options.offsetReset ?? 'earliest',
    maxTaskIdleMs: options.maxTaskIdle === -1 ? -1 : ms(options.maxTaskIdle, 0),
    bufferBytes: options.bufferBytes ?? null,
    endpoint: options.endpoint ?? null,
    instanceId: options.instanceId ?? null,
    sessionTimeoutMs: ms(options.sessionTimeout, SESSION_TIMEOUT_MS),
    heartbeatIntervalMs: ms(options.heartbeatInterval, HEARTBEAT_INTERVAL_MS),
    rebalanceTimeoutMs: ms(options.rebalanceTimeout, REBALANCE_TIMEOUT_MS),
    onDeserializationError: options.onDeserializationError ?? fail(),
    onProcessingError: options.onProcessingError ?? fail(),
    onProductionError: options.onProductionError ?? fail(),
    producer: { deliveryTimeoutMs: DELIVERY_TIMEOUT_MS, ...options.producer },
  }
}

/** What a caller without types, or with numbers from elsewhere, may get wrong. */
function checkOptions(options: RunOptions): void {
  const isCount = (value: number | undefined, least: number): boolean =>
    value === undefined || (Number.isSafeInteger(value) && value >= least)
  const isOneOf = (value: string | undefined, ...names: readonly string[]): boolean =>
    value === undefined || names.includes(value)
  const { guarantee, offsetReset, onTopologyChange, workers, standbyReplicas, bufferBytes, replicationFactor } = options
  const checks: readonly (readonly [name: string, value: unknown, isRight: boolean, what: string])[] = [
    ['guarantee', guarantee, isOneOf(guarantee, 'at-least-once', 'exactly-once'), "'at-least-once' or 'exactly-once'"],
    ['offsetReset', offsetReset, isOneOf(offsetReset, 'earliest', 'latest', 'fail'), "'earliest', 'latest' or 'fail'"],
    ['onTopologyChange', onTopologyChange, isOneOf(onTopologyChange, 'fail', 'ignore'), "'fail' or 'ignore'"],
    ['workers', workers, isCount(workers, 1), 'a number of workers'],
    ['standbyReplicas', standbyReplicas, isCount(standbyReplicas, 0), 'a number of copies'],
    ['bufferBytes', bufferBytes, isCount(bufferBytes, 1), 'a number of bytes'],
    [
      'replicationFactor',
      replicationFactor,
      replicationFactor === -1 || isCount(replicationFactor, 1),
      "a number of replicas, or -1 for the broker's default",
    ],
  ]
  for (const [name, value, isRight, what] of checks) {
    if (!isRight) throw new StreamsError('invalid-option', `${name}: ${String(value)} is not ${what}`)
  }
}
